//! How long messages took: the numbers that a row shows.

use std::fmt;

/// Quantiles of one phase, in microseconds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in super::super) struct Latency {
    /// Messages that were measured.
    pub(in super::super) count: usize,
    /// What half of them took at most.
    pub(in super::super) p50_micros: u32,
    /// What 99 of a hundred took at most.
    pub(in super::super) p99_micros: u32,
}

impl Latency {
    /// Of all that was measured, in any order.
    pub(super) fn of(mut micros: Vec<u32>) -> Self {
        micros.sort_unstable();
        let at = |percent: usize| {
            let index = (micros.len() * percent).div_ceil(100).saturating_sub(1);
            micros.get(index).copied().unwrap_or_default()
        };
        Self { count: micros.len(), p50_micros: at(50), p99_micros: at(99) }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |micros: u32| f64::from(micros) / 1000.0;
        write!(f, "{:.2}/{:.2}", millis(self.p50_micros), millis(self.p99_micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_what_that_many_took_at_most() {
        let of = |micros: Vec<u32>| {
            let latency = Latency::of(micros);
            (latency.count, latency.p50_micros, latency.p99_micros)
        };
        assert_eq!(of((1..=100).rev().collect()), (100, 50, 99));
        assert_eq!(of((1..=200).collect()), (200, 100, 198));
        assert_eq!(of(vec![7]), (1, 7, 7));
        assert_eq!(of(Vec::new()), (0, 0, 0));
    }
}
