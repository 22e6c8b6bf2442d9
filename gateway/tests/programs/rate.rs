//! How often a source may ask for a connection, as the kernel has it.
//!
//! A token takes an hour to come back unless a test is about that, so that no machine is too slow.

use gateway_ebpf::abi::{Counter, Listed, names};
use gateway_ebpf::{Address, Flags, Rate, Source};

use crate::kernel::{Counts, DROP, Kernel, PASS, Setup, ip};
use crate::packets::{syn, to_door};

const HOUR_NANOS: u64 = 3_600_000_000_000;

/// So many at once, and one an hour.
fn at_once(burst: u64) -> Setup {
    with_rate(HOUR_NANOS, burst)
}

fn with_rate(interval_nanos: u64, burst: u64) -> Setup {
    let rate = Rate::of_nanos(interval_nanos, interval_nanos * burst);
    assert!(rate.is_some(), "without a rate nothing is tested");
    Setup { rate, ..Setup::default() }
}

/// How many of so many packets from a source pass.
fn passed(kernel: &Kernel, from: &str, packets: usize) -> usize {
    let packet = syn(from);
    (0..packets).filter(|_| kernel.run(&packet) == PASS).count()
}

/// What is left of a source's bucket, as the moment when it will be full again.
fn bucket(kernel: &Kernel, from: &str) -> Option<u64> {
    kernel.look(names::SOURCES, Source::of(Address::from(ip(from))).octets())
}

#[test]
fn a_small_burst_passes_to_the_last_and_then_nothing_does() {
    for burst in 1..=4 {
        let Some(kernel) = Kernel::load(at_once(burst)) else { return };
        let packet = syn("192.0.2.7");
        let verdicts: Vec<_> = (0..10).map(|_| kernel.run(&packet)).collect();
        let due: Vec<_> = (0..10).map(|nth| if nth < burst { PASS } else { DROP }).collect();
        assert_eq!(verdicts, due, "of {burst} at once");
        let due =
            Counts::default().and_times(Counter::Pass, burst).and_times(Counter::Rate, 10 - burst);
        assert_eq!(kernel.counts(), due, "of {burst} at once");
    }
}

#[test]
fn of_a_larger_burst_three_quarters_pass_and_chance_gives_the_rest() {
    const BURST: usize = 1_000;
    const PACKETS: usize = 5_000;
    let Some(kernel) = Kernel::load(at_once(BURST as u64)) else { return };
    let packet = syn("192.0.2.7");
    let verdicts: Vec<_> = (0..PACKETS).map(|_| kernel.run(&packet)).collect();
    assert!(verdicts[..BURST * 3 / 4].iter().all(|verdict| *verdict == PASS));
    let passed = verdicts.iter().filter(|verdict| **verdict == PASS).count();
    let counts = kernel.counts();
    let [pass, shed, rate] =
        [Counter::Pass, Counter::Shed, Counter::Rate].map(|counter| counts.of(counter) as usize);
    assert_eq!((pass, pass + shed + rate), (passed, PACKETS), "{counts:?}");
    assert!((BURST * 3 / 4..=BURST).contains(&pass), "{counts:?}");
    // All of 250 going the same way has a chance below 2^-300.
    assert!(shed > 0, "{counts:?}");
    // Who passed took a token, and nobody else did.
    let first = bucket(&kernel, "192.0.2.7").unwrap();
    let left: Vec<_> = (0..PACKETS).map(|_| kernel.run(&packet)).collect();
    let more = left.iter().filter(|verdict| **verdict == PASS).count() as u64;
    assert_eq!(bucket(&kernel, "192.0.2.7"), Some(first + more * HOUR_NANOS));
    assert!(pass as u64 + more <= BURST as u64);
}

#[test]
fn each_ipv4_address_and_each_ipv6_network_of_64_bits_has_its_own() {
    let Some(kernel) = Kernel::load(at_once(4)) else { return };
    assert_eq!(passed(&kernel, "192.0.2.7", 6), 4);
    assert_eq!(passed(&kernel, "192.0.2.6", 6), 4);
    // One line has all of these addresses, and one bucket.
    let line: usize =
        (1..=6).map(|host| passed(&kernel, &format!("2001:db8:1:2::{host}"), 1)).sum();
    assert_eq!(line, 4);
    assert_eq!(passed(&kernel, "2001:db8:1:2:ffff:ffff:ffff:ffff", 1), 0);
    assert_eq!(passed(&kernel, "2001:db8:1:3::1", 6), 4);
    assert!(bucket(&kernel, "2001:db8:1:2::77").is_some());
    assert!(bucket(&kernel, "192.0.2.5").is_none(), "it never came");
}

#[test]
fn only_who_asks_for_a_connection_takes_a_token() {
    let Some(kernel) = Kernel::load(at_once(4)) else { return };
    for flags in (0..=255).map(Flags).filter(|flags| !gateway_ebpf::is_opening(*flags)) {
        assert_eq!(kernel.run(&to_door("192.0.2.7", flags)), PASS, "{flags:?}");
    }
    assert_eq!(bucket(&kernel, "192.0.2.7"), None);
    assert_eq!(passed(&kernel, "192.0.2.7", 6), 4);
    let served = to_door("192.0.2.7", Flags::ACK);
    assert_eq!(kernel.run(&served), PASS, "whoever is served stays so");
}

#[test]
fn who_is_allowed_has_no_bound_and_who_is_denied_takes_no_token() {
    let Some(mut kernel) = Kernel::load(at_once(2)) else { return };
    kernel.list(0, &[("192.0.2.0/24", Listed::Allowed), ("10.0.0.0/8", Listed::Denied)]);
    assert_eq!(passed(&kernel, "192.0.2.7", 50), 50);
    assert_eq!(passed(&kernel, "10.0.0.1", 50), 0);
    assert_eq!(["192.0.2.7", "10.0.0.1"].map(|from| bucket(&kernel, from)), [None, None]);
    let due = Counts::default().and_times(Counter::Pass, 50).and_times(Counter::Deny, 50);
    assert_eq!(kernel.counts(), due);
}

#[test]
fn this_machines_own_addresses_have_a_bound_only_where_that_was_asked_for() {
    for (limit_loopback, due) in [(false, 20), (true, 2)] {
        let setup = Setup { limit_loopback, ..at_once(2) };
        let Some(kernel) = Kernel::load(setup) else { return };
        for from in ["127.0.0.1", "127.255.0.9", "::1"] {
            assert_eq!(passed(&kernel, from, 20), due, "{from}");
        }
        assert_eq!(passed(&kernel, "128.0.0.1", 20), 2, "another machine's");
    }
}

#[test]
fn what_only_looks_like_this_machines_own_address_has_a_bound() {
    let Some(kernel) = Kernel::load(at_once(2)) else { return };
    // They are all of one network of 64 bits.
    assert_eq!(passed(&kernel, "::127.0.0.1", 20), 2);
    assert_eq!(passed(&kernel, "::2", 20), 0);
    assert_eq!(passed(&kernel, "::1", 20), 20);
}

#[test]
fn no_more_pass_than_the_burst_and_what_came_back_meanwhile() {
    const BURST: u64 = 8;
    const INTERVAL_NANOS: u64 = 1_000_000;
    let setup = with_rate(INTERVAL_NANOS, BURST);
    let Some(kernel) = Kernel::load(setup) else { return };
    let began = now();
    let packet = syn("192.0.2.7");
    let (mut pass, mut packets) = (0, 0);
    // Until tokens have come back for sure, however fast this machine is.
    while pass < 3 * BURST {
        pass += u64::from(kernel.run(&packet) == PASS);
        packets += 1;
    }
    let came_back = began.elapsed().as_nanos() as u64 / INTERVAL_NANOS;
    assert!(pass <= BURST + came_back, "{pass} of {packets}, {came_back} came back");
    let counts = kernel.counts();
    let all = [Counter::Pass, Counter::Shed, Counter::Rate].map(|counter| counts.of(counter));
    assert_eq!((all[0], all.iter().sum::<u64>()), (pass, packets), "{counts:?}");
}

#[expect(clippy::disallowed_methods, reason = "the kernel's clock goes on by itself")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
