//! What Weir promises, in ten sentences, and what it means that one was broken.
//!
//! Where the mesh checks each, as files of `sim/src/mesh`; the worlds over a driver do so in
//! `scenario/check.rs`, by [`Rule::promise`](crate::scenario::check::Rule::promise):
//!
//! | promise | at every step | when all is calm, or over |
//! | --- | --- | --- |
//! | linked | `told`: `prev`, gaps and resets | `judge`: nothing passed over, order of authors |
//! | same place | `record`: one message for each position; `ears`, `chat`: bytes and kind | |
//! | once | `told`: offsets of probes; `ears`: messages of others | |
//! | apart | `ears`: room, author; who is let in | |
//! | kept | `told`: what a recovery may say | `judge`: all that was known then is heard; `recall` |
//! | bounded | `bounds`, which lists every field; `ears`, `rings` | `run`: who is silent is gone |
//! | alive | | `run`: joins, publishes; `judge`, `chat`: presence, lists |
//! | farewell | `ears`: nothing behind a close frame | `run`: drains, and what is left |
//! | unhindered | | `run`: checkpoints while others are stuck |
//! | accounted | `world`: releases; `ending`: their reasons | `tally`: every counter |

use std::fmt;

/// A promise. Each world says of every violation which of them it broke.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Promise {
    /// Within a room and epoch what a member hears is linked, or it was told of a gap or a reset
    /// before. It passes over nothing else than what it may not see.
    Linked,
    /// The same position is the same message everywhere, and what was heard was said.
    SamePlace,
    /// Nobody hears a message twice.
    Once,
    /// Nobody hears itself where that is excluded, and no room hears another one.
    Apart,
    /// What was acknowledged can be recovered, as long as it is within history and epoch.
    Kept,
    /// Every bound of the limits holds at every step.
    Bounded,
    /// After faults have ended, joins and publishes succeed again and presence is true, within a
    /// stated time.
    Alive,
    /// After a drain every client that reads has seen a close frame, the rest were cut at the
    /// deadline and counted, and nothing is left.
    Farewell,
    /// A slow client holds up nobody else.
    Unhindered,
    /// Each connection closes exactly once, with a reason, and the counters add up.
    Accounted,
}

impl Promise {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Linked,
        Self::SamePlace,
        Self::Once,
        Self::Apart,
        Self::Kept,
        Self::Bounded,
        Self::Alive,
        Self::Farewell,
        Self::Unhindered,
        Self::Accounted,
    ];

    /// Its number in the README, from 1 to 10.
    #[must_use]
    pub fn number(self) -> usize {
        self as usize + 1
    }

    /// What is promised, in a sentence for who has never heard of it.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Linked => {
                "A member hears its room without holes: each message follows the one before, or \
                 the member is told first that something is missing."
            }
            Self::SamePlace => {
                "The same position is the same message for everybody, and nobody hears what nobody \
                 said."
            }
            Self::Once => "Nobody hears a message twice.",
            Self::Apart => {
                "Nobody hears its own messages where the sender is left out, and no room hears \
                 another room."
            }
            Self::Kept => {
                "What was acknowledged can be had again by who comes back, as long as it is within \
                 history."
            }
            Self::Bounded => "Nothing ever grows beyond its configured limit.",
            Self::Alive => {
                "Soon after faults have ended, joins and publishes succeed again and presence is \
                 true."
            }
            Self::Farewell => {
                "When a node drains, every client that reads is told so, the rest is cut at the \
                 deadline and counted, and nothing is left open."
            }
            Self::Unhindered => "A slow client holds up nobody else.",
            Self::Accounted => {
                "Each connection ends exactly once, with a reason, and the counters add up."
            }
        }
    }

    /// Its name, as reports print it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::SamePlace => "same-place",
            Self::Once => "once",
            Self::Apart => "apart",
            Self::Kept => "kept",
            Self::Bounded => "bounded",
            Self::Alive => "alive",
            Self::Farewell => "farewell",
            Self::Unhindered => "unhindered",
            Self::Accounted => "accounted",
        }
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number(), self.name())
    }
}

/// A broken promise.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// By what.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "promise {}: {}", self.promise, self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_numbered_from_one_in_their_order() {
        let numbers = Promise::ALL.map(Promise::number);
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(Promise::Accounted.to_string(), "10 (accounted)");
    }
}
