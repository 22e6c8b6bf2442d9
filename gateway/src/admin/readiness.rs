//! Whether the node wants new clients.

use std::sync::atomic::{AtomicU8, Ordering};

/// Where a node stands; it only goes forward.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Standing {
    /// Not all shards accept yet.
    Starting,
    /// It takes clients.
    Serving,
    /// It says goodbye to everyone, and takes nobody any more.
    Draining,
}

/// A node's standing: told by whoever runs it, asked by load balancers.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

impl Readiness {
    /// A node that is starting.
    #[must_use]
    pub fn starting() -> Self {
        Self::default()
    }

    /// The node takes clients, unless it is draining already.
    pub fn serve(&self) {
        self.0.fetch_max(Standing::Serving as u8, Ordering::AcqRel);
    }

    /// The node takes nobody any more. Returns whether this was the first to say so.
    pub fn drain(&self) -> bool {
        let before = self.0.fetch_max(Standing::Draining as u8, Ordering::AcqRel);
        before != Standing::Draining as u8
    }

    /// Where it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let at = self.0.load(Ordering::Acquire);
        let all = [Standing::Starting, Standing::Serving, Standing::Draining];
        all[usize::from(at)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_never_goes_back() {
        let readiness = Readiness::starting();
        assert_eq!(readiness.standing(), Standing::Starting);
        readiness.serve();
        assert_eq!(readiness.standing(), Standing::Serving);
        assert!(readiness.drain());
        assert!(!readiness.drain(), "only one is the first");
        readiness.serve();
        assert_eq!(readiness.standing(), Standing::Draining);
    }
}
