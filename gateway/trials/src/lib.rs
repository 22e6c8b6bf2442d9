//! Weir on trial from outside: a process of its own, and clients that mean well or do not.
//!
//! `weir-conform` goes through the protocol case by case; `weir-attack` abuses a gateway that
//! serves honest clients meanwhile.
#![forbid(unsafe_code)]

pub mod attack;
pub mod conform;
mod process;
pub mod raw;

pub use self::process::Weir;
