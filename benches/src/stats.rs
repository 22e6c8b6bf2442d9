//! The middle and the spread of a few numbers.

use std::fmt;

/// The middle and the spread of the same question asked several times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// # Panics
    /// If there are no numbers.
    pub(crate) fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<_> = numbers.collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let odd = sorted.len() % 2 == 1;
        let median = if odd { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Self { min: sorted[0], median, max: sorted[sorted.len() - 1] }
    }
}

/// How somebody did: what one of its deliveries, or connections, took.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) name: &'static str,
    pub(crate) each: Spread,
    /// Taken within each round, to whom everyone is compared to.
    pub(crate) ratio: Spread,
    /// How much of that the kernel put off, from 0 to 1; nothing where it is unknown or no time.
    pub(crate) softirq_share: Option<f64>,
}

impl fmt::Display for Spread {
    /// With the precision asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(3);
        let Self { min, median, max } = self;
        write!(f, "{median:.digits$} ({min:.digits$}..{max:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        let spread = |numbers: &[f64]| Spread::of(numbers.iter().copied());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Spread { min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(spread(&[7.0]), Spread { min: 7.0, median: 7.0, max: 7.0 });
        assert_eq!(format!("{:.1}", spread(&[1.0, 2.0])), "1.5 (1.0..2.0)");
    }
}
