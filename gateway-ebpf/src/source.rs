//! Who a packet or connection counts as coming from: an address, or the network that one line has.

use core::fmt;
use core::net::IpAddr;

use crate::Address;

/// One IPv4 address, or one IPv6 network of 64 bits: whoever has a line has all 2^64 addresses of
/// such a network, so that telling them apart would only tell an attacker how to be many.
///
/// 16 bytes in network order like an [`Address`], the last 8 of an IPv6 network being 0: the key
/// of a shared map.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(transparent)]
pub struct Source(Address);

// The ABI of shared maps.
const _: () = assert!(size_of::<Source>() == 16 && align_of::<Source>() == 1);

impl Source {
    /// Of all unknown sources: the unspecified address, which nobody has.
    pub const UNKNOWN: Self = Self(Address::v6([0; 16]));

    /// The source that an address belongs to.
    #[inline(always)]
    #[must_use]
    pub const fn of(address: Address) -> Self {
        if address.is_v4() {
            return Self(address);
        }
        let [a, b, c, d, e, f, g, h, ..] = address.octets();
        Self(Address::v6([a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0]))
    }

    /// The 16 bytes in network order.
    #[inline(always)]
    #[must_use]
    pub const fn octets(self) -> [u8; 16] {
        self.0.octets()
    }
}

/// `192.0.2.7`, or `2001:db8:1:2::/64`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match IpAddr::from(self.0) {
            IpAddr::V4(ip) => fmt::Display::fmt(&ip, f),
            IpAddr::V6(ip) => write!(f, "{ip}/64"),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    fn source(text: &str) -> Source {
        Source::of(Address::from(text.parse::<IpAddr>().expect("an address")))
    }

    #[test]
    fn each_ipv4_address_is_a_source_however_it_is_written() {
        assert_eq!(source("192.0.2.7"), source("::ffff:192.0.2.7"));
        assert_ne!(source("192.0.2.7"), source("192.0.2.6"));
        assert_eq!(source("192.0.2.7").to_string(), "192.0.2.7");
        assert_ne!(source("192.0.2.7"), source("::192.0.2.7"), "that one was never mapped");
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_source() {
        let one = source("2001:db8:1:2:3:4:5:6");
        assert_eq!(one, source("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(one, source("2001:db8:1:3:3:4:5:6"));
        assert_eq!(one.to_string(), "2001:db8:1:2::/64");
        assert_eq!(one.octets()[8..], [0; 8]);
    }
}
