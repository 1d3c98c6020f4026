//! `flake.lock`: its hash decides a colour, its contents explain it (spec 05, "Lock truth").

mod hash;

pub use hash::{LockHasher, lock_hash};
