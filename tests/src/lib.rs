//! Test kit.

pub mod browser;
