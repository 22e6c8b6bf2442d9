//! Newcomers that another shard serves than the one that accepted them: what a node's balance does,
//! by a seed's draws instead of a strategy.

use gateway_core::event::Event;

use super::clerk::registered;
use super::client::Place;
use super::shard::State;
use super::world::{Traveller, World};

impl World {
    /// Whether a newcomer goes to another shard, before anything is read of it.
    pub(super) fn pass_on(&mut self, index: usize, client: u32) -> bool {
        let passes = self.setting.passes;
        if passes == 0 || !self.must_pass(index) && !self.balance.one_in(passes) {
            return false;
        }
        let Some(to) = self.another(index) else { return false };
        if self.census.reserve(registered(to)).is_err() {
            return false;
        }
        self.ears.clients[client as usize].reserved = true;
        self.send(client, to);
        self.ears.coverage.passed += 1;
        true
    }

    /// Somebody comes whom another shard accepted, and who has a place here: it goes on once more
    /// if everyone here is to go.
    pub(super) fn take_in(&mut self, index: usize, client: u32) {
        if self.shards[index].state != State::Serving
            && let Some(to) = self.another(index)
            && self.census.moved(registered(index), registered(to)).is_ok()
        {
            self.ears.coverage.passed_twice += 1;
            return self.send(client, to);
        }
        let shard = &mut self.shards[index];
        let slot = shard.seat(client);
        let one = &mut self.ears.clients[client as usize];
        one.place = Place::At { shard: index as u16, slot };
        one.born = (index as u16, slot.0);
        self.done.accepted += 1;
        shard.hub.handle(self.now, Event::Accepted { slot });
        self.ears.wake(client);
    }

    /// Whether a shard takes newcomers only if no other does.
    fn must_pass(&self, index: usize) -> bool {
        let live = self.census.live_on(registered(index));
        self.shards[index].state != State::Serving || live >= self.setting.limits.connections_max
    }

    fn another(&mut self, index: usize) -> Option<usize> {
        let others: Vec<_> = self.serving().filter(|&other| other != index).collect();
        (!others.is_empty()).then(|| others[self.balance.below(others.len())])
    }

    fn send(&mut self, client: u32, to: usize) {
        self.ears.clients[client as usize].place = Place::Between;
        let due = self.step + self.balance.below(self.setting.pace.delay.max(1)) as u64;
        self.shards[to].inbound += 1;
        self.ears.trace.fold(0x9a55 ^ u64::from(client) << 16);
        self.travellers.push(Traveller { client, to, due, frozen: None });
    }
}
