//! Connections that nobody has accepted yet, dealt to the shards that share an address.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::task::AtomicWaker;

use crate::pipe::ServerEnd;
use crate::rng::Rng;

/// A queue between whoever makes connections and the shards that accept them.
///
/// As with listeners that share a port, each connection waits for one shard alone, which the seed
/// chooses among those that accept. Unlike a kernel's, a shard that stops accepting gives back who
/// waits for it, so that nobody waits for it while another one accepts.
#[derive(Debug)]
pub(crate) struct Backlog {
    state: Mutex<State>,
    waiting_max: usize,
}

#[derive(Debug)]
struct State {
    /// In the order in which they came.
    waiting: VecDeque<Waiting>,
    seats: BTreeMap<u32, Standing>,
    /// The number of the next seat: none is used twice.
    next: u32,
    rng: Rng,
    /// The task that waits for room, or for nobody to be there any more.
    filler: Option<Waker>,
}

#[derive(Debug)]
struct Waiting {
    end: ServerEnd,
    peer: SocketAddr,
    /// For whom, if anybody accepts.
    dealt: Option<u32>,
}

/// What is known of a shard.
#[derive(Debug)]
struct Standing {
    /// Wakes its task.
    bell: Arc<AtomicWaker>,
    accepting: bool,
    /// It accepts only whom it was dealt already.
    retired: bool,
}

/// What the listener does.
impl Backlog {
    pub(crate) fn new(waiting_max: usize, rng: Rng) -> Arc<Self> {
        let (waiting, seats) = (VecDeque::new(), BTreeMap::new());
        let state = State { waiting, seats, next: 0, rng, filler: None };
        Arc::new(Self { state: Mutex::new(state), waiting_max })
    }

    /// A place at the queue for one more shard; none once all that ever had one are retired.
    pub(crate) fn join(self: &Arc<Self>, bell: &Arc<AtomicWaker>) -> Option<Seat> {
        let mut state = self.lock();
        if state.is_deserted() {
            return None;
        }
        let number = state.next;
        state.next += 1;
        let bell = Arc::clone(bell);
        state.seats.insert(number, Standing { bell, accepting: true, retired: false });
        state.deal();
        Some(Seat { backlog: Arc::clone(self), number })
    }

    pub(crate) fn push(&self, end: ServerEnd, peer: SocketAddr) {
        let mut state = self.lock();
        if state.is_deserted() {
            // Nobody will come: as if it had been refused.
            drop(state);
            return drop(end);
        }
        state.waiting.push_back(Waiting { end, peer, dealt: None });
        state.deal();
    }

    /// Ready as soon as one more connection may wait: `Ok`; or when nobody will accept it: `Err`.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<(), Deserted>> {
        let mut state = self.lock();
        if state.is_deserted() {
            return Poll::Ready(Err(Deserted));
        }
        if state.waiting.len() < self.waiting_max {
            return Poll::Ready(Ok(()));
        }
        state.filler = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ready as soon as nobody will accept any more.
    pub(crate) fn poll_deserted(&self, cx: &Context<'_>) -> Poll<Deserted> {
        let mut state = self.lock();
        if state.is_deserted() {
            return Poll::Ready(Deserted);
        }
        state.filler = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All shards that were ever there have closed their listeners.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Deserted;

/// One shard's place at the queue, which it leaves by being dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    backlog: Arc<Backlog>,
    number: u32,
}

impl Seat {
    /// The first of those who wait for this shard.
    pub(crate) fn pop(&self) -> Option<(ServerEnd, SocketAddr)> {
        let mut state = self.backlog.lock();
        let first = state.waiting.iter().position(|waiting| waiting.dealt == Some(self.number))?;
        let Waiting { end, peer, .. } = state.waiting.remove(first)?;
        state.wake_filler();
        Some((end, peer))
    }

    pub(crate) fn accepting(&self, on: bool) {
        let mut state = self.backlog.lock();
        let standing = state.standing(self.number);
        if standing.retired || std::mem::replace(&mut standing.accepting, on) == on {
            return;
        }
        if !on {
            state.take_back(self.number);
        }
        state.deal();
    }

    /// Nobody is dealt to this shard any more; who waits for it, or for nobody else, it still
    /// accepts.
    pub(crate) fn retire(&self) {
        let mut state = self.backlog.lock();
        state.standing(self.number).retired = true;
        if state.is_deserted() {
            state
                .waiting
                .iter_mut()
                .for_each(|waiting| _ = waiting.dealt.get_or_insert(self.number));
            state.wake_filler();
        }
    }

    /// Whether nobody will be accepted here any more.
    pub(crate) fn is_retired(&self) -> bool {
        let mut state = self.backlog.lock();
        state.standing(self.number).retired
            && state.waiting.iter().all(|waiting| waiting.dealt != Some(self.number))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.backlog.lock();
        state.seats.remove(&self.number);
        state.take_back(self.number);
        state.deal();
        if state.is_deserted() {
            state.wake_filler();
            let left = std::mem::take(&mut state.waiting);
            drop(state);
            drop(left);
        }
    }
}

impl State {
    /// Gives everyone who waits for nobody to one of those who accept.
    fn deal(&mut self) {
        let accepts = |(_, standing): &(&u32, &Standing)| standing.accepting && !standing.retired;
        let open: Vec<_> = self.seats.iter().filter(accepts).map(|(&number, _)| number).collect();
        if open.is_empty() {
            return;
        }
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.dealt.is_none()) {
            let chosen = open[self.rng.below(open.len())];
            waiting.dealt = Some(chosen);
            self.seats[&chosen].bell.wake();
        }
    }

    /// Those who wait for this shard wait for nobody.
    fn take_back(&mut self, number: u32) {
        let dealt = self.waiting.iter_mut().filter(|waiting| waiting.dealt == Some(number));
        dealt.for_each(|waiting| waiting.dealt = None);
    }

    /// Whether somebody was there, and nobody is who would still accept a newcomer.
    fn is_deserted(&self) -> bool {
        self.next > 0 && self.seats.values().all(|standing| standing.retired)
    }

    fn standing(&mut self, number: u32) -> &mut Standing {
        self.seats.get_mut(&number).expect("a seat is known until it is dropped")
    }

    fn wake_filler(&mut self) {
        if let Some(filler) = self.filler.take() {
            filler.wake();
        }
    }
}
