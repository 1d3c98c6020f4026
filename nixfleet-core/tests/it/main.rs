//! Integration tests of the core: exhaustive tables, properties, references.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests: failing is what they are for"
)]

mod compartments;
mod compartments_rows;
mod compartments_space;
mod compartments_texts;
mod compartments_values;
mod compartments_world;
mod lifecycle;
mod lock;
mod reference;
