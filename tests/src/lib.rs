//! Test kit: a browser, a forge, and a whole fleet of real programs. The world that the demo plays in (its
//! git remote, processes, clients and fake agent) is the world of the tests, too.

pub mod browser;
pub mod fleet;
#[allow(clippy::unwrap_used, clippy::expect_used)]
pub mod forge;
pub mod forged;
#[allow(clippy::unwrap_used, clippy::expect_used)]
pub mod receiver;

pub use nixfleet_server::demo::{client, existing, host, process, rows, upstream, wait, world};
