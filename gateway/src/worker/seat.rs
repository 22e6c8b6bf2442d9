//! One shard on its worker: its turn, what it has counted, and how it leaves.

use gateway_core::id::ShardId;
use gateway_core::time::{Now, Tick};
use tracing::warn;

use super::orders::Departed;
use crate::net::Net;
use crate::node::Node;
use crate::turn::Turn;
use crate::turn::notes::Rarely;

/// One shard on its worker.
pub(super) struct Seat<N> {
    pub(super) shard: ShardId,
    pub(super) turn: Turn<N>,
    pub(super) leaving: Option<Leaving>,
    pub(super) departed: Departed,
    /// When it said last what it has counted, and whether it has counted more since.
    pub(super) tallied: Tick,
    pub(super) counts: bool,
}

/// What a shard that is being removed had accepted: before that, and up to its last turn.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) before: u64,
    pub(super) upto: u64,
    /// When somebody is told that it takes long.
    pub(super) told: Rarely,
}

impl<N: Net> Seat<N> {
    /// When it is to be looked at although nothing happens.
    pub(super) fn deadline(&self) -> Option<Now> {
        let told = self.leaving.as_ref().map(|leaving| leaving.told.next());
        let tally = self.counts.then(|| Tick(self.tallied.0 + 1).start());
        self.turn.hub().poll_timeout().into_iter().chain(told).chain(tally).min()
    }

    /// Says what it has counted, once in a tick.
    pub(super) fn tally(&mut self, now: Tick, node: &Node) {
        if self.counts && now > self.tallied {
            (self.tallied, self.counts) = (now, false);
            node.tally(self.shard, &self.turn.counters());
        }
    }

    /// Says once in a while what a shard still has that is being removed.
    pub(super) fn complain(&mut self, now: Now, node: &Node) {
        let Some(leaving) = &mut self.leaving else { return };
        if !leaving.told.may(now) {
            return;
        }
        let hub = self.turn.hub();
        warn!(
            shard = %self.shard,
            connections = hub.live(),
            rooms = hub.rooms(),
            homes = hub.homes(),
            arriving = node.arriving(self.shard),
            "still being removed"
        );
    }

    /// Counts whom a leaving shard still accepted.
    pub(super) fn count_late(&mut self, node: &Node) {
        if let Some(Leaving { upto, .. }) = &mut self.leaving {
            let accepted = came(&self.turn);
            node.add_late(accepted - std::mem::replace(upto, accepted));
        }
    }
}

/// Connections that a shard took from its listeners or was passed, be they served here or not.
pub(super) fn came<N: Net>(turn: &Turn<N>) -> u64 {
    turn.hub().counters().accepted + turn.passed()
}
