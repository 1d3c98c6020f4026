//! What the agent says about itself on the host: a small file that it keeps current, and
//! `nixfleet-agent status`, which reads that file and the journal.

mod reporter;
mod show;

use nixfleet_core::host::RunningSystem;
use nixfleet_core::{CommandId, Timestamp};
use serde::{Deserialize, Serialize};

pub use reporter::Reporter;
pub use show::{Shown, show};

const FILE: &str = "status.json";

/// The running agent, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusFile {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// The host's name.
    pub host: String,
    /// The server it serves.
    pub server: String,
    /// When it started.
    pub started_at: Timestamp,
    /// Whether the server has answered its registration.
    pub connection: Connection,
    /// Since when.
    pub since: Timestamp,
    /// Why there was no connection, last time.
    pub last_error: Option<Failure>,
    /// The command at work.
    pub running: Option<Running>,
    /// The running system, as last looked at.
    #[serde(default)]
    pub system: RunningSystem,
}

/// Whether there is a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Connection {
    /// The server has answered the registration.
    Connected,
    /// It has not, or there is no connection.
    Disconnected,
    /// The agent has ended.
    Stopped,
}

/// Why there was no connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When it was noticed.
    pub at: Timestamp,
    /// What is wrong and what to do.
    pub message: String,
}

/// A command at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its id.
    pub command_id: CommandId,
    /// Its operation.
    pub op: String,
}
