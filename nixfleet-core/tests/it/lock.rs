//! `flake.lock`: parsing, comparing, and the histories of the branch.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests: failing is what they are for"
)]

mod cases;
mod generate;
mod histories;
mod laws;
