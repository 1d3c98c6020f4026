//! What updates want done, and what is asked of them.

use super::call::ForgeCall;
use super::job::Deploy;
use super::pull_request::PrNumber;
use super::state::MergedUpdate;
use crate::host::Actor;
use crate::ids::{CommitId, LockHash};
use crate::notice::Notice;

/// Something that updates want done, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum UpdateStep {
    /// Ask the forge; the state is to be stored before.
    Ask(ForgeCall),
    /// Read the desired state now.
    ReadRemote,
    /// Somebody asked for something, or something came of it.
    Audit(AuditNote),
    /// Something happened.
    Event {
        /// Stable code.
        code: &'static str,
        /// For people.
        text: String,
    },
    /// Tell people.
    Notify(Notice),
    /// Store this merged update.
    Keep(Box<MergedUpdate>),
    /// Start the rollout of exactly this commit. Answer with [`Updates::deploy_progress`] and
    /// [`Updates::deploy_ended`].
    Deploy(Box<DeployOrder>),
    /// After a restart: a rollout that was started before should still run.
    Deploying(Box<DeployOrder>),
}

/// A row for the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditNote {
    /// Who.
    pub actor: Actor,
    /// What, as a stable code.
    pub action: &'static str,
    /// Why, in the actor's words.
    pub reason: Option<String>,
    /// How it was before.
    pub before: Option<String>,
    /// How it is now.
    pub after: Option<String>,
    /// What came of it, as a stable code.
    pub outcome: String,
}

/// A rollout that follows a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployOrder {
    /// The pull request.
    pub number: PrNumber,
    /// The merge commit: the only target.
    pub commit: CommitId,
    /// The hash of the lock at that commit, where it is known.
    pub lock: Option<LockHash>,
    /// Who asked for the merge.
    pub actor: Actor,
    /// Why.
    pub reason: Option<String>,
    /// What was asked for.
    pub deploy: Deploy,
}

/// A merge that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeOrder {
    /// Which.
    pub number: PrNumber,
    /// The head that the person saw; `None` is the one that was last read.
    pub head: Option<CommitId>,
    /// Why; overrides what a reason can override.
    pub reason: Option<String>,
    /// The rollout that follows.
    pub deploy: Option<Deploy>,
}
