//! Filling in the parameters of a reason. Decides nothing: the table already chose the code.

use crate::compartment::compare;
use crate::compartment::{Compartment, Reason, ReasonCode, Situation, Status, Verdict, Working};
use crate::desired::RemoteCause;
use crate::history::CommitRelation;
use crate::host::{RunningSystem, TestVerdict};
use crate::ids::{CommitId, CommitRef, LockHash};
use crate::op::Op;

impl Reason {
    /// The reason with this code in this situation: looks up the parameters, decides nothing.
    #[must_use]
    pub fn build(code: ReasonCode, situation: &Situation<'_>, verdict: &Verdict) -> Reason {
        let known = Parameters { situation };
        let git = |wanted: Status| verdict.base_of(Compartment::Git) == wanted;
        let lock = |wanted: Status| verdict.base_of(Compartment::Lock) == wanted;
        let running = situation.observation.system.as_ref();
        match code {
            ReasonCode::AgentNotReported => Reason::AgentNotReported,
            ReasonCode::AgentCurrent => Reason::AgentCurrent,
            ReasonCode::AgentOlder => Reason::AgentOlder,
            ReasonCode::AgentNewer => Reason::AgentNewer,
            ReasonCode::AgentIncompatible => Reason::AgentIncompatible,

            ReasonCode::DesiredCommitUnavailable => Reason::DesiredCommitUnavailable {
                cause: known.commit_cause(),
            },
            ReasonCode::CheckoutNotReported => Reason::CheckoutNotReported,
            ReasonCode::CheckoutDirty => Reason::CheckoutDirty { host: known.host() },
            ReasonCode::CheckoutCurrent => Reason::CheckoutCurrent {
                desired: known.desired(),
                abbreviated: known.host().is_some_and(|commit| commit.full().is_none()),
            },
            ReasonCode::CheckoutBehind => Reason::CheckoutBehind {
                host: known.host(),
                desired: known.desired(),
                commits: known.distance().1,
            },
            ReasonCode::CheckoutAhead => Reason::CheckoutAhead {
                host: known.host(),
                desired: known.desired(),
                commits: known.distance().0,
            },
            ReasonCode::CheckoutDiverged => Reason::CheckoutDiverged {
                host: known.host(),
                desired: known.desired(),
                ahead: known.distance().0,
                behind: known.distance().1,
            },
            ReasonCode::CheckoutNotOnBranch => Reason::CheckoutNotOnBranch {
                host: known.host(),
                desired: known.desired(),
            },
            ReasonCode::CheckoutDifferent => Reason::CheckoutDifferent {
                host: known.host(),
                desired: known.desired(),
            },

            ReasonCode::DesiredLockUnavailable => Reason::DesiredLockUnavailable {
                cause: known.lock_cause(),
            },
            ReasonCode::LockMissing => Reason::LockMissing,
            ReasonCode::LockNotReported => Reason::LockNotReported,
            ReasonCode::LockCurrent => Reason::LockCurrent {
                desired: known.desired_lock(),
            },
            ReasonCode::LockBehind => Reason::LockBehind {
                host: known.host_lock(),
                desired: known.desired_lock(),
                versions: compare::lock_versions_behind(situation),
            },
            ReasonCode::LockAhead => Reason::LockAhead {
                host: known.host_lock(),
                desired: known.desired_lock(),
            },
            ReasonCode::LockNotOnBranch => Reason::LockNotOnBranch {
                host: known.host_lock(),
                desired: known.desired_lock(),
            },
            ReasonCode::LockDifferent => Reason::LockDifferent {
                host: known.host_lock(),
                desired: known.desired_lock(),
            },

            ReasonCode::SystemUnverifiable => Reason::SystemUnverifiable {
                cause: known.either_cause(),
            },
            ReasonCode::DeployFailed => Reason::DeployFailed {
                command: situation.deploy.command,
                at: situation.deploy.at,
            },
            ReasonCode::CheckoutNotCurrent => Reason::CheckoutNotCurrent {
                git: git(Status::Outdated),
                lock: lock(Status::Outdated),
            },
            ReasonCode::CheckoutNotKnown => Reason::CheckoutNotKnown {
                git: git(Status::Unknown),
                lock: lock(Status::Unknown),
            },
            ReasonCode::NeedsReconcile => Reason::NeedsReconcile {
                command: situation.deploy.command,
            },
            ReasonCode::RunsOtherRevision => Reason::RunsOtherRevision {
                running: known.claimed(),
                expected: match &situation.observation.deployed {
                    Some(deployed) => deployed.commit,
                    None => known.desired().map(CommitRef::Full),
                },
            },
            ReasonCode::RunsNoCommit => Reason::RunsNoCommit {
                base: running.and_then(|system| system.configuration_revision.as_ref()?.base()),
            },
            ReasonCode::RunsOtherPath => Reason::RunsOtherPath,
            ReasonCode::SystemCurrent => Reason::SystemCurrent {
                commit: known.deployed(),
            },
            ReasonCode::SystemClaimsCurrent => Reason::SystemClaimsCurrent {
                commit: known.claimed(),
            },
            ReasonCode::DeployedInputsUnknown => Reason::DeployedInputsUnknown {
                unclean: situation
                    .observation
                    .deployed
                    .as_ref()
                    .is_some_and(|deployed| !deployed.clean),
            },
            ReasonCode::DeployedInputsDiffer => Reason::DeployedInputsDiffer {
                deployed: known.deployed(),
                host: known.host(),
            },
            ReasonCode::DeploymentNotRecorded => Reason::DeploymentNotRecorded,
            ReasonCode::NeverDeployed => Reason::NeverDeployed,

            ReasonCode::TestsUnverifiable => Reason::TestsUnverifiable {
                cause: known.either_cause(),
            },
            ReasonCode::TestsDisabled => Reason::TestsDisabled,
            ReasonCode::TestsFailed => Reason::TestsFailed {
                commit: known.tested(),
                ran: known.ran(),
                failed: known.failed(),
            },
            ReasonCode::TestsStopped => Reason::TestsStopped {
                commit: known.tested(),
                ran: known.ran(),
            },
            ReasonCode::TestsNeverDeployed => Reason::TestsNeverDeployed,
            ReasonCode::NoTests => Reason::NoTests {
                commit: known.tested(),
            },
            ReasonCode::SystemNotCurrent => Reason::SystemNotCurrent {
                system: verdict.base_of(Compartment::System),
                passed_for: known.tested().filter(|_| known.passed()),
            },
            ReasonCode::TestsPassed => Reason::TestsPassed {
                commit: known.tested(),
                ran: known.ran(),
            },
            ReasonCode::TestsUnverified => Reason::TestsUnverified {
                commit: known.tested(),
                ran: known.ran(),
            },
            ReasonCode::TestsNotRun => Reason::TestsNotRun {
                commit: known.deployed().or(known.claimed()),
            },
            ReasonCode::TestsVoid => Reason::TestsVoid,
            ReasonCode::TestsOtherRevision => Reason::TestsOtherRevision {
                tested: known.tested(),
                commit: known.deployed().or(known.claimed()),
                passed: known.passed(),
            },

            // No row of a table has this code: it belongs to the overlay.
            ReasonCode::Working => Reason::from(situation.working.unwrap_or(Working {
                op: Op::RefreshAll,
                half: None,
                awaiting_reconnect: false,
            })),
        }
    }
}

/// What reasons are made of; each is looked up only where a reason has it.
struct Parameters<'a> {
    situation: &'a Situation<'a>,
}

impl Parameters<'_> {
    fn host(&self) -> Option<CommitRef> {
        self.situation.observation.repo.map(|repo| repo.commit)
    }

    fn desired(&self) -> Option<CommitId> {
        self.situation.desired.remote.commit().ok()
    }

    fn host_lock(&self) -> Option<LockHash> {
        self.situation.observation.repo?.lock.hash()
    }

    fn desired_lock(&self) -> Option<LockHash> {
        self.situation.desired.remote.lock().ok()
    }

    fn deployed(&self) -> Option<CommitRef> {
        self.situation.observation.deployed.as_ref()?.commit
    }

    fn claimed(&self) -> Option<CommitRef> {
        let running = self.situation.observation.system.as_ref();
        running.and_then(RunningSystem::claimed_commit)
    }

    fn tested(&self) -> Option<CommitRef> {
        Some(self.situation.tests?.key.as_ref()?.commit)
    }

    fn passed(&self) -> bool {
        let tests = self.situation.tests;
        tests.is_some_and(|tests| tests.verdict == TestVerdict::Pass)
    }

    fn ran(&self) -> u32 {
        self.situation.tests.map_or(0, |tests| tests.ran)
    }

    fn failed(&self) -> u32 {
        self.situation.tests.map_or(0, |tests| {
            u32::try_from(tests.failed.len()).unwrap_or(u32::MAX)
        })
    }

    fn commit_cause(&self) -> RemoteCause {
        let unavailable = self.situation.desired.remote.commit().err();
        unavailable.map_or(RemoteCause::NotReadYet, |why| why.cause)
    }

    fn lock_cause(&self) -> RemoteCause {
        let unavailable = self.situation.desired.remote.lock().err();
        unavailable.map_or(RemoteCause::NotReadYet, |why| why.cause)
    }

    fn either_cause(&self) -> RemoteCause {
        match self.desired() {
            None => self.commit_cause(),
            Some(_) => self.lock_cause(),
        }
    }

    /// Commits only the host has, and commits only the branch has.
    fn distance(&self) -> (u32, u32) {
        match compare::commit_relation(self.situation) {
            Some(CommitRelation::Behind(behind)) => (0, behind),
            Some(CommitRelation::Ahead(ahead)) => (ahead, 0),
            Some(CommitRelation::Diverged { ahead, behind }) => (ahead, behind),
            Some(CommitRelation::Same | CommitRelation::NotOnBranch | CommitRelation::Unknown)
            | None => (0, 0),
        }
    }
}
