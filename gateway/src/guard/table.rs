//! Prefixes made ready to be asked for an address: the longest that has it decides.

use gateway_ebpf::{Address, Network};

use super::Verdict;

/// All addresses, cut into ranges in which one verdict holds.
///
/// Of the prefixes that have an address, each longer one lies within the shorter, so that between
/// any two ends of prefixes the innermost decides. *n* prefixes make at most 2 *n* ranges of 17
/// bytes, and a look is a binary search. With 10,000 prefixes and addresses drawn at random a look
/// was measured at 0.2 µs on a busy machine, and making the table at 1 ms.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Table {
    /// Where ranges begin, ascending; below the first nobody said anything.
    starts: Vec<u128>,
    /// What holds from each start on.
    verdicts: Vec<Option<Verdict>>,
}

impl Table {
    /// Of prefixes in ascending order, none of them twice.
    pub(super) fn new(prefixes: impl IntoIterator<Item = (Network, Verdict)>) -> Self {
        let mut sorted: Vec<_> = prefixes.into_iter().map(ends).collect();
        // Shorter prefixes first where they begin alike.
        sorted.sort_unstable_by_key(|&(first, last, _)| (first, u128::MAX - last));
        let mut table = Self::default();
        // Those that the sweep is within, the innermost last.
        let mut within: Vec<(u128, Verdict)> = Vec::new();
        for (first, last, verdict) in sorted {
            table.leave(&mut within, Some(first));
            table.begin(first, Some(verdict));
            within.push((last, verdict));
        }
        table.leave(&mut within, None);
        table
    }

    /// The verdict of the longest prefix that has the address, if one has.
    pub(super) fn verdict(&self, address: Address) -> Option<Verdict> {
        let address = u128::from_be_bytes(address.octets());
        let begun = self.starts.partition_point(|&start| start <= address);
        self.verdicts[begun.checked_sub(1)?]
    }

    /// Leaves all prefixes that end before `upto`, or all.
    fn leave(&mut self, within: &mut Vec<(u128, Verdict)>, upto: Option<u128>) {
        while let Some((last, _)) = within.pop_if(|(last, _)| upto.is_none_or(|upto| *last < upto))
        {
            // What ends with the last address leaves nothing behind it.
            let Some(next) = last.checked_add(1) else { continue };
            self.begin(next, within.last().map(|(_, verdict)| *verdict));
        }
    }

    fn begin(&mut self, start: u128, verdict: Option<Verdict>) {
        // What holds for no address: another prefix begins, or ends, at the same one.
        if self.starts.pop_if(|before| *before == start).is_some() {
            self.verdicts.pop();
        }
        if self.verdicts.last().copied().flatten() == verdict {
            return;
        }
        self.starts.push(start);
        self.verdicts.push(verdict);
    }
}

/// A prefix's first and last address as numbers.
fn ends((network, verdict): (Network, Verdict)) -> (u128, u128, Verdict) {
    let number = |address: Address| u128::from_be_bytes(address.octets());
    (number(network.first()), number(network.last()), verdict)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;

    use super::*;
    use crate::draw::Draw;

    fn network(text: &str) -> Network {
        text.parse().expect("a network")
    }

    fn verdict(table: &Table, ip: &str) -> Option<Verdict> {
        table.verdict(ip.parse::<IpAddr>().expect("an address").into())
    }

    /// Reads all prefixes and keeps the longest that fits.
    fn scan(prefixes: &BTreeMap<Network, Verdict>, address: Address) -> Option<Verdict> {
        let fits = prefixes.iter().filter(|(network, _)| network.contains(address));
        let size = |network: &Network| {
            let [first, last] = [network.first(), network.last()].map(Address::octets);
            u128::from_be_bytes(last) - u128::from_be_bytes(first)
        };
        fits.min_by_key(|(network, _)| size(network)).map(|(_, verdict)| *verdict)
    }

    #[test]
    fn the_longest_prefix_decides_in_whatever_order_they_were_written() {
        let mut lines = [
            ("10.0.0.0/8", Verdict::Deny),
            ("10.1.0.0/16", Verdict::Allow),
            ("10.1.2.0/24", Verdict::Deny),
            ("10.1.2.3", Verdict::Allow),
            ("2001:db8::/32", Verdict::Deny),
            ("2001:db8:1::/48", Verdict::Allow),
        ];
        for turn in 0..lines.len() {
            lines.rotate_left(turn);
            let table = Table::new(lines.map(|(text, verdict)| (network(text), verdict)));
            for (ip, said) in [
                ("9.255.255.255", None),
                ("10.0.0.0", Some(Verdict::Deny)),
                ("10.1.0.0", Some(Verdict::Allow)),
                ("10.1.2.2", Some(Verdict::Deny)),
                ("10.1.2.3", Some(Verdict::Allow)),
                ("::ffff:10.1.2.3", Some(Verdict::Allow)),
                ("10.1.2.4", Some(Verdict::Deny)),
                ("10.1.3.0", Some(Verdict::Allow)),
                ("10.2.0.0", Some(Verdict::Deny)),
                ("11.0.0.0", None),
                ("2001:db8::1", Some(Verdict::Deny)),
                ("2001:db8:1::1", Some(Verdict::Allow)),
                ("2001:db8:2::", Some(Verdict::Deny)),
                ("2001:db9::", None),
                ("::1", None),
            ] {
                assert_eq!(verdict(&table, ip), said, "{ip}");
            }
        }
    }

    #[test]
    fn everyone_is_a_prefix_too() {
        let everyone = Table::new([(network("::/0"), Verdict::Deny)]);
        for ip in ["::", "10.0.0.1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] {
            assert_eq!(verdict(&everyone, ip), Some(Verdict::Deny), "{ip}");
        }
        let v4 = Table::new([(network("0.0.0.0/0"), Verdict::Deny)]);
        assert_eq!(verdict(&v4, "255.255.255.255"), Some(Verdict::Deny));
        assert_eq!([verdict(&v4, "::1"), verdict(&v4, "::1:0:0:0")], [None, None]);
        assert_eq!(verdict(&Table::default(), "::1"), None);
    }

    #[test]
    fn what_says_nothing_new_makes_no_range() {
        let same = ["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8"];
        let table = Table::new(same.map(|text| (network(text), Verdict::Deny)));
        assert_eq!(table.starts.len(), 2, "it begins and ends");
    }

    #[test]
    fn a_table_says_what_a_look_at_all_prefixes_says() {
        for seed in 0..200 {
            let mut draw = Draw::new(seed);
            let prefixes = crowded(&mut draw);
            let table = Table::new(prefixes.iter().map(|(network, verdict)| (*network, *verdict)));
            assert!(table.starts.is_sorted_by(|one, next| one < next), "seed {seed}");
            let ends = prefixes.keys().flat_map(|network| [network.first(), network.last()]);
            for end in ends.map(|address| u128::from_be_bytes(address.octets())) {
                for number in [end.wrapping_sub(1), end, end.wrapping_add(1), end ^ draw.wide()] {
                    let address = Address::v6(number.to_be_bytes());
                    let said = table.verdict(address);
                    assert_eq!(said, scan(&prefixes, address), "seed {seed}: {address:?}");
                }
            }
        }
    }

    /// Prefixes of few addresses, so that they lie within each other and side by side.
    fn crowded(draw: &mut Draw) -> BTreeMap<Network, Verdict> {
        let count = draw.below(200);
        let prefix = |_| {
            let bits = draw.below(129);
            let few = u128::MAX << 123 | 0xFFFF << 32 | 7;
            let number = draw.wide() & few & u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            let network = Network::new(IpAddr::V6(number.into()), bits).ok()?;
            Some((network, [Verdict::Deny, Verdict::Allow][draw.below(2) as usize]))
        };
        (0..count).filter_map(prefix).collect()
    }
}
