//! A limit to how many messages a connection may send.

use std::collections::BTreeMap;

use thiserror::Error;

use super::{Context, Message, Middleware, Next, Verdict};
use crate::order::ConnectionId;
use crate::time::Now;

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// Messages that a connection may send in a second, averaged.
///
/// Who sends more, after a burst, is read from more slowly: not at all until the rate allows what
/// came already, so that its kernel and then itself have to wait. Nothing of that is lost. Who is
/// so far beyond its rate that this would take longer than `debt_secs` is closed with 1008.
#[derive(Clone, Debug)]
pub struct RateLimit {
    rate: Rate,
    /// Nanoseconds that a connection may be ahead of that at all.
    ahead_max: u64,
    /// When the rate has allowed all that each connection sent. One that waits for its rate no
    /// more is as new.
    allowed: BTreeMap<ConnectionId, Now>,
}

/// So many in a second, so many at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Nanoseconds that one takes of the rate.
    each: u64,
    /// Nanoseconds that somebody may be ahead of it.
    burst: u64,
}

impl Rate {
    /// Nothing if the rate is 0 or more than one in each nanosecond, or nothing may come at once.
    pub(crate) fn new(per_sec: u32, burst: u32) -> Option<Self> {
        let each = NANOS_PER_SEC.checked_div(per_sec.into()).filter(|&each| each > 0);
        let each = each.filter(|_| burst > 0)?;
        Some(Self { each, burst: each.saturating_mul(burst.into()) })
    }

    /// One more comes. `allowed` is when the rate has allowed all that came; how many nanoseconds
    /// that is ahead of what may come at once now.
    pub(crate) fn take(self, allowed: &mut Now, now: Now) -> u64 {
        *allowed = Now((*allowed).max(now).0.saturating_add(self.each));
        allowed.since(now).saturating_sub(self.burst)
    }
}

/// A rate that nobody can keep.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a rate limit needs per_sec from 1 to 1000000000 and burst of at least 1")]
pub struct RateLimitError;

impl RateLimit {
    /// So many messages in a second, so many at once, and 1008 for who is more than `debt_secs`
    /// beyond that.
    ///
    /// # Errors
    /// If the rate is 0 or more than a message in each nanosecond, or nothing may come at once.
    pub fn new(per_sec: u32, burst: u32, debt_secs: u32) -> Result<Self, RateLimitError> {
        let rate = Rate::new(per_sec, burst).ok_or(RateLimitError)?;
        let ahead_max = u64::from(debt_secs) * NANOS_PER_SEC;
        Ok(Self { rate, ahead_max, allowed: BTreeMap::new() })
    }
}

impl Middleware for RateLimit {
    fn handle(
        &mut self,
        context: &mut Context<'_>,
        message: Message<'_>,
        next: Next<'_, '_>,
    ) -> Verdict {
        let now = context.now;
        let allowed = self.allowed.entry(context.connection).or_insert(now);
        let ahead = self.rate.take(allowed, now);
        if ahead > self.ahead_max {
            return Verdict::Flood;
        }
        if ahead > 0 {
            context.read_again_at(Now(now.0 + ahead));
        }
        next.run(context, message)
    }

    fn forget(&mut self, connection: ConnectionId) {
        self.allowed.remove(&connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;

    /// What becomes of a message at this moment, and until when its author waits.
    fn send(limit: &mut RateLimit, at: Now) -> (Verdict, Option<Now>) {
        let mut context = Context { now: at, ..Context::default() };
        let message = Message::of_text("hi");
        let next = Next::to_route(&mut [], message);
        let verdict = limit.handle(&mut context, message, next);
        (verdict, context.slow_until())
    }

    #[test]
    fn who_keeps_the_rate_never_waits() {
        let mut limit = RateLimit::new(10, 1, 0).unwrap();
        for message in 0..100 {
            let sent = send(&mut limit, Now(message * 100 * MILLI));
            assert_eq!(sent, (Verdict::Serve, None), "{message}");
        }
    }

    #[test]
    fn a_burst_is_free_then_one_waits_then_it_is_a_flood() {
        let mut limit = RateLimit::new(10, 3, 1).unwrap();
        let at = Now::from_secs(7);
        for message in 0..3 {
            assert_eq!(send(&mut limit, at), (Verdict::Serve, None), "{message}");
        }
        for message in 1..=10 {
            let until = Now(at.0 + message * 100 * MILLI);
            assert_eq!(send(&mut limit, at), (Verdict::Serve, Some(until)), "{message}");
        }
        assert_eq!(send(&mut limit, at), (Verdict::Flood, None));
    }

    #[test]
    fn who_rests_may_send_a_burst_again() {
        let mut limit = RateLimit::new(10, 3, 1).unwrap();
        (0..3).for_each(|_| assert_eq!(send(&mut limit, Now(0)), (Verdict::Serve, None)));
        let later = Now::from_secs(1);
        (0..3).for_each(|_| assert_eq!(send(&mut limit, later), (Verdict::Serve, None)));
        assert!(send(&mut limit, later).1.is_some(), "but not more of it for a longer rest");
    }

    #[test]
    fn who_has_gone_costs_nothing() {
        let mut limit = RateLimit::new(1, 1, 1).unwrap();
        send(&mut limit, Now(0));
        limit.forget(ConnectionId::default());
        assert!(limit.allowed.is_empty());
        assert_eq!(send(&mut limit, Now(0)), (Verdict::Serve, None), "whoever comes is new");
    }

    #[test]
    fn rates_that_mean_nothing_are_refused() {
        for (per_sec, burst) in [(0, 1), (1_000_000_001, 1), (1, 0)] {
            assert_eq!(RateLimit::new(per_sec, burst, 1).err(), Some(RateLimitError));
        }
        assert!(RateLimit::new(u32::MAX, u32::MAX, u32::MAX).is_err());
        assert!(RateLimit::new(1, u32::MAX, u32::MAX).is_ok());
    }
}
