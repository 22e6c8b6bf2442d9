//! Deliberate faults, which the simulation must find.
//!
//! Each stands where the promise is kept, as `is(Mutant::…)`. Which world is to find it, and by
//! which promise, says `sim`.

use crate::listed::listed;

listed! {
    /// One way to break a promise.
    pub enum Mutant {
        /// Authors are known by shard and slot alone: the next in a slot is taken for the one
        /// before.
        ReusedId = "reused-id",
        /// A shard numbers what is published there although the home is elsewhere.
        WrongShard = "wrong-shard",
        /// A shard that is too far behind is sent what is left, without a word.
        SilentGap = "silent-gap",
        /// What is published while its home moves is dropped.
        LostInMigration = "lost-in-migration",
        /// What is published goes to the next home before the old one has answered for what went
        /// there.
        EarlySwitch = "early-switch",
        /// Recovery gives authors their own messages.
        OwnRecovered = "own-recovered",
        /// One connection too many is let in.
        OverCapacity = "over-capacity",
        /// A client that is ahead is put back to where the room is here.
        MovedBack = "moved-back",
        /// Whoever was sent a close frame goes on hearing its room.
        AfterClose = "after-close",
        /// A message is acknowledged before its home has it.
        EarlyAck = "early-ack",
    }
}
