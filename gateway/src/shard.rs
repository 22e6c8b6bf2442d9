//! A shard as a task: turns while there is work, sleeps until there is some or a deadline.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use gateway_core::counters::Counters;
use gateway_core::time::Now;
use gateway_registry::census::Census;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::net::Net;
use crate::turn::Turn;

/// Turns before a busy shard lets its worker's other tasks run.
const TURNS_MAX: usize = 16;

/// Tells one shard to drain. Cloned to whoever may say so.
#[derive(Clone, Debug, Default)]
pub struct DrainSignal(Arc<Signal>);

#[derive(Debug, Default)]
struct Signal {
    given: AtomicBool,
    wake: Notify,
}

impl DrainSignal {
    /// Says it, once and for all. The shard may be busy or asleep.
    pub fn give(&self) {
        self.0.given.store(true, Ordering::Release);
        self.0.wake.notify_one();
    }

    fn is_given(&self) -> bool {
        self.0.given.load(Ordering::Acquire)
    }
}

/// Runs a shard until it has drained; returns what it counted.
///
/// Time is the runtime's, so that it is virtual in simulation. The census hears of each turn.
///
/// # Errors
/// If the shard's listener or poller broke.
pub async fn run<N: Net>(
    mut turn: Turn<N>,
    drain: DrainSignal,
    census: Arc<Census>,
    index: usize,
) -> io::Result<Counters> {
    let clock = Clock::start();
    let mut alarm = Alarm { at: None, sleep: pin!(sleep_until(clock.started)) };
    let mut told = pin!(drain.0.wake.notified());
    let mut draining = false;
    let ended = poll_fn(|cx| {
        for _ in 0..TURNS_MAX {
            let now = clock.now();
            if !draining && drain.is_given() {
                draining = true;
                turn.drain(now);
            }
            let polled = turn.poll(cx, now);
            report(&turn, &census, index);
            if draining && turn.hub().live() == 0 {
                return Poll::Ready(Ok(()));
            }
            match polled {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    let due = alarm.poll(cx, &clock, turn.hub().poll_timeout());
                    // Once it was told, the flag is set, and the future may not be polled again.
                    let told = !draining && told.as_mut().poll(cx).is_ready();
                    if !due && !told {
                        return Poll::Pending;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    // The shard is its worker's only heavy task and counts its own turns: tokio's budget would
    // only make sockets pretend to be blocked.
    tokio::task::unconstrained(ended).await?;
    Ok(turn.hub().counters().clone())
}

fn report<N: Net>(turn: &Turn<N>, census: &Census, index: usize) {
    let (hub, cell) = (turn.hub(), census.shard(index));
    cell.set_live(hub.live());
    cell.set_rooms(hub.rooms() as u64);
    cell.set_outbox_bytes(hub.outbox_bytes() as u64);
    cell.set_inbound_bytes(hub.inbound_bytes() as u64);
}

/// The runtime's clock, as nanoseconds since the shard started.
struct Clock {
    started: Instant,
}

impl Clock {
    fn start() -> Self {
        Self { started: Instant::now() }
    }

    fn now(&self) -> Now {
        Now(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn instant(&self, at: Now) -> Instant {
        self.started + Duration::from_nanos(at.0)
    }
}

/// One timer for the whole shard, moved only when its earliest deadline does.
struct Alarm<'a> {
    at: Option<Now>,
    sleep: Pin<&'a mut Sleep>,
}

impl Alarm<'_> {
    /// Whether the deadline has come; otherwise the waker is registered for it.
    fn poll(&mut self, cx: &mut Context<'_>, clock: &Clock, at: Option<Now>) -> bool {
        let Some(deadline) = at else {
            self.at = None;
            return false;
        };
        if self.at != Some(deadline) {
            self.at = at;
            self.sleep.as_mut().reset(clock.instant(deadline));
        }
        let due = self.sleep.as_mut().poll(cx).is_ready();
        if due {
            self.at = None;
        }
        due
    }
}
