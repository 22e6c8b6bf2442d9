//! Checks and measures where connections go, in network namespaces of its own.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    trials::steer::main()
}
