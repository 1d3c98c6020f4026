//! Which commits are on the tracked branch, and where a host's commit stands among them
//! (spec 05, "With a mirror the server knows history").
//!
//! The history only explains a colour (behind by N, ahead, diverged); the one thing it decides is
//! which commit an abbreviated id means (spec 01, Facts).

use std::collections::BTreeMap;

use crate::heads::Heads;
use crate::ids::{CommitId, CommitPrefix, CommitRef};

/// The commits of the tracked branch, newest first, with an index for look-ups by id or prefix.
///
/// Built once per fetched head (sorting once, `O(n log n)`); every look-up is `O(log n)`.
/// The list may hold merged side branches: then [`CommitHistory::with_reachable`] makes a distance
/// what `git rev-list --count` says. Without it the distance in the list counts, which is the same
/// for a branch without merges.
///
/// ```
/// use nixfleet_core::{CommitHistory, CommitId, CommitRelation};
/// let old: CommitId = "1111111111111111111111111111111111111111".parse().unwrap();
/// let new: CommitId = "2222222222222222222222222222222222222222".parse().unwrap();
/// let history = CommitHistory::new(vec![new, old]);
/// assert_eq!(history.relation(old.into(), new), CommitRelation::Behind(1));
/// assert_eq!(history.relation("2222222".parse().unwrap(), new), CommitRelation::Same);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitHistory {
    newest_first: Vec<CommitId>,
    /// Positions in `newest_first`, sorted by commit id (and by position for a repeated id).
    by_id: Vec<usize>,
    /// The first digits of the ids in the order of `by_id`.
    heads: Heads,
    off_branch: BTreeMap<CommitId, OffBranch>,
    /// For each listed commit how many commits it reaches, itself included; empty if not counted.
    reachable: Vec<u32>,
}

/// How a commit that is not in the list compares with the head of the branch, as
/// `git rev-list --left-right --count` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffBranch {
    /// Commits reachable from it and not from the head of the branch.
    pub ahead: u32,
    /// Commits reachable from the head of the branch and not from it.
    pub behind: u32,
}

/// Where a host's commit stands relative to the desired one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CommitRelation {
    /// It is the desired commit.
    Same,
    /// An ancestor of the desired commit, this many commits older.
    Behind(u32),
    /// The desired commit is an ancestor of it: this many commits were added on the host (or the
    /// desired state was set to an older commit of the branch).
    Ahead(u32),
    /// Both sides have commits that the other lacks.
    Diverged {
        /// Commits only the host has.
        ahead: u32,
        /// Commits only the branch has.
        behind: u32,
    },
    /// No commit of the branch, and nothing is known about how it compares.
    NotOnBranch,
    /// The history cannot tell: there is none, the abbreviation fits several commits, or the
    /// desired commit itself is not in it.
    Unknown,
}

/// Which commit an abbreviated id means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrefixMatch {
    /// No known commit begins with these digits.
    None,
    /// Exactly one known commit does.
    Unique(CommitId),
    /// Several do, so the abbreviation identifies none of them.
    Ambiguous,
}

impl CommitHistory {
    /// The history of a branch, newest commit first. If an id is repeated, the newest counts.
    #[must_use]
    pub fn new(newest_first: Vec<CommitId>) -> Self {
        Self::with_off_branch(newest_first, BTreeMap::new())
    }

    /// The same, with what is known about single commits that are not in the list. Their counts
    /// are relative to the first commit of the list, and are used only when that is the desired one.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use nixfleet_core::{CommitHistory, CommitId, CommitRelation, OffBranch};
    /// let head: CommitId = "1111111111111111111111111111111111111111".parse().unwrap();
    /// let local: CommitId = "2222222222222222222222222222222222222222".parse().unwrap();
    /// let known = BTreeMap::from([(local, OffBranch { ahead: 2, behind: 0 })]);
    /// let history = CommitHistory::with_off_branch(vec![head], known);
    /// assert_eq!(history.relation(local.into(), head), CommitRelation::Ahead(2));
    /// ```
    #[must_use]
    pub fn with_off_branch(
        newest_first: Vec<CommitId>,
        off_branch: BTreeMap<CommitId, OffBranch>,
    ) -> Self {
        let mut by_id: Vec<usize> = (0..newest_first.len()).collect();
        by_id.sort_unstable_by_key(|&position| (newest_first.get(position), position));
        let heads = by_id
            .iter()
            .filter_map(|&position| newest_first.get(position))
            .map(CommitId::head)
            .collect();
        Self {
            newest_first,
            by_id,
            heads: Heads::new(heads),
            off_branch,
            reachable: Vec::new(),
        }
    }

    /// The same history with the number of commits that each listed one reaches, itself included
    /// and in the same order. Every listed commit must be an ancestor of the first, so that the
    /// difference of two numbers is how far apart they are.
    ///
    /// ```
    /// use nixfleet_core::{CommitHistory, CommitId, CommitRelation};
    /// let id = |digit: &str| digit.repeat(40).parse::<CommitId>().unwrap();
    /// // A merge of two commits that were both made on top of the first one.
    /// let commits = vec![id("4"), id("3"), id("2"), id("1")];
    /// let history = CommitHistory::new(commits).with_reachable(vec![4, 2, 2, 1]);
    /// assert_eq!(history.relation(id("3").into(), id("4")), CommitRelation::Behind(2));
    /// ```
    #[must_use]
    pub fn with_reachable(mut self, reachable: Vec<u32>) -> Self {
        if reachable.len() == self.newest_first.len() {
            self.reachable = reachable;
        }
        self
    }

    /// The same history with other knowledge about commits that are not in the list.
    #[must_use]
    pub fn knowing(mut self, off_branch: BTreeMap<CommitId, OffBranch>) -> Self {
        self.off_branch = off_branch;
        self
    }

    /// How many commits are listed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.newest_first.len()
    }

    /// Whether no commit is listed, which is the same as having no history.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.newest_first.is_empty()
    }

    /// The newest commit.
    #[must_use]
    pub fn head(&self) -> Option<CommitId> {
        self.newest_first.first().copied()
    }

    /// The commits, newest first.
    #[must_use]
    pub fn commits(&self) -> &[CommitId] {
        &self.newest_first
    }

    /// How many commits of the branch are newer than this one; `None` if it is not listed.
    ///
    /// ```
    /// use nixfleet_core::{CommitHistory, CommitId};
    /// let head: CommitId = "1111111111111111111111111111111111111111".parse().unwrap();
    /// assert_eq!(CommitHistory::new(vec![head]).position(&head), Some(0));
    /// assert_eq!(CommitHistory::default().position(&head), None);
    /// ```
    #[must_use]
    pub fn position(&self, commit: &CommitId) -> Option<usize> {
        if self.newest_first.first() == Some(commit) {
            return Some(0);
        }
        let mut alike = self.heads.places_of(commit.head());
        alike.find_map(|at| {
            let position = *self.by_id.get(at)?;
            (self.newest_first.get(position) == Some(commit)).then_some(position)
        })
    }

    /// Which commit these digits mean, among the listed and the off-branch commits.
    ///
    /// ```
    /// use nixfleet_core::{CommitHistory, PrefixMatch};
    /// let ids = ["1111111000000000000000000000000000000000", "1111111111111111111111111111111111111111"];
    /// let history = CommitHistory::new(ids.map(|id| id.parse().unwrap()).to_vec());
    /// assert_eq!(history.resolve(&"1111111".parse().unwrap()), PrefixMatch::Ambiguous);
    /// assert_eq!(history.resolve(&"11111110".parse().unwrap()), PrefixMatch::Unique(ids[0].parse().unwrap()));
    /// assert_eq!(history.resolve(&"2222222".parse().unwrap()), PrefixMatch::None);
    /// ```
    #[must_use]
    pub fn resolve(&self, prefix: &CommitPrefix) -> PrefixMatch {
        let Some(lowest) = lowest_with(prefix) else {
            return PrefixMatch::None;
        };
        let listed = self.listed_from(&lowest).map(|(commit, _)| commit);
        let beside = self.off_branch.range(lowest..).map(|(commit, _)| *commit);
        let mut result = PrefixMatch::None;
        for commit in listed
            .take_while(|commit| commit.starts_with(prefix))
            .chain(beside.take_while(|commit| commit.starts_with(prefix)))
        {
            result = result.and(commit);
            if result == PrefixMatch::Ambiguous {
                break;
            }
        }
        result
    }

    /// Where `reported` stands relative to `desired`.
    ///
    /// An abbreviated id counts as the desired commit only if no other known commit has that
    /// prefix; with an empty history a prefix of the desired commit is enough (spec 01, Facts).
    ///
    /// ```
    /// use nixfleet_core::{CommitHistory, CommitId, CommitRelation};
    /// let desired: CommitId = "1111111111111111111111111111111111111111".parse().unwrap();
    /// let none = CommitHistory::default();
    /// assert_eq!(none.relation("1111111".parse().unwrap(), desired), CommitRelation::Same);
    /// assert_eq!(none.relation("2222222".parse().unwrap(), desired), CommitRelation::Unknown);
    /// ```
    #[must_use]
    pub fn relation(&self, reported: CommitRef, desired: CommitId) -> CommitRelation {
        let commit = match reported {
            CommitRef::Full(commit) => commit,
            CommitRef::Abbreviated(prefix) => match self.resolve_beside(&prefix, desired) {
                PrefixMatch::Unique(commit) => commit,
                PrefixMatch::Ambiguous => return CommitRelation::Unknown,
                PrefixMatch::None if self.is_empty() => return CommitRelation::Unknown,
                PrefixMatch::None => return CommitRelation::NotOnBranch,
            },
        };
        self.relation_of(&commit, &desired)
    }

    /// Where a commit that is known in full stands relative to `desired`.
    pub(crate) fn relation_of(&self, commit: &CommitId, desired: &CommitId) -> CommitRelation {
        if commit == desired {
            return CommitRelation::Same;
        }
        let Some(wanted) = self.position(desired) else {
            return CommitRelation::Unknown;
        };
        if let Some(held) = self.position(commit) {
            return if held > wanted {
                CommitRelation::Behind(self.distance(wanted, held))
            } else {
                CommitRelation::Ahead(self.distance(held, wanted))
            };
        }
        match self.off_branch.get(commit) {
            Some(known) if wanted == 0 => known.relation(),
            Some(_) | None => CommitRelation::NotOnBranch,
        }
    }

    /// Like [`CommitHistory::resolve`], with the desired commit among the known ones: it exists,
    /// even when the history is empty or one fetch behind.
    fn resolve_beside(&self, prefix: &CommitPrefix, desired: CommitId) -> PrefixMatch {
        let known = self.resolve(prefix);
        if desired.starts_with(prefix) {
            known.and(desired)
        } else {
            known
        }
    }

    /// How many commits lie between two positions, the newer one first.
    fn distance(&self, newer: usize, older: usize) -> u32 {
        match (self.reachable.get(newer), self.reachable.get(older)) {
            (Some(newer), Some(older)) if newer > older => newer - older,
            (_, _) => count(older - newer),
        }
    }

    /// The listed commits with their positions in ascending order of id, from the first that is
    /// not below `lowest`.
    fn listed_from(&self, lowest: &CommitId) -> impl Iterator<Item = (CommitId, usize)> + '_ {
        let head = lowest.head();
        let mut alike = self.heads.places_of(head);
        let first = alike.find(|&at| {
            let position = self.by_id.get(at);
            let commit = position.and_then(|&position| self.newest_first.get(position));
            commit.is_some_and(|commit| commit >= lowest)
        });
        // Where all that begin like it are below, it is the next one.
        let start = first.unwrap_or_else(|| match head.checked_add(1) {
            Some(next) => self.heads.first_from(next),
            None => self.by_id.len(),
        });
        self.by_id
            .iter()
            .skip(start)
            .filter_map(|&position| Some((*self.newest_first.get(position)?, position)))
    }
}

impl PrefixMatch {
    fn and(self, commit: CommitId) -> Self {
        match self {
            PrefixMatch::None => PrefixMatch::Unique(commit),
            PrefixMatch::Unique(other) if other == commit => self,
            PrefixMatch::Unique(_) | PrefixMatch::Ambiguous => PrefixMatch::Ambiguous,
        }
    }
}

impl OffBranch {
    fn relation(self) -> CommitRelation {
        match (self.ahead, self.behind) {
            (0, 0) => CommitRelation::NotOnBranch,
            (0, behind) => CommitRelation::Behind(behind),
            (ahead, 0) => CommitRelation::Ahead(ahead),
            (ahead, behind) => CommitRelation::Diverged { ahead, behind },
        }
    }
}

fn count(distance: usize) -> u32 {
    u32::try_from(distance).unwrap_or(u32::MAX)
}

/// The smallest commit id that begins with the prefix: its digits, then zeros.
fn lowest_with(prefix: &CommitPrefix) -> Option<CommitId> {
    let digits = prefix.to_string();
    let length = if digits.len() <= 40 { 40 } else { 64 };
    format!("{digits:0<length$}").parse().ok()
}
