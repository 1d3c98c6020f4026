//! What an agent tells the server, as domain values: the result of parsing its frames.

use crate::host::{HostIdentity, ObservationUpdate, TestKey, TestVerdict};
use crate::ids::{CommandId, CommitId, HostId, LockHash, Sequence};
use crate::op::Op;

/// One report of an agent.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentReport {
    /// First report on a connection.
    Registered(Box<Registration>),
    /// A sign of life with facts.
    Heartbeat(Box<HeartbeatReport>),
    /// A command was journaled and started.
    Accepted {
        /// The command.
        command: CommandId,
        /// Its process id, once known.
        pid: Option<i64>,
    },
    /// A command ended.
    Result(Box<CommandResult>),
    /// A command was refused.
    Rejected(Rejection),
    /// A command got on.
    Progress(ProgressReport),
}

/// First report on a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// The host, as it names itself.
    pub host: HostId,
    /// What it is.
    pub identity: HostIdentity,
    /// What it sees.
    pub facts: ObservationUpdate,
    /// The highest sequence number its agent has seen.
    pub last_seq: Option<Sequence>,
    /// What its agent runs now.
    pub running: Option<Running>,
    /// Results the server has not confirmed.
    pub results: Vec<CommandResult>,
}

/// A command that an agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// The command.
    pub command: CommandId,
    /// Its process id.
    pub pid: Option<i64>,
}

/// A sign of life.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeartbeatReport {
    /// What the host sees.
    pub facts: ObservationUpdate,
    /// What its agent runs now (ours: by id).
    pub command: Option<CommandId>,
    /// What its agent says it runs, if that is an operation that this version knows.
    pub pending_op: Option<Op>,
    /// Version of nixpkgs, when mentioned.
    pub nixpkgs_version: Option<String>,
}

/// How a command ended, in the agent's words.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum ResultKind {
    /// Exit code 0.
    Ok,
    /// Exit code not 0, or it could not be started.
    Error,
    /// Stopped on request; its process group is empty.
    Stopped,
    /// Nobody knows how it ended: the agent or its supervisor was killed.
    Interrupted,
}

/// The result of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandResult {
    /// The command; `None` from an existing agent.
    pub command: Option<CommandId>,
    /// The operation, if the agent named a known one.
    pub op: Option<Op>,
    /// Its sequence number.
    pub seq: Option<Sequence>,
    /// How it ended.
    pub kind: ResultKind,
    /// Exit code.
    pub exit_code: Option<i32>,
    /// One line for people.
    pub message: Option<String>,
    /// How long it ran, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Facts seen after the end.
    pub facts: ObservationUpdate,
    /// Failed units before and after.
    pub failed_units: Option<(Vec<String>, Vec<String>)>,
    /// Test results.
    pub tests: Option<TestRun>,
    /// What an `update-inputs` did.
    pub update: Option<InputsUpdate>,
}

/// What an `update-inputs` did, by the agent's record (spec 05, "Host-driven strategy").
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InputsUpdate {
    /// The head of the tracked branch it began with.
    pub base: CommitId,
    /// The lock at that commit; `None`: it had none.
    pub lock_before: Option<LockHash>,
    /// The lock with the updated inputs.
    pub lock_after: Option<LockHash>,
    /// What the remote has taken; `None`: there was nothing new to push.
    pub pushed: Option<PushedUpdate>,
}

/// A commit that holds a changed lock and nothing else, on a branch of the remote.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PushedUpdate {
    /// The commit.
    pub commit: CommitId,
    /// The branch.
    pub branch: String,
}

/// The result of a test run as the agent reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRun {
    /// What was tested, when the run started.
    pub key: Option<TestKey>,
    /// The same, when it ended.
    pub key_end: Option<TestKey>,
    /// Its verdict.
    pub verdict: TestVerdict,
    /// Number of executed tests.
    pub ran: u32,
    /// Names of failed tests.
    pub failed: Vec<String>,
    /// Number of skipped tests.
    pub skipped: u32,
}

/// A command was refused by the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The command; `None` from an existing agent.
    pub command: Option<CommandId>,
    /// Why, for people.
    pub reason: String,
    /// Stable code, from our agent.
    pub code: Option<String>,
    /// What the agent runs instead, if that is an operation that this version knows.
    pub current: Option<Op>,
}

/// Progress of the running command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressReport {
    /// The command; `None` from an existing agent.
    pub command: Option<CommandId>,
    /// The stage it is in.
    pub stage: ProgressStage,
    /// Steps done.
    pub current: u32,
    /// Steps in all; 0 if not known.
    pub total: u32,
}

/// A stage of a command.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum ProgressStage {
    /// Pulling.
    Pull,
    /// Reading or changing the lock.
    Lock,
    /// Building and activating.
    System,
    /// Testing.
    Tests,
}
