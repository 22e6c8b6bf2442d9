//! A server and the clients that load it, in lockstep: nothing is sent before everything sent
//! earlier has been received by all.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::bare::TRIGGER;
use crate::client::{Client, Expected};
use crate::cost::{Clocks, Cost};
use crate::dialect::Dialect;
use crate::frames;
use crate::server::Server;
use crate::sweep::{Lost, Sweep};

/// What a server still does after its last send is counted too.
const SETTLE: Duration = Duration::from_millis(1);

/// A room that nobody else is in.
pub(crate) const ROOM: &str = "bench";

/// What reading what nobody counts may take at once.
const SCRATCH_BYTES: usize = 64 << 10;

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
    /// Losses are counted, and do not end the contest.
    may_lose: bool,
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

impl<P: Plays + ?Sized> Plays for Box<P> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn run(&mut self, burst: usize, times: usize) -> Result<Cost> {
        (**self).run(burst, times)
    }
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
            may_lose: false,
        })
    }

    /// As [`new`](Self::new), for a server that others answer for: what it loses is counted.
    ///
    /// # Errors
    /// As of [`new`](Self::new).
    pub(crate) fn peer(server: Server, play: Play, clients: usize, payload: usize) -> Result<Self> {
        Ok(Self { may_lose: true, ..Self::new(server, play, clients, payload)? })
    }

    fn try_run(&mut self, burst: usize, times: usize) -> Result<Cost> {
        let before = Clocks::read(&self.server)?;
        let (mut exchanges, mut lost) = (0, 0);
        while exchanges < times && lost == 0 {
            lost = self.exchange(burst)?;
            exchanges += 1;
        }
        std::thread::sleep(SETTLE);
        let after = Clocks::read(&self.server)?;
        let readers = self.clients.len() - self.play.parts(self.clients.len()).1;
        let deliveries = (readers * burst * exchanges) as u64 - lost;
        if lost > 0 {
            self.begin_again()?;
        }
        Ok(after.since(before, deliveries, lost))
    }

    /// Connects everyone anew, as nobody knows what would still come.
    fn begin_again(&mut self) -> Result<()> {
        let clients = self.clients.len() - self.play.extra();
        self.clients.clear();
        self.clients = connect(&self.server, self.play, clients)?;
        Ok(())
    }

    /// Returns how many deliveries were lost.
    fn exchange(&mut self, burst: usize) -> Result<u64> {
        self.prepare(burst)?;
        let (writers, from) = self.play.parts(self.clients.len());
        self.clients[from..].iter_mut().for_each(Client::rewind);
        for client in &mut self.clients[..writers] {
            client.write(&self.out)?;
        }
        let collected = self.sweep.collect(&mut self.clients[from..], &self.expected);
        if self.server.dialect().answers_authors() {
            let mut scratch = [0; SCRATCH_BYTES];
            self.clients[..writers].iter_mut().try_for_each(|it| it.discard(&mut scratch))?;
        }
        match collected {
            Ok(()) => Ok(0),
            Err(error) if self.may_lose => Ok(error.downcast::<Lost>()?.deliveries),
            Err(error) => Err(error),
        }
    }

    /// Makes what is sent next, and what is to come of it.
    fn prepare(&mut self, burst: usize) -> Result<()> {
        self.out.clear();
        self.expected.bytes.clear();
        for _ in 0..burst {
            self.sequence += 1;
            let payload = frames::payload(self.sequence, self.payload_bytes);
            let key = (self.sequence as u32).wrapping_mul(0x9e37_79b9).to_be_bytes();
            let dialect = self.server.dialect();
            dialect.append_said(&mut self.out, ROOM, &payload, key);
            dialect.append_heard(&mut self.expected.bytes, ROOM, &payload);
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

    /// Clients that connect beside those who are asked for.
    fn extra(self) -> usize {
        match self {
            Self::Room | Self::Preframed | Self::Triggered => 1,
            Self::Echo | Self::Pairs => 0,
        }
    }
}

fn connect(server: &Server, play: Play, clients: usize) -> Result<Vec<Client>> {
    if play == Play::Pairs {
        return connect_pairs(server, clients);
    }
    let dialect = server.dialect();
    let path = match play {
        Play::Echo => dialect.echo_path(),
        Play::Room | Play::Preframed | Play::Triggered | Play::Pairs => dialect.listener_path(ROOM),
    };
    let connect = |path: &str, room| connect_one(server, path, room);
    let connected = (0..clients).map(|_| connect(&path, Some(ROOM)));
    let mut connected: Vec<_> = connected.collect::<Result<_>>()?;
    // The loop begins when its trigger comes, after all others.
    match play {
        Play::Echo | Play::Pairs => {}
        Play::Room | Play::Preframed => {
            connected.insert(0, connect(&dialect.author_path(ROOM), None)?);
        }
        Play::Triggered => connected.insert(0, connect(TRIGGER, None)?),
    }
    Ok(connected)
}

/// A client that hears what is said in `room`, which not every server's paths say.
///
/// # Errors
/// If the server does not take it.
pub(crate) fn connect_one(server: &Server, path: &str, room: Option<&str>) -> Result<Client> {
    match server.dialect() {
        Dialect::Raw | Dialect::Nchan => Client::connect(server.addr(), path),
        Dialect::Nats => Client::connect_nats(server.addr(), path, room),
    }
}

/// Both of a pair one after the other, as people meet; then all authors before all listeners.
fn connect_pairs(server: &Server, pairs: usize) -> Result<Vec<Client>> {
    let (mut authors, mut listeners) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        let path = server.dialect().listener_path(&format!("pair-{pair}"));
        authors.push(Client::connect(server.addr(), &path)?);
        listeners.push(Client::connect(server.addr(), &path)?);
    }
    authors.append(&mut listeners);
    Ok(authors)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::Command;

    use super::*;
    use crate::flags::Shared;
    use crate::server::{Launch, Ready};
    use crate::upgrade;

    /// A server that takes everyone and tells nobody anything.
    fn mute() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let upgraded = |mut stream| upgrade::accept(&mut stream).is_ok().then_some(stream);
            let mut clients = Vec::new();
            for stream in listener.incoming() {
                clients.extend(upgraded(stream.unwrap()));
            }
        });
        let mut process = Command::new("sleep");
        process.arg("600");
        let launch = Launch { ready: Ready::Listens(addr), ..Launch::raw("mute", process) };
        Server::start(launch, &Shared::for_tests()).unwrap()
    }

    #[test]
    fn what_a_peer_loses_is_counted_and_it_begins_again() {
        let mut peer = Contestant::peer(mute(), Play::Room, 3, 64).unwrap();
        peer.sweep.wait = Duration::from_millis(20);
        for _ in 0..2 {
            let cost = peer.run(2, 5).unwrap();
            assert_eq!((cost.done, cost.lost), (0, 6), "it stops at the first loss");
        }
        assert_eq!(peer.clients.len(), 4);
    }

    #[test]
    fn what_we_lose_ends_the_contest() {
        let mut ours = Contestant::new(mute(), Play::Room, 3, 64).unwrap();
        ours.sweep.wait = Duration::from_millis(20);
        let error = ours.run(1, 1).unwrap_err().to_string();
        assert!(error.contains("mute: lost 3 of 3 deliveries"), "{error}");
    }
}
