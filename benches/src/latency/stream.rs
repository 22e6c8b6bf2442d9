//! One server and its room, told something whenever it is due.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::retry_on_intr;

use crate::client::{Client, Expected};
use crate::contestant::{ROOM, connect_one};
use crate::rows::Shape;
use crate::server::Server;
use crate::{frames, machine};

/// Messages one after the other that tell what a server can do.
const TRIALS: usize = 100;

/// How long what was sent may take to arrive after the last message was due.
const WAIT: Duration = Duration::from_secs(10);

/// Most messages in a run, as all of them are made before it.
const MESSAGES_MAX: usize = 20_000;

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 256;

const SCRATCH_BYTES: usize = 1 << 20;

pub(super) struct Stream {
    server: Server,
    author: Client,
    members: Vec<Client>,
    payload_bytes: usize,
    preframed: bool,
    epoll: OwnedFd,
    /// The number of the last message.
    sequence: u64,
    /// Messages in a second that would keep the server's core busy all the time.
    capacity: f64,
    /// How much of the last run's time the load generator had work.
    busy: f64,
    scratch: Vec<u8>,
}

/// What is sent in a run, and when.
struct Plan {
    messages: Vec<Vec<u8>>,
    expected: Expected,
    begin: Instant,
    interval: Duration,
}

impl Plan {
    fn due(&self, message: usize) -> Instant {
        self.begin + self.interval.mul_f64(message as f64)
    }
}

impl Stream {
    /// Connects everyone and finds out what the server can do.
    ///
    /// # Errors
    /// If the server refuses somebody or loses something; like all errors here with what the
    /// server said.
    pub(super) fn new(server: Server, shape: Shape, preframed: bool) -> Result<Self> {
        let connected = connect(&server, shape.connections(1) - 1);
        let (author, members) = connected.map_err(|error| server.blame(error))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, member) in members.iter().enumerate() {
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&epoll, member, data, epoll::EventFlags::IN)?;
        }
        let mut stream = Self {
            server,
            author,
            members,
            payload_bytes: shape.payload_bytes(),
            preframed,
            epoll,
            sequence: 0,
            capacity: 0.0,
            busy: 0.0,
            scratch: vec![0; SCRATCH_BYTES],
        };
        stream.capacity = stream.try_capacity().map_err(|error| stream.server.blame(error))?;
        Ok(stream)
    }

    pub(super) fn name(&self) -> &'static str {
        self.server.name()
    }

    /// Messages in a second that the server can do.
    pub(super) fn capacity(&self) -> f64 {
        self.capacity
    }

    /// How much of the last run's time the load generator had work, and did not only look for some.
    pub(super) fn busy(&self) -> f64 {
        self.busy
    }

    /// Messages in a second at a load in percent.
    pub(super) fn rate(&self, load: u32) -> f64 {
        self.capacity * f64::from(load) / 100.0
    }

    /// Sends for so many seconds; returns the latency of each delivery, in microseconds.
    ///
    /// # Errors
    /// If a delivery is lost, doubled, changed or out of order.
    pub(super) fn run(&mut self, load: u32, seconds: f64) -> Result<Vec<u32>> {
        let rate = self.rate(load);
        let count = ((rate * seconds) as usize).clamp(1, MESSAGES_MAX);
        let plan = self.plan(count, Duration::from_secs_f64(1.0 / rate));
        self.play(&plan).map_err(|error| self.server.blame(error))
    }

    /// Answers pings while others have their turns.
    ///
    /// # Errors
    /// If the server says something that nobody asked for, or ends a connection.
    pub(super) fn listen(&mut self) -> Result<()> {
        self.try_listen().map_err(|error| self.server.blame(error))
    }

    fn try_listen(&mut self) -> Result<()> {
        let nothing = Expected::default();
        for member in &mut self.members {
            member.rewind();
            member.receive(&nothing, &mut self.scratch)?;
        }
        if self.server.dialect().answers_authors() {
            return self.author.discard(&mut self.scratch);
        }
        self.author.receive(&nothing, &mut self.scratch).map(|_| ())
    }

    /// One message at a time, by the server's own clock.
    fn try_capacity(&mut self) -> Result<f64> {
        let mut before = 0;
        for trial in 0..2 * TRIALS {
            // The first half warms up.
            if trial == TRIALS {
                before = self.server_nanos()?;
            }
            let plan = self.plan(1, Duration::ZERO);
            self.play(&plan)?;
        }
        let nanos = self.server_nanos()? - before;
        Ok(TRIALS as f64 * 1e9 / nanos.max(1) as f64)
    }

    /// CPU time, with what the kernel put off.
    fn server_nanos(&self) -> Result<u64> {
        Ok(self.server.cpu_nanos()? + self.server.softirq_nanos()?.unwrap_or(0))
    }

    /// Makes everything before the clock runs.
    fn plan(&mut self, count: usize, interval: Duration) -> Plan {
        let mut expected = Expected::default();
        let mut messages = Vec::with_capacity(count);
        for _ in 0..count {
            self.sequence += 1;
            let payload = frames::payload(self.sequence, self.payload_bytes);
            let key = (self.sequence as u32).wrapping_mul(0x9e37_79b9).to_be_bytes();
            let mut message = Vec::new();
            let dialect = self.server.dialect();
            dialect.append_said(&mut message, ROOM, &payload, key);
            messages.push(message);
            dialect.append_heard(&mut expected.bytes, ROOM, &payload);
        }
        if self.preframed {
            expected.bytes = frames::preframed(self.payload_bytes, count);
        }
        expected.frame_bytes = expected.bytes.len() / count;
        Plan { messages, expected, begin: machine::now(), interval }
    }

    /// Sends what is due and reads what is there, without ever sleeping.
    fn play(&mut self, plan: &Plan) -> Result<Vec<u32>> {
        self.members.iter_mut().for_each(Client::rewind);
        let all = plan.messages.len() * self.members.len();
        let mut latencies = Vec::with_capacity(all);
        let deadline = plan.due(plan.messages.len()) + WAIT;
        let (mut sent, mut worked) = (0, Duration::ZERO);
        while latencies.len() < all {
            let now = machine::now();
            let before = (sent, latencies.len());
            ensure!(now < deadline, "lost {} of {all} deliveries", all - latencies.len());
            while sent < plan.messages.len() && plan.due(sent) <= now {
                self.author.write(&plan.messages[sent])?;
                sent += 1;
            }
            self.read(plan, &mut latencies)?;
            if before != (sent, latencies.len()) {
                worked += machine::now() - now;
            }
        }
        let elapsed = machine::now() - plan.begin;
        if self.server.dialect().answers_authors() {
            self.author.discard(&mut self.scratch)?;
        }
        self.busy = worked.as_secs_f64() / elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        Ok(latencies)
    }

    /// Reads from those who have got something.
    fn read(&mut self, plan: &Plan, latencies: &mut Vec<u32>) -> Result<()> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
        let at_once = Timespec::default();
        retry_on_intr(|| epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&at_once)))?;
        for event in &events {
            let member = &mut self.members[event.data.u64() as usize];
            let before = member.got() / plan.expected.frame_bytes;
            member.receive(&plan.expected, &mut self.scratch)?;
            let now = machine::now();
            for message in before..member.got() / plan.expected.frame_bytes {
                let latency = now.saturating_duration_since(plan.due(message)).as_micros();
                latencies.push(u32::try_from(latency).unwrap_or(u32::MAX));
            }
        }
        Ok(())
    }
}

/// The one who speaks, and those who hear it.
fn connect(server: &Server, members: usize) -> Result<(Client, Vec<Client>)> {
    let path = server.dialect().listener_path(ROOM);
    let hearing = (0..members).map(|_| connect_one(server, &path, Some(ROOM)));
    let hearing = hearing.collect::<Result<_>>()?;
    Ok((connect_one(server, &server.dialect().author_path(ROOM), None)?, hearing))
}
