//! Clients on several CPUs at once: a thread for each, pinned, in the clients' namespace.
//!
//! A packet that is sent over the cable is received on the CPU that sent it, so that clients on
//! all CPUs are what several receive queues are on a machine that serves.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::bed::{Bed, Side};
use super::crowd::{self, Over, PATIENCE, Tally, Way};
use super::pingpong;
use super::talk::Talk;
use super::visitor::Visitor;
use crate::clock;

/// Visitors that come at a time on a CPU.
const AT_ONCE: usize = 16;

/// CPUs that clients run on.
#[derive(Clone, Debug)]
pub(super) struct Team<'a> {
    bed: &'a Bed,
    cpus: Vec<usize>,
}

impl<'a> Team<'a> {
    /// On every CPU of this process.
    ///
    /// # Errors
    /// If the system does not say which these are.
    pub(super) fn everywhere(bed: &'a Bed) -> Result<Self> {
        Ok(Self { bed, cpus: cpus()? })
    }

    /// On one CPU, which is where all packets come then.
    pub(super) fn on(bed: &'a Bed, cpu: usize) -> Self {
        Self { bed, cpus: vec![cpu] }
    }

    /// How many CPUs that are.
    pub(super) fn len(&self) -> usize {
        self.cpus.len()
    }

    /// Has so many visitors come together, from the way's addresses in turn, and stay.
    ///
    /// # Errors
    /// If a CPU or the namespace cannot be had.
    pub(super) fn gather(&self, way: &Way, total: usize) -> Result<(Vec<Visitor>, Tally)> {
        let share = |at: usize| total / self.len() + usize::from(at < total % self.len());
        let parts = self.each((0..self.len()).collect(), |at: usize| {
            crowd::gather(&rotated(way, at), share(at))
        })?;
        let (mut all, mut tally) = (Vec::with_capacity(total), Tally::default());
        for (visitors, part) in parts {
            all.extend(visitors);
            tally.merge(part);
        }
        Ok((all, tally))
    }

    /// Has visitors come and go until the way's time is over.
    ///
    /// # Errors
    /// As of [`gather`](Self::gather).
    pub(super) fn churn(&self, way: &Way) -> Result<Tally> {
        let work = |at| crowd::churn(&rotated(way, at));
        let parts = self.each((0..self.len()).collect(), work)?;
        let mut tally = Tally::default();
        parts.into_iter().for_each(|part| tally.merge(part));
        Ok(tally)
    }

    /// Has visitors come and go while something is done, and for the rest of the way's time at
    /// most; what became of them.
    ///
    /// # Errors
    /// What `work` says, or as of [`gather`](Self::gather).
    pub(super) fn churn_while<T>(
        &self,
        way: &Way,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<(T, Tally)> {
        let over = Over::default();
        let way = Way { over: over.clone(), ..Self::patient(way) };
        thread::scope(|scope| {
            let churning = scope.spawn(|| self.churn(&way));
            let done = work();
            over.end();
            let tally = churning.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok((done?, tally?))
        })
    }

    /// How many connections a second are served while visitors come and go.
    ///
    /// # Errors
    /// If one is not served.
    pub(super) fn connections_per_sec(&self, way: &Way, time: Duration) -> Result<f64> {
        let start = clock::now();
        let tally = self.churn(&Way { until: start + time, ..way.clone() })?;
        tally.expect(usize::try_from(tally.served)?)?;
        Ok(tally.served as f64 / start.elapsed().as_secs_f64())
    }

    /// How many echoes a second come back when so many talk so, the same number on each CPU.
    ///
    /// # Errors
    /// If a connection is not served, or lost.
    pub(super) fn echoes_per_sec(&self, way: &Way, talk: Talk, time: Duration) -> Result<f64> {
        let each = (talk.connections / self.len()).max(1);
        let (ready, way) = (Barrier::new(self.len()), Self::patient(way));
        let parts = self.each((0..self.len()).collect(), |at: usize| {
            let came = crowd::gather(&rotated(&way, at), each);
            // Nobody is waited for in vain, even if this one has failed.
            ready.wait();
            let (mut visitors, tally) = came?;
            tally.expect(each)?;
            let echoes = talk.echoes_per_sec(&mut visitors, clock::now(), time);
            visitors.into_iter().for_each(Visitor::reset);
            echoes
        })?;
        Ok(parts.into_iter().sum())
    }

    /// Whether the words of all these visitors still come back.
    ///
    /// # Errors
    /// If those of one do not.
    pub(super) fn echo_once(&self, visitors: &mut [Visitor]) -> Result<()> {
        // Words are said once before the time is looked at.
        pingpong::play(visitors, clock::now()).map(|_| ())
    }

    /// A way whose time is long enough for anything.
    pub(super) fn patient(way: &Way) -> Way {
        Way { until: clock::now() + PATIENCE, ..way.clone() }
    }

    /// To the gateway, from all client addresses if these are to be told apart.
    pub(super) fn way(to: std::net::SocketAddr, from: Vec<std::net::IpAddr>) -> Way {
        let until: Instant = clock::now() + PATIENCE;
        Way { to, from, at_once: AT_ONCE, until, over: Over::default() }
    }

    /// Does something on each CPU, with one of these.
    fn each<I: Send, T: Send>(
        &self,
        inputs: Vec<I>,
        work: impl Fn(I) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let work = &work;
        let one = |cpu: usize, input: I| {
            self.bed.on(Side::Clients, || {
                pin(cpu)?;
                work(input)
            })
        };
        let one = &one;
        thread::scope(|scope| {
            let spawn = |(&cpu, input)| scope.spawn(move || one(cpu, input));
            let threads: Vec<_> = self.cpus.iter().zip(inputs).map(spawn).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, Result<T>>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        })
    }
}

/// The CPUs of this process.
///
/// # Errors
/// If the system does not say which these are.
pub(super) fn cpus() -> Result<Vec<usize>> {
    let mask = rustix::thread::sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| mask.is_set(cpu)).collect())
}

/// Has the calling thread run on one CPU only.
///
/// # Errors
/// If it may not.
pub(super) fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("cannot use CPU {cpu}"))
}

/// The same way, with its addresses begun elsewhere, so that CPUs do not all use one at a time.
fn rotated(way: &Way, at: usize) -> Way {
    let mut way = way.clone();
    let middle = way.from.len().min(at);
    way.from.rotate_left(middle);
    way
}
