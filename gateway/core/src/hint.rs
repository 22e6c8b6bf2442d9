//! When a client that is sent away is to come back: another moment for each, so that a crowd that
//! is refused together does not come back together.

use crate::close::CloseCode;
use crate::event::CloseReason;
use crate::frame::CONTROL_BYTES_MAX;
use crate::id::ShardId;

/// What stands before the number, and after it.
const BEFORE: &str = "reconnect after ";
const AFTER: &str = " ms";

/// Bytes of a close frame's reason, behind its code of two.
const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// The golden ratio as a fraction of 2⁶⁴: its multiples fall into all parts of a range evenly,
/// however few of them there are.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
/// Sets shards of one seed apart. It is no small multiple of the step.
const SHARD_STEP: u64 = 0xD1B5_4A32_D192_ED03;

/// Gives a moment to each who is sent away.
#[derive(Debug)]
pub(crate) struct Hints {
    state: u64,
    secs_max: u32,
}

impl Hints {
    /// Moments within `secs_max` seconds, in an order that the seed and the shard decide.
    pub(crate) fn new(seed: u64, shard: ShardId, secs_max: u32) -> Self {
        let apart = (u64::from(shard.0) + 1).wrapping_mul(SHARD_STEP);
        Self { state: seed.wrapping_add(apart), secs_max }
    }

    /// Seconds to wait, from 1 to `secs_max`.
    pub(crate) fn secs(&mut self) -> u32 {
        1 + self.below(u64::from(self.secs_max)) as u32
    }

    /// What a close frame says: `text`, cut if it has to be, and in how many milliseconds, from 1
    /// to 1,000 times `secs_max`, to come back.
    pub(crate) fn reason(&mut self, text: &str) -> String {
        let millis = 1 + self.below(1_000 * u64::from(self.secs_max));
        let hint = format!("{BEFORE}{millis}{AFTER}");
        if text.is_empty() {
            return hint;
        }
        let room = REASON_BYTES_MAX - "; ".len() - hint.len();
        format!("{}; {hint}", &text[..text.floor_char_boundary(room)])
    }

    fn below(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        ((u128::from(self.state) * u128::from(end)) >> 64) as u64
    }
}

/// Whether who was closed for this reason is to come back, and is told when.
pub(crate) fn is_due(reason: Option<CloseReason>) -> bool {
    match reason {
        Some(CloseReason::Told(code)) => matches!(code, CloseCode::RESTART | CloseCode::TRY_LATER),
        Some(reason) => matches!(
            reason,
            CloseReason::Drained | CloseReason::Slow | CloseReason::Inbound | CloseReason::Gap
        ),
        None => false,
    }
}

/// Milliseconds after which a close frame's reason asks to come back, if it does.
///
/// Reasons end with `reconnect after N ms` where the code is 1012 or 1013, or 1001 because the
/// node goes.
#[must_use]
pub fn reconnect_millis(reason: &str) -> Option<u32> {
    let (_, number) = reason.strip_suffix(AFTER)?.rsplit_once(BEFORE)?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(secs_max: u32) -> Hints {
        Hints::new(7, ShardId(3), secs_max)
    }

    #[test]
    fn seconds_and_milliseconds_fill_their_range_evenly() {
        let mut seconds = [0; 10];
        let mut hundreds = [0; 100];
        let mut hints = hints(10);
        for _ in 0..1_000 {
            seconds[hints.secs() as usize - 1] += 1;
            let millis = reconnect_millis(&hints.reason("full")).expect("a number is there");
            assert!((1..=10_000).contains(&millis));
            hundreds[(millis as usize - 1) / 100] += 1;
        }
        assert!(seconds.iter().all(|count| (90..=110).contains(count)), "{seconds:?}");
        assert!(hundreds.iter().all(|count| (6..=14).contains(count)), "{hundreds:?}");
    }

    #[test]
    fn one_second_is_one_second() {
        let mut hints = hints(1);
        assert!((0..100).all(|_| hints.secs() == 1));
    }

    #[test]
    fn shards_and_seeds_send_their_clients_away_until_other_moments() {
        let first = |seed, shard| {
            let mut hints = Hints::new(seed, ShardId(shard), 10);
            std::array::from_fn::<_, 8, _>(|_| hints.reason(""))
        };
        assert_eq!(first(1, 0), first(1, 0));
        let mut all: Vec<_> = [(1, 0), (1, 1), (1, 2), (u64::MAX / 2, 0)]
            .into_iter()
            .flat_map(|(seed, shard)| first(seed, shard))
            .collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 32);
    }

    #[test]
    fn a_hint_survives_whatever_stands_before_it() {
        let mut hints = hints(3_600);
        let long = "é".repeat(100);
        for text in ["", "slow", "reconnect after 1 ms", &long] {
            let reason = hints.reason(text);
            assert!(reason.len() <= REASON_BYTES_MAX, "{reason}");
            assert!(reconnect_millis(&reason).is_some_and(|millis| millis > 1), "{reason}");
            let kept = text.floor_char_boundary(90);
            assert!(reason.starts_with(&text[..kept]), "{reason}");
        }
    }

    #[test]
    fn other_reasons_give_no_hint() {
        for reason in ["", "slow", "reconnect after x ms", "reconnect after 5 ms or so"] {
            assert_eq!(reconnect_millis(reason), None, "{reason}");
        }
    }
}
