//! What does a silent connection cost?

use std::time::Duration;

use anyhow::Result;

use crate::Outcome;
use crate::client::Client;
use crate::contest::FLOOR;
use crate::flags::{Bare, Idle, Mode};
use crate::json::Json;
use crate::machine;
use crate::server::Server;
use crate::stats::Spread;
use crate::verdict::Verdict;

/// User memory that Weir may take for a connection, in bytes.
const GOAL: f64 = 1024.0;

/// Connections that are not counted: they pay for what a server has once.
const FIRST: usize = 100;

/// Members of a room.
const ROOM_MEMBERS: usize = 10;

/// How long a server may take to come to rest.
const REST: Duration = Duration::from_millis(300);

/// Descriptors that are not clients.
const DESCRIPTORS_SPARE: u64 = 64;

/// What each of the counted connections takes, in bytes.
struct Memory {
    name: &'static str,
    /// The server's own, and resident.
    user: f64,
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
    let floor = measure(&Server::bare(FLOOR, &bare, shared)?, connections)?;
    let weir = measure(&Server::weir(shared)?, connections)?;

    let numbers = [&floor, &weir].map(Memory::json);
    let measured = Spread::of(std::iter::once(weir.user));
    let what = "weir's user memory per connection, bytes".to_owned();
    let verdict = Verdict { what, measured, goal: GOAL, digits: 0 };
    Ok(Outcome::new("idle", vec![verdict], vec![("servers", Json::List(numbers.into()))]))
}

fn measure(server: &Server, connections: usize) -> Result<Memory> {
    try_measure(server, connections).map_err(|error| server.blame(error))
}

fn try_measure(server: &Server, connections: usize) -> Result<Memory> {
    let first = connect(server, 0..FIRST)?;
    let (user_before, slab_before) = resting(server)?;
    let silent = connect(server, FIRST..FIRST + connections)?;
    let (user, slab) = resting(server)?;
    let each = |before: u64, after: u64| (after as f64 - before as f64) / connections as f64;
    let memory = Memory {
        name: server.name(),
        user: each(user_before, user),
        slab: each(slab_before, slab),
    };
    println!(
        "  {:<6} {:>6.0} bytes of user memory per connection, about {:.0} of kernel slab \
         (both ends)",
        memory.name, memory.user, memory.slab
    );
    drop((first, silent));
    Ok(memory)
}

fn connect(server: &Server, indices: std::ops::Range<usize>) -> Result<Vec<Client>> {
    let path = |index: usize| format!("/ws/idle-{}", index / ROOM_MEMBERS);
    indices.map(|index| Client::connect(server.addr(), &path(index))).collect()
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
