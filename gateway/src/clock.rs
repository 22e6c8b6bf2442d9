//! A worker's time: the runtime's clock, and one timer for all deadlines.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use gateway_core::time::Now;
use tokio::time::{Instant, Sleep, sleep_until};

/// The runtime's clock, as nanoseconds since it was started.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        Now(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn instant(&self, at: Now) -> Instant {
        self.started + Duration::from_nanos(at.0)
    }
}

/// One timer, moved only when the earliest deadline does.
#[derive(Debug)]
pub(crate) struct Alarm {
    at: Option<Now>,
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    /// A timer that is not set, in the context of a runtime.
    pub(crate) fn new(clock: &Clock) -> Self {
        Self { at: None, sleep: Box::pin(sleep_until(clock.started)) }
    }

    /// Whether the deadline has come; otherwise the waker is registered for it.
    pub(crate) fn is_due(
        &mut self,
        cx: &mut Context<'_>,
        clock: &Clock,
        deadline: Option<Now>,
    ) -> bool {
        let Some(at) = deadline else {
            self.at = None;
            return false;
        };
        if self.at != deadline {
            self.at = deadline;
            self.sleep.as_mut().reset(clock.instant(at));
        }
        let due = matches!(self.sleep.as_mut().poll(cx), Poll::Ready(()));
        if due {
            self.at = None;
        }
        due
    }
}
