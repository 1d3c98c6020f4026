//! What agents say: registration, signs of life, results (spec 03, spec 02 rules 4, 6, 9 to 13).

use super::hosts::Slot;
use super::turn::Turn;
use super::{Effect, Fleet, Host, HostRecord};
use crate::host::{AgentProtocol, HostObservation, ObservationUpdate, Presence};
use crate::ids::{CommandId, ConnectionId, HostId};
use crate::lifecycle::{Address, Event, ExitReport, Hello, half_of};
use crate::op::Op;
use crate::order::{ServerOrder, Welcome};
use crate::report::{AgentReport, HeartbeatReport, ProgressStage, Registration};
use crate::sync::ProgressView;
use crate::time::Timestamp;
use crate::wire::agent::{CAPABILITY_COMMANDS, PROTOCOL_VERSION};

/// Close code "policy violation" (RFC 6455, 7.4.1).
const POLICY: u16 = 1008;

impl Fleet {
    pub(super) fn agent(
        &mut self,
        turn: &mut Turn,
        connection: ConnectionId,
        bound: Option<&HostId>,
        report: AgentReport,
        now: Timestamp,
    ) {
        if let AgentReport::Registered(registration) = report {
            return self.registered(turn, connection, bound, *registration, now);
        }
        let Some((host, slot)) = self.connections.get(&connection) else {
            turn.sends
                .push(close(connection, "the first message must be register"));
            return;
        };
        let report = match report {
            AgentReport::Heartbeat(beat) => return self.heartbeat(turn, *slot, *beat, now),
            other @ (AgentReport::Registered(_)
            | AgentReport::Accepted { .. }
            | AgentReport::Result(_)
            | AgentReport::Rejected(_)
            | AgentReport::Progress(_)) => other,
        };
        let host = host.clone();
        match report {
            AgentReport::Registered(_) | AgentReport::Heartbeat(_) => {}
            AgentReport::Accepted { command, pid } => {
                let event = Event::Accepted {
                    to: Address::of(command),
                    pid,
                };
                self.owned_command_event(turn, &host, command, &event, now);
            }
            AgentReport::Result(result) => self.result(turn, &host, *result, now),
            AgentReport::Rejected(rejection) => {
                let Some(id) = rejection.command.or_else(|| self.running_on(&host)) else {
                    return;
                };
                let to = rejection.command.map_or_else(Address::default, Address::of);
                self.note_agent_runs(&host, rejection.current);
                let event = Event::Rejected {
                    to,
                    reason: rejection.reason,
                    current: rejection.current.map(|op| op.name().to_owned()),
                };
                self.owned_command_event(turn, &host, id, &event, now);
            }
            AgentReport::Progress(progress) => {
                let Some(id) = progress.command.or_else(|| self.running_on(&host)) else {
                    return;
                };
                let half = half_of(progress.stage);
                let to = progress.command.map_or_else(Address::default, Address::of);
                if self.is_open_on(&host, id) {
                    self.command_event(turn, id, &Event::Progress { to, half }, now);
                    self.show_progress(turn, id, progress.stage, progress.current, progress.total);
                }
            }
        }
    }

    fn registered(
        &mut self,
        turn: &mut Turn,
        connection: ConnectionId,
        bound: Option<&HostId>,
        registration: Registration,
        now: Timestamp,
    ) {
        let id = registration.host.clone();
        let other = self
            .connections
            .get(&connection)
            .is_some_and(|(own, _)| *own != id);
        if other || bound.is_some_and(|bound| *bound != id) {
            turn.sends
                .push(close(connection, "this credential belongs to another host"));
            return;
        }
        if !self.hosts.contains_key(&id) {
            self.hosts
                .insert(id.clone(), Host::new(HostRecord::new(id.clone(), now)));
            self.event(
                turn,
                Some(&id),
                "host-added",
                format!("{id} connected for the first time"),
                now,
            );
        }
        if self.is_cloned_identity(&id, connection, &registration) {
            turn.sends.push(close(
                connection,
                "another machine is connected under this name",
            ));
            self.mark_identity_conflict(turn, &id, now);
            return;
        }
        self.replace_connection(turn, &id, connection);
        let Some(slot) = self.hosts.slot(&id) else {
            return;
        };
        self.connections.insert(connection, (id.clone(), slot));
        let Some(host) = self.hosts.at_mut(slot) else {
            return;
        };
        host.connection = Some(connection);
        // What it runs now, its first heartbeat tells.
        host.agent_runs = host.agent_runs.filter(|_| registration.running.is_some());
        let record = &mut host.record;
        record.presence = Presence::Online;
        record.identity = crate::host::HostIdentity {
            theme_color: registration
                .identity
                .theme_color
                .clone()
                .or(record.identity.theme_color.take()),
            ..registration.identity.clone()
        };
        // After a restore from backup the agent remembers more than the server.
        record.last_seq = record
            .last_seq
            .max(registration.last_seq.unwrap_or_default());
        turn.host_changed(&id);
        turn.sends.push(self.welcome(&id, connection, now));
        let idle = registration.running.is_none() && registration.facts.tells_system();
        self.take_in(turn, &id, registration.facts, now);
        self.hello(
            turn,
            &id,
            registration.running.map(|running| running.command),
            registration.results,
            now,
        );
        self.note_proof(&id, idle);
        // A rollout could not start without any host, or without a canary.
        let canary = self.hosts.get(&id).is_some_and(|host| {
            let record = &host.record;
            record.settings.canary(&record.identity.update_policy)
        });
        turn.automation_may_go_on |= canary || self.connections.len() == 1;
    }

    /// A cloned disk must not take over an identity while its owner is connected.
    fn is_cloned_identity(
        &self,
        id: &HostId,
        connection: ConnectionId,
        new: &Registration,
    ) -> bool {
        let Some(host) = self.hosts.get(id) else {
            return false;
        };
        let connected = host.connection.is_some_and(|own| own != connection);
        let known = host.record.identity.machine_id_hash.as_ref();
        connected && known.is_some() && known != new.identity.machine_id_hash.as_ref()
    }

    fn mark_identity_conflict(&mut self, turn: &mut Turn, id: &HostId, now: Timestamp) {
        if let Some(host) = self.hosts.get_mut(id)
            && !host.identity_conflict
        {
            host.identity_conflict = true;
            let text = format!("a second machine claims to be {id}; it was refused");
            self.event(turn, Some(id), "identity-conflict", text, now);
            turn.refresh(id);
        }
    }

    fn replace_connection(&mut self, turn: &mut Turn, id: &HostId, connection: ConnectionId) {
        let old = self
            .hosts
            .get(id)
            .and_then(|host| host.connection)
            .filter(|old| *old != connection);
        if let Some(old) = old {
            self.connections.remove(&old);
            turn.sends.push(close(old, "replaced"));
        }
    }

    fn welcome(&self, id: &HostId, connection: ConnectionId, now: Timestamp) -> Effect {
        let order = ServerOrder::Registered(Welcome {
            host: id.to_string(),
            server_version: Some(self.config.server_version.clone()),
            protocol: Some(PROTOCOL_VERSION),
            capabilities: vec![CAPABILITY_COMMANDS.to_owned()],
            server_time: Some(now),
        });
        Effect::Send {
            connection,
            command: None,
            order: Box::new(order),
        }
    }

    /// The results an agent still holds are applied first, then what it says it runs.
    fn hello(
        &mut self,
        turn: &mut Turn,
        id: &HostId,
        running: Option<CommandId>,
        results: Vec<crate::report::CommandResult>,
        now: Timestamp,
    ) {
        let mut reports = Vec::new();
        for result in results {
            let command = result.command;
            let report = ExitReport::from_result(&result, now);
            match command.filter(|command| self.is_open_on(id, *command)) {
                Some(_) => reports.push(report),
                None => self.late_result(turn, id, command, &report, now),
            }
        }
        let Some(host) = self.hosts.get(id) else {
            return;
        };
        let observation = host.record.observation.clone();
        let identity = host.record.identity.clone();
        for command in host.open.clone() {
            let hello = Hello {
                instance_id: identity.instance_id.as_ref(),
                boot_id: identity.boot_id.as_ref(),
                running,
                results: &reports,
                observation: &observation,
            };
            self.command_event(turn, command, &Event::Hello(hello), now);
        }
        for report in &reports {
            if let Some(command) = report.id {
                self.confirm(turn, id, command, now);
            }
        }
        self.start_next(turn, id, now);
    }

    /// Most of what a server does. The host is found once, and by its slot: whatever the number
    /// of hosts, a heartbeat that tells nothing new looks at this one only.
    fn heartbeat(&mut self, turn: &mut Turn, slot: Slot, beat: HeartbeatReport, now: Timestamp) {
        let Some(host) = self.hosts.at_mut(slot) else {
            return;
        };
        let mut changed = false;
        if let Some(version) = beat.nixpkgs_version
            && host.record.identity.nixpkgs_version.as_deref() != Some(&version)
        {
            host.record.identity.nixpkgs_version = Some(version);
            changed = true;
        }
        let idle = beat.command.is_none() && beat.pending_op.is_none();
        let idle = idle && beat.facts.tells_system();
        changed |= host.take_in(beat.facts, now);
        host.agent_runs = beat.pending_op;
        if changed {
            turn.host_changed(&host.record.id);
        }
        // Only rollouts want to know.
        if !self.rollouts.is_empty() {
            turn.heard.insert(host.record.id.clone());
        }
        if host.open.is_empty() {
            host.system_proven |= idle && host.connection.is_some();
            return;
        }
        let existing = host.record.identity.protocol == AgentProtocol::Existing;
        let running = match (beat.command, beat.pending_op) {
            (Some(command), _) => Some(Address::of(command)),
            (None, Some(op)) if existing => Some(Address::op(Some(op))),
            (None, Some(_) | None) => None,
        };
        let observation = host.record.observation.clone();
        let (id, open) = (host.record.id.clone(), host.open.clone());
        self.note_proof(&id, idle);
        for command in open {
            let event = Event::Heartbeat {
                running,
                observation: &observation,
            };
            self.command_event(turn, command, &event, now);
        }
        self.note_proof(&id, idle);
        self.start_next(turn, &id, now);
    }

    /// The agent has just told of its system, and that it runs nothing. That is proof once every
    /// command of ours has ended, too.
    pub(super) fn note_proof(&mut self, id: &HostId, idle: bool) {
        let active = |id: &CommandId| self.commands.get(id).is_some_and(|c| c.phase.is_active());
        let Some(host) = self.hosts.get(id) else {
            return;
        };
        let proven = idle && host.connection.is_some() && !host.open.iter().any(active);
        if let Some(host) = self.hosts.get_mut(id).filter(|_| proven) {
            host.system_proven = true;
        }
    }

    /// What an agent says it runs.
    pub(super) fn note_agent_runs(&mut self, id: &HostId, op: Option<Op>) {
        if let Some(host) = self.hosts.get_mut(id) {
            host.agent_runs = op;
        }
    }

    /// Stores facts; settles what they prove.
    pub(super) fn take_in(
        &mut self,
        turn: &mut Turn,
        id: &HostId,
        facts: ObservationUpdate,
        now: Timestamp,
    ) {
        let Some(host) = self.hosts.get_mut(id) else {
            return;
        };
        if host.take_in(facts, now) {
            turn.host_changed(id);
        }
    }

    pub(super) fn disconnected(
        &mut self,
        turn: &mut Turn,
        connection: ConnectionId,
        now: Timestamp,
    ) {
        let Some((id, _)) = self.connections.remove(&connection) else {
            return;
        };
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        if host.connection != Some(connection) {
            return;
        }
        host.connection = None;
        host.identity_conflict = false;
        host.second_end = None;
        host.system_proven = false;
        host.record.presence = Presence::Offline { since: now };
        let record = host.record.clone();
        self.arm_offline(&record, now);
        turn.host_changed(&id);
        let open = self.hosts.get(&id).map(|host| host.open.clone());
        for command in open.unwrap_or_default() {
            self.command_event(turn, command, &Event::Disconnect, now);
        }
    }

    /// The command that an existing agent, which names none, must mean.
    pub(super) fn running_on(&self, host: &HostId) -> Option<CommandId> {
        let open = &self.hosts.get(host)?.open;
        open.iter()
            .copied()
            .find(|id| self.commands.get(id).is_some_and(|c| c.phase.is_active()))
    }

    fn show_progress(
        &mut self,
        turn: &mut Turn,
        id: CommandId,
        stage: ProgressStage,
        current: u32,
        total: u32,
    ) {
        self.publish_command(
            turn,
            id,
            Some(ProgressView {
                stage,
                current,
                total,
            }),
        );
    }

    /// An event in an agent's name reaches only commands of its own host.
    fn owned_command_event(
        &mut self,
        turn: &mut Turn,
        host: &HostId,
        id: CommandId,
        event: &Event<'_>,
        now: Timestamp,
    ) {
        if self.is_open_on(host, id) {
            self.command_event(turn, id, event, now);
        }
    }

    pub(super) fn is_open_on(&self, host: &HostId, id: CommandId) -> bool {
        self.hosts
            .get(host)
            .is_some_and(|host| host.open.contains(&id))
    }

    pub(super) fn observation(&self, id: &HostId) -> Option<&HostObservation> {
        self.hosts.get(id).map(|host| &host.record.observation)
    }
}

fn close(connection: ConnectionId, reason: &'static str) -> Effect {
    Effect::Close {
        connection,
        code: POLICY,
        reason,
    }
}
