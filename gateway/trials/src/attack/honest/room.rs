//! All rooms of the honest clients: who speaks next, and what everyone heard.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::member::{Member, Place};
use super::{Latency, PHASES, ROOM_MEMBERS, ROOM_MESSAGES_PER_SEC, Report, Size};

/// Wrongs that are kept; one is enough.
const WRONGS_MAX: usize = 8;

/// What was heard until now.
#[derive(Debug, Default)]
pub(super) struct Tally {
    heard: u64,
    pub(super) lost: u64,
    wrongs: Vec<String>,
    /// Microseconds of each message, by phase.
    micros: [Vec<u32>; PHASES],
    /// Nobody speaks any more and all was heard: connections may end.
    over: bool,
}

impl Tally {
    pub(super) fn heard(&mut self, phase: u8, nanos: u64) {
        self.heard += 1;
        if let Some(micros) = self.micros.get_mut(usize::from(phase)) {
            micros.push(u32::try_from(nanos / 1000).unwrap_or(u32::MAX));
        }
    }

    pub(super) fn wrong(&mut self, what: String) {
        if self.wrongs.len() < WRONGS_MAX {
            self.wrongs.push(what);
        }
    }
}

/// Rooms with everyone in them.
#[derive(Debug)]
pub(super) struct Rooms {
    members: Vec<Rc<Member>>,
    size: Size,
    tally: Rc<RefCell<Tally>>,
    /// Messages said by all together.
    turn: Cell<usize>,
    since: Instant,
}

impl Rooms {
    /// Everyone comes and listens.
    pub(super) async fn open(addr: SocketAddr, size: Size) -> Result<Self> {
        let tally = Rc::new(RefCell::new(Tally::default()));
        let mut members = Vec::with_capacity(size.rooms * ROOM_MEMBERS);
        let since = crate::clock::now();
        for room in 0..size.rooms {
            for member in 0..ROOM_MEMBERS {
                let member = Member::open(addr, Place { room, member }, ROOM_MEMBERS).await?;
                members.push(Rc::clone(&member));
                let tally = Rc::clone(&tally);
                tokio::task::spawn_local(async move {
                    let how = member.hear(&tally, since).await;
                    let mut tally = tally.borrow_mut();
                    if !tally.over {
                        tally.wrong(format!("an honest client was closed: {how}"));
                    }
                });
            }
        }
        Ok(Self { members, size, tally, turn: Cell::default(), since })
    }

    /// Between two messages of all rooms.
    pub(super) fn interval(&self) -> Duration {
        let rooms = u32::try_from(self.size.rooms).expect("rooms are few");
        Duration::from_secs(1) / (rooms * ROOM_MESSAGES_PER_SEC).max(1)
    }

    /// The next room's next member says something.
    pub(super) fn speak(&self, phase: u8) {
        let turn = self.turn.replace(self.turn.get() + 1);
        let (room, round) = (turn % self.size.rooms, turn / self.size.rooms);
        let member = &self.members[room * ROOM_MEMBERS + round % ROOM_MEMBERS];
        if let Err(error) = member.speak(phase, self.size.payload_bytes, self.since) {
            self.tally.borrow_mut().wrong(format!("an honest client cannot speak: {error}"));
        }
    }

    /// Sends what is unsent.
    pub(super) fn push(&self) {
        for member in &self.members {
            if let Err(error) = member.push() {
                self.tally.borrow_mut().wrong(format!("an honest client cannot speak: {error}"));
            }
        }
    }

    /// Whether nothing is under way.
    pub(super) fn all_heard(&self) -> bool {
        self.missing() == 0
    }

    fn missing(&self) -> u64 {
        self.members.chunks(ROOM_MEMBERS).map(missing_in).sum()
    }

    /// What came of it; everyone goes.
    pub(super) fn report(self) -> Report {
        let missing = self.missing();
        let mut tally = self.tally.borrow_mut();
        tally.over = true;
        let latencies = std::mem::take(&mut tally.micros).map(Latency::of);
        Report {
            heard: tally.heard,
            lost: tally.lost + missing,
            wrongs: std::mem::take(&mut tally.wrongs),
            latencies,
        }
    }
}

/// Messages of one room that its members have not heard.
fn missing_in(room: &[Rc<Member>]) -> u64 {
    let said: Vec<_> = room.iter().map(|member| member.said()).collect();
    room.iter().map(|member| member.missing(&said)).sum()
}
