//! Deliberate faults, which the simulation must find.
//!
//! Each stands where the promise is kept, as `is(Mutant::…)`. Which world is to find it, and by
//! which promise, says `sim`. Faults in what threads share are not here: those are twins that loom
//! is to find out, each by a rule of the registry's.

use crate::listed::listed;

listed! {
    /// One way to break a promise.
    pub enum Mutant {
        // Who hears what.
        /// Whoever says something hears it too.
        SenderHears = "sender-hears",
        /// Authors are known by shard and slot alone: the next in a slot is taken for the one
        /// before.
        ReusedId = "reused-id",
        /// Recovery gives authors their own messages.
        OwnRecovered = "own-recovered",
        /// What a home says to an attachment that has ended is taken for the room's that has its
        /// place now.
        StaleLink = "stale-link",

        // Positions.
        /// A shard numbers what is published there although the home is elsewhere.
        WrongShard = "wrong-shard",
        /// A message names another predecessor than its own.
        WrongPrev = "wrong-prev",
        /// A shard that is too far behind is sent what is left, without a word.
        SilentGap = "silent-gap",
        /// A client that is ahead is put back to where the room is here.
        MovedBack = "moved-back",
        /// A client that is ahead hears what comes before its position again.
        FloorForgotten = "floor-forgotten",

        // The past.
        /// A message is acknowledged before its home has it.
        EarlyAck = "early-ack",
        /// A publisher is never told that its message has a place.
        AckUnsaid = "ack-unsaid",
        /// A room remembers one message less than its history.
        HistoryShort = "history-short",
        /// Recovery leaves out the first message that was missed, and says that it is complete.
        RecoveryHole = "recovery-hole",
        /// Recovery begins with the message that was heard last.
        RecoveredTwice = "recovered-twice",

        // Homes that move, and rings that refuse.
        /// What is published while its home moves is dropped.
        LostInMigration = "lost-in-migration",
        /// What is published while its home moves is given to the next one twice.
        HeldTwice = "held-twice",
        /// What is published goes to the next home before the old one has answered for what went
        /// there.
        EarlySwitch = "early-switch",
        /// A shard does not tell the old home that nothing more comes.
        FenceUnsaid = "fence-unsaid",
        /// A command that its ring refuses is dropped.
        CommandLost = "command-lost",
        /// A delivery that its ring refuses is taken for told.
        DeliveryLost = "delivery-lost",
        /// Who was not read from because a ring was full never is again.
        StallForgotten = "stall-forgotten",

        // Connections that move.
        /// What a connection still owes stays behind when it moves.
        OwedLeftBehind = "owed-left-behind",
        /// A connection that goes to another worker never arrives.
        TravellerLost = "traveller-lost",
        /// What a connection has half said stays behind when it moves.
        HalfSaidLeftBehind = "half-said-left-behind",

        // Who is there.
        /// Who goes is still shown to be there.
        PresenceLeaked = "presence-leaked",
        /// Members are not told who went.
        LeaveUntold = "leave-untold",

        // Bounds.
        /// One connection too many is let in.
        OverCapacity = "over-capacity",
        /// A connection moves to a shard that is full.
        MoveUnchecked = "move-unchecked",
        /// The place of a connection that moves is given back twice.
        PlaceGivenTwice = "place-given-twice",
        /// The place of a connection that ends is never given back.
        PlaceKept = "place-kept",
        /// What a shard's members owe together has no bound.
        BudgetIgnored = "budget-ignored",

        // Sockets.
        /// Of what was owed only a part is taken, and all of it is taken for sent.
        TailLost = "tail-lost",
        /// Who owes is sent to past what it owes.
        PastOutbox = "past-outbox",
        /// A chunk is used again while somebody owes from it.
        ChunkReused = "chunk-reused",
        /// Who does not take everything keeps those behind it from being sent to.
        FlightStopped = "flight-stopped",
        /// Nobody is read from as long as anybody owes: all wait for who does not read.
        SlowHoldsAll = "slow-holds-all",
        /// Nobody asks when a socket takes bytes again.
        InterestForgotten = "interest-forgotten",
        /// The last byte of a buffer that was read full is lost.
        FullReadCut = "full-read-cut",

        // Frames.
        /// A frame's mask begins anew with each piece of it.
        MaskNotTurned = "mask-not-turned",
        /// Text in several frames becomes binary.
        WrongOpcode = "wrong-opcode",

        // Ends.
        /// Whoever was sent a close frame goes on hearing its room.
        AfterClose = "after-close",
        /// A drain passes over one connection.
        DrainOmitsOne = "drain-omits-one",
        /// Who comes while the node drains is let in.
        OpenWhileDraining = "open-while-draining",
        /// Who is closed is cut at once, whether or not it has heard so.
        CutEarly = "cut-early",
        /// A connection is released twice.
        ReleasedTwice = "released-twice",
        /// A close is not counted.
        CloseUncounted = "close-uncounted",
        /// What a lossy member does not hear is not counted.
        DropUncounted = "drop-uncounted",
    }
}
