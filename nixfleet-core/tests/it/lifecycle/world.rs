//! One host, one command, and short words for what may happen to it.

use nixfleet_core::admission::{
    Admitted, Check, Conditions, PrState, Request, WindowState, admit, admit_to_queue,
};
use nixfleet_core::compartment::Status;
use nixfleet_core::desired::{Remote, Snapshot};
use nixfleet_core::host::{
    Actor, AgentBinary, AgentProtocol, Deployed, Generation, HostIdentity, HostObservation,
    LockReport, Presence, Repo, RunningSystem, TestEvidence, TestKey, TestVerdict,
};
use nixfleet_core::ids::{CommandId, CommitId, HostId, LockHash, Sequence, StorePath, Token};
use nixfleet_core::lifecycle::{Address, Command, ExitReport, Step};
use nixfleet_core::report::ResultKind;
use nixfleet_core::{Op, Timestamp, lock_hash};

pub const ID: CommandId = CommandId::from_bytes([7; 16]);
pub const OTHER: CommandId = CommandId::from_bytes([8; 16]);
pub const SEQ: Sequence = Sequence(41);

pub fn start_time() -> Timestamp {
    Timestamp::from_seconds(1_760_000_000)
}

pub fn host() -> HostId {
    "web-1".parse().unwrap()
}

pub fn person() -> Actor {
    Actor::Person("ada".to_owned())
}

pub fn automation() -> Actor {
    Actor::Automation("rollout".to_owned())
}

pub fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

pub fn lock(name: &str) -> LockHash {
    lock_hash(name.as_bytes())
}

pub fn path(name: &str) -> StorePath {
    format!("/nix/store/{name}-nixos-system").parse().unwrap()
}

pub fn token(text: &str) -> Token {
    text.parse().unwrap()
}

pub fn repo(digit: char, lock_name: &str) -> Repo {
    Repo {
        commit: commit(digit).into(),
        lock: LockReport::Hash(lock(lock_name)),
        dirty: false,
    }
}

pub fn deployed(digit: char, lock_name: &str, store: &str, command: Option<CommandId>) -> Deployed {
    Deployed {
        commit: Some(commit(digit).into()),
        lock: Some(lock(lock_name)),
        store_path: Some(path(store)),
        clean: true,
        command,
        inferred: false,
    }
}

/// A host at commit `a` whose remote is at commit `b`; for `switch` it has pulled `b` already.
#[derive(Clone)]
pub struct World {
    pub observation: HostObservation,
    pub identity: HostIdentity,
    pub remote: Remote,
    pub agent: Status,
    pub actor: Actor,
    pub op: Op,
    /// Afterwards the agent names another source commit.
    pub new_source: bool,
}

impl World {
    pub fn new(op: Op, protocol: AgentProtocol) -> Self {
        let checked_out = if matches!(op, Op::Switch | Op::ForceRebuild) {
            'b'
        } else {
            'a'
        };
        let ours = protocol == AgentProtocol::Commands;
        Self {
            observation: HostObservation {
                agent_version: Some("4.0.0".to_owned()),
                repo: Some(repo(checked_out, "old")),
                deployed: ours.then(|| deployed('a', "old", "one", None)),
                system: ours.then(|| RunningSystem {
                    path: Some(path("one")),
                    profile_number: Some(5),
                    ..RunningSystem::default()
                }),
                binary: AgentBinary::default(),
                failed_units: Some(vec!["old.service".to_owned()]),
                repo_error: None,
                generations: [4, 5].map(generation).to_vec(),
            },
            identity: HostIdentity {
                protocol,
                instance_id: ours.then(|| token("process-1")),
                boot_id: ours.then(|| token("boot-1")),
                ..HostIdentity::default()
            },
            remote: Remote::Verified(Snapshot {
                commit: Ok(commit('b')),
                lock: Ok(lock("new")),
                subject: None,
                commit_time: None,
                branch: None,
                rewritten: false,
            }),
            agent: Status::Ok,
            actor: person(),
            op,
            new_source: false,
        }
    }

    pub fn by(mut self, actor: Actor) -> Self {
        self.actor = actor;
        self
    }

    pub fn request(&self) -> Request {
        Request {
            confirmed: true,
            second_factor: Check::Passed,
            ..Request::new(host(), self.op, self.actor.clone())
        }
    }

    pub fn conditions(&self) -> Conditions<'_> {
        let behind = !matches!(self.op, Op::Switch);
        Conditions {
            presence: if self.op == Op::Remove {
                Presence::NeverSeen
            } else {
                Presence::Online
            },
            identity: &self.identity,
            observation: &self.observation,
            active: None,
            restarting: None,
            agent: self.agent,
            git: if behind { Status::Outdated } else { Status::Ok },
            lock: Status::Ok,
            remote: &self.remote,
            test_key: None,
            hold: None,
            quarantined: false,
            signature: Check::NotRequired,
            window: WindowState::Open,
            host_driven: true,
            pr: &PrState::Eligible,
        }
    }

    pub fn admitted(&self) -> Admitted {
        admit(&self.request(), &self.conditions()).unwrap()
    }

    pub fn start(&self) -> (Command, Vec<Step>) {
        Command::start(self.admitted(), ID, SEQ, start_time())
    }

    pub fn queue(&self) -> Command {
        let queueable = admit_to_queue(&self.request(), &self.conditions()).unwrap();
        Command::queue(&queueable, ID, start_time())
    }

    /// The host after the operation worked.
    pub fn after(&self) -> HostObservation {
        let mut after = self.observation.clone();
        let record = |digit, store| Some(deployed(digit, "new", store, Some(ID)));
        let runs = |store: &str, number| {
            Some(RunningSystem {
                path: Some(path(store)),
                profile_number: Some(number),
                ..RunningSystem::default()
            })
        };
        let ours = self.identity.protocol == AgentProtocol::Commands;
        match self.op {
            Op::Pull => after.repo = Some(repo('b', "new")),
            Op::PullSwitch if ours => {
                after.repo = Some(repo('b', "new"));
                after.deployed = record('b', "two");
                after.system = runs("two", 6);
            }
            Op::Switch | Op::ForceRebuild if ours => {
                after.deployed = record('b', "two");
                after.system = runs("two", 6);
            }
            Op::Rollback if ours => {
                after.deployed = record('a', "four");
                after.system = runs("four", 4);
            }
            Op::UpdateInputs => after.repo = Some(repo('c', "newer")),
            _ => {}
        }
        if self.new_source {
            after.binary.source_commit = Some("2222".to_owned());
        }
        after
    }

    /// The host after the operation changed something, but not what it should.
    pub fn wrong(&self) -> HostObservation {
        let mut wrong = self.after();
        wrong.repo = Some(repo('d', "old"));
        if let Some(system) = &mut wrong.system {
            system.path = Some(path("other"));
            system.profile_number = Some(99);
        }
        wrong
    }

    /// What an agent reports of itself, but nothing that could prove anything.
    pub fn silent(&self) -> HostObservation {
        HostObservation::default()
    }

    pub fn report(&self, kind: ResultKind, code: i32) -> ExitReport {
        let ours = self.identity.protocol == AgentProtocol::Commands;
        let id = ours.then_some(ID);
        let mut report = ExitReport::new(id, Some(self.op), code);
        report.kind = kind;
        if self.op == Op::Test && ours && kind == ResultKind::Ok {
            report.tests = Some(tests_of_the_running_system());
        }
        report
    }

    pub fn address(&self) -> Address {
        let ours = self.identity.protocol == AgentProtocol::Commands;
        if ours {
            Address::of(ID)
        } else {
            Address::op(Some(self.op))
        }
    }
}

pub fn tests_of_the_running_system() -> TestEvidence {
    TestEvidence {
        key: Some(TestKey {
            commit: commit('a').into(),
            lock: lock("old"),
            store_path: Some(path("one")),
        }),
        verdict: TestVerdict::Pass,
        per_script: true,
        ran: 3,
        failed: Vec::new(),
        skipped: 0,
        at: start_time(),
    }
}

fn generation(number: u64) -> Generation {
    Generation {
        number,
        path: Some(if number == 4 {
            path("four")
        } else {
            path("one")
        }),
        commit: None,
        created: None,
        current: number == 5,
    }
}
