//! The NixFleet dashboard server: adapters around the core, which takes every decision.

pub mod agents;
pub mod app;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod forge;
pub mod hub;
pub mod keyed;
pub mod live;
pub mod net;
pub mod notify;
pub mod output;
pub mod perform;
pub mod persist;
pub mod reject;
pub mod routes;
pub mod sources;
pub mod store;
pub mod telemetry;
pub mod zones;
