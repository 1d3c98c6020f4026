//! What each ending means: its terminal phase, and its effect on the host's deploy outcome
//! (spec 02, "Effect on the deploy outcome").

use serde::{Deserialize, Serialize};

use super::ending::EndingKind;
use super::{Phase, Step};
use crate::host::DeployOutcome;

/// What a deploy-class command did to the host, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trace {
    /// Only the pull half of a `pull-switch` ran: the running system was not touched.
    PullOnly,
    /// It may have touched the running system, and there is no activation on record.
    Touched,
    /// The agent has a record that it activated a system.
    Activated,
}

/// The effect on the host's deploy outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeployEffect {
    /// The outcome is ok.
    Ok,
    /// The outcome is failed.
    Failed,
    /// The outcome is unknown.
    Unknown,
    /// It stays what it was.
    Unchanged,
}

/// The effect on the host's `needs_reconcile` (spec 01, Facts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reconcile {
    /// It stays what it was.
    Keeps,
    /// Nobody knows what is deployed now: the host needs reconciling.
    Sets,
    /// What is deployed is known: nothing needs reconciling.
    Clears,
}

/// What a deploy-class command does to what the server remembers of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostEffect {
    /// To the deploy outcome.
    pub deploy: DeployEffect,
    /// To `needs_reconcile`.
    pub reconcile: Reconcile,
}

impl HostEffect {
    const fn new(deploy: DeployEffect, reconcile: Reconcile) -> Self {
        Self { deploy, reconcile }
    }

    /// The step for this effect; none if everything stays what it was.
    pub(super) fn step(self, detail: String) -> Option<Step> {
        let outcome = match self.deploy {
            DeployEffect::Ok => DeployOutcome::Ok,
            DeployEffect::Failed => DeployOutcome::Failed,
            DeployEffect::Unknown => DeployOutcome::Unknown,
            DeployEffect::Unchanged => return None,
        };
        let needs_reconcile = match self.reconcile {
            Reconcile::Keeps => None,
            Reconcile::Sets => Some(true),
            Reconcile::Clears => Some(false),
        };
        Some(Step::DeployOutcome {
            outcome,
            needs_reconcile,
            detail,
        })
    }
}

/// It is known what is deployed, and it is what was wanted.
pub(super) const SETTLED: HostEffect = HostEffect::new(DeployEffect::Ok, Reconcile::Clears);
/// The agent has a record of its own activation, but the goal was not seen; the record clears
/// what this very command set, nothing else.
pub(super) const ON_RECORD: HostEffect = HostEffect::new(DeployEffect::Ok, Reconcile::Keeps);
/// It failed; what an earlier command left open stays open.
pub(super) const FAILED: HostEffect = HostEffect::new(DeployEffect::Failed, Reconcile::Keeps);
/// Nobody knows.
pub(super) const UNKNOWN: HostEffect = HostEffect::new(DeployEffect::Unknown, Reconcile::Sets);
/// The running system was not touched.
pub(super) const UNTOUCHED: HostEffect = HostEffect::new(DeployEffect::Unchanged, Reconcile::Keeps);

/// One row: an ending, the terminal phase it belongs to, and its effect for each [`Trace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndingSpec {
    /// The ending.
    pub ending: EndingKind,
    /// Its terminal phase.
    pub phase: Phase,
    /// Effect if only the pull half ran.
    pub pull_only: HostEffect,
    /// Effect without an activation on record.
    pub touched: HostEffect,
    /// Effect with an activation on record.
    pub activated: HostEffect,
}

impl EndingSpec {
    /// The effect on the host, for deploy-class operations.
    #[must_use]
    pub const fn effect(&self, trace: Trace) -> HostEffect {
        match trace {
            Trace::PullOnly => self.pull_only,
            Trace::Touched => self.touched,
            Trace::Activated => self.activated,
        }
    }
}

use EndingKind as E;

/// Every ending, in the order of [`EndingKind::ALL`].
#[rustfmt::skip]
pub const ENDINGS: &[EndingSpec] = &[
    EndingSpec { ending: E::Reached,             phase: Phase::Success,     pull_only: SETTLED,   touched: SETTLED,   activated: SETTLED   },
    EndingSpec { ending: E::UnitsFailed,         phase: Phase::Degraded,    pull_only: SETTLED,   touched: SETTLED,   activated: SETTLED   },
    EndingSpec { ending: E::AgentUnchanged,      phase: Phase::StaleBinary, pull_only: SETTLED,   touched: SETTLED,   activated: SETTLED   },
    EndingSpec { ending: E::OnlySourceChanged,   phase: Phase::Suspicious,  pull_only: SETTLED,   touched: SETTLED,   activated: SETTLED   },
    EndingSpec { ending: E::ExitCode,            phase: Phase::Error,       pull_only: UNTOUCHED, touched: FAILED,    activated: FAILED    },
    EndingSpec { ending: E::Rejected,            phase: Phase::Error,       pull_only: UNTOUCHED, touched: UNTOUCHED, activated: UNTOUCHED },
    EndingSpec { ending: E::NotSent,             phase: Phase::Error,       pull_only: UNTOUCHED, touched: UNTOUCHED, activated: UNTOUCHED },
    EndingSpec { ending: E::OutcomeUnknown,      phase: Phase::Error,       pull_only: UNKNOWN,   touched: UNKNOWN,   activated: UNKNOWN   },
    EndingSpec { ending: E::GoalNotReached,      phase: Phase::Partial,     pull_only: UNKNOWN,   touched: UNKNOWN,   activated: ON_RECORD },
    EndingSpec { ending: E::Unverified,          phase: Phase::Partial,     pull_only: UNKNOWN,   touched: UNKNOWN,   activated: ON_RECORD },
    EndingSpec { ending: E::Stopped,             phase: Phase::Killed,      pull_only: UNTOUCHED, touched: FAILED,    activated: FAILED    },
    EndingSpec { ending: E::NeverReturned,       phase: Phase::Timeout,     pull_only: UNKNOWN,   touched: UNKNOWN,   activated: UNKNOWN   },
    EndingSpec { ending: E::StoppedTracking,     phase: Phase::Skipped,     pull_only: UNKNOWN,   touched: UNKNOWN,   activated: UNKNOWN   },
    EndingSpec { ending: E::StageFailed,         phase: Phase::Skipped,     pull_only: UNTOUCHED, touched: UNTOUCHED, activated: UNTOUCHED },
    EndingSpec { ending: E::Refused,             phase: Phase::Blocked,     pull_only: UNTOUCHED, touched: UNTOUCHED, activated: UNTOUCHED },
    EndingSpec { ending: E::Cancelled,           phase: Phase::Cancelled,   pull_only: UNTOUCHED, touched: UNTOUCHED, activated: UNTOUCHED },
    EndingSpec { ending: E::Expired,             phase: Phase::Expired,     pull_only: UNTOUCHED, touched: UNTOUCHED, activated: UNTOUCHED },
    EndingSpec { ending: E::Superseded,          phase: Phase::Superseded,  pull_only: UNTOUCHED, touched: UNTOUCHED, activated: UNTOUCHED },
];

impl EndingKind {
    /// The row of this ending in [`ENDINGS`].
    #[must_use]
    pub const fn spec(self) -> &'static EndingSpec {
        /// Looked for while this compiles, and it only compiles if every row is found.
        const fn row(kind: EndingKind) -> &'static EndingSpec {
            let mut index = 0;
            while ENDINGS[index].ending as usize != kind as usize {
                index += 1;
            }
            &ENDINGS[index]
        }
        match self {
            E::Reached => const { row(E::Reached) },
            E::UnitsFailed => const { row(E::UnitsFailed) },
            E::AgentUnchanged => const { row(E::AgentUnchanged) },
            E::OnlySourceChanged => const { row(E::OnlySourceChanged) },
            E::ExitCode => const { row(E::ExitCode) },
            E::Rejected => const { row(E::Rejected) },
            E::NotSent => const { row(E::NotSent) },
            E::OutcomeUnknown => const { row(E::OutcomeUnknown) },
            E::GoalNotReached => const { row(E::GoalNotReached) },
            E::Unverified => const { row(E::Unverified) },
            E::Stopped => const { row(E::Stopped) },
            E::NeverReturned => const { row(E::NeverReturned) },
            E::StoppedTracking => const { row(E::StoppedTracking) },
            E::StageFailed => const { row(E::StageFailed) },
            E::Refused => const { row(E::Refused) },
            E::Cancelled => const { row(E::Cancelled) },
            E::Expired => const { row(E::Expired) },
            E::Superseded => const { row(E::Superseded) },
        }
    }
}
