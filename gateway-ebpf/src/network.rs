//! A network by its prefix: `10.0.0.0/8`, `::1`.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use crate::Address;

/// All addresses that begin with the same bits.
///
/// 20 bytes: the number of bits as a `u32` in the machine's byte order, then the [`Address`], whose
/// other bits are 0. That is the key of a map of longest prefixes (`BPF_MAP_TYPE_LPM_TRIE`), IPv4
/// having 96 bits more than people write.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(C)]
pub struct Network {
    bits: u32,
    address: Address,
}

// The ABI of shared maps.
const _: () = assert!(size_of::<Network>() == 20 && align_of::<Network>() == 4);

/// Bits of an IPv4 address that all of them have in common.
const V4_BITS: u32 = 96;

/// Why a text is no network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NetworkError {
    /// What stands before the slash is no IP address.
    Address,
    /// What stands after it is no number of bits that such an address has.
    Bits,
    /// The address has bits beyond those of the network: two were meant, or another number.
    Host,
}

impl Network {
    /// The addresses that have their first `bits` bits in common with this one, as people count
    /// them: up to 32 or 128.
    ///
    /// # Errors
    /// If the address has fewer bits, or others than 0 behind them.
    pub fn new(ip: IpAddr, bits: u32) -> Result<Self, NetworkError> {
        let above = if ip.is_ipv4() { V4_BITS } else { 0 };
        let bits = bits.checked_add(above).filter(|bits| *bits <= 128).ok_or(NetworkError::Bits)?;
        let address = Address::from(ip);
        if u128::from_be_bytes(address.octets()) & !mask(bits) != 0 {
            return Err(NetworkError::Host);
        }
        Ok(Self { bits, address })
    }

    /// How many bits of an [`Address`] all that belong to it have in common, 0 to 128: 96 more than
    /// people count for IPv4.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.bits
    }

    /// The lowest address that belongs to it, in network order.
    #[inline(always)]
    #[must_use]
    pub const fn first(self) -> Address {
        self.address
    }

    /// The highest one.
    #[inline(always)]
    #[must_use]
    pub const fn last(self) -> Address {
        let first = u128::from_be_bytes(self.address.octets());
        Address::v6((first | !mask(self.bits)).to_be_bytes())
    }

    /// Whether an address belongs to it.
    #[inline(always)]
    #[must_use]
    pub const fn contains(self, address: Address) -> bool {
        let difference =
            u128::from_be_bytes(self.address.octets()) ^ u128::from_be_bytes(address.octets());
        difference & mask(self.bits) == 0
    }
}

/// The first so many bits of 128.
#[inline(always)]
const fn mask(bits: u32) -> u128 {
    match bits {
        0 => 0,
        // The shift is of 0 to 127 bits.
        _ => u128::MAX << ((128 - bits) & 127),
    }
}

/// `ADDRESS/BITS`, or `ADDRESS` for that one alone.
impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, Some(bits)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| NetworkError::Address)?;
        let Some(bits) = bits else {
            return Self::new(ip, if ip.is_ipv4() { 32 } else { 128 });
        };
        // A sign is nothing a number of bits has.
        if bits.is_empty() || !bits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NetworkError::Bits);
        }
        Self::new(ip, bits.parse().map_err(|_| NetworkError::Bits)?)
    }
}

/// What is wrong and what to write.
impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "no IP address; write 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32",
            Self::Bits => {
                "no number of bits; write 0 to 32 after an IPv4 address, 0 to 128 after \
                           an IPv6 one"
            }
            Self::Host => {
                "the address goes on behind the network's bits; write 0 there, or more \
                           bits"
            }
        })
    }
}

impl core::error::Error for NetworkError {}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v4 = self.address.is_v4() && self.bits >= V4_BITS;
        let bits = if v4 { self.bits - V4_BITS } else { self.bits };
        write!(f, "{}/{bits}", IpAddr::from(self.address))
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    fn network(text: &str) -> Result<Network, NetworkError> {
        text.parse()
    }

    fn has(text: &str, ip: &str) -> bool {
        let ip: IpAddr = ip.parse().expect("an address");
        network(text).expect("a network").contains(ip.into())
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.128/25", "192.0.2.255", "192.0.2.127"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.7/32", "::ffff:192.0.2.7", "::192.0.2.7"),
            ("0.0.0.0/0", "255.255.255.255", "2001:db8::1"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("::1", "::1", "::"),
            ("::/0", "10.0.0.1", "127.0.0.1"),
        ] {
            assert!(has(text, inside), "{text} has {inside}");
            assert_eq!(has(text, outside), text == "::/0", "{text} and {outside}");
        }
    }

    #[test]
    fn a_network_reaches_from_its_first_address_to_its_last() {
        for (text, first, last) in [
            ("10.0.0.0/8", "10.0.0.0", "10.255.255.255"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
            ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
            ("2001:db8::/33", "2001:db8::", "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff"),
            ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            let network = network(text).expect("a network");
            let ends = [network.first(), network.last()].map(|it| IpAddr::from(it).to_string());
            assert_eq!(ends, [first, last], "{text}");
        }
    }

    #[test]
    fn what_is_no_network_is_told_with_what_would_be_one() {
        use NetworkError::{Address, Bits, Host};
        for (text, error) in [
            ("", Address),
            ("10/8", Address),
            ("localhost", Address),
            ("10.0.0.0.0/8", Address),
            ("/8", Address),
            ("[::1]/128", Address),
            ("10.0.0.0/33", Bits),
            ("::/129", Bits),
            ("10.0.0.0/", Bits),
            ("10.0.0.0/+8", Bits),
            ("10.0.0.0/8/8", Bits),
            ("10.0.0.0/4294967295", Bits),
            ("10.0.0.0/99999999999", Bits),
            ("10.0.0.1/8", Host),
            ("2001:db8::1/64", Host),
        ] {
            assert_eq!(network(text), Err(error), "{text:?}");
            assert!(error.to_string().contains("; write "), "{error}");
        }
    }

    #[test]
    fn a_network_is_shown_as_it_is_written() {
        for text in ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::1/128", "0.0.0.0/0", "::/0"]
        {
            assert_eq!(network(text).expect("a network").to_string(), text);
        }
    }
}
