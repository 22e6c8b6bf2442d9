//! What goes wrong, as data: a kind, when, for how long, and whom it hits.

use std::fmt;

/// A kind of fault. A campaign in which one never took effect has left something untried.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// Nothing passes between a client host and a node, either way. What was under way is lost,
    /// and TCP does not repeat it here: such connections are dead even when the link is whole.
    Partition,
    /// As a partition, but one way only.
    OneWay,
    /// What is sent waits on the link, and arrives when it is let go.
    Hold,
    /// What waits on the link arrives piece by piece, in any order.
    Reorder,
    /// Everything takes longer.
    Latency,
    /// Segments are lost now and then, which breaks the link until it is mended.
    Loss,
    /// A client host is cut away and never told, until all faults end.
    HalfOpen,
    /// A node's process is killed; its host's network says so.
    Crash,
    /// A node's host loses its power: nobody hears a word, then it starts anew.
    PowerLoss,
    /// A node drains, ends and starts anew.
    Drain,
    /// A node is given one more shard.
    ShardAdded,
    /// A shard is taken from a node; its connections move.
    ShardMoved,
    /// A shard is taken from a node; its connections are told to go.
    ShardDismissed,
    /// A node's clock jumps ahead.
    ClockJump,
    /// A client reads a message now and then.
    SlowReader,
    /// A client does not read at all, and takes few bytes unread.
    StuckReader,
    /// A client sends what is no frame, or no request.
    Garbage,
    /// All clients of a node are gone at once and come back at once.
    Storm,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Partition,
        Self::OneWay,
        Self::Hold,
        Self::Reorder,
        Self::Latency,
        Self::Loss,
        Self::HalfOpen,
        Self::Crash,
        Self::PowerLoss,
        Self::Drain,
        Self::ShardAdded,
        Self::ShardMoved,
        Self::ShardDismissed,
        Self::ClockJump,
        Self::SlowReader,
        Self::StuckReader,
        Self::Garbage,
        Self::Storm,
    ];

    /// Its name, as counts and flags have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::OneWay => "one-way",
            Self::Hold => "hold",
            Self::Reorder => "reorder",
            Self::Latency => "latency",
            Self::Loss => "loss",
            Self::HalfOpen => "half-open",
            Self::Crash => "crash",
            Self::PowerLoss => "power-loss",
            Self::Drain => "drain",
            Self::ShardAdded => "shard-added",
            Self::ShardMoved => "shard-moved",
            Self::ShardDismissed => "shard-dismissed",
            Self::ClockJump => "clock-jump",
            Self::SlowReader => "slow-reader",
            Self::StuckReader => "stuck-reader",
            Self::Garbage => "garbage",
            Self::Storm => "storm",
        }
    }

    /// Whether it is something between a client host and a node.
    #[must_use]
    pub fn is_of_link(self) -> bool {
        matches!(
            self,
            Self::Partition
                | Self::OneWay
                | Self::Hold
                | Self::Reorder
                | Self::Latency
                | Self::Loss
                | Self::HalfOpen
        )
    }

    /// Whether it befalls one client.
    #[must_use]
    pub fn is_of_client(self) -> bool {
        matches!(self, Self::SlowReader | Self::StuckReader | Self::Garbage)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One fault of a plan.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fault {
    /// Its place in the whole plan, by which it is left out: `f7`.
    pub(super) number: usize,
    pub(super) kind: Kind,
    pub(super) at_millis: u64,
    pub(super) lasts_millis: u64,
    /// Places among those of their kind, whether this fault concerns them or not.
    pub(super) node: usize,
    pub(super) host: usize,
    pub(super) client: usize,
    /// How much: milliseconds of latency, seconds of a jump, bytes of a window, and which way or
    /// what otherwise.
    pub(super) amount: u64,
}

impl Fault {
    /// By which it is known.
    pub(super) fn name(&self) -> String {
        format!("f{}", self.number)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "f{} {}", self.number, self.kind)?;
        match self.kind {
            kind if kind.is_of_link() => write!(f, ", host {} and node {}", self.host, self.node),
            kind if kind.is_of_client() => write!(f, ", client {}", self.client),
            _ => write!(f, ", node {}", self.node),
        }
    }
}
