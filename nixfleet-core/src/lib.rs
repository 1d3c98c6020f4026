//! The decisions of NixFleet as pure functions.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod ids;
pub mod lock;
pub mod time;

pub use ids::*;
pub use lock::{LockHasher, lock_hash};
pub use time::{Timestamp, TimestampError};
