//! A server, agents and a git remote, as people run them.

mod existing;
mod history;
mod restarts;
mod secrets;
mod tokens;
mod troubles;

use nixfleet_tests::fleet::Paths;

pub(crate) fn paths() -> Paths {
    Paths {
        server: env!("CARGO_BIN_EXE_server-under-test").into(),
        agent: env!("CARGO_BIN_EXE_agent-under-test").into(),
    }
}
