//! One host, one command, and short words for what may happen to it.

use std::borrow::Cow;
use std::time::Duration;

use nixfleet_core::admission::{
    Admitted, Check, Conditions, PrState, Refusal, RefusalCode, Request, WindowState, admit,
    admit_to_queue,
};
use nixfleet_core::compartment::{PullSwitchHalf, Status};
use nixfleet_core::desired::{Remote, Snapshot};
use nixfleet_core::host::{
    Actor, AgentBinary, AgentProtocol, Deployed, Generation, HostIdentity, HostObservation,
    LockReport, Presence, Repo, RunningSystem, TestEvidence, TestKey, TestVerdict,
};
use nixfleet_core::ids::{CommandId, CommitId, HostId, LockHash, Sequence, StorePath, Token};
use nixfleet_core::lifecycle::{
    Address, Command, Event, ExitReport, Hello, IGNORED, Row, Signal, Step, TABLE, Transcript,
    Withdrawal,
};
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

fn token(text: &str) -> Token {
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
            store_path: path("one"),
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

/// What may happen to a command, in words without references, so that it can be generated.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    Start,
    Admit,
    Refuse,
    Sent,
    SendFail {
        nothing_left: bool,
    },
    Accepted,
    Started,
    Output,
    Progress(Option<PullSwitchHalf>),
    Exit(ResultKind, i32),
    Rejected,
    Kill(Signal),
    Extend(u64),
    Ignore,
    Cancel(Withdrawal),
    Disconnect,
    Hello(Process, Option<Vec<(ResultKind, i32)>>),
    Beat(Facts),
    BeatNaming,
    Restart,
    /// The same messages about another command.
    Foreign(Box<Word>),
    /// Seconds pass.
    Wait(u64),
}

/// What an agent says about itself when it registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// The same process, which runs the command.
    Running,
    /// The same process, which does not run it.
    Same,
    /// A new process of the same boot.
    New,
    /// A new process of a new boot.
    Rebooted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facts {
    /// As if the operation worked.
    Right,
    /// As if it did something else.
    Wrong,
    /// Nothing.
    Silent,
}

/// A world, its command and its clock.
pub struct Play {
    pub world: World,
    pub command: Command,
    pub now: Timestamp,
    pub steps: Vec<Step>,
    pub rows: Vec<&'static str>,
    /// The table to play by; a test may change it.
    table: Cow<'static, [Row]>,
}

impl Play {
    /// A command that has just been sent.
    pub fn sent(world: World) -> Self {
        Self::queued(world).admitted()
    }

    /// The same, after its turn has come and it was admitted.
    pub fn admitted(mut self) -> Self {
        self.play(&[Word::Start, Word::Admit]);
        self
    }

    /// A command in the queue.
    pub fn queued(world: World) -> Self {
        Self::queued_by(world, Cow::Borrowed(TABLE))
    }

    /// A command in the queue, in a world with another table.
    pub fn queued_by(world: World, table: Cow<'static, [Row]>) -> Self {
        let command = world.queue();
        Self {
            world,
            command,
            table,
            now: start_time(),
            steps: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Plays words in order; gives the steps of the last one.
    pub fn play(&mut self, words: &[Word]) -> Vec<Step> {
        let mut last = Vec::new();
        for word in words {
            last = self.one(word);
        }
        last
    }

    pub fn one(&mut self, word: &Word) -> Vec<Step> {
        let done = match word {
            Word::Wait(seconds) => {
                self.now = self.now + Duration::from_secs(*seconds);
                let rules = [&*self.table, IGNORED];
                self.command.handle_timeout_by(&rules, self.now)
            }
            Word::Foreign(word) => self.with_event(word, Address::of(OTHER), OTHER),
            word => {
                let address = self.world.address();
                self.with_event(word, address, ID)
            }
        };
        self.rows.extend(&done.rows);
        self.steps.extend(done.steps.clone());
        done.steps
    }

    fn with_event(&mut self, word: &Word, to: Address, id: CommandId) -> Transcript {
        let now = self.now;
        let (right, wrong, silent) = (self.world.after(), self.world.wrong(), self.world.silent());
        let facts = |facts: Facts| match facts {
            Facts::Right => &right,
            Facts::Wrong => &wrong,
            Facts::Silent => &silent,
        };
        let report = |(kind, code): (ResultKind, i32)| {
            let mut report = self.world.report(kind, code);
            (report.id, report.op) = (to.id, to.op);
            report
        };
        let (mut process, mut boot) = (token("process-1"), token("boot-1"));
        let results: Vec<ExitReport>;
        let event = match word {
            Word::Start => Event::Start,
            Word::Admit => Event::ValidateOk {
                admitted: Box::new(self.world.admitted()),
                seq: SEQ,
            },
            Word::Refuse => Event::ValidateFail(Refusal::new(RefusalCode::Offline)),
            Word::Sent => Event::Sent,
            Word::SendFail { nothing_left } => Event::SendFail {
                nothing_left: *nothing_left,
                why: "broken pipe".to_owned(),
            },
            Word::Accepted => Event::Accepted { to, pid: Some(9) },
            Word::Started => Event::Started { to, pid: None },
            Word::Output => Event::Output { to },
            Word::Progress(half) => Event::Progress { to, half: *half },
            Word::Exit(kind, code) => Event::Exited(Box::new(report((*kind, *code)))),
            Word::Rejected => Event::Rejected {
                to,
                reason: "busy".to_owned(),
                current: Some("test".to_owned()),
            },
            Word::Kill(signal) => Event::KillRequest(*signal),
            Word::Extend(minutes) => Event::Extend(Duration::from_secs(minutes * 60)),
            Word::Ignore => Event::Ignore,
            Word::Cancel(withdrawal) => Event::Cancel(*withdrawal),
            Word::Disconnect => Event::Disconnect,
            Word::Hello(how, held) => {
                match how {
                    Process::Running | Process::Same => {}
                    Process::New => process = token("process-2"),
                    Process::Rebooted => (process, boot) = (token("process-2"), token("boot-2")),
                }
                results = held.iter().flatten().map(|held| report(*held)).collect();
                Event::Hello(Hello {
                    instance_id: Some(&process),
                    boot_id: Some(&boot),
                    running: (*how == Process::Running).then_some(id),
                    results: &results,
                    observation: &right,
                })
            }
            Word::Beat(which) => Event::Heartbeat {
                running: None,
                observation: facts(*which),
            },
            Word::BeatNaming => Event::Heartbeat {
                running: Some(to),
                observation: &silent,
            },
            Word::Restart => Event::ServerRestart,
            Word::Foreign(_) | Word::Wait(_) => return Transcript::default(),
        };
        self.command
            .handle_by(&[&*self.table, IGNORED], &event, now)
    }
}
