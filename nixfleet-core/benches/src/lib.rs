//! What is measured, beside what it is measured against. The benches themselves are in `benches/`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod fleets;
pub mod hosts;
pub mod locks;
pub mod measure;
pub mod scan;
pub mod wire;
