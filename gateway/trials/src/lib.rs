//! Weir on trial from outside: a process of its own, and clients that mean well or do not.
//!
//! `weir-conform` goes through the protocol case by case; `weir-attack` abuses a gateway that
//! serves honest clients meanwhile; `weir-steer` watches where connections go.
#![forbid(unsafe_code)]

pub mod attack;
mod clock;
pub mod conform;
mod metrics;
mod process;
pub mod raw;
pub mod steer;

pub use self::process::Weir;
