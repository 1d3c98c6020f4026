//! Tests of the server adapters with real SQLite, real git and real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod app;
mod command;
mod demo;
mod forge;
mod network;
mod sources;
mod store;
