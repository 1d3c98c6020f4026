//! A mixed fleet: 30 % behind, 3 % unknown, 5 % failed, and everything about it, owned.

use std::sync::Arc;

use nixfleet_core::compartment::Situation;
use nixfleet_core::desired::{DesiredState, Remote, RemoteHistory, Snapshot};
use nixfleet_core::host::{
    DeployEvidence, DeployOutcome, Deployed, HostObservation, LockReport, Presence, Repo,
    RunningSystem, TestEvidence, TestKey, TestVerdict,
};
use nixfleet_core::{
    CommandId, CommitHistory, CommitId, LockHash, LockHistory, LockVersion, StorePath, Timestamp,
    lock_hash,
};

/// The moment of all of it.
pub const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

/// A generator with a fixed seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// Hex digits.
    pub fn hex(&mut self, digits: usize) -> String {
        let mut text = String::new();
        while text.len() < digits {
            text.push_str(&format!("{:016x}", self.number()));
        }
        text.truncate(digits);
        text
    }
}

/// A commit of the branch by its age.
#[must_use]
pub fn commit(age: usize) -> CommitId {
    Random(age as u64).hex(40).parse().unwrap()
}

/// The lock that came with it.
#[must_use]
pub fn lock(age: usize) -> LockHash {
    lock_hash(format!("lock {age}").as_bytes())
}

/// What is desired: the newest of a branch of 1,000 commits, each with a lock of its own.
#[must_use]
pub fn desired() -> DesiredState {
    let ages = 0..1000;
    let version = |age| LockVersion {
        commit: commit(age),
        hash: lock(age),
        time: NOW,
        summary: None,
    };
    DesiredState {
        agent_version: "4.0.0".to_owned(),
        remote: Remote::Verified(Snapshot {
            commit: Ok(commit(0)),
            lock: Ok(lock(0)),
            subject: Some("update nixpkgs".to_owned()),
            commit_time: Some(NOW),
            branch: Some("main".to_owned()),
            rewritten: false,
        }),
        verified_at: Some(NOW),
        history: Some(Arc::new(RemoteHistory {
            commits: CommitHistory::new(ages.clone().map(commit).collect()),
            locks: LockHistory::new(ages.map(version).collect()),
        })),
        pending_pr: None,
    }
}

/// What is stored of one host.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What it said.
    pub observation: HostObservation,
    /// Its last deployment.
    pub deploy: DeployEvidence,
    /// Its last tests.
    pub tests: Option<TestEvidence>,
    /// Whether it is connected.
    pub presence: Presence,
}

impl Stored {
    /// Everything its assessment depends on.
    #[must_use]
    pub fn situation<'a>(&'a self, desired: &'a DesiredState) -> Situation<'a> {
        Situation {
            observation: &self.observation,
            desired,
            deploy: &self.deploy,
            tests: self.tests.as_ref(),
            tests_enabled: true,
            working: None,
            presence: self.presence,
            hold: None,
            quarantined: false,
            identity_conflict: false,
            remote_in_grace: false,
        }
    }
}

fn never_seen() -> Stored {
    Stored {
        observation: HostObservation::default(),
        deploy: DeployEvidence::default(),
        tests: None,
        presence: Presence::NeverSeen,
    }
}

/// A system path as long as those of NixOS.
#[must_use]
pub fn system_path(random: &mut Random, number: usize) -> String {
    let digest = random.hex(32);
    format!("/nix/store/{digest}-nixos-system-web-{number:05}-26.05")
}

fn reporting(random: &mut Random, number: usize, age: usize, failed: bool) -> Stored {
    let path = system_path(random, number);
    // Each field of a report is a text of its own.
    let parsed = || path.parse::<StorePath>().unwrap();
    let command = CommandId::from_bytes(u128::from(random.number()).to_be_bytes());
    Stored {
        observation: HostObservation {
            agent_version: Some("4.0.0".to_owned()),
            repo: Some(Repo {
                commit: commit(age).into(),
                lock: LockReport::Hash(lock(age)),
                dirty: false,
            }),
            deployed: Some(Deployed {
                commit: Some(commit(age).into()),
                lock: Some(lock(age)),
                store_path: Some(parsed()),
                clean: true,
                command: Some(command),
                inferred: false,
            }),
            system: Some(RunningSystem {
                path: Some(parsed()),
                configuration_revision: Some(commit(age).into()),
                profile_number: Some(42),
                profile_path: Some(parsed()),
                booted_path: Some(parsed()),
                reboot_required: false,
            }),
            failed_units: Some(Vec::new()),
            ..HostObservation::default()
        },
        deploy: DeployEvidence {
            outcome: if failed {
                DeployOutcome::Failed
            } else {
                DeployOutcome::Ok
            },
            command: Some(command),
            at: Some(NOW),
            detail: failed.then(|| "exit code 1".to_owned()),
            ..DeployEvidence::default()
        },
        tests: Some(TestEvidence {
            key: Some(TestKey {
                commit: commit(age).into(),
                lock: lock(age),
                store_path: Some(parsed()),
            }),
            verdict: TestVerdict::Pass,
            per_script: true,
            ran: 10,
            failed: Vec::new(),
            skipped: 0,
            at: NOW,
        }),
        presence: Presence::Online,
    }
}

/// A mixed fleet of so many hosts.
#[must_use]
pub fn mixed(hosts: usize) -> Vec<Stored> {
    let mut random = Random(1);
    let mut all = Vec::with_capacity(hosts);
    for number in 0..hosts {
        let kind = random.number() % 100;
        let age = 1 + (random.number() % 20) as usize;
        all.push(match kind {
            0..3 => never_seen(),
            3..8 => reporting(&mut random, number, 0, true),
            8..38 => reporting(&mut random, number, age, false),
            _ => reporting(&mut random, number, 0, false),
        });
    }
    all
}
