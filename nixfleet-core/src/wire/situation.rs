//! One host and what is desired of it as one JSON value: what callers without a fleet pass in,
//! and the assessment they get back (specs 01 and 03). What also travels elsewhere has the shape it
//! has there: facts as in `register` and `heartbeat`, answers as in the HTTP API.
//!
//! ```
//! use nixfleet_core::wire::situation::{OwnedSituation, SituationFacts};
//! let facts: SituationFacts = serde_json::from_str(r#"{
//!     "host": {"agent_version": "4.0.0"},
//!     "desired": {"agent_version": "4.0.0", "failed": {"cause": "timed-out"}}
//! }"#).unwrap();
//! let situation = OwnedSituation::try_from(facts).unwrap();
//! let report = situation.report();
//! assert_eq!(report.statuses().join(" "), "ok error error outdated outdated");
//! ```

mod answer;
mod read;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Field;
use super::agent::Facts;
use crate::compartment::Working;
use crate::desired::{PendingPr, RemoteCause};
use crate::host::{DeployOutcome, Hold, Presence, TestVerdict};
use crate::time::Timestamp;

pub use answer::{AssessmentReport, OwnedSituation};

/// Everything one assessment depends on. Every field may be missing; unknown ones are ignored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SituationFacts {
    /// What the host says of itself.
    pub host: HostFacts,
    /// What the repository says should run.
    pub desired: DesiredFacts,
    /// What is remembered of the last deploy-class command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deploy: Option<DeployFacts>,
    /// The last test result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestResultFacts>,
    /// Whether tests are switched on for this host; they are unless it says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests_enabled: Option<bool>,
    /// The active command, from `EXECUTING` to the end of `VERIFYING`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working: Option<Working>,
    /// Whether the agent is connected; if missing, a host that says anything is online.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<Presence>,
    /// The hold on this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Whether automation gave up on this host.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub quarantined: bool,
    /// Whether two machines claim to be this host.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub identity_conflict: bool,
}

/// What a host says: the payload of its `register`, of its `heartbeat`, or both put together
/// (spec 03). Where a field is missing the host has not said it; `null` means that it has none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostFacts {
    /// Version of the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// What the agent announced: with `commands` it speaks command ids, with `lock` a
    /// `lock_hash` of `null` means that the checkout has no lock file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// The agent process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// The boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// Checked-out commit in seven digits, from an existing agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// Failed units.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub failed_units: Field<Vec<String>>,
    /// Whether `deployed` was inferred by the server for an existing agent. Never sent by one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deployed_inferred: bool,
    /// The other facts.
    #[serde(flatten)]
    pub facts: Facts,
}

/// What the repository says should run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DesiredFacts {
    /// The agent version that is expected.
    pub agent_version: String,
    /// The desired commit, or with `failed` the last one known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// SHA-256 of `flake.lock` at that commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_hash: Option<String>,
    /// Why the commit alone is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_error: Option<CauseFacts>,
    /// Why the lock alone is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_error: Option<CauseFacts>,
    /// The remote cannot be read at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<CauseFacts>,
    /// First line of the commit message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When the commit was made, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_time: Option<Timestamp>,
    /// The tracked branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Whether the previous head of the branch is no ancestor of this one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rewritten: bool,
    /// When the remote last confirmed it, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Timestamp>,
    /// Whether the last reading failed while this one is still in force.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_grace: bool,
    /// The past of the branch, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryFacts>,
    /// The open update pull request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_pr: Option<PendingPr>,
}

/// Why something is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CauseFacts {
    /// The kind of cause: a code, or `{"http-status": 404}`.
    pub cause: RemoteCause,
    /// One line of detail.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Since when, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// The past of the tracked branch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryFacts {
    /// Its commits, newest first.
    pub commits: Vec<String>,
    /// For each of them how many commits it reaches, itself included; empty if not counted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reachable: Vec<u32>,
    /// Commits beside the branch, compared with its head.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub off_branch: BTreeMap<String, OffBranchFacts>,
    /// Versions of `flake.lock`, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<LockVersionFacts>,
}

/// How a commit beside the branch compares with its head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OffBranchFacts {
    /// Commits that only it reaches.
    pub ahead: u32,
    /// Commits that only the head reaches.
    pub behind: u32,
}

/// One version of `flake.lock`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LockVersionFacts {
    /// The commit that brought it.
    pub commit: String,
    /// SHA-256 of its bytes.
    pub lock_hash: String,
    /// When that was, in milliseconds since 1970.
    #[serde(default)]
    pub time: Timestamp,
    /// The text of the lock, if inputs are to be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// What is remembered of the last deploy-class command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeployFacts {
    /// Its outcome.
    pub outcome: DeployOutcome,
    /// Whether the outcome has to be settled.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub needs_reconcile: bool,
    /// The command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
    /// When the outcome was learnt, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// One line on how it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The last test result of a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestResultFacts {
    /// What was tested; missing if the host could not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<TestedFacts>,
    /// How the run ended.
    pub verdict: TestVerdict,
    /// Whether the exit code of every script was seen; an existing agent reports only its last.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub per_script: bool,
    /// Number of executed tests.
    #[serde(default)]
    pub ran: u32,
    /// Names of failed tests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
    /// Number of skipped tests.
    #[serde(default)]
    pub skipped: u32,
    /// When the result arrived, in milliseconds since 1970.
    #[serde(default)]
    pub at: Timestamp,
}

const fn yes() -> bool {
    true
}

/// What exactly was tested.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestedFacts {
    /// The deployed commit.
    pub commit: String,
    /// The deployed lock.
    pub lock_hash: String,
    /// The running store path; missing where an existing agent told none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_path: Option<String>,
}
