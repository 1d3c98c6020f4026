//! Why something about an update is not done at all.

use super::condition::Condition;
use super::pull_request::PrNumber;

/// Why a request about an update is refused. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateRefusal {
    /// No forge is configured.
    #[error("no forge is configured: give the server a repository and a token")]
    NotConfigured,
    /// The store is damaged.
    #[error("the store is damaged: nothing is taken until it is restored")]
    StoreDamaged,
    /// There is no such pull request among the open and the merged updates.
    #[error("{0} is not a known update: check for updates first")]
    UnknownPr(PrNumber),
    /// Another job is under way.
    #[error("a merge or revert of {0} is under way: wait until it has ended")]
    Busy(PrNumber),
    /// A condition that everybody needs does not hold.
    #[error("{number} cannot be merged: {why}")]
    NotEligible {
        /// The pull request.
        number: PrNumber,
        /// The first condition that does not hold.
        condition: Condition,
        /// Every one, in one line.
        why: String,
    },
    /// A condition does not hold that a person may override with a reason.
    #[error("{number} is merged only with a reason: {why}")]
    NeedsReason {
        /// The pull request.
        number: PrNumber,
        /// The first condition that does not hold.
        condition: Condition,
        /// Every one, in one line.
        why: String,
    },
    /// The head is not the one that the person saw.
    #[error("the head of {0} moved: look at it again")]
    HeadMoved(PrNumber),
    /// It is not known to be merged, or not as which commit.
    #[error("{0} is not known to be merged into a commit that could be reverted or deployed")]
    NotMerged(PrNumber),
    /// There is a revert already.
    #[error("{0} is reverted already")]
    AlreadyReverted(PrNumber),
    /// A direct commit is not allowed.
    #[error("a revert by a direct commit is not allowed: revert with a pull request")]
    DirectRevertOff,
}

impl UpdateRefusal {
    /// The stable spelling.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            UpdateRefusal::NotConfigured => "updates-not-configured",
            UpdateRefusal::StoreDamaged => "store-damaged",
            UpdateRefusal::UnknownPr(_) => "pr-unknown",
            UpdateRefusal::Busy(_) => "job-under-way",
            UpdateRefusal::NotEligible { .. } => "pr-not-eligible",
            UpdateRefusal::NeedsReason { .. } => "reason-needed",
            UpdateRefusal::HeadMoved(_) => "head-moved",
            UpdateRefusal::NotMerged(_) => "not-merged",
            UpdateRefusal::AlreadyReverted(_) => "already-reverted",
            UpdateRefusal::DirectRevertOff => "direct-revert-off",
        }
    }
}
