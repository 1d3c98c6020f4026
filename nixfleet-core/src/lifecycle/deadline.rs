//! When the lifecycle wants to be called, and why.

use serde::{Deserialize, Serialize};

use super::event::EventKind;
use crate::time::Timestamp;

/// Why the lifecycle wants to be called at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeadlineReason {
    /// It has waited in the queue for too long.
    QueueExpiry,
    /// Checking the preconditions takes too long.
    Validation,
    /// No acknowledgement yet: resend, or give up once nothing can start any more.
    Acknowledgement,
    /// The warning timeout of the operation.
    Warning,
    /// The hard timeout of the operation.
    Hard,
    /// Nobody decided about a deploy past its hard timeout.
    Decision,
    /// The kill is not confirmed.
    Kill,
    /// The agent has not come back.
    Reconnect,
    /// No facts that settle the goal.
    Verification,
}

impl DeadlineReason {
    /// The kind of event this deadline becomes when it is due.
    #[must_use]
    pub const fn event(self) -> EventKind {
        match self {
            DeadlineReason::QueueExpiry
            | DeadlineReason::Validation
            | DeadlineReason::Decision
            | DeadlineReason::Verification => EventKind::DeadlineAbandon,
            DeadlineReason::Acknowledgement => EventKind::DeadlineAck,
            DeadlineReason::Warning => EventKind::DeadlineWarn,
            DeadlineReason::Hard => EventKind::DeadlineHard,
            DeadlineReason::Kill => EventKind::DeadlineKill,
            DeadlineReason::Reconnect => EventKind::DeadlineReconnect,
        }
    }
}

/// The next moment at which the lifecycle wants to be called, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Deadline {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: DeadlineReason,
}
