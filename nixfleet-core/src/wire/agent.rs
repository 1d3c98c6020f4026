//! The frames between agent and server (spec 03). Everything marked *ours* is optional and ignored
//! by a peer that does not know it.

use serde::{Deserialize, Serialize};

use super::Field;

/// Version of our extension of the protocol.
pub const PROTOCOL_VERSION: u32 = 1;

/// The agent knows command ids, sequence numbers, leases and keeps a journal.
pub const CAPABILITY_COMMANDS: &str = "commands";
/// `lock_hash: null` from this agent means that the checkout has no lock file.
pub const CAPABILITY_LOCK: &str = "lock";
/// The agent keeps a deployment record.
pub const CAPABILITY_DEPLOYED: &str = "deployed";

/// What an agent sends.
pub type AgentFrame = AgentFrameOf<String>;

/// What an agent sends, with a kind of text: heartbeats, of which there are many, are read with
/// texts that are borrowed from the frame (see [`Text`](super::Text)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    content = "payload",
    rename_all = "snake_case",
    expecting = "adjacently tagged enum AgentFrame"
)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Default"))]
pub enum AgentFrameOf<T> {
    /// First frame after every connect.
    Register(Box<Register>),
    /// On `registered`, then every interval, and right after a command ends.
    Heartbeat(Box<Heartbeat<T>>),
    /// One line of command output.
    Output(Output),
    /// A command ended.
    Status(Box<StatusReport>),
    /// A command was refused.
    CommandRejected(CommandRejected),
    /// Progress of a test run.
    TestProgress(TestProgress),
    /// Progress of an operation.
    OperationProgress(OperationProgress),
    /// *Ours:* a command was journaled and started.
    Accepted(Accepted),
}

/// What a server sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload", rename_all = "snake_case")]
pub enum ServerFrame {
    /// Answer to `register`.
    Registered(Registered),
    /// Carry out a command.
    Command(CommandFrame),
    /// Stop a running command.
    KillCommand(KillCommand),
    /// *Ours:* a result is stored; the agent may forget it.
    Confirm(Confirm),
}

/// First frame of an agent after every connect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Register {
    /// Host name.
    pub hostname: String,
    /// `nixos`, `macos` or `linux`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_type: Option<String>,
    /// Version of the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// Version of the operating system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Version of nixpkgs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nixpkgs_version: Option<String>,
    /// Checked-out commit, seven digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// Colour on the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theme_color: Option<String>,
    /// Seconds between heartbeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_interval: Option<f64>,
    /// Where the host stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What the host is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// URL of the config repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo_url: Option<String>,
    /// Directory of the config checkout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo_dir: Option<String>,
    /// *Ours:* version of our extension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
    /// *Ours:* see the `CAPABILITY_…` constants.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// *Ours:* new for every process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// *Ours:* new for every boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// *Ours:* hash of the machine id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_id_hash: Option<String>,
    /// *Ours:* the highest sequence number seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seq: Option<u64>,
    /// *Ours:* what the agent runs now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<RunningCommand>,
    /// *Ours:* results that the server has not confirmed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<StatusReport>,
    /// *Ours:* update policy from the host's module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flake_updates: Option<FlakeUpdates>,
    /// Facts, as in a heartbeat.
    #[serde(flatten)]
    pub facts: Facts,
}

/// What the agent runs at the moment of registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunningCommand {
    /// Its id.
    pub command_id: String,
    /// Its operation.
    #[serde(default)]
    pub op: String,
    /// Its process id.
    #[serde(default)]
    pub pid: Option<i64>,
    /// When it started, RFC 3339.
    #[serde(default)]
    pub started_at: Option<String>,
}

/// Update policy of one host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlakeUpdates {
    /// Whether automation may update the host.
    pub auto_update: Option<bool>,
    /// Lower goes first.
    pub priority: Option<i64>,
    /// Whether the host is a canary.
    pub canary: Option<bool>,
}

/// The facts that `register`, `heartbeat` and `status` may carry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Default"))]
pub struct Facts<T = String> {
    /// Commit of the agent's source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_commit: Option<T>,
    /// Store path of the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_path: Option<T>,
    /// Hash of the agent's binary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary_hash: Option<T>,
    /// *Ours:* the agent path that the deployed configuration expects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_store_path: Option<T>,
    /// SHA-256 of `flake.lock`, 64 hex digits.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub lock_hash: Field<T>,
    /// *Ours:* the config checkout.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub repo: Field<RepoFacts<T>>,
    /// *Ours:* the deployment record.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub deployed: Field<DeployedFacts<T>>,
    /// *Ours:* the running system.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub system: Field<SystemFacts<T>>,
    /// *Ours:* generations that can be rolled back to; sent when changed.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub generations: Field<Vec<GenerationFacts<T>>>,
    /// *Ours:* why the checkout could not be read.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub repo_error: Field<T>,
}

/// *Ours:* the config checkout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Default"))]
pub struct RepoFacts<T = String> {
    /// Full commit.
    pub commit: T,
    /// Whether there are local changes.
    #[serde(default)]
    pub dirty: bool,
}

/// *Ours:* the deployment record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Default"))]
pub struct DeployedFacts<T = String> {
    /// Full commit; absent if the inputs are unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<T>,
    /// Hash of the lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_hash: Option<T>,
    /// Activated store path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_path: Option<T>,
    /// Whether the tree was clean and unchanged.
    pub clean: bool,
    /// The command that did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<T>,
}

/// *Ours:* the running system.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Default"))]
pub struct SystemFacts<T = String> {
    /// Store path of the running system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<T>,
    /// The revision the running system claims.
    pub configuration_revision: Option<T>,
    /// Number of the profile generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_number: Option<u64>,
    /// Store path that the profile names: what the next boot starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_path: Option<T>,
    /// Store path of the booted system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booted_path: Option<T>,
    /// Whether a reboot is needed.
    pub reboot_required: bool,
}

/// *Ours:* one generation that can be rolled back to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Default"))]
pub struct GenerationFacts<T = String> {
    /// Its number.
    pub number: u64,
    /// Its store path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<T>,
    /// Its commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<T>,
    /// When it was made, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<T>,
    /// Whether it is the current one.
    pub current: bool,
}

/// Load of the host; telemetry, outside the versioned state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// Processor use in percent.
    pub cpu: f64,
    /// Memory use in percent.
    pub ram: f64,
    /// Swap use in percent.
    pub swap: f64,
    /// Load average over one minute.
    pub load: f64,
}

/// A sign of life with facts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Heartbeat<T = String> {
    /// Checked-out commit, seven digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<T>,
    /// Version of nixpkgs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nixpkgs_version: Option<T>,
    /// Operation running now.
    pub pending_command: Option<T>,
    /// Its process id.
    pub command_pid: Option<i64>,
    /// Load of the host.
    pub metrics: Option<Metrics>,
    /// An existing agent's own opinion: never used for a status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_status: Option<serde_json::Value>,
    /// *Ours:* failed units.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub failed_units: Field<Vec<T>>,
    /// *Ours:* id of the running command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<T>,
    /// *Ours:* its sequence number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Facts.
    #[serde(flatten)]
    pub facts: Facts<T>,
}

/// One line of output.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Output {
    /// The line, without its end.
    pub line: String,
    /// `stdout` or `stderr`.
    pub stream: Option<String>,
    /// Operation; existing agents leave it empty.
    pub command: Option<String>,
    /// Whether it is an error line.
    pub is_error: bool,
    /// *Ours:* the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
    /// *Ours:* line number, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// *Ours:* lines dropped before this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
}

/// The result of a command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusReport {
    /// `ok`, `error`, `stopped` or `warning`.
    pub status: String,
    /// Operation.
    pub command: String,
    /// Exit code.
    pub exit_code: Option<i64>,
    /// One line for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Checked-out commit, seven digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// *Ours:* the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
    /// *Ours:* its sequence number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// *Ours:* how long it ran, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// *Ours:* failed units before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_units: Option<FailedUnits>,
    /// *Ours:* test results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestReport>,
    /// *Ours:* what an `update-inputs` did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<UpdateFacts>,
    /// *Ours:* the command did not end by itself and nobody knows how it ended (the agent or its
    /// supervisor was killed).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// *Ours:* facts after the end.
    #[serde(flatten)]
    pub facts: Facts,
}

/// *Ours:* failed units around a switch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FailedUnits {
    /// Before it.
    pub before: Vec<String>,
    /// After it.
    pub after: Vec<String>,
}

/// *Ours:* what an `update-inputs` did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateFacts {
    /// Full commit of the tracked branch's head that it began with.
    pub base: String,
    /// Hash of the lock at that commit; absent if it had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_before: Option<String>,
    /// Hash of the lock with the updated inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_after: Option<String>,
    /// Full commit that was pushed; absent if there was nothing new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The branch of the remote it was pushed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// *Ours:* what was tested: the deployed commit and lock, and the running path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TestKeyFacts {
    /// Deployed commit.
    pub commit: String,
    /// Deployed lock.
    pub lock_hash: String,
    /// Running store path.
    pub store_path: String,
}

/// *Ours:* the result of a test run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TestReport {
    /// The key when the run started.
    pub key: Option<TestKeyFacts>,
    /// The key when it ended.
    pub key_end: Option<TestKeyFacts>,
    /// `pass`, `fail`, `stopped`, `empty` or `void`.
    pub verdict: String,
    /// Number of executed tests.
    pub ran: u32,
    /// Names of failed tests.
    pub failed: Vec<String>,
    /// Number of skipped tests.
    pub skipped: u32,
}

/// A command was refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommandRejected {
    /// Why, for people.
    pub reason: String,
    /// What the agent runs instead.
    pub current_command: Option<String>,
    /// Its process id.
    pub current_pid: Option<i64>,
    /// *Ours:* the refused command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
    /// *Ours:* `busy`, `stale`, `lease`, `unknown-op`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// Progress of a test run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TestProgress {
    /// Number of the current test.
    pub current: u32,
    /// Number of tests.
    pub total: u32,
    /// Number of passed tests.
    pub passed: u32,
    /// Whether it still runs.
    pub running: bool,
    /// Name or result of the last one.
    pub result: Option<String>,
}

/// Progress of an operation, per compartment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OperationProgress {
    /// Progress by stage.
    pub progress: StageProgress,
    /// *Ours:* the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// Progress by stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StageProgress {
    /// Pulling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull: Option<Stage>,
    /// Reading the lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<Stage>,
    /// Building and activating.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<Stage>,
    /// Testing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests: Option<Stage>,
}

/// Progress of one stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stage {
    /// Steps done.
    pub current: u32,
    /// Steps in all.
    pub total: u32,
    /// `working`, `complete`, …
    pub status: String,
}

/// *Ours:* a command was journaled and started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Accepted {
    /// The command.
    pub command_id: String,
    /// Its process id, once known.
    pub pid: Option<i64>,
}

/// Answer to `register`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Registered {
    /// Id of the host.
    pub host_id: String,
    /// *Ours:* version of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// *Ours:* version of our extension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
    /// *Ours:* capabilities of the server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// *Ours:* the server's time in milliseconds since 1970, for leases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_time: Option<i64>,
}

/// Carry out a command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommandFrame {
    /// The operation.
    pub command: String,
    /// *Ours:* its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
    /// *Ours:* its sequence number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// *Ours:* end of the lease, server time in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<i64>,
    /// *Ours:* arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Args>,
    /// *Ours:* the pinned target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetFrame>,
}

/// *Ours:* arguments of a command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Args {
    /// Generation to roll back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Input to update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
}

/// *Ours:* the pinned target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetFrame {
    /// Full commit.
    pub commit: String,
    /// Hash of the lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_hash: Option<String>,
}

/// Stop a running command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KillCommand {
    /// `TERM` or `KILL`.
    pub signal: String,
    /// Process id, for existing agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i64>,
    /// *Ours:* the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// *Ours:* a result is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Confirm {
    /// The command.
    pub command_id: String,
    /// The server's time in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_time: Option<i64>,
}
