//! Abuses a gateway that serves honest clients meanwhile, and prints what came of it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    trials::attack::main()
}
