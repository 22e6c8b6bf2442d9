//! From what a flag says to an address.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use crate::config::ADDR_DEFAULT;

/// The address that a setting names: `HOST:PORT`, or `:PORT` for every address.
pub(super) fn named(setting: &str, text: &str) -> Result<SocketAddr, String> {
    resolve(text).map_err(|error| {
        format!("{setting} {text}: {error}; give HOST:PORT, such as {ADDR_DEFAULT}, or :PORT")
    })
}

/// Every address of this machine: of both families where it has IPv6.
pub(super) fn everywhere(port: u16) -> SocketAddr {
    let v6 = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).is_ok();
    if v6 { (Ipv6Addr::UNSPECIFIED, port).into() } else { (Ipv4Addr::UNSPECIFIED, port).into() }
}

fn resolve(text: &str) -> io::Result<SocketAddr> {
    if let Some(port) = text.strip_prefix(':') {
        let invalid = |_| io::Error::new(io::ErrorKind::InvalidInput, "invalid port number");
        return port.parse().map(everywhere).map_err(invalid);
    }
    let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    text.to_socket_addrs()?.next().ok_or_else(none)
}
