//! The stage of a script: the real fleet, real agents, real frames, virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use nixfleet_core::desired::{RemoteHistory, RemotePolicy, Snapshot as Desired, Unavailable};
use nixfleet_core::fleet::{
    Effect, Fleet, FleetConfig, Input, Reading, Reply, Request, RequestId, Snapshot,
};
use nixfleet_core::host::Actor;
use nixfleet_core::{CommandId, ConnectionId, HostId, Timestamp};

use super::machine::{Agent, Machine};
use super::tell;
use crate::witness::Witness;

pub const START: Timestamp = Timestamp::from_seconds(1_767_225_600);

pub struct Stage {
    pub now: Timestamp,
    pub fleet: Option<Fleet>,
    pub stored: Snapshot,
    pub machines: BTreeMap<String, Machine>,
    pub connections: u64,
    /// What a reading of the remote finds; `None` if readings hang.
    pub reading: Option<Result<Desired, Unavailable>>,
    pub history: Option<Arc<RemoteHistory>>,
    next_read: Timestamp,
    ids: u64,
    pub spare_ids: u64,
    pub last: Option<CommandId>,
    pub out: Vec<String>,
    told_at: Timestamp,
    shown: BTreeMap<String, String>,
    last_rows: Vec<String>,
    /// A client that follows.
    pub witness: Witness,
    /// Rows of any table that were used.
    pub rows: BTreeSet<&'static str>,
    inbox: VecDeque<Input>,
    settling: bool,
}

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
        host_driven: false,
        offline_notice: None,
        tests_after_switch: false,
        updates: None,
    }
}

impl Stage {
    pub fn new() -> Self {
        let mut stage = Self {
            now: START,
            fleet: None,
            stored: Snapshot::default(),
            machines: BTreeMap::new(),
            connections: 0,
            reading: None,
            history: None,
            next_read: START,
            ids: 0,
            spare_ids: 0,
            last: None,
            out: Vec::new(),
            told_at: START,
            shown: BTreeMap::new(),
            last_rows: Vec::new(),
            witness: Witness::default(),
            rows: BTreeSet::new(),
            inbox: VecDeque::new(),
            settling: false,
        };
        stage.start_server();
        stage
    }

    pub fn say(&mut self, line: impl AsRef<str>) {
        if self.told_at != self.now {
            self.told_at = self.now;
            self.out.push(format!("  at {}", tell::clock(self.now)));
        }
        self.out.push(format!("  {}", line.as_ref()));
    }

    /// How a command is called in the transcript: by its number.
    pub fn number(&self, id: CommandId) -> String {
        let text = id.to_string().replace('-', "");
        format!("#{}", u64::from_str_radix(&text, 16).unwrap())
    }

    pub fn fresh_id(&mut self) -> CommandId {
        self.ids += 1;
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&self.ids.to_be_bytes());
        CommandId::from_bytes(bytes)
    }

    // ---- the server ----

    pub fn start_server(&mut self) {
        let (fleet, effects) = Fleet::restore(config(), self.stored.clone(), self.now);
        self.witness.connect(&fleet);
        self.fleet = Some(fleet);
        self.after_call(&effects);
        self.perform(effects);
        self.read_remote();
    }

    pub fn stop_server(&mut self) {
        self.fleet = None;
        let names: Vec<String> = self.machines.keys().cloned().collect();
        for name in names {
            self.cut(&name);
        }
    }

    pub fn server(&mut self, input: Input) {
        self.inbox.push_back(input);
        if self.settling {
            return;
        }
        self.settling = true;
        while let Some(input) = self.inbox.pop_front() {
            let now = self.now;
            if let Some(fleet) = self.fleet.as_mut() {
                let effects = fleet.handle(input, now);
                self.witness.see(&effects, fleet);
                self.after_call(&effects);
                self.perform(effects);
            }
        }
        self.settling = false;
    }

    pub fn ask(&mut self, actor: Actor, request: Request) {
        let id = RequestId(1);
        self.server(Input::Request { id, actor, request });
    }

    pub fn read_remote(&mut self) {
        self.next_read = self.now + Duration::from_secs(5);
        let Some(reading) = self.reading.clone() else {
            return;
        };
        let history = self.history.clone();
        let reading = reading.map(|snapshot| Reading { snapshot, history });
        self.server(Input::Read(Box::new(reading)));
    }

    /// Tells which rows the last call of the fleet used, and which hosts look different now.
    fn after_call(&mut self, effects: &[Effect]) {
        let Some(fleet) = self.fleet.as_ref() else {
            return;
        };
        let mut lines = tell::rows(fleet, effects, |id| self.number(id));
        // A heartbeat that settles nothing, again and again, is told once.
        if !lines.is_empty() {
            let told = std::mem::replace(&mut self.last_rows, lines.clone());
            lines.retain(|line| !told.contains(line) || !line.contains(": not-settled-yet"));
        }
        self.rows
            .extend(fleet.rows_used().iter().map(|(_, row)| *row));
        for name in self.machines.keys() {
            let host: HostId = name.parse().unwrap();
            let Some((row, rules)) = tell::row(fleet, &host) else {
                continue;
            };
            self.rows.extend(rules);
            if self.shown.get(name) != Some(&row) {
                lines.push(format!("{name} {row}"));
                self.shown.insert(name.clone(), row);
            }
        }
        for line in lines {
            self.say(line);
        }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        let mut stored = Vec::new();
        for effect in effects {
            if !matches!(effect, Effect::Persist(_)) {
                self.stored.commit(stored.drain(..));
            }
            match effect {
                Effect::Persist(record) => stored.push(*record),
                Effect::Send {
                    connection,
                    order,
                    command,
                } => self.send_down(connection, command, &(*order).into()),
                Effect::Close {
                    connection, reason, ..
                } => {
                    if let Some(name) = self.owner(connection) {
                        self.say(format!("{name} × closed: {reason}"));
                        self.cut(&name);
                    }
                }
                Effect::Publish(_) => {}
                Effect::Reply { reply, .. } => self.tell_reply(&reply),
                Effect::ReadRemote => self.read_remote(),
                Effect::Forge(_) | Effect::Notify(_) => {}
            }
        }
        self.stored.commit(stored);
    }

    fn tell_reply(&mut self, reply: &Reply) {
        for line in tell::reply(reply, |id| self.number(id)) {
            self.say(line);
        }
    }

    pub fn owner(&self, connection: ConnectionId) -> Option<String> {
        let found = self
            .machines
            .values()
            .find(|machine| machine.connection == Some(connection));
        found.map(|machine| machine.name.clone())
    }

    // ---- time ----

    /// Lets time pass; everything happens at its own moment.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let next = self.next_moment().filter(|at| *at <= end);
            self.now = next.unwrap_or(end).max(self.now);
            self.fire();
            if next.is_none() {
                return;
            }
        }
    }

    fn next_moment(&self) -> Option<Timestamp> {
        let server = self.fleet.as_ref().and_then(Fleet::poll_timeout);
        let read = self.fleet.as_ref().map(|_| self.next_read);
        let agents = self.machines.values().filter_map(|one| match &one.agent {
            Agent::Ours(agent) => agent.as_ref()?.poll_timeout(),
            Agent::Existing { back_at, .. } => *back_at,
        });
        agents.chain(server).chain(read).min()
    }

    fn fire(&mut self) {
        let now = self.now;
        let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        if let Some(fleet) = self
            .fleet
            .as_mut()
            .filter(|fleet| due(fleet.poll_timeout()))
        {
            let effects = fleet.handle_timeout(now);
            self.witness.see(&effects, fleet);
            self.after_call(&effects);
            self.perform(effects);
        }
        if self.next_read <= now {
            self.read_remote();
        }
        let names: Vec<String> = self.machines.keys().cloned().collect();
        for name in names {
            let machine = self.machines.get_mut(&name).unwrap();
            match &mut machine.agent {
                Agent::Ours(Some(agent)) if due(agent.poll_timeout()) => {
                    let effects = agent.handle_timeout(now);
                    self.agent_effects(&name, effects);
                }
                Agent::Existing { back_at, .. } if due(*back_at) => {
                    *back_at = None;
                    self.connect(&name);
                }
                Agent::Ours(_) | Agent::Existing { .. } => {}
            }
        }
    }
}
