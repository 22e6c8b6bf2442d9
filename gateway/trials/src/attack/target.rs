//! What an attack is aimed at, how fast it goes, and until when.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::frames;
use super::outcome::{Outcome, Seen};
use super::wire::{SOON, Wire};

/// Between two looks at what is due: often enough to be even, seldom enough to cost nothing.
const TICK: Duration = Duration::from_millis(5);
/// Connections that end in a tick.
const RELEASED_PER_TICK: usize = 20;
/// Attempts under way at a time, beyond which a storm waits: descriptors of this process.
const UNDER_WAY_MAX: usize = 4_000;

/// The gateway, and the end of the attack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) addr: SocketAddr,
    pub(super) admin: SocketAddr,
    /// When attackers begin nothing new.
    pub(super) until: Instant,
}

impl Target {
    /// Whether it goes on.
    pub(super) fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// Waits for the end.
    pub(super) async fn end(&self) {
        tokio::time::sleep_until(self.until).await;
    }

    /// A clock that says how many of so many a second are due.
    pub(super) fn pace(&self, per_sec: u32) -> Pace {
        let start = Instant::now();
        Pace { start, per_sec, done: 0, until: self.until }
    }

    /// Ends connections, a few thousand a second: what comes at once is a storm of its own.
    pub(super) async fn release(wires: Vec<Wire>) {
        let mut wires = wires.into_iter();
        while wires.by_ref().take(RELEASED_PER_TICK).count() > 0 {
            tokio::time::sleep(TICK).await;
        }
    }

    /// Makes so many attempts a second, each on its own, and gathers how they end.
    pub(super) async fn storm<F>(&self, per_sec: u32, one: impl Fn(u64) -> F) -> Seen
    where
        F: Future<Output = Seen> + Send + 'static,
    {
        let (mut seen, mut pace) = (Seen::default(), self.pace(per_sec));
        let mut under_way = JoinSet::new();
        let mut number = 0;
        while let Some(due) = pace.due().await {
            for _ in 0..due {
                under_way.spawn(one(number));
                number += 1;
            }
            while under_way.len() > UNDER_WAY_MAX {
                gather(&mut seen, under_way.join_next().await);
            }
            while let Some(ended) = under_way.try_join_next() {
                gather(&mut seen, Some(ended));
            }
        }
        while let Some(ended) = under_way.join_next().await {
            gather(&mut seen, Some(ended));
        }
        seen
    }

    /// Tries cases in turn, so many a second, each on a connection of its own.
    pub(super) async fn cases(&self, per_sec: u32, cases: Vec<Case>) -> Seen {
        let (cases, addr) = (Arc::<[Case]>::from(cases), self.addr);
        self.storm(per_sec, |number| {
            let cases = Arc::clone(&cases);
            async move { cases[number as usize % cases.len()].run(addr).await }
        })
        .await
    }
}

fn gather(seen: &mut Seen, ended: Option<Result<Seen, tokio::task::JoinError>>) {
    match ended {
        Some(Ok(part)) => seen.merge(part),
        Some(Err(error)) => seen.wrong(format!("an attacker gave up: {error}")),
        None => {}
    }
}

/// A clock for an even rate.
#[derive(Debug)]
pub(super) struct Pace {
    start: Instant,
    per_sec: u32,
    done: u64,
    until: Instant,
}

impl Pace {
    /// Waits until something is due, and says how much; nothing if the attack is over. What a
    /// crowded machine has put off is not made up for beyond a tenth of a second.
    pub(super) async fn due(&mut self) -> Option<u64> {
        loop {
            if Instant::now() >= self.until {
                return None;
            }
            let all = (self.start.elapsed().as_secs_f64() * f64::from(self.per_sec)) as u64;
            let late = all.saturating_sub(self.done);
            if late > 0 {
                self.done = all;
                return Some(late.min(u64::from(self.per_sec / 10).max(1)));
            }
            tokio::time::sleep(TICK).await;
        }
    }
}

/// Bytes that are said once, and what should come of it.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// What it is, for who reads of a surprise.
    pub(super) what: String,
    /// Where it is said after an upgrade; without a path it is said at once.
    pub(super) path: Option<String>,
    pub(super) bytes: Vec<u8>,
    pub(super) wanted: Outcome,
    /// The bound that must be counted then.
    pub(super) limit: Option<&'static str>,
}

impl Case {
    /// Bytes in place of a request.
    pub(super) fn request(what: &str, bytes: Vec<u8>, status: u16) -> Self {
        let wanted = Outcome::Status(status);
        Self { what: what.to_owned(), path: None, bytes, wanted, limit: None }
    }

    /// Frames in a room of the attacker's own.
    pub(super) fn frames(what: &str, bytes: Vec<u8>, code: u16) -> Self {
        let (path, wanted) = (Some("/ws/attack".to_owned()), Outcome::Closed(code));
        Self { what: what.to_owned(), path, bytes, wanted, limit: None }
    }

    /// The same, which a bound must count.
    pub(super) fn counted(self, limit: &'static str) -> Self {
        Self { limit: Some(limit), ..self }
    }

    async fn run(&self, addr: SocketAddr) -> Seen {
        let mut seen = Seen::default();
        let found = self.found(addr).await;
        seen.check(&self.what, found, self.wanted);
        if let Some(limit) = self.limit.filter(|_| found == self.wanted) {
            seen.owe(limit);
        }
        seen
    }

    async fn found(&self, addr: SocketAddr) -> Outcome {
        let Ok(mut wire) = Wire::connect(addr).await else { return Outcome::Cut };
        if let Some(path) = &self.path {
            wire = match wire.upgrade(path, "").await {
                Ok(wire) => wire,
                Err(outcome) => return outcome,
            };
        }
        // What a gateway that has closed already does not take shows in how it ended.
        wire.push(&self.bytes).await;
        match self.wanted {
            Outcome::Served if self.path.is_some() => wire.is_served().await,
            Outcome::Served => match wire.answer().await {
                Ok(_) => wire.is_served().await,
                Err(outcome) => outcome,
            },
            Outcome::Status(_) | Outcome::Closed(_) | Outcome::Cut | Outcome::Waits => {
                wire.outcome(SOON).await
            }
        }
    }
}

/// A valid request whose header lines are those of [`frames::UPGRADE`] with one replaced.
pub(super) fn with_header(path: &str, name: &str, line: &str) -> Vec<u8> {
    let kept = frames::UPGRADE.split_inclusive("\r\n").filter(|known| !known.starts_with(name));
    format!("GET {path} HTTP/1.1\r\n{}{line}\r\n", kept.collect::<String>()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_replaced_or_taken_out() {
        let text = |name, line| String::from_utf8(with_header("/", name, line)).unwrap();
        let other = text("Sec-WebSocket-Version", "Sec-WebSocket-Version: 12\r\n");
        assert!(other.contains("\r\nSec-WebSocket-Version: 12\r\n\r\n") && !other.contains("13"));
        assert!(!text("Host", "").contains("Host"));
    }
}
