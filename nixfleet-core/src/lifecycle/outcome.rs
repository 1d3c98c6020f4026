//! What each ending means: its terminal phase, and its effect on the host's deploy outcome
//! (spec 02, "Effect on the deploy outcome").

use serde::{Deserialize, Serialize};

use super::Phase;
use super::ending::EndingKind;

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
    /// The outcome is ok; nothing needs reconciling.
    Ok,
    /// The outcome is failed.
    Failed,
    /// The outcome is unknown; the host needs reconciling.
    Unknown,
    /// It stays what it was.
    Unchanged,
}

/// One row: an ending, the terminal phase it belongs to, and its effect for each [`Trace`].
#[derive(Clone, Copy, Debug)]
pub struct EndingSpec {
    /// The ending.
    pub ending: EndingKind,
    /// Its terminal phase.
    pub phase: Phase,
    /// Effect if only the pull half ran.
    pub pull_only: DeployEffect,
    /// Effect without an activation on record.
    pub touched: DeployEffect,
    /// Effect with an activation on record.
    pub activated: DeployEffect,
}

use DeployEffect::{Failed, Ok, Unchanged, Unknown};
use EndingKind as E;

/// Every ending, in the order of [`EndingKind::ALL`].
#[rustfmt::skip]
pub const ENDINGS: &[EndingSpec] = &[
    EndingSpec { ending: E::Reached,           phase: Phase::Success,     pull_only: Ok,        touched: Ok,        activated: Ok },
    EndingSpec { ending: E::UnitsFailed,       phase: Phase::Degraded,    pull_only: Ok,        touched: Ok,        activated: Ok },
    EndingSpec { ending: E::AgentUnchanged,    phase: Phase::StaleBinary, pull_only: Ok,        touched: Ok,        activated: Ok },
    EndingSpec { ending: E::OnlySourceChanged, phase: Phase::Suspicious,  pull_only: Ok,        touched: Ok,        activated: Ok },
    EndingSpec { ending: E::ExitCode,          phase: Phase::Error,       pull_only: Unchanged, touched: Failed,    activated: Failed },
    EndingSpec { ending: E::Rejected,          phase: Phase::Error,       pull_only: Unchanged, touched: Unchanged, activated: Unchanged },
    EndingSpec { ending: E::NotSent,           phase: Phase::Error,       pull_only: Unchanged, touched: Unchanged, activated: Unchanged },
    EndingSpec { ending: E::OutcomeUnknown,    phase: Phase::Error,       pull_only: Unknown,   touched: Unknown,   activated: Unknown },
    EndingSpec { ending: E::GoalNotReached,    phase: Phase::Partial,     pull_only: Unknown,   touched: Unknown,   activated: Ok },
    EndingSpec { ending: E::Unverified,        phase: Phase::Partial,     pull_only: Unknown,   touched: Unknown,   activated: Ok },
    EndingSpec { ending: E::Stopped,           phase: Phase::Killed,      pull_only: Unchanged, touched: Failed,    activated: Failed },
    EndingSpec { ending: E::NeverReturned,     phase: Phase::Timeout,     pull_only: Unknown,   touched: Unknown,   activated: Unknown },
    EndingSpec { ending: E::StoppedTracking,   phase: Phase::Skipped,     pull_only: Unknown,   touched: Unknown,   activated: Unknown },
    EndingSpec { ending: E::StageFailed,       phase: Phase::Skipped,     pull_only: Unchanged, touched: Unchanged, activated: Unchanged },
    EndingSpec { ending: E::Refused,           phase: Phase::Blocked,     pull_only: Unchanged, touched: Unchanged, activated: Unchanged },
    EndingSpec { ending: E::Cancelled,         phase: Phase::Cancelled,   pull_only: Unchanged, touched: Unchanged, activated: Unchanged },
    EndingSpec { ending: E::Expired,           phase: Phase::Expired,     pull_only: Unchanged, touched: Unchanged, activated: Unchanged },
    EndingSpec { ending: E::Superseded,        phase: Phase::Superseded,  pull_only: Unchanged, touched: Unchanged, activated: Unchanged },
];

impl EndingKind {
    /// The row of this ending in [`ENDINGS`].
    #[must_use]
    pub fn spec(self) -> &'static EndingSpec {
        static FIRST: EndingSpec = ENDINGS[0];
        ENDINGS.get(self as usize).unwrap_or(&FIRST)
    }

    /// The effect on the deploy outcome, for deploy-class operations.
    #[must_use]
    pub fn deploy_effect(self, trace: Trace) -> DeployEffect {
        let spec = self.spec();
        match trace {
            Trace::PullOnly => spec.pull_only,
            Trace::Touched => spec.touched,
            Trace::Activated => spec.activated,
        }
    }
}
