//! Server, hosts, clients and the lines between them, in virtual time, driven by one seed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use nixfleet_core::agent::{AgentCore, AgentEffect, AgentInput, JobExit, JobReport, Journal};
use nixfleet_core::desired::{RemoteCause, RemotePolicy, Snapshot as Desired, Unavailable};
use nixfleet_core::fleet::{
    Dispatch, Effect, Fleet, FleetConfig, Input, Reading, Record, Request, RequestId, Snapshot,
};
use nixfleet_core::host::Actor;
use nixfleet_core::lifecycle::Signal;
use nixfleet_core::sync::{
    ClientMessage, Delta, Replica, ReplicaStep, ServerMessage, frame, parts,
};
use nixfleet_core::wire::agent::{AgentFrame, ServerFrame};
use nixfleet_core::wire::{agent_message, decode_agent_frame, decode_server_frame, server_order};
use nixfleet_core::{CommandId, ConnectionId, Op, Timestamp};

use crate::witness::Witness;

use super::machine::{Machine, commit, lock};
use super::rng::Rng;

/// A deliberate fault of the product that the checkers must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// No fault.
    None,
    /// The agent's disk forgets its journal in a crash.
    ForgetfulAgent,
    /// The server publishes and sends before it stores, and a crash comes between.
    SendsBeforeStoring,
}

/// One line between an agent and the server. Frames arrive in order unless a fault says otherwise.
struct Line {
    machine: usize,
    up: VecDeque<(Timestamp, String)>,
    down: VecDeque<(Timestamp, String)>,
}

pub struct World {
    pub rng: Rng,
    pub now: Timestamp,
    pub fleet: Option<Fleet>,
    pub stored: Snapshot,
    /// Every command that was ever durable.
    pub journaled: std::collections::BTreeSet<CommandId>,
    pub machines: Vec<Machine>,
    lines: BTreeMap<ConnectionId, Line>,
    connection_of: BTreeMap<usize, ConnectionId>,
    connections: u64,
    pub replicas: Vec<Replica>,
    /// A client on a channel without faults.
    pub witness: Witness,
    to_clients: Vec<VecDeque<ServerMessage>>,
    asked: Vec<bool>,
    ids: u64,
    /// What the branch is at, and whether it can be read.
    pub remote: u64,
    pub remote_up: bool,
    pub faults: bool,
    canary: Canary,
    pub dispatched: u64,
    next_read: Timestamp,
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

impl World {
    pub fn new(seed: u64, hosts: usize, clients: usize, canary: Canary) -> Self {
        let now = Timestamp::from_seconds(1_000_000);
        let mut world = Self {
            rng: Rng::new(seed),
            now,
            fleet: None,
            stored: Snapshot::default(),
            journaled: std::collections::BTreeSet::new(),
            machines: (0..hosts)
                .map(|n| Machine::new(&format!("host-{n}")))
                .collect(),
            lines: BTreeMap::new(),
            connection_of: BTreeMap::new(),
            connections: 0,
            replicas: (0..clients).map(|_| Replica::new()).collect(),
            witness: Witness::default(),
            to_clients: (0..clients).map(|_| VecDeque::new()).collect(),
            asked: vec![false; clients],
            ids: 0,
            remote: 1,
            remote_up: true,
            faults: true,
            canary,
            dispatched: 0,
            next_read: now,
        };
        world.start_server();
        for machine in 0..hosts {
            world.start_agent(machine);
        }
        world
    }

    // ---- the server ----

    pub fn start_server(&mut self) {
        let (fleet, effects) = Fleet::restore(config(), self.stored.clone(), self.now);
        self.witness.connect(&fleet);
        self.fleet = Some(fleet);
        self.server_effects(effects);
        let Some(fleet) = self.fleet.as_ref() else {
            return;
        };
        let full = parts(fleet.version(), fleet.sync().state());
        for queue in &mut self.to_clients {
            queue.clear();
            queue.extend(
                full.iter()
                    .cloned()
                    .map(|part| ServerMessage::Init(Box::new(part))),
            );
        }
    }

    pub fn crash_server(&mut self) {
        self.fleet = None;
        let connections: Vec<_> = self.lines.keys().copied().collect();
        for connection in connections {
            // What had left the server may still arrive.
            while self.rng.one_in(2)
                && let Some(line) = self.lines.get_mut(&connection)
                && let Some((_, text)) = line.down.pop_front()
            {
                let machine = line.machine;
                let order = server_order(decode_server_frame(&text).unwrap());
                let fresh_id = self.fresh_id();
                self.agent(machine, AgentInput::Order { order, fresh_id });
            }
            self.cut(connection);
        }
    }

    fn server(&mut self, input: Input) {
        let Some(fleet) = self.fleet.as_mut() else {
            return;
        };
        let effects = fleet.handle(input, self.now);
        self.witness.see(&effects, fleet);
        self.server_effects(effects);
    }

    /// Performs effects in order. With faults, the server may crash between any two of them; all
    /// records of one call are one transaction.
    fn server_effects(&mut self, mut effects: Vec<Effect>) {
        if self.canary == Canary::SendsBeforeStoring {
            effects.sort_by_key(|effect| matches!(effect, Effect::Persist(_)));
        }
        let mut transaction = Vec::new();
        let mut deltas: Vec<std::sync::Arc<Delta>> = Vec::new();
        let rarely = if self.canary == Canary::SendsBeforeStoring {
            20
        } else {
            400
        };
        let crash_after = (self.faults && self.rng.one_in(rarely))
            .then(|| self.rng.below(effects.len() as u64 + 1));
        for (position, effect) in (0u64..).zip(effects) {
            if !matches!(effect, Effect::Persist(_)) {
                self.commit(&mut transaction);
            }
            if crash_after == Some(position) {
                self.crash_server();
                return;
            }
            match effect {
                Effect::Persist(record) => transaction.push(*record),
                Effect::Send {
                    connection,
                    order,
                    command,
                } => self.send_down(connection, command, &(*order).into()),
                Effect::Close { connection, .. } => self.cut(connection),
                Effect::Publish(delta) => deltas.push(delta),
                Effect::Reply { .. } => {}
                Effect::ReadRemote => self.next_read = self.now,
                Effect::Forge(_) | Effect::Notify(_) => {}
            }
        }
        self.commit(&mut transaction);
        if let Some(message) = frame(&deltas) {
            for queue in &mut self.to_clients {
                queue.push_back(message.clone());
            }
        }
    }

    fn commit(&mut self, transaction: &mut Vec<Record>) {
        for record in &*transaction {
            if let Record::Command(command) = record {
                self.journaled.insert(command.id);
            }
        }
        self.stored.commit(transaction.drain(..));
    }

    pub fn dispatch(&mut self, op: Op, machine: usize, force: bool) {
        let id = self.fresh_id();
        let host = self.machines[machine].name.parse().unwrap();
        let mut dispatch = Dispatch::new(op, vec![(host, id)]);
        dispatch.force = force;
        dispatch.queue = self.rng.one_in(4);
        self.dispatched += 1;
        let actor = Actor::Person("admin".into());
        self.server(Input::Request {
            id: RequestId(1),
            actor,
            request: Request::Dispatch(dispatch),
        });
    }

    pub fn stop(&mut self, machine: usize) {
        let host = self.machines[machine].name.parse().unwrap();
        let request = Request::Stop {
            host,
            command: None,
            signal: Signal::Term,
        };
        self.server(Input::Request {
            id: RequestId(2),
            actor: Actor::Person("admin".into()),
            request,
        });
    }

    fn read_remote(&mut self) {
        let result = if self.remote_up {
            let snapshot = Desired {
                commit: Ok(commit(self.remote)),
                lock: Ok(lock(self.remote)),
                subject: None,
                commit_time: None,
                branch: None,
                rewritten: false,
            };
            Ok(Reading {
                snapshot,
                history: None,
            })
        } else {
            Err(Unavailable::new(RemoteCause::Unreachable, "cut"))
        };
        self.server(Input::Read(Box::new(result)));
    }

    // ---- the agents ----

    pub fn start_agent(&mut self, machine: usize) {
        let host = &mut self.machines[machine];
        if host.agent.is_some() {
            return;
        }
        let config = host.config();
        if self.canary == Canary::ForgetfulAgent {
            host.journal = Journal::default();
        }
        for job in host.jobs.values_mut() {
            job.reported = false;
        }
        let (agent, effects) = AgentCore::start(config, host.journal.clone(), self.now);
        host.agent = Some(agent);
        self.agent_effects(machine, effects);
    }

    pub fn crash_agent(&mut self, machine: usize) {
        self.machines[machine].agent = None;
        if let Some(connection) = self.connection_of.get(&machine).copied() {
            self.cut(connection);
        }
    }

    fn agent(&mut self, machine: usize, input: AgentInput) {
        let now = self.now;
        let Some(agent) = self.machines[machine].agent.as_mut() else {
            return;
        };
        let effects = agent.handle(input, now);
        self.agent_effects(machine, effects);
    }

    fn agent_effects(&mut self, machine: usize, effects: Vec<AgentEffect>) {
        for effect in effects {
            if self.faults && self.rng.one_in(600) {
                self.crash_agent(machine);
            }
            if self.machines[machine].agent.is_none() {
                return;
            }
            match effect {
                AgentEffect::Journal(entry) => self.machines[machine].journal.apply(&entry),
                AgentEffect::Spawn {
                    command,
                    op,
                    target,
                    ..
                } => {
                    let target =
                        target.and_then(|t| u64::from_str_radix(&t.commit.to_string(), 16).ok());
                    let ends = self.now + Duration::from_secs(1 + self.rng.below(90));
                    self.machines[machine].spawn(command, op, target, ends);
                }
                AgentEffect::Attach { command, .. } => {
                    if !self.machines[machine].jobs.contains_key(&command) {
                        let after = self.machines[machine].observe();
                        let report = JobReport::bare(JobExit::Interrupted, after);
                        self.agent(
                            machine,
                            AgentInput::JobFinished {
                                command,
                                report: Box::new(report),
                            },
                        );
                    }
                }
                AgentEffect::Terminate(id) | AgentEffect::Kill(id) => {
                    self.machines[machine].kill(id)
                }
                AgentEffect::Send(frame) => self.send_up(machine, &frame),
                AgentEffect::Observe => {
                    let seen = self.machines[machine].observe();
                    self.agent(machine, AgentInput::Observed(seen));
                }
                AgentEffect::Connect => self.connect(machine),
                AgentEffect::Close => {
                    if let Some(connection) = self.connection_of.get(&machine).copied() {
                        self.cut(connection);
                    }
                }
                AgentEffect::RestartSelf => {
                    self.crash_agent(machine);
                    self.start_agent(machine);
                    return;
                }
                AgentEffect::Reboot(_) => {
                    self.machines[machine].boots += 1;
                    self.crash_agent(machine);
                    return;
                }
            }
        }
    }

    // ---- the lines ----

    fn connect(&mut self, machine: usize) {
        if self.fleet.is_none() || (self.faults && self.rng.one_in(5)) {
            return self.agent(machine, AgentInput::Disconnected);
        }
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        self.lines.insert(
            connection,
            Line {
                machine,
                up: VecDeque::new(),
                down: VecDeque::new(),
            },
        );
        self.connection_of.insert(machine, connection);
        let seen = self.machines[machine].observe();
        self.agent(machine, AgentInput::Connected(seen));
    }

    pub fn cut(&mut self, connection: ConnectionId) {
        let Some(line) = self.lines.remove(&connection) else {
            return;
        };
        if self.connection_of.get(&line.machine) == Some(&connection) {
            self.connection_of.remove(&line.machine);
            self.agent(line.machine, AgentInput::Disconnected);
        }
        self.server(Input::Disconnected { connection });
    }

    pub fn cut_machine(&mut self, machine: usize) {
        if let Some(connection) = self.connection_of.get(&machine).copied() {
            self.cut(connection);
        }
    }

    fn arrival(&mut self) -> Timestamp {
        let late = if self.faults && self.rng.one_in(50) {
            self.rng.below(20_000)
        } else {
            self.rng.below(50)
        };
        self.now + Duration::from_millis(late)
    }

    fn send_up(&mut self, machine: usize, frame: &AgentFrame) {
        let at = self.arrival();
        let text = serde_json::to_string(frame).unwrap();
        if let Some(line) = self
            .connection_of
            .get(&machine)
            .and_then(|c| self.lines.get_mut(c))
        {
            line.up.push_back((at, text));
        }
    }

    fn send_down(
        &mut self,
        connection: ConnectionId,
        command: Option<CommandId>,
        frame: &ServerFrame,
    ) {
        let at = self.arrival();
        let text = serde_json::to_string(frame).unwrap();
        match self.lines.get_mut(&connection) {
            Some(line) => line.down.push_back((at, text)),
            None => {
                if let Some(command) = command {
                    let why = "gone".to_owned();
                    self.server(Input::SendFailed {
                        command,
                        nothing_left: true,
                        why,
                    });
                }
            }
        }
    }

    /// Delivers what has arrived. With faults, frames are lost, doubled and reordered.
    fn deliver(&mut self) {
        let connections: Vec<_> = self.lines.keys().copied().collect();
        for connection in connections {
            while let Some((text, up, machine)) = self.next_frame(connection) {
                let copies = match () {
                    () if self.faults && self.rng.one_in(100) => 0,
                    () if self.faults && self.rng.one_in(60) => 2,
                    () => 1,
                };
                for _ in 0..copies {
                    if up {
                        self.arrive_up(connection, &text);
                    } else {
                        let order = server_order(decode_server_frame(&text).unwrap());
                        let fresh_id = self.fresh_id();
                        self.agent(machine, AgentInput::Order { order, fresh_id });
                    }
                }
            }
        }
    }

    fn next_frame(&mut self, connection: ConnectionId) -> Option<(String, bool, usize)> {
        let reorder = self.faults && self.rng.one_in(80);
        let now = self.now;
        let line = self.lines.get_mut(&connection)?;
        for (up, queue) in [(true, &mut line.up), (false, &mut line.down)] {
            if reorder && queue.len() > 1 {
                queue.swap(0, 1);
            }
            if queue.front().is_some_and(|(at, _)| *at <= now) {
                return queue.pop_front().map(|(_, text)| (text, up, line.machine));
            }
        }
        None
    }

    fn arrive_up(&mut self, connection: ConnectionId, text: &str) {
        let Some(fleet) = self.fleet.as_ref() else {
            return;
        };
        let host = fleet.host_of(connection).and_then(|id| fleet.host(id));
        let identity = host.map(|host| host.identity.clone()).unwrap_or_default();
        let frame = decode_agent_frame(text).unwrap();
        if let Some(report) = agent_message(frame, &identity).unwrap() {
            self.server(Input::Agent {
                connection,
                bound: None,
                report,
            });
        }
    }

    // ---- the clients ----

    fn clients(&mut self) {
        for client in 0..self.replicas.len() {
            let pending: Vec<_> = self.to_clients[client].drain(..).collect();
            for message in pending {
                let copies = match () {
                    () if self.faults && self.rng.one_in(50) => 0,
                    () if self.faults && self.rng.one_in(50) => 2,
                    () => 1,
                };
                for _ in 0..copies {
                    if self.replicas[client].apply(message.clone()) == ReplicaStep::AskForState {
                        self.asked[client] = true;
                    }
                }
            }
            if std::mem::take(&mut self.asked[client]) {
                let _question = ClientMessage::GetState;
                if let Some(fleet) = self.fleet.as_ref() {
                    let full = parts(fleet.version(), fleet.sync().state());
                    let full = full
                        .into_iter()
                        .map(|part| ServerMessage::FullState(Box::new(part)));
                    self.to_clients[client].extend(full);
                }
            }
        }
    }

    pub fn beacon(&mut self) {
        if let Some(version) = self.fleet.as_ref().map(Fleet::version) {
            for queue in &mut self.to_clients {
                queue.push_back(ServerMessage::Sync { version });
            }
        }
    }

    // ---- time ----

    /// Lets time pass and everything that is due happen.
    pub fn pass(&mut self, step: Duration) {
        self.now = self.now + step;
        if let Some(fleet) = self.fleet.as_mut()
            && fleet.poll_timeout().is_some_and(|due| due <= self.now)
        {
            let effects = fleet.handle_timeout(self.now);
            self.witness.see(&effects, fleet);
            self.server_effects(effects);
        }
        if self.next_read <= self.now {
            self.next_read = self.now + Duration::from_secs(5);
            self.read_remote();
        }
        for machine in 0..self.machines.len() {
            self.machine_time(machine);
        }
        self.deliver();
        self.clients();
    }

    fn machine_time(&mut self, machine: usize) {
        let now = self.now;
        let due: Vec<_> = self.machines[machine]
            .jobs
            .iter()
            .filter(|(_, job)| job.exit.is_none() && job.ends <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let well = !self.rng.one_in(5);
            self.machines[machine].end(id, well);
        }
        let jobs: Vec<_> = self.machines[machine].jobs.keys().copied().collect();
        for command in jobs {
            if self.machines[machine].agent.is_none() {
                break;
            }
            if let Some(report) = self.machines[machine].report(command) {
                self.agent(
                    machine,
                    AgentInput::JobFinished {
                        command,
                        report: Box::new(report),
                    },
                );
            }
        }
        if let Some(agent) = self.machines[machine].agent.as_mut()
            && agent.poll_timeout().is_some_and(|due| due <= now)
        {
            let effects = agent.handle_timeout(now);
            self.agent_effects(machine, effects);
        }
    }

    fn fresh_id(&mut self) -> CommandId {
        self.ids += 1;
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&self.ids.to_be_bytes());
        CommandId::from_bytes(bytes)
    }
}
