//! Where a command is in its lifecycle (spec 02, "States").

use serde::{Deserialize, Serialize};

/// The phase of a command. The wire spelling is the one of spec 02.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Phase {
    /// Queued: the host is busy, offline, outside its window or held. Does not occupy the host.
    Pending,
    /// Preconditions are being checked.
    Validating,
    /// A precondition failed; nothing was sent.
    Blocked,
    /// Sent to the agent.
    Executing,
    /// Past the warning timeout.
    RunningWarning,
    /// Past the hard timeout of a deploy-class operation: a person should decide.
    TimeoutPending,
    /// SIGTERM was sent.
    Killing,
    /// Stopped, and the process group is confirmed empty.
    Killed,
    /// The operation took the agent down; what it reports on return decides.
    AwaitingReconnect,
    /// Exit 0: waiting for facts reported after the exit to check the goal.
    Verifying,
    /// The goal was seen to be reached.
    Success,
    /// Non-zero exit, rejected, could not be sent, or outcome unknown.
    Error,
    /// Exit 0, but the goal was not reached or could not be verified.
    Partial,
    /// Switched, but units failed that did not fail before.
    Degraded,
    /// The agent never came back.
    Timeout,
    /// The agent came back unchanged although an update was due.
    StaleBinary,
    /// The agent's source commit changed, its binary did not.
    Suspicious,
    /// Before sending: an earlier stage failed. After: a person chose to stop tracking.
    Skipped,
    /// Never started: cancelled while queued.
    Cancelled,
    /// Never started: queued for too long.
    Expired,
    /// Never started: replaced by a newer intent.
    Superseded,
}

impl Phase {
    /// Every phase, in the order of the specification.
    pub const ALL: [Phase; 21] = [
        Phase::Pending,
        Phase::Validating,
        Phase::Blocked,
        Phase::Executing,
        Phase::RunningWarning,
        Phase::TimeoutPending,
        Phase::Killing,
        Phase::Killed,
        Phase::AwaitingReconnect,
        Phase::Verifying,
        Phase::Success,
        Phase::Error,
        Phase::Partial,
        Phase::Degraded,
        Phase::Timeout,
        Phase::StaleBinary,
        Phase::Suspicious,
        Phase::Skipped,
        Phase::Cancelled,
        Phase::Expired,
        Phase::Superseded,
    ];

    /// Whether the phase is final.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Phase::Pending
            | Phase::Validating
            | Phase::Executing
            | Phase::RunningWarning
            | Phase::TimeoutPending
            | Phase::Killing
            | Phase::AwaitingReconnect
            | Phase::Verifying => false,
            Phase::Blocked
            | Phase::Killed
            | Phase::Success
            | Phase::Error
            | Phase::Partial
            | Phase::Degraded
            | Phase::Timeout
            | Phase::StaleBinary
            | Phase::Suspicious
            | Phase::Skipped
            | Phase::Cancelled
            | Phase::Expired
            | Phase::Superseded => true,
        }
    }

    /// Whether the phase occupies the host: every non-terminal one except `PENDING`.
    #[must_use]
    pub const fn is_active(self) -> bool {
        !self.is_terminal() && !matches!(self, Phase::Pending)
    }
}
