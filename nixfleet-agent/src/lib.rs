//! The adapters of the NixFleet agent: processes, git, files and links of one host. They report
//! facts and carry out what they are told; what to do is decided by `nixfleet-core`.
#![forbid(unsafe_code)]

pub mod check;
pub mod cli;
mod clock;
pub mod config;
pub mod durable;
mod environment;
pub mod eventloop;
pub mod exec;
pub mod git;
pub mod journal;
pub mod link;
pub mod observe;
mod perform;
pub mod platform;
pub mod program;
pub mod state;
pub mod status;
pub mod update;
mod words;
