//! What a host last said about itself, and the evidence the server keeps beside it (spec 01, Facts).
//!
//! Three different things are never mixed: the commit checked out, the commit deployed, and the
//! profile generation number.

use serde::{Deserialize, Serialize};

use crate::claim::ClaimedRevision;
use crate::ids::{CommandId, CommitRef, LockHash, RolloutId, Sequence, StorePath, Token};
use crate::time::Timestamp;

/// What a host last said about itself. Everything is optional: `None` means not reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostObservation {
    /// Version of the running agent, as reported.
    pub agent_version: Option<String>,
    /// The config checkout.
    pub repo: Option<Repo>,
    /// The agent's own record of the last deployment, or an inferred one (spec 03).
    pub deployed: Option<Deployed>,
    /// The running system.
    pub system: Option<RunningSystem>,
    /// The agent's binary, for the freshness verdict.
    pub binary: AgentBinary,
    /// Failed units, sorted; `None` if never reported.
    pub failed_units: Option<Vec<String>>,
    /// Why the checkout could not be read, in the agent's words.
    pub repo_error: Option<String>,
    /// Generations that can be rolled back to, newest first, as last reported.
    pub generations: Vec<Generation>,
}

/// The config checkout of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Repo {
    /// The commit checked out.
    pub commit: CommitRef,
    /// Its `flake.lock`.
    pub lock: LockReport,
    /// Whether there are local changes.
    pub dirty: bool,
}

/// What is known of the `flake.lock` in a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockReport {
    /// The agent did not say.
    NotReported,
    /// The checkout has no `flake.lock`.
    Missing,
    /// SHA-256 of its bytes.
    Hash(LockHash),
}

impl LockReport {
    /// The hash, if there is one.
    #[must_use]
    pub const fn hash(self) -> Option<LockHash> {
        match self {
            LockReport::Hash(hash) => Some(hash),
            LockReport::NotReported | LockReport::Missing => None,
        }
    }
}

/// The inputs and the result of the last deployment, captured by the agent when the build starts
/// and re-read when its activation is verified; never derived from a later checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// The commit that was built; `None` if it changed during the build or was not known.
    pub commit: Option<CommitRef>,
    /// The lock that was built.
    pub lock: Option<LockHash>,
    /// The activated store path.
    pub store_path: Option<StorePath>,
    /// Whether the tree was clean and did not change during the build.
    pub clean: bool,
    /// The command that did it, if it was one of ours.
    pub command: Option<CommandId>,
    /// Whether the server inferred it for an existing agent (spec 03).
    pub inferred: bool,
}

/// The running system as seen from inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningSystem {
    /// Store path of the running system.
    pub path: Option<StorePath>,
    /// The revision the running system itself claims (`configurationRevision`), also one that is
    /// no commit; `None` if it claims nothing.
    pub configuration_revision: Option<ClaimedRevision>,
    /// Number of the profile generation.
    pub profile_number: Option<u64>,
    /// Store path that the profile names, which is what the next boot starts: another one than
    /// [`Self::path`] after a switch that failed between the two. `None` if the host does not tell.
    #[serde(default)]
    pub profile_path: Option<StorePath>,
    /// Store path of the booted system.
    pub booted_path: Option<StorePath>,
    /// Whether booted and current kernel, initrd or modules differ.
    pub reboot_required: bool,
}

impl RunningSystem {
    /// Whether the profile is known to name something else than this store path.
    #[must_use]
    pub fn profile_leads_away_from(&self, path: Option<&StorePath>) -> bool {
        match (&self.profile_path, path) {
            (Some(profile), Some(path)) => profile != path,
            (None, _) | (_, None) => false,
        }
    }

    /// The commit it claims to be built from; `None` if it claims nothing, or no commit.
    #[must_use]
    pub fn claimed_commit(&self) -> Option<CommitRef> {
        self.configuration_revision.as_ref()?.commit()
    }
}

/// The agent's own binary (spec 02, "Freshness verdict").
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentBinary {
    /// Commit the binary was built from, as it says.
    pub source_commit: Option<String>,
    /// Store path it runs from.
    pub store_path: Option<String>,
    /// Hash of the binary.
    pub binary_hash: Option<String>,
    /// The agent path that the deployed configuration expects, where the host knows it.
    pub expected_path: Option<String>,
}

/// One generation a host can roll back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Number of the profile generation.
    pub number: u64,
    /// Its store path.
    pub path: Option<StorePath>,
    /// The commit it was built from, where known.
    pub commit: Option<CommitRef>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Whether it is the current one.
    pub current: bool,
}

/// One part of an update: an absent field means unchanged, an explicit `null` means gone.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Update<T> {
    /// The report did not mention it.
    #[default]
    Unchanged,
    /// The report says there is none.
    Gone,
    /// The new value, replacing the old one as a unit.
    Set(T),
}

impl<T> Update<T> {
    /// Applies the update to `slot`; tells whether it changed.
    pub fn apply(self, slot: &mut Option<T>) -> bool
    where
        T: PartialEq,
    {
        match self {
            Update::Unchanged => false,
            Update::Gone => slot.take().is_some(),
            Update::Set(value) => {
                let changed = slot.as_ref() != Some(&value);
                if changed {
                    *slot = Some(value);
                }
                changed
            }
        }
    }

    /// The same where nothing is the default value. That there is nothing is always news.
    fn apply_or_default(self, slot: &mut T) -> bool
    where
        T: PartialEq + Default,
    {
        match self {
            Update::Unchanged => false,
            Update::Gone => {
                *slot = T::default();
                true
            }
            Update::Set(value) => {
                let changed = *slot != value;
                if changed {
                    *slot = value;
                }
                changed
            }
        }
    }
}

/// The facts of one `register`, `heartbeat` or `status` message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservationUpdate {
    /// See [`HostObservation::agent_version`].
    pub agent_version: Update<String>,
    /// See [`HostObservation::repo`].
    pub repo: Update<Repo>,
    /// See [`HostObservation::deployed`].
    pub deployed: Update<Deployed>,
    /// See [`HostObservation::system`].
    pub system: Update<RunningSystem>,
    /// See [`HostObservation::binary`].
    pub binary: Update<AgentBinary>,
    /// See [`HostObservation::failed_units`].
    pub failed_units: Update<Vec<String>>,
    /// See [`HostObservation::repo_error`].
    pub repo_error: Update<String>,
    /// See [`HostObservation::generations`].
    pub generations: Update<Vec<Generation>>,
}

impl ObservationUpdate {
    /// Whether it says what system runs.
    #[must_use]
    pub const fn tells_system(&self) -> bool {
        matches!(self.system, Update::Set(_))
    }
}

impl HostObservation {
    /// Takes in a report; tells whether anything changed.
    pub fn apply(&mut self, update: ObservationUpdate) -> bool {
        let ObservationUpdate {
            agent_version,
            repo,
            deployed,
            system,
            binary,
            failed_units,
            repo_error,
            generations,
        } = update;
        let mut changed = agent_version.apply(&mut self.agent_version);
        changed |= repo.apply(&mut self.repo);
        changed |= deployed.apply(&mut self.deployed);
        changed |= system.apply(&mut self.system);
        changed |= binary.apply_or_default(&mut self.binary);
        changed |= failed_units.apply(&mut self.failed_units);
        changed |= repo_error.apply(&mut self.repo_error);
        changed |= generations.apply_or_default(&mut self.generations);
        changed
    }
}

/// Outcome of the last deploy-class command (spec 02, "Effect on the deploy outcome").
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum DeployOutcome {
    /// Nothing was ever deployed through us.
    #[default]
    Never,
    /// It worked, perhaps with remarks.
    Ok,
    /// It failed, or was stopped half way.
    Failed,
    /// Nobody knows; the host needs reconciling.
    Unknown,
}

/// What the server remembers of the last deploy-class command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployEvidence {
    /// Its outcome.
    pub outcome: DeployOutcome,
    /// Its id.
    pub command: Option<CommandId>,
    /// Its sequence number.
    pub seq: Sequence,
    /// Set only by a deploy-class command whose outcome is unknown; cleared by the agent's record
    /// for that command, or by a later verified deploy or rollback.
    pub needs_reconcile: bool,
    /// When the outcome was learnt.
    pub at: Option<Timestamp>,
    /// One line on how it ended ("exit code 1", "stopped by user"), for the tooltip.
    pub detail: Option<String>,
}

/// What exactly was tested: captured at test start, re-read at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestKey {
    /// The deployed commit.
    pub commit: CommitRef,
    /// The deployed lock.
    pub lock: LockHash,
    /// The running store path; `None` where an existing agent tells none.
    pub store_path: Option<StorePath>,
}

/// How a test run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestVerdict {
    /// Every executed test passed, and at least one was executed.
    Pass,
    /// At least one test failed.
    Fail,
    /// The run was stopped or timed out.
    Stopped,
    /// Nothing was executed.
    Empty,
    /// The key changed between start and end: the result is about nothing in particular.
    Void,
}

/// The last test result of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestEvidence {
    /// What was tested; `None` if the host could not say.
    pub key: Option<TestKey>,
    /// How it ended.
    pub verdict: TestVerdict,
    /// Whether every script's own exit code was seen. An existing agent reports only its last
    /// script, so its pass is unverified.
    pub per_script: bool,
    /// Number of executed tests; 0 also where an existing agent tells none.
    pub ran: u32,
    /// Names of failed tests.
    pub failed: Vec<String>,
    /// Number of skipped tests.
    pub skipped: u32,
    /// When the result arrived.
    pub at: Timestamp,
}

/// Whether the agent is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// Never connected.
    NeverSeen,
    /// Connected and registered.
    Online,
    /// Not connected since then.
    Offline {
        /// When it was last heard of.
        since: Timestamp,
    },
}

/// Keeps every automation away from a host (spec 05, Holds).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who placed it.
    pub by: String,
    /// Why.
    pub why: String,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
}

/// Which protocol an agent speaks (spec 03).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentProtocol {
    /// An existing agent: no command ids, results matched by host and op name.
    #[default]
    Existing,
    /// Ours: ids, sequence numbers, leases, journal, deployment record.
    Commands,
}

/// What a host is, as it said at registration. Shown, never judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostIdentity {
    /// `nixos`, `macos` or `linux`, as reported.
    pub host_type: Option<String>,
    /// Version of the operating system.
    pub os_version: Option<String>,
    /// Version of nixpkgs.
    pub nixpkgs_version: Option<String>,
    /// Colour of the host on the page (`#rrggbb`).
    pub theme_color: Option<String>,
    /// Where it stands (`cloud`, `home`, …).
    pub location: Option<String>,
    /// What it is (`server`, `desktop`, …).
    pub device_type: Option<String>,
    /// URL of its config repository, without credentials.
    pub repo_url: Option<String>,
    /// Directory of its config checkout.
    pub repo_dir: Option<String>,
    /// Seconds between heartbeats.
    pub heartbeat_interval: Option<u32>,
    /// Which protocol the agent speaks.
    pub protocol: AgentProtocol,
    /// Capabilities it announced.
    pub capabilities: Vec<String>,
    /// Changes with every agent process.
    pub instance_id: Option<Token>,
    /// Changes with every boot.
    pub boot_id: Option<Token>,
    /// Hash of the machine id, to notice cloned disks.
    pub machine_id_hash: Option<Token>,
    /// Update policy from the host's own module; see [`HostSettings`].
    #[serde(default, skip_serializing_if = "UpdatePolicy::is_silent")]
    pub update_policy: UpdatePolicy,
}

/// What a host says about its own updates at registration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdatePolicy {
    /// Whether automation may update it.
    pub auto_update: Option<bool>,
    /// Lower goes first.
    pub priority: Option<i64>,
    /// Whether it is a canary.
    pub canary: Option<bool>,
}

impl UpdatePolicy {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        *self == Self::default()
    }
}

/// How automation treats a host, as set on the server; what is not set here, the host's own
/// [`UpdatePolicy`] decides, and then the defaults (spec 05).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostSettings {
    /// Whether automation may update it by itself; default yes.
    pub auto_update: Option<bool>,
    /// Lower goes first; default [`DEFAULT_PRIORITY`].
    pub priority: Option<i64>,
    /// Whether it goes before the others; default no.
    pub canary: Option<bool>,
    /// Whether its tests run by themselves after a switch; default yes.
    pub tests_after_switch: Option<bool>,
    /// Free words for selectors.
    pub tags: Vec<String>,
    /// Whether this server runs on it: then it goes last (law D19).
    pub runs_server: bool,
}

/// The priority of a host that nobody gave one.
pub const DEFAULT_PRIORITY: i64 = 100;

impl HostSettings {
    /// Whether automation may update the host by itself.
    #[must_use]
    pub fn auto_update(&self, own: &UpdatePolicy) -> bool {
        self.auto_update.or(own.auto_update).unwrap_or(true)
    }

    /// Its place in the order; lower goes first.
    #[must_use]
    pub fn priority(&self, own: &UpdatePolicy) -> i64 {
        self.priority.or(own.priority).unwrap_or(DEFAULT_PRIORITY)
    }

    /// Whether it is a canary.
    #[must_use]
    pub fn canary(&self, own: &UpdatePolicy) -> bool {
        self.canary.or(own.canary).unwrap_or(false)
    }

    /// Whether its tests run by themselves after a switch.
    #[must_use]
    pub fn tests_after_switch(&self) -> bool {
        self.tests_after_switch.unwrap_or(true)
    }

    /// Why these settings cannot be taken, naming the field.
    ///
    /// # Errors
    /// What is wrong with which field.
    pub fn check(&self) -> Result<(), String> {
        let plain = |tag: &String| {
            let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            (1..=64).contains(&tag.len()) && tag.bytes().all(word)
        };
        if self.tags.len() > 64 {
            return Err("tags: a host has at most 64".to_owned());
        }
        match self.tags.iter().find(|tag| !plain(tag)) {
            Some(bad) => Err(format!(
                "tags: {bad:?} is not 1 to 64 letters, digits, '.', '_' or '-'"
            )),
            None => Ok(()),
        }
    }
}

/// How the name of a rollout as an actor begins.
const ROLLOUT_ACTOR: &str = "rollout ";

/// An actor: who asked for something, for the audit trail and for rights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "name")]
pub enum Actor {
    /// A person at the page or behind an API token.
    Person(String),
    /// An automation (rollout, auto mode, policy).
    Automation(String),
}

impl Actor {
    /// The rollout with this id, as an actor.
    #[must_use]
    pub fn rollout(id: RolloutId) -> Self {
        Actor::Automation(format!("{ROLLOUT_ACTOR}{id}"))
    }

    /// The rollout that acts, if it is one.
    #[must_use]
    pub fn as_rollout(&self) -> Option<RolloutId> {
        match self {
            Actor::Person(_) => None,
            Actor::Automation(name) => name.strip_prefix(ROLLOUT_ACTOR)?.parse().ok(),
        }
    }

    /// The name, whoever it is.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Actor::Person(name) | Actor::Automation(name) => name,
        }
    }

    /// Whether holds and windows bind this actor.
    #[must_use]
    pub const fn is_automation(&self) -> bool {
        matches!(self, Actor::Automation(_))
    }
}
