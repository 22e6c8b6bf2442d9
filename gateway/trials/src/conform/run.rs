//! Cases beside each other, on a few threads.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::case::Case;
use super::judge::{Failure, judge};

/// Threads that play cases. More would only wait for each other: most cases wait for an answer.
const THREADS: usize = 4;

/// What a gateway has for each of its answers. A busy machine may need most of it for 32 MiB.
const PATIENCE: Duration = Duration::from_secs(10);

/// Plays all of these cases; gives those that failed, in their order.
pub(super) fn run<'a>(cases: &[&'a Case], addr: SocketAddr) -> Vec<(&'a Case, Failure)> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let play = || {
        // Each number is given to one thread; nothing else depends on its order.
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(failure) = judge(case, addr, PATIENCE) {
                failed.lock().expect("no thread panics with it").push((*case, failure));
            }
        }
    };
    thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(play))));
    let mut failed = failed.into_inner().expect("no thread panicked with it");
    failed.sort_by_key(|(case, _)| case.id());
    failed
}
