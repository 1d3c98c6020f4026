//! The comparison: the only place where versions, commits, hashes and paths meet.

use crate::compartment::Situation;
use crate::compartment::facts::{
    AgentFact, ClaimFact, CommitFact, DesiredFact, Facts, KeyFact, LockFact, OutcomeFact, PathFact,
    ReconcileFact, RecordFact, ResultFact, TestsSwitchFact, TreeFact,
};
use crate::compartment::version::{VersionRelation, relation};
use crate::desired::DesiredState;
use crate::history::{CommitHistory, CommitRelation, PrefixMatch};
use crate::host::{DeployOutcome, Deployed, LockReport, TestEvidence, TestVerdict};
use crate::ids::{CommitId, CommitRef, LockHash, StorePath};

impl Facts {
    /// Compares what a host said with what is desired.
    #[must_use]
    pub fn compare(situation: &Situation<'_>) -> Facts {
        let commits = Commits::of(situation.desired);
        let remote = &situation.desired.remote;
        Facts {
            agent: agent(situation),
            desired_commit: desired(remote.commit().is_ok()),
            desired_lock: desired(remote.lock().is_ok()),
            commit: commit(situation),
            tree: match situation.observation.repo {
                Some(repo) if repo.dirty => TreeFact::Dirty,
                Some(_) | None => TreeFact::Clean,
            },
            lock: lock(situation),
            outcome: match situation.deploy.outcome {
                DeployOutcome::Never => OutcomeFact::Never,
                DeployOutcome::Ok => OutcomeFact::Ok,
                DeployOutcome::Failed => OutcomeFact::Failed,
                DeployOutcome::Unknown => OutcomeFact::Unknown,
            },
            reconcile: match situation.deploy.needs_reconcile {
                true => ReconcileFact::Needed,
                false => ReconcileFact::Settled,
            },
            record: record(situation, &commits),
            claim: claim(situation, &commits),
            path: path(situation),
            tests_switch: match situation.tests_enabled {
                true => TestsSwitchFact::On,
                false => TestsSwitchFact::Off,
            },
            result: situation.tests.map_or(ResultFact::Never, result),
            key: key(situation, &commits),
        }
    }
}

/// What commits mean here: the desired one, and the history that resolves abbreviations.
struct Commits<'a> {
    desired: Option<CommitId>,
    history: Option<&'a CommitHistory>,
}

impl<'a> Commits<'a> {
    fn of(desired: &'a DesiredState) -> Self {
        Self {
            desired: desired.remote.commit().ok(),
            history: desired.history.as_deref().map(|history| &history.commits),
        }
    }

    fn relation(&self, reported: CommitRef, desired: CommitId) -> CommitRelation {
        match self.history {
            Some(history) => history.relation(reported, desired),
            None => CommitHistory::default().relation(reported, desired),
        }
    }

    /// The one commit that is meant, if that is certain.
    fn resolve(&self, reported: CommitRef) -> Option<CommitId> {
        let prefix = match reported {
            CommitRef::Full(commit) => return Some(commit),
            CommitRef::Abbreviated(prefix) => prefix,
        };
        match self.desired {
            Some(desired) if desired.starts_with(&prefix) => {
                let same = self.relation(reported, desired) == CommitRelation::Same;
                same.then_some(desired)
            }
            Some(_) | None => match self.history?.resolve(&prefix) {
                PrefixMatch::Unique(commit) => Some(commit),
                PrefixMatch::None | PrefixMatch::Ambiguous => None,
            },
        }
    }

    /// Whether two commits are certainly the same: both resolved, or the same digits.
    fn same(&self, one: CommitRef, other: CommitRef) -> bool {
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

fn agent(situation: &Situation<'_>) -> AgentFact {
    let Some(reported) = &situation.observation.agent_version else {
        return AgentFact::NotReported;
    };
    match relation(reported, &situation.desired.agent_version) {
        VersionRelation::Equal => AgentFact::Equal,
        VersionRelation::Older => AgentFact::Older,
        VersionRelation::Newer => AgentFact::Newer,
        VersionRelation::Incomparable => AgentFact::Incompatible,
    }
}

/// Where the checkout stands relative to the desired commit, if both are known.
pub(super) fn commit_relation(situation: &Situation<'_>) -> Option<CommitRelation> {
    let commits = Commits::of(situation.desired);
    let reported = situation.observation.repo?.commit;
    Some(commits.relation(reported, commits.desired?))
}

fn commit(situation: &Situation<'_>) -> CommitFact {
    if situation.observation.repo.is_none() {
        return CommitFact::NotReported;
    }
    match commit_relation(situation) {
        Some(CommitRelation::Same) => CommitFact::Current,
        Some(CommitRelation::Behind(_)) => CommitFact::Behind,
        Some(CommitRelation::Ahead(_)) => CommitFact::Ahead,
        Some(CommitRelation::Diverged { .. }) => CommitFact::Diverged,
        Some(CommitRelation::NotOnBranch) => CommitFact::NotOnBranch,
        Some(CommitRelation::Unknown) | None => CommitFact::Different,
    }
}

fn lock(situation: &Situation<'_>) -> LockFact {
    let hash = match situation.observation.repo.map(|repo| repo.lock) {
        None | Some(LockReport::NotReported) => return LockFact::NotReported,
        Some(LockReport::Missing) => return LockFact::Missing,
        Some(LockReport::Hash(hash)) => hash,
    };
    let Ok(desired) = situation.desired.remote.lock() else {
        return LockFact::Different;
    };
    if hash == desired {
        return LockFact::Current;
    }
    match lock_positions(situation, hash, desired) {
        (Some(host), Some(desired)) if host > desired => LockFact::Behind,
        (Some(_), Some(_)) => LockFact::Ahead,
        (None, Some(_)) => LockFact::NotOnBranch,
        (Some(_), None) | (None, None) => LockFact::Different,
    }
}

/// How many versions of the branch are newer than the one checked out and than the desired one.
fn lock_positions(
    situation: &Situation<'_>,
    host: LockHash,
    desired: LockHash,
) -> (Option<usize>, Option<usize>) {
    match &situation.desired.history {
        Some(history) => (history.locks.behind(&host), history.locks.behind(&desired)),
        None => (None, None),
    }
}

/// How many lock versions the checkout is behind the desired one; 0 if it is not, or if that is
/// not known.
pub(super) fn lock_versions_behind(situation: &Situation<'_>) -> u32 {
    let host = situation.observation.repo.and_then(|repo| repo.lock.hash());
    let (Some(host), Ok(desired)) = (host, situation.desired.remote.lock()) else {
        return 0;
    };
    match lock_positions(situation, host, desired) {
        (Some(host), Some(desired)) => u32::try_from(host.saturating_sub(desired)).unwrap_or(0),
        (Some(_), None) | (None, Some(_)) | (None, None) => 0,
    }
}

/// The inputs of a deployment, if they are known: captured from a clean tree that did not change.
pub(super) fn known_inputs(deployed: &Deployed) -> Option<(CommitRef, LockHash)> {
    if !deployed.clean {
        return None;
    }
    Some((deployed.commit?, deployed.lock?))
}

fn record(situation: &Situation<'_>, commits: &Commits<'_>) -> RecordFact {
    let Some(deployed) = &situation.observation.deployed else {
        return RecordFact::None;
    };
    let Some((commit, lock)) = known_inputs(deployed) else {
        return RecordFact::InputsUnknown;
    };
    let Some(repo) = situation.observation.repo else {
        return RecordFact::NoCheckout;
    };
    match repo.lock {
        LockReport::NotReported => RecordFact::NoCheckout,
        LockReport::Hash(checked_out) if checked_out == lock => {
            if commits.same(commit, repo.commit) {
                RecordFact::SameAsCheckout
            } else {
                RecordFact::Differs
            }
        }
        LockReport::Hash(_) | LockReport::Missing => RecordFact::Differs,
    }
}

fn claim(situation: &Situation<'_>, commits: &Commits<'_>) -> ClaimFact {
    let running = situation.observation.system.as_ref();
    let Some(claimed) = running.and_then(|system| system.configuration_revision.as_ref()) else {
        return ClaimFact::Silent;
    };
    let Some(claimed) = claimed.commit() else {
        return ClaimFact::NoCommit;
    };
    let expected = match &situation.observation.deployed {
        Some(deployed) => deployed.commit,
        None => commits.desired.map(CommitRef::Full),
    };
    match expected {
        None => ClaimFact::Unjudged,
        Some(expected) if commits.same(claimed, expected) => ClaimFact::AsExpected,
        Some(_) => ClaimFact::Other,
    }
}

fn running_path<'a>(situation: &Situation<'a>) -> Option<&'a StorePath> {
    situation.observation.system.as_ref()?.path.as_ref()
}

fn path(situation: &Situation<'_>) -> PathFact {
    let deployed = situation.observation.deployed.as_ref();
    let deployed = deployed.and_then(|record| record.store_path.as_ref());
    match (deployed, running_path(situation)) {
        (Some(deployed), Some(running)) if deployed == running => PathFact::Same,
        // Whoever no longer sees what runs has lost the evidence: it may be something else by now.
        (Some(_), Some(_) | None) => PathFact::Other,
        (None, Some(_) | None) => PathFact::Unjudged,
    }
}

/// What a result means, whatever its sender called it: a pass that executed nothing is empty, and
/// a pass with failures is a failure.
fn result(tests: &TestEvidence) -> ResultFact {
    match tests.verdict {
        TestVerdict::Void => ResultFact::Void,
        TestVerdict::Stopped => ResultFact::Stopped,
        TestVerdict::Fail => ResultFact::Failed,
        TestVerdict::Pass | TestVerdict::Empty if !tests.failed.is_empty() => ResultFact::Failed,
        TestVerdict::Empty => ResultFact::Empty,
        TestVerdict::Pass if !tests.per_script => ResultFact::PassedUnverified,
        TestVerdict::Pass if tests.ran == 0 => ResultFact::Empty,
        TestVerdict::Pass => ResultFact::Passed,
    }
}

/// What a test of this host would be about now: the deployed inputs and store path or, without a
/// deployment record, what the running system claims.
pub(super) struct CurrentKey<'a> {
    pub(super) commit: CommitRef,
    pub(super) lock: LockHash,
    /// `None` where an existing agent tells none.
    pub(super) store_path: Option<&'a StorePath>,
}

pub(super) fn current_key<'a>(situation: &Situation<'a>) -> Option<CurrentKey<'a>> {
    let running = running_path(situation);
    if let Some(deployed) = &situation.observation.deployed {
        let (commit, lock) = known_inputs(deployed)?;
        let store_path = deployed.store_path.as_ref().or(running);
        if store_path.is_none() && !deployed.inferred {
            return None;
        }
        return Some(CurrentKey {
            commit,
            lock,
            store_path,
        });
    }
    let system = situation.observation.system.as_ref()?;
    Some(CurrentKey {
        commit: system.claimed_commit()?,
        lock: situation.desired.remote.lock().ok()?,
        store_path: Some(running?),
    })
}

/// Without any path the inputs alone must do, and they do only for an agent whose pass proves nothing.
fn same_path(
    tests: &TestEvidence,
    tested: Option<&StorePath>,
    current: Option<&StorePath>,
) -> bool {
    match (tested, current) {
        (Some(tested), Some(current)) => tested == current,
        (None, None) => !tests.per_script,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn key(situation: &Situation<'_>, commits: &Commits<'_>) -> KeyFact {
    let Some(tests) = situation.tests else {
        return KeyFact::Unjudged;
    };
    let (Some(tested), Some(current)) = (&tests.key, current_key(situation)) else {
        return KeyFact::Unjudged;
    };
    if tests.verdict == TestVerdict::Void {
        return KeyFact::Unjudged;
    }
    let same = commits.same(tested.commit, current.commit)
        && tested.lock == current.lock
        && same_path(tests, tested.store_path.as_ref(), current.store_path);
    if same {
        KeyFact::Current
    } else {
        KeyFact::Other
    }
}
