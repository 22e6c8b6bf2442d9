//! What does it cost to connect and to upgrade?

use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::contestant::{Cost, Plays};
use crate::server::Server;
use crate::{machine, upgrade};

/// What a server still does after its last answer is counted too.
const SETTLE: Duration = Duration::from_millis(1);

/// How long a server is left alone with the ends of connections, which are not counted.
const FAREWELL: Duration = Duration::from_millis(10);

/// Who comes goes to one of so many rooms.
const ROOMS: usize = 10;

/// A server that clients come to and leave.
pub(crate) struct Upgrades {
    server: Server,
    /// How often somebody has come.
    count: usize,
}

impl Upgrades {
    pub(crate) fn new(server: Server) -> Self {
        Self { server, count: 0 }
    }

    fn try_run(&mut self, crowd: usize, times: usize) -> Result<Cost> {
        let mut sum = Cost::default();
        for _ in 0..times {
            let before = self.clocks()?;
            let connected = self.connect(crowd)?;
            std::thread::sleep(SETTLE);
            let after = self.clocks()?;
            let [server_nanos, load_nanos, wall_nanos] =
                std::array::from_fn(|clock| after[clock] - before[clock]);
            sum += Cost { server_nanos, load_nanos, wall_nanos, deliveries: crowd as u64, lost: 0 };
            drop(connected);
            std::thread::sleep(FAREWELL);
        }
        Ok(sum)
    }

    /// A crowd at once: all connect, then all ask, then all are answered.
    fn connect(&mut self, crowd: usize) -> Result<Vec<TcpStream>> {
        let connect = |_| TcpStream::connect(self.server.addr()).context("cannot connect");
        let mut streams: Vec<_> = (0..crowd).map(connect).collect::<Result<_>>()?;
        let room = format!("come-{}", self.count % ROOMS);
        let path = self.server.dialect().listener_path(&room);
        self.count += 1;
        for stream in &mut streams {
            upgrade::ask(stream, &path, None)?;
        }
        for stream in &mut streams {
            upgrade::agreed(stream, &path, None)?;
        }
        Ok(streams)
    }

    fn clocks(&self) -> Result<[u64; 3]> {
        Ok([self.server.cpu_nanos()?, machine::cpu_nanos(None)?, machine::wall_nanos()?])
    }
}

impl Plays for Upgrades {
    fn name(&self) -> &'static str {
        self.server.name()
    }

    /// A crowd of `crowd` comes at once, `times` times.
    fn run(&mut self, crowd: usize, times: usize) -> Result<Cost> {
        self.try_run(crowd, times).map_err(|error| self.server.blame(error))
    }
}
