//! What serving took: clocks that are read before and after, and what became of it.

use std::iter::Sum;
use std::ops::AddAssign;

use anyhow::Result;

use crate::machine;
use crate::server::Server;

/// What a number of deliveries, of echoes or of connections took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// CPU time of the server, with what the kernel put off meanwhile.
    pub(crate) server_nanos: u64,
    /// What of that the kernel put off; nothing where that is unknown, and not counted.
    pub(crate) softirq_nanos: Option<u64>,
    /// CPU time of the load generator, and what the clock on the wall showed.
    pub(crate) load_nanos: u64,
    pub(crate) wall_nanos: u64,
    /// Deliveries, echoes or connections that came about, and those that never did.
    pub(crate) done: u64,
    pub(crate) lost: u64,
}

/// What all clocks show at a moment, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    /// Of the server's processes.
    own: u64,
    softirq: Option<u64>,
    load: u64,
    wall: u64,
}

impl Clocks {
    /// # Errors
    /// If the server is gone.
    pub(crate) fn read(server: &Server) -> Result<Self> {
        Ok(Self {
            own: server.cpu_nanos()?,
            softirq: server.softirq_nanos()?,
            load: machine::cpu_nanos(None)?,
            wall: machine::wall_nanos()?,
        })
    }

    /// What it took since `earlier` for so many that came about, and so many that were lost.
    pub(crate) fn since(self, earlier: Self, done: u64, lost: u64) -> Cost {
        let softirq_nanos = self.softirq.zip(earlier.softirq).map(|(now, then)| now - then);
        Cost {
            server_nanos: self.own - earlier.own + softirq_nanos.unwrap_or(0),
            softirq_nanos,
            load_nanos: self.load - earlier.load,
            wall_nanos: self.wall - earlier.wall,
            done,
            lost,
        }
    }
}

impl Cost {
    /// CPU time of the server for one of what is counted.
    pub(crate) fn nanos_each(&self) -> f64 {
        self.server_nanos as f64 / self.done as f64
    }

    /// How much of the server's time the kernel put off, from 0 to 1; nothing if that is unknown.
    pub(crate) fn softirq_share(&self) -> Option<f64> {
        self.softirq_nanos.map(|nanos| nanos as f64 / self.server_nanos.max(1) as f64)
    }

    /// How much of a CPU the load generator used.
    pub(crate) fn utilisation(&self) -> f64 {
        self.load_nanos as f64 / self.wall_nanos as f64
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.server_nanos += other.server_nanos;
        // Nothing has been known of a sum that nothing was added to yet.
        let known = self.softirq_nanos.into_iter().chain(other.softirq_nanos);
        self.softirq_nanos = known.reduce(|one, another| one + another);
        self.load_nanos += other.load_nanos;
        self.wall_nanos += other.wall_nanos;
        self.done += other.done;
        self.lost += other.lost;
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |mut sum, cost| {
            sum += cost;
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks(own: u64, softirq: Option<u64>) -> Clocks {
        Clocks { own, softirq, load: 7, wall: 9 }
    }

    #[test]
    fn what_the_kernel_put_off_is_the_servers() {
        let cost = clocks(190, Some(60)).since(clocks(100, Some(50)), 10, 0);
        assert_eq!((cost.server_nanos, cost.softirq_nanos), (100, Some(10)));
        assert_eq!((cost.nanos_each(), cost.softirq_share()), (10.0, Some(0.1)));
        let twice: Cost = [cost, cost].into_iter().sum();
        assert_eq!((twice.server_nanos, twice.softirq_nanos), (200, Some(20)));
    }

    #[test]
    fn where_it_is_unknown_the_servers_own_time_is_all_there_is() {
        let cost = clocks(190, None).since(clocks(100, None), 10, 0);
        assert_eq!((cost.server_nanos, cost.softirq_share()), (90, None));
        assert_eq!([cost, cost].into_iter().sum::<Cost>().softirq_share(), None);
    }
}
