//! What happened in a run, so that a campaign can show that nothing was left untried.

use std::ops::AddAssign;

use crate::counts::Group;

macro_rules! coverage {
    ($($(#[$doc:meta])* $name:ident = $group:ident $label:literal,)*) => {
        /// Counts over one run, or over a campaign of them.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub struct Coverage {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Coverage {
            /// Every number with its group and its name; faults have the names of their kinds.
            pub fn rows(&self) -> impl Iterator<Item = (Group, &'static str, u64)> {
                [$((Group::$group, $label, self.$name)),*].into_iter()
            }
        }

        impl AddAssign for Coverage {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

coverage! {
    /// Messages that hubs accepted from clients.
    published = Work "published messages",
    /// Messages heard by members.
    deliveries = Work "deliveries",
    /// Acknowledgements.
    acks = Work "acknowledgements",
    /// Members that were told of a gap.
    gaps = Outcome "gaps",
    /// Raw members closed because of one.
    gap_closes = Outcome "closes for a gap",
    /// Members that got all they had missed.
    complete = Outcome "complete recoveries",
    /// Members whose position was too old.
    incomplete = Outcome "incomplete recoveries",
    /// Members that came back further on than their room was there.
    ahead = Race "members ahead",
    /// Connections that went on at another shard.
    moves = Fault "moves",
    /// Connections that had to stay because the other shard was full.
    refused_moves = Race "refused moves",
    /// Newcomers that went to another shard than the one that accepted them.
    passed = Race "newcomers passed on",
    /// Newcomers that went further, since that other shard was leaving by then.
    passed_twice = Race "newcomers passed on twice",
    /// Shards that told their connections to go.
    dismissed = Fault "dismissed-shards",
    /// Homes that went on at another shard.
    migrations = Fault "migrations",
    /// Letters that a ring did not take.
    refused_letters = Fault "full-rings",
    /// Members not read from because a ring was full.
    stalls = Race "stalls",
    /// Homes that were not where they were looked for.
    not_home = Race "answers from no home",
    /// Homes that shards had to wait for until they came.
    awaited = Race "awaited homes",
    /// Members closed because they did not read.
    slow_closes = Outcome "slow closes",
    /// Messages that lossy members missed.
    lossy = Outcome "lossy drops",
    /// Times that what a room's members were sent had waited for more.
    coalesced = Work "coalesced flights",
    /// Shards that were added.
    added = Fault "added-shards",
    /// Shards that became vacant.
    evacuated = Fault "evacuated-shards",
    /// Answers of the engine that came before an earlier question's.
    early_answers = Race "engine answers out of order",
    /// Messages that the engine refused.
    engine_refusals = Fault "engine-refusals",
    /// Members that came and went, as others heard.
    presence = Work "presence changes",
    /// Lists of members.
    rosters = Work "lists of members",
    /// Clients that heard 503.
    refused = Outcome "refused connections",
    /// Clients that were cut without a word.
    overloaded = Outcome "overloaded connections",
    /// Sends of which only a part was taken.
    short_writes = Fault "short-writes",
    /// Moments at which everything had to be true although some members were stuck.
    checkpoints = Work "checkpoints",
    /// Large payloads, shared between members.
    large = Work "large payloads",
    /// Pieces of payloads that were sent from a store.
    stored = Work "pieces sent from a store",
    /// Members whose room began anew.
    resets = Outcome "resets",
    /// Clients that began to take a few bytes at a time.
    slowed = Fault "slow-readers",
    /// Clients that stopped to take anything.
    stuck = Fault "stuck-readers",
    /// Connections that were cut.
    severed = Fault "severed",
    /// Clients that were gone amid a frame.
    crashes = Fault "crashes-amid-frame",
    /// Clients that nobody heard of again.
    half_open = Fault "half-open",
    /// Rooms and shards whose clients were all cut.
    storms = Fault "storms",
    /// Clients that said what none may.
    garbage = Fault "garbage",
    /// Users that were let in no more.
    revoked = Fault "revoked-users",
    /// Moments in which no shard turned.
    pauses = Fault "pauses",
    /// Times that the clock went on at once.
    jumps = Fault "clock-jumps",
    /// Newcomers for whom their shard had no place.
    full_shards = Fault "full-shards",
    /// Shards that did not turn for a while.
    late_turns = Fault "late-turns",
    /// Drains while everyone spoke.
    drains = Fault "drains-under-load",
    /// Clients that were closed since they did not answer a ping.
    no_pongs = Outcome "closes for no pong",
    /// Clients that were closed for what they said.
    broken_rules = Outcome "closes for broken rules",
    /// Requests that were answered with an error of their author's.
    rejected = Outcome "rejected requests",
    /// Clients whose tokens were not good.
    unauthorized = Outcome "wrong tokens",
    /// Clients that were told to go, since their user is let in no more.
    told_off = Outcome "closes by order",
    /// Requests that were not complete in time.
    timeouts = Outcome "handshakes not in time",
    /// Messages that their authors were told are not in the room.
    refused_messages = Outcome "refused messages",
    /// Connections that were cut with something unsaid.
    cut = Outcome "cut connections",
    /// Tokens that were answered late.
    late_tokens = Race "late tokens",
    /// Members that took another name.
    renames = Work "new names",
    /// Lists of who is there, where people chat.
    user_lists = Work "user lists",
    /// Answers to who asked.
    notices = Work "notices",
}

impl Coverage {
    /// What may not happen in a campaign: a room begins anew under a member only where it was alone
    /// and between two shards.
    pub const EXCEPTIONAL: [&'static str; 1] = ["resets"];
}
