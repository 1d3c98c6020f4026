//! What is asked of a forge, and what it answers, told apart as far as decisions need it.

use serde::{Deserialize, Serialize};

use super::pull_request::{PrNumber, PullRequest};
use crate::ids::{CommitId, LockHash};
use crate::time::Timestamp;

/// Something to ask of the forge. The adapter asks, and brings the [`ForgeAnswer`] back; it never
/// repeats a call that changes something by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForgeCall {
    /// Every open pull request on the tracked branch, each as complete as possible.
    List,
    /// One pull request, whatever its state, as complete as possible.
    Read {
        /// Which.
        number: PrNumber,
    },
    /// Merge, if and only if the head is still this one (law E1).
    Merge {
        /// Which.
        number: PrNumber,
        /// The head that was judged.
        head: CommitId,
        /// How.
        method: MergeMethod,
    },
    /// Whether a head of the tracked branch contains a commit, and which lock that has.
    Contains {
        /// The commit.
        commit: CommitId,
        /// The head of the branch.
        head: CommitId,
    },
    /// Revert a merge (law E9); never rewrites history. First looks whether a revert made by this
    /// call earlier exists (same branch name), and answers with that one.
    Revert {
        /// The merged pull request.
        number: PrNumber,
        /// Its title.
        title: String,
        /// The merge commit to revert.
        commit: CommitId,
        /// How.
        kind: RevertKind,
    },
}

/// How a pull request is merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MergeMethod {
    /// A merge commit.
    #[default]
    Merge,
    /// One commit.
    Squash,
    /// The commits on top of the base.
    Rebase,
}

/// How a merge is reverted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevertKind {
    /// A pull request that people merge.
    #[default]
    PullRequest,
    /// A commit on the tracked branch at once.
    Commit,
}

/// The answer to one [`ForgeCall`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForgeAnswer {
    /// To [`ForgeCall::List`].
    Listed(Result<Vec<PullRequest>, ForgeFailure>),
    /// To [`ForgeCall::Read`]; `Ok(None)` if there is no such pull request.
    Read(PrNumber, Result<Option<Box<PullRequest>>, ForgeFailure>),
    /// To [`ForgeCall::Merge`].
    Merged(PrNumber, MergeAnswer),
    /// To [`ForgeCall::Revert`].
    Reverted(PrNumber, RevertAnswer),
    /// To [`ForgeCall::Contains`].
    Contained {
        /// The commit that was asked about.
        commit: CommitId,
        /// The head that was asked about.
        head: CommitId,
        /// What the forge said.
        answer: Result<Containment, ForgeFailure>,
    },
}

/// Whether a head of a branch contains a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Containment {
    /// The head is the commit, or a descendant of it.
    Contained {
        /// The hash of `flake.lock` at the commit, if there is one.
        lock: Option<LockHash>,
    },
    /// It is neither.
    NotContained,
}

/// What came of a merge call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MergeAnswer {
    /// The forge says it merged, into this commit.
    Done {
        /// The commit on the base branch.
        commit: CommitId,
    },
    /// 409: the head is not the one that was judged. Nothing was merged.
    HeadMoved,
    /// 405: the forge will not merge it now; its reason. Nothing was merged. (Also how some forges
    /// say "already merged": read it to know.)
    NotMergeable(String),
    /// 422: the call itself is not accepted; the reason. Nothing was merged, as the forge says.
    Invalid(String),
    /// Refused before it was tried (403, 404, quota, not sent): nothing was merged, as the forge says.
    Refused(ForgeFailure),
    /// Nobody knows: timeout, reset, 5xx, truncated or malformed answer (law E4).
    Ambiguous(String),
}

/// What came of a revert call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevertAnswer {
    /// A pull request that reverts is open.
    Opened {
        /// Its number.
        number: PrNumber,
        /// Its address.
        url: String,
    },
    /// The tracked branch has the reverting commit.
    Committed {
        /// That commit.
        commit: CommitId,
    },
    /// Not possible (a conflict, a protected branch, not supported by this forge); the reason.
    NotPossible(String),
    /// Not done: refused before it was tried.
    Refused(ForgeFailure),
    /// Nobody knows; asking again is harmless, because a revert made earlier is found.
    Ambiguous(String),
}

/// Why a forge did not answer what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{what}")]
pub struct ForgeFailure {
    /// One line for people: what happened and what to do, without secrets.
    pub what: String,
    /// Do not ask before this moment (law E6), where the forge said so.
    pub not_before: Option<Timestamp>,
}
