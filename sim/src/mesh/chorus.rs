//! Everyone in one room: runs whose bounds kept rooms small or members slow hear many at last.

use super::actions::Wish;
use super::world::World;
use crate::promise::Promise;

/// What a message is heard by on average, at least, when a run is over.
pub const FANOUT_MIN: u64 = 5;

/// Members of the room, if the bounds of the run allow so many.
const MEMBERS: usize = 24;
const MESSAGES_MAX: usize = 12_000;
const MESSAGE_BYTES: usize = 30;

impl World {
    /// Fills one room and speaks there until the mean of the run is what it has to be.
    pub(super) fn sing(&mut self) {
        // Who asks for few clients asks for few who hear.
        if self.is_heard() || self.setting.clients_max < MEMBERS {
            return;
        }
        for id in self.open.clone() {
            if self.ears.clients[id as usize].room != 0 {
                self.ears.say_close(id);
            }
        }
        self.settle_within(Promise::Alive, self.setting.calm_secs());
        let wish = Wish { room: Some(0), probes: Some(true), ..Wish::default() };
        for _ in self.open.len()..MEMBERS {
            self.connect(wish);
        }
        self.settle_within(Promise::Alive, self.setting.calm_secs());
        for _ in 0..MESSAGES_MAX {
            if self.is_heard() || self.ears.broken.is_some() {
                return;
            }
            let speaks = |&id: &u32| {
                let client = &self.ears.clients[id as usize];
                client.room == 0 && client.can_speak()
            };
            let Some(id) = self.open.iter().copied().find(speaks) else { break };
            self.ears.publish(id, MESSAGE_BYTES, true);
            self.settle();
        }
        self.complain(Promise::Alive, || "too few hear what is said in a full room".to_owned());
    }

    fn is_heard(&self) -> bool {
        let coverage = &self.ears.coverage;
        coverage.deliveries >= FANOUT_MIN * coverage.published
    }
}
