//! The agent's program, built for the tests of this package. With `lifeline` as its first argument
//! it ends together with the test that started it.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "lifeline") {
        words.remove(1);
        nixfleet_server::demo::hold_lifeline();
    }
    nixfleet_agent::cli::main(words)
}
