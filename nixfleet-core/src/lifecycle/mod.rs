//! The lifecycle of one command: a pure transition function over a table (spec 02).

mod phase;

pub use phase::Phase;
