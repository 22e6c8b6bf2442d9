//! What shards say to each other: commands towards homes, deliveries from them.

use std::sync::Arc;

use crate::id::{Author, ShardId};
use crate::log::Retention;
use crate::message::Batch;
use crate::position::{Offset, Position};
use crate::route::Namespace;

/// A room by name. Cloning shares the name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct RoomName {
    /// Which family of rooms.
    pub namespace: Namespace,
    /// Its name within it.
    pub name: Arc<str>,
}

/// Counts homes: no two homes of a node ever have the same term, not even of the same room.
///
/// A command names the home it is for by its term, so that one that comes late meets no stranger.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Term(pub u64);

/// One shard's attachment to one home, by a number that the attaching shard never uses again.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Link {
    /// The room's place on the attaching shard.
    pub(crate) room: u32,
    pub(crate) serial: u32,
}

/// Keeps a room's past for a connection that is between two shards.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Pin(pub(crate) u64);

/// Towards a home. A ring may refuse one; then its publisher waits.
#[derive(Debug)]
pub enum Command {
    /// This shard has members of the room, or will have.
    Attach(Box<Attach>),
    /// It has none any more.
    Detach {
        /// Who says so.
        from: ShardId,
        /// Which home it was attached to.
        term: Term,
        /// Which attachment ends; a later one of the same shard stays.
        link: Link,
    },
    /// Messages to be sequenced, in order. Each is answered by its delivery.
    Publish {
        /// Which home.
        term: Term,
        /// What was published; offsets are still missing.
        batch: Arc<Batch>,
    },
    /// Someone who attached wants what came after a position.
    Recover {
        /// Who asks.
        from: ShardId,
        /// Which home.
        term: Term,
        /// Comes back with the answer.
        ask: u64,
        /// Up to where it is known.
        since: Position,
        /// What need not be kept any longer.
        pin: Option<Pin>,
    },
    /// Keeps what comes from now on until it is recovered.
    Pin {
        /// Who asks.
        from: ShardId,
        /// Which home.
        term: Term,
        /// The pin.
        pin: Pin,
    },
    /// The connection that was between two shards has ended.
    Unpin {
        /// Which home.
        term: Term,
        /// Its pin.
        pin: Pin,
    },
    /// Who came and went on the sender's shard.
    Presence {
        /// Whose members.
        from: ShardId,
        /// Which home.
        term: Term,
        /// In order; all that are there, if `whole`.
        changes: Vec<Change>,
        /// Whether this replaces what was said before.
        whole: bool,
    },
    /// Nothing more will come from this shard for this term.
    Fence {
        /// Who says so.
        from: ShardId,
        /// For which home.
        term: Term,
    },
    /// A room's home moves to the receiver.
    Ship(Box<Shipment>),
}

impl Command {
    /// Bytes that its receiver reads beside the command itself. Names are not counted: they are
    /// shared and mostly known.
    #[must_use]
    pub fn carried_bytes(&self) -> usize {
        match self {
            Self::Attach(attach) => size_of::<Attach>() + size_of_val(&attach.roster[..]),
            Self::Publish { batch, .. } => batch.read_bytes(),
            Self::Presence { changes, .. } => size_of_val(&changes[..]),
            Self::Ship(shipment) => size_of::<Shipment>() + shipment.log.read_bytes(),
            Self::Detach { .. }
            | Self::Recover { .. }
            | Self::Pin { .. }
            | Self::Unpin { .. }
            | Self::Fence { .. } => 0,
        }
    }
}

/// A shard attaches to a home.
#[derive(Debug)]
pub struct Attach {
    /// Who attaches.
    pub from: ShardId,
    /// By which its deliveries are known.
    pub link: Link,
    /// The room.
    pub room: RoomName,
    /// Whom the registry named.
    pub term: Term,
    /// Up to where the shard has heard the room, if it has.
    pub since: Option<Position>,
    /// Its members that show presence.
    pub roster: Vec<Face>,
}

/// A member as others see it. Another name is another face: who takes one goes and comes.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Face {
    /// Whose messages it publishes.
    pub author: Author,
    /// By which name it shows itself, if it has one.
    pub name: Option<Arc<str>>,
}

impl From<Author> for Face {
    fn from(author: Author) -> Self {
        Self { author, name: None }
    }
}

/// Someone came or went.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// Who.
    pub who: Face,
    /// Came, or went.
    pub joined: bool,
}

/// All that a home knows, on its way to the next one.
#[derive(Debug)]
pub struct Shipment {
    /// From whom; commands for the old term are forwarded by it until it says [`Command::Fence`].
    pub from: ShardId,
    /// The room.
    pub room: RoomName,
    /// The new home's term.
    pub term: Term,
    /// Where the room is.
    pub position: Position,
    /// What is kept of its past, linked and ending at `position`.
    pub log: Batch,
    /// After which offset `log` begins.
    pub base: Offset,
    /// The ages of the messages in `log`, in ticks.
    pub ages: Vec<u32>,
    /// Shards that will attach to the new home, what they were sent, and their members.
    pub shards: Vec<Expected>,
    /// Connections between shards.
    pub pins: Vec<(Pin, Offset)>,
}

/// A shard that was attached to the home before.
#[derive(Debug)]
pub struct Expected {
    /// Which.
    pub shard: ShardId,
    /// What the old home sends it.
    pub sent: Offset,
    /// Its members that show presence.
    pub roster: Vec<Face>,
    /// Its messages that were sequenced in what it will not be told.
    pub answers: Vec<(u64, Offset)>,
}

/// From a home. Always drained by the receiver; when a ring is full, the home goes on from its log.
#[derive(Debug)]
pub enum Delivery {
    /// The shard hears the room from this position on.
    Attached {
        /// Which attachment.
        link: Link,
        /// The home's term.
        term: Term,
        /// The last message it does not hear.
        position: Position,
        /// Members that the home knows of, beside those of the receiver.
        population: u32,
    },
    /// The receiver's command was for a home that is not here: look again.
    NotHome {
        /// Which attachment.
        link: Link,
    },
    /// Messages, linked to what was said before. Those that the receiver published are
    /// acknowledged by it.
    Said {
        /// Which attachment.
        link: Link,
        /// In order.
        batch: Arc<Batch>,
    },
    /// The home does not remember what came before this position.
    Gap {
        /// Which attachment.
        link: Link,
        /// What follows is linked from here.
        position: Position,
    },
    /// Messages of the receiver that were sequenced within a gap.
    Answers {
        /// Which attachment.
        link: Link,
        /// Number and offset of each.
        answers: Vec<(u64, Offset)>,
    },
    /// What came after a position, up to what was delivered before this.
    Recovered {
        /// Which attachment.
        link: Link,
        /// The question.
        ask: u64,
        /// What was missed, if it is `complete`.
        batch: Arc<Batch>,
        /// Whether nothing is missing.
        complete: bool,
    },
    /// The pin holds.
    Pinned {
        /// Which attachment.
        link: Link,
        /// Which pin.
        pin: Pin,
    },
    /// Who came and went.
    Presence {
        /// Which attachment.
        link: Link,
        /// In order; all that are there, if `whole`.
        changes: Vec<Change>,
        /// Whether this replaces what was said before.
        whole: bool,
    },
    /// The room has another home; this one's last word.
    Moved {
        /// Which attachment.
        link: Link,
        /// The next home.
        to: ShardId,
        /// Its term.
        term: Term,
    },
}

impl Delivery {
    /// Bytes that its receiver reads beside the delivery itself; names are not counted.
    #[must_use]
    pub fn carried_bytes(&self) -> usize {
        match self {
            Self::Said { batch, .. } | Self::Recovered { batch, .. } => batch.read_bytes(),
            Self::Answers { answers, .. } => size_of_val(&answers[..]),
            Self::Presence { changes, .. } => size_of_val(&changes[..]),
            Self::Attached { .. }
            | Self::NotHome { .. }
            | Self::Gap { .. }
            | Self::Pinned { .. }
            | Self::Moved { .. } => 0,
        }
    }
}

/// The rings between shards, seen from one of them.
pub trait Post {
    /// Sends towards a home.
    ///
    /// # Errors
    /// Gives the command back if the ring is full.
    fn command(&mut self, to: ShardId, command: Command) -> Result<(), Command>;

    /// Sends from a home.
    ///
    /// # Errors
    /// Gives the delivery back if the ring is full.
    fn deliver(&mut self, to: ShardId, delivery: Delivery) -> Result<(), Delivery>;
}

/// What is kept of a namespace's rooms.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RoomPolicy {
    /// The past that can be recovered.
    pub history: Retention,
    /// Whether members hear of each other.
    pub presence: bool,
}
