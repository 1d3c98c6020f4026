//! What clients see of the fleet. The names of the fields are part of the protocol.

use serde::{Deserialize, Serialize};

use super::CompactStatus;
use crate::compartment::{Attention, HostAssessment, Reason, Status};
use crate::desired::PendingPr;
use crate::host::{Actor, DeployOutcome, Hold, LockReport, TestVerdict};
use crate::ids::{CommandId, CommitId, CommitRef, HostId, LockHash, StorePath};
use crate::lifecycle::{EndingKind, Phase};
use crate::op::Op;
use crate::report::ProgressStage;
use crate::rollout::RolloutView;
use crate::time::Timestamp;
use crate::update::UpdatesView;

/// One entity's whole new value. Applying it twice is harmless.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A new host.
    HostAdded(Box<HostView>),
    /// Identity or facts of a host.
    HostUpdated(Box<HostView>),
    /// The five statuses of a host.
    StatusUpdated(StatusUpdate),
    /// A host is gone, with its statuses and commands.
    HostRemoved(HostId),
    /// A command was made.
    CommandStarted(Box<CommandView>),
    /// A command got on.
    CommandProgress(Box<CommandView>),
    /// A command ended.
    CommandFinished(Box<CommandView>),
    /// The update pull request appeared, changed or went.
    UpdatePrChanged(Option<PendingPr>),
    /// The desired state changed.
    DesiredChanged(Box<DesiredView>),
    /// Something happened.
    Event(EventView),
    /// A rollout was started, or got on.
    RolloutUpdated(Box<RolloutView>),
    /// Update pull requests, their job and their history.
    UpdatesChanged(Box<UpdatesView>),
}

/// The new statuses of a host.
#[derive(Clone, Debug, PartialEq)]
pub enum StatusUpdate {
    /// Filled in by the client. On the wire: an entry in an array.
    Compact(Box<CompactStatus>),
    /// As in a full state, where a client could not fill in something. On the wire: an object.
    Whole(Box<StatusView>),
}

/// A host: identity and facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostView {
    /// Its id.
    pub id: HostId,
    /// Its name.
    pub hostname: String,
    /// Whether its agent is connected.
    pub online: bool,
    /// Since when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline_since: Option<Timestamp>,
    /// Whether its agent speaks command ids; an existing one is served as far as it allows.
    pub command_ids: bool,
    /// `nixos`, `macos` or `linux`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_type: Option<String>,
    /// Version of its agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// Version of its operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Version of nixpkgs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nixpkgs_version: Option<String>,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// Its colour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theme_color: Option<String>,
    /// The commit checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitRef>,
    /// Its lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockReport>,
    /// Whether there are local changes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dirty: bool,
    /// Why the checkout cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_error: Option<String>,
    /// What is deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<DeployedView>,
    /// Store path of the running system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<StorePath>,
    /// Number of the profile generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_number: Option<u64>,
    /// Whether a reboot is needed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reboot_required: bool,
    /// Outcome of the last deploy-class command.
    pub deploy_outcome: DeployOutcome,
    /// The id of that command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy_command: Option<CommandId>,
    /// When its outcome was learnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy_at: Option<Timestamp>,
    /// The last test result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestsView>,
    /// Whether tests are switched on.
    pub tests_enabled: bool,
    /// The hold on it; of several, the one that lasts longest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// The number of that hold, if it is one by selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by_selector: Option<u64>,
    /// The hold on this host alone, where one by selector lasts longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_hold: Option<Hold>,
}

/// What is deployed on a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeployedView {
    /// The commit, if the inputs are known.
    pub commit: Option<CommitRef>,
    /// The lock.
    pub lock: Option<LockHash>,
    /// Store path.
    pub store_path: Option<StorePath>,
    /// Whether the server inferred it for an existing agent.
    pub inferred: bool,
}

/// The last test result of a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestsView {
    /// The commit that was tested.
    pub commit: Option<CommitRef>,
    /// How the run ended.
    pub verdict: TestVerdict,
    /// Number of executed tests.
    pub ran: u32,
    /// Names of failed tests.
    pub failed: Vec<String>,
    /// Number of skipped tests.
    pub skipped: u32,
    /// When the result arrived.
    pub at: Timestamp,
}

/// The five statuses of a host, their reasons, and what is to be told beside them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// The host.
    pub id: HostId,
    /// Statuses, in the order agent, git, lock, system, tests.
    pub s: [Status; 5],
    /// Their reasons with parameters.
    pub r: [Reason; 5],
    /// Attentions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub a: Vec<Attention>,
    /// Whether the host counts as plain green in totals.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub g: bool,
}

impl StatusView {
    /// The statuses of a host by its assessment.
    #[must_use]
    pub fn new(id: HostId, assessment: &HostAssessment) -> Self {
        Self {
            id,
            s: assessment.statuses(),
            r: assessment.compartments.each_ref().map(|one| one.reason),
            a: assessment.attentions.clone(),
            g: assessment.counts_as_green(),
        }
    }
}

/// One command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandView {
    /// Its id.
    pub id: CommandId,
    /// Its host.
    pub host: HostId,
    /// What it does.
    pub op: Op,
    /// Where it is.
    pub phase: Phase,
    /// Its sequence number.
    pub seq: u64,
    /// Who asked for it.
    pub actor: Actor,
    /// When it was made.
    pub created: Timestamp,
    /// When it entered its phase.
    pub since: Timestamp,
    /// Stable code of how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<EndingKind>,
    /// The same as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The pinned target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<CommitId>,
    /// How far it got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
}

/// How far a command got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressView {
    /// Its stage.
    pub stage: ProgressStage,
    /// Steps done.
    pub current: u32,
    /// Steps in all; 0 if not known.
    pub total: u32,
}

/// What the repository says should run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DesiredView {
    /// The agent version the server expects.
    pub agent_version: String,
    /// The remote.
    pub remote: RemoteView,
    /// The desired commit, or the last known one.
    pub commit: Option<CommitId>,
    /// The desired lock, or the last known one.
    pub lock: Option<LockHash>,
    /// First line of the commit message.
    pub subject: Option<String>,
    /// When the commit was made.
    pub commit_time: Option<Timestamp>,
    /// The tracked branch.
    pub branch: Option<String>,
    /// Whether hosts may update inputs and push (spec 05, host-driven).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub host_driven: bool,
}

/// Whether the remote can be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum RemoteView {
    /// Both halves are known.
    Verified,
    /// One half is not known, or nothing is.
    Failed {
        /// The cause, as a sentence.
        cause: String,
        /// What to do about it.
        hint: String,
        /// Since when, if everything failed.
        since: Option<Timestamp>,
    },
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    /// Its number; rises with every event.
    pub n: u64,
    /// When.
    pub at: Timestamp,
    /// Where, if it concerns one host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// Stable code of what happened.
    pub code: String,
    /// The same as a sentence.
    pub text: String,
}
