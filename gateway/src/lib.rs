//! Weir as a library: the turn, the networks it runs over, workers and configuration.

pub mod admin;
pub mod auth;
pub mod cli;
mod clock;
pub mod config;
pub mod handle;
pub mod logging;
pub mod machine;
pub mod net;
mod node;
mod orders;
pub mod others;
pub mod plan;
pub mod sequencer;
pub mod server;
pub mod shard;
pub mod signals;
pub mod turn;
mod worker;
