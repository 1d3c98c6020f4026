//! Integration tests of the core: exhaustive tables, properties, references.

mod lock;
