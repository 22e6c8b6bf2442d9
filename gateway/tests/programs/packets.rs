//! Frames between addresses that a test names.

use std::net::{IpAddr, SocketAddr};

use gateway_ebpf::Flags;

use crate::frames::{self, IPV4, IPV6, TCP};

/// A segment from one to the other, of the same family.
pub(crate) fn packet(from: SocketAddr, to: SocketAddr, flags: Flags) -> Vec<u8> {
    let (mut frame, source, destination) = match (from.ip(), to.ip()) {
        (IpAddr::V4(_), IpAddr::V4(_)) => {
            (frames::ethernet(IPV4, &frames::ipv4(TCP, &frames::tcp(flags))), 26, 30)
        }
        (IpAddr::V6(_), IpAddr::V6(_)) => {
            (frames::ethernet(IPV6, &frames::ipv6(TCP, &frames::tcp(flags))), 22, 38)
        }
        _ => panic!("{from} and {to} are of two families"),
    };
    let ports = put(&mut frame, destination, to.ip());
    put(&mut frame, source, from.ip());
    frame[ports..ports + 2].copy_from_slice(&from.port().to_be_bytes());
    frame[ports + 2..ports + 4].copy_from_slice(&to.port().to_be_bytes());
    frame
}

/// Asks the door of tests for a connection.
pub(crate) fn syn(from: &str) -> Vec<u8> {
    to_door(from, Flags::SYN)
}

/// A segment for the door of tests.
pub(crate) fn to_door(from: &str, flags: Flags) -> Vec<u8> {
    let ip: IpAddr = from.parse().unwrap();
    let door = if ip.is_ipv4() { "198.51.100.9:8080" } else { "[2001:db8::9]:8080" };
    packet((ip, 40_000).into(), door.parse().unwrap(), flags)
}

/// Writes an address; where it ends.
fn put(frame: &mut [u8], at: usize, ip: IpAddr) -> usize {
    let octets = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let end = at + octets.len();
    frame[at..end].copy_from_slice(&octets);
    end
}
