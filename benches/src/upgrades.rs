//! What does it cost to connect and to upgrade?

use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::contestant::Plays;
use crate::cost::{Clocks, Cost};
use crate::server::Server;
use crate::upgrade;

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
            let before = Clocks::read(&self.server)?;
            let connected = self.connect(crowd)?;
            std::thread::sleep(SETTLE);
            sum += Clocks::read(&self.server)?.since(before, crowd as u64, 0);
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
