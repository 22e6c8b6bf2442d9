//! What happened in a run, so that a campaign can show that nothing was left untried.

use std::ops::AddAssign;

macro_rules! coverage {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// Counts over one run, or over a campaign of them.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub struct Coverage {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Coverage {
            /// Every number with its name.
            pub fn rows(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($label, self.$name)),*].into_iter()
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
    published = "published messages",
    /// Messages heard by members.
    deliveries = "deliveries",
    /// Acknowledgements.
    acks = "acknowledgements",
    /// Members that were told of a gap.
    gaps = "gaps",
    /// Raw members closed because of one.
    gap_closes = "closes for a gap",
    /// Members that got all they had missed.
    complete = "complete recoveries",
    /// Members whose position was too old.
    incomplete = "incomplete recoveries",
    /// Members that came back further on than their room was there.
    ahead = "members ahead",
    /// Connections that went on at another shard.
    moves = "moves",
    /// Connections that had to stay because the other shard was full.
    refused_moves = "refused moves",
    /// Newcomers that went to another shard than the one that accepted them.
    passed = "newcomers passed on",
    /// Newcomers that went further, since that other shard was leaving by then.
    passed_twice = "newcomers passed on twice",
    /// Shards that told their connections to go.
    dismissed = "dismissed shards",
    /// Homes that went on at another shard.
    migrations = "migrations",
    /// Letters that a ring did not take.
    refused_letters = "refused letters",
    /// Members not read from because a ring was full.
    stalls = "stalls",
    /// Homes that were not where they were looked for.
    not_home = "answers from no home",
    /// Homes that shards had to wait for until they came.
    awaited = "awaited homes",
    /// Members closed because they did not read.
    slow_closes = "slow closes",
    /// Messages that lossy members missed.
    lossy = "lossy drops",
    /// Times that what a room's members were sent had waited for more.
    coalesced = "coalesced flights",
    /// Shards that were added.
    added = "added shards",
    /// Shards that became vacant.
    evacuated = "evacuated shards",
    /// Answers of the engine that came before an earlier question's.
    early_answers = "engine answers out of order",
    /// Messages that the engine refused.
    engine_refusals = "engine refusals",
    /// Members that came and went, as others heard.
    presence = "presence changes",
    /// Lists of members.
    rosters = "lists of members",
    /// Clients that heard 503.
    refused = "refused connections",
    /// Clients that were cut without a word.
    overloaded = "overloaded connections",
    /// Sends of which only a part was taken.
    short_writes = "short writes",
    /// Moments at which everything had to be true although some members were stuck.
    checkpoints = "checkpoints",
    /// Large payloads, shared between members.
    large = "large payloads",
    /// Pieces of payloads that were sent from a store.
    stored = "pieces sent from a store",
    /// Members whose room began anew.
    resets = "resets",
}

impl Coverage {
    /// What a world without faults in the hub may never see.
    pub const EXCEPTIONAL: [&'static str; 1] = ["resets"];
}
