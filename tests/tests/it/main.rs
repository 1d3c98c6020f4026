//! End-to-end tests: the real binaries, real git, real SQLite, real Chromium.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod browser;
mod fleet;
mod forge;
mod page_scripts;
mod sync_traces;
mod updates;
