//! How those who echo talk: how many they are, and whom they wait for.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::pingpong;
use super::visitor::Visitor;

/// One way to talk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Talk {
    /// Connections on all CPUs together; on each there is one at least.
    pub(super) connections: usize,
    /// Whether all of a CPU say something before the first of them is heard, and all are heard
    /// before the next is said; or else each goes on as soon as its own words have come back.
    pub(super) in_step: bool,
}

impl Talk {
    /// What the goals are about.
    pub(super) const USUAL: Self = Self::apart(64);
    /// What is measured besides, since what steering is worth depends on it: CPUs that have less
    /// to do sleep more, and who sleeps is woken at once by its own CPU, and late by another.
    pub(super) const OTHERS: [Self; 5] = [
        Self::apart(4),
        Self::apart(8),
        Self::apart(16),
        Self::apart(256),
        Self { connections: 64, in_step: true },
    ];

    const fn apart(connections: usize) -> Self {
        Self { connections, in_step: false }
    }

    /// Has these visitors talk until the time is over; how many echoes a second there were.
    ///
    /// # Errors
    /// If a connection is lost, or what comes back is not what was said.
    pub(super) fn echoes_per_sec(
        self,
        visitors: &mut [Visitor],
        start: Instant,
        time: Duration,
    ) -> Result<f64> {
        let play = if self.in_step { pingpong::in_step } else { pingpong::play };
        Ok(play(visitors, start + time)? as f64 / time.as_secs_f64())
    }
}

impl fmt::Display for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, in_step } = self;
        write!(f, "{connections}{}", if *in_step { " in step" } else { "" })
    }
}
