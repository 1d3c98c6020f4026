//! Integration tests of the core: exhaustive tables, properties, references.

mod lifecycle;
mod compartments;
mod compartments_rows;
mod compartments_space;
mod compartments_world;
mod lock;
mod reference;
