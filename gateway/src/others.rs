//! What one shard sees of the others: places for connections, rings, and the registry.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_core::dispatch::{Answer, Inquiry};
use gateway_core::envelope::{Command, Delivery, Post};
use gateway_core::frozen::Frozen;
use gateway_core::id::ShardId;
use gateway_registry::census::Census;
use gateway_registry::ids;

use crate::sources::Seat;

/// The seam between a turn and the rest of its node. `S` is a connection outside its slot.
///
/// Nothing here waits. A place is counted from [`find_place`](Self::find_place) to
/// [`release`](Self::release); it goes along when its connection is [shipped](Self::ship).
pub trait Others<S>: Post {
    /// Takes a place for somebody who was just accepted: here, or on the shard that is to serve it.
    fn find_place(&mut self, newcomer: &Newcomer) -> Found;

    /// Where somebody goes on who was passed to this shard and has a place here, if the shard
    /// leaves and another one serves: there is a place for it then, and none here any more.
    fn send_on(&mut self, newcomer: &Newcomer) -> Option<ShardId>;

    /// Hands somebody over for whom a place was found there.
    fn pass(&mut self, to: ShardId, passed: Passed<S>);

    /// Gives the place of one connection back.
    fn release(&mut self);

    /// Asks the room registry; a retirement has no answer.
    fn inquire(&mut self, inquiry: Inquiry) -> Option<Answer>;

    /// Takes a place on another shard for a connection that is to go there, and gives its place
    /// here back. False if it is to stay: nothing has changed then.
    fn make_way(&mut self, to: ShardId) -> bool;

    /// Hands a connection over, for which way was made.
    fn ship(&mut self, to: ShardId, moved: Moved<S>);

    /// Gives back the place on another shard of a connection that is gone before it was shipped.
    fn give_up(&mut self, to: ShardId);

    /// Tells the others what they were sent, and takes in what they have sent, within bounds.
    fn look_around(&mut self);

    /// The next of what was taken in for this shard.
    fn next_arrival(&mut self) -> Option<Arrival<S>>;
}

/// Something that came from another shard.
#[derive(Debug)]
pub enum Arrival<S> {
    /// Towards a home here.
    Command(Command),
    /// From a home.
    Delivery(Delivery),
    /// A connection that has a place here already.
    Moved(Moved<S>),
    /// Somebody whom another shard accepted and this one is to serve: it has a place here already.
    Passed(Passed<S>),
}

/// Somebody who was accepted and of whom nothing was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Newcomer {
    /// Where it comes from.
    pub peer: SocketAddr,
    /// The CPU on which its packets arrive, where the system tells.
    pub cpu: Option<u32>,
    /// Whether it asked for the shard that accepted it, by that one's own port.
    pub own: bool,
}

/// Where there is a place for a newcomer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Found {
    /// Here; it is taken.
    Here,
    /// On another shard; it is taken, and the newcomer is expected there.
    There(ShardId),
    /// Nowhere.
    Nowhere,
}

/// A newcomer between the shard that accepted it and the one that serves it.
#[derive(Debug)]
pub struct Passed<S> {
    /// The connection.
    pub socket: S,
    /// Who it is.
    pub newcomer: Newcomer,
    /// That it is counted for its source, if it is. Whoever it ends with gives it back.
    pub seat: Option<Seat>,
}

/// A connection between two shards.
#[derive(Debug)]
pub struct Moved<S> {
    /// The connection.
    pub socket: S,
    /// All that is known of it.
    pub frozen: Box<Frozen>,
    /// That it is counted for its source, if it is. Whoever it ends with gives it back.
    pub seat: Option<Seat>,
}

/// No others: a shard whose hub is alone, and so asks nobody and sends nothing.
#[derive(Clone, Debug, Default)]
pub struct Alone {
    census: Option<Arc<Census>>,
}

impl Alone {
    /// Its connections are counted as shard 0's.
    #[must_use]
    pub fn counted(census: Arc<Census>) -> Self {
        Self { census: Some(census) }
    }
}

const NOBODY: &str = "a hub that is alone has nobody to speak to";

impl Post for Alone {
    fn command(&mut self, _: ShardId, _: Command) -> Result<(), Command> {
        unreachable!("{NOBODY}")
    }

    fn deliver(&mut self, _: ShardId, _: Delivery) -> Result<(), Delivery> {
        unreachable!("{NOBODY}")
    }
}

impl<S> Others<S> for Alone {
    fn find_place(&mut self, _: &Newcomer) -> Found {
        let placed = self.census.as_ref().is_none_or(|it| it.reserve(ids::ShardId(0)).is_ok());
        if placed { Found::Here } else { Found::Nowhere }
    }

    fn send_on(&mut self, _: &Newcomer) -> Option<ShardId> {
        None
    }

    fn pass(&mut self, _: ShardId, _: Passed<S>) {
        unreachable!("{NOBODY}")
    }

    fn release(&mut self) {
        if let Some(census) = &self.census {
            census.release(ids::ShardId(0));
        }
    }

    fn inquire(&mut self, _: Inquiry) -> Option<Answer> {
        unreachable!("{NOBODY}")
    }

    fn make_way(&mut self, _: ShardId) -> bool {
        false
    }

    fn ship(&mut self, _: ShardId, _: Moved<S>) {
        unreachable!("{NOBODY}")
    }

    fn give_up(&mut self, _: ShardId) {
        unreachable!("{NOBODY}")
    }

    fn look_around(&mut self) {}

    fn next_arrival(&mut self) -> Option<Arrival<S>> {
        None
    }
}
