//! Descriptors kept back, so that operators can look when the process has none left.

use std::io;
use std::net::TcpListener;

/// Descriptors kept back: for a scraper, a balancer's check, two people who wonder, and to see
/// whether somebody else waits.
pub(super) const KEPT_MAX: usize = 5;

/// Second descriptors of the listener, each good for nothing but to be closed when another one is
/// needed. Closing it and accepting are two calls, between which a shard may take what was freed:
/// then it is missing until the next client ends.
#[derive(Debug)]
pub(super) struct Reserve {
    listener: TcpListener,
    kept: Vec<TcpListener>,
}

impl Reserve {
    /// A full reserve.
    ///
    /// # Errors
    /// If the system has no descriptors even now.
    pub(super) fn of(listener: &TcpListener) -> io::Result<Self> {
        let mut reserve = Self { listener: listener.try_clone()?, kept: Vec::new() };
        while reserve.kept.len() < KEPT_MAX {
            reserve.kept.push(listener.try_clone()?);
        }
        Ok(reserve)
    }

    /// Gives up one of them, for who comes next; whether there was one.
    pub(super) fn lend(&mut self) -> bool {
        self.kept.pop().is_some()
    }

    /// Whether all are lent.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Takes back what is there.
    pub(super) fn refill(&mut self) {
        while self.kept.len() < KEPT_MAX {
            let Ok(another) = self.listener.try_clone() else { return };
            self.kept.push(another);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_is_taken_back() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut reserve = Reserve::of(&listener).expect("descriptors");
        for _ in 0..2 {
            assert!((0..KEPT_MAX).all(|_| reserve.lend()));
            assert!(reserve.is_empty() && !reserve.lend(), "there are no more");
            reserve.refill();
        }
    }
}
