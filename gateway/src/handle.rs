//! A program's hand on a running node, from any thread: connections, users, rooms.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use gateway_core::close::CloseCode;
use gateway_core::envelope::RoomName;
use gateway_core::limits::Limits;
use gateway_core::route::Routes;
use thiserror::Error;

use crate::auth;
use crate::node::Node;
use crate::orders::{Errand, For, Mailboxes, Task};
use crate::sequencer;

pub use crate::orders::{ORDER_BYTES_MAX, ORDERS_MAX};
pub use gateway_core::order::{ConnectionId, Content, Order, To};

/// How long [`Handle::rooms`] waits for an answer.
const ROOMS_WAIT: Duration = Duration::from_secs(5);

/// Gives orders to a node. Cheap to clone, and used by any number of threads.
///
/// An order that is accepted is carried out in the next turns of the shards it is for; orders of
/// one thread to one connection, or to one room, are carried out in their order. Nothing here
/// waits, except [`rooms`](Self::rooms). At most [`ORDERS_MAX`] orders and [`ORDER_BYTES_MAX`]
/// bytes of them wait; beyond that they are refused, and may be tried again.
///
/// `Everyone`, and a user, are whoever is open on each shard when that shard takes the order. Who
/// moves between two shards at this moment, because its shard is removed, may be met by both or by
/// neither; what is published to a room has no such gap.
#[derive(Clone, Debug)]
pub struct Handle {
    node: Arc<Node>,
    mailboxes: Mailboxes,
    routes: Arc<Routes>,
    limits: Arc<Limits>,
}

/// Why an order is not carried out. Nothing of it is.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum OrderError {
    /// Too many orders wait.
    #[error("{ORDERS_MAX} orders or {ORDER_BYTES_MAX} bytes wait for the shards; try again later")]
    Full,
    /// The node has ended.
    #[error("the node has ended; start another")]
    Ended,
    /// The message is too long.
    #[error("a message of {bytes} bytes is more than message_bytes_max, {bytes_max}")]
    TooLong {
        /// Its payload.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// A text that is none, which clients would close for (RFC 6455 §8.1).
    #[error("a text message is not UTF-8; send it as binary")]
    NotUtf8,
    /// No client could name the room either.
    #[error("a room's name has 1 to {bytes_max} bytes; give another than {name:?}")]
    RoomName {
        /// What it was called.
        name: String,
        /// The bound.
        bytes_max: usize,
    },
    /// No route opens rooms of this family.
    #[error("no route opens the namespace {0:?}; write the name that a route has")]
    NoNamespace(String),
    /// RFC 6455 §7.4: such a code is never sent.
    #[error("close code {0} is never sent; use 1000, or one of 3000 to 4999")]
    CloseCode(CloseCode),
    /// It was asked on a worker's thread, which would wait for itself.
    #[error("rooms are not asked for on a worker's thread; ask the callback's client")]
    OnWorker,
    /// The shards did not answer in time.
    #[error("no answer within {} s; the shards are busy, try again", ROOMS_WAIT.as_secs())]
    NoAnswer,
}

impl Handle {
    pub(crate) fn new(
        node: Arc<Node>,
        mailboxes: Mailboxes,
        routes: Arc<Routes>,
        limits: Limits,
    ) -> Self {
        Self { node, mailboxes, routes, limits: Arc::new(limits) }
    }

    /// The name of a room, for the other methods.
    ///
    /// # Errors
    /// If no route opens the namespace, or the name has no byte or more than
    /// `room_name_bytes_max`. The one room of a route without `{room}` has the name of no byte.
    pub fn room(&self, namespace: &str, name: &str) -> Result<RoomName, OrderError> {
        let no_namespace = || OrderError::NoNamespace(namespace.to_owned());
        let namespace = self.routes.namespace(namespace).ok_or_else(no_namespace)?;
        let room = RoomName { namespace, name: name.into() };
        self.check_room(&room)?;
        Ok(room)
    }

    /// Whether clients could name the room too.
    fn check_room(&self, room: &RoomName) -> Result<(), OrderError> {
        let RoomName { namespace, name } = room;
        if !self.routes.iter().any(|route| route.namespace == Some(*namespace)) {
            return Err(OrderError::NoNamespace(format!("{}", namespace.index())));
        }
        let bytes_max = self.limits.room_name_bytes_max;
        if name.len() > bytes_max || name.is_empty() && !self.routes.opens_nameless(*namespace) {
            let end = name.floor_char_boundary(bytes_max);
            return Err(OrderError::RoomName { name: name[..end].to_owned(), bytes_max });
        }
        Ok(())
    }

    /// Sends a text.
    ///
    /// # Errors
    /// If it is too long, too many orders wait, or the node has ended.
    pub fn send_text(&self, to: To, text: impl Into<String>) -> Result<(), OrderError> {
        self.order(Order::Send(to, Content::text(text)))
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// As of [`send_text`](Self::send_text).
    pub fn send_binary(&self, to: To, bytes: impl Into<Vec<u8>>) -> Result<(), OrderError> {
        self.order(Order::Send(to, Content::binary(bytes.into())))
    }

    /// Sends a text to all open connections of the node but echoes.
    ///
    /// # Errors
    /// As of [`send_text`](Self::send_text).
    pub fn broadcast(&self, text: impl Into<String>) -> Result<(), OrderError> {
        self.send_text(To::Everyone, text)
    }

    /// Has them hear a room beside those that they hear. Not echoes.
    ///
    /// # Errors
    /// If too many orders wait, or the node has ended.
    pub fn join(&self, to: To, room: &RoomName) -> Result<(), OrderError> {
        self.order(Order::Join(to, room.clone()))
    }

    /// Has them hear the room no more, unless it is that of their own path.
    ///
    /// # Errors
    /// As of [`join`](Self::join).
    pub fn leave(&self, to: To, room: &RoomName) -> Result<(), OrderError> {
        self.order(Order::Leave(to, room.clone()))
    }

    /// Says something in a room, to all of its members.
    ///
    /// # Errors
    /// As of [`send_text`](Self::send_text).
    pub fn publish(&self, room: &RoomName, content: Content) -> Result<(), OrderError> {
        self.order(Order::Publish(room.clone(), content))
    }

    /// Closes them, after all that was said to them, with a reason of which 123 bytes are sent.
    ///
    /// # Errors
    /// If the code is one that is never sent, too many orders wait, or the node has ended.
    pub fn close(
        &self,
        to: To,
        code: CloseCode,
        reason: impl Into<Arc<str>>,
    ) -> Result<(), OrderError> {
        self.order(Order::Close(to, code, reason.into()))
    }

    /// Gives any order.
    ///
    /// # Errors
    /// As of the methods above.
    pub fn order(&self, order: Order) -> Result<(), OrderError> {
        self.check(&order)?;
        let (of, bytes) = (whom(&order), order.len());
        self.give(of, Errand::Order(order), bytes)
    }

    /// The rooms of a connection, that of its own path first; none if it has gone. Waits for the
    /// next turn of its shard, so that it is for threads that may wait.
    ///
    /// # Errors
    /// If the shards do not answer within 5 s, the node has ended, or on a worker's own thread.
    pub fn rooms(&self, connection: ConnectionId) -> Result<Option<Vec<RoomName>>, OrderError> {
        if crate::worker::is_this() {
            return Err(OrderError::OnWorker);
        }
        let (tell, told) = mpsc::channel();
        let of = connection.birthplace().map_or(For::All, For::Shard);
        self.give(of, Errand::Rooms(connection, tell), 0)?;
        match told.recv_timeout(ROOMS_WAIT) {
            Ok(rooms) => Ok(Some(rooms)),
            // All who could have answered have dropped the question.
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) if self.node.is_over() => Err(OrderError::Ended),
            Err(RecvTimeoutError::Timeout) => Err(OrderError::NoAnswer),
        }
    }

    /// Answers an [`Auth`](auth::Auth) that said `Later`. Nothing happens if the client has gone,
    /// or was answered.
    ///
    /// # Errors
    /// If too many orders wait, or the node has ended. With `Later` once more nothing is said.
    pub fn decide(&self, ticket: auth::Ticket, decision: auth::Decision) -> Result<(), OrderError> {
        let granted = match decision {
            auth::Decision::Granted(grant) => Some(grant),
            auth::Decision::Refused => None,
            auth::Decision::Later => return Ok(()),
        };
        let errand = Errand::Decided(ticket.inner, granted);
        self.give(For::Shard(ticket.shard), errand, 0)
    }

    /// Answers a [`Sequencer`](sequencer::Sequencer) that said `Later`. Nothing happens if the
    /// message has a place already, or its room is no more.
    ///
    /// # Errors
    /// If too many orders wait, or the node has ended. With `Later` once more nothing is said.
    pub fn place(
        &self,
        ticket: sequencer::Ticket,
        placed: sequencer::Placed,
    ) -> Result<(), OrderError> {
        match placed.answer(ticket) {
            Some(answer) => self.give(For::Shard(ticket.shard), Errand::Placed(answer), 0),
            None => Ok(()),
        }
    }

    /// Orders that wait to be carried out, and bytes of payload in them.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        self.mailboxes.waiting()
    }

    fn check(&self, order: &Order) -> Result<(), OrderError> {
        if let Order::Join(_, room) | Order::Leave(_, room) | Order::Publish(room, _) = order {
            self.check_room(room)?;
        }
        match order {
            Order::Send(_, content) | Order::Publish(_, content) => {
                let (bytes, bytes_max) = (content.bytes.len(), self.limits.message_bytes_max);
                if bytes > bytes_max {
                    return Err(OrderError::TooLong { bytes, bytes_max });
                }
                if !content.is_valid() { Err(OrderError::NotUtf8) } else { Ok(()) }
            }
            Order::Close(_, code, _) if !code.is_legal() => Err(OrderError::CloseCode(*code)),
            Order::Join(..) | Order::Leave(..) | Order::Close(..) => Ok(()),
        }
    }

    fn give(&self, of: For, errand: Errand, bytes: usize) -> Result<(), OrderError> {
        if self.node.is_over() {
            return Err(OrderError::Ended);
        }
        let weight = self.mailboxes.weigh(bytes).ok_or(OrderError::Full)?;
        let task = Task { of, errand, hops: 0, weight };
        match of {
            // Also if the shard has gone: its worker knows more, and what is ordered later must not
            // overtake.
            For::Shard(shard) if shard.index() < self.node.shards_max() => {
                self.mailboxes.post(self.node.worker_of(shard), task);
            }
            For::Any(hash) => match self.node.any_serving(hash) {
                Some(shard) => self.mailboxes.post(self.node.worker_of(shard), task),
                None => return Err(OrderError::Ended),
            },
            // Of another node.
            For::Shard(_) => {
                self.mailboxes.post_to_all(&Task { of: For::All, ..task });
            }
            For::All => self.mailboxes.post_to_all(&task),
        }
        Ok(())
    }
}

/// Who takes an order first.
fn whom(order: &Order) -> For {
    match order {
        Order::Publish(room, _) => {
            let mut hasher = DefaultHasher::new();
            (room.namespace.index(), &room.name).hash(&mut hasher);
            For::Any(hasher.finish())
        }
        Order::Send(to, _) | Order::Join(to, _) | Order::Leave(to, _) | Order::Close(to, ..) => {
            match to {
                To::Connection(connection) => connection.birthplace().map_or(For::All, For::Shard),
                To::User(_) | To::Everyone => For::All,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_goes_everywhere() {
        fn sendable<T: Send + Sync + Clone + 'static>() {}
        sendable::<Handle>();
    }
}
