//! Who is asking, and may they: passwords, sessions, tokens, roles and login limits.

pub mod memory;
pub mod roles;
pub mod store;
