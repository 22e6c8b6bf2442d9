//! Visitors that come: each connects, upgrades, and has its words come back once.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::visitor::{self, Step, Visitor};
use crate::clock;

/// Events that are taken at a time.
const EVENTS: usize = 64;
/// How long is waited before the clock is looked at.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// Kinds of failure that are told apart.
const KINDS_MAX: usize = 8;

/// Whom visitors come to, from where, and until when.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) to: SocketAddr,
    /// Taken in turn; the system chooses if there is none.
    pub(super) from: Vec<IpAddr>,
    /// Visitors that come at a time.
    pub(super) at_once: usize,
    /// When no more come, or wait.
    pub(super) until: Instant,
    /// Or when this is said.
    pub(super) over: Over,
}

/// Says from elsewhere that no more are to come; whoever is under way is still waited for.
#[derive(Clone, Debug, Default)]
pub(super) struct Over(Arc<AtomicBool>);

impl Over {
    /// Says it.
    pub(super) fn end(&self) {
        // Nothing else is told by it.
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_said(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What came of visitors.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Tally {
    /// Those that were served: upgraded, and their words came back.
    pub(super) served: u64,
    /// Those that were told to go before their words came back.
    pub(super) dismissed: u64,
    /// The others, by what they saw.
    pub(super) failed: BTreeMap<String, u64>,
}

impl Tally {
    /// One that was not served.
    pub(super) fn fail(&mut self, why: String) {
        let known = self.failed.len() < KINDS_MAX || self.failed.contains_key(&why);
        *self.failed.entry(if known { why } else { "otherwise".to_owned() }).or_default() += 1;
    }

    /// Those that were not served.
    pub(super) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// What others saw, too.
    pub(super) fn merge(&mut self, other: Self) {
        self.served += other.served;
        self.dismissed += other.dismissed;
        for (why, count) in other.failed {
            *self.failed.entry(why).or_default() += count;
        }
    }

    /// # Errors
    /// Unless exactly so many were served, and none was not.
    pub(super) fn expect(&self, served: usize) -> Result<()> {
        let others = self.failures() + self.dismissed;
        ensure!(self.served == served as u64 && others == 0, "of {served} {self}");
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} served", self.served)?;
        if self.dismissed > 0 {
            write!(f, ", {} told to go", self.dismissed)?;
        }
        self.failed.iter().try_for_each(|(why, count)| write!(f, ", {count} {why}"))
    }
}

/// Has `total` visitors come and stay; those that were served are given back.
///
/// # Errors
/// If the system refuses what is needed to watch them.
pub(super) fn gather(way: &Way, total: usize) -> Result<(Vec<Visitor>, Tally)> {
    let mut stayed = Vec::with_capacity(total);
    let tally = Door::open(way, Some(total))?.serve(|visitor| stayed.push(visitor))?;
    Ok((stayed, tally))
}

/// Has visitors come and go, each by a reset as soon as it was served, until the time is over.
/// Who is under way then is not counted; who is when it is said that no more are to come, is.
///
/// # Errors
/// As of [`gather`].
pub(super) fn churn(way: &Way) -> Result<Tally> {
    Door::open(way, None)?.serve(Visitor::reset)
}

/// Visitors that are under way.
struct Door<'a> {
    way: &'a Way,
    request: Vec<u8>,
    epoll: OwnedFd,
    slots: Vec<Option<Visitor>>,
    /// Visitors that are still to come; as many as come if there is no number.
    left: Option<usize>,
    begun: usize,
    tally: Tally,
}

impl<'a> Door<'a> {
    fn open(way: &'a Way, total: Option<usize>) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("no epoll")?;
        let at_once = total.map_or(way.at_once, |total| way.at_once.min(total));
        let slots = (0..at_once).map(|_| None).collect();
        let request = visitor::request(way.to);
        Ok(Self { way, request, epoll, slots, left: total, begun: 0, tally: Tally::default() })
    }

    fn serve(mut self, mut served: impl FnMut(Visitor)) -> Result<Tally> {
        let mut events = Vec::with_capacity(EVENTS);
        for slot in 0..self.slots.len() {
            self.begin(slot, &mut served);
        }
        while clock::now() < self.way.until && self.slots.iter().any(Option::is_some) {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&LOOK)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("epoll"),
            }
            for event in events.drain(..) {
                let slot = event.data.u64() as usize;
                if self.go_on(slot, &mut served) {
                    self.begin(slot, &mut served);
                }
            }
        }
        self.close();
        Ok(self.tally)
    }

    /// Has visitors come to a slot until one has to wait, or no more come.
    fn begin(&mut self, slot: usize, served: &mut impl FnMut(Visitor)) {
        while self.may_begin() {
            let from = self.way.from.get(self.begun % self.way.from.len().max(1)).copied();
            self.begun += 1;
            match Visitor::connect(self.way.to, from) {
                Ok(visitor) => self.slots[slot] = Some(visitor),
                Err(error) => {
                    self.tally.fail(format!("{error} at once"));
                    continue;
                }
            }
            if !self.go_on(slot, served) {
                return self.watch(slot);
            }
        }
    }

    fn may_begin(&mut self) -> bool {
        match &mut self.left {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => !self.way.over.is_said() && clock::now() < self.way.until,
        }
    }

    fn watch(&mut self, slot: usize) {
        let visitor = self.slots[slot].as_ref().expect("whoever waits is in the slot");
        // Edges, so that a connection is told to epoll once, whatever it waits for.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        let data = epoll::EventData::new_u64(slot as u64);
        if let Err(error) = epoll::add(&self.epoll, visitor.socket(), data, flags) {
            self.slots[slot] = None;
            self.tally.fail(format!("{error} at once"));
        }
    }

    /// Whether the slot is empty now.
    fn go_on(&mut self, slot: usize, served: &mut impl FnMut(Visitor)) -> bool {
        let Some(visitor) = &mut self.slots[slot] else { return false };
        match visitor.advance(&self.request) {
            Step::Waits => return false,
            Step::Echoed => {
                self.tally.served += 1;
                let visitor = self.slots[slot].take().expect("it has just advanced");
                // Whoever stays is not watched any more.
                let _ = epoll::delete(&self.epoll, visitor.socket());
                served(visitor);
            }
            Step::Dismissed => {
                self.slots[slot] = None;
                self.tally.dismissed += 1;
            }
            Step::Failed(why) => {
                self.slots[slot] = None;
                self.tally.fail(why);
            }
        }
        true
    }

    /// Those that were to come and are not there: none may be missing unsaid.
    fn close(&mut self) {
        let Some(left) = self.left else { return };
        let waiting = self.slots.iter().flatten().count();
        for _ in 0..left + waiting {
            self.tally.fail("not in time".to_owned());
        }
    }
}

/// Time enough for anything that does come.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn kinds_of_failure_are_counted_and_bounded() {
        let mut tally = Tally::default();
        for kind in 0..KINDS_MAX + 3 {
            tally.fail(format!("kind {kind}"));
        }
        tally.fail("kind 0".to_owned());
        assert_eq!(tally.failures(), KINDS_MAX as u64 + 4);
        assert_eq!((tally.failed["kind 0"], tally.failed["otherwise"]), (2, 3));
        assert!(tally.expect(0).is_err());
    }

    /// What becomes of visitors of a server that says this behind its answer.
    fn met(said: &'static [u8]) -> Tally {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Way {
            to: listener.local_addr().unwrap(),
            from: Vec::new(),
            at_once: 1,
            until: clock::now() + PATIENCE,
            over: Over::default(),
        };
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(&[&visitor::answer(), said].concat()).unwrap();
            // Until the visitor has gone.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        let (visitors, tally) = gather(&way, 1).unwrap();
        drop(visitors);
        serving.join().unwrap();
        tally
    }

    #[test]
    fn who_is_told_to_go_is_neither_served_nor_failed() {
        let tally = met(&[0x88, 2, 3, 0xE9]);
        assert_eq!((tally.served, tally.dismissed, tally.failures()), (0, 1, 0), "{tally}");
        assert!(tally.expect(0).is_err(), "but nobody expects it");
    }

    #[test]
    fn words_that_nobody_said_are_a_failure() {
        let tally = met(&[0x82, 1, b'?']);
        assert_eq!((tally.served, tally.dismissed, tally.failures()), (0, 0, 1), "{tally}");
    }

    #[test]
    fn who_finds_nobody_is_told_and_not_forgotten() {
        // A port of this machine's that was free a moment ago.
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let until = clock::now() + PATIENCE;
        let way = Way { to: free, from: Vec::new(), at_once: 2, until, over: Over::default() };
        let (stayed, tally) = gather(&way, 5).unwrap();
        assert!(stayed.is_empty());
        assert_eq!((tally.served, tally.failures()), (0, 5), "{tally}");
    }
}
