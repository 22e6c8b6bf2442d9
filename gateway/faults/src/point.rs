//! Rare branches that a simulation makes common.
//!
//! Each is a branch that production takes too, if seldom: a ring that is full, a send of which the
//! kernel takes a part. A point that production could not reach would find faults that are none.

use crate::listed::listed;

listed! {
    /// A place where a rare branch can be taken.
    pub enum Point {
        /// A ring refuses as if it were full.
        RingFull = "ring-full",
        /// A mailbox refuses as if it were full.
        MailboxFull = "mailbox-full",
    }
}
