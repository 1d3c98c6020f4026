//! What the five statuses depend on, as values of a fixed size: no text, no pointer, nothing to
//! follow. Made when a host reports something; judged as often as the repository or a command
//! moves.

use crate::compartment::attention::AttentionSet;
use crate::compartment::facts::{
    AgentFact, OutcomeFact, PathFact, ReconcileFact, ResultFact, TestsSwitchFact,
};
use crate::compartment::version::{VersionRelation, relation};
use crate::compartment::{Situation, Working};
use crate::desired::{DesiredState, RemoteHistory};
use crate::host::{DeployOutcome, Deployed, Repo, TestEvidence, TestVerdict};
use crate::ids::{CommitId, CommitRef, LockHash, StorePath};

/// What is known of one host, in the form that is compared. Texts are compared when it is made:
/// store paths with one another, and the agent's version with the expected one.
///
/// ```
/// use nixfleet_core::compartment::HostFacts;
/// fn can_be_copied<T: Copy + Send + 'static>() {}
/// can_be_copied::<HostFacts>();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostFacts {
    pub(super) checkout: Option<Repo>,
    pub(super) deployed: Option<DeployedInputs>,
    pub(super) claim: Claim,
    pub(super) tested: Option<Tested>,
    pub(super) agent: AgentFact,
    pub(super) path: PathFact,
    pub(super) outcome: OutcomeFact,
    pub(super) reconcile: ReconcileFact,
    pub(super) tests_switch: TestsSwitchFact,
    pub(super) result: ResultFact,
    pub(super) working: Option<Working>,
    pub(super) attentions: AttentionSet,
}

/// What was deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct DeployedInputs {
    pub(super) commit: Option<CommitRef>,
    /// `None` also if the tree was not clean: then it is not known what was built.
    pub(super) lock: Option<LockHash>,
}

impl DeployedInputs {
    /// Both inputs, if they are known: captured from a clean tree that did not change.
    pub(super) fn known(&self) -> Option<(&CommitRef, &LockHash)> {
        Some((self.commit.as_ref()?, self.lock.as_ref()?))
    }
}

/// The revision that the running system claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Claim {
    Silent,
    NoCommit,
    Commit(CommitRef),
}

/// What was tested, if that can be compared with what is deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tested {
    pub(super) commit: CommitRef,
    pub(super) lock: LockHash,
    /// Whether its store path is the one that a test would be about now.
    pub(super) same_path: bool,
}

impl HostFacts {
    /// What a situation says of its host. The expected version of the agent is the only thing
    /// beside the host that is looked at: it is part of the server's configuration.
    #[must_use]
    pub fn of(situation: &Situation<'_>) -> Self {
        let seen = situation.observation;
        let deployed = seen.deployed.as_ref();
        let running = seen.system.as_ref().and_then(|one| one.path.as_ref());
        let claimed = seen.system.as_ref();
        let claimed = claimed.and_then(|system| system.configuration_revision.as_ref());
        let claim = match claimed {
            None => Claim::Silent,
            Some(claimed) => claimed.commit().map_or(Claim::NoCommit, Claim::Commit),
        };
        Self {
            checkout: seen.repo,
            deployed: deployed.map(|deployed| DeployedInputs {
                commit: deployed.commit,
                lock: deployed.lock.filter(|_| deployed.clean),
            }),
            claim,
            tested: situation
                .tests
                .and_then(|tests| tested(tests, deployed, running)),
            agent: agent(situation),
            path: path(deployed, running),
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
            tests_switch: match situation.tests_enabled {
                true => TestsSwitchFact::On,
                false => TestsSwitchFact::Off,
            },
            result: situation.tests.map_or(ResultFact::Never, result),
            working: situation.working,
            attentions: AttentionSet::of_host(situation),
        }
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

fn path(deployed: Option<&Deployed>, running: Option<&StorePath>) -> PathFact {
    let deployed = deployed.and_then(|record| record.store_path.as_ref());
    match (deployed, running) {
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

/// What was tested beside the store path that a test would be about now: the deployed one or,
/// without a deployment record, the running one. `None` if there is nothing to compare.
fn tested(
    tests: &TestEvidence,
    deployed: Option<&Deployed>,
    running: Option<&StorePath>,
) -> Option<Tested> {
    let key = tests.key.as_ref()?;
    if tests.verdict == TestVerdict::Void {
        return None;
    }
    let current = match deployed {
        Some(deployed) => {
            let path = deployed.store_path.as_ref().or(running);
            if path.is_none() && !deployed.inferred {
                return None;
            }
            path
        }
        None => Some(running?),
    };
    Some(Tested {
        commit: key.commit,
        lock: key.lock,
        same_path: same_path(tests, key.store_path.as_ref(), current),
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

/// What is desired, in the form that is compared: made once for all hosts.
#[derive(Clone, Copy, Debug)]
pub struct RemoteFacts<'a> {
    pub(super) commit: Option<CommitId>,
    pub(super) lock: Option<LockHash>,
    pub(super) history: Option<&'a RemoteHistory>,
    /// How many lock versions of the branch are newer than the desired one.
    pub(super) lock_position: Option<usize>,
    pub(super) attentions: AttentionSet,
}

impl<'a> RemoteFacts<'a> {
    /// What is desired; `in_grace` tells whether the last reading of the remote failed while the
    /// last good one is still in force.
    #[must_use]
    pub fn of(desired: &'a DesiredState, in_grace: bool) -> Self {
        let lock = desired.remote.lock().ok();
        let history = desired.history.as_deref();
        Self {
            commit: desired.remote.commit().ok(),
            lock,
            history,
            lock_position: history
                .zip(lock)
                .and_then(|(history, lock)| history.locks.behind(&lock)),
            attentions: AttentionSet::of_remote(desired, in_grace),
        }
    }
}
