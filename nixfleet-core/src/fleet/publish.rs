//! What clients get to see, made from what the fleet knows; one function feeds all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::holds::Held;
use super::hosts::Slot;
use super::turn::Turn;
use super::{Fleet, Host, Record};
use crate::claim::ClaimedRevision;
use crate::compartment::{
    self, Assessment, Attention, Click, Compartment, HostAssessment, ReasonCode, Situation, Status,
    Trace, Working, assess, explain,
};
use crate::desired::{DesiredState, Remote, Unavailable};
use crate::drift::{self, Drift};
use crate::host::{HostSettings, Presence};
use crate::ids::{CommandId, HostId};
use crate::lifecycle::{Command, Phase, Target};
use crate::op::Op;
use crate::sync::{
    Change, CommandView, Delta, DeployedView, DesiredView, EventView, HostView, ProgressView,
    RemoteView, StatusUpdate, StatusView, TestsView,
};
use crate::time::Timestamp;

/// One host as the HTTP API shows it: with sentences, not only codes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostReport {
    /// Identity and facts.
    #[serde(flatten)]
    pub facts: HostView,
    /// The revision that the running system claims, whatever its form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_revision: Option<ClaimedRevision>,
    /// The five compartments by name.
    pub compartments: BTreeMap<Compartment, CompartmentReport>,
    /// What is to be told beside them.
    pub attentions: Vec<Attention>,
    /// How automation treats it, as set on this server.
    #[serde(default)]
    pub settings: HostSettings,
    /// The open command, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandView>,
}

/// One compartment as the HTTP API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompartmentReport {
    /// Its status.
    pub status: Status,
    /// Why, as a stable code.
    pub reason: ReasonCode,
    /// The same as a sentence.
    pub message: String,
    /// Everything its tooltip tells, one entry a line.
    pub details: Vec<String>,
    /// What a click on it offers.
    #[serde(default)]
    pub click: ClickReport,
}

impl CompartmentReport {
    /// One compartment of an assessment of `situation`.
    #[must_use]
    pub fn new(one: &Assessment, click: Click, situation: &Situation<'_>) -> Self {
        Self {
            click: click.into(),
            status: one.status,
            reason: one.reason.code(),
            message: compartment::message(one, situation),
            details: compartment::details(one, situation).lines,
        }
    }
}

/// What a click on a compartment offers; all empty means information only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClickReport {
    /// Operations, the usual one first.
    pub offers: Vec<Op>,
    /// Whether the active command can be stopped.
    pub stop: bool,
    /// Whether the log of the last command is worth a look.
    pub log: bool,
}

impl From<Click> for ClickReport {
    fn from(click: Click) -> Self {
        Self {
            offers: click.offers.to_vec(),
            stop: click.stop,
            log: click.log,
        }
    }
}

impl Fleet {
    /// A host as the HTTP API shows it.
    #[must_use]
    pub fn report(&self, id: &HostId) -> Option<HostReport> {
        let host = self.hosts.get(id)?;
        let situation = self.situation(host);
        let assessment = assess(&situation);
        let compartments = assessment.compartments.each_ref().map(|one| {
            let click = assessment.click(one.compartment);
            (
                one.compartment,
                CompartmentReport::new(one, click, &situation),
            )
        });
        let shown = host.open.first().or(host.record.last_ended.as_ref());
        let command = shown.and_then(|id| self.commands.get(id));
        Some(HostReport {
            facts: host_view(host, self.hold_and_source(&host.record)),
            claimed_revision: claimed_revision(host),
            compartments: compartments.into_iter().collect(),
            attentions: assessment.attentions.clone(),
            settings: host.record.settings.clone(),
            command: command.map(|command| command_view(command, None)),
        })
    }

    /// Every host as the HTTP API shows it.
    #[must_use]
    pub fn reports(&self) -> Vec<HostReport> {
        self.hosts.keys().filter_map(|id| self.report(id)).collect()
    }

    /// Which revisions hosts run, and who differs from most.
    #[must_use]
    pub fn drift(&self) -> Drift {
        let records = self.hosts.values().map(|host| &host.record);
        let revisions = records.map(|one| (one.id.clone(), drift::running(&one.observation)));
        let desired = Target::desired(&self.desired.remote).map(|target| target.commit);
        drift::drift(revisions, desired)
    }

    /// The rule trace behind each status of a host.
    #[must_use]
    pub fn explain(&self, id: &HostId) -> Option<Trace> {
        self.hosts
            .get(id)
            .map(|host| explain(&self.situation(host)))
    }

    pub(super) fn assess_host(&self, host: &Host) -> HostAssessment {
        assess(&self.situation(host))
    }

    /// The statuses of a host as if this target were the desired state, which a rollout that is
    /// under way means by it. What cannot be read stays unreadable.
    pub(super) fn assess_against(&self, host: &Host, target: Option<&Target>) -> HostAssessment {
        let situation = self.situation(host);
        let desired = Target::desired(&self.desired.remote);
        let pinned = target.filter(|target| desired.is_some() && desired.as_ref() != Some(target));
        let (Some(target), Remote::Verified(snapshot)) = (pinned, &self.desired.remote) else {
            return assess(&situation);
        };
        let mut snapshot = snapshot.clone();
        snapshot.commit = Ok(target.commit);
        if let Some(lock) = target.lock {
            snapshot.lock = Ok(lock);
        }
        let desired = DesiredState {
            remote: Remote::Verified(snapshot),
            history: None,
            ..self.desired.clone()
        };
        assess(&Situation {
            desired: &desired,
            ..situation
        })
    }

    fn situation<'a>(&'a self, host: &'a Host) -> Situation<'a> {
        let record = &host.record;
        Situation {
            observation: &record.observation,
            desired: &self.desired,
            deploy: &record.deploy,
            tests: record.tests.as_ref(),
            tests_enabled: record.tests_enabled,
            working: self.working_command(&host.open).map(working),
            presence: record.presence,
            hold: self.hold_on(record),
            quarantined: self.given_up(record),
            identity_conflict: host.identity_conflict,
            remote_in_grace: self.watch.in_grace(),
        }
    }

    pub(super) fn publish_host(&mut self, slot: Slot) -> Option<Arc<Delta>> {
        let host = self.hosts.at(slot)?;
        let view = Box::new(host_view(host, self.hold_and_source(&host.record)));
        let host = self.hosts.at_mut(slot)?;
        let shown = std::mem::replace(&mut host.shown, true);
        self.log.publish(if shown {
            Change::HostUpdated(view)
        } else {
            Change::HostAdded(view)
        })
    }

    pub(super) fn publish_status(&mut self, slot: Slot) -> Option<Arc<Delta>> {
        let host = self.hosts.at(slot)?;
        let status = StatusView::new(host.record.id.clone(), &self.assess_host(host));
        let whole = StatusUpdate::Whole(Box::new(status));
        self.log.publish(Change::StatusUpdated(whole))
    }

    pub(super) fn publish_command(
        &mut self,
        turn: &mut Turn,
        id: CommandId,
        progress: Option<ProgressView>,
    ) {
        let Some(command) = self.commands.get(&id) else {
            return;
        };
        let known = self.log.state().commands.get(&id);
        let progress = progress.or_else(|| known.and_then(|view| view.progress));
        let view = Box::new(command_view(
            command,
            progress.filter(|_| !command.phase.is_terminal()),
        ));
        turn.change(match (command.phase.is_terminal(), known) {
            (true, _) => Change::CommandFinished(view),
            (false, None) => Change::CommandStarted(view),
            (false, Some(_)) => Change::CommandProgress(view),
        });
    }

    pub(super) fn publish_desired(&self, turn: &mut Turn) {
        turn.desired_changed(Change::DesiredChanged(Box::new(self.desired_view())));
    }

    /// Everything, at start.
    pub(super) fn publish_everything(&mut self, turn: &mut Turn) {
        self.publish_desired(turn);
        let ids: Vec<HostId> = self.hosts.keys().cloned().collect();
        for id in &ids {
            turn.host_changed(id);
        }
        let commands: Vec<CommandId> = self.commands.keys().copied().collect();
        for id in commands {
            self.publish_command(turn, id, None);
        }
    }

    pub(super) fn event(
        &mut self,
        turn: &mut Turn,
        host: Option<&HostId>,
        code: &str,
        text: String,
        now: Timestamp,
    ) {
        let event = EventView {
            n: self.next_event,
            at: now,
            host: host.cloned(),
            code: code.to_owned(),
            text,
        };
        self.next_event += 1;
        turn.records.push(Record::Event(event.clone()));
        turn.change(Change::Event(event));
    }

    pub(super) fn remote_event(&mut self, turn: &mut Turn, was_readable: bool, now: Timestamp) {
        let (code, text) = match &self.desired.remote {
            Remote::Verified(snapshot) => {
                let commit = snapshot.commit.as_ref().map(crate::ids::CommitId::short);
                let commit = commit.unwrap_or_else(|why| why.detail.clone());
                let code = if was_readable {
                    "desired-changed"
                } else {
                    "remote-readable"
                };
                (code, format!("the desired state is {commit}"))
            }
            Remote::Failed { why, .. } => ("remote-failed", compartment::remote_sentence(why)),
        };
        self.event(turn, None, code, text, now);
    }

    fn desired_view(&self) -> DesiredView {
        let known = self.desired.remote.last_known();
        DesiredView {
            agent_version: self.desired.agent_version.clone(),
            remote: remote_view(&self.desired.remote),
            commit: known.and_then(|snapshot| snapshot.commit.as_ref().ok().copied()),
            lock: known.and_then(|snapshot| snapshot.lock.as_ref().ok().copied()),
            subject: known.and_then(|snapshot| snapshot.subject.clone()),
            commit_time: known.and_then(|snapshot| snapshot.commit_time),
            branch: known.and_then(|snapshot| snapshot.branch.clone()),
            host_driven: self.config.host_driven,
        }
    }
}

fn remote_view(remote: &Remote) -> RemoteView {
    let failed = |why: &Unavailable, since| RemoteView::Failed {
        cause: compartment::remote_sentence(why),
        hint: why.cause.hint().to_owned(),
        since,
    };
    match remote {
        Remote::Failed { why, since, .. } => failed(why, Some(*since)),
        Remote::Verified(snapshot) => match (&snapshot.commit, &snapshot.lock) {
            (Ok(_), Ok(_)) => RemoteView::Verified,
            (Err(why), _) | (Ok(_), Err(why)) => failed(why, None),
        },
    }
}

fn claimed_revision(host: &Host) -> Option<ClaimedRevision> {
    let running = host.record.observation.system.as_ref()?;
    running.configuration_revision.clone()
}

fn working(command: &Command) -> Working {
    Working {
        op: command.op,
        half: command.half,
        awaiting_reconnect: command.phase == Phase::AwaitingReconnect,
    }
}

fn host_view(host: &Host, held: Option<Held<'_>>) -> HostView {
    let record = &host.record;
    let (identity, seen) = (&record.identity, &record.observation);
    let system = seen.system.as_ref();
    HostView {
        id: record.id.clone(),
        hostname: record.id.to_string(),
        online: record.presence == Presence::Online,
        offline_since: match record.presence {
            Presence::Offline { since } => Some(since),
            Presence::Online | Presence::NeverSeen => None,
        },
        command_ids: identity.protocol == crate::host::AgentProtocol::Commands,
        host_type: identity.host_type.clone(),
        agent_version: seen.agent_version.clone(),
        os_version: identity.os_version.clone(),
        nixpkgs_version: identity.nixpkgs_version.clone(),
        location: identity.location.clone(),
        device_type: identity.device_type.clone(),
        theme_color: identity.theme_color.clone(),
        commit: seen.repo.map(|repo| repo.commit),
        lock: seen.repo.map(|repo| repo.lock),
        dirty: seen.repo.is_some_and(|repo| repo.dirty),
        repo_error: seen.repo_error.clone(),
        deployed: seen.deployed.as_ref().map(|deployed| DeployedView {
            commit: deployed.commit,
            lock: deployed.lock,
            store_path: deployed.store_path.clone(),
            inferred: deployed.inferred,
        }),
        running: system.and_then(|system| system.path.clone()),
        profile_number: system.and_then(|system| system.profile_number),
        reboot_required: system.is_some_and(|system| system.reboot_required),
        deploy_outcome: record.deploy.outcome,
        deploy_command: record.deploy.command,
        deploy_at: record.deploy.at,
        tests: record.tests.as_ref().map(|tests| TestsView {
            commit: tests.key.as_ref().map(|key| key.commit),
            verdict: tests.verdict,
            ran: tests.ran,
            failed: tests.failed.clone(),
            skipped: tests.skipped,
            at: tests.at,
        }),
        tests_enabled: record.tests_enabled,
        hold: held.map(|held| held.hold.clone()),
        held_by_selector: held.and_then(|held| held.by_selector),
        own_hold: record
            .hold
            .clone()
            .filter(|_| held.is_some_and(|held| held.by_selector.is_some())),
    }
}

fn command_view(command: &Command, progress: Option<ProgressView>) -> CommandView {
    CommandView {
        id: command.id,
        host: command.host.clone(),
        op: command.op,
        phase: command.phase,
        seq: command.seq.0,
        actor: command.actor.clone(),
        created: command.created,
        since: command.phase_since,
        ending: command.ending.as_ref().map(crate::lifecycle::Ending::kind),
        message: command.ending_text(),
        exit_code: command.exit.as_ref().map(|exit| exit.code),
        target: command.target.map(|target| target.commit),
        progress,
    }
}
