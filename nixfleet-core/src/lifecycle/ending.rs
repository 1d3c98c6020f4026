//! How a command ended, precisely, and what that means for the host's deploy outcome.

use serde::{Deserialize, Serialize};

use crate::admission::Refusal;

/// Why nobody knows how a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownCause {
    /// It was never acknowledged, and can no longer start.
    NotAcknowledged,
    /// The agent came back and knows nothing of it.
    UnknownToAgent,
    /// It passed its hard timeout and there is nobody to decide, or nothing to stop.
    HardTimeout,
    /// Nobody decided in time.
    NoDecision,
    /// The agent did not confirm that its process group is empty.
    KillNotConfirmed,
    /// The agent, or what supervised the command, was killed while it ran.
    Interrupted,
}

impl UnknownCause {
    /// Half a sentence for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            UnknownCause::NotAcknowledged => "the agent never acknowledged it",
            UnknownCause::UnknownToAgent => "the agent came back and has no record of it",
            UnknownCause::HardTimeout => "it passed its hard timeout",
            UnknownCause::NoDecision => "it passed its hard timeout and nobody decided",
            UnknownCause::KillNotConfirmed => {
                "the agent did not confirm that all of its processes ended"
            }
            UnknownCause::Interrupted => "it was interrupted on the host",
        }
    }
}

/// Why a goal could be neither confirmed nor denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnverifiedCause {
    /// No facts arrived after the exit.
    NoFacts,
    /// The host does not report the facts the goal needs.
    NotReported,
    /// An existing agent only vanished and came back; it keeps no record.
    OnlyCameBack,
    /// An update of the agent was due, and the agent does not report its binary.
    BinaryNotReported,
}

impl UnverifiedCause {
    /// Half a sentence for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            UnverifiedCause::NoFacts => "no facts arrived after it ended",
            UnverifiedCause::NotReported => "the host does not report what would prove it",
            UnverifiedCause::OnlyCameBack => {
                "the agent keeps no record: it only vanished and came back"
            }
            UnverifiedCause::BinaryNotReported => {
                "an update of the agent was due, and the agent does not report its binary"
            }
        }
    }
}

/// Which part of the goal was not reached although the exit code was 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GoalGap {
    /// The checkout is not at the commit pinned at the start.
    CommitIsNotTarget,
    /// The agent has no deployment record for this command.
    NoDeploymentRecord,
    /// The running system is not the one that was built.
    OtherSystemRunning,
    /// The running system did not move although its inputs changed.
    SystemUnmoved,
    /// A commit other than the intended one was built, or the tree changed during the build.
    OtherInputsBuilt,
    /// The running system is not the rollback target.
    NotRollbackTarget,
    /// Nothing was tested.
    NoTests,
    /// The test result is about something other than what is deployed.
    TestsOfOtherRevision,
    /// The agent did not come back as a new process.
    AgentNotRestarted,
    /// The host did not come back from a new boot.
    NotRebooted,
    /// The lock file did not change.
    LockUnchanged,
}

impl GoalGap {
    /// Half a sentence for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            GoalGap::CommitIsNotTarget => "the checkout is not at the intended commit",
            GoalGap::NoDeploymentRecord => "the agent recorded no deployment for it",
            GoalGap::OtherSystemRunning => "the running system is not the one that was built",
            GoalGap::SystemUnmoved => "the running system did not change although its inputs did",
            GoalGap::OtherInputsBuilt => "something other than the intended commit was built",
            GoalGap::NotRollbackTarget => "the running system is not the rollback target",
            GoalGap::NoTests => "no test was executed",
            GoalGap::TestsOfOtherRevision => {
                "the tests ran on something other than what is deployed"
            }
            GoalGap::AgentNotRestarted => "the agent did not restart",
            GoalGap::NotRebooted => "the host did not reboot",
            GoalGap::LockUnchanged => "the lock file did not change",
        }
    }
}

/// Why a command is in its terminal phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "detail")]
pub enum Ending {
    /// `SUCCESS`: the goal was seen to be reached.
    Reached,
    /// `DEGRADED`: switched, but these units failed that did not fail before.
    UnitsFailed(Vec<String>),
    /// `STALE_BINARY`: the agent came back unchanged although an update was due.
    AgentUnchanged,
    /// `SUSPICIOUS`: the agent's source commit changed, its binary did not.
    OnlySourceChanged,
    /// `ERROR`: it ended with this exit code.
    ExitCode(i32),
    /// `ERROR`: the agent refused to run it.
    Rejected {
        /// The agent's reason.
        reason: String,
        /// What it runs instead.
        current: Option<String>,
    },
    /// `ERROR`: it could not be sent, and no byte left.
    NotSent(String),
    /// `ERROR`: nobody knows how it ended.
    OutcomeUnknown(UnknownCause),
    /// `PARTIAL`: exit 0, but this was not reached.
    GoalNotReached(GoalGap),
    /// `PARTIAL`: the goal could not be checked.
    Unverified(UnverifiedCause),
    /// `KILLED`: stopped on request; its process group is empty.
    Stopped,
    /// `TIMEOUT`: the agent never came back.
    NeverReturned,
    /// `SKIPPED`: a person stopped tracking it after it was sent.
    StoppedTracking,
    /// `SKIPPED`: an earlier stage failed; it was never sent.
    StageFailed,
    /// `BLOCKED`: a precondition failed; nothing was sent.
    Refused(Refusal),
    /// `CANCELLED`.
    Cancelled,
    /// `EXPIRED`.
    Expired,
    /// `SUPERSEDED`.
    Superseded,
}

/// The kind of an [`Ending`], without its details: what rows of tables name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndingKind {
    /// [`Ending::Reached`].
    Reached,
    /// [`Ending::UnitsFailed`].
    UnitsFailed,
    /// [`Ending::AgentUnchanged`].
    AgentUnchanged,
    /// [`Ending::OnlySourceChanged`].
    OnlySourceChanged,
    /// [`Ending::ExitCode`].
    ExitCode,
    /// [`Ending::Rejected`].
    Rejected,
    /// [`Ending::NotSent`].
    NotSent,
    /// [`Ending::OutcomeUnknown`].
    OutcomeUnknown,
    /// [`Ending::GoalNotReached`].
    GoalNotReached,
    /// [`Ending::Unverified`].
    Unverified,
    /// [`Ending::Stopped`].
    Stopped,
    /// [`Ending::NeverReturned`].
    NeverReturned,
    /// [`Ending::StoppedTracking`].
    StoppedTracking,
    /// [`Ending::StageFailed`].
    StageFailed,
    /// [`Ending::Refused`].
    Refused,
    /// [`Ending::Cancelled`].
    Cancelled,
    /// [`Ending::Expired`].
    Expired,
    /// [`Ending::Superseded`].
    Superseded,
}

impl EndingKind {
    /// Every kind.
    pub const ALL: [EndingKind; 18] = [
        EndingKind::Reached,
        EndingKind::UnitsFailed,
        EndingKind::AgentUnchanged,
        EndingKind::OnlySourceChanged,
        EndingKind::ExitCode,
        EndingKind::Rejected,
        EndingKind::NotSent,
        EndingKind::OutcomeUnknown,
        EndingKind::GoalNotReached,
        EndingKind::Unverified,
        EndingKind::Stopped,
        EndingKind::NeverReturned,
        EndingKind::StoppedTracking,
        EndingKind::StageFailed,
        EndingKind::Refused,
        EndingKind::Cancelled,
        EndingKind::Expired,
        EndingKind::Superseded,
    ];
}

impl Ending {
    /// The kind, without details.
    #[must_use]
    pub const fn kind(&self) -> EndingKind {
        match self {
            Ending::Reached => EndingKind::Reached,
            Ending::UnitsFailed(_) => EndingKind::UnitsFailed,
            Ending::AgentUnchanged => EndingKind::AgentUnchanged,
            Ending::OnlySourceChanged => EndingKind::OnlySourceChanged,
            Ending::ExitCode(_) => EndingKind::ExitCode,
            Ending::Rejected { .. } => EndingKind::Rejected,
            Ending::NotSent(_) => EndingKind::NotSent,
            Ending::OutcomeUnknown(_) => EndingKind::OutcomeUnknown,
            Ending::GoalNotReached(_) => EndingKind::GoalNotReached,
            Ending::Unverified(_) => EndingKind::Unverified,
            Ending::Stopped => EndingKind::Stopped,
            Ending::NeverReturned => EndingKind::NeverReturned,
            Ending::StoppedTracking => EndingKind::StoppedTracking,
            Ending::StageFailed => EndingKind::StageFailed,
            Ending::Refused(_) => EndingKind::Refused,
            Ending::Cancelled => EndingKind::Cancelled,
            Ending::Expired => EndingKind::Expired,
            Ending::Superseded => EndingKind::Superseded,
        }
    }

    /// One line for people: "exit code 1", "stopped by user".
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Ending::Reached => "done".to_owned(),
            Ending::UnitsFailed(units) if units.is_empty() => "some units failed".to_owned(),
            Ending::UnitsFailed(units) => format!("units failed: {}", units.join(", ")),
            Ending::AgentUnchanged => {
                "the agent is still the old one although an update was due; restart it".to_owned()
            }
            Ending::OnlySourceChanged => {
                "the agent names a new source commit but its binary is the old one".to_owned()
            }
            Ending::ExitCode(code) => format!("exit code {code}"),
            Ending::Rejected {
                reason,
                current: Some(current),
            } => format!("rejected by the agent, which is running {current}: {reason}"),
            Ending::Rejected {
                reason,
                current: None,
            } => format!("rejected by the agent: {reason}"),
            Ending::NotSent(why) => format!("could not be sent: {why}"),
            Ending::OutcomeUnknown(cause) => format!("outcome unknown: {}", cause.text()),
            Ending::GoalNotReached(gap) => format!("ended without error, but {}", gap.text()),
            Ending::Unverified(cause) => format!("unverified: {}", cause.text()),
            Ending::Stopped => "stopped by user".to_owned(),
            Ending::NeverReturned => "the agent never came back".to_owned(),
            Ending::StoppedTracking => "no longer tracked".to_owned(),
            Ending::StageFailed => "skipped: an earlier stage failed on this host".to_owned(),
            Ending::Refused(refusal) => refusal.sentence(),
            Ending::Cancelled => "cancelled before it started".to_owned(),
            Ending::Expired => "waited in the queue for too long".to_owned(),
            Ending::Superseded => "replaced by a newer command".to_owned(),
        }
    }
}
