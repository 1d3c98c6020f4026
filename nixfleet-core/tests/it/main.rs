//! Integration tests of the core: exhaustive tables, properties, references.

mod lifecycle;
mod lock;
