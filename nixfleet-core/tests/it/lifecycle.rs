//! The lifecycle of one command: laws B1–B20, rules of spec 02.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at the first surprise"
)]

mod closed;
mod differential;
mod goals;
mod late;
mod laws;
mod mutants;
mod numbers;
pub mod play;
mod scenarios;
pub mod world;
