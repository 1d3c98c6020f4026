//! The NixFleet agent.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    nixfleet_agent::cli::main(std::env::args_os())
}
