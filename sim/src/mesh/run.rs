//! A run: disturbed first, then calm, then over.

use gateway_core::event::Event;
use gateway_core::time::Now;

use super::actions::Wish;
use super::client::Stage;
use super::shard::State;
use super::world::World;
use crate::promise::Promise;

/// Rounds of calm turns after which nothing moves any more.
const ROUNDS_MAX: usize = 3_000;
const TICK_NANOS: u64 = 250_000_000;
/// Longer than a shard rests between two steps of a sweep.
const REST_NANOS: u64 = 5_000_000;
/// Actions before and behind the moment at which a node drains.
const DRAIN_ACTIONS: u64 = 120;
/// Seconds in which whoever reads has heard everything, although others do not.
const CHECK_SECS: u64 = 3;
/// Rooms of which every shard is asked for a new member, at most.
pub(super) const ROOMS_TRIED: usize = 6;
/// Seconds beside those of the limits: ticks are coarse, and whoever is pinged anew has more time.
const SLACK_SECS: u32 = 4;
/// Seconds after which lists of who is there are true.
const LISTS_SECS: u64 = 2;

impl World {
    /// Does all of it; a promise that was broken is in `ears.broken`. The actions taken.
    pub(super) fn run(&mut self) -> u64 {
        let mut actions = 0;
        while actions < self.setting.actions && self.ears.broken.is_none() {
            for _ in 0..1 + self.rng.below(self.setting.pace.burst) {
                actions += self.act();
            }
            self.let_return();
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
            if self.shards[index].rests_until > self.step {
                self.ears.coverage.late_turns += 1;
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
            let still = self.stirred.is_none() && !self.rests_amid_a_crowd();
            if still || self.ears.broken.is_some() {
                return self.note_vacant();
            }
        }
        let last = self.stirred.unwrap_or_default();
        let what = || format!("the shards find no rest: at last there was {last}");
        self.complain(Promise::Alive, what);
    }

    /// Whether a shard only rests on its way through a crowd whose time has come: it goes on sooner
    /// than the next tick.
    fn rests_amid_a_crowd(&self) -> bool {
        let soon = Now(self.now.0 + REST_NANOS);
        let mut due = self.shards.iter().filter_map(|shard| shard.hub.poll_timeout());
        due.any(|due| due <= soon)
    }

    /// Settles until all that has to be heard is heard, within some virtual seconds.
    pub(super) fn settle_within(&mut self, promise: Promise, secs: u64) {
        if let Some(missing) = self.settles_within(secs) {
            self.complain(promise, || missing);
        }
    }

    /// The same; what is still missing then.
    fn settles_within(&mut self, secs: u64) -> Option<String> {
        let until = self.now.0 + secs * 1_000_000_000;
        if self.setting.is_lossy() {
            // What such a member lacks counts as lost where it is found: nothing may be on its way
            // to a socket that took a part of it.
            self.settle();
            self.pass(TICK_NANOS);
        }
        loop {
            self.settle();
            if self.ears.broken.is_some() {
                return None;
            }
            let missing = self.missing()?;
            if self.now.0 > until {
                return Some(missing);
            }
            self.pass(TICK_NANOS);
        }
    }

    /// Whoever reads has heard everything, although others are stuck.
    fn checkpoint(&mut self) {
        self.ears.coverage.checkpoints += 1;
        if self.settles_within(CHECK_SECS).is_some() {
            // What comes as soon as everyone reads was held up by who did not.
            let slow = self.open.iter().filter(|&&id| self.ears.clients[id as usize].is_slow());
            for id in slow.copied().collect::<Vec<_>>() {
                self.ears.read_again(id);
            }
            if let Some(missing) = self.settles_within(CHECK_SECS) {
                return self.complain(Promise::Alive, || missing);
            }
            let what = || "what was missing came when everyone read".to_owned();
            return self.complain(Promise::Unhindered, what);
        }
        self.check_counters();
    }

    /// Faults stop: everyone reads, and within a while everything is true again.
    fn calm_down(&mut self) {
        self.setting.faults.choppy = 0;
        self.ears.setting.faults.choppy = 0;
        self.ears.tale.calm(self.now.0);
        for id in self.open.clone() {
            self.ears.read_again(id);
        }
        self.settle_within(Promise::Alive, self.setting.calm_secs());
        // Goodbyes that nobody answers, and shards that become vacant, take their time.
        self.wait(self.setting.calm_secs());
        self.give_up_the_mute();
        self.calm = self.ears.broken.is_none();
        self.settle_within(Promise::Alive, LISTS_SECS);
        self.check_counters();
        let busy = self.shards.iter().position(|shard| !shard.exchanged);
        if !self.mesh.is_empty() || !self.clerk.is_idle() || self.has_travellers() || busy.is_some()
        {
            let what = || format!("something is under way, shard {busy:?} is busy");
            self.complain(Promise::Alive, what);
        }
        if let Some(index) = self.shards.iter().position(|shard| shard.state == State::Leaving) {
            let hub = &self.shards[index].hub;
            let (live, rooms, homes) = (hub.live(), hub.rooms(), hub.homes());
            self.complain(Promise::Alive, || {
                format!("shard {index} is not vacant: {live} live, {rooms} rooms, {homes} homes")
            });
        }
        // What must lead to an end has done so.
        let spoiled = |&id: &u32| {
            let client = &self.ears.clients[id as usize];
            client.spoiled.is_some_and(|it| it.surely) && client.heard_close.is_none()
        };
        if let Some(&id) = self.open.iter().find(|id| spoiled(id)) {
            let what = "it said what no client may say, and is still there";
            self.ears.complain(Promise::Bounded, id, what);
        }
        let asking = |&id: &u32| self.ears.clients[id as usize].stage == Stage::Asking;
        if let Some(&id) = self.open.iter().find(|id| asking(id)) {
            self.ears.complain(Promise::Alive, id, "it was not answered");
        }
    }

    /// Time passes, and whatever is due happens.
    fn wait(&mut self, secs: u64) {
        for _ in 0..4 * secs {
            if self.ears.broken.is_none() {
                self.pass(TICK_NANOS);
                self.settle();
            }
        }
    }

    /// Those of whom no word comes any more are gone in the time that pings allow; without pings
    /// only their networks know.
    fn give_up_the_mute(&mut self) {
        let mute = |&&id: &&u32| self.ears.clients[id as usize].mute.is_some();
        if self.open.iter().any(|id| mute(&id)) {
            let limits = &self.setting.limits;
            let secs = limits.ping_secs + limits.pong_secs + limits.close_secs + SLACK_SECS;
            self.wait(u64::from(secs));
            if self.setting.limits.ping_secs == 0 {
                self.cut_the_mute();
                self.settle();
            }
        }
        let mute = |&&id: &&u32| self.ears.clients[id as usize].mute.is_some();
        if let Some(&id) = self.open.iter().find(mute) {
            let what = "no word of it comes, and it is still there";
            self.ears.complain(Promise::Bounded, id, what);
        }
    }

    /// Joins and publishes succeed again, everywhere.
    fn serve_again(&mut self) {
        let mut fresh = Vec::new();
        let probe = Wish { probes: Some(true), ..Wish::default() };
        for shard in self.serving().collect::<Vec<_>>() {
            for room in 0..self.setting.rooms.min(ROOMS_TRIED) as u16 {
                let wish = Wish { room: Some(room), shard: Some(shard), ..probe };
                fresh.extend(self.connect(wish));
            }
        }
        self.settle_within(Promise::Alive, self.setting.calm_secs());
        for id in fresh {
            match self.ears.clients[id as usize].stage {
                Stage::Open if self.ears.clients[id as usize].can_speak() => {
                    self.ears.publish(id, 30, true);
                }
                // A full shard, or a full outbox: no promise is broken by that.
                Stage::Open | Stage::Refused | Stage::Over => {}
                Stage::Asking => {
                    let what = "it was not answered although all is calm";
                    self.ears.complain(Promise::Alive, id, what);
                }
            }
        }
        self.settle_within(Promise::Alive, self.setting.calm_secs());
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
        self.settle_within(Promise::Alive, LISTS_SECS);
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
        self.calm = false;
        let drains = self.setting.faults.drain || self.rng.one_in(2);
        if self.setting.faults.drain {
            self.drain_under_load();
        } else if drains {
            // Who comes together with the end has to hear of it too.
            for _ in 0..2 {
                self.connect(Wish::default());
            }
            self.drain();
        } else {
            for id in self.open.clone() {
                self.ears.say_close(id);
            }
        }
        let limits = &self.setting.limits;
        let secs = if drains { limits.drain_secs.max(limits.refusal_secs) + SLACK_SECS } else { 0 };
        for _ in 0..4 * self.setting.calm_secs().max(u64::from(secs)) {
            self.settle();
            if self.open.is_empty() || self.ears.broken.is_some() {
                break;
            }
            self.pass(TICK_NANOS);
        }
        if let Some(&id) = self.open.first() {
            let what = "it is still there although all were to go";
            self.ears.complain(Promise::Farewell, id, what);
        }
        self.check_counters();
    }

    fn drain(&mut self) {
        // A node that goes neither grows nor shrinks.
        (self.setting.faults.add, self.setting.faults.remove) = (0, 0);
        for shard in &mut self.shards {
            shard.hub.handle(self.now, Event::Drain);
        }
    }

    /// The node is drained while everyone goes on as before, and some are stuck.
    fn drain_under_load(&mut self) {
        self.ears.coverage.drains += 1;
        self.stir(DRAIN_ACTIONS);
        self.drain();
        self.stir(DRAIN_ACTIONS);
    }

    /// Actions and turns, as before the calm.
    fn stir(&mut self, actions_max: u64) {
        let mut actions = 0;
        // Actions that nobody is left for count for nothing.
        for _ in 0..actions_max {
            if actions >= actions_max || self.ears.broken.is_some() {
                return;
            }
            for _ in 0..1 + self.rng.below(self.setting.pace.burst) {
                actions += self.act();
            }
            self.let_return();
            self.some_turns();
        }
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
            // A place that nobody has is a count that is wrong.
            let promise = if live > 0 { Promise::Accounted } else { Promise::Farewell };
            let what = || format!("{rooms} rooms and {live} connections are registered");
            self.complain(promise, what);
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
                let left = || format!("{count} {what} are left on shard {index}");
                self.complain(Promise::Farewell, left);
            }
        }
    }
}
