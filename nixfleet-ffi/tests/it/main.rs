//! What the library does for those who call it: the header and the exports, conformance vectors
//! through Rust, C and Python, misuse, threads, leaks, the examples and the documentation.
//!
//! What a test needs and is not there is said on a line with SKIPPED. `NIXFLEET_FFI_REQUIRE=1` turns
//! that into a failure (`nixfleet-ffi/check` sets it for what it installs).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod c;
mod documents;
mod examples;
mod header;
mod memory;
mod surface;
mod vectors;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder of this package.
pub fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    package().parent().unwrap().to_owned()
}

/// Where cargo put the libraries that belong to this test.
pub fn libraries() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap().to_owned();
    assert!(
        folder.join("libnixfleet.a").is_file(),
        "{}",
        folder.display()
    );
    folder
}

/// Says loudly that something was not tested.
pub fn skip(why: &str) {
    assert!(
        std::env::var_os("NIXFLEET_FFI_REQUIRE").is_none(),
        "not there, but required: {why}"
    );
    eprintln!("SKIPPED: {why}");
}

/// The same for what is welcome, but never required.
pub fn skip_extra(why: &str) {
    eprintln!("SKIPPED: {why}");
}

/// Whether a program can be run.
pub fn has(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|out| out.status.success())
}

/// Runs a command that must succeed; tells what it printed.
pub fn run(command: &mut Command) -> String {
    let output = output(command);
    assert!(output.status.success(), "{command:?}:\n{}", both(&output));
    String::from_utf8(output.stdout).unwrap()
}

pub fn output(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"))
}

pub fn both(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
