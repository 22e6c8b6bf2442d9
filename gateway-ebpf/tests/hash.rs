//! Numbers that look drawn are spread evenly, whatever pattern they are made of.

use gateway_ebpf::hash::{below, mix, of_flow, of_source};
use gateway_ebpf::{Address, Flags, Segment, Source};

/// How uneven so many counts are: about their number, if all were equally probable (Pearson).
fn chi_square(counts: &[u64]) -> f64 {
    let due = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    counts.iter().map(|count| (*count as f64 - due).powi(2) / due).sum()
}

/// Six deviations above what chance gives: of 10^9 even spreads about one is beyond.
fn is_even(counts: &[u64]) -> bool {
    let freedom = (counts.len() - 1) as f64;
    chi_square(counts) < freedom + 6.0 * (2.0 * freedom).sqrt()
}

/// Counts of numbers below a bound.
fn spread(bound: u32, numbers: impl Iterator<Item = u32>) -> Vec<u64> {
    let mut counts = vec![0; bound as usize];
    numbers.for_each(|number| counts[number as usize] += 1);
    counts
}

#[test]
fn the_measure_of_evenness_tells_an_uneven_spread() {
    // One of ten that comes a tenth more often than the others.
    let mut counts = vec![10_000; 10];
    assert!(is_even(&counts));
    counts[3] += 1_000;
    assert!(!is_even(&counts));
}

#[test]
fn patterns_are_spread_over_any_number_of_places() {
    const NUMBERS: u32 = 200_000;
    for bound in [2, 3, 7, 16, 100, 1_000, 1_024] {
        for (pattern, step) in [("count", 1), ("count by 64", 64), ("count by 65,536", 1 << 16)] {
            // What is counted in steps wraps, and then goes on one further.
            let number = |nth: u32| {
                let wide = u64::from(nth) * step;
                (wide as u32).wrapping_add((wide >> 32) as u32)
            };
            let counts = spread(bound, (0..NUMBERS).map(|nth| below(mix(number(nth)), bound)));
            assert!(is_even(&counts), "{pattern} below {bound}: {}", chi_square(&counts));
        }
    }
}

#[test]
fn each_bit_of_a_number_decides_half_of_all_others() {
    const NUMBERS: u32 = 4_000;
    for bit in 0..32 {
        let changes = |nth: u32| {
            let number = nth.wrapping_mul(0x9E37_79B9);
            mix(number) ^ mix(number ^ 1 << bit)
        };
        for other in 0..32 {
            let flipped = (0..NUMBERS).filter(|nth| changes(*nth) >> other & 1 == 1).count();
            // Half of them, and eight deviations.
            let deviation = (f64::from(NUMBERS) / 4.0).sqrt();
            let away = (flipped as f64 - f64::from(NUMBERS) / 2.0).abs();
            assert!(away < 8.0 * deviation, "{bit} and {other}: {flipped} of {NUMBERS}");
        }
    }
}

#[test]
fn no_two_numbers_are_mixed_to_the_same() {
    // A permutation: what it does can be undone, step by step.
    let undone = |number: u32| {
        let number = number ^ number >> 16;
        let number = number.wrapping_mul(inverse(0xC2B2_AE35));
        let number = number ^ number >> 13 ^ number >> 26;
        let number = number.wrapping_mul(inverse(0x85EB_CA6B));
        number ^ number >> 16
    };
    for nth in 0..100_000_u32 {
        let number = nth.wrapping_mul(0x9E37_79B9);
        assert_eq!(undone(mix(number)), number);
    }
}

/// What an odd number is multiplied by for 1 (Newton's method doubles the bits that are right).
fn inverse(number: u32) -> u32 {
    (0..5)
        .fold(number, |found, _| found.wrapping_mul(2_u32.wrapping_sub(number.wrapping_mul(found))))
}

#[test]
fn a_number_below_a_bound_is_below_it() {
    for bound in [1, 2, 3, 1_024, u32::MAX - 1, u32::MAX] {
        for number in [0, 1, 2, 1 << 31, u32::MAX - 1, u32::MAX] {
            assert!(below(number, bound) < bound, "{number} below {bound}");
        }
        assert_eq!([below(0, bound), below(u32::MAX, bound)], [0, bound - 1]);
    }
    assert_eq!([below(0, 0), below(u32::MAX, 0)], [0, 0]);
}

#[test]
fn neighbours_and_ports_are_spread() {
    const NUMBERS: u32 = 100_000;
    let v4 = |number: u32| Address::v4((0x0A00_0000 + number).to_be_bytes());
    let sources = spread(64, (0..NUMBERS).map(|nth| below(of_source(Source::of(v4(nth))), 64)));
    assert!(is_even(&sources), "sources: {}", chi_square(&sources));
    // Lines of one provider.
    let line = |nth: u32| {
        let [a, b, c, d] = nth.to_be_bytes();
        Source::of(Address::v6([0x20, 1, 0xD, 0xB8, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 1]))
    };
    let lines = spread(64, (0..NUMBERS).map(|nth| below(of_source(line(nth)), 64)));
    assert!(is_even(&lines), "lines: {}", chi_square(&lines));
    // One client's ports, one after the other.
    let segment = |port: u16| Segment {
        source: v4(7),
        destination: v4(9),
        source_port: port,
        destination_port: 8080,
        flags: Flags::SYN,
    };
    let ports = spread(64, (0..=u16::MAX).map(|port| below(of_flow(&segment(port)), 64)));
    assert!(is_even(&ports), "ports: {}", chi_square(&ports));
}

#[test]
fn each_part_of_a_flow_counts() {
    let v4 = |last| Address::v4([192, 0, 2, last]);
    let v6 = |at: usize| {
        let mut octets = [0x20; 16];
        octets[at] ^= 1;
        Address::v6(octets)
    };
    let flow = |source, destination, source_port, destination_port| {
        of_flow(&Segment { source, destination, source_port, destination_port, flags: Flags(0) })
    };
    let mut seen = vec![
        flow(v4(1), v4(2), 3, 4),
        flow(v4(2), v4(1), 3, 4),
        flow(v4(1), v4(2), 4, 3),
        flow(v4(1), v4(2), 3, 5),
        flow(v4(1), v4(2), 5, 4),
    ];
    seen.extend((0..16).map(|at| flow(v6(at), v4(2), 3, 4)));
    seen.extend((0..16).map(|at| flow(v4(1), v6(at), 3, 4)));
    let all = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), all);
}
