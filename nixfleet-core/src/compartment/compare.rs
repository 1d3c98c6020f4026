//! The comparison: the only place where commits and hashes of a host meet the desired ones. (Texts
//! meet in [`known`](super::known).)

use crate::compartment::Situation;
use crate::compartment::facts::{
    ClaimFact, CommitFact, DesiredFact, Facts, KeyFact, LockFact, RecordFact, TreeFact,
};
use crate::compartment::known::{Claim, HostFacts, RemoteFacts};
use crate::history::{CommitHistory, CommitRelation, PrefixMatch};
use crate::host::{LockReport, Repo};
use crate::ids::{CommitId, CommitRef};

impl Facts {
    /// Compares what a host said with what is desired.
    #[must_use]
    pub fn compare(situation: &Situation<'_>) -> Facts {
        let remote = RemoteFacts::of(situation.desired, situation.remote_in_grace);
        HostFacts::of(situation).compare(&remote)
    }
}

impl HostFacts {
    /// Compares what is known of a host with what is desired.
    #[must_use]
    #[inline]
    pub fn compare(&self, remote: &RemoteFacts<'_>) -> Facts {
        Facts {
            agent: self.agent,
            desired_commit: desired(remote.commit.is_some()),
            desired_lock: desired(remote.lock.is_some()),
            commit: commit(self.checkout.as_ref(), remote),
            tree: match self.checkout {
                Some(Repo { dirty: true, .. }) => TreeFact::Dirty,
                Some(Repo { dirty: false, .. }) | None => TreeFact::Clean,
            },
            lock: lock(self.checkout.as_ref(), remote),
            outcome: self.outcome,
            reconcile: self.reconcile,
            record: self.record(remote),
            claim: self.claim(remote),
            path: self.path,
            tests_switch: self.tests_switch,
            result: self.result,
            key: self.key(remote),
        }
    }

    fn record(&self, remote: &RemoteFacts<'_>) -> RecordFact {
        let Some(deployed) = &self.deployed else {
            return RecordFact::None;
        };
        let Some((commit, lock)) = deployed.known() else {
            return RecordFact::InputsUnknown;
        };
        let Some(repo) = &self.checkout else {
            return RecordFact::NoCheckout;
        };
        match &repo.lock {
            LockReport::NotReported => RecordFact::NoCheckout,
            LockReport::Hash(checked_out) if checked_out == lock => {
                if remote.same(commit, &repo.commit) {
                    RecordFact::SameAsCheckout
                } else {
                    RecordFact::Differs
                }
            }
            LockReport::Hash(_) | LockReport::Missing => RecordFact::Differs,
        }
    }

    fn claim(&self, remote: &RemoteFacts<'_>) -> ClaimFact {
        let claimed = match &self.claim {
            Claim::Silent => return ClaimFact::Silent,
            Claim::NoCommit => return ClaimFact::NoCommit,
            Claim::Commit(claimed) => claimed,
        };
        let same = match (&self.deployed, &remote.commit) {
            (Some(deployed), _) => match &deployed.commit {
                Some(expected) => remote.same(claimed, expected),
                None => return ClaimFact::Unjudged,
            },
            (None, Some(desired)) => remote.same(claimed, &CommitRef::Full(*desired)),
            (None, None) => return ClaimFact::Unjudged,
        };
        if same {
            ClaimFact::AsExpected
        } else {
            ClaimFact::Other
        }
    }

    /// What was tested beside what a test would be about now: the deployed inputs or, without a
    /// deployment record, what the running system claims.
    fn key(&self, remote: &RemoteFacts<'_>) -> KeyFact {
        let Some(tested) = &self.tested else {
            return KeyFact::Unjudged;
        };
        let current = match (&self.deployed, &self.claim, &remote.lock) {
            (Some(deployed), _, _) => deployed.known(),
            (None, Claim::Commit(claimed), Some(lock)) => Some((claimed, lock)),
            (None, Claim::Commit(_) | Claim::Silent | Claim::NoCommit, _) => None,
        };
        let Some((commit, lock)) = current else {
            return KeyFact::Unjudged;
        };
        if tested.same_path && tested.lock == *lock && remote.same(&tested.commit, commit) {
            KeyFact::Current
        } else {
            KeyFact::Other
        }
    }
}

impl RemoteFacts<'_> {
    fn relation(&self, reported: &CommitRef, desired: &CommitId) -> CommitRelation {
        match (self.history, reported) {
            (Some(history), CommitRef::Full(commit)) => {
                history.commits.relation_of(commit, desired)
            }
            (Some(history), CommitRef::Abbreviated(_)) => {
                history.commits.relation(*reported, *desired)
            }
            (None, CommitRef::Full(_) | CommitRef::Abbreviated(_)) => {
                CommitHistory::default().relation(*reported, *desired)
            }
        }
    }

    /// The one commit that is meant, if that is certain.
    fn resolve(&self, reported: CommitRef) -> Option<CommitId> {
        let prefix = match reported {
            CommitRef::Full(commit) => return Some(commit),
            CommitRef::Abbreviated(prefix) => prefix,
        };
        match self.commit {
            Some(desired) if desired.starts_with(&prefix) => {
                let same = self.relation(&reported, &desired) == CommitRelation::Same;
                same.then_some(desired)
            }
            Some(_) | None => match self.history?.commits.resolve(&prefix) {
                PrefixMatch::Unique(commit) => Some(commit),
                PrefixMatch::None | PrefixMatch::Ambiguous => None,
            },
        }
    }

    /// Whether two commits are certainly the same: both resolved, or the same digits.
    fn same(&self, one: &CommitRef, other: &CommitRef) -> bool {
        match (one, other) {
            (CommitRef::Full(one), CommitRef::Full(other)) => one == other,
            (CommitRef::Abbreviated(_), _) | (_, CommitRef::Abbreviated(_)) => {
                self.same_resolved(*one, *other)
            }
        }
    }

    #[cold]
    fn same_resolved(&self, one: CommitRef, other: CommitRef) -> bool {
        match (self.resolve(one), self.resolve(other)) {
            (Some(one), Some(other)) => one == other,
            (Some(_), None) | (None, Some(_)) | (None, None) => one == other,
        }
    }
}

fn desired(known: bool) -> DesiredFact {
    if known {
        DesiredFact::Known
    } else {
        DesiredFact::Unavailable
    }
}

/// Where the checkout stands relative to the desired commit, if both are known.
pub(super) fn commit_relation(situation: &Situation<'_>) -> Option<CommitRelation> {
    let remote = RemoteFacts::of(situation.desired, situation.remote_in_grace);
    let reported = situation.observation.repo?.commit;
    Some(remote.relation(&reported, remote.commit.as_ref()?))
}

fn commit(checkout: Option<&Repo>, remote: &RemoteFacts<'_>) -> CommitFact {
    let Some(repo) = checkout else {
        return CommitFact::NotReported;
    };
    let Some(desired) = &remote.commit else {
        return CommitFact::Different;
    };
    match remote.relation(&repo.commit, desired) {
        CommitRelation::Same => CommitFact::Current,
        CommitRelation::Behind(_) => CommitFact::Behind,
        CommitRelation::Ahead(_) => CommitFact::Ahead,
        CommitRelation::Diverged { .. } => CommitFact::Diverged,
        CommitRelation::NotOnBranch => CommitFact::NotOnBranch,
        CommitRelation::Unknown => CommitFact::Different,
    }
}

fn lock(checkout: Option<&Repo>, remote: &RemoteFacts<'_>) -> LockFact {
    let hash = match checkout.map(|repo| &repo.lock) {
        None | Some(LockReport::NotReported) => return LockFact::NotReported,
        Some(LockReport::Missing) => return LockFact::Missing,
        Some(LockReport::Hash(hash)) => hash,
    };
    let Some(desired) = &remote.lock else {
        return LockFact::Different;
    };
    if hash == desired {
        return LockFact::Current;
    }
    let (Some(history), Some(desired)) = (remote.history, remote.lock_position) else {
        return LockFact::Different;
    };
    match history.locks.behind(hash) {
        Some(host) if host > desired => LockFact::Behind,
        Some(_) => LockFact::Ahead,
        None => LockFact::NotOnBranch,
    }
}

/// How many lock versions the checkout is behind the desired one; 0 if it is not, or if that is
/// not known.
pub(super) fn lock_versions_behind(situation: &Situation<'_>) -> u32 {
    let remote = RemoteFacts::of(situation.desired, situation.remote_in_grace);
    let host = situation.observation.repo.and_then(|repo| repo.lock.hash());
    let (Some(host), Some(history)) = (host, remote.history) else {
        return 0;
    };
    match (history.locks.behind(&host), remote.lock_position) {
        (Some(host), Some(desired)) => u32::try_from(host.saturating_sub(desired)).unwrap_or(0),
        (Some(_), None) | (None, Some(_)) | (None, None) => 0,
    }
}
