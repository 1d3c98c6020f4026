//! Rollouts: the laws of part D, on the pure machine and on the real fleet.

mod back;
mod confirmed;
mod crashes;
mod field;
mod fleet;
mod holds;
mod merges;
mod model;
mod person;
mod play;
mod regressions;
mod review;
mod sweep;
mod verbs;
mod watched;
mod windows;
