//! Connections that nobody has accepted yet, as the kernel would keep them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::task::AtomicWaker;

use crate::pipe::ServerEnd;

/// A queue between whoever makes connections and the shard that accepts them.
#[derive(Debug)]
pub(crate) struct Backlog {
    state: Mutex<State>,
    /// Wakes the shard's task.
    bell: Arc<AtomicWaker>,
    waiting_max: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(ServerEnd, SocketAddr)>,
    /// The task that waits for room.
    filler: Option<Waker>,
}

impl Backlog {
    pub(crate) fn new(waiting_max: usize, bell: Arc<AtomicWaker>) -> Self {
        Self { state: Mutex::default(), bell, waiting_max }
    }

    pub(crate) fn push(&self, end: ServerEnd, peer: SocketAddr) {
        self.lock().waiting.push_back((end, peer));
        self.bell.wake();
    }

    pub(crate) fn pop(&self) -> Option<(ServerEnd, SocketAddr)> {
        let mut state = self.lock();
        if let Some(filler) = state.filler.take() {
            filler.wake();
        }
        state.waiting.pop_front()
    }

    /// Ready as soon as one more connection may wait.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.waiting.len() < self.waiting_max {
            return Poll::Ready(());
        }
        state.filler = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
