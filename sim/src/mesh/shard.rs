//! One shard: its hub and its slots.

use std::sync::Arc;

use gateway_core::body::Store;
use gateway_core::handshake::Page;
use gateway_core::hub::{Config, Hub};
use gateway_core::id::ShardId;
use gateway_core::slot::Slot;
use gateway_core::transmit::{Part, Sent, Transmit};

use super::ears::Ears;
use super::setting::Setting;
use crate::extents::Extents;
use crate::promise::{Promise, Violation};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    Serving,
    /// Everything on it goes elsewhere.
    Leaving,
    /// It is vacant. It answers those who still look for a home here.
    Gone,
}

pub(super) struct Shard {
    pub(super) hub: Hub,
    pub(super) state: State,
    pub(super) seats: Vec<Seat>,
    pub(super) free: Vec<u32>,
    /// Clients that want to be accepted.
    pub(super) knocks: Vec<u32>,
    /// Connections on their way here.
    pub(super) inbound: usize,
    pub(super) rests_until: u64,
    /// The last exchange left nothing.
    pub(super) exchanged: bool,
    /// Messages counted until it was last looked, and most that came between two looks.
    counted: u64,
    pub(super) burst: usize,
}

/// A slot as the driver knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) client: Option<u32>,
    pub(super) reads: bool,
    pub(super) writes: bool,
}

impl Shard {
    pub(super) fn new(id: usize, seed: u64, setting: &Setting, store: Option<Extents>) -> Self {
        let hub = Hub::new(Config {
            limits: setting.limits.clone(),
            page: Page::default(),
            routes: Arc::default(),
            member_policy: setting.member_policy,
            seed,
            store: store.map(|extents| Arc::new(extents) as Arc<dyn Store>),
            shard: Some(ShardId(id as u16)),
            sequencing: setting.sequencing,
            rooms: setting.policies.clone(),
            coalesce_micros: setting.coalesce_micros,
        });
        Self {
            hub,
            state: State::Serving,
            seats: Vec::new(),
            free: Vec::new(),
            knocks: Vec::new(),
            inbound: 0,
            rests_until: 0,
            exchanged: true,
            counted: 0,
            burst: 0,
        }
    }

    /// Looks how many messages came since the last time.
    pub(super) fn note_burst(&mut self) {
        let messages = self.hub.counters().messages;
        let came = messages - std::mem::replace(&mut self.counted, messages);
        self.burst = self.burst.max(came as usize);
    }

    /// A free slot for a client, the one that became free last.
    pub(super) fn seat(&mut self, client: u32) -> Slot {
        let seat = Seat { client: Some(client), reads: true, writes: false };
        let index = self.free.pop().unwrap_or(self.seats.len() as u32);
        match self.seats.get_mut(index as usize) {
            Some(free) => *free = seat,
            None => self.seats.push(seat),
        }
        Slot(index)
    }

    /// Who sits in a slot that is free from now on.
    pub(super) fn vacate(&mut self, slot: Slot) -> Option<u32> {
        let client = self.seats.get_mut(slot.index())?.client.take()?;
        self.free.push(slot.0);
        Some(client)
    }
}

/// A shard's sockets.
pub(super) struct Sockets<'a> {
    pub(super) seats: &'a [Seat],
    pub(super) ears: &'a mut Ears,
    pub(super) extents: &'a Extents,
    pub(super) scratch: &'a mut Vec<u8>,
}

impl Transmit for Sockets<'_> {
    #[inline]
    fn send(&mut self, slot: Slot, bytes: &[u8]) -> Sent {
        match self.seats.get(slot.index()).and_then(|seat| seat.client) {
            Some(client) => self.ears.take(client, bytes),
            None => {
                let promise = Promise::Accounted;
                let what = || format!("a free slot {slot:?} is sent to");
                self.ears.broken.get_or_insert_with(|| Violation { promise, what: what() });
                Sent::Broken
            }
        }
    }

    fn send_parts(&mut self, slot: Slot, parts: &[Part<'_>]) -> Sent {
        self.scratch.clear();
        for part in parts {
            match part {
                Part::Bytes(bytes) => self.scratch.extend_from_slice(bytes),
                Part::Stored { id, range } => {
                    let range = range.start as usize..range.end as usize;
                    self.extents.read(*id, range, |bytes| self.scratch.extend_from_slice(bytes));
                    self.ears.coverage.stored += 1;
                }
            }
        }
        let joined = std::mem::take(self.scratch);
        let sent = self.send(slot, &joined);
        *self.scratch = joined;
        sent
    }
}
