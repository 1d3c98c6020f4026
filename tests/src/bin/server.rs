//! The server's program, built for the tests of this package.

use std::process::ExitCode;

fn main() -> ExitCode {
    nixfleet_server::cli::main()
}
