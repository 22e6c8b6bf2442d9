//! Weir's core: frames, sessions, rooms and the hub, as functions of bytes and time.
//!
//! Nothing here owns a socket, clock, thread, lock, random source or log sink. A driver
//! keeps one rhythm with [`Hub`](hub::Hub): [`handle`](hub::Hub::handle) every event of a turn,
//! [`flush`](hub::Hub::flush) until it says done, then drain
//! [`poll_effect`](hub::Hub::poll_effect) until `None`.
#![forbid(unsafe_code)]

pub mod body;
pub mod chat;
mod chunk;
mod chunks;
pub mod close;
pub mod counters;
mod deadlines;
pub mod deflate;
pub mod dispatch;
mod encode;
pub mod encoding;
pub mod envelope;
pub mod event;
pub mod frame;
pub mod frozen;
pub mod handler;
pub mod handshake;
pub mod hint;
pub mod hit;
pub mod hub;
pub mod id;
mod lane;
mod lanes;
pub mod limits;
pub mod log;
pub mod mask;
pub mod message;
pub mod middleware;
pub mod order;
mod outbox;
pub mod position;
#[cfg(feature = "probe")]
pub mod probe;
pub mod route;
pub mod session;
pub mod slot;
mod thrift;
pub mod time;
pub mod transmit;
pub mod utf8;
