//! The adapters of the NixFleet agent: processes, git, files and links of one host. They report facts
//! and carry out what they are told; what to do is decided by `nixfleet-core`.
#![forbid(unsafe_code)]

pub mod check;
pub mod config;
pub mod durable;
mod environment;
pub mod exec;
pub mod git;
pub mod observe;
pub mod platform;
pub mod program;
pub mod state;
mod words;
