//! How much waits in a mesh's rings, for whoever looks on.

use std::sync::Weak;

use super::{End, Shared};
use crate::ring::Gauge;
use crate::rules::{Rules, Sound};
use crate::sync::{Mutex, lock};

/// Shows how many items wait in rings towards each worker. Whoever sends or receives does nothing
/// for it; it keeps neither ports nor items alive.
#[derive(Debug)]
pub struct Depths<C, D, R: Rules = Sound>(Weak<Shared<C, D, R>>);

/// The rings of one worker's inbox.
#[derive(Debug)]
pub(super) struct Gauges<C, D, R: Rules>(Mutex<Vec<Either<C, D, R>>>);

#[derive(Debug)]
enum Either<C, D, R: Rules> {
    Commands(Gauge<C, R>),
    Deliveries(Gauge<D, R>),
}

impl<C, D, R: Rules> Depths<C, D, R> {
    pub(super) fn new(shared: Weak<Shared<C, D, R>>) -> Self {
        Self(shared)
    }

    /// Items that wait for each worker at this moment, in the order of the workers; none when no
    /// port is left. Looks at each ring that was ever opened.
    #[must_use]
    pub fn read(&self) -> Vec<u64> {
        let Some(shared) = self.0.upgrade() else { return Vec::new() };
        shared.inboxes.iter().map(|inbox| inbox.gauges.sum()).collect()
    }
}

impl<C, D, R: Rules> Clone for Depths<C, D, R> {
    fn clone(&self) -> Self {
        Self(Weak::clone(&self.0))
    }
}

impl<C, D, R: Rules> Gauges<C, D, R> {
    pub(super) fn none() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// From now on this ring is looked at too.
    pub(super) fn add(&self, end: &End<C, D, R>) {
        let gauge = match end {
            End::Commands(_, receiver) => Either::Commands(receiver.gauge()),
            End::Deliveries(_, receiver) => Either::Deliveries(receiver.gauge()),
        };
        lock(&self.0).push(gauge);
    }

    fn sum(&self) -> u64 {
        let depth = |gauge: &Either<C, D, R>| match gauge {
            Either::Commands(ring) => ring.len() as u64,
            Either::Deliveries(ring) => ring.len() as u64,
        };
        lock(&self.0).iter().map(depth).sum()
    }
}
