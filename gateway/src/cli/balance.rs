//! The flags that say which shard a newcomer goes to.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gateway_ebpf::{Strategy, UNLIMITED};

use crate::config::{BalanceConfig, SLACK_PERMILLE_MAX};

/// Which shard a newcomer goes to.
#[derive(Args, Clone, Debug)]
pub struct BalanceFlags {
    /// Which shard serves a new client: affinity, that of the CPU its packets arrive on, or where
    /// the kernel took it, up to --slack; least-connections; weighted, by --weights; round-robin;
    /// random; hash, by its address (of IPv6 the first 64 bits), so that whoever returns meets its
    /// shard. Full and leaving shards are passed over.
    #[arg(long, env = "WEIR_BALANCE", value_name = "STRATEGY",
          default_value = Strategy::ALL[0].name(), value_parser = strategies())]
    pub balance: Strategy,
    /// By affinity, how many connections more than its share a shard takes before new clients go
    /// elsewhere: 0 to 10000 percent of that share, but 64 connections at least, or unlimited.
    /// More keeps clients where their packets arrive; less evens out.
    #[arg(long, env = "WEIR_SLACK", value_name = "PERCENT|unlimited", default_value = "12.5",
          value_parser = slack)]
    pub slack: u32,
    /// With --balance weighted: how often each shard is chosen in proportion, from shard 0 on,
    /// such as 3,1,1; 1 to 1000 each. Shards beyond the end have 1.
    #[arg(long, env = "WEIR_WEIGHTS", value_name = "N,...", value_delimiter = ',')]
    pub weights: Vec<u32>,
}

impl BalanceFlags {
    pub(super) fn config(&self) -> BalanceConfig {
        let Self { balance: strategy, slack: slack_permille, weights } = self.clone();
        BalanceConfig { strategy, slack_permille, weights }
    }
}

fn strategies() -> impl TypedValueParser<Value = Strategy> {
    PossibleValuesParser::new(Strategy::ALL.map(Strategy::name)).map(|name| strategy(&name))
}

fn strategy(name: &str) -> Strategy {
    let named = Strategy::ALL.into_iter().find(|strategy| strategy.name() == name);
    named.expect("clap lets only these names through")
}

/// Percent with one digit behind the point at most, in thousandths.
fn slack(text: &str) -> Result<u32, String> {
    if text == "unlimited" {
        return Ok(UNLIMITED);
    }
    let (whole, tenths) = text.split_once('.').unwrap_or((text, "0"));
    let number = |digits: &str| {
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<u32>().ok()).flatten()
    };
    let tenths = number(tenths).filter(|_| tenths.len() == 1);
    let permille = number(whole).zip(tenths);
    let permille = permille.and_then(|(whole, tenths)| whole.checked_mul(10)?.checked_add(tenths));
    permille.filter(|permille| *permille <= SLACK_PERMILLE_MAX).ok_or_else(|| {
        let most = SLACK_PERMILLE_MAX / 10;
        format!("give 0 to {most} percent, such as 12.5, or unlimited")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slack_is_read_to_a_tenth_of_a_percent() {
        for (text, permille) in [("12.5", 125), ("0", 0), ("7", 70), ("10000", 100_000)] {
            assert_eq!(slack(text), Ok(permille), "{text}");
        }
        assert_eq!(slack("unlimited"), Ok(UNLIMITED));
    }

    #[test]
    fn slack_that_is_none_is_told_what_would_be() {
        let most = u32::MAX.to_string();
        for text in ["", ".", "5.", ".5", "12.55", "-1", "+1", "1.+", "10000.1", "much", &most] {
            let told = "give 0 to 10000 percent, such as 12.5, or unlimited";
            assert_eq!(slack(text), Err(told.to_owned()), "{text}");
        }
    }

    #[test]
    fn each_strategy_has_its_name() {
        assert_eq!(Strategy::ALL.map(Strategy::name).map(strategy), Strategy::ALL);
    }
}
