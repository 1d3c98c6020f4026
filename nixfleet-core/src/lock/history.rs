//! The versions of `flake.lock` on the tracked branch: which one a host has, and how many behind.

use std::sync::Arc;

use super::summary::{LockSummary, SummaryChange, diff_summaries};
use crate::heads::Heads;
use crate::ids::{CommitId, LockHash};
use crate::time::Timestamp;

/// One version of `flake.lock`: a commit of the branch that touched the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockVersion {
    /// The commit that brought this content.
    pub commit: CommitId,
    /// The SHA-256 of the content.
    pub hash: LockHash,
    /// When the commit was made.
    pub time: Timestamp,
    /// What the content says; `None` where it could not be read or is not kept.
    pub summary: Option<Arc<LockSummary>>,
}

/// The versions of `flake.lock` on the branch, newest first, indexed by hash.
///
/// "Outdated by N commits" counts the commits of the branch that touched `flake.lock` since the
/// newest version with the host's content. After a revert the same content occurs twice; the
/// newest occurrence counts, so a host is never called more behind than it is.
///
/// ```
/// use nixfleet_core::{CommitId, LockHistory, LockVersion, Timestamp, lock_hash};
/// let commit: CommitId = "1111111111111111111111111111111111111111".parse().unwrap();
/// let version = |content: &[u8]| LockVersion {
///     commit, hash: lock_hash(content), time: Timestamp::EPOCH, summary: None,
/// };
/// let history = LockHistory::new(vec![version(b"new"), version(b"old")]);
/// assert_eq!(history.behind(&lock_hash(b"new")), Some(0));
/// assert_eq!(history.behind(&lock_hash(b"old")), Some(1));
/// assert_eq!(history.behind(&lock_hash(b"edited by hand")), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockHistory {
    newest_first: Vec<LockVersion>,
    /// Hash and newest position of each distinct content, sorted by hash.
    by_hash: Vec<(LockHash, usize)>,
    /// The first digits of these hashes.
    heads: Heads,
}

impl LockHistory {
    /// The history from the versions of the branch, newest first.
    #[must_use]
    pub fn new(newest_first: Vec<LockVersion>) -> Self {
        let mut by_hash: Vec<(LockHash, usize)> = newest_first
            .iter()
            .enumerate()
            .map(|(position, version)| (version.hash, position))
            .collect();
        by_hash.sort_unstable();
        by_hash.dedup_by_key(|(hash, _)| *hash);
        let heads = by_hash.iter().map(|(hash, _)| hash.head()).collect();
        Self {
            newest_first,
            by_hash,
            heads: Heads::new(heads),
        }
    }

    /// The versions, newest first.
    #[must_use]
    pub fn versions(&self) -> &[LockVersion] {
        &self.newest_first
    }

    /// The newest version.
    #[must_use]
    pub fn current(&self) -> Option<&LockVersion> {
        self.newest_first.first()
    }

    /// The newest version with this content; `None` if the branch never had it.
    #[must_use]
    pub fn version(&self, hash: &LockHash) -> Option<&LockVersion> {
        self.newest_first.get(self.behind(hash)?)
    }

    /// How many versions are newer than this content: 0 for the current one, `None` if the branch
    /// never had it.
    #[must_use]
    pub fn behind(&self, hash: &LockHash) -> Option<usize> {
        if self.current().is_some_and(|version| version.hash == *hash) {
            return Some(0);
        }
        let mut alike = self.heads.places_of(hash.head());
        alike.find_map(|at| {
            let (found, position) = self.by_hash.get(at)?;
            (found == hash).then_some(*position)
        })
    }

    /// What changed in the root inputs from the version `old` to the version `new`; `None` unless
    /// the branch has both and their summaries are kept.
    ///
    /// ```
    /// use nixfleet_core::{LockHistory, lock_hash};
    /// let history = LockHistory::default();
    /// assert_eq!(history.changes(&lock_hash(b"a"), &lock_hash(b"b")), None);
    /// ```
    #[must_use]
    pub fn changes(&self, old: &LockHash, new: &LockHash) -> Option<Vec<SummaryChange>> {
        let old = self.version(old)?.summary.as_ref()?;
        let new = self.version(new)?.summary.as_ref()?;
        Some(diff_summaries(old, new))
    }
}
