//! Middleware: what is done around each message of a route, where it comes in.
//!
//! A chain is an onion: each layer is given a context and a message, and gives a verdict. It may
//! ask the [`Next`] one, with the same message or another, before, after or not at all. A layer
//! does no I/O and never waits; it sees one message of its shard at a time, so that it needs no
//! lock. One that panics costs its connection a 1011 and nobody else anything.

mod commands;
mod rate;

use std::borrow::Cow;
use std::fmt;

use crate::close::CloseCode;
use crate::event::CloseReason;
use crate::frame::Kind;
use crate::handler::{Client, Handler};
use crate::id::ShardId;
use crate::order::ConnectionId;
use crate::time::Now;

pub use commands::Commands;
pub(crate) use rate::Rate;
pub use rate::{RateLimit, RateLimitError};

/// A message on its way in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Message<'a> {
    /// Text or binary.
    pub kind: Kind,
    /// Its payload, unmasked; text is UTF-8.
    pub bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// A text message.
    #[must_use]
    pub fn of_text(text: &'a str) -> Self {
        Self { kind: Kind::Text, bytes: text.as_bytes() }
    }

    /// The text, if that is what it is.
    #[must_use]
    pub fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes).ok().filter(|_| self.kind == Kind::Text)
    }
}

/// Whose message it is, and when it came.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Context<'a> {
    /// The connection that it came by.
    pub connection: ConnectionId,
    /// The connection's route, as its path was written.
    pub route: &'a str,
    /// What stood in the place of `{room}`; empty for a route without.
    pub room: &'a str,
    /// Who its client is, if whoever let it in has said so.
    pub user: Option<&'a str>,
    /// How it is called where people chat.
    pub name: Option<&'a str>,
    /// The moment of this turn.
    pub now: Now,
    /// Until when the connection is not to be read from.
    pub(crate) slow_until: Option<Now>,
}

impl Context<'_> {
    /// Reads nothing more from the connection until then, to a quarter of a second. What was read
    /// already is still handled.
    pub fn read_again_at(&mut self, at: Now) {
        self.slow_until = self.slow_until.max(Some(at));
    }

    /// Until when the connection is not to be read from, if anyone has said so.
    #[must_use]
    pub fn slow_until(&self) -> Option<Now> {
        self.slow_until
    }
}

/// What becomes of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The route serves it as it came.
    Serve,
    /// The route serves this text in its place. One that is longer than `message_bytes_max`, or
    /// with which a shard's handlers and layers say more than `handler_bytes_max` between two
    /// flushes, closes the connection with 1011; so with bytes.
    Instead(String),
    /// The route serves these bytes in its place.
    InsteadBinary(Vec<u8>),
    /// Its handler has served it.
    Handled,
    /// It goes no further.
    Drop,
    /// It goes no further, and its author alone hears this. Of answers beyond what a turn may read
    /// none is given, only counted.
    Answer(String),
    /// Its author wants to be called this from now on. Only where people chat.
    Rename(String),
    /// Its author wants to hear who is there. Only where people chat.
    Who,
    /// The connection is closed with this code and reason.
    Close(CloseCode, Cow<'static, str>),
    /// The connection is closed with 1008, since it sends more than it may.
    Flood,
}

impl Verdict {
    /// All names, in the order of [`index`](Self::index).
    pub const NAMES: [&'static str; 5] = ["served", "dropped", "answered", "closed", "flood"];

    /// Which of the names it has.
    #[must_use]
    pub fn index(&self) -> usize {
        match self {
            Self::Serve | Self::Instead(_) | Self::InsteadBinary(_) | Self::Handled => 0,
            Self::Drop => 1,
            Self::Answer(_) | Self::Rename(_) | Self::Who => 2,
            Self::Close(..) => 3,
            Self::Flood => 4,
        }
    }

    /// A stable name for logs and counters.
    #[must_use]
    pub fn name(&self) -> &'static str {
        Self::NAMES[self.index()]
    }
}

/// One layer of a route's chain, on one shard.
pub trait Middleware: Send {
    /// Decides about a message, or lets the `next` one decide.
    fn handle(
        &mut self,
        context: &mut Context<'_>,
        message: Message<'_>,
        next: Next<'_, '_>,
    ) -> Verdict;

    /// The connection is not here any more: it was closed, or went to another shard. What is kept
    /// for it can go.
    fn forget(&mut self, connection: ConnectionId) {
        let _ = connection;
    }
}

/// What makes a layer for each shard. Whatever is [`Middleware`] and can be cloned is one: each
/// shard has a clone.
pub trait Layer: fmt::Debug + Send + Sync {
    /// The layer of this shard.
    fn layer(&self, shard: ShardId) -> Box<dyn Middleware>;
}

impl<T: Middleware + Clone + fmt::Debug + Sync + 'static> Layer for T {
    fn layer(&self, _: ShardId) -> Box<dyn Middleware> {
        Box::new(self.clone())
    }
}

/// The layers behind one, and the route itself behind them all.
pub struct Next<'a, 'c> {
    layers: &'a mut [Box<dyn Middleware>],
    end: End<'a, 'c>,
}

/// What is behind all layers.
enum End<'a, 'c> {
    /// The route serves what it is given; this is what came.
    Route(Message<'a>),
    Handler(&'a mut dyn Handler, &'a mut Client<'c>),
}

impl<'a, 'c> Next<'a, 'c> {
    pub(crate) fn to_route(layers: &'a mut [Box<dyn Middleware>], came: Message<'a>) -> Self {
        Self { layers, end: End::Route(came) }
    }

    pub(crate) fn to_handler(
        layers: &'a mut [Box<dyn Middleware>],
        handler: &'a mut dyn Handler,
        client: &'a mut Client<'c>,
    ) -> Self {
        Self { layers, end: End::Handler(handler, client) }
    }

    /// What they decide. The message may be another one than came.
    pub fn run(self, context: &mut Context<'_>, message: Message<'_>) -> Verdict {
        let Self { layers, end } = self;
        if let Some((first, layers)) = layers.split_first_mut() {
            return first.handle(context, message, Next { layers, end });
        }
        match end {
            End::Route(came)
                if came.kind == message.kind && std::ptr::eq(came.bytes, message.bytes) =>
            {
                Verdict::Serve
            }
            End::Route(_) => match message.text() {
                Some(text) => Verdict::Instead(text.to_owned()),
                None => Verdict::InsteadBinary(message.bytes.to_vec()),
            },
            End::Handler(handler, client) => {
                handler.message(client, message);
                Verdict::Handled
            }
        }
    }
}

impl fmt::Debug for Next<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}

/// What serves a route on one shard, beside what the route itself is.
#[derive(Default)]
pub(crate) struct Edge {
    pub(crate) chain: Vec<Box<dyn Middleware>>,
    pub(crate) handler: Option<Box<dyn Handler>>,
}

impl Edge {
    /// What all say to a message; `None` if the handler has served it.
    pub(crate) fn message(
        &mut self,
        context: &mut Context<'_>,
        message: Message<'_>,
        client: &mut Client<'_>,
    ) -> Verdict {
        let Self { chain, handler } = self;
        let next = match handler {
            Some(handler) => Next::to_handler(chain, &mut **handler, client),
            None => Next::to_route(chain, message),
        };
        next.run(context, message)
    }

    pub(crate) fn opened(&mut self, client: &mut Client<'_>) {
        if let Some(handler) = &mut self.handler {
            handler.opened(client);
        }
    }

    pub(crate) fn closed(&mut self, client: &mut Client<'_>, reason: CloseReason) {
        if let Some(handler) = &mut self.handler {
            handler.closed(client, reason);
        }
    }

    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.chain.iter_mut().for_each(|layer| layer.forget(connection));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes who was asked, and makes messages longer.
    #[derive(Clone, Debug)]
    struct Adds(&'static str);

    impl Middleware for Adds {
        fn handle(
            &mut self,
            context: &mut Context<'_>,
            message: Message<'_>,
            next: Next<'_, '_>,
        ) -> Verdict {
            let text = message.text().unwrap_or_default().to_owned() + self.0;
            let verdict = next.run(context, Message::of_text(&text));
            let Verdict::Instead(text) = verdict else { return verdict };
            Verdict::Instead(text + &self.0.to_uppercase())
        }
    }

    /// Lets through what is short.
    #[derive(Clone, Debug)]
    struct Short;

    impl Middleware for Short {
        fn handle(
            &mut self,
            context: &mut Context<'_>,
            message: Message<'_>,
            next: Next<'_, '_>,
        ) -> Verdict {
            if message.bytes.len() > 3 { Verdict::Drop } else { next.run(context, message) }
        }
    }

    fn run(layers: &[&dyn Layer], text: &str) -> Verdict {
        let mut layers: Vec<_> = layers.iter().map(|layer| layer.layer(ShardId(0))).collect();
        let message = Message::of_text(text);
        Next::to_route(&mut layers, message).run(&mut Context::default(), message)
    }

    #[test]
    fn a_message_goes_inwards_and_its_verdict_outwards() {
        assert_eq!(run(&[&Adds("b"), &Adds("c")], "a"), Verdict::Instead("abcCB".to_owned()));
    }

    #[test]
    fn who_does_not_ask_the_next_one_decides() {
        assert_eq!(run(&[&Short, &Adds("b")], "long"), Verdict::Drop);
        assert_eq!(run(&[&Short, &Adds("b")], "a"), Verdict::Instead("abB".to_owned()));
    }

    #[test]
    fn verdicts_that_do_the_same_have_the_same_name() {
        let said = || "hi".to_owned();
        for (name, verdicts) in [
            ("served", &[Verdict::Serve, Verdict::Instead(said()), Verdict::InsteadBinary(vec![])]),
            ("answered", &[Verdict::Answer(said()), Verdict::Rename(said()), Verdict::Who]),
        ] {
            verdicts.iter().for_each(|verdict| assert_eq!(verdict.name(), name, "{verdict:?}"));
        }
        let closed = Verdict::Close(CloseCode::POLICY, "".into());
        assert_eq!([&Verdict::Drop, &closed].map(Verdict::name), ["dropped", "closed"]);
        assert_eq!(Verdict::Flood.name(), "flood");
    }

    #[test]
    fn what_nobody_changes_is_served_as_it_came() {
        assert_eq!(run(&[], "a"), Verdict::Serve);
        assert_eq!(run(&[&Short, &Short], "abc"), Verdict::Serve);
    }
}
