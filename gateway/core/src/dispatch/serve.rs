//! A home serves the shards that hear it from its log, each from where it was told last.

use std::sync::Arc;

use gateway_faults::{self as faults, Mutant, buggify, sometimes};

use super::Dispatch;
use super::home::{Asked, Phase};
use crate::envelope::{Delivery, Link, Post};
use crate::id::ShardId;
use crate::message::Batch;
use crate::position::{Offset, Position};

/// The batch made last, and what it holds: shards that were told the same get the same one.
struct Shared {
    since: Offset,
    batch: Arc<Batch>,
}

impl Dispatch {
    pub(super) fn serve_homes(&mut self, post: &mut impl Post) {
        if !self.full.is_empty() {
            self.full.clear();
        }
        let mut busy = std::mem::take(&mut self.busy_homes);
        for index in busy.drain(..) {
            // A home may have gone, and another have come in its place.
            if self.homes.get(index as usize).is_some_and(|home| home.busy) {
                self.homes[index as usize].busy = false;
                self.serve_home(index, post);
            }
        }
        busy.append(&mut self.busy_homes);
        self.busy_homes = busy;
    }

    fn serve_home(&mut self, index: u32, post: &mut impl Post) {
        let mut shared = None;
        let mut unfinished = false;
        for at in 0..self.homes[index as usize].shards.len() {
            unfinished |= !self.serve_shard(index, at, &mut shared, post);
        }
        if self.end_forwarding(index) {
            return;
        }
        let room = &self.homes[index as usize].room;
        let history = self.policy(room).history;
        let transit = self.config.limits.transit.clone();
        // What a home that has moved still has to tell does not grow any more.
        if !self.homes[index as usize].has_moved() {
            self.homes[index as usize].trim(self.now, &history, &transit);
        }
        if self.retire_if_empty(index) {
            return;
        }
        self.schedule(index);
        if unfinished {
            self.mark_home(index);
        }
    }

    /// Tells one shard what it has not been told; whether that was all.
    fn serve_shard(
        &mut self,
        index: u32,
        at: usize,
        shared: &mut Option<Shared>,
        post: &mut impl Post,
    ) -> bool {
        let listener = &self.homes[index as usize].shards[at];
        let (Some(link), shard) = (listener.link, listener.shard) else { return true };
        if listener.dismissed {
            return true;
        }
        if self.full.contains(&shard) {
            // Another home of this turn was refused: looking at this one would change nothing.
            return false;
        }
        let told = self.greet(index, at, link, post)
            && self.answer_lost(index, at, link, post)
            && self.bridge_gap(index, at, link, post)
            && self.say(index, at, (shard, link), shared, post)
            && self.tell_presence(index, at, link, post)
            && self.answer_asks(index, at, link, post)
            && self.say_moved(index, at, link, post);
        if !told {
            self.full.insert(shard);
        }
        told
    }

    fn greet(&mut self, index: u32, at: usize, link: Link, post: &mut impl Post) -> bool {
        let population = self.homes[index as usize].side;
        let population = population.map_or(0, |room| self.population(room));
        let home = &mut self.homes[index as usize];
        let listener = &mut home.shards[at];
        if !listener.greet {
            return true;
        }
        let position = Position { epoch: home.epoch, offset: listener.sent };
        let attached = Delivery::Attached { link, term: home.term, position, population };
        listener.greet = post.deliver(listener.shard, attached).is_err();
        !listener.greet
    }

    fn answer_lost(&mut self, index: u32, at: usize, link: Link, post: &mut impl Post) -> bool {
        let listener = &mut self.homes[index as usize].shards[at];
        if listener.answers.is_empty() {
            return true;
        }
        let answers = std::mem::take(&mut listener.answers);
        match post.deliver(listener.shard, Delivery::Answers { link, answers }) {
            Ok(()) => true,
            Err(Delivery::Answers { answers, .. }) => {
                listener.answers = answers;
                false
            }
            Err(_) => unreachable!("a ring gives back what it was given"),
        }
    }

    /// If the log has moved on, the shard's members are told that they missed something.
    fn bridge_gap(&mut self, index: u32, at: usize, link: Link, post: &mut impl Post) -> bool {
        let home = &mut self.homes[index as usize];
        let listener = &home.shards[at];
        if home.reaches(listener.sent) {
            return true;
        }
        let base = home.base();
        let position = Position { epoch: home.epoch, offset: base };
        let silent = faults::is(Mutant::SilentGap);
        if !silent && post.deliver(listener.shard, Delivery::Gap { link, position }).is_err() {
            return false;
        }
        home.shards[at].sent = base;
        true
    }

    fn say(
        &mut self,
        index: u32,
        at: usize,
        (shard, link): (ShardId, Link),
        shared: &mut Option<Shared>,
        post: &mut impl Post,
    ) -> bool {
        loop {
            let home = &self.homes[index as usize];
            let since = home.shards[at].sent;
            if since >= home.head {
                return true;
            }
            let term = home.term;
            let batch = match (self.refused.remove(&shard), &shared) {
                (Some((of, from, batch)), _) if (of, from) == (term, since) => batch,
                (_, Some(last)) if last.since == since => Arc::clone(&last.batch),
                _ => self.copy_since(index, since),
            };
            *shared = Some(Shared { since, batch: Arc::clone(&batch) });
            let last = batch.last().expect("something follows what is not the head");
            let told = post.deliver(shard, Delivery::Said { link, batch: Arc::clone(&batch) });
            sometimes!(DeliveryRefused, told.is_err());
            if told.is_err() && !faults::is(Mutant::DeliveryLost) {
                self.refused.insert(shard, (term, since, batch));
                return false;
            }
            self.homes[index as usize].shards[at].sent = last.offset;
        }
    }

    pub(super) fn copy_since(&mut self, index: u32, since: Offset) -> Arc<Batch> {
        let limits = &self.config.limits;
        let log = self.homes[index as usize].log.as_ref().expect("what shards hear is logged");
        let mut batch = self.pool.take();
        let own = Arc::get_mut(&mut batch).expect("a batch from the pool is unshared");
        let messages_max = if buggify!(DeliverySmall) { 1 } else { limits.delivery_messages_max };
        log.copy_since(since, messages_max, limits.delivery_bytes_max, own);
        self.pool.lend(&batch);
        batch
    }

    fn answer_asks(&mut self, index: u32, at: usize, link: Link, post: &mut impl Post) -> bool {
        while let Some(&asked) = self.homes[index as usize].shards[at].asks.front() {
            let listener = &self.homes[index as usize].shards[at];
            let (shard, upto) = (listener.shard, listener.sent);
            let delivery = match asked {
                Asked::Pin(pin) => Delivery::Pinned { link, pin },
                Asked::Recover(recovery) => {
                    let kept = super::side::Recovery { pin: None, ..recovery };
                    let (batch, complete) = self.recovered(index, &kept, upto);
                    Delivery::Recovered { link, ask: recovery.ask, batch, complete }
                }
            };
            if post.deliver(shard, delivery).is_err() {
                return false;
            }
            let home = &mut self.homes[index as usize];
            home.shards[at].asks.pop_front();
            if let Asked::Recover(super::side::Recovery { pin: Some(pin), .. }) = asked {
                let term = home.term;
                self.unpin_for(term, pin);
            }
        }
        true
    }

    fn say_moved(&mut self, index: u32, at: usize, link: Link, post: &mut impl Post) -> bool {
        let home = &mut self.homes[index as usize];
        let Phase::Forwarding { to, term } = home.phase else { return true };
        let listener = &mut home.shards[at];
        listener.dismissed =
            post.deliver(listener.shard, Delivery::Moved { link, to, term }).is_ok();
        listener.dismissed
    }
}
