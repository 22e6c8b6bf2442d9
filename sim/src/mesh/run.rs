//! A run: disturbed first, then calm, then over.

use gateway_core::event::Event;
use gateway_core::time::Now;

use super::actions::Wish;
use super::client::Stage;
use super::shard::State;
use super::world::World;

/// Rounds of calm turns after which nothing moves any more.
const ROUNDS_MAX: usize = 3_000;
const TICK_NANOS: u64 = 250_000_000;

impl World {
    /// Does all of it; a promise that was broken is in `ears.broken`. The actions taken.
    pub(super) fn run(&mut self) -> u64 {
        let mut actions = 0;
        while actions < self.setting.actions && self.ears.broken.is_none() {
            for _ in 0..1 + self.rng.below(self.setting.pace.burst) {
                actions += self.act();
            }
            self.some_turns();
            if self.rng.one_in(400) {
                self.checkpoint();
            }
        }
        let stages: [fn(&mut Self); 7] = [
            Self::calm_down,
            Self::serve_again,
            Self::recall,
            Self::look_around_all,
            Self::sing,
            Self::finish,
            Self::expire,
        ];
        for stage in stages {
            if self.ears.broken.is_none() {
                stage(self);
            }
        }
        if self.ears.broken.is_none() {
            self.check_past();
        }
        self.ears.coverage.refused_letters = self.mesh.refused;
        self.ears.coverage.not_home = self.mesh.not_home;
        self.ears.coverage.migrations = self.clerk.migrations;
        self.ears.coverage.awaited = self.clerk.awaited;
        self.ears.coverage.early_answers = self.clerk.early;
        self.ears.coverage.engine_refusals = self.clerk.refusals;
        actions
    }

    /// Turns of shards in any order; some rest.
    fn some_turns(&mut self) {
        let turns = 1 + self.rng.below(self.shards.len());
        for _ in 0..turns {
            let index = self.rng.below(self.shards.len());
            let rest = self.setting.pace.rest;
            if rest > 0 && self.rng.one_in(rest) {
                self.shards[index].rests_until = self.step + self.rng.below(4 * rest) as u64;
            }
            if self.shards[index].rests_until <= self.step {
                self.turn(index, false);
            } else {
                self.step += 1;
            }
        }
        self.note_vacant();
    }

    fn note_vacant(&mut self) {
        for index in 0..self.shards.len() {
            if self.shards[index].state == State::Leaving && self.is_quiet(index) {
                self.shards[index].state = State::Gone;
                self.ears.coverage.evacuated += 1;
            }
        }
    }

    /// Turns of all shards until nothing moves.
    pub(super) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            self.stirred = None;
            for index in 0..self.shards.len() {
                self.turn(index, true);
            }
            if self.stirred.is_none() || self.ears.broken.is_some() {
                return self.note_vacant();
            }
        }
        let last = self.stirred.unwrap_or_default();
        self.complain(|| format!("the shards find no rest: at last there was {last}"));
    }

    /// Settles until all that has to be heard is heard, within some virtual seconds.
    pub(super) fn settle_within(&mut self, secs: u64) {
        let until = self.now.0 + secs * 1_000_000_000;
        loop {
            self.settle();
            if self.ears.broken.is_some() {
                return;
            }
            let Some(missing) = self.missing() else { return };
            if self.now.0 > until {
                return self.complain(|| missing);
            }
            self.pass(TICK_NANOS);
        }
    }

    /// Whoever reads has heard everything, although others are stuck.
    fn checkpoint(&mut self) {
        self.ears.coverage.checkpoints += 1;
        self.settle_within(3);
        self.check_counters();
    }

    /// Faults stop: everyone reads, and within a while everything is true again.
    fn calm_down(&mut self) {
        self.setting.faults.choppy = 0;
        self.ears.setting.faults.choppy = 0;
        self.ears.tale.calm(self.now.0);
        for id in self.open.clone() {
            self.read_again(id);
        }
        self.settle_within(self.setting.calm_secs());
        // Goodbyes that nobody answers, and shards that become vacant, take their time.
        for _ in 0..4 * self.setting.calm_secs() {
            self.pass(TICK_NANOS);
            self.settle();
        }
        self.settle_within(1);
        self.check_counters();
        let busy = self.shards.iter().position(|shard| !shard.exchanged);
        if !self.mesh.is_empty() || !self.clerk.is_idle() || self.has_travellers() || busy.is_some()
        {
            self.complain(|| format!("something is under way, shard {busy:?} is busy"));
        }
        if let Some(index) = self.shards.iter().position(|shard| shard.state == State::Leaving) {
            let hub = &self.shards[index].hub;
            let (live, rooms, homes) = (hub.live(), hub.rooms(), hub.homes());
            self.complain(|| {
                format!("shard {index} is not vacant: {live} live, {rooms} rooms, {homes} homes")
            });
        }
        let asking = |&id: &u32| self.ears.clients[id as usize].stage == Stage::Asking;
        if let Some(&id) = self.open.iter().find(|id| asking(id)) {
            self.ears.complain(id, "it was not answered");
        }
    }

    /// Joins and publishes succeed again, everywhere.
    fn serve_again(&mut self) {
        let mut fresh = Vec::new();
        let probe = Wish { probes: Some(true), ..Wish::default() };
        for shard in self.serving().collect::<Vec<_>>() {
            for room in 0..self.setting.rooms as u16 {
                let wish = Wish { room: Some(room), shard: Some(shard), ..probe };
                fresh.extend(self.connect(wish));
            }
        }
        self.settle_within(self.setting.calm_secs());
        for id in fresh {
            match self.ears.clients[id as usize].stage {
                Stage::Open if self.ears.clients[id as usize].can_speak() => {
                    self.ears.publish(id, 30, true);
                }
                // A full shard, or a full outbox: no promise is broken by that.
                Stage::Open | Stage::Refused | Stage::Over => {}
                Stage::Asking => self.ears.complain(id, "it was not answered although all is calm"),
            }
        }
        self.settle_within(self.setting.calm_secs());
    }

    /// Everyone asks who is there.
    fn look_around_all(&mut self) {
        if self.setting.is_lossy() {
            self.forget_views();
        }
        for id in self.open.clone() {
            let client = &self.ears.clients[id as usize];
            if client.probes && client.can_speak() && (client.view.is_none() || self.rng.one_in(2))
            {
                self.ears.ask_members(id);
            }
        }
        self.settle_within(1);
        self.check_presence();
    }

    /// A lossy member may have missed who came and went.
    fn forget_views(&mut self) {
        for client in &mut self.ears.clients {
            client.view = None;
        }
    }

    /// Everyone leaves, or the node drains: soon nobody is left.
    fn finish(&mut self) {
        if self.rng.one_in(2) {
            // Who comes together with the end has to hear of it too.
            for _ in 0..2 {
                self.connect(Wish::default());
            }
            for shard in &mut self.shards {
                shard.hub.handle(self.now, Event::Drain);
            }
        } else {
            for id in self.open.clone() {
                self.ears.say_close(id);
            }
        }
        for _ in 0..4 * self.setting.calm_secs() {
            self.settle();
            if self.open.is_empty() || self.ears.broken.is_some() {
                break;
            }
            self.pass(TICK_NANOS);
        }
        if let Some(&id) = self.open.first() {
            self.ears.complain(id, "it is still there although all were to go");
        }
        self.check_counters();
    }

    /// Pasts grow old; then nothing is left anywhere.
    fn expire(&mut self) {
        let ages = self.setting.policies.iter().map(|policy| policy.history.age_secs);
        let age = ages.max().unwrap_or(0) + self.setting.limits.pin_secs;
        let until = Now(self.now.0 + u64::from(age + 4) * 1_000_000_000);
        while let Some(due) = self.shards.iter().filter_map(|shard| shard.hub.poll_timeout()).min()
        {
            if due > until || self.ears.broken.is_some() {
                break;
            }
            self.pass(due.since(self.now));
            self.settle();
        }
        self.settle();
        for index in 0..self.shards.len() {
            self.check_empty(index);
        }
        let (rooms, live) = (self.clerk.registry.rooms(), self.census.live());
        if rooms > 0 || live > 0 || !self.mesh.is_empty() {
            self.complain(|| format!("{rooms} rooms and {live} connections are registered"));
        }
    }

    fn check_empty(&mut self, index: usize) {
        let hub = &self.shards[index].hub;
        let rest = [
            ("connections", hub.live() as usize),
            ("rooms", hub.rooms()),
            ("homes", hub.homes()),
            ("chunks", hub.chunks()),
            ("outbox bytes", hub.outbox_bytes()),
            ("inbound bytes", hub.inbound_bytes()),
            ("waiting messages", hub.commands_waiting()),
            ("bytes under way", hub.underway_bytes()),
        ];
        for (what, count) in rest {
            if count > 0 {
                self.complain(|| format!("{count} {what} are left on shard {index}"));
            }
        }
    }
}
