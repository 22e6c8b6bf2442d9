//! Deliberate faults, which the simulation must find: none in any build but its own.
//!
//! Each stands where the promise is kept, as `mutants.has(Mutant::…)`; without the feature
//! `mutants` that is a constant `false`.

/// One way to break a promise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mutant {
    /// Authors are known by shard and slot alone: the next in a slot is taken for the one before.
    ReusedId,
    /// A shard numbers what is published there although the home is elsewhere.
    WrongShard,
    /// A shard that is too far behind is sent what is left, without a word.
    SilentGap,
    /// What is published while its home moves is dropped.
    LostInMigration,
    /// What is published goes to the next home before the old one has answered for what went there.
    EarlySwitch,
    /// Recovery gives authors their own messages.
    OwnRecovered,
    /// One connection too many is let in.
    OverCapacity,
    /// A client that is ahead is put back to where the room is here.
    MovedBack,
    /// Whoever was sent a close frame goes on hearing its room.
    AfterClose,
    /// A message is acknowledged before its home has it.
    EarlyAck,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::ReusedId,
        Self::WrongShard,
        Self::SilentGap,
        Self::LostInMigration,
        Self::EarlySwitch,
        Self::OwnRecovered,
        Self::OverCapacity,
        Self::MovedBack,
        Self::AfterClose,
        Self::EarlyAck,
    ];
}

/// The fault that a hub has, if any.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mutants {
    #[cfg(feature = "mutants")]
    only: Option<Mutant>,
}

impl Mutants {
    /// This fault alone.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn only(mutant: Mutant) -> Self {
        Self { only: Some(mutant) }
    }

    /// Whether this fault is to show.
    #[cfg(feature = "mutants")]
    #[inline]
    pub(crate) fn has(self, mutant: Mutant) -> bool {
        self.only == Some(mutant)
    }

    /// Never.
    #[cfg(not(feature = "mutants"))]
    #[inline(always)]
    pub(crate) fn has(self, _: Mutant) -> bool {
        false
    }
}
