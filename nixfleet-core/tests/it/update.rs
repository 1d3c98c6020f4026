//! Update pull requests: laws E1 to E6 and E9, the tables, hostile pull requests, the fleet.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at the first surprise"
)]

mod checks;
mod conditions;
mod fleet;
mod hostile;
mod jobs;
mod model;
pub mod pull_requests;
mod world;
