//! Whether a goal is met.

use std::cmp::Ordering;
use std::fmt;

use crate::json::Json;
use crate::stats::Spread;

/// A measured number and the most that it should be.
pub(crate) struct Verdict {
    /// What was measured.
    pub(crate) what: String,
    pub(crate) measured: Spread,
    pub(crate) goal: f64,
    /// Decimals worth showing.
    pub(crate) digits: usize,
}

impl Verdict {
    pub(crate) fn is_missed(&self) -> bool {
        // What is not a number is no success.
        !matches!(
            self.measured.median.partial_cmp(&self.goal),
            Some(Ordering::Less | Ordering::Equal)
        )
    }

    pub(crate) fn word(&self) -> &'static str {
        if self.is_missed() { "MISSED" } else { "ok" }
    }

    pub(crate) fn json(&self) -> Json {
        Json::Object(vec![
            ("what", self.what.as_str().into()),
            ("measured", self.measured.into()),
            ("goal", self.goal.into()),
            ("verdict", self.word().into()),
        ])
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, measured, goal, digits } = self;
        let word = self.word();
        write!(f, "{what}: {measured:.digits$}, goal at most {goal:.digits$}: {word}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_missed_by_the_median_alone() {
        let verdict = |median| Verdict {
            what: "weir / floor".into(),
            measured: Spread { min: 0.9, median, max: 2.0 },
            goal: 1.05,
            digits: 3,
        };
        assert!(!verdict(1.05).is_missed());
        assert!(verdict(1.051).is_missed());
        let said = "weir / floor: 1.051 (0.900..2.000), goal at most 1.050: MISSED";
        assert_eq!(verdict(1.051).to_string(), said);
    }
}
