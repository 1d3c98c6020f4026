//! Tests of the agent adapters with real processes and real git.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checkout;
mod cli;
mod interruption;
mod jobs;
mod pulls;
mod scripts;
mod support;
