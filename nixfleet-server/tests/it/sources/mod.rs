//! The sources of the desired state, with real git repositories and a real HTTP server.

mod git_failures;
mod git_reading;
mod page;
mod polling;
pub mod repo;
pub mod web;
