//! A day in memory: the real fleet, real agents, real replicas, one simulated host.

mod held_back;
mod last_ended;
mod notices;
mod proof;

use std::collections::VecDeque;
use std::time::Duration;

use super::*;
use crate::agent::{
    AgentConfig, AgentCore, AgentEffect, AgentInput, AgentObservation, JobExit, JobReport, Journal,
    Sighting, TestOutcome,
};
use crate::compartment::Status;
use crate::desired::Snapshot as Desired;
use crate::host::{Actor, LockReport, RunningSystem};
use crate::ids::{CommitId, LockHash};
use crate::lifecycle::{Phase, Signal};
use crate::op::Op;
use crate::sync::{Deltas, Replica, ServerMessage, parts};
use crate::wire::agent::{AgentFrame, ServerFrame};
use crate::wire::{agent_message, decode_agent_frame, decode_server_frame, server_order};

const HOST: &str = "web-1";

fn commit(letter: char) -> CommitId {
    letter.to_string().repeat(40).parse().unwrap()
}

fn lock(letter: char) -> LockHash {
    crate::lock_hash(letter.to_string().as_bytes())
}

/// What the simulated host's commands do.
#[derive(Clone, Copy, PartialEq)]
enum Habit {
    Works,
    Fails,
    /// After the profile was set and before anything was activated.
    FailsLate,
    DoesNothing,
}

struct World {
    now: Timestamp,
    fleet: Fleet,
    stored: Snapshot,
    replica: Replica,
    agent: AgentCore,
    connection: Option<ConnectionId>,
    connections: u64,
    checkout: char,
    system: char,
    deploys: u32,
    history: Vec<char>,
    switch: Habit,
    complaint: Option<String>,
    tests: Vec<TestOutcome>,
    jobs: VecDeque<(CommandId, Op)>,
    spawned: Vec<CommandId>,
    ids: u8,
    replies: Vec<Reply>,
    hold_jobs: bool,
    inbox: VecDeque<Input>,
    settling: bool,
}

fn config() -> FleetConfig {
    FleetConfig {
        server_version: "4.0.0".into(),
        agent_version: "4.0.0".into(),
        remote: RemotePolicy {
            ttl: Duration::from_secs(5),
            grace: Duration::ZERO,
        },
        remote_configured: true,
        store_intact: true,
        host_driven: false,
        offline_notice: None,
        tests_after_switch: false,
        updates: None,
    }
}

fn agent_config(instance: &str) -> AgentConfig {
    AgentConfig {
        host: HOST.parse().unwrap(),
        version: "4.0.0".into(),
        host_type: "linux".into(),
        os_version: None,
        location: None,
        device_type: None,
        theme_color: None,
        repo_url: None,
        repo_dir: None,
        interval: Duration::from_secs(5),
        flake_updates: None,
        instance_id: instance.parse().unwrap(),
        boot_id: Some("boot".parse().unwrap()),
        machine_id_hash: None,
        seed: 1,
    }
}

impl World {
    fn new() -> Self {
        let now = Timestamp::from_seconds(1_000_000);
        let (fleet, effects) = Fleet::restore(config(), Snapshot::default(), now);
        let (agent, agent_effects) = AgentCore::start(agent_config("one"), Journal::default(), now);
        let mut world = Self {
            now,
            fleet,
            stored: Snapshot::default(),
            replica: Replica::new(),
            agent,
            connection: None,
            connections: 0,
            checkout: 'a',
            system: '0',
            deploys: 0,
            history: vec!['0'],
            switch: Habit::Works,
            complaint: None,
            tests: vec![TestOutcome {
                name: "one.sh".into(),
                passed: Some(true),
            }],
            jobs: VecDeque::new(),
            spawned: Vec::new(),
            ids: 0,
            replies: Vec::new(),
            hold_jobs: false,
            inbox: VecDeque::new(),
            settling: false,
        };
        for part in parts(world.fleet.version(), world.fleet.sync().state()) {
            world.replica.apply(ServerMessage::Init(Box::new(part)));
        }
        world.server_effects(effects);
        world.remote('a');
        world.agent_effects(agent_effects);
        world.run_jobs();
        world
    }

    fn observe(&self) -> AgentObservation {
        AgentObservation {
            repo: Some(crate::host::Repo {
                commit: commit(self.checkout).into(),
                lock: LockReport::Hash(lock(self.checkout)),
                dirty: false,
            }),
            system: RunningSystem {
                path: Some(format!("/system/{}", self.system).parse().unwrap()),
                profile_path: format!("/system/{}", self.history.last().unwrap())
                    .parse()
                    .ok(),
                ..RunningSystem::default()
            },
            generations: self.generations(),
            ..AgentObservation::default()
        }
    }

    fn generations(&self) -> Vec<crate::host::Generation> {
        let runs = |letter: &char| *letter == self.system;
        let current = self.history.iter().rposition(runs).map(|at| at + 1);
        let numbered = self.history.iter().zip(1u64..);
        numbered
            .map(|(letter, number)| crate::host::Generation {
                number,
                path: format!("/system/{letter}").parse().ok(),
                commit: None,
                created: None,
                current: current.is_some_and(|current| number == current as u64),
            })
            .collect()
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now + Duration::from_secs(1);
            if self.fleet.poll_timeout().is_some_and(|due| due <= self.now) {
                let effects = self.fleet.handle_timeout(self.now);
                self.server_effects(effects);
            }
            if self.agent.poll_timeout().is_some_and(|due| due <= self.now) {
                let effects = self.agent.handle_timeout(self.now);
                self.agent_effects(effects);
            }
            if let crate::desired::Remote::Verified(snapshot) = self.fleet.desired().remote.clone()
            {
                self.read(Ok(Reading {
                    snapshot,
                    history: None,
                }));
            }
            self.run_jobs();
        }
    }

    /// Inputs are handled one after the other, each with all its effects.
    fn server(&mut self, input: Input) {
        self.inbox.push_back(input);
        if self.settling {
            return;
        }
        self.settling = true;
        while let Some(input) = self.inbox.pop_front() {
            let effects = self.fleet.handle(input, self.now);
            self.server_effects(effects);
        }
        self.settling = false;
    }

    fn agent(&mut self, input: AgentInput) {
        let effects = self.agent.handle(input, self.now);
        self.agent_effects(effects);
    }

    fn server_effects(&mut self, effects: Vec<Effect>) {
        let stored = effects.iter().map_while(|effect| match effect {
            Effect::Persist(record) => Some((**record).clone()),
            Effect::Send { .. }
            | Effect::Close { .. }
            | Effect::Publish(_)
            | Effect::Reply { .. }
            | Effect::ReadRemote
            | Effect::Forge(_)
            | Effect::Notify(_) => None,
        });
        self.stored.commit(stored);
        let mut persisting = true;
        for effect in effects {
            match effect {
                Effect::Persist(_) => {
                    assert!(persisting, "everything is persisted before anything leaves");
                }
                Effect::Send {
                    connection, order, ..
                } => {
                    persisting = false;
                    if self.connection == Some(connection) {
                        let text = serde_json::to_string(&ServerFrame::from(*order)).unwrap();
                        let order = server_order(decode_server_frame(&text).unwrap());
                        let fresh_id = self.fresh_id();
                        self.agent(AgentInput::Order { order, fresh_id });
                    }
                }
                Effect::Close { connection, .. } => {
                    persisting = false;
                    if self.connection == Some(connection) {
                        self.disconnect();
                    }
                }
                Effect::Publish(delta) => {
                    persisting = false;
                    let deltas = Deltas {
                        first: delta.version,
                        changes: vec![delta.change.clone()],
                    };
                    self.replica.apply(ServerMessage::Delta(deltas));
                }
                Effect::Reply { reply, .. } => self.replies.push(reply),
                Effect::ReadRemote | Effect::Forge(_) | Effect::Notify(_) => {}
            }
        }
    }

    fn agent_effects(&mut self, effects: Vec<AgentEffect>) {
        for effect in effects {
            match effect {
                AgentEffect::Connect => {
                    self.connections += 1;
                    self.connection = Some(ConnectionId(self.connections));
                    let seen = self.observe();
                    self.agent(AgentInput::Connected(seen));
                }
                AgentEffect::Send(frame) => self.deliver(&frame),
                AgentEffect::Spawn { command, op, .. } => {
                    self.spawned.push(command);
                    self.jobs.push_back((command, op));
                }
                AgentEffect::Attach { .. } | AgentEffect::Journal(_) => {}
                AgentEffect::Observe => {
                    let seen = self.observe();
                    self.agent(AgentInput::Observed(seen));
                }
                AgentEffect::Terminate(id) | AgentEffect::Kill(id) => {
                    self.jobs.retain(|(job, _)| *job != id);
                    self.finish(id, JobExit::Signal(15), self.observe(), Vec::new());
                }
                AgentEffect::Close | AgentEffect::RestartSelf | AgentEffect::Reboot(_) => {}
            }
        }
    }

    fn deliver(&mut self, frame: &AgentFrame) {
        let Some(connection) = self.connection else {
            return;
        };
        let text = serde_json::to_string(frame).unwrap();
        let identity = self
            .fleet
            .host_of(connection)
            .and_then(|id| self.fleet.host(id))
            .map(|host| host.identity.clone())
            .unwrap_or_default();
        let frame = decode_agent_frame(&text).unwrap();
        if let Some(report) = agent_message(frame, &identity).unwrap() {
            self.server(Input::Agent {
                connection,
                bound: None,
                report,
            });
        }
    }

    fn run_jobs(&mut self) {
        while let Some((id, op)) = self.jobs.pop_front() {
            if self.hold_jobs {
                self.jobs.push_front((id, op));
                return;
            }
            let before = self.observe();
            let habit = if op == Op::Switch {
                self.switch
            } else {
                Habit::Works
            };
            if habit == Habit::Works {
                self.perform(op);
            }
            let failed = self.tests.iter().any(|test| test.passed == Some(false));
            let tests = if op == Op::Test {
                self.tests.clone()
            } else {
                Vec::new()
            };
            if habit == Habit::FailsLate {
                self.history.push(self.checkout);
            }
            let fails = matches!(habit, Habit::Fails | Habit::FailsLate);
            let bad = fails || (op == Op::Test && failed);
            self.finish(id, JobExit::Code(i32::from(bad)), before, tests);
        }
    }

    fn perform(&mut self, op: Op) {
        if op == Op::Pull {
            let known = self
                .fleet
                .desired()
                .remote
                .commit()
                .map(|id| id.to_string());
            self.checkout = known
                .ok()
                .and_then(|text| text.chars().next())
                .unwrap_or(self.checkout);
        } else if op == Op::Switch {
            self.deploys += 1;
            self.system = self.checkout;
            self.history.push(self.system);
        } else if op == Op::Rollback {
            self.history.pop();
            self.system = *self.history.last().unwrap();
        }
    }

    fn finish(
        &mut self,
        command: CommandId,
        exit: JobExit,
        before: AgentObservation,
        tests: Vec<TestOutcome>,
    ) {
        let after = self.observe();
        let report = JobReport {
            message: self.complaint.clone(),
            at_start: Some(Sighting::from(&before)),
            at_end: Some(Sighting::from(&after)),
            tests,
            ..JobReport::bare(exit, after)
        };
        self.agent(AgentInput::JobFinished {
            command,
            report: Box::new(report),
        });
    }

    fn disconnect(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.server(Input::Disconnected { connection });
            self.agent(AgentInput::Disconnected);
        }
    }

    fn remote(&mut self, letter: char) {
        let snapshot = Desired {
            commit: Ok(commit(letter)),
            lock: Ok(lock(letter)),
            subject: None,
            commit_time: None,
            branch: Some("main".into()),
            rewritten: false,
        };
        self.read(Ok(Reading {
            snapshot,
            history: None,
        }));
    }

    fn cut_remote(&mut self) {
        self.read(Err(Unavailable::new(
            RemoteCause::Unreachable,
            "no route to host",
        )));
    }

    fn read(&mut self, result: Result<Reading, Unavailable>) {
        self.server(Input::Read(Box::new(result)));
    }

    fn fresh_id(&mut self) -> CommandId {
        self.ids += 1;
        CommandId::from_bytes([self.ids; 16])
    }

    fn ask(&mut self, op: Op) -> Result<Accepted, crate::admission::Refusal> {
        let id = self.fresh_id();
        let dispatch = Dispatch::new(op, vec![(HOST.parse().unwrap(), id)]);
        let Reply::Dispatched(mut outcomes) = self.request(Request::Dispatch(dispatch)) else {
            panic!()
        };
        outcomes.remove(0).outcome
    }

    fn request(&mut self, request: Request) -> Reply {
        let actor = Actor::Person("admin".into());
        self.server(Input::Request {
            id: RequestId(1),
            actor,
            request,
        });
        self.replies.pop().unwrap()
    }

    fn run(&mut self, op: Op) -> Phase {
        self.ask(op)
            .unwrap_or_else(|refusal| panic!("{}", refusal.sentence()));
        self.run_jobs();
        self.last_phase()
    }

    fn last_phase(&self) -> Phase {
        self.report().command.unwrap().phase
    }

    fn report(&self) -> HostReport {
        self.fleet.report(&HOST.parse().unwrap()).unwrap()
    }

    fn row(&self) -> [Status; 5] {
        let report = self.report();
        let row: Vec<Status> = report.compartments.values().map(|one| one.status).collect();
        let replica = &self.replica.state().statuses[&HOST.parse().unwrap()];
        assert_eq!(replica.s[..], row[..], "the replica and the report agree");
        assert_eq!(self.replica.version(), Some(self.fleet.version()));
        assert_eq!(self.replica.state(), self.fleet.sync().state());
        row.try_into().unwrap()
    }

    fn restart_server(&mut self) {
        let (fleet, effects) = Fleet::restore(config(), self.stored.clone(), self.now);
        self.fleet = fleet;
        self.replica = Replica::new();
        for part in parts(self.fleet.version(), self.fleet.sync().state()) {
            self.replica.apply(ServerMessage::Init(Box::new(part)));
        }
        self.server_effects(effects);
        self.connection = None;
        self.agent(AgentInput::Disconnected);
    }
}

fn row(text: &str) -> [Status; 5] {
    let statuses: Vec<Status> = text
        .split(' ')
        .map(|word| serde_json::from_value(serde_json::Value::String(word.into())).unwrap())
        .collect();
    statuses.try_into().unwrap()
}

/// A host that is current, deployed through us, and tested.
fn current() -> World {
    let mut world = World::new();
    assert_eq!(
        world.row(),
        row("ok ok ok unknown unknown"),
        "nothing was deployed through us yet"
    );
    assert_eq!(world.run(Op::Switch), Phase::Success);
    assert_eq!(world.row(), row("ok ok ok ok outdated"));
    assert_eq!(world.run(Op::Test), Phase::Success);
    assert_eq!(world.row(), row("ok ok ok ok ok"));
    world
}

#[test]
fn a_day_of_updates_shows_the_expected_rows() {
    let mut world = current();
    world.remote('b');
    assert_eq!(world.row(), row("ok outdated outdated outdated outdated"));
    assert_eq!(world.run(Op::Pull), Phase::Success);
    assert_eq!(world.row(), row("ok ok ok outdated outdated"));
    assert_eq!(world.run(Op::Switch), Phase::Success);
    assert_eq!(world.row(), row("ok ok ok ok outdated"));
    assert_eq!(world.run(Op::Test), Phase::Success);
    assert_eq!(world.row(), row("ok ok ok ok ok"));

    world.cut_remote();
    assert_eq!(world.row(), row("ok error error outdated outdated"));
    world.remote('b');
    assert_eq!(world.row(), row("ok ok ok ok ok"));

    world.remote('c');
    world.run(Op::Pull);
    world.switch = Habit::Fails;
    assert_eq!(world.run(Op::Switch), Phase::Error);
    assert_eq!(world.row(), row("ok ok ok error outdated"));
    world.remote('d');
    assert_eq!(world.row(), row("ok outdated outdated error outdated"));
    world.run(Op::Pull);
    assert_eq!(world.row(), row("ok ok ok error outdated"));
    world.switch = Habit::Works;
    assert_eq!(world.run(Op::Switch), Phase::Success);
    assert_eq!(world.row(), row("ok ok ok ok outdated"));
    assert_eq!(world.run(Op::Rollback), Phase::Success);
    assert_eq!(world.row(), row("ok ok ok outdated outdated"));
    assert_eq!(world.spawned.len(), 10, "each command ran once");
}

#[test]
fn what_the_agent_says_about_a_failure_is_told_with_the_command_and_the_system() {
    let mut world = current();
    world.remote('b');
    world.run(Op::Pull);
    world.switch = Habit::Fails;
    world.complaint = Some("nixos-rebuild was not found in PATH".into());
    assert_eq!(world.run(Op::Switch), Phase::Error);
    let report = world.report();
    let told = "exit code 1: nixos-rebuild was not found in PATH";
    assert_eq!(report.command.unwrap().message.as_deref(), Some(told));
    let system = &report.compartments[&crate::compartment::Compartment::System];
    assert!(system.message.contains(told), "{}", system.message);
}

#[test]
fn a_switch_that_changes_nothing_is_partial_and_never_green() {
    let mut world = current();
    world.remote('b');
    world.run(Op::Pull);
    world.switch = Habit::DoesNothing;
    world.ask(Op::Switch).unwrap();
    world.run_jobs();
    world.pass(400);
    assert_eq!(world.last_phase(), Phase::Partial);
    assert_ne!(world.row()[3], Status::Ok);
    world.switch = Habit::Works;
    assert_eq!(world.run(Op::Switch), Phase::Success, "positive control");
}

#[test]
fn a_server_restart_in_the_middle_of_a_command_loses_and_repeats_nothing() {
    let mut world = current();
    world.remote('b');
    world.run(Op::Pull);
    let before = world.row();
    world.hold_jobs = true;
    world.ask(Op::Switch).unwrap();
    let spawned = world.spawned.len();
    assert_eq!(world.row()[3], Status::Working);
    world.restart_server();
    world.pass(90);
    assert_eq!(world.row()[3], Status::Working, "resumed");
    world.hold_jobs = false;
    world.run_jobs();
    assert_eq!(world.last_phase(), Phase::Success);
    assert_eq!(world.spawned.len(), spawned, "nothing ran twice");
    assert_eq!(world.row()[..3], before[..3]);
    assert_eq!(world.row()[3], Status::Ok);
}

#[test]
fn after_a_server_restart_the_rows_are_the_same() {
    for prepare in [
        |_: &mut World| {},
        |w: &mut World| w.remote('b'),
        |w: &mut World| w.cut_remote(),
    ] {
        let mut world = current();
        prepare(&mut world);
        let before = world.row();
        world.restart_server();
        world.pass(5);
        assert_eq!(world.row(), before);
    }
}

#[test]
fn a_stopped_switch_is_red_and_says_so() {
    let mut world = current();
    world.remote('b');
    world.run(Op::Pull);
    world.hold_jobs = true;
    world.ask(Op::Switch).unwrap();
    let host = HOST.parse().unwrap();
    let request = Request::Stop {
        host,
        command: None,
        signal: Signal::Term,
    };
    world.server(Input::Request {
        id: RequestId(2),
        actor: Actor::Person("admin".into()),
        request,
    });
    assert_eq!(world.replies.pop(), Some(Reply::Done));
    assert_eq!(world.last_phase(), Phase::Killed);
    assert_eq!(world.row()[3], Status::Error);
}

#[test]
fn the_remote_fails_by_itself_when_nobody_reads_it() {
    let mut world = current();
    let due = world.fleet.poll_timeout().unwrap();
    let effects = world.fleet.handle_timeout(due);
    world.now = due;
    world.server_effects(effects);
    assert_eq!(world.row(), row("ok error error outdated outdated"));
}

#[test]
fn one_unknown_host_in_a_request_starts_nothing() {
    let mut world = current();
    world.remote('b');
    let hosts = [HOST, "nobody"].map(|name| (name.parse().unwrap(), world.fresh_id()));
    let request = Request::Dispatch(Dispatch::new(Op::Pull, hosts.to_vec()));
    let spawned = world.spawned.len();
    world.server(Input::Request {
        id: RequestId(1),
        actor: Actor::Person("a".into()),
        request,
    });
    assert_eq!(
        world.replies.pop(),
        Some(Reply::UnknownHost("nobody".parse().unwrap()))
    );
    world.run_jobs();
    assert_eq!(world.spawned.len(), spawned);
    world.run(Op::Pull);
    assert_eq!(world.spawned.len(), spawned + 1, "positive control");
}

#[test]
fn a_host_is_busy_while_a_command_is_active_and_a_queued_one_starts_after_it() {
    let mut world = current();
    world.remote('b');
    world.hold_jobs = true;
    world.ask(Op::Pull).unwrap();
    let refusal = world.ask(Op::Test).unwrap_err();
    assert_eq!(refusal.code.code(), "busy");
    let id = world.fresh_id();
    let mut dispatch = Dispatch::new(Op::Test, vec![(HOST.parse().unwrap(), id)]);
    dispatch.queue = true;
    let request = Request::Dispatch(dispatch);
    world.server(Input::Request {
        id: RequestId(3),
        actor: Actor::Person("a".into()),
        request,
    });
    assert!(
        matches!(&world.replies.pop(), Some(Reply::Dispatched(one)) if one[0].outcome == Ok(Accepted::Queued(id)))
    );
    world.hold_jobs = false;
    world.run_jobs();
    assert_eq!(world.fleet.command(id).unwrap().phase, Phase::Success);
}

#[test]
fn a08_a_connection_speaks_only_for_its_own_host() {
    let mut world = current();
    let before = world.row();
    let connection = ConnectionId(77);
    let beat = crate::report::HeartbeatReport::default();
    let report = crate::report::AgentReport::Heartbeat(Box::new(beat));
    let effects = world.fleet.handle(
        Input::Agent {
            connection,
            bound: None,
            report,
        },
        world.now,
    );
    assert!(effects.iter().any(|e| matches!(
        e,
        Effect::Close {
            connection: ConnectionId(77),
            ..
        }
    )));
    assert_eq!(world.row(), before);
}
