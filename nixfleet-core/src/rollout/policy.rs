//! How a rollout goes about it (spec 05, "Policy"). Every field has a default.

use serde::{Deserialize, Serialize};

use crate::ids::HostId;
use crate::op::Op;
use crate::time::Timestamp;
use crate::window::ActionClass;

/// How a rollout goes about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Which hosts go first, alone.
    pub canaries: Canaries,
    /// How long the canaries must show unbroken good evidence before anybody else starts.
    pub soak_seconds: u64,
    /// How many hosts may run a command of the rollout at the same time.
    pub max_in_flight: InFlight,
    /// What is done on each host, in this order.
    pub stages: Vec<Stage>,
    /// Whether every host of a wave has to pass a stage before any of them starts the next.
    pub barrier: bool,
    /// When failures stop the rollout.
    pub on_failure: OnFailure,
    /// What is rolled back after it stopped because of failures.
    pub roll_back: RollBack,
    /// What happens to hosts that are not connected.
    pub offline: Offline,
    /// Whether a person approves every wave after the first.
    pub approve_waves: bool,
    /// For which windows it is an update.
    pub class: ActionClass,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            canaries: Canaries::Flagged,
            soak_seconds: 600,
            max_in_flight: InFlight::Count(10),
            stages: vec![Stage::Pull, Stage::Switch, Stage::Test],
            barrier: false,
            on_failure: OnFailure::Stop,
            roll_back: RollBack::None,
            offline: Offline::Skip,
            approve_waves: false,
            class: ActionClass::Routine,
        }
    }
}

/// Which hosts go first, alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Canaries {
    /// Those that are canaries by their settings, if they are not all.
    #[default]
    Flagged,
    /// None.
    None,
    /// So many: first those that are canaries by their settings.
    Count(u32),
    /// These.
    Hosts(Vec<HostId>),
}

/// How many hosts may run a command at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InFlight {
    /// So many.
    Count(u32),
    /// This share of the hosts that take part, rounded down, at least one.
    Percent(u8),
}

impl InFlight {
    /// The limit for so many hosts.
    #[must_use]
    pub fn limit(self, hosts: usize) -> usize {
        let limit = match self {
            InFlight::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            InFlight::Percent(percent) => hosts.saturating_mul(usize::from(percent)) / 100,
        };
        limit.max(1)
    }
}

/// One step on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Bring the checkout to the target.
    Pull,
    /// Activate it.
    Switch,
    /// Run the host's tests, where they are on.
    Test,
}

impl Stage {
    /// The operation that does it.
    #[must_use]
    pub const fn op(self) -> Op {
        match self {
            Stage::Pull => Op::Pull,
            Stage::Switch => Op::Switch,
            Stage::Test => Op::Test,
        }
    }
}

/// When failures stop the rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The first one does.
    #[default]
    Stop,
    /// So many are put up with; the next one stops it.
    ContinueUpTo(u32),
}

impl OnFailure {
    /// The number of failures that stops it.
    #[must_use]
    pub const fn limit(self) -> u32 {
        match self {
            OnFailure::Stop => 1,
            OnFailure::ContinueUpTo(failures) => failures.saturating_add(1),
        }
    }
}

/// What is rolled back after failures stopped the rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollBack {
    /// Nothing by itself; a person may.
    #[default]
    None,
    /// The hosts that failed.
    FailedHosts,
    /// Every host that this rollout changed.
    AllHosts,
    /// The same, and the update is reverted in the repository.
    AllHostsAndRevert,
}

impl RollBack {
    /// The same, or every host.
    #[must_use]
    pub const fn at_least_all(self) -> Self {
        match self {
            RollBack::None | RollBack::FailedHosts | RollBack::AllHosts => RollBack::AllHosts,
            RollBack::AllHostsAndRevert => RollBack::AllHostsAndRevert,
        }
    }
}

/// What happens to hosts that are not connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Offline {
    /// They are left out.
    #[default]
    Skip,
    /// They are waited for, within the bound of this wait.
    Wait,
    /// They are waited for until then.
    QueueUntil(Timestamp),
}
