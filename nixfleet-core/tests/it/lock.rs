//! `flake.lock`: parsing, comparing, and the histories of the branch.

mod cases;
mod generate;
mod histories;
mod laws;
