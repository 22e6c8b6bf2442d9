//! How newcomers are spread over shards, and the bounds of that.

use gateway_ebpf::Rules;
use gateway_ebpf::slots::WEIGHT_MAX;
use thiserror::Error;

use crate::plan::SHARDS_MAX;

pub use gateway_ebpf::Strategy;

/// Which shard a newcomer goes to. Default: affinity, with an eighth of slack.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BalanceConfig {
    /// Which shard comes first. One that is full or leaving never does.
    pub strategy: Strategy,
    /// By affinity: how many connections more than its share a shard may have before newcomers go
    /// elsewhere, in thousandths of the share, but 64 at least; 0 to [`SLACK_PERMILLE_MAX`], or
    /// [`UNLIMITED`](gateway_ebpf::UNLIMITED) for as many as come. Default 125. More keeps
    /// connections where their packets arrive; less evens out.
    pub slack_permille: u32,
    /// For `Weighted`: how often each shard is chosen in proportion, from shard 0 on; 1 to
    /// [`WEIGHT_MAX`]. Those beyond the end have 1. Default none.
    pub weights: Vec<u32>,
}

/// Default of [`BalanceConfig::slack_permille`]: an eighth.
pub const SLACK_PERMILLE_DEFAULT: u32 = 125;
/// The most that [`BalanceConfig::slack_permille`] may be, short of no bound at all: a shard of
/// many has the connections of a hundred others then.
pub const SLACK_PERMILLE_MAX: u32 = 100_000;

/// Why newcomers cannot be spread like this.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum BalanceError {
    /// The slack is out of bounds.
    #[error("--slack: give 0 to {} percent, or unlimited", SLACK_PERMILLE_MAX / 10)]
    Slack,
    /// Weights that nobody would look at.
    #[error("--weights: give --balance weighted too, which alone goes by weights")]
    Unweighted,
    /// A weight is out of bounds.
    #[error("--weights: give 1 to {WEIGHT_MAX} for each shard, not {0}")]
    Weight(u32),
    /// There cannot be so many shards.
    #[error("--weights: {0} are more than the {SHARDS_MAX} shards there may be")]
    Weights(usize),
}

impl BalanceConfig {
    /// What each choice goes by.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules { strategy: self.strategy, slack_permille: self.slack_permille }
    }

    pub(super) fn check(&self) -> Result<(), BalanceError> {
        let Self { strategy, slack_permille, weights } = self;
        if *slack_permille > SLACK_PERMILLE_MAX && *slack_permille != gateway_ebpf::UNLIMITED {
            return Err(BalanceError::Slack);
        }
        if !weights.is_empty() && *strategy != Strategy::Weighted {
            return Err(BalanceError::Unweighted);
        }
        if weights.len() > SHARDS_MAX {
            return Err(BalanceError::Weights(weights.len()));
        }
        let wrong = weights.iter().find(|&weight| !(1..=WEIGHT_MAX).contains(weight));
        wrong.map_or(Ok(()), |&weight| Err(BalanceError::Weight(weight)))
    }
}

impl Default for BalanceConfig {
    fn default() -> Self {
        let (strategy, slack_permille) = (Strategy::Affinity, SLACK_PERMILLE_DEFAULT);
        Self { strategy, slack_permille, weights: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use gateway_ebpf::UNLIMITED;

    use super::*;

    fn check(strategy: Strategy, slack_permille: u32, weights: &[u32]) -> Result<(), BalanceError> {
        BalanceConfig { strategy, slack_permille, weights: weights.to_vec() }.check()
    }

    #[test]
    fn what_is_within_its_bounds_is_right() {
        assert_eq!(BalanceConfig::default().check(), Ok(()));
        assert_eq!(check(Strategy::Weighted, 0, &[1, WEIGHT_MAX]), Ok(()));
        assert_eq!(check(Strategy::Hash, SLACK_PERMILLE_MAX, &[]), Ok(()));
        assert_eq!(check(Strategy::Affinity, UNLIMITED, &[]), Ok(()));
    }

    #[test]
    fn what_is_not_is_told_with_what_to_give_instead() {
        let told = |strategy, slack, weights: &[u32]| {
            check(strategy, slack, weights).expect_err("it is wrong").to_string()
        };
        assert_eq!(
            told(Strategy::Affinity, SLACK_PERMILLE_MAX + 1, &[]),
            "--slack: give 0 to 10000 percent, or unlimited"
        );
        assert_eq!(
            told(Strategy::Hash, 0, &[1]),
            "--weights: give --balance weighted too, which alone goes by weights"
        );
        for wrong in [0, WEIGHT_MAX + 1] {
            let text = format!("--weights: give 1 to 1000 for each shard, not {wrong}");
            assert_eq!(told(Strategy::Weighted, 0, &[5, wrong]), text);
        }
        assert_eq!(
            told(Strategy::Weighted, 0, &[1; SHARDS_MAX + 1]),
            "--weights: 1025 are more than the 1024 shards there may be"
        );
    }
}
