//! What records and constants that kernel and host share mean.

use std::net::{IpAddr, SocketAddr};

use gateway_ebpf::abi::{Counter, Door, Listed, Shard, Word};
use gateway_ebpf::{Address, Skip, Strategy};

fn at(text: &str) -> (Address, u16) {
    let addr: SocketAddr = text.parse().expect("an address");
    (addr.ip().into(), addr.port())
}

#[test]
fn a_door_is_at_its_address_or_at_all_of_them_and_at_its_port() {
    for (door, inside, outside) in [
        ("10.0.0.1:9002", "10.0.0.1:9002", "10.0.0.2:9002"),
        ("10.0.0.1:9002", "[::ffff:10.0.0.1]:9002", "[::10.0.0.1]:9002"),
        ("10.0.0.1:9002", "10.0.0.1:9002", "10.0.0.1:9003"),
        ("10.0.0.1:9002", "10.0.0.1:9002", "0.0.0.0:9002"),
        ("[fd00::1]:9002", "[fd00::1]:9002", "[fd00::2]:9002"),
        ("[fd00::1]:9002", "[fd00::1]:9002", "[::1]:9002"),
        // A socket of either family hears both.
        ("0.0.0.0:9002", "10.0.0.1:9002", "10.0.0.1:9003"),
        ("0.0.0.0:9002", "[fd00::1]:9002", "[fd00::1]:0"),
        ("[::]:9002", "10.0.0.1:9002", "10.0.0.1:2002"),
        ("[::]:9002", "[fd00::1]:9002", "[fd00::1]:9001"),
    ] {
        let (address, port) = at(door);
        let door = Door { address, port };
        let is_at = |to: &str| {
            let (address, port) = at(to);
            door.is_at(address, port)
        };
        assert!(is_at(inside), "{inside} is at {door:?}");
        assert!(!is_at(outside), "{outside} is not at {door:?}");
    }
}

#[test]
fn every_byte_of_a_doors_address_counts() {
    let [v4, v6]: [IpAddr; 2] = ["10.0.0.1", "fd00::1"].map(|ip| ip.parse().expect("an address"));
    for address in [v4, v6].map(Address::from) {
        let door = Door { address, port: 9002 };
        for bit in 0..128 {
            let mut octets = address.octets();
            octets[bit / 8] ^= 1 << (bit % 8);
            assert!(!door.is_at(Address::v6(octets), 9002), "{octets:02x?}");
        }
    }
}

#[test]
fn what_a_value_does_not_mean_says_nothing() {
    for listed in [Listed::Nowhere, Listed::Allowed, Listed::Denied] {
        assert_eq!(Listed::of(listed as u32), listed);
    }
    for value in [3, 0x100, 0x0200_0000, u32::MAX] {
        assert_eq!(Listed::of(value), Listed::Nowhere, "{value}");
    }
    for (number, strategy) in (0..).zip(Strategy::ALL) {
        assert_eq!((Strategy::of(number), strategy as u32), (strategy, number));
    }
    assert_eq!([6, u32::MAX].map(Strategy::of), [Strategy::Affinity; 2]);
}

#[test]
fn each_counter_has_a_place_of_its_own() {
    use Counter::{Deny, Full, Migrated, Pass, Placed, Rate, Redirect, Shed, Spilled, Stuck};
    let plain = [Pass, Deny, Rate, Shed, Redirect, Stuck, Placed, Spilled, Full];
    let plain = plain.into_iter().chain([Counter::Unlisted, Migrated]).map(Counter::index);
    let skipped = Skip::ALL.iter().map(|skip| Counter::Skipped.index() + skip.index());
    let places: Vec<_> = plain.chain(skipped).collect();
    let all: Vec<_> = (0..).take(Counter::COUNT).collect();
    assert_eq!(places, all);
}

#[test]
fn a_shard_is_open_while_it_serves_and_has_room() {
    for (serving, live, capacity, is_open) in
        [(1, 0, 1, true), (1, 1, 1, false), (1, 2, 1, false), (0, 0, 1, false), (1, 0, 0, false)]
    {
        let [serving, live, capacity] = [serving, live, capacity].map(Word::new);
        let shard = Shard { serving, live, capacity, ..Shard::default() };
        assert_eq!(shard.is_open(), is_open, "{shard:?}");
    }
}
