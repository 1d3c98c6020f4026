//! Tests of the agent adapters with real processes and real git.

mod checkout;
mod cli;
mod interruption;
mod jobs;
mod pulls;
mod scripts;
mod support;
