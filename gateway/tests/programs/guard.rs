//! The list of prefixes in the kernel: the longest one counts, and a change leaves no gap.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use aya::maps::lpm_trie::Key;
use aya::maps::{Array, LpmTrie, MapData};
use gateway_ebpf::abi::{Counter, Listed, Total, names};
use gateway_ebpf::{Flags, Network};

use crate::kernel::{Counts, DROP, Kernel, PASS, Setup};
use crate::packets::{syn, to_door};

use Listed::{Allowed, Denied};

/// Prefixes within prefixes, of both families.
const NESTED: [(&str, Listed); 9] = [
    ("10.0.0.0/8", Denied),
    ("10.1.0.0/16", Allowed),
    ("10.1.2.0/24", Denied),
    ("10.1.2.3", Allowed),
    ("192.0.2.128/25", Denied),
    ("2001:db8::/32", Denied),
    ("2001:db8:1::/48", Allowed),
    ("2001:db8:1:8000::/49", Denied),
    ("2001:db8:1:8000::1", Allowed),
];

#[test]
fn the_longest_prefix_that_holds_a_source_counts() {
    let Some(mut kernel) = Kernel::load(Setup::default()) else { return };
    kernel.list(0, &NESTED);
    let mut due = Counts::default();
    for (from, verdict) in [
        ("9.255.255.255", PASS),
        ("10.0.0.0", DROP),
        ("10.255.255.255", DROP),
        ("11.0.0.0", PASS),
        ("10.1.0.0", PASS),
        ("10.1.255.255", PASS),
        ("10.1.2.0", DROP),
        ("10.1.2.2", DROP),
        ("10.1.2.3", PASS),
        ("10.1.3.0", PASS),
        ("192.0.2.127", PASS),
        ("192.0.2.128", DROP),
        ("2001:db7:ffff::", PASS),
        ("2001:db8::", DROP),
        ("2001:db8:1::", PASS),
        ("2001:db8:1:7fff::1", PASS),
        ("2001:db8:1:8000::", DROP),
        ("2001:db8:1:8000::1", PASS),
        ("2001:db8:2::", DROP),
        ("2001:db9::", PASS),
        // No IPv4 address in another dress.
        ("::10.0.0.1", PASS),
        ("64:ff9b::10.0.0.1", PASS),
    ] {
        assert_eq!(kernel.run(&syn(from)), verdict, "{from}");
        due = due.and(if verdict == DROP { Counter::Deny } else { Counter::Pass });
        assert_eq!(kernel.counts(), due, "{from}");
        assert_eq!(kernel.run(&to_door(from, Flags::ACK)), PASS, "{from} is served already");
        due = due.and(Counter::Pass);
    }
}

#[test]
fn a_prefix_of_no_bits_holds_its_family_or_everyone() {
    for (prefix, v4, v6) in [("0.0.0.0/0", DROP, PASS), ("::/0", DROP, DROP)] {
        let Some(mut kernel) = Kernel::load(Setup::default()) else { return };
        kernel.list(0, &[(prefix, Denied)]);
        assert_eq!(kernel.run(&syn("203.0.113.1")), v4, "{prefix}");
        assert_eq!(kernel.run(&syn("2001:db8::1")), v6, "{prefix}");
    }
}

#[test]
fn of_two_tables_the_one_that_counts_is_asked() {
    let Some(mut kernel) = Kernel::load(Setup::default()) else { return };
    kernel.list(0, &[("10.0.0.0/8", Denied)]);
    kernel.list(1, &[("192.0.2.0/24", Denied)]);
    let verdicts = |kernel: &Kernel| ["10.0.0.1", "192.0.2.1"].map(|from| kernel.run(&syn(from)));
    assert_eq!(verdicts(&kernel), [DROP, PASS]);
    kernel.set(names::TOTAL, 0, total(1));
    assert_eq!(verdicts(&kernel), [PASS, DROP]);
    kernel.set(names::TOTAL, 0, total(0));
    assert_eq!(verdicts(&kernel), [DROP, PASS]);
}

#[test]
fn what_a_value_does_not_mean_keeps_nobody_out() {
    let Some(mut kernel) = Kernel::load(Setup::default()) else { return };
    let network: Network = "10.0.0.0/8".parse().unwrap();
    let key = Key::new(network.bits(), network.first().octets());
    for value in [0, 1, 3, 0x0002_0000, u32::MAX] {
        let mut table = Table::try_from(kernel.object.map_mut(names::GUARDS[0]).unwrap()).unwrap();
        table.insert(&key, value, 0).unwrap();
        assert_eq!(kernel.run(&syn("10.0.0.1")), PASS, "{value}");
    }
}

/// How often the tables change places while packets come.
const CHANGES: u64 = 200;

#[test]
fn a_list_that_is_replaced_while_packets_come_has_no_gap() {
    let Some(mut kernel) = Kernel::load(Setup::default()) else { return };
    kernel.list(0, &NESTED);
    let mut tables =
        names::GUARDS.map(|name| kernel.object.take_map(name).unwrap().try_into().unwrap());
    let mut totals: Array<MapData, [u64; WORDS]> =
        kernel.object.take_map(names::TOTAL).unwrap().try_into().unwrap();
    let (ended, judged) = (AtomicBool::new(false), AtomicU64::new(0));
    let packets =
        ["10.0.0.1", "10.1.2.4", "10.1.0.1", "10.1.2.3", "2001:db8:1:8000::2", "2001:db8:1::1"]
            .map(syn);
    let due = [DROP, DROP, PASS, PASS, DROP, PASS];
    thread::scope(|scope| {
        let comes = || {
            while !ended.load(Ordering::Acquire) {
                assert_eq!(packets.each_ref().map(|packet| kernel.run(packet)), due);
                judged.fetch_add(1, Ordering::Release);
            }
        };
        let comes = scope.spawn(comes);
        for change in 1..=CHANGES {
            let next = change % 2;
            replace(&mut tables[next as usize], &NESTED);
            totals.set(0, total(next), 0).unwrap();
            // What was being judged by the other table is; as when people change a list.
            let before = judged.load(Ordering::Acquire);
            while judged.load(Ordering::Acquire) < before + 2 && !comes.is_finished() {
                thread::yield_now();
            }
        }
        ended.store(true, Ordering::Release);
    });
    assert!(judged.load(Ordering::Acquire) >= 2 * CHANGES);
    let counts = kernel.counts();
    assert_eq!(counts.of(Counter::Deny), counts.of(Counter::Pass), "three of six each");
}

type Table<T> = LpmTrie<T, [u8; 16], u32>;

/// As the host does it: the table that does not count is emptied, then filled.
fn replace(table: &mut Table<MapData>, prefixes: &[(&str, Listed)]) {
    let old: Vec<_> = table.keys().collect::<Result<_, _>>().unwrap();
    old.iter().for_each(|key| table.remove(key).unwrap());
    for (prefix, listed) in prefixes {
        let network: Network = prefix.parse().unwrap();
        let key = Key::new(network.bits(), network.first().octets());
        table.insert(&key, *listed as u32, 0).unwrap();
    }
}

const WORDS: usize = size_of::<Total>() / 8;

/// The node's record, if one of the two tables counts.
fn total(guard: u64) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    words[std::mem::offset_of!(Total, guard) / 8] = guard;
    words
}
