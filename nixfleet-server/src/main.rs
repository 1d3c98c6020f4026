//! The `nixfleet-server` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    nixfleet_server::cli::main()
}
