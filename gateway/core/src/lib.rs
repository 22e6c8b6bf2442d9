//! Weir's core: frames, sessions, rooms and the hub, as functions of bytes and time.
//!
//! Nothing here owns a socket, clock, thread, lock, random source or log sink. A driver
//! keeps one rhythm with [`Hub`](hub::Hub): [`handle`](hub::Hub::handle) every event of a turn,
//! [`flush`](hub::Hub::flush) until it says done, then drain
//! [`poll_effect`](hub::Hub::poll_effect) until `None`.
#![forbid(unsafe_code)]

pub mod limits;
pub mod slot;
pub mod time;
pub mod transmit;
pub mod body;
pub mod event;
pub mod counters;
pub mod hub;
pub mod route;
pub mod close;
pub mod frame;
pub mod handshake;
pub mod session;
mod chunk;
mod chunks;
mod deadlines;
mod lane;
mod mask;
mod outbox;
mod rooms;
mod utf8;
