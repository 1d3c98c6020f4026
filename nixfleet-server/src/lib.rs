//! The NixFleet dashboard server: adapters around the core, which takes every decision.

pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod net;
pub mod reject;
pub mod routes;
pub mod sources;
pub mod store;
