//! One shard alone as a task: turns while there is work, sleeps until there is some or a deadline.
//!
//! For simulation, other systems and tests. A node's shards are turned by their workers.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use gateway_core::counters::Counters;
use gateway_registry::census::{Cell, Census};
use tokio::sync::Notify;

use crate::clock::{Alarm, Clock};
use crate::net::Net;
use crate::others::Alone;
use crate::turn::Turn;

/// Turns before a busy shard lets its worker's other tasks run.
pub(crate) const TURNS_MAX: usize = 16;

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

/// Runs a shard whose hub is alone until it has drained; returns what it counted.
///
/// Time is the runtime's, so that it is virtual in simulation. The census hears of each turn, in
/// the cell of shard 0.
///
/// # Errors
/// If the shard's listener or poller broke.
pub async fn run<N: Net>(
    mut turn: Turn<N>,
    drain: DrainSignal,
    census: Arc<Census>,
) -> io::Result<Counters> {
    let clock = Clock::start();
    let mut alarm = Alarm::new(&clock);
    let mut told = pin!(drain.0.wake.notified());
    let mut draining = false;
    let mut alone = Alone::counted(Arc::clone(&census));
    let ended = poll_fn(|cx| {
        for _ in 0..TURNS_MAX {
            let now = clock.now();
            if !draining && drain.is_given() {
                draining = true;
                turn.drain(now, &mut alone);
            }
            let polled = turn.poll(cx, now, &mut alone);
            report(&turn, census.shard(0));
            if draining && turn.hub().live() == 0 {
                return Poll::Ready(Ok(()));
            }
            match polled {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    let due = alarm.is_due(cx, &clock, turn.hub().poll_timeout());
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
    Ok(turn.counters())
}

/// Says what a shard holds. Its places are counted when they are taken and given back.
pub(crate) fn report<N: Net>(turn: &Turn<N>, cell: &Cell) {
    let hub = turn.hub();
    cell.set_rooms(hub.rooms() as u64);
    cell.set_homes(hub.homes() as u64);
    cell.set_outbox_bytes(hub.outbox_bytes() as u64);
    cell.set_inbound_bytes(hub.inbound_bytes() as u64);
    let (hits, misses) = hub.pool_counts();
    cell.set_pool_hits(hits);
    cell.set_pool_misses(misses);
    cell.set_commands_waiting(hub.commands_waiting() as u64);
    cell.set_off_cpu(turn.off_cpu());
    cell.set_accept_pauses(turn.accept_pauses());
}
