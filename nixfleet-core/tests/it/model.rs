//! Model checking of the production transition functions: one host, its real agent core, the real
//! fleet, and between them a network that loses, doubles, delays and reorders; both sides crash.
//!
//! Time moves only to the next deadline of either side, so every deadline may fire before or after
//! every message. `NIXFLEET_MODEL=long` explores larger budgets.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::counts::counted;
use nixfleet_core::agent::{
    AgentConfig, AgentCore, AgentEffect, AgentInput, AgentObservation, JobExit, JobReport, Journal,
    Sighting,
};
use nixfleet_core::desired::{RemotePolicy, Snapshot as Desired};
use nixfleet_core::fleet::{
    Dispatch, Effect, Fleet, FleetConfig, Input, Reading, Record, Request, RequestId, Snapshot,
};
use nixfleet_core::host::{Actor, LockReport, Repo, RunningSystem};
use nixfleet_core::lifecycle::{Command, Phase, Signal};
use nixfleet_core::wire::agent::{AgentFrame, ServerFrame};
use nixfleet_core::wire::{agent_message, decode_agent_frame, server_order};
use nixfleet_core::{CommandId, CommitId, ConnectionId, Op, Timestamp};
use stateright::{Checker, Model, Property};

const HOST: &str = "web-1";

/// How many of each may happen on one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    commands: u8,
    lost: u8,
    doubled: u8,
    reordered: u8,
    agent_crashes: u8,
    server_crashes: u8,
    cuts: u8,
    kills: u8,
    moments: u8,
}

/// A deliberate fault of the product that the checker must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    None,
    /// Commands carry no lease: a late frame may start work after the server gave up.
    NoLease,
    /// The agent's journal is lost in a crash.
    NoJournal,
}

struct Lifecycle {
    op: Op,
    budget: Budget,
    mutant: Mutant,
}

#[derive(Clone, Debug, PartialEq)]
enum Frame {
    Up(ConnectionId, Box<AgentFrame>),
    Down(ConnectionId, Box<ServerFrame>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Action {
    Ask,
    Deliver(usize),
    Lose(usize),
    Double(usize),
    End { well: bool },
    Tick,
    CrashAgent,
    CrashServer,
    Cut,
    Kill,
}

#[derive(Clone)]
struct World {
    now: Timestamp,
    fleet: Fleet,
    stored: Snapshot,
    /// Every command the server ever stored, with its last stored phase.
    phases: BTreeMap<CommandId, Phase>,
    agent: AgentCore,
    journal: Journal,
    starts: u8,
    connection: Option<ConnectionId>,
    connections: u64,
    network: Vec<Frame>,
    /// The command whose process runs on the host.
    running: Option<(CommandId, Op)>,
    ended: BTreeMap<CommandId, i32>,
    executions: BTreeMap<CommandId, u8>,
    system: u8,
    asked: u8,
    budget: Budget,
    wrong: Option<&'static str>,
}

impl World {
    /// What decides the future; versions and events are left out.
    fn essence(&self) -> String {
        let host = HOST.parse().ok().and_then(|id| self.fleet.host(&id));
        format!(
            "{:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{:?}",
            self.now,
            self.stored.commands,
            host,
            self.fleet.poll_timeout(),
            self.agent,
            self.connection,
            self.network,
            self.running,
            self.ended,
            self.executions,
            self.asked,
            self.budget,
            self.wrong,
        )
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.wrong.unwrap_or("fine"), self.phases)
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.essence() == other.essence()
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.essence().hash(state);
    }
}

fn fleet_config() -> FleetConfig {
    let ever = Duration::from_secs(1_000_000_000);
    FleetConfig {
        server_version: "4.0.0".into(),
        agent_version: "4.0.0".into(),
        remote: RemotePolicy {
            ttl: ever,
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

fn agent_config(start: u8) -> AgentConfig {
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
        // Signs of life are not what is checked here, so they are put beyond every deadline.
        interval: Duration::from_secs(1_000_000),
        flake_updates: None,
        instance_id: format!("start-{start}").parse().unwrap(),
        boot_id: Some("boot".parse().unwrap()),
        machine_id_hash: None,
        seed: 1,
    }
}

fn commit() -> CommitId {
    "a".repeat(40).parse().unwrap()
}

impl World {
    fn new(budget: Budget) -> Self {
        let now = Timestamp::from_seconds(1_000_000);
        let (fleet, effects) = Fleet::restore(fleet_config(), Snapshot::default(), now);
        let (agent, agent_effects) = AgentCore::start(agent_config(0), Journal::default(), now);
        let mut world = Self {
            now,
            fleet,
            stored: Snapshot::default(),
            phases: BTreeMap::new(),
            agent,
            journal: Journal::default(),
            starts: 0,
            connection: None,
            connections: 0,
            network: Vec::new(),
            running: None,
            ended: BTreeMap::new(),
            executions: BTreeMap::new(),
            system: 0,
            asked: 0,
            budget,
            wrong: None,
        };
        world.server_effects(effects);
        let snapshot = Desired {
            commit: Ok(commit()),
            lock: Ok(nixfleet_core::lock_hash(b"a")),
            subject: None,
            commit_time: None,
            branch: None,
            rewritten: false,
        };
        world.server(Input::Read(Box::new(Ok(Reading {
            snapshot,
            history: None,
        }))));
        world.agent_effects(agent_effects);
        while !world.network.is_empty() {
            world.deliver(0);
        }
        world
    }

    fn observe(&self) -> AgentObservation {
        let repo = Repo {
            commit: commit().into(),
            lock: LockReport::Hash(nixfleet_core::lock_hash(b"a")),
            dirty: false,
        };
        let path = format!("/system/{}", self.system).parse().ok();
        AgentObservation {
            repo: Some(repo),
            system: RunningSystem {
                path,
                ..RunningSystem::default()
            },
            ..AgentObservation::default()
        }
    }

    fn server(&mut self, input: Input) {
        let effects = self.fleet.handle(input, self.now);
        self.server_effects(effects);
    }

    fn server_effects(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist(record) => self.store(*record),
                Effect::Send {
                    connection, order, ..
                } => {
                    if self.connection == Some(connection) {
                        let frame = Box::new(ServerFrame::from(*order));
                        self.network.push(Frame::Down(connection, frame));
                    }
                }
                Effect::Close { connection, .. } => {
                    if self.connection == Some(connection) {
                        self.cut();
                    }
                }
                Effect::Publish(_)
                | Effect::Reply { .. }
                | Effect::ReadRemote
                | Effect::Forge(_)
                | Effect::Notify(_) => {}
            }
        }
    }

    fn store(&mut self, record: Record) {
        match record {
            Record::Host(host) => self.stored.hosts = vec![host],
            Record::Command(command) => self.store_command(command),
            Record::Remote(watch) => self.stored.remote = Some(watch),
            Record::Version(version) => self.stored.version = version,
            Record::HostRemoved(_)
            | Record::Event(_)
            | Record::Audit(_)
            | Record::Rollout(_)
            | Record::Settings(_)
            | Record::Update(_) => {}
        }
    }

    fn store_command(&mut self, command: Command) {
        let before = self.phases.insert(command.id, command.phase);
        if before.is_some_and(|phase| phase.is_terminal() && phase != command.phase) {
            self.wrong = Some("a terminal command changed");
        }
        if command.phase.is_terminal() == command.deadline.is_some() {
            self.wrong = Some("a live command without a deadline, or an ended one with one");
        }
        if command.phase == Phase::Success && self.ended.get(&command.id) != Some(&0) {
            self.wrong = Some("success without proof");
        }
        self.stored.commands.retain(|own| own.id != command.id);
        self.stored.commands.push(command);
        self.stored.commands.sort_by_key(|own| own.id);
        let active = self
            .stored
            .commands
            .iter()
            .filter(|own| own.phase.is_active());
        if active.count() > 1 {
            self.wrong = Some("two active commands");
        }
    }

    fn agent(&mut self, input: AgentInput) {
        let effects = self.agent.handle(input, self.now);
        self.agent_effects(effects);
    }

    fn agent_effects(&mut self, effects: Vec<AgentEffect>) {
        for effect in effects {
            match effect {
                AgentEffect::Journal(entry) => self.journal.apply(&entry),
                AgentEffect::Spawn { command, op, .. } => self.spawn(command, op),
                AgentEffect::Attach { command, .. } => self.attach(command),
                AgentEffect::Terminate(id) | AgentEffect::Kill(id) => {
                    if self
                        .running
                        .take_if(|(running, _)| *running == id)
                        .is_some()
                    {
                        self.finish(id, JobExit::Signal(15));
                    }
                }
                AgentEffect::Send(frame) => {
                    // A frame that is already on its way need not be there twice.
                    if let Some(connection) = self.connection {
                        let frame = Frame::Up(connection, frame);
                        if !self.network.contains(&frame) {
                            self.network.push(frame);
                        }
                    }
                }
                AgentEffect::Observe => {
                    let seen = self.observe();
                    self.agent(AgentInput::Observed(seen));
                }
                AgentEffect::Connect => {
                    self.connections += 1;
                    self.connection = Some(ConnectionId(self.connections));
                    let seen = self.observe();
                    self.agent(AgentInput::Connected(seen));
                }
                AgentEffect::Close => self.cut(),
                AgentEffect::RestartSelf | AgentEffect::Reboot(_) => {}
            }
        }
    }

    fn spawn(&mut self, id: CommandId, op: Op) {
        let times = self.executions.entry(id).or_default();
        *times += 1;
        if *times > 1 {
            self.wrong = Some("a command was executed twice");
        }
        if self.running.is_some() {
            self.wrong = Some("two processes at once");
        }
        if self
            .phases
            .get(&id)
            .is_some_and(|phase| phase.is_terminal())
        {
            self.wrong = Some("a command started after the server called it ended");
        }
        self.running = Some((id, op));
    }

    /// The process outlives the agent; if it ended meanwhile, its supervisor left the exit.
    fn attach(&mut self, id: CommandId) {
        let exit = match (self.running, self.ended.get(&id)) {
            (Some((running, _)), _) if running == id => return,
            (_, Some(code)) => JobExit::Code(*code),
            (_, None) => JobExit::Interrupted,
        };
        self.finish(id, exit);
    }

    fn finish(&mut self, command: CommandId, exit: JobExit) {
        let mut before = self.observe();
        if exit == JobExit::Code(0) {
            before.system.path = "/system/earlier".parse().ok();
        }
        let after = self.observe();
        let report = JobReport {
            at_start: Some(Sighting::from(&before)),
            at_end: Some(Sighting::from(&after)),
            ..JobReport::bare(exit, after)
        };
        self.agent(AgentInput::JobFinished {
            command,
            report: Box::new(report),
        });
    }

    fn end(&mut self, well: bool) {
        let Some((id, op)) = self.running.take() else {
            return;
        };
        if well && op.is_deploy() {
            self.system += 1;
        }
        let code = i32::from(!well);
        self.ended.insert(id, code);
        self.finish(id, JobExit::Code(code));
    }

    fn cut(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        self.network.clear();
        self.server(Input::Disconnected { connection });
        self.agent(AgentInput::Disconnected);
    }

    fn deliver(&mut self, index: usize) {
        match self.network.remove(index) {
            Frame::Up(connection, frame) if self.connection == Some(connection) => {
                let text = serde_json::to_string(&frame).unwrap();
                let host = self
                    .fleet
                    .host_of(connection)
                    .and_then(|id| self.fleet.host(id));
                let identity = host.map(|host| host.identity.clone()).unwrap_or_default();
                let frame = decode_agent_frame(&text).unwrap();
                if let Some(report) = agent_message(frame, &identity).unwrap() {
                    self.server(Input::Agent {
                        connection,
                        bound: None,
                        report,
                    });
                }
            }
            Frame::Down(connection, frame) if self.connection == Some(connection) => {
                let fresh_id = CommandId::from_bytes([255; 16]);
                let order = server_order(*frame);
                self.agent(AgentInput::Order { order, fresh_id });
            }
            Frame::Up(..) | Frame::Down(..) => {}
        }
    }

    fn next_due(&self) -> Option<Timestamp> {
        [self.fleet.poll_timeout(), self.agent.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    fn tick(&mut self) {
        let Some(due) = self.next_due() else { return };
        self.now = self.now.max(due);
        if self.fleet.poll_timeout().is_some_and(|at| at <= self.now) {
            let effects = self.fleet.handle_timeout(self.now);
            self.server_effects(effects);
        }
        if self.agent.poll_timeout().is_some_and(|at| at <= self.now) {
            let effects = self.agent.handle_timeout(self.now);
            self.agent_effects(effects);
        }
    }

    fn all_ended(&self) -> bool {
        self.phases.values().all(|phase| phase.is_terminal())
    }
}

impl Model for Lifecycle {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.budget)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let left = &world.budget;
        if left.commands > 0 && world.all_ended() {
            actions.push(Action::Ask);
        }
        for index in 0..world.network.len() {
            if index == 0 || left.reordered > 0 {
                actions.push(Action::Deliver(index));
            }
            if left.lost > 0 {
                actions.push(Action::Lose(index));
            }
            if left.doubled > 0 {
                actions.push(Action::Double(index));
            }
        }
        if world.running.is_some() {
            actions.extend([true, false].map(|well| Action::End { well }));
        }
        // Once everything has ended, frames may still arrive late, but the passing of time changes
        // nothing. The bound on moments keeps the space finite: unanswered, the agent reconnects
        // and resends for ever.
        let live = world.asked > 0 && (!world.all_ended() || world.running.is_some());
        if live && left.moments > 0 {
            actions.push(Action::Tick);
        }
        let busy = world.asked > 0 && !world.all_ended();
        let faults = [
            (left.agent_crashes, Action::CrashAgent),
            (left.server_crashes, Action::CrashServer),
            (left.cuts, Action::Cut),
            (left.kills, Action::Kill),
        ];
        actions.extend(
            faults
                .into_iter()
                .filter(|(left, _)| *left > 0 && busy)
                .map(|(_, fault)| fault),
        );
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        let left = &mut next.budget;
        match action {
            Action::Ask => {
                left.commands -= 1;
                next.asked += 1;
                let id = CommandId::from_bytes([next.asked; 16]);
                let mut dispatch = Dispatch::new(self.op, vec![(HOST.parse().unwrap(), id)]);
                dispatch.force = true;
                let request = Request::Dispatch(dispatch);
                let actor = Actor::Person("admin".into());
                next.server(Input::Request {
                    id: RequestId(1),
                    actor,
                    request,
                });
            }
            Action::Deliver(index) => {
                if index > 0 {
                    left.reordered -= 1;
                }
                next.deliver(index);
            }
            Action::Lose(index) => {
                left.lost -= 1;
                next.network.remove(index);
            }
            Action::Double(index) => {
                left.doubled -= 1;
                let copy = next.network[index].clone();
                next.network.insert(index, copy);
            }
            Action::End { well } => next.end(well),
            Action::Tick => {
                left.moments -= 1;
                next.tick();
            }
            Action::CrashAgent => {
                left.agent_crashes -= 1;
                next.cut();
                next.starts += 1;
                if self.mutant == Mutant::NoJournal {
                    next.journal = Journal::default();
                }
                let config = agent_config(next.starts);
                let (agent, effects) = AgentCore::start(config, next.journal.clone(), next.now);
                next.agent = agent;
                next.agent_effects(effects);
            }
            Action::CrashServer => {
                left.server_crashes -= 1;
                next.connection = None;
                next.network.clear();
                next.agent(AgentInput::Disconnected);
                let (fleet, effects) =
                    Fleet::restore(fleet_config(), next.stored.clone(), next.now);
                next.fleet = fleet;
                next.server_effects(effects);
            }
            Action::Cut => {
                left.cuts -= 1;
                next.cut();
            }
            Action::Kill => {
                left.kills -= 1;
                let host = HOST.parse().unwrap();
                let request = Request::Stop {
                    host,
                    command: None,
                    signal: Signal::Term,
                };
                let actor = Actor::Person("admin".into());
                next.server(Input::Request {
                    id: RequestId(2),
                    actor,
                    request,
                });
            }
        }
        if self.mutant == Mutant::NoLease {
            for frame in &mut next.network {
                if let Frame::Down(_, frame) = frame
                    && let ServerFrame::Command(command) = &mut **frame
                {
                    command.not_after = None;
                }
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("every law holds", |_, world: &World| world.wrong.is_none()),
            Property::sometimes("success is reached", |_, world: &World| {
                world.phases.values().any(|phase| *phase == Phase::Success)
            }),
            Property::sometimes("an error is reached", |_, world: &World| {
                world.phases.values().any(|phase| *phase == Phase::Error)
            }),
        ]
    }
}

const EVERYTHING: Budget = Budget {
    commands: 1,
    lost: 1,
    doubled: 1,
    reordered: 1,
    agent_crashes: 1,
    server_crashes: 1,
    cuts: 1,
    kills: 1,
    moments: 24,
};

const NOTHING: Budget = Budget {
    commands: 1,
    lost: 0,
    doubled: 0,
    reordered: 0,
    agent_crashes: 0,
    server_crashes: 0,
    cuts: 0,
    kills: 0,
    moments: 6,
};

/// All schedules of up to this many steps in the short form, and all there are in the long one.
const SHORT_DEPTH: usize = 11;

fn check(name: &str, op: Op, budget: Budget) {
    let model = Lifecycle {
        op,
        budget,
        mutant: Mutant::None,
    };
    let depth = if is_long() { usize::MAX } else { SHORT_DEPTH };
    let builder = model.checker().threads(2).target_max_depth(depth);
    let checker = builder.spawn_bfs().join();
    let (states, unique) = (checker.state_count(), checker.unique_state_count());
    let text = format!("model, {name}: {unique} states, {states} steps (depth {depth})");
    let id = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    counted(
        &format!("model-{id}"),
        &text.replace(&usize::MAX.to_string(), "unbounded"),
    );
    if let Some(path) = checker.discovery("every law holds") {
        let wrong = path.last_state().wrong;
        panic!("{wrong:?} after {:?}", path.into_actions());
    }
    checker.assert_any_discovery("success is reached");
    checker.assert_any_discovery("an error is reached");
}

#[expect(
    clippy::disallowed_methods,
    reason = "a person may ask for the long form"
)]
fn is_long() -> bool {
    std::env::var("NIXFLEET_MODEL").is_ok_and(|text| text == "long")
}

/// The short form for every push; `NIXFLEET_MODEL=long` allows everything at once.
fn short(budget: Budget) -> Budget {
    if is_long() {
        Budget {
            commands: budget.commands,
            ..EVERYTHING
        }
    } else {
        budget
    }
}

#[test]
fn model_one_pull_with_crashes_of_both_sides() {
    let budget = Budget {
        agent_crashes: 1,
        server_crashes: 1,
        ..NOTHING
    };
    check("one pull, both sides crash", Op::Pull, short(budget));
}

#[test]
fn model_one_pull_on_a_bad_network() {
    let budget = Budget {
        lost: 1,
        doubled: 1,
        cuts: 1,
        ..NOTHING
    };
    check("one pull, frames lost and doubled", Op::Pull, short(budget));
}

#[test]
fn model_one_switch_stopped_and_interrupted() {
    let budget = Budget {
        agent_crashes: 1,
        kills: 1,
        cuts: 1,
        ..NOTHING
    };
    check("one switch, stopped", Op::Switch, short(budget));
}

#[test]
fn model_two_commands_after_each_other() {
    let budget = Budget {
        commands: 2,
        doubled: 1,
        ..NOTHING
    };
    check("two pulls, frames doubled", Op::Pull, short(budget));
}

#[test]
fn model_catches_a_protocol_without_leases() {
    let budget = Budget { cuts: 1, ..NOTHING };
    let caught = mutant(Op::Pull, budget, Mutant::NoLease);
    println!("without leases, caught after {caught} steps");
}

#[test]
fn model_catches_an_agent_without_a_journal() {
    let budget = Budget {
        agent_crashes: 1,
        doubled: 1,
        ..NOTHING
    };
    let caught = mutant(Op::Pull, budget, Mutant::NoJournal);
    println!("without a journal, caught after {caught} steps");
}

/// After how many steps the fault is found.
fn mutant(op: Op, budget: Budget, mutant: Mutant) -> usize {
    let checker = Lifecycle { op, budget, mutant }
        .checker()
        .threads(2)
        .spawn_bfs()
        .join();
    let found = checker.discovery("every law holds");
    found
        .expect("the mutant must be caught")
        .into_actions()
        .len()
}
