//! What must be true of the header in which a proxy says who its client is.

use std::net::{IpAddr, SocketAddr};

use gateway_core::handshake::{PROXY_HEADER_BYTES_MAX, ProxyHeader, proxy_header};

/// The bytes behind the header; all of them if there is none.
pub(crate) fn check(data: &[u8]) -> &[u8] {
    let found = proxy_header(data);
    let Some(told) = (0..=data.len()).find(|len| proxy_header(&data[..*len]) != Ok(None)) else {
        assert!(data.len() < PROXY_HEADER_BYTES_MAX, "nobody waits for more bytes");
        return data;
    };
    assert!(told <= PROXY_HEADER_BYTES_MAX, "it is told in time");
    for len in told..data.len().min(2 * PROXY_HEADER_BYTES_MAX) {
        assert_eq!(proxy_header(&data[..len]), found, "what follows makes no difference");
    }
    let Ok(Some(header)) = found else { return data };
    assert_eq!(header.len, told, "a header is read as soon as it is whole");
    if let Some(client) = header.client {
        check_client(client, &data[..header.len]);
    }
    &data[header.len..]
}

/// The same client, said in the other version.
fn check_client(client: SocketAddr, header: &[u8]) {
    let said = if header.starts_with(b"PROXY ") { version_2(client) } else { version_1(client) };
    let expected = ProxyHeader { len: said.len(), client: Some(client) };
    assert_eq!(proxy_header(&said), Ok(Some(expected)), "{}", said.escape_ascii());
}

fn version_1(client: SocketAddr) -> Vec<u8> {
    let (ip, port) = (client.ip(), client.port());
    let family = if ip.is_ipv4() { "TCP4" } else { "TCP6" };
    format!("PROXY {family} {ip} {ip} {port} 1\r\n").into_bytes()
}

fn version_2(client: SocketAddr) -> Vec<u8> {
    let (family, octets) = match client.ip() {
        IpAddr::V4(ip) => (0x11, ip.octets().to_vec()),
        IpAddr::V6(ip) => (0x21, ip.octets().to_vec()),
    };
    let ports = [client.port().to_be_bytes(), [0, 1]].concat();
    let rest = [&octets[..], &octets, &ports].concat();
    let fixed = [0x21, family, 0, rest.len() as u8];
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &fixed, &rest].concat()
}
