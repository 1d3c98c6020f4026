//! Tests of the agent adapters with real processes and real git.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checkout;
mod cli;
mod interruption;
mod jobs;
mod journals;
mod loop_commands;
mod loop_faults;
mod loop_support;
mod pulls;
mod scripts;
mod support;
mod update_commands;
mod updates;
