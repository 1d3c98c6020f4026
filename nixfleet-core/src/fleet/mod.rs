//! The fleet: every host, its commands, the desired state. Inputs in, ordered effects out.
//!
//! This is the only type the server's hub knows. A host's aggregate reads nothing of another host.

mod agents;
mod effect;
mod evidence;
mod foresight;
mod held_back;
mod holds;
mod hosts;
mod input;
mod notices;
mod publish;
mod queue;
mod requests;
mod rollouts;
mod settings;
mod snapshot;
mod steps;
mod turn;
mod updates;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use evidence::current_test_key;

pub use effect::{AuditRecord, Effect, Record};
pub use foresight::{Assumption, Assumptions};
pub use held_back::HeldBack;
pub use holds::{HoldError, MAX_HOLDS, SelectorHold};
pub use input::{
    Accepted, Decision, Dispatch, Dispatched, Input, Reading, Reply, Request, RequestId,
};
pub use publish::{ClickReport, CompartmentReport, HostReport};
pub use queue::rank as queue_rank;
pub use settings::{FleetSettings, Quarantined};
pub use snapshot::{HostRecord, KEPT_ROLLOUTS, Snapshot};

use crate::desired::{
    DesiredState, PendingPr, RemoteCause, RemotePolicy, RemoteWatch, Unavailable,
};
use crate::host::Presence;
use crate::ids::{CommandId, ConnectionId, HostId, RolloutId, StateVersion};
use crate::lifecycle::{Command, Event};
use crate::op::Op;
use crate::rollout::Rollout;
use crate::sync::{SyncLog, SyncState};
use crate::time::Timestamp;
use crate::update::{UpdatePolicy, Updates};
use hosts::{Hosts, Slot};
use turn::Turn;

/// What the fleet is told once, at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetConfig {
    /// Version of the server, told to agents.
    pub server_version: String,
    /// The agent version this server expects.
    pub agent_version: String,
    /// How long a reading of the remote is believed.
    pub remote: RemotePolicy,
    /// Whether a source of the desired state is configured.
    pub remote_configured: bool,
    /// Whether the store is intact; if not, no command is taken and nothing is green.
    pub store_intact: bool,
    /// Whether hosts run their tests by themselves after a person's deploy, where neither their
    /// settings nor their tests are off.
    pub tests_after_switch: bool,
    /// After how long people are told that a host is offline; `None` is never.
    pub offline_notice: Option<Duration>,
    /// Whether hosts may update the inputs of the configuration and push (spec 05, host-driven).
    pub host_driven: bool,
    /// What is decided about update pull requests; `None` if no forge is configured.
    pub updates: Option<UpdatePolicy>,
}

/// Every host, its commands, the desired state.
#[derive(Clone, Debug)]
pub struct Fleet {
    config: FleetConfig,
    hosts: Hosts,
    commands: BTreeMap<CommandId, Command>,
    connections: BTreeMap<ConnectionId, (HostId, Slot)>,
    watch: RemoteWatch,
    desired: DesiredState,
    log: SyncLog,
    /// When each open command wants to be called.
    timers: BTreeSet<(Timestamp, Timer)>,
    next_event: u64,
    clock: Timestamp,
    rows_used: Vec<(CommandId, &'static str)>,
    rollouts: BTreeMap<RolloutId, Rollout>,
    settings: FleetSettings,
    updates: Option<Updates>,
}

/// Whose moment has come.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A command's deadline.
    Command(CommandId),
    /// The end of a hold.
    Hold(HostId),
    /// A rollout wants to be looked at.
    Rollout(RolloutId),
    /// A host may be offline for too long.
    Offline(HostId),
    /// The end of a hold by selector.
    SelectorHold(u64),
}

/// One host.
#[derive(Clone, Debug)]
struct Host {
    record: HostRecord,
    connection: Option<ConnectionId>,
    /// Its commands that have not ended, in the order in which they were made.
    open: Vec<CommandId>,
    /// A second machine claimed this name while the first was connected.
    identity_conflict: bool,
    /// What its agent says it runs, also if nobody tracks that any more.
    agent_runs: Option<Op>,
    /// Whether what it told of its system is proof of what it runs: its agent ran nothing when it
    /// told, and everything that was ever sent to it had ended. Not stored: after a restart it has
    /// to be told again.
    system_proven: bool,
    /// An existing agent told that this was stopped; it will tell its end a second time (spec 03).
    second_end: Option<Op>,
    /// Whether clients were told of it.
    shown: bool,
}

impl Host {
    fn new(record: HostRecord) -> Self {
        Self {
            record,
            connection: None,
            open: Vec::new(),
            identity_conflict: false,
            agent_runs: None,
            system_proven: false,
            second_end: None,
            shown: false,
        }
    }
}

impl Fleet {
    /// A fleet that goes on where the stored one stopped. Commands keep their deadlines; ones that
    /// passed meanwhile fire no earlier than two minutes from now.
    #[must_use]
    pub fn restore(config: FleetConfig, stored: Snapshot, now: Timestamp) -> (Self, Vec<Effect>) {
        let why = match (config.store_intact, config.remote_configured) {
            (false, _) => Unavailable::new(RemoteCause::StoreDamaged, "the integrity check failed"),
            (true, false) => Unavailable::new(RemoteCause::NotConfigured, ""),
            (true, true) => Unavailable::new(RemoteCause::NotReadYet, ""),
        };
        let fresh = RemoteWatch::new(config.remote, why, now);
        let usable = config.store_intact && config.remote_configured;
        let watch = match stored.remote.filter(|_| usable) {
            Some(watch) => watch.resume(config.remote, now),
            None => fresh,
        };
        let desired = DesiredState {
            agent_version: config.agent_version.clone(),
            remote: watch.remote().clone(),
            verified_at: watch.verified_at(),
            history: None,
            pending_pr: None,
        };
        let policy = config.updates.clone().filter(|_| config.store_intact);
        let updates = policy.map(|policy| Updates::restore(policy, stored.updates, now));
        let mut fleet = Self {
            config,
            hosts: Hosts::default(),
            commands: BTreeMap::new(),
            connections: BTreeMap::new(),
            watch,
            desired,
            log: SyncLog::new(stored.version, SyncState::default()),
            timers: BTreeSet::new(),
            next_event: stored
                .events
                .iter()
                .map(|event| event.n + 1)
                .max()
                .unwrap_or(1),
            clock: now,
            rows_used: Vec::new(),
            rollouts: BTreeMap::new(),
            settings: stored.settings,
            updates,
        };
        for hold in fleet.settings.holds.clone() {
            fleet.arm_selector_hold(&hold);
        }
        let stored_commands: BTreeSet<CommandId> = stored.commands.iter().map(|c| c.id).collect();
        for mut record in stored.hosts {
            record.last_ended = record.last_ended.filter(|id| stored_commands.contains(id));
            if record.presence == Presence::Online {
                record.presence = Presence::Offline { since: now };
            }
            fleet.arm_hold(&record);
            fleet.arm_offline(&record, now);
            fleet.hosts.insert(record.id.clone(), Host::new(record));
        }
        let mut turn = Turn::default();
        for command in stored.commands {
            let Some(host) = fleet.hosts.get_mut(&command.host) else {
                continue;
            };
            if !command.phase.is_terminal() {
                host.open.push(command.id);
            } else if host.record.last_ended != Some(command.id) {
                continue;
            }
            fleet.commands.insert(command.id, command);
        }
        for event in stored.events {
            turn.change(crate::sync::Change::Event(event));
        }
        fleet.resume_rollouts(&mut turn, stored.rollouts, now);
        fleet.resume_commands(&mut turn, now);
        fleet.publish_everything(&mut turn);
        fleet.forget_credentials(&mut turn);
        fleet.settle_updates(&mut turn, now);
        fleet.go_on(&mut turn, now);
        let effects = fleet.finish(turn);
        (fleet, effects)
    }

    /// Takes in one input. Due deadlines fire first.
    #[must_use]
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        self.rows_used.clear();
        let mut turn = Turn::default();
        self.fire_due(&mut turn, now);
        let now = self.clock;
        match input {
            Input::Agent {
                connection,
                bound,
                report,
            } => {
                self.agent(&mut turn, connection, bound.as_ref(), report, now);
            }
            Input::Disconnected { connection } => self.disconnected(&mut turn, connection, now),
            Input::SendFailed {
                command,
                nothing_left,
                why,
            } => {
                self.command_event(
                    &mut turn,
                    command,
                    &Event::SendFail { nothing_left, why },
                    now,
                );
            }
            Input::Read(result) => {
                self.remote_read(&mut turn, *result, now);
                self.settle_updates(&mut turn, now);
            }
            Input::Request { id, actor, request } => {
                self.request(&mut turn, id, &actor, request, now)
            }
            Input::Forge(answer) => self.forge_answer(&mut turn, answer, now),
            Input::ForgeHint => self.forge_hint(&mut turn, now),
            Input::Credential {
                credential,
                ends,
                made,
            } => self.credential(&mut turn, &credential, ends, made, now),
        }
        self.go_on(&mut turn, now);
        self.ask_for_proofs(&mut turn, now);
        self.finish(turn)
    }

    /// Fires what is due. A spurious call does nothing.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Timestamp) -> Vec<Effect> {
        self.rows_used.clear();
        let mut turn = Turn::default();
        self.fire_due(&mut turn, now);
        let now = self.clock;
        self.go_on(&mut turn, now);
        self.ask_for_proofs(&mut turn, now);
        self.finish(turn)
    }

    /// The next moment at which [`Fleet::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let updates = self.updates.as_ref().and_then(Updates::poll_timeout);
        let credentials = self.settings.credentials.poll_timeout();
        let credentials = credentials.filter(|_| self.config.store_intact);
        [timer, self.watch.poll_timeout(), updates, credentials]
            .into_iter()
            .flatten()
            .min()
    }

    /// The rows of the transition table that the last call used, in order, with the command each
    /// was about; for traces and logs.
    #[must_use]
    pub fn rows_used(&self) -> &[(CommandId, &'static str)] {
        &self.rows_used
    }

    /// The state as clients see it.
    #[must_use]
    pub fn sync(&self) -> &SyncLog {
        &self.log
    }

    /// The version of that state.
    #[must_use]
    pub fn version(&self) -> StateVersion {
        self.log.version()
    }

    /// The desired state in force.
    #[must_use]
    pub fn desired(&self) -> &DesiredState {
        &self.desired
    }

    /// What is known of the remote, for a periodic record of when it was last verified.
    #[must_use]
    pub fn remote(&self) -> &RemoteWatch {
        &self.watch
    }

    /// A command: open, or the last ended one of its host.
    #[must_use]
    pub fn command(&self, id: CommandId) -> Option<&Command> {
        self.commands.get(&id)
    }

    /// What the store keeps of a host.
    #[must_use]
    pub fn host(&self, id: &HostId) -> Option<&HostRecord> {
        self.hosts.get(id).map(|host| &host.record)
    }

    /// The host that an agent's connection registered as.
    #[must_use]
    pub fn host_of(&self, connection: ConnectionId) -> Option<&HostId> {
        self.connections.get(&connection).map(|(id, _)| id)
    }

    /// Every commit that hosts report, for a source that can tell how they relate to the branch.
    pub fn reported_commits(&self) -> impl Iterator<Item = crate::ids::CommitId> + '_ {
        self.hosts
            .values()
            .filter_map(|host| host.record.observation.repo?.commit.full())
    }

    /// The open update pull request, or `None`, where no forge is configured that could tell.
    #[must_use]
    pub fn set_pending_pr(&mut self, pr: Option<PendingPr>, now: Timestamp) -> Vec<Effect> {
        let mut turn = Turn::default();
        self.fire_due(&mut turn, now);
        self.publish_pending(&mut turn, pr);
        let now = self.clock;
        self.go_on(&mut turn, now);
        self.finish(turn)
    }

    fn fire_due(&mut self, turn: &mut Turn, now: Timestamp) {
        self.clock = self.clock.max(now);
        let now = self.clock;
        if self.watch.handle_timeout(now) {
            self.remote_changed(turn, now);
        }
        while let Some((at, timer)) = self.timers.first().cloned().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, timer.clone()));
            match timer {
                Timer::Command(id) => {
                    let Some(command) = self.commands.get_mut(&id) else {
                        continue;
                    };
                    let trace = command.handle_timeout_traced(now);
                    self.note_rows(id, &trace);
                    self.after_command(turn, id, trace.steps, now);
                }
                Timer::Hold(host) => self.end_hold(turn, &host, now),
                Timer::Rollout(id) => {
                    turn.look.insert(id);
                }
                Timer::Offline(host) => self.tell_offline(turn, &host, at, now),
                Timer::SelectorHold(id) => self.end_selector_hold(turn, id, now),
            }
        }
        self.fire_updates(turn, now);
        self.tell_credentials(turn, now);
    }

    fn remote_read(
        &mut self,
        turn: &mut Turn,
        result: Result<Reading, Unavailable>,
        now: Timestamp,
    ) {
        if !self.config.store_intact {
            return;
        }
        let (snapshot, history) = match result {
            Ok(Reading { snapshot, history }) => (Ok(snapshot), history),
            Err(why) => (Err(why), self.desired.history.clone()),
        };
        let was_in_grace = self.watch.in_grace();
        let changed = self.watch.read(snapshot, now);
        self.desired.verified_at = self.watch.verified_at();
        let same_history = match (&self.desired.history, &history) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new) || old == new,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        self.desired.history = history;
        if changed {
            self.remote_changed(turn, now);
        } else if !same_history || was_in_grace != self.watch.in_grace() {
            turn.records.push(Record::Remote(self.watch.clone()));
            turn.refresh_all(self.hosts.keys());
        }
    }

    fn remote_changed(&mut self, turn: &mut Turn, now: Timestamp) {
        let was_readable = matches!(self.desired.remote, crate::desired::Remote::Verified(_));
        let was = notices::RemoteSeen::of(&self.desired.remote);
        self.desired.remote = self.watch.remote().clone();
        turn.records.push(Record::Remote(self.watch.clone()));
        self.publish_desired(turn);
        turn.refresh_all(self.hosts.keys());
        self.remote_event(turn, was_readable, now);
        self.tell_remote(turn, was, now);
        self.newer_commit(turn, now);
    }
}

#[cfg(test)]
mod tests;
