//! The real fleet with real agents on simulated hosts, without faults but for crashes of the
//! server, in virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use nixfleet_core::agent::{AgentConfig, AgentCore, AgentEffect, AgentInput, JobExit};
use nixfleet_core::desired::{RemotePolicy, Snapshot as Desired};
use nixfleet_core::fleet::{
    AuditRecord, Dispatch, Effect, Fleet, FleetConfig, Input, Reading, Record, Reply, Request,
    RequestId, Snapshot,
};
use nixfleet_core::host::Actor;
use nixfleet_core::lifecycle::Target;
use nixfleet_core::notice::Notice;
use nixfleet_core::rollout::{Ask, Rollout, RolloutState, Targets, Verb};
use nixfleet_core::sync::{Deltas, Replica, ServerMessage, parts};
use nixfleet_core::update::{
    Containment, ForgeAnswer, ForgeCall, MergeAnswer, PrNumber, PrState, PullRequest, RevertAnswer,
    UpdatePolicy,
};
use nixfleet_core::wire::agent::{AgentFrame, ServerFrame};
use nixfleet_core::wire::{agent_message, decode_agent_frame, decode_server_frame, server_order};
use nixfleet_core::{CommandId, CommitId, ConnectionId, HostId, Op, RolloutId, Timestamp};

use crate::simulation::machine::{Machine, commit, lock};
use crate::update::pull_requests::benign;

pub const ROLLOUT: RolloutId = RolloutId::from_bytes([9; 16]);
pub const BEGIN: Timestamp = Timestamp::from_seconds(1_800_000_000);

pub fn host(index: usize) -> HostId {
    format!("host-{index}").parse().unwrap()
}

pub fn target(number: u64) -> Target {
    Target {
        commit: commit(number),
        lock: Some(lock(number)),
    }
}

fn config(tests_after_switch: bool, updates: Option<UpdatePolicy>) -> FleetConfig {
    FleetConfig {
        server_version: "4.0.0".into(),
        agent_version: "4.0.0".into(),
        remote: RemotePolicy {
            ttl: Duration::from_secs(30 * 24 * 3600),
            grace: Duration::ZERO,
        },
        remote_configured: true,
        store_intact: true,
        host_driven: false,
        offline_notice: None,
        updates,
        tests_after_switch,
    }
}

/// How long a command takes.
pub fn takes(op: Op) -> Duration {
    let seconds = [(Op::Pull, 20), (Op::Switch, 60), (Op::Test, 30)];
    let own = seconds.iter().find(|(own, _)| *own == op);
    Duration::from_secs(own.map_or(10, |(_, seconds)| *seconds))
}

/// Newer than the first one, and as good.
fn second_pull_request() -> PullRequest {
    let pr = benign();
    PullRequest {
        number: PrNumber(43),
        created_at: pr.created_at + Duration::from_secs(60),
        ..pr
    }
}

pub struct Field {
    pub now: Timestamp,
    pub fleet: Fleet,
    pub stored: Snapshot,
    pub machines: Vec<Machine>,
    pub replica: Replica,
    pub replies: Vec<Reply>,
    pub notices: Vec<Notice>,
    pub audit: Vec<AuditRecord>,
    /// Every command that an agent really started.
    pub spawned: Vec<(Timestamp, HostId, Op, CommandId)>,
    /// Every frame that starts a command.
    pub frames: Vec<(Timestamp, HostId, Op, CommandId, Option<Target>)>,
    /// What fails.
    pub fails: BTreeSet<(usize, Op)>,
    /// What goes well, but leaves units failed.
    pub degrades: BTreeSet<(usize, Op)>,
    /// What takes another time than usual.
    pub slow: BTreeMap<(usize, Op), Duration>,
    /// Who cannot connect.
    pub away: BTreeSet<usize>,
    /// Calls of the fleet so far, and the one after whose storing the server crashes.
    pub calls: usize,
    pub crash_at: Option<usize>,
    /// Merges that the forge made, and reverts.
    pub merged: Vec<ForgeCall>,
    pub reverted: Vec<ForgeCall>,
    /// Whether the forge lists a second, newer pull request.
    pub second: bool,
    /// Pull requests about which the forge does not answer.
    pub mute: BTreeSet<PrNumber>,
    /// Heads, and commits that they contain by the forge's word.
    pub contains: Vec<(CommitId, CommitId)>,
    tests_after_switch: bool,
    pub updates: Option<UpdatePolicy>,
    remote: u64,
    connection_of: BTreeMap<usize, ConnectionId>,
    connections: u64,
    inbox: VecDeque<Input>,
    settling: bool,
    ids: u8,
}

impl Field {
    pub fn new(hosts: usize) -> Self {
        Self::with(hosts, None, false)
    }

    pub fn with(hosts: usize, crash_at: Option<usize>, tests_after_switch: bool) -> Self {
        Self::made(hosts, crash_at, tests_after_switch, None)
    }

    /// With a forge that has this pull request.
    pub fn with_forge(hosts: usize, crash_at: Option<usize>, policy: UpdatePolicy) -> Self {
        Self::made(hosts, crash_at, false, Some(policy))
    }

    fn made(
        hosts: usize,
        crash_at: Option<usize>,
        tests_after_switch: bool,
        updates: Option<UpdatePolicy>,
    ) -> Self {
        let stored = Snapshot::default();
        let config = config(tests_after_switch, updates.clone());
        let (fleet, effects) = Fleet::restore(config, stored.clone(), BEGIN);
        let mut field = Self {
            now: BEGIN,
            fleet,
            stored,
            machines: (0..hosts)
                .map(|n| Machine::new(&format!("host-{n}")))
                .collect(),
            replica: Replica::new(),
            replies: Vec::new(),
            notices: Vec::new(),
            audit: Vec::new(),
            spawned: Vec::new(),
            frames: Vec::new(),
            fails: BTreeSet::new(),
            degrades: BTreeSet::new(),
            slow: BTreeMap::new(),
            away: BTreeSet::new(),
            calls: 0,
            crash_at: None,
            tests_after_switch,
            updates,
            merged: Vec::new(),
            reverted: Vec::new(),
            second: false,
            mute: BTreeSet::new(),
            contains: Vec::new(),
            remote: 1,
            connection_of: BTreeMap::new(),
            connections: 0,
            inbox: VecDeque::new(),
            settling: false,
            ids: 0,
        };
        field.copy_state();
        field.effects(effects);
        field.remote(1);
        for index in 0..hosts {
            field.start_agent(index);
        }
        // Everybody runs the first commit, deployed through us.
        for index in 0..hosts {
            field.dispatch(Op::Switch, index, false).unwrap();
        }
        field.run_for(120);
        field.spawned.clear();
        field.frames.clear();
        field.notices.clear();
        field.audit.clear();
        field.calls = 0;
        field.crash_at = crash_at;
        field
    }

    fn copy_state(&mut self) {
        self.replica = Replica::new();
        for part in parts(self.fleet.version(), self.fleet.sync().state()) {
            self.replica.apply(ServerMessage::Init(Box::new(part)));
        }
    }

    pub fn start_agent(&mut self, index: usize) {
        let own = self.machines[index].config();
        let config = AgentConfig {
            interval: Duration::from_secs(60),
            ..own
        };
        let journal = self.machines[index].journal.clone();
        let (agent, effects) = AgentCore::start(config, journal, self.now);
        self.machines[index].agent = Some(agent);
        self.agent_effects(index, effects);
    }

    pub fn server(&mut self, input: Input) {
        self.inbox.push_back(input);
        if self.settling {
            return;
        }
        self.settling = true;
        while let Some(input) = self.inbox.pop_front() {
            let effects = self.fleet.handle(input, self.now);
            self.effects(effects);
        }
        self.settling = false;
    }

    /// Everything is stored before anything leaves; a crash comes between.
    fn effects(&mut self, effects: Vec<Effect>) {
        let mut records = Vec::new();
        let mut rest = Vec::new();
        for effect in effects {
            if let Effect::Persist(record) = effect {
                records.push(*record);
            } else {
                rest.push(effect);
            }
        }
        for record in &records {
            if let Record::Audit(row) = record {
                self.audit.push(row.clone());
            }
        }
        self.stored.commit(records);
        self.calls += 1;
        if self.crash_at == Some(self.calls) {
            self.crash();
            return;
        }
        for effect in rest {
            match effect {
                Effect::Persist(_) => {}
                Effect::Send {
                    connection, order, ..
                } => self.send(connection, ServerFrame::from(*order)),
                Effect::Close { connection, .. } => self.cut(connection),
                Effect::Publish(delta) => {
                    let deltas = Deltas {
                        first: delta.version,
                        changes: vec![delta.change.clone()],
                    };
                    self.replica.apply(ServerMessage::Delta(deltas));
                }
                Effect::Reply { reply, .. } => self.replies.push(reply),
                Effect::ReadRemote => {}
                Effect::Forge(call) => self.forge(call),
                Effect::Notify(notice) => self.notices.push(*notice),
            }
        }
    }

    /// A forge with a pull request whose merge is commit 2, and perhaps a second one.
    fn forge(&mut self, call: ForgeCall) {
        let asked = match &call {
            ForgeCall::List | ForgeCall::Contains { .. } => None,
            ForgeCall::Read { number }
            | ForgeCall::Merge { number, .. }
            | ForgeCall::Revert { number, .. } => Some(*number),
        };
        if asked.is_some_and(|number| self.mute.contains(&number)) {
            return;
        }
        let number = PrNumber(42);
        let mut pr = benign();
        if !self.merged.is_empty() {
            pr.state = PrState::Merged {
                commit: Some(commit(2)),
            };
        }
        let answer = match call {
            ForgeCall::List => {
                let open = (pr.state == PrState::Open).then_some(pr);
                let second = self.second.then(second_pull_request);
                ForgeAnswer::Listed(Ok(open.into_iter().chain(second).collect()))
            }
            ForgeCall::Read { number } if number == PrNumber(43) => {
                ForgeAnswer::Read(number, Ok(Some(Box::new(second_pull_request()))))
            }
            ForgeCall::Read { number } => ForgeAnswer::Read(number, Ok(Some(Box::new(pr)))),
            ForgeCall::Merge { .. } => {
                self.merged.push(call);
                let commit = commit(2);
                ForgeAnswer::Merged(number, MergeAnswer::Done { commit })
            }
            ForgeCall::Contains { commit, head } => {
                let on_branch = self.contains.contains(&(head, commit));
                let lock = Some(lock(2));
                let answer = Ok(if on_branch {
                    Containment::Contained { lock }
                } else {
                    Containment::NotContained
                });
                ForgeAnswer::Contained {
                    commit,
                    head,
                    answer,
                }
            }
            ForgeCall::Revert { .. } => {
                self.reverted.push(call);
                let url = "https://forge.example/o/config/pull/43".to_owned();
                let opened = RevertAnswer::Opened {
                    number: PrNumber(43),
                    url,
                };
                ForgeAnswer::Reverted(number, opened)
            }
        };
        self.server(Input::Forge(answer));
    }

    fn send(&mut self, connection: ConnectionId, frame: ServerFrame) {
        let mut found = self
            .connection_of
            .iter()
            .filter(|(_, own)| **own == connection);
        let Some(index) = found.next().map(|(index, _)| *index) else {
            return;
        };
        if let ServerFrame::Command(command) = &frame {
            let id = command.command_id.as_ref().unwrap().parse().unwrap();
            let op = Op::named(&command.command).unwrap();
            let target = self.fleet.command(id).and_then(|command| command.target);
            self.frames.push((self.now, host(index), op, id, target));
        }
        let text = serde_json::to_string(&frame).unwrap();
        let order = server_order(decode_server_frame(&text).unwrap());
        let fresh_id = self.fresh_id();
        self.agent(index, AgentInput::Order { order, fresh_id });
    }

    fn agent(&mut self, index: usize, input: AgentInput) {
        let now = self.now;
        let effects = self.machines[index]
            .agent
            .as_mut()
            .unwrap()
            .handle(input, now);
        self.agent_effects(index, effects);
    }

    fn agent_effects(&mut self, index: usize, effects: Vec<AgentEffect>) {
        for effect in effects {
            match effect {
                AgentEffect::Journal(entry) => self.machines[index].journal.apply(&entry),
                AgentEffect::Spawn {
                    command,
                    op,
                    target,
                    ..
                } => {
                    let number = |target: Target| {
                        u64::from_str_radix(&target.commit.to_string(), 16).unwrap()
                    };
                    self.spawned.push((self.now, host(index), op, command));
                    let slow = self.slow.get(&(index, op)).copied();
                    let ends = self.now + slow.unwrap_or_else(|| takes(op));
                    self.machines[index].spawn(command, op, target.map(number), ends);
                }
                AgentEffect::Attach { .. } | AgentEffect::Reboot(_) => {}
                AgentEffect::Terminate(id) | AgentEffect::Kill(id) => self.machines[index].kill(id),
                AgentEffect::Send(frame) => self.deliver(index, &frame),
                AgentEffect::Observe => {
                    let seen = self.machines[index].observe();
                    self.agent(index, AgentInput::Observed(seen));
                }
                AgentEffect::Connect => self.connect(index),
                AgentEffect::Close => {
                    if let Some(connection) = self.connection_of.get(&index).copied() {
                        self.cut(connection);
                    }
                }
                AgentEffect::RestartSelf => {
                    if let Some(connection) = self.connection_of.remove(&index) {
                        self.server(Input::Disconnected { connection });
                    }
                    self.start_agent(index);
                    return;
                }
            }
        }
    }

    fn connect(&mut self, index: usize) {
        if self.away.contains(&index) {
            return self.agent(index, AgentInput::Disconnected);
        }
        self.connections += 1;
        self.connection_of
            .insert(index, ConnectionId(self.connections));
        let seen = self.machines[index].observe();
        self.agent(index, AgentInput::Connected(seen));
    }

    fn cut(&mut self, connection: ConnectionId) {
        let mut found = self
            .connection_of
            .iter()
            .filter(|(_, own)| **own == connection);
        if let Some(index) = found.next().map(|(index, _)| *index) {
            self.connection_of.remove(&index);
            self.agent(index, AgentInput::Disconnected);
        }
        self.server(Input::Disconnected { connection });
    }

    pub fn go_away(&mut self, index: usize) {
        self.away.insert(index);
        if let Some(connection) = self.connection_of.get(&index).copied() {
            self.cut(connection);
        }
    }

    fn deliver(&mut self, index: usize, frame: &AgentFrame) {
        let Some(connection) = self.connection_of.get(&index).copied() else {
            return;
        };
        let text = serde_json::to_string(frame).unwrap();
        let identity = self
            .fleet
            .host(&host(index))
            .map(|host| host.identity.clone());
        let frame = decode_agent_frame(&text).unwrap();
        if let Some(report) = agent_message(frame, &identity.unwrap_or_default()).unwrap() {
            self.server(Input::Agent {
                connection,
                bound: None,
                report,
            });
        }
    }

    pub fn crash(&mut self) {
        let config = config(self.tests_after_switch, self.updates.clone());
        let (fleet, effects) = Fleet::restore(config, self.stored.clone(), self.now);
        self.fleet = fleet;
        self.inbox.clear();
        self.copy_state();
        let crash_at = self.crash_at.take();
        self.effects(effects);
        self.crash_at = crash_at.filter(|at| *at > self.calls);
        let gone: Vec<usize> = std::mem::take(&mut self.connection_of)
            .into_keys()
            .collect();
        for index in gone {
            self.agent(index, AgentInput::Disconnected);
        }
        self.remote(self.remote);
    }

    /// Everything until this moment happens, in order.
    pub fn run_until(&mut self, end: Timestamp) {
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.happen();
        }
        self.now = self.now.max(end);
    }

    pub fn run_for(&mut self, seconds: u64) {
        self.run_until(self.now + Duration::from_secs(seconds));
    }

    fn next(&self) -> Option<Timestamp> {
        let agents = self
            .machines
            .iter()
            .filter_map(|m| m.agent.as_ref()?.poll_timeout());
        let jobs = self.machines.iter().flat_map(|m| m.jobs.values());
        let jobs = jobs.filter(|job| job.exit.is_none()).map(|job| job.ends);
        agents.chain(jobs).chain(self.fleet.poll_timeout()).min()
    }

    fn happen(&mut self) {
        if self.fleet.poll_timeout().is_some_and(|due| due <= self.now) {
            let effects = self.fleet.handle_timeout(self.now);
            self.effects(effects);
        }
        for index in 0..self.machines.len() {
            let machine = &self.machines[index];
            let due = machine.agent.as_ref().and_then(AgentCore::poll_timeout);
            if due.is_some_and(|due| due <= self.now) {
                let now = self.now;
                let effects = self.machines[index]
                    .agent
                    .as_mut()
                    .unwrap()
                    .handle_timeout(now);
                self.agent_effects(index, effects);
            }
            let over = self.machines[index].jobs.iter();
            let over = over.filter(|(_, job)| job.exit.is_none() && job.ends <= self.now);
            let over: Vec<(CommandId, Op)> = over.map(|(id, job)| (*id, job.op)).collect();
            for (id, op) in over {
                let well = !self.fails.contains(&(index, op));
                self.machines[index].end(id, well);
                if self.degrades.contains(&(index, op))
                    && let Some(job) = self.machines[index].jobs.get_mut(&id)
                {
                    job.exit = Some(JobExit::Code(4));
                }
                if let Some(report) = self.machines[index].report(id) {
                    self.agent(
                        index,
                        AgentInput::JobFinished {
                            command: id,
                            report: Box::new(report),
                        },
                    );
                }
            }
        }
    }

    pub fn remote(&mut self, number: u64) {
        self.remote = number;
        let snapshot = Desired {
            commit: Ok(commit(number)),
            lock: Ok(lock(number)),
            subject: None,
            commit_time: None,
            branch: Some("main".into()),
            rewritten: false,
        };
        let reading = Reading {
            snapshot,
            history: None,
        };
        self.server(Input::Read(Box::new(Ok(reading))));
    }

    fn fresh_id(&mut self) -> CommandId {
        self.ids = self.ids.wrapping_add(1);
        CommandId::from_bytes([self.ids, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    }

    /// Asks, and does not mind if the server crashes before it answers.
    pub fn tell(&mut self, request: Request) {
        self.server(Input::Request {
            id: RequestId(1),
            actor: Actor::Person("admin".into()),
            request,
        });
        self.replies.clear();
    }

    pub fn ask(&mut self, request: Request) -> Reply {
        self.server(Input::Request {
            id: RequestId(1),
            actor: Actor::Person("admin".into()),
            request,
        });
        self.replies
            .pop()
            .expect("an answer, because the server did not crash")
    }

    pub fn dispatch(
        &mut self,
        op: Op,
        index: usize,
        queue: bool,
    ) -> Result<CommandId, nixfleet_core::admission::Refusal> {
        let id = self.fresh_id();
        let mut dispatch = Dispatch::new(op, vec![(host(index), id)]);
        dispatch.queue = queue;
        let reply = self.ask(Request::Dispatch(dispatch));
        let Reply::Dispatched(mut outcomes) = reply else {
            panic!("{reply:?}")
        };
        outcomes.remove(0).outcome.map(|_| id)
    }

    /// Removes a host; only one that is away can be.
    pub fn remove(&mut self, index: usize) -> Result<(), nixfleet_core::admission::Refusal> {
        let mut dispatch = Dispatch::new(Op::Remove, vec![(host(index), self.fresh_id())]);
        dispatch.confirmed = true;
        let Reply::Dispatched(mut outcomes) = self.ask(Request::Dispatch(dispatch)) else {
            panic!("a dispatch is answered as one")
        };
        outcomes.remove(0).outcome.map(|_| ())
    }

    /// Marks a host as a canary by its settings.
    pub fn mark_as_canary(&mut self, index: usize) {
        let settings = Box::new(nixfleet_core::host::HostSettings {
            canary: Some(true),
            ..Default::default()
        });
        let host = host(index);
        self.ask(Request::SetHostSettings { host, settings });
    }

    pub fn everybody(&self) -> Targets {
        Targets::List((0..self.machines.len()).map(host).collect())
    }

    pub fn start(&mut self, id: RolloutId, ask: Ask) -> Reply {
        let ask = Box::new(ask);
        self.ask(Request::StartRollout {
            id,
            ask,
            confirm: None,
            reason: Some("update".into()),
        })
    }

    pub fn verb(&mut self, verb: Verb) -> Reply {
        self.verb_on(ROLLOUT, verb)
    }

    pub fn verb_on(&mut self, id: RolloutId, verb: Verb) -> Reply {
        self.ask(Request::Rollout { id, verb })
    }

    /// Until a condition holds, within so many seconds.
    pub fn run_until_it(&mut self, seconds: u64, holds: impl Fn(&Field) -> bool) {
        let end = self.now + Duration::from_secs(seconds);
        while !holds(self) {
            let next = self.next().unwrap();
            assert!(
                next <= end,
                "not in time: {:#?}",
                self.fleet.rollouts().collect::<Vec<_>>()
            );
            self.now = self.now.max(next);
            self.happen();
        }
    }

    pub fn rollout(&self) -> &Rollout {
        self.fleet.rollout(ROLLOUT).unwrap()
    }

    pub fn state(&self) -> RolloutState {
        self.rollout().state
    }

    /// Until the rollout has ended, within so many hours.
    pub fn finish(&mut self, hours: u64) {
        let end = self.now + Duration::from_secs(hours * 3600);
        while !self.state().is_terminal() {
            let next = self.next().unwrap();
            assert!(next <= end, "not over: {:#?}", self.rollout());
            self.now = self.now.max(next);
            self.happen();
        }
    }

    /// Who started what, in order.
    pub fn sequence(&self) -> Vec<(HostId, Op)> {
        let both = |(_, host, op, _): &(Timestamp, HostId, Op, CommandId)| (host.clone(), *op);
        self.spawned.iter().map(both).collect()
    }

    /// Agreement of the client's copy, and of what is stored, with the fleet.
    pub fn check(&self) {
        assert_eq!(self.replica.state(), self.fleet.sync().state());
        for rollout in self.fleet.rollouts() {
            let stored = self.stored.rollouts.iter().find(|own| own.id == rollout.id);
            assert_eq!(stored, Some(rollout), "stored as it is");
            let view = &self.fleet.sync().state().rollouts[&rollout.id];
            assert_eq!(*view, rollout.view());
        }
    }
}
