//! What does a silent connection cost?

use std::time::Duration;

use anyhow::Result;

use crate::Outcome;
use crate::client::Client;
use crate::contest::FLOOR;
use crate::contestant::{self, Play};
use crate::flags::{Bare, Idle, Mode};
use crate::frames;
use crate::json::Json;
use crate::server::Server;
use crate::stats::Spread;
use crate::verdict::Verdict;
use crate::{machine, peers};

/// User memory that Weir may take for a connection, in bytes.
const GOAL: f64 = 1024.0;

/// User memory that a connection may take more if its messages are deflated, in bytes.
const DEFLATED_GOAL: f64 = 300.0;

/// RFC 7692 §7.2.3.1: "Hello", as the payload of a message that is deflated.
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

/// FIN, the bit that says so, and the opcode of a text.
const DEFLATED_TEXT: u8 = 0xc1;

/// Connections that are not counted: they pay for what a server has once.
pub(crate) const FIRST: usize = 100;

/// Members of a room.
const ROOM_MEMBERS: usize = 10;

/// How long a server may take to come to rest.
const REST: Duration = Duration::from_millis(300);

/// Descriptors that are not clients.
const DESCRIPTORS_SPARE: u64 = 64;

/// What each of the counted connections takes, in bytes.
pub(crate) struct Memory {
    name: &'static str,
    /// The server's own, and resident.
    pub(crate) user: f64,
    /// The kernel's slabs, for both ends; of the whole machine, hence only roughly.
    slab: f64,
}

/// # Errors
/// If a server fails or refuses a connection.
pub(crate) fn run(flags: &Idle) -> Result<Outcome> {
    let Idle { shared, crowd } = flags;
    let connections = shared.or_smoke(crowd.connections as usize, 200);
    println!("idle: {connections} connections, on {}", machine::describe());
    machine::allow_descriptors((FIRST + connections) as u64 + DESCRIPTORS_SPARE)?;
    let bare = Bare { port: 0, core: None, payload: 8, burst: 1, mode: Mode::Concat };
    let floor = measure(&Server::bare(FLOOR, &bare, shared)?, connections, None)?;
    let weir = measure(&Server::weir(shared)?, connections, None)?;
    let server = Server::weir_with("deflated", 1, shared)?;
    let deflated = measure(&server, connections, Some("permessage-deflate"))?;

    let mut all = vec![floor.json(), weir.json(), deflated.json()];
    for peer in peers::taking_part(shared, Play::Room)? {
        all.push(measure(&peer.start(shared)?, connections, None)?.json());
    }

    let verdict = |what: &str, bytes, goal| {
        let measured = Spread::of(std::iter::once(bytes));
        Verdict { what: what.to_owned(), measured, goal, digits: 0 }
    };
    let verdicts = vec![
        verdict("weir's user memory per connection, bytes", weir.user, GOAL),
        verdict(
            "what a connection that deflates takes more, bytes",
            deflated.user - weir.user,
            DEFLATED_GOAL,
        ),
    ];
    Ok(Outcome::new("idle", verdicts, vec![("servers", Json::List(all))]))
}

/// Fills a server that has just started.
///
/// # Errors
/// If it fails or refuses a connection.
pub(crate) fn measure(
    server: &Server,
    connections: usize,
    extension: Option<&str>,
) -> Result<Memory> {
    try_measure(server, connections, extension).map_err(|error| server.blame(error))
}

fn try_measure(server: &Server, connections: usize, extension: Option<&str>) -> Result<Memory> {
    let first = connect(server, 0..FIRST, extension)?;
    let (user_before, slab_before) = resting(server)?;
    let silent = connect(server, FIRST..FIRST + connections, extension)?;
    let (user, slab) = resting(server)?;
    let each = |before: u64, after: u64| (after as f64 - before as f64) / connections as f64;
    let memory = Memory {
        name: server.name(),
        user: each(user_before, user),
        slab: each(slab_before, slab),
    };
    println!(
        "  {:<16} {:>6.0} bytes of user memory per connection, about {:.0} of kernel slab \
         (both ends)",
        memory.name, memory.user, memory.slab
    );
    drop((first, silent));
    Ok(memory)
}

/// Connects so many, each of which has said something deflated if that was agreed on.
fn connect(
    server: &Server,
    indices: std::ops::Range<usize>,
    extension: Option<&str>,
) -> Result<Vec<Client>> {
    let connect = |index| {
        let room = format!("idle-{}", index / ROOM_MEMBERS);
        let path = server.dialect().listener_path(&room);
        match extension {
            Some(_) => Client::connect_with(server.addr(), &path, extension),
            None => contestant::connect_one(server, &path, Some(&room)),
        }
    };
    let mut clients = indices.map(connect).collect::<Result<Vec<_>>>()?;
    if extension.is_some() {
        let mut hello = Vec::new();
        frames::append_masked(&mut hello, DEFLATED_TEXT, HELLO, [1, 2, 3, 4]);
        // Nobody hears it beside the answer to an upgrade.
        clients.iter_mut().try_for_each(|client| client.write(&hello))?;
    }
    Ok(clients)
}

/// The server's memory and the kernel's, after a moment.
fn resting(server: &Server) -> Result<(u64, u64)> {
    std::thread::sleep(REST);
    Ok((server.anonymous_bytes()?, machine::proc_bytes("/proc/meminfo", "Slab")?))
}

impl Memory {
    fn json(&self) -> Json {
        Json::Object(vec![
            ("name", self.name.into()),
            ("user_bytes_each", self.user.into()),
            ("slab_bytes_each", self.slab.into()),
        ])
    }
}
