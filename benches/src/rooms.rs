//! Many rooms, or a wide one, in which everybody speaks in turn: publishers are on every shard.

use anyhow::Result;

use crate::client::{Client, Expected};
use crate::contestant::Plays;
use crate::cost::{Clocks, Cost};
use crate::frames;
use crate::server::Server;
use crate::sweep::Sweep;

/// What a server still does after its last send is counted too.
const SETTLE: std::time::Duration = std::time::Duration::from_millis(1);

/// How many rooms there are, and what happens in each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) rooms: usize,
    /// Of each room; all but the one who speaks hear it.
    pub(crate) members: usize,
    pub(crate) payload_bytes: usize,
}

/// A server and rooms full of clients, in lockstep: in all rooms one member speaks, and the next
/// ones do so when everyone has heard it.
pub(crate) struct Rooms {
    server: Server,
    size: Size,
    /// Those who speak next, one of each room, before all others, room by room.
    clients: Vec<Client>,
    /// Whose turn it is among the others of a room.
    next: usize,
    /// The number of the last message.
    sequence: u64,
    /// Whether the server sends the same message whatever it is sent.
    preframed: bool,
    out: Vec<u8>,
    expected: Expected,
    sweep: Sweep,
}

impl Rooms {
    /// Connects everyone, room by room.
    ///
    /// # Errors
    /// If the server refuses somebody; like all errors here with what the server said.
    pub(crate) fn new(server: Server, size: Size, preframed: bool) -> Result<Self> {
        let clients = connect(&server, size).map_err(|error| server.blame(error))?;
        Ok(Self {
            server,
            size,
            clients,
            next: 0,
            sequence: 0,
            preframed,
            out: Vec::new(),
            expected: Expected::default(),
            sweep: Sweep::new(),
        })
    }

    fn try_run(&mut self, burst: usize, times: usize) -> Result<Cost> {
        let before = Clocks::read(&self.server)?;
        for _ in 0..times {
            self.exchange(burst)?;
        }
        std::thread::sleep(SETTLE);
        let after = Clocks::read(&self.server)?;
        let hearing = self.clients.len() - self.size.rooms;
        Ok(after.since(before, (hearing * burst * times) as u64, 0))
    }

    fn exchange(&mut self, burst: usize) -> Result<()> {
        self.prepare(burst);
        self.pass_the_word();
        let (speaking, hearing) = self.clients.split_at_mut(self.size.rooms);
        hearing.iter_mut().for_each(Client::rewind);
        for client in speaking {
            client.write(&self.out)?;
        }
        self.sweep.collect(hearing, &self.expected)
    }

    /// Lets another one of each room speak.
    fn pass_the_word(&mut self) {
        let others = self.size.members - 1;
        for room in 0..self.size.rooms {
            self.clients.swap(room, self.size.rooms + room * others + self.next % others);
        }
        self.next += 1;
    }

    /// Makes what is sent next, and what is to come of it.
    fn prepare(&mut self, burst: usize) {
        self.out.clear();
        self.expected.bytes.clear();
        for _ in 0..burst {
            self.sequence += 1;
            let payload = frames::payload(self.sequence, self.size.payload_bytes);
            let key = (self.sequence as u32).wrapping_mul(0x9e37_79b9).to_be_bytes();
            frames::append_masked(&mut self.out, frames::BINARY, &payload, key);
            frames::append_served(&mut self.expected.bytes, &payload);
        }
        if self.preframed {
            self.expected.bytes = frames::preframed(self.size.payload_bytes, burst);
        }
        self.expected.frame_bytes = self.expected.bytes.len() / burst;
    }
}

impl Plays for Rooms {
    fn name(&self) -> &'static str {
        self.server.name()
    }

    fn run(&mut self, burst: usize, times: usize) -> Result<Cost> {
        self.try_run(burst, times).map_err(|error| self.server.blame(error))
    }
}

/// Room by room, as people meet; the first of each goes to the front.
fn connect(server: &Server, size: Size) -> Result<Vec<Client>> {
    let (mut first, mut others) = (Vec::new(), Vec::new());
    for room in 0..size.rooms {
        let path = format!("/ws/room-{room}");
        first.push(Client::connect(server.addr(), &path)?);
        for _ in 1..size.members {
            others.push(Client::connect(server.addr(), &path)?);
        }
    }
    first.append(&mut others);
    Ok(first)
}
