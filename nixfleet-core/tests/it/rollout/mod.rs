//! Rollouts: the laws of part D, on the pure machine and on the real fleet.

mod crashes;
mod field;
mod fleet;
mod holds;
mod merges;
mod model;
mod play;
mod sweep;
mod verbs;
mod windows;
