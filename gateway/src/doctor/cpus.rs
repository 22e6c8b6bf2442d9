//! Sets of CPUs, as the kernel writes them: lists such as `0-3,8`, and masks such as `1,00000003`.

use std::collections::BTreeSet;
use std::fmt;

/// CPU numbers beyond this are a mistake: kernels are built for 8,192 CPUs at most.
const CPUS_MAX: usize = 8192;

/// Bits of one word of a mask.
const WORD_BITS: usize = 32;

/// A set of CPUs, by the system's numbers.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Cpus(pub BTreeSet<usize>);

impl Cpus {
    /// What a list says, as in `cpulist` and `smp_affinity_list`; none if it is no list.
    #[must_use]
    pub fn of_list(text: &str) -> Option<Self> {
        let mut cpus = BTreeSet::new();
        for part in text.trim().split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            if first > last || last >= CPUS_MAX {
                return None;
            }
            cpus.extend(first..=last);
        }
        Some(Self(cpus))
    }

    /// What a mask says, as in `rps_cpus`: words of 32 bits in hexadecimal, the highest first.
    #[must_use]
    pub fn of_mask(text: &str) -> Option<Self> {
        let mut cpus = BTreeSet::new();
        for (index, word) in text.trim().rsplit(',').enumerate() {
            let bits = u32::from_str_radix(word, 16).ok()?;
            let first = index * WORD_BITS;
            let set = (0..WORD_BITS).filter(|bit| bits >> bit & 1 == 1);
            cpus.extend(set.map(|bit| first + bit));
        }
        cpus.last().is_none_or(|&last| last < CPUS_MAX).then_some(Self(cpus))
    }

    /// The set as a mask that the kernel reads.
    #[must_use]
    pub fn mask(&self) -> String {
        let words = self.0.last().map_or(1, |last| last / WORD_BITS + 1);
        let word = |index: usize| {
            let bit = |bit: &usize| self.0.contains(&(index * WORD_BITS + bit));
            (0..WORD_BITS).filter(bit).fold(0_u32, |word, bit| word | 1 << bit)
        };
        let mut mask = format!("{:x}", word(words - 1));
        for index in (0..words - 1).rev() {
            mask.push_str(&format!(",{:08x}", word(index)));
        }
        mask
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Those that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).copied().collect())
    }

    /// `CPU 3`, or `CPUs 0-1,4`.
    #[must_use]
    pub fn named(&self) -> String {
        format!("CPU{} {self}", if self.len() == 1 { "" } else { "s" })
    }
}

impl FromIterator<usize> for Cpus {
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> Self {
        Self(cpus.into_iter().collect())
    }
}

/// As a list: `0-3,8`.
impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.0.iter().copied().peekable();
        let mut comma = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if_eq(&(last + 1)) {
                last = next;
            }
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written_alike() {
        for list in ["", "0", "0-1", "0-3,8", "1,3,5-6", "8191"] {
            assert_eq!(Cpus::of_list(list).unwrap().to_string(), list);
        }
        assert_eq!(Cpus::of_list("0-1\n").unwrap().len(), 2);
        for bad in ["x", "3-1", "0-", "8192", "0-99999999999"] {
            assert_eq!(Cpus::of_list(bad), None, "{bad}");
        }
    }

    #[test]
    fn masks_are_words_of_which_the_highest_comes_first() {
        for (mask, list) in [
            ("0", ""),
            ("3", "0-1"),
            ("ffff0000", "16-31"),
            ("1,00000000", "32"),
            ("80000000,00000000,00000005", "0,2,95"),
        ] {
            let cpus = Cpus::of_mask(mask).unwrap();
            assert_eq!((cpus.to_string().as_str(), cpus.mask().as_str()), (list, mask));
        }
        assert_eq!(Cpus::of_mask("00000000,00000003\n").unwrap().mask(), "3", "zeros in front");
        for bad in ["", "g", "1,", "1ffffffff"] {
            assert_eq!(Cpus::of_mask(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn one_cpu_is_spoken_of_as_one() {
        assert_eq!(Cpus::from_iter([3]).named(), "CPU 3");
        assert_eq!(Cpus::from_iter([0, 1, 4]).named(), "CPUs 0-1,4");
        assert_eq!(Cpus::from_iter([0, 1]).without(&Cpus::from_iter([1, 2])).to_string(), "0");
    }
}
