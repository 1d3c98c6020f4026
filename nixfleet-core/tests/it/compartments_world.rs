//! A host, a remote and a server's memory as real values, moved by the verbs of the specification.

use std::sync::Arc;

use nixfleet_core::compartment::{Situation, Working};
use nixfleet_core::desired::{
    DesiredState, PendingPr, Remote, RemoteCause, RemoteHistory, Snapshot, Unavailable,
};
use nixfleet_core::host::{
    DeployEvidence, DeployOutcome, Deployed, Hold, HostObservation, LockReport, Presence, Repo,
    RunningSystem, TestEvidence, TestKey, TestVerdict,
};
use nixfleet_core::{
    Assessment, CommitHistory, CommitId, CommitRef, Compartment, HostAssessment, LockHash,
    LockHistory, LockVersion, Op, StorePath, Timestamp, assess, lock_hash,
};

pub const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

/// A commit made of one repeated digit.
pub fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

/// Its first seven digits, as an existing agent reports them.
pub fn abbreviated(commit: CommitId) -> CommitRef {
    commit.to_string()[..7].parse().unwrap()
}

pub fn lock(name: &str) -> LockHash {
    lock_hash(name.as_bytes())
}

pub fn path(name: &str) -> StorePath {
    format!("/nix/store/{name}").parse().unwrap()
}

pub fn snapshot(commit: CommitId, lock: LockHash) -> Snapshot {
    Snapshot {
        commit: Ok(commit),
        lock: Ok(lock),
        subject: Some("update nixpkgs".to_owned()),
        commit_time: Some(NOW),
        branch: Some("main".to_owned()),
        rewritten: false,
    }
}

/// Everything one assessment depends on, owned.
#[derive(Clone, Debug)]
pub struct World {
    pub observation: HostObservation,
    pub desired: DesiredState,
    pub deploy: DeployEvidence,
    pub tests: Option<TestEvidence>,
    pub tests_enabled: bool,
    pub working: Option<Working>,
    pub presence: Presence,
    pub hold: Option<Hold>,
    pub quarantined: bool,
    pub identity_conflict: bool,
    pub in_grace: bool,
    /// Whether the agent is an existing one: abbreviated commits, no record, one test script.
    pub existing: bool,
}

impl World {
    /// A host that was added on the page; the remote is fine.
    pub fn never_seen() -> Self {
        Self {
            observation: HostObservation::default(),
            desired: DesiredState {
                agent_version: "4.0.0".to_owned(),
                remote: Remote::Verified(snapshot(commit('a'), lock("a"))),
                verified_at: Some(NOW),
                history: None,
                pending_pr: None,
            },
            deploy: DeployEvidence::default(),
            tests: None,
            tests_enabled: true,
            working: None,
            presence: Presence::NeverSeen,
            hold: None,
            quarantined: false,
            identity_conflict: false,
            in_grace: false,
            existing: false,
        }
    }

    /// A host with this project's agent, with everything current and tested.
    pub fn current() -> Self {
        let mut world = Self::never_seen();
        world.connect();
        world.pull();
        world.switch_ok();
        world.test(TestVerdict::Pass);
        world
    }

    pub fn connect(&mut self) {
        self.presence = Presence::Online;
        self.observation.agent_version = Some("4.0.0".to_owned());
        self.observation.system = Some(RunningSystem::default());
        self.observation.failed_units = Some(Vec::new());
    }

    pub fn situation(&self) -> Situation<'_> {
        Situation {
            observation: &self.observation,
            desired: &self.desired,
            deploy: &self.deploy,
            tests: self.tests.as_ref(),
            tests_enabled: self.tests_enabled,
            working: self.working,
            presence: self.presence,
            hold: self.hold.as_ref(),
            quarantined: self.quarantined,
            identity_conflict: self.identity_conflict,
            remote_in_grace: self.in_grace,
        }
    }

    pub fn assess(&self) -> HostAssessment {
        assess(&self.situation())
    }

    pub fn of(&self, compartment: Compartment) -> Assessment {
        *self.assess().of(compartment)
    }

    /// The row as the specification writes it: `ok ok outdated error unknown`.
    pub fn row(&self) -> String {
        self.assess().statuses().map(|one| one.name()).join(" ")
    }

    pub fn working(&mut self, op: Op) {
        self.working = Some(Working {
            op,
            half: None,
            awaiting_reconnect: false,
        });
    }

    /// An update is merged upstream: a new commit with a new lock.
    pub fn remote_moves(&mut self, digit: char) {
        let next = snapshot(commit(digit), lock(&digit.to_string()));
        self.desired.remote = Remote::Verified(next);
    }

    pub fn remote_fails(&mut self, cause: RemoteCause, detail: &str) {
        let last_good = self.desired.remote.last_known().cloned();
        self.desired.remote = Remote::Failed {
            why: Unavailable::new(cause, detail),
            since: NOW,
            last_good,
        };
    }

    /// A successful pull: the checkout is the desired state.
    pub fn pull(&mut self) {
        let desired = self.desired.remote.commit().unwrap();
        let lock = LockReport::Hash(self.desired.remote.lock().unwrap());
        self.observation.repo = Some(Repo {
            commit: if self.existing {
                abbreviated(desired)
            } else {
                desired.into()
            },
            lock,
            dirty: false,
        });
    }

    /// A successful switch to what is checked out.
    pub fn switch_ok(&mut self) {
        let repo = self.observation.repo.unwrap();
        let name = format!("system-{}-{:?}", repo.commit, repo.lock.hash());
        self.activate(&name, repo.commit, repo.lock.hash());
    }

    /// A verified activation of these inputs: by a switch or a rollback.
    pub fn activate(&mut self, name: &str, commit: CommitRef, lock: Option<LockHash>) {
        self.observation.deployed = Some(Deployed {
            commit: Some(commit),
            lock,
            store_path: Some(path(name)),
            clean: true,
            command: None,
            inferred: self.existing,
        });
        let claims = (!self.existing).then_some(commit);
        self.observation.system = Some(RunningSystem {
            path: Some(path(name)),
            configuration_revision: claims.map(Into::into),
            ..RunningSystem::default()
        });
        self.deploy.outcome = DeployOutcome::Ok;
        self.deploy.needs_reconcile = false;
        self.deploy.detail = None;
    }

    pub fn switch_fails(&mut self) {
        self.deploy.outcome = DeployOutcome::Failed;
        self.deploy.detail = Some("exit code 1".to_owned());
        self.deploy.at = Some(NOW);
    }

    pub fn switch_outcome_unknown(&mut self) {
        self.deploy.outcome = DeployOutcome::Unknown;
        self.deploy.needs_reconcile = true;
    }

    /// A test run on what is deployed.
    pub fn test(&mut self, verdict: TestVerdict) {
        let deployed = self.observation.deployed.as_ref();
        let key = deployed.and_then(|record| {
            Some(TestKey {
                commit: record.commit?,
                lock: record.lock?,
                store_path: Some(record.store_path.clone()?),
            })
        });
        let failed = match verdict {
            // An existing agent tells neither names nor a count.
            _ if self.existing => Vec::new(),
            TestVerdict::Fail => vec!["web".to_owned(), "mail".to_owned()],
            TestVerdict::Pass | TestVerdict::Stopped | TestVerdict::Empty | TestVerdict::Void => {
                Vec::new()
            }
        };
        self.tests = Some(TestEvidence {
            key,
            verdict,
            per_script: !self.existing,
            ran: match verdict {
                _ if self.existing => 0,
                TestVerdict::Empty => 0,
                TestVerdict::Pass
                | TestVerdict::Fail
                | TestVerdict::Stopped
                | TestVerdict::Void => 10,
            },
            failed,
            skipped: 0,
            at: NOW,
        });
    }

    pub fn pending_pr(&mut self) {
        self.desired.pending_pr = Some(PendingPr {
            number: 42,
            title: "Update flake.lock".to_owned(),
            url: "https://github.com/example/fleet/pull/42".to_owned(),
            created_at: Some(NOW),
            changes: vec!["nixpkgs abc1234 → def5678".to_owned()],
        });
    }

    /// The branch is known: these commits, newest first, each with a lock of its own.
    pub fn history(&mut self, newest_first: &[char]) {
        let commits: Vec<CommitId> = newest_first.iter().map(|digit| commit(*digit)).collect();
        let version = |digit: &char| LockVersion {
            commit: commit(*digit),
            hash: lock(&digit.to_string()),
            time: NOW,
            summary: None,
        };
        self.desired.history = Some(Arc::new(RemoteHistory {
            commits: CommitHistory::new(commits),
            locks: LockHistory::new(newest_first.iter().map(version).collect()),
        }));
    }
}
