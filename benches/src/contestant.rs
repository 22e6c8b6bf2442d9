//! A server and the clients that load it, in lockstep: nothing is sent before everything sent
//! earlier has been received by all.

use std::iter::Sum;
use std::ops::AddAssign;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bare::{ECHO, TRIGGER};
use crate::client::{Client, Expected};
use crate::server::Server;
use crate::sweep::Sweep;
use crate::{frames, machine};

/// What a server still does after its last send is counted too.
const SETTLE: Duration = Duration::from_millis(1);

/// A room that nobody else is in.
const ROOM: &str = "/ws/bench";

/// What a server does with what it is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Play {
    /// The first client's messages reach all others.
    Room,
    /// The first client's messages make the server send as many preframed ones to all others.
    Preframed,
    /// A byte of the first client makes the server send as many preframed messages to all others.
    Triggered,
    /// Every client's messages come back to it.
    Echo,
    /// The first half's messages reach one each of the second half.
    Pairs,
}

/// A server and its load.
pub(crate) struct Contestant {
    server: Server,
    clients: Vec<Client>,
    play: Play,
    payload_bytes: usize,
    /// The number of the last message.
    sequence: u64,
    out: Vec<u8>,
    expected: Expected,
    sweep: Sweep,
}

/// Whoever takes part in a heat.
pub(crate) trait Plays {
    fn name(&self) -> &'static str;

    /// Sends `burst` messages in one write and waits for everyone to have them, `times` times.
    ///
    /// # Errors
    /// If a delivery is lost, late, doubled, changed or out of order.
    fn run(&mut self, burst: usize, times: usize) -> Result<Cost>;
}

/// What a number of deliveries took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// CPU time of the server.
    pub(crate) server_nanos: u64,
    /// CPU time of the load generator, and what the clock on the wall showed.
    pub(crate) load_nanos: u64,
    pub(crate) wall_nanos: u64,
    /// Messages that arrived where they should.
    pub(crate) deliveries: u64,
}

impl Contestant {
    /// Connects `clients` and, but for echo, the one they listen to.
    ///
    /// # Errors
    /// If the server refuses one; like all errors here with what the server said.
    pub(crate) fn new(server: Server, play: Play, clients: usize, payload: usize) -> Result<Self> {
        let connected = connect(&server, play, clients).map_err(|error| server.blame(error))?;
        Ok(Self {
            server,
            clients: connected,
            play,
            payload_bytes: payload,
            sequence: 0,
            out: Vec::new(),
            expected: Expected::default(),
            sweep: Sweep::new(),
        })
    }

    fn try_run(&mut self, burst: usize, times: usize) -> Result<Cost> {
        let before = self.clocks()?;
        for _ in 0..times {
            self.exchange(burst)?;
        }
        std::thread::sleep(SETTLE);
        let after = self.clocks()?;
        let [server_nanos, load_nanos, wall_nanos] =
            std::array::from_fn(|clock| after[clock] - before[clock]);
        let readers = self.clients.len() - self.play.parts(self.clients.len()).1;
        let deliveries = (readers * burst * times) as u64;
        Ok(Cost { server_nanos, load_nanos, wall_nanos, deliveries })
    }

    fn clocks(&self) -> Result<[u64; 3]> {
        Ok([self.server.cpu_nanos()?, machine::cpu_nanos(None)?, machine::wall_nanos()?])
    }

    fn exchange(&mut self, burst: usize) -> Result<()> {
        self.prepare(burst)?;
        let (writers, from) = self.play.parts(self.clients.len());
        self.clients[from..].iter_mut().for_each(Client::rewind);
        for client in &mut self.clients[..writers] {
            client.write(&self.out)?;
        }
        self.sweep.collect(&mut self.clients[from..], &self.expected)
    }

    /// Makes what is sent next, and what is to come of it.
    fn prepare(&mut self, burst: usize) -> Result<()> {
        self.out.clear();
        self.expected.bytes.clear();
        for _ in 0..burst {
            self.sequence += 1;
            let payload = frames::payload(self.sequence, self.payload_bytes);
            let key = (self.sequence as u32).wrapping_mul(0x9e37_79b9).to_be_bytes();
            frames::append_masked(&mut self.out, frames::BINARY, &payload, key);
            frames::append_served(&mut self.expected.bytes, &payload);
        }
        self.expected.frame_bytes = self.expected.bytes.len() / burst;
        match self.play {
            Play::Room | Play::Echo | Play::Pairs => return Ok(()),
            Play::Preframed => {}
            Play::Triggered => self.out = vec![u8::try_from(burst).context("too large a burst")?],
        }
        self.expected.bytes = frames::preframed(self.payload_bytes, burst);
        Ok(())
    }
}

impl Plays for Contestant {
    fn name(&self) -> &'static str {
        self.server.name()
    }

    fn run(&mut self, burst: usize, times: usize) -> Result<Cost> {
        self.try_run(burst, times).map_err(|error| self.server.blame(error))
    }
}

impl Play {
    /// How many of so many clients write, and which is the first that hears something.
    fn parts(self, clients: usize) -> (usize, usize) {
        match self {
            Self::Room | Self::Preframed | Self::Triggered => (1, 1),
            Self::Echo => (clients, 0),
            Self::Pairs => (clients / 2, clients / 2),
        }
    }
}

fn connect(server: &Server, play: Play, clients: usize) -> Result<Vec<Client>> {
    if play == Play::Pairs {
        return connect_pairs(server, clients);
    }
    let path = if play == Play::Echo { ECHO } else { ROOM };
    let connect = |path| Client::connect(server.addr(), path);
    let mut connected: Vec<_> = (0..clients).map(|_| connect(path)).collect::<Result<_>>()?;
    // The loop begins when its trigger comes, after all others.
    match play {
        Play::Echo | Play::Pairs => {}
        Play::Room | Play::Preframed => connected.insert(0, connect(ROOM)?),
        Play::Triggered => connected.insert(0, connect(TRIGGER)?),
    }
    Ok(connected)
}

/// Both of a pair one after the other, as people meet; then all authors before all listeners.
fn connect_pairs(server: &Server, pairs: usize) -> Result<Vec<Client>> {
    let (mut authors, mut listeners) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        let path = format!("/ws/pair-{pair}");
        authors.push(Client::connect(server.addr(), &path)?);
        listeners.push(Client::connect(server.addr(), &path)?);
    }
    authors.append(&mut listeners);
    Ok(authors)
}

impl Cost {
    /// CPU time of the server for one message to one client.
    pub(crate) fn nanos_each(&self) -> f64 {
        self.server_nanos as f64 / self.deliveries as f64
    }

    /// How much of a CPU the load generator used.
    pub(crate) fn utilisation(&self) -> f64 {
        self.load_nanos as f64 / self.wall_nanos as f64
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.server_nanos += other.server_nanos;
        self.load_nanos += other.load_nanos;
        self.wall_nanos += other.wall_nanos;
        self.deliveries += other.deliveries;
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |mut sum, cost| {
            sum += cost;
            sum
        })
    }
}
