//! The decisions that the structures' promises hang on, so that tests can break one at a time.
//!
//! Only [`Sound`] exists outside of tests, as the default parameter of every structure: nobody
//! names it. A test's broken twin overrides one rule, and loom must find it out. All rules are
//! constants: what a twin does is not compiled into what serves.

use std::fmt::Debug;
use std::sync::atomic::Ordering;

/// Every default is right; the sentence says what goes wrong otherwise.
pub trait Rules: Debug + Send + Sync + 'static {
    /// A ring's sender publishes with its tail what it wrote: else garbage is received.
    const TAIL: Ordering = Ordering::Release;
    /// A ring's receiver publishes with its head that it has read: else it is overwritten.
    const HEAD: Ordering = Ordering::Release;
    /// A sleeper announces itself by a read-modify-write: else a ring in between is lost.
    const SLEEP_READS_AND_WRITES: bool = true;
    /// Whoever rings publishes what it did before: else the worker wakes up and sees nothing.
    const RING: Ordering = Ordering::AcqRel;
    /// Who posts rings after it let go of the lock: else the consumer may wake up, find the
    /// mailbox locked and sleep again.
    const POST_UNLOCKS_FIRST: bool = true;
    /// Whoever was refused rings too: else what it hid from the consumer by its lock stays.
    const REFUSED_RINGS: bool = true;
    /// A reservation compares and sets: else two see the last place free.
    const RESERVE_COMPARES: bool = true;
    /// Who wrote the mirror looks again: else an older number may overwrite a newer one.
    const MIRROR_LOOKS_AGAIN: bool = true;
    /// A room is retired only under the term that it was claimed under: else somebody late
    /// removes its successor.
    const RETIRE_COMPARES: bool = true;
    /// A room migrates only from the home and the term that it has: else two become its home.
    const MIGRATE_COMPARES: bool = true;
    /// Who withdraws waits for claims that still saw it serve: else it becomes home afterwards.
    const WITHDRAW_WAITS: bool = true;
    /// A shard that begins to serve publishes with that where it is turned: else whoever makes it
    /// home may send to another worker.
    const SERVE: Ordering = Ordering::Release;
    /// A shard becomes home no more before it says that it leaves: else it may be gone when
    /// somebody still makes it home.
    const LEAVES_ROOMS_FIRST: bool = true;
    /// Whoever sets out for a shard says so before it looks whether it serves: else the shard may
    /// end in between.
    const SAYS_SO_BEFORE_LOOKING: bool = true;
    /// A shard that leaves asks by a read-modify-write who is on the way: else it may not see who
    /// did not see it leave.
    const AWAITED_READS_AND_WRITES: bool = true;
    /// Who has arrived rings for a shard that leaves: else it waits for what has come already.
    const ARRIVED_RINGS: bool = true;
    /// A worker publishes, with that it accepts nobody any more, whom it has accepted: else a node
    /// may seem to be over while it serves somebody.
    const DRAINED: Ordering = Ordering::AcqRel;
    /// What is shown and its number change under one lock: else a watch may take the old one for
    /// the new one, for ever.
    const SHOWN_WITH_ITS_NUMBER: bool = true;
    /// What waits is added before it is compared with its bounds: else two find room for one.
    const WEIGHT_ADDS_FIRST: bool = true;
    /// Who begins says so by a read-modify-write: else two copies are carried out.
    const BEGIN_READS_AND_WRITES: bool = true;
    /// A worker marks itself before it rings: else the receiver looks too early, and sleeps.
    const MARK_BEFORE_RING: bool = true;
    /// A sender that was refused tries again once it has said so: else it may wait for room
    /// that is there already.
    const REFUSED_TRIES_AGAIN: bool = true;
}

/// All rules are kept.
#[derive(Clone, Copy, Debug)]
pub enum Sound {}

impl Rules for Sound {}
