//! Rare branches that a simulation makes common.
//!
//! Each is a branch that production takes too, if seldom: a ring that is full, a read that brings
//! one byte. A point that production could not reach would find faults that are none; so a ring
//! that is empty never refuses, since nobody would ring when there is room.

use crate::listed::listed;

listed! {
    /// A place where a rare branch can be taken.
    pub enum Point {
        /// A flush serves one member, then lets others go on.
        FlushSlice = "flush-slice",
        /// What is small is sent in pieces, as if the cork were full.
        CorkFull = "cork-full",
        /// Of what is owed one piece is offered, as if there were more than fit into one call.
        PiecesMany = "pieces-many",
        /// No batch is free to be used again.
        PoolMiss = "pool-miss",
        /// A delivery holds one message.
        DeliverySmall = "delivery-small",
        /// A log begins a segment for one message.
        SegmentFull = "segment-full",
        /// Of the pasts that have grown old one is looked at, and the others in the next turn.
        ExpiriesMany = "expiries-many",
        /// Whoever missed something waits until others have been told.
        RecoveriesMany = "recoveries-many",
        /// What waits for more leaves early, as if it were too much.
        GatheringFull = "gathering-full",
        /// Of those who are to leave a shard one is on its way at a time.
        DeparturesMany = "departures-many",
        /// A shard that is to be empty sends no further home while a command waits.
        BacklogFull = "backlog-full",
        /// A tick comes before it is due.
        TickEarly = "tick-early",
        /// A read brings one byte.
        ReadShort = "read-short",
        /// A turn has read enough, and the others are read from in the next.
        TurnSpent = "turn-spent",
        /// A shard is home to more rooms than its share: another one becomes home of the next.
        ShareFull = "share-full",
        /// A ring that holds something refuses as if it were full.
        RingFull = "ring-full",
        /// A mailbox that holds something refuses as if it were full.
        MailboxFull = "mailbox-full",
        /// A worker that is about to sleep looks once more, as if somebody had rung.
        SleepRefused = "sleep-refused",
        /// A worker takes one letter at a time.
        LettersFew = "letters-few",
    }
}

impl Point {
    /// Whether only worlds with workers come there: one shard alone has none, and a world that
    /// turns hubs by hand has its own rings.
    #[must_use]
    pub const fn is_of_workers(self) -> bool {
        matches!(self, Self::MailboxFull | Self::SleepRefused | Self::LettersFew)
    }
}
