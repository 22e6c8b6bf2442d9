//! Weir as a library: the turn, the networks it runs over, workers and configuration.

pub mod net;
