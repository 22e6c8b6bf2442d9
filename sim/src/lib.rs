//! Weir in a deterministic world: the production turn over networks that a seed decides.
//!
//! Two networks implement the gateway's [`Net`](gateway::net::Net). Both are the same
//! [`Sockets`](sockets::Sockets) over byte-counted queues and differ in who holds the far end:
//!
//! - [`ModelNet`](model::ModelNet): the test itself, through [`Clients`](model::Clients). Plain
//!   vectors, no runtime and no time, for very many schedules.
//! - [`SimNet`](simnet::SimNet): turmoil's simulated TCP, pumped by tasks of the simulated host,
//!   with latency, partitions and crashes. [`Wires`](wires::Wires) connects its clients. On one
//!   [`SharedPort`](simnet::SharedPort) many shards listen, as those of a whole
//!   [`LocalNode`](gateway::local::LocalNode).
//!
//! Above them, [`mesh`] is a world of its own: many shards on a virtual clock, which a checker
//! watches at every step.
//!
//! A seed decides how much each read and write takes and in which order readiness is told;
//! [`Traced`](traced::Traced) folds all that happened into one number. The same seed gives the
//! same number, in any process.

// rustdoc reads flags of its own, and documentation is not run.
#[cfg(not(any(tokio_unstable, doc, doctest)))]
compile_error!(
    "sim needs `--cfg tokio_unstable` in RUSTFLAGS: without it tokio's random generator cannot \
     be seeded, and no run could be repeated"
);

mod backlog;
pub mod cluster;
pub mod counts;
pub mod extents;
pub mod mesh;
pub mod model;
pub mod mutants;
pub mod pipe;
pub mod promise;
mod pump;
pub mod rng;
pub mod scenario;
pub mod simnet;
mod slots;
pub mod sockets;
pub mod story;
#[cfg(test)]
mod testing;
pub mod traced;
pub mod wires;
pub mod worlds;
