//! What goes wrong in a run: kinds of faults by their names, each off or as often as its seed says.

use super::setting::pick;
use crate::rng::Rng;
use crate::worlds::Less;

/// Once in how many actions something happens; 0 for never.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    /// Clients that take a few bytes at a time.
    pub(super) slow: usize,
    /// Clients that take nothing for a while.
    pub(super) stick: usize,
    /// Connections that are cut.
    pub(super) sever: usize,
    /// Clients that are gone amid a frame.
    pub(super) crash: usize,
    /// Clients of whom no word comes any more, and no end either.
    pub(super) mute: usize,
    /// Rooms or shards whose clients are all cut and come back at once.
    pub(super) storm: usize,
    /// Clients that say what no client may say.
    pub(super) garbage: usize,
    /// Users that are let in no more.
    pub(super) revoke: usize,
    pub(super) moves: usize,
    pub(super) migrate: usize,
    pub(super) add: usize,
    pub(super) remove: usize,
    /// Moments in which no shard turns.
    pub(super) pause: usize,
    /// Times that the clock goes on by seconds or hours, as behind a machine that was suspended.
    pub(super) jump: usize,
    /// Sends of which only a part is taken.
    pub(super) choppy: usize,
    /// Messages that the engine refuses.
    pub(super) refuse: usize,
    /// Whether the node is drained while everyone speaks.
    pub(super) drain: bool,
}

impl Faults {
    pub(super) fn new(rng: &mut Rng, engine: bool) -> Self {
        let mut pick = |rates: &[usize]| *pick(rng, rates);
        Self {
            slow: pick(&[0, 100, 600]),
            stick: pick(&[0, 80, 400]),
            sever: pick(&[0, 60, 300]),
            crash: pick(&[0, 0, 80, 400]),
            mute: pick(&[0, 0, 100, 500]),
            storm: pick(&[0, 0, 250, 900]),
            garbage: pick(&[0, 0, 40, 250]),
            revoke: pick(&[0, 100, 500]),
            moves: pick(&[0, 20, 100]),
            migrate: pick(&[0, 20, 100]),
            add: pick(&[0, 0, 900]),
            remove: pick(&[0, 600, 1200]),
            pause: pick(&[0, 100, 500]),
            jump: pick(&[0, 0, 0, 300, 1200]),
            choppy: pick(&[0, 0, 0, 5, 40]),
            refuse: if engine { pick(&[0, 10, 50]) } else { 0 },
            drain: rng.one_in(3),
        }
    }

    /// Leaves kinds out, by the names under which [`Coverage`](super::Coverage) counts them.
    pub(super) fn leave_out(&mut self, less: &Less) {
        let rates = [
            ("slow-readers", &mut self.slow),
            ("stuck-readers", &mut self.stick),
            ("severed", &mut self.sever),
            ("crashes-amid-frame", &mut self.crash),
            ("half-open", &mut self.mute),
            ("storms", &mut self.storm),
            ("garbage", &mut self.garbage),
            ("revoked-users", &mut self.revoke),
            ("moves", &mut self.moves),
            ("migrations", &mut self.migrate),
            ("added-shards", &mut self.add),
            ("evacuated-shards", &mut self.remove),
            ("pauses", &mut self.pause),
            ("clock-jumps", &mut self.jump),
            ("short-writes", &mut self.choppy),
            ("engine-refusals", &mut self.refuse),
        ];
        for (kind, rate) in rates {
            if !less.has(kind) {
                *rate = 0;
            }
        }
        self.drain &= less.has("drains-under-load");
    }
}
