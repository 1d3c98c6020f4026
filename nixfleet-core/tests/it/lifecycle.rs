//! The lifecycle of one command: laws B1–B20, rules of spec 02.

mod closed;
mod goals;
mod laws;
mod scenarios;
mod world;
