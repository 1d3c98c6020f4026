//! What is measured, beside what it is measured against. The benches themselves are in `benches/`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// What the core must not do, measuring must.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod fleets;
pub mod hosts;
pub mod locks;
pub mod measure;
pub mod scan;
pub mod wire;
