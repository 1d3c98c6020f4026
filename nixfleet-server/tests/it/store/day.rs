//! A fleet whose records go to a store, driven by the inputs of a day.

use std::time::Duration;

use nixfleet_core::desired::{RemotePolicy, Snapshot as Desired};
use nixfleet_core::fleet::{
    Dispatch, Effect, Fleet, FleetConfig, Input, Reading, Record, Request, RequestId, Snapshot,
};
use nixfleet_core::host::{
    Actor, AgentProtocol, HostIdentity, LockReport, ObservationUpdate, Repo, Update,
};
use nixfleet_core::report::{AgentReport, CommandResult, Registration, ResultKind};
use nixfleet_core::{CommandId, CommitId, ConnectionId, HostId, Op, Timestamp, lock_hash};

pub fn config() -> FleetConfig {
    FleetConfig {
        server_version: "4.0.0".into(),
        agent_version: "4.0.0".into(),
        remote: RemotePolicy {
            ttl: Duration::from_secs(5),
            grace: Duration::ZERO,
        },
        remote_configured: true,
        store_intact: true,
        offline_notice: None,
        host_driven: false,
        tests_after_switch: false,
        updates: None,
    }
}

pub fn host(name: &str) -> HostId {
    name.parse().unwrap()
}

pub fn command_id(number: u8) -> CommandId {
    CommandId::from_bytes([number; 16])
}

pub fn commit(letter: char) -> CommitId {
    letter.to_string().repeat(40).parse().unwrap()
}

pub struct Day {
    pub fleet: Fleet,
    pub now: Timestamp,
}

impl Day {
    /// Goes on where the stored fleet stopped.
    pub fn start(stored: Snapshot) -> (Self, Vec<Record>) {
        let now = Timestamp::from_seconds(1_000_000);
        let (fleet, effects) = Fleet::restore(config(), stored, now);
        (Self { fleet, now }, records(effects))
    }

    /// The records that one input leads to.
    pub fn input(&mut self, input: Input) -> Vec<Record> {
        records(self.fleet.handle(input, self.now))
    }

    pub fn read(&mut self, letter: char) -> Vec<Record> {
        let snapshot = Desired {
            commit: Ok(commit(letter)),
            lock: Ok(lock_hash(letter.to_string().as_bytes())),
            subject: Some(format!("commit {letter}")),
            commit_time: None,
            branch: Some("main".into()),
            rewritten: false,
        };
        let reading = Reading {
            snapshot,
            history: None,
        };
        self.input(Input::Read(Box::new(Ok(reading))))
    }

    pub fn register(&mut self, name: &str, number: u64) -> Vec<Record> {
        let facts = ObservationUpdate {
            agent_version: Update::Set("4.0.0".into()),
            repo: Update::Set(Repo {
                commit: commit('0').into(),
                lock: LockReport::Hash(lock_hash(b"0")),
                dirty: false,
            }),
            ..ObservationUpdate::default()
        };
        let identity = HostIdentity {
            protocol: AgentProtocol::Commands,
            capabilities: vec!["command-ids".into()],
            instance_id: Some(format!("instance-{number}").parse().unwrap()),
            ..HostIdentity::default()
        };
        let registration = Registration {
            host: host(name),
            identity,
            facts,
            last_seq: None,
            running: None,
            results: Vec::new(),
        };
        self.input(Input::Agent {
            connection: ConnectionId(number),
            bound: None,
            report: AgentReport::Registered(Box::new(registration)),
        })
    }

    pub fn dispatch(&mut self, op: Op, name: &str, id: CommandId) -> Vec<Record> {
        self.input(Input::Request {
            id: RequestId(1),
            actor: Actor::Person("me".into()),
            request: Request::Dispatch(Dispatch::new(op, vec![(host(name), id)])),
        })
    }

    /// The agent on a connection says that a command failed.
    pub fn fail(&mut self, connection: u64, id: CommandId) -> Vec<Record> {
        let result = CommandResult {
            command: Some(id),
            op: None,
            seq: None,
            kind: ResultKind::Error,
            exit_code: Some(1),
            message: None,
            duration_ms: None,
            facts: ObservationUpdate::default(),
            failed_units: None,
            tests: None,
            update: None,
        };
        self.input(Input::Agent {
            connection: ConnectionId(connection),
            bound: None,
            report: AgentReport::Result(Box::new(result)),
        })
    }
}

fn records(effects: Vec<Effect>) -> Vec<Record> {
    effects
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Persist(record) => Some(*record),
            Effect::Send { .. }
            | Effect::Close { .. }
            | Effect::Publish(_)
            | Effect::Reply { .. }
            | Effect::ReadRemote
            | Effect::Forge(_)
            | Effect::Notify(_) => None,
        })
        .collect()
}
