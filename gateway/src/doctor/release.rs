//! Releases of Linux, and from which one on there is what Weir uses.

use std::fmt;

/// A release of Linux: `6.1.0-18-amd64` is 6.1.0.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Release {
    major: u32,
    minor: u32,
    patch: u32,
}

/// What the first release was that has something, as `(major, minor)`.
pub(crate) type Since = (u32, u32);

/// A classic program that chooses among TCP listeners of a port.
pub(super) const CBPF: Since = (4, 6);
/// Links that end with the process that holds them.
pub(super) const XDP_LINK: Since = (5, 9);
/// Programs that are also asked where connections go whose listener closes; `tcp_migrate_req`.
pub(super) const MIGRATE: Since = (5, 14);
/// The oldest release on which all rungs are meant to work.
pub(super) const FLOOR: Since = (5, 15);
/// Programs for packets that take more than a page.
pub(super) const FRAGS: Since = (5, 18);
/// `SO_INCOMING_CPU` among listeners that share a port.
pub(crate) const INCOMING_CPU: Since = (6, 2);
/// Packets are joined again (GRO) behind a CPUMAP queue.
pub(super) const CPUMAP_GRO: Since = (6, 15);

impl Release {
    /// What `uname -r` says; none if it begins otherwise than a release of Linux does.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let numbers = text.trim().split(|it: char| !it.is_ascii_digit() && it != '.').next()?;
        let mut numbers = numbers.split('.').map(str::parse);
        let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(Self { major, minor, patch: numbers.next().and_then(Result::ok).unwrap_or(0) })
    }

    /// Whether it has what is there since then.
    #[must_use]
    pub(crate) fn has(self, since: Since) -> bool {
        (self.major, self.minor) >= since
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_found_before_what_distributions_append() {
        for (text, release) in [
            ("6.18.44-fc-v595\n", "6.18.44"),
            ("5.10.0-28-amd64", "5.10.0"),
            ("5.15.0+", "5.15.0"),
            ("6.1", "6.1.0"),
            ("7.0-rc1", "7.0.0"),
        ] {
            assert_eq!(Release::parse(text).unwrap().to_string(), release);
        }
        for bad in ["", "six", "6", "6.x", ".6.1", "99999999999.1"] {
            assert_eq!(Release::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn later_releases_have_what_earlier_ones_had() {
        let has = |text: &str, since| Release::parse(text).unwrap().has(since);
        assert!(has("5.14.0", MIGRATE) && has("6.0.1", MIGRATE) && !has("5.13.19", MIGRATE));
        assert!(has("6.2.0", INCOMING_CPU) && !has("6.1.99", INCOMING_CPU));
    }
}
