//! What was seen of a run: by its clients, and of the hub once it was empty.

use std::net::SocketAddr;

use gateway_core::counters::Counters;

use super::message::Message;
use super::plan::Leave;
use crate::traced::Trace;

/// A run that came to its end.
#[derive(Debug)]
pub struct Outcome {
    /// What each client heard, in the order of the plan.
    pub heard: Vec<Heard>,
    /// What was left of the shard.
    pub rest: Rest,
    /// All that passed the seam.
    pub trace: Trace,
    /// What clients did; in the model world also the turns.
    pub actions: u64,
    /// Virtual time that passed, in nanoseconds.
    pub nanos: u64,
}

/// All that one client heard.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Where it came from; `None` if it never connected.
    pub address: Option<SocketAddr>,
    /// The status of the response to its request.
    pub status: Option<u16>,
    /// Messages, in order.
    pub messages: Vec<Message>,
    /// The code of the server's close frame.
    pub close: Option<u16>,
    /// The stream ended within a frame.
    pub half_frame: bool,
    /// How it went away, if it did so of its own accord.
    pub left: Option<Leave>,
    /// How the server broke the protocol, if it did.
    pub fault: Option<String>,
}

/// What a drained shard holds, which should be nothing, and what it counted.
#[derive(Clone, Debug, Default)]
pub struct Rest {
    /// Connections in slots.
    pub live: u32,
    /// Rooms with members.
    pub rooms: u64,
    /// Bytes kept for members that owe.
    pub outbox_bytes: u64,
    /// Bytes of unfinished messages.
    pub inbound_bytes: u64,
    /// Extents that nobody gave back.
    pub extents: usize,
    /// What was counted.
    pub counters: Counters,
}
