//! The whole server over real sockets, with agents and clients played by the tests.

mod access;
mod agents;
mod claims;
mod commands;
mod existing;
mod harness;
mod holds;
mod journal;
mod keys;
mod live;
mod rollouts;
pub mod scripted_forge;
mod settle;
mod start;
mod updates;
