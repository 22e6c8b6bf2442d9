//! The packet parser: finds the TCP segment in an Ethernet frame.

use crate::address::Address;

/// VLAN tags that are followed: one, or the service and customer tag of 802.1ad.
pub const VLAN_TAGS_MAX: usize = 2;

/// IPv6 extension headers that are followed: hop-by-hop, routing and destination options or
/// fragment are more than real clients send, and each costs the verifier another round.
pub const IPV6_EXTENSIONS_MAX: usize = 3;

/// How far into a frame [`parse`] ever reads, in bytes: the deepest headers, each the longest.
pub const HEADERS_BYTES_MAX: usize = ETHERNET_BYTES
    + VLAN_TAGS_MAX * VLAN_BYTES
    + IPV6_BYTES
    + IPV6_EXTENSIONS_MAX * EXTENSION_BYTES_MAX
    + TCP_BYTES;

const _: () = assert!(HEADERS_BYTES_MAX <= 0xFFFF, "the verifier allows offsets of 16 bits");

/// The bytes of a frame, beginning with its Ethernet header.
pub trait Packet {
    /// The `N` bytes from `offset` on; `None` if the packet ends before, whatever the offset.
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
}

impl Packet for [u8] {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk().copied()
    }
}

/// A TCP segment: between whom, and what it says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Segment {
    /// Who sent it, as the packet claims.
    pub source: Address,
    /// For whom it is.
    pub destination: Address,
    /// The sender's port, in host order.
    pub source_port: u16,
    /// The receiver's port, in host order.
    pub destination_port: u16,
    /// Its control bits.
    pub flags: Flags,
}

/// The eight control bits of a TCP header, CWR to FIN (RFC 9293 §3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct Flags(pub u8);

impl Flags {
    /// The sender has no more data.
    pub const FIN: Self = Self(0x01);
    /// Synchronises sequence numbers: without `ACK`, it asks for a connection.
    pub const SYN: Self = Self(0x02);
    /// Resets the connection.
    pub const RST: Self = Self(0x04);
    /// The acknowledgement number counts.
    pub const ACK: Self = Self(0x10);

    /// Whether all of these are set.
    #[inline(always)]
    #[must_use]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

/// Why a frame has no segment for us; such a packet passes on to the kernel and is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Skip {
    /// The frame ends within a header, or a header's length field is below the least there is.
    Short = 0,
    /// Neither IPv4 nor IPv6; also IPv6 with a mapped address, which would pass for IPv4.
    NotIp = 1,
    /// IP with another protocol, or with a header behind which TCP cannot be seen.
    NotTcp = 2,
    /// A fragment other than the first, hence without ports.
    Fragment = 3,
    /// More VLAN tags or IPv6 extension headers than are followed.
    TooDeep = 4,
}

impl Skip {
    /// All reasons, each at its index.
    pub const ALL: [Self; 5] =
        [Self::Short, Self::NotIp, Self::NotTcp, Self::Fragment, Self::TooDeep];

    /// Its place in an array of counters.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> u32 {
        self as u32
    }
}

/// Finds the TCP segment in an Ethernet frame.
///
/// IP length fields are not consulted: super-packets of offloads carry 0 there, and the kernel
/// checks them anyway. Nor are checksums, or TCP options, which a first fragment may not have.
///
/// # Errors
/// The reason why there is none; a [`Skip`] is never a reason to drop.
// Always inlined, as is what it calls: a BPF function takes at most five words and returns one,
// and what the verifier knows of an offset's bounds must reach the load that uses it.
#[inline(always)]
pub fn parse(packet: &(impl Packet + ?Sized)) -> Result<Segment, Skip> {
    let (ether_type, offset) = ethernet(packet)?;
    let route = match ether_type {
        ETHER_TYPE_IPV4 => ipv4(packet, offset)?,
        ETHER_TYPE_IPV6 => ipv6(packet, offset)?,
        ETHER_TYPE_VLAN | ETHER_TYPE_SERVICE_VLAN => return Err(Skip::TooDeep),
        _ => return Err(Skip::NotIp),
    };
    tcp(packet, route)
}

/// What the IP header says: between whom, and where the TCP header begins.
struct Route {
    source: Address,
    destination: Address,
    offset: usize,
}

/// The type and offset of what the frame carries, behind its VLAN tags.
#[inline(always)]
fn ethernet(packet: &(impl Packet + ?Sized)) -> Result<(u16, usize), Skip> {
    let header: [u8; ETHERNET_BYTES] = packet.load(0).ok_or(Skip::Short)?;
    let mut ether_type = u16::from_be_bytes([header[12], header[13]]);
    let mut offset = ETHERNET_BYTES;
    for _ in 0..VLAN_TAGS_MAX {
        if !matches!(ether_type, ETHER_TYPE_VLAN | ETHER_TYPE_SERVICE_VLAN) {
            break;
        }
        let tag: [u8; VLAN_BYTES] = packet.load(offset).ok_or(Skip::Short)?;
        ether_type = u16::from_be_bytes([tag[2], tag[3]]);
        offset += VLAN_BYTES;
    }
    Ok((ether_type, offset))
}

#[inline(always)]
fn ipv4(packet: &(impl Packet + ?Sized), offset: usize) -> Result<Route, Skip> {
    let header: [u8; IPV4_BYTES] = packet.load(offset).ok_or(Skip::Short)?;
    let header_bytes = usize::from(header[0] & 0x0F) * 4;
    let fragment_offset = u16::from_be_bytes([header[6], header[7]]) & 0x1FFF;
    if header[0] >> 4 != 4 {
        return Err(Skip::NotIp);
    }
    if header_bytes < IPV4_BYTES {
        return Err(Skip::Short);
    }
    if fragment_offset != 0 {
        return Err(Skip::Fragment);
    }
    if header[9] != PROTOCOL_TCP {
        return Err(Skip::NotTcp);
    }
    Ok(Route {
        source: Address::v4([header[12], header[13], header[14], header[15]]),
        destination: Address::v4([header[16], header[17], header[18], header[19]]),
        offset: offset + header_bytes,
    })
}

#[inline(always)]
fn ipv6(packet: &(impl Packet + ?Sized), offset: usize) -> Result<Route, Skip> {
    let header: [u8; IPV6_BYTES] = packet.load(offset).ok_or(Skip::Short)?;
    if header[0] >> 4 != 6 {
        return Err(Skip::NotIp);
    }
    let source = ipv6_address::<8>(&header);
    let destination = ipv6_address::<24>(&header);
    // Linux drops them too. Here they would spend the tokens of an IPv4 address.
    if source.is_v4() || destination.is_v4() {
        return Err(Skip::NotIp);
    }
    let (protocol, offset) = extensions(packet, header[6], offset + IPV6_BYTES)?;
    match protocol {
        PROTOCOL_TCP => Ok(Route { source, destination, offset }),
        HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION => Err(Skip::TooDeep),
        _ => Err(Skip::NotTcp),
    }
}

/// The address at `AT`, a constant, so that no bounds check is left.
#[inline(always)]
fn ipv6_address<const AT: usize>(header: &[u8; IPV6_BYTES]) -> Address {
    let mut octets = [0; 16];
    octets.copy_from_slice(&header[AT..AT + 16]);
    Address::v6(octets)
}

/// The protocol behind the extension headers, or the first one not followed, and its offset.
#[inline(always)]
fn extensions(
    packet: &(impl Packet + ?Sized),
    mut protocol: u8,
    mut offset: usize,
) -> Result<(u8, usize), Skip> {
    for _ in 0..IPV6_EXTENSIONS_MAX {
        if !matches!(protocol, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION) {
            break;
        }
        let header: [u8; EXTENSION_BYTES] = packet.load(offset).ok_or(Skip::Short)?;
        let units = if protocol == FRAGMENT {
            // RFC 8200 §4.5: the offset is the upper 13 bits; a length is not given.
            if u16::from_be_bytes([header[2], header[3]]) >> 3 != 0 {
                return Err(Skip::Fragment);
            }
            1
        } else {
            // RFC 8200 §4.3: in units of 8 bytes, the first one not counted.
            1 + usize::from(header[1])
        };
        protocol = header[0];
        offset += units * EXTENSION_BYTES;
    }
    Ok((protocol, offset))
}

#[inline(always)]
fn tcp(packet: &(impl Packet + ?Sized), route: Route) -> Result<Segment, Skip> {
    let header: [u8; TCP_BYTES] = packet.load(route.offset).ok_or(Skip::Short)?;
    let header_bytes = usize::from(header[12] >> 4) * 4;
    if header_bytes < TCP_BYTES {
        return Err(Skip::Short);
    }
    Ok(Segment {
        source: route.source,
        destination: route.destination,
        source_port: u16::from_be_bytes([header[0], header[1]]),
        destination_port: u16::from_be_bytes([header[2], header[3]]),
        flags: Flags(header[13]),
    })
}

const ETHERNET_BYTES: usize = 14;
const VLAN_BYTES: usize = 4;
/// Without options.
const IPV4_BYTES: usize = 20;
const IPV6_BYTES: usize = 40;
/// The least an extension header has, and the unit of its length.
const EXTENSION_BYTES: usize = 8;
const EXTENSION_BYTES_MAX: usize = 256 * EXTENSION_BYTES;
/// Without options.
const TCP_BYTES: usize = 20;

const ETHER_TYPE_IPV4: u16 = 0x0800;
const ETHER_TYPE_IPV6: u16 = 0x86DD;
const ETHER_TYPE_VLAN: u16 = 0x8100;
const ETHER_TYPE_SERVICE_VLAN: u16 = 0x88A8;

const HOP_BY_HOP: u8 = 0;
const PROTOCOL_TCP: u8 = 6;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;
