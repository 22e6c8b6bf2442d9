//! Which devices an address is on, by the kernel's tables of routes and addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::tree::Tree;

/// A line of `/proc/net/route`.
struct Route {
    device: String,
    network: u32,
    mask: u32,
}

/// The devices whose packets reach a listener at `addr`, in the order of the kernel's tables: for
/// an address that stands for all of them, those that lead somewhere.
pub(super) fn devices(tree: &Tree<'_>, addr: IpAddr) -> Vec<String> {
    if addr.is_loopback() {
        return vec!["lo".to_owned()];
    }
    if addr.is_unspecified() {
        return everywhere(tree);
    }
    let device = match addr.to_canonical() {
        IpAddr::V4(addr) => routed(tree, addr),
        IpAddr::V6(addr) => having(tree, addr),
    };
    device.into_iter().collect()
}

fn everywhere(tree: &Tree<'_>) -> Vec<String> {
    let mut devices = Vec::new();
    let v4 = routes(tree).into_iter().map(|route| route.device);
    let v6 = addresses(tree).into_iter().map(|(_, device)| device);
    for device in v4.chain(v6).filter(|device| device != "lo") {
        if !devices.contains(&device) {
            devices.push(device);
        }
    }
    devices
}

/// The device of the narrowest network that holds the address.
fn routed(tree: &Tree<'_>, addr: Ipv4Addr) -> Option<String> {
    let addr = u32::from(addr);
    let holding = routes(tree).into_iter().filter(|route| addr & route.mask == route.network);
    Some(holding.max_by_key(|route| route.mask.count_ones())?.device)
}

fn having(tree: &Tree<'_>, addr: Ipv6Addr) -> Option<String> {
    addresses(tree).into_iter().find(|(here, _)| *here == addr).map(|(_, device)| device)
}

/// IPv4 routes: `DEVICE NETWORK GATEWAY FLAGS … MASK …`, numbers in network order as they lie in
/// memory.
fn routes(tree: &Tree<'_>) -> Vec<Route> {
    let number = |word: Option<&str>| {
        u32::from_str_radix(word?, 16).ok().map(|it| u32::from_be_bytes(it.to_ne_bytes()))
    };
    let route = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (network, mask) = (number(words.get(1).copied())?, number(words.get(7).copied())?);
        Some(Route { device: (*words.first()?).to_owned(), network, mask })
    };
    let text = tree.text("proc/net/route").unwrap_or_default();
    text.lines().skip(1).filter_map(route).collect()
}

/// IPv6 addresses: `ADDRESS INDEX LENGTH SCOPE FLAGS DEVICE`.
fn addresses(tree: &Tree<'_>) -> Vec<(Ipv6Addr, String)> {
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        let addr = u128::from_str_radix(words.next()?, 16).ok()?;
        Some((Ipv6Addr::from_bits(addr), words.nth(4)?.to_owned()))
    };
    let text = tree.text("proc/net/if_inet6").unwrap_or_default();
    text.lines().filter_map(address).collect()
}
