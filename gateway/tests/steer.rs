//! Steering as it is asked for: what cannot be had ends the start, with the reason.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use gateway::config::Config;
use gateway::server::Server;
use gateway::steer::{Selector, Steer};

/// It once said that the programs are not loaded, and not why.
#[test]
fn a_program_that_is_asked_for_with_steering_off_is_refused_with_what_to_give() {
    let mut config = Config::default();
    config.pin = false;
    config.addr.set_port(0);
    (config.steer.steer, config.steer.selector) = (Steer::Off, Selector::Program);
    let error = Server::start(&config).unwrap_err().to_string();
    assert!(error.contains("--steer auto"), "{error}");
}
