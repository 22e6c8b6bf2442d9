//! Goes through the protocol case by case against a running gateway, and prints a table.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    trials::conform::main()
}
