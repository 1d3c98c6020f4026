//! What reaches the agent's core and what it wants done.

use std::time::Duration;

use crate::agent::JournalEntry;
use crate::host::{AgentBinary, Generation, Repo, RunningSystem};
use crate::ids::{CommandId, CommitRef, HostId, StorePath, Token};
use crate::lifecycle::{CommandArgs, Target};
use crate::op::Op;
use crate::order::{Misread, ServerOrder};
use crate::report::{InputsUpdate, ProgressStage};
use crate::wire::agent::{AgentFrame, FlakeUpdates, Metrics};

/// What an agent is told once, at start.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The name of this host.
    pub host: HostId,
    /// Version of this agent.
    pub version: String,
    /// `nixos`, `macos` or `linux`.
    pub host_type: String,
    /// Version of the operating system.
    pub os_version: Option<String>,
    /// Where the host stands.
    pub location: Option<String>,
    /// What the host is.
    pub device_type: Option<String>,
    /// Colour on the page.
    pub theme_color: Option<String>,
    /// URL of the config repository, without credentials.
    pub repo_url: Option<String>,
    /// Directory of the config checkout.
    pub repo_dir: Option<String>,
    /// Time between heartbeats.
    pub interval: Duration,
    /// Update policy from the host's settings.
    pub flake_updates: Option<FlakeUpdates>,
    /// New for every process.
    pub instance_id: Token,
    /// New for every boot, where the host knows it.
    pub boot_id: Option<Token>,
    /// Hash of the machine id, where the host knows it.
    pub machine_id_hash: Option<Token>,
    /// Seed of the reconnect jitter.
    pub seed: u64,
}

/// Something that happened on the host or on the line.
#[derive(Clone, Debug)]
pub enum AgentInput {
    /// The connection is up; with what the host looks like now.
    Connected(AgentObservation),
    /// The connection is down, or could not be made.
    Disconnected,
    /// The server says something. `fresh_id` is a new unique id, used only for a command of an
    /// existing dashboard, which has none.
    Order {
        /// What it says, or why it cannot be read.
        order: Result<ServerOrder, Misread>,
        /// A new unique id.
        fresh_id: CommandId,
    },
    /// The answer to [`AgentEffect::Observe`].
    Observed(AgentObservation),
    /// A command's process runs.
    JobStarted {
        /// The command.
        command: CommandId,
        /// Its process id.
        pid: i64,
    },
    /// A command's process ended, or could not be started, or cannot be found again.
    JobFinished {
        /// The command.
        command: CommandId,
        /// How.
        report: Box<JobReport>,
    },
    /// A command got on.
    Progress {
        /// The command.
        command: CommandId,
        /// The stage it is in.
        stage: ProgressStage,
        /// Steps done.
        current: u32,
        /// Steps in all; 0 if not known.
        total: u32,
    },
}

/// What the host looks like, as the adapter saw it; no judgement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentObservation {
    /// The config checkout; `None` if there is none or it cannot be read.
    pub repo: Option<Repo>,
    /// Why it cannot be read.
    pub repo_error: Option<String>,
    /// The running system.
    pub system: RunningSystem,
    /// Failed units, where the host can tell.
    pub failed_units: Option<Vec<String>>,
    /// Generations that can be rolled back to.
    pub generations: Vec<Generation>,
    /// The agent's own binary.
    pub binary: AgentBinary,
    /// Version of nixpkgs.
    pub nixpkgs_version: Option<String>,
    /// Load of the host.
    pub metrics: Option<Metrics>,
}

/// How a command's process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobExit {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It could not be started; with the reason and what to do.
    NotStarted(String),
    /// It cannot be found again after a crash and left no result.
    Interrupted,
}

/// The end of a command's processes, as its supervisor wrote it down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedExit {
    /// Exit code of the process that ended it, 128 + signal, 124 beyond a time limit, 127 for a
    /// program that could not be started.
    pub code: i32,
    /// The signal that ended that process.
    pub signal: Option<i32>,
    /// A time limit ended it.
    pub timed_out: bool,
    /// A stop was asked for before its end.
    pub stopped: bool,
    /// Any process was to be run.
    pub started: bool,
    /// Why nothing ran, or could go on, for people.
    pub problem: Option<String>,
}

impl From<RecordedExit> for JobExit {
    fn from(recorded: RecordedExit) -> Self {
        match recorded {
            RecordedExit {
                started: false,
                stopped: false,
                problem: Some(problem),
                ..
            } => JobExit::NotStarted(problem),
            // A signal that a time limit sent says less than that it was the time limit.
            RecordedExit {
                signal: Some(signal),
                timed_out: false,
                ..
            } => JobExit::Signal(signal),
            RecordedExit { code, .. } => JobExit::Code(code),
        }
    }
}

/// The result of one test script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestOutcome {
    /// Its name.
    pub name: String,
    /// `Some(true)` passed, `Some(false)` failed, `None` skipped.
    pub passed: Option<bool>,
}

/// What the supervisor of a command saw at one moment; a part that it could not read is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sighting {
    /// The config checkout.
    pub repo: Option<Repo>,
    /// The running system.
    pub system: Option<StorePath>,
    /// Failed units.
    pub failed_units: Option<Vec<String>>,
}

impl From<&AgentObservation> for Sighting {
    fn from(seen: &AgentObservation) -> Self {
        Self {
            repo: seen.repo,
            system: seen.system.path.clone(),
            failed_units: seen.failed_units.clone(),
        }
    }
}

/// How a command ended, with what was seen before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct JobReport {
    /// How its process ended.
    pub exit: JobExit,
    /// What its supervisor complained about, or the last line of its error output, for people.
    pub message: Option<String>,
    /// Whether its process group is empty.
    pub group_empty: bool,
    /// Whether its supervisor was asked to stop it, perhaps by an earlier agent process.
    pub stop_asked: bool,
    /// How long it ran.
    pub duration: Duration,
    /// Seen right before the build, the activation or the tests began; `None` if they did not.
    pub at_start: Option<Sighting>,
    /// Seen right after the last process ended.
    pub at_end: Option<Sighting>,
    /// What the host looks like now.
    pub after: AgentObservation,
    /// One entry for each test script.
    pub tests: Vec<TestOutcome>,
    /// What an `update-inputs` did, if it came to its end.
    pub update: Option<InputsUpdate>,
}

impl JobReport {
    /// The report of a command without any process of its own, and nothing seen but now.
    #[must_use]
    pub fn bare(exit: JobExit, after: AgentObservation) -> Self {
        Self {
            exit,
            message: None,
            group_empty: true,
            stop_asked: false,
            duration: Duration::ZERO,
            at_start: None,
            at_end: None,
            after,
            tests: Vec::new(),
            update: None,
        }
    }

    /// The checkout, if it is the same now as when the command began and ended, and what ran at its
    /// end still runs: only then is it known what the running system was made of.
    #[must_use]
    pub fn unchanged_checkout(&self) -> Option<Repo> {
        let (start, end) = (self.at_start.as_ref()?, self.at_end.as_ref()?);
        let unchanged = start.repo == end.repo
            && end.repo == self.after.repo
            && end.system == self.after.system.path;
        self.after.repo.filter(|_| unchanged)
    }

    /// What the running system claimed to be built from when the command began. A path in the Nix
    /// store always claims the same; what another name claimed then, nobody saw.
    #[must_use]
    pub fn claimed_at_start(&self) -> Option<CommitRef> {
        let path = self.at_start.as_ref()?.system.as_ref()?;
        let known = path.is_content_addressed() && self.after.system.path.as_ref() == Some(path);
        let claim = self.after.system.claimed_commit();
        claim.filter(|_| known)
    }
}

/// What the adapter must do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentEffect {
    /// Make this durable before anything that follows.
    Journal(JournalEntry),
    /// Start a command's process; answer with `JobStarted` and `JobFinished`.
    Spawn {
        /// The command.
        command: CommandId,
        /// What to run.
        op: Op,
        /// Its arguments.
        args: CommandArgs,
        /// The pinned target.
        target: Option<Target>,
    },
    /// Find the process of a command started by an earlier agent process; answer with
    /// `JobFinished`.
    Attach {
        /// The command.
        command: CommandId,
        /// What it runs.
        op: Op,
    },
    /// SIGTERM to the command's process group.
    Terminate(CommandId),
    /// SIGKILL to the command's process group.
    Kill(CommandId),
    /// Send a frame.
    Send(Box<AgentFrame>),
    /// Look at the host; answer with `Observed`.
    Observe,
    /// Connect; answer with `Connected` or `Disconnected`.
    Connect,
    /// Close the connection; `Disconnected` follows.
    Close,
    /// Replace this process by a new one, after everything before is done.
    RestartSelf,
    /// Reboot the host for this command, after everything before is done. Where the reboot command
    /// ends while the machine is still up, answer with `JobFinished`.
    Reboot(CommandId),
}
