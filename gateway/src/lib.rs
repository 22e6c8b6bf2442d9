//! Weir as a library: the turn, the networks it runs over, workers and configuration.

pub mod cli;
pub mod config;
pub mod logging;
pub mod machine;
pub mod net;
pub mod server;
pub mod shard;
pub mod signals;
pub mod turn;
