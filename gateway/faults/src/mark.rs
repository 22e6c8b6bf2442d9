//! Moments that have to come in a campaign, or it has not tried what it is for.

use crate::listed::listed;

listed! {
    /// A moment that counts.
    pub enum Mark {
        // Claims.
        /// A room that a shard asked for had a home already.
        ClaimLost = "a claim was late",
        /// A room's home became another shard than the one that touched it first.
        ClaimRedirected = "a claim was redirected",
        /// A home was about to retire when its room was touched again.
        RetireOvertaken = "a home was touched while it retired",
        /// A home was looked for where it had not come yet.
        HomeAwaited = "a home was awaited",
        /// A home was looked for where it was no more.
        NotHome = "a home was not there",

        // Homes that move.
        /// Somebody published while the home was about to move.
        HeldWhileSealed = "something was published while its home moved",
        /// Commands were on their way to a home that had moved.
        Forwarded = "a command was forwarded",
        /// A home was to move to a shard that did not serve.
        MigrationRefused = "a migration was refused",
        /// What was published waited for the old home's answers.
        SwitchWaited = "a publisher waited for the old home",
        /// A home said something to an attachment that had ended.
        LateDelivery = "a delivery came too late",

        // Rings and gaps.
        /// A ring refused a command.
        CommandRefused = "a ring refused a command",
        /// A ring refused a delivery, which was told later.
        DeliveryRefused = "a ring refused a delivery",
        /// A shard was too far behind: its members lost something.
        GapTold = "a gap was told",
        /// A publisher was answered beside what it was not told.
        AnsweredInGap = "an answer within a gap",
        /// A worker that was refused was rung when there was room.
        RefusedRung = "a refused worker was rung",
        /// Somebody rang for a worker that was awake.
        RungAwake = "a doorbell rang for a worker awake",
        /// Somebody rang for a worker that slept.
        RungAsleep = "a doorbell rang for a worker asleep",
        /// Somebody rang while a worker was about to sleep.
        RungDeciding = "a doorbell rang for a worker about to sleep",

        // Recovery.
        /// A client came back further on than its room is here, and is held there.
        AheadHeld = "a member ahead was held",
        /// Somebody waited until others had recovered.
        RecoveryWaited = "a recovery waited",
        /// More was missed than may be told at once.
        RecoveryTooMuch = "a recovery was too much at once",
        /// Nobody came back for what was kept for it.
        PinExpired = "a pin expired",
        /// An engine gave a place whose predecessor was still to come.
        EngineEarly = "an engine placed a message early",

        // Connections.
        /// A connection moved in the middle of what it said.
        ThawedHalfSaid = "a connection moved within a frame it sent",
        /// A connection moved in the middle of what it was sent.
        ThawedHalfSent = "a connection moved within a frame it was sent",
        /// Both said goodbye at once.
        ClosedBoth = "both ends closed at once",
        /// A slow member was closed in the middle of a frame.
        SlowMidFrame = "a slow member was closed within a frame",
        /// A drain met a connection that was not answered yet.
        DrainedInHandshake = "a drain met a handshake",
        /// A shard was full for a newcomer.
        FullAtReserve = "a shard was full for a newcomer",
        /// A shard was full for a connection that wanted to move there.
        FullAtMove = "a shard was full for a move",
        /// Somebody was on the way to a shard that was to be empty.
        ArrivedWhileLeaving = "somebody arrived at a shard that leaves",
    }
}

impl Mark {
    /// Whether only worlds with workers come there.
    #[must_use]
    pub const fn is_of_workers(self) -> bool {
        matches!(self, Self::RefusedRung | Self::RungAwake | Self::RungAsleep | Self::RungDeciding)
    }
}
