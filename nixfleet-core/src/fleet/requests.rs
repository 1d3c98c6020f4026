//! What clients ask for.

use super::input::{Accepted, Decision, Dispatch, Dispatched, Reply, Request, RequestId};
use super::turn::Turn;
use super::{AuditRecord, Effect, Fleet, Host, HostRecord, Record, Timer};
use crate::admission::{self, Check, Lane, Occupant, Refusal, RefusalCode, admit, admit_to_queue};
use crate::compartment::Compartment;
use crate::host::Actor;
use crate::ids::{CommandId, HostId};
use crate::lifecycle::{Command, Event, Target, Withdrawal};
use crate::op::{Op, Performer};
use crate::sync::Change;
use crate::time::Timestamp;
use crate::update::MergeOrder;
use crate::window::ActionClass;

impl Fleet {
    pub(super) fn request(
        &mut self,
        turn: &mut Turn,
        id: RequestId,
        actor: &Actor,
        request: Request,
        now: Timestamp,
    ) {
        let reply = self.carry_out(turn, actor, request, now);
        turn.replies.push(Effect::Reply { request: id, reply });
    }

    fn carry_out(
        &mut self,
        turn: &mut Turn,
        actor: &Actor,
        request: Request,
        now: Timestamp,
    ) -> Reply {
        if !self.config.store_intact && request.settles() {
            return Reply::Refused(Refusal::new(RefusalCode::StoreDamaged));
        }
        match request {
            Request::Dispatch(dispatch) => self.dispatch(turn, actor, &dispatch, now),
            Request::Stop {
                host,
                command,
                signal,
            } => {
                let Some(command) = command
                    .or_else(|| self.running_on(&host))
                    .filter(|c| self.is_open_on(&host, *c))
                else {
                    return self
                        .known_host(&host)
                        .map_or(Reply::UnknownHost(host), |()| Reply::UnknownCommand);
                };
                self.audit(
                    turn,
                    actor,
                    "stop",
                    Some(&host),
                    Some(command),
                    None,
                    "requested",
                    now,
                );
                self.command_event(turn, command, &Event::KillRequest(signal), now);
                Reply::Done
            }
            Request::Decide { command, decision } => {
                self.decide(turn, actor, command, decision, now)
            }
            Request::AddHost { host } => {
                if !self.hosts.contains_key(&host) {
                    let record = HostRecord::new(host.clone(), now);
                    self.hosts.insert(host.clone(), Host::new(record));
                    turn.host_changed(&host);
                    self.audit(
                        turn,
                        actor,
                        "host.add",
                        Some(&host),
                        None,
                        None,
                        "done",
                        now,
                    );
                }
                Reply::Done
            }
            Request::Hold { host, hold } => {
                self.edit_host(turn, actor, &host, "hold", now, |record| {
                    record.hold = Some(hold);
                })
            }
            Request::Release { host } => {
                self.edit_host(turn, actor, &host, "release", now, |record| {
                    record.hold = None
                })
            }
            Request::SetTests { host, enabled } => {
                self.edit_host(turn, actor, &host, "tests", now, |record| {
                    record.tests_enabled = enabled
                })
            }
            Request::SetColor { host, color } => {
                self.edit_host(turn, actor, &host, "set-color", now, |record| {
                    record.identity.theme_color = Some(color);
                })
            }
            Request::SetHostSettings { host, settings } => match settings.check() {
                Err(why) => Reply::BadSettings(why),
                Ok(()) => self.edit_host(turn, actor, &host, "settings", now, |record| {
                    record.settings = *settings;
                }),
            },
            Request::StartRollout {
                id,
                ask,
                confirm,
                reason,
            } => self.start_rollout(turn, actor, id, &ask, confirm, reason, now),
            Request::Rollout { id, verb } => self.rollout_verb(turn, actor, id, &verb, now),
            Request::SetWindow { window, zone } => self.set_window(turn, actor, *window, zone, now),
            Request::RemoveWindow { id } => self.remove_window(turn, actor, &id, now),
            Request::LiftQuarantine { commit, reason } => {
                self.lift_quarantine(turn, actor, commit, &reason, now)
            }
            Request::CheckUpdates => self.check_updates(turn, actor, now),
            Request::MergePr {
                number,
                head,
                override_reason,
                deploy,
                confirm,
            } => {
                let order = MergeOrder {
                    number,
                    head,
                    reason: override_reason,
                    deploy: deploy.map(|deploy| *deploy),
                };
                self.merge_pr(turn, actor, order, confirm, now)
            }
            Request::RevertPr {
                number,
                kind,
                reason,
            } => self.revert_pr(turn, actor, number, kind, reason, now),
            Request::HoldBySelector {
                selector,
                why,
                until,
            } => self.hold_by_selector(turn, actor, selector, why, until, now),
            Request::ReleaseSelector { id } => self.release_selector(turn, actor, id, now),
        }
    }

    fn known_host(&self, id: &HostId) -> Option<()> {
        self.hosts.get(id).map(|_| ())
    }

    fn edit_host(
        &mut self,
        turn: &mut Turn,
        actor: &Actor,
        id: &HostId,
        action: &str,
        now: Timestamp,
        edit: impl FnOnce(&mut HostRecord),
    ) -> Reply {
        let Some(host) = self.hosts.get_mut(id) else {
            return Reply::UnknownHost(id.clone());
        };
        let before = editable(&host.record);
        edit(&mut host.record);
        let record = host.record.clone();
        let after = editable(&record);
        self.arm_hold(&record);
        turn.host_changed(id);
        let row = AuditRecord::new(now, actor, action, "done").on(id);
        let reason = record.hold.as_ref().filter(|_| action == "hold");
        let row = row.because(reason.map(|hold| hold.why.as_str()));
        turn.records
            .push(Record::Audit(row.changed(&before, &after)));
        Reply::Done
    }

    fn decide(
        &mut self,
        turn: &mut Turn,
        actor: &Actor,
        id: CommandId,
        decision: Decision,
        now: Timestamp,
    ) -> Reply {
        let Some(command) = self.commands.get(&id).filter(|c| !c.phase.is_terminal()) else {
            return Reply::UnknownCommand;
        };
        let host = command.host.clone();
        let (event, action) = match decision {
            Decision::Extend(by) => (Event::Extend(by), "extend"),
            Decision::Ignore => (Event::Ignore, "ignore"),
            Decision::Cancel => (Event::Cancel(Withdrawal::Cancelled), "cancel"),
        };
        self.audit(
            turn,
            actor,
            action,
            Some(&host),
            Some(id),
            None,
            "requested",
            now,
        );
        self.command_event(turn, id, &event, now);
        Reply::Done
    }

    /// If one host is not known, nothing at all is started.
    fn dispatch(
        &mut self,
        turn: &mut Turn,
        actor: &Actor,
        dispatch: &Dispatch,
        now: Timestamp,
    ) -> Reply {
        if let Some((unknown, _)) = dispatch
            .hosts
            .iter()
            .find(|(host, _)| !self.hosts.contains_key(host))
        {
            return Reply::UnknownHost(unknown.clone());
        }
        let action = format!("dispatch.{}", dispatch.op.name());
        let mut outcomes = Vec::new();
        for (host, command) in &dispatch.hosts {
            let outcome = self.dispatch_one(turn, actor, dispatch, host, *command, now);
            let told = outcome
                .as_ref()
                .map_or_else(|refusal| refusal.code.code(), |_| "accepted");
            let made = outcome.as_ref().ok().map(|_| *command);
            self.audit(
                turn,
                actor,
                &action,
                Some(host),
                made,
                dispatch.reason.as_deref(),
                told,
                now,
            );
            outcomes.push(Dispatched {
                host: host.clone(),
                outcome,
            });
        }
        Reply::Dispatched(outcomes)
    }

    fn dispatch_one(
        &mut self,
        turn: &mut Turn,
        actor: &Actor,
        dispatch: &Dispatch,
        host: &HostId,
        id: CommandId,
        now: Timestamp,
    ) -> Result<Accepted, Refusal> {
        if !self.config.store_intact {
            return Err(Refusal::new(RefusalCode::StoreDamaged));
        }
        let request = admission::Request {
            args: dispatch.args.clone(),
            second_factor: dispatch.second_factor,
            force: dispatch.force,
            confirmed: dispatch.confirmed,
            override_busy: dispatch.override_busy,
            reason: dispatch.reason.clone(),
            target: dispatch.target,
            ..admission::Request::new(host.clone(), dispatch.op, actor.clone())
        };
        if dispatch.op.spec().performer == Performer::Server {
            return self.dispatch_to_server(turn, &request, now);
        }
        match self.admission(&request, admit) {
            Ok(admitted) => {
                self.start_command(turn, admitted, id, now);
                Ok(Accepted::Started(id))
            }
            Err(_) if dispatch.queue => {
                let queueable = self.admission(&request, |request, situation| {
                    admit_to_queue(request, situation)
                })?;
                self.queue_command(turn, &queueable, id, now);
                Ok(Accepted::Queued(id))
            }
            Err(refusal) => {
                let (command, trace) = Command::refused_traced(&request, refusal.clone(), id, now);
                self.note_rows(id, &trace);
                turn.records.push(Record::Command(command));
                Err(refusal)
            }
        }
    }

    /// The server's own short work occupies no host and ends at once.
    fn dispatch_to_server(
        &mut self,
        turn: &mut Turn,
        request: &admission::Request,
        now: Timestamp,
    ) -> Result<Accepted, Refusal> {
        self.admission(request, admit)?;
        let not_here = Err(Refusal::new(RefusalCode::NotSupported));
        match request.op {
            Op::RefreshGit | Op::RefreshLock | Op::RefreshAll | Op::CheckVersion => {
                turn.sends.push(Effect::ReadRemote);
                Ok(Accepted::Done)
            }
            Op::Remove => {
                self.refuse_while_in_use(&request.host)?;
                self.remove_host(turn, &request.host, now);
                Ok(Accepted::Done)
            }
            Op::MergePr => {
                self.merge_current(turn, &request.actor, request.reason.clone(), now)?;
                Ok(Accepted::Done)
            }
            Op::SetColor | Op::Hold | Op::Release | Op::RevertPr => not_here,
            Op::Pull
            | Op::Switch
            | Op::PullSwitch
            | Op::Test
            | Op::Rollback
            | Op::Restart
            | Op::Reboot
            | Op::RefreshSystem
            | Op::UpdateInputs
            | Op::ForceRebuild => not_here,
        }
    }

    /// Asks the admission rules about a host as it is now.
    pub(super) fn admission<T>(
        &self,
        request: &admission::Request,
        ask: impl FnOnce(&admission::Request, &admission::Conditions<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let by_rollout = request.actor.as_rollout();
        let by_rollout = by_rollout.and_then(|id| self.rollouts.get(&id));
        let class = by_rollout.map_or(ActionClass::Routine, |one| one.plan.policy.class);
        self.admission_as(request, class, ask)
    }

    /// The same, where an update is of this class.
    pub(super) fn admission_as<T>(
        &self,
        request: &admission::Request,
        class: ActionClass,
        ask: impl FnOnce(&admission::Request, &admission::Conditions<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let Some(host) = self.hosts.get(&request.host) else {
            return Err(Refusal::new(RefusalCode::NeverSeen));
        };
        let target = request
            .target
            .or_else(|| Target::desired(&self.desired.remote));
        let assessment = self.assess_against(host, request.target.as_ref());
        let base = |compartment| assessment.of(compartment).base;
        let test_key = super::evidence::current_test_key(&host.record.observation);
        let occupant = |lane: Lane| {
            let mut active = host.open.iter().filter_map(|id| self.commands.get(id));
            let found = active.find(|c| c.phase.is_active() && c.lane == lane)?;
            Some(Occupant {
                id: Some(found.id),
                op: found.op,
            })
        };
        // Spec 02, `SKIPPED`: a command that nobody tracks any more keeps its host busy until the
        // agent reports idle.
        let untracked = host.agent_runs.map(|op| Occupant { id: None, op });
        let situation = admission::Conditions {
            presence: host.record.presence,
            identity: &host.record.identity,
            observation: &host.record.observation,
            active: occupant(Lane::Main).or(untracked),
            restarting: occupant(Lane::Restart),
            agent: base(Compartment::Agent),
            git: base(Compartment::Git),
            lock: base(Compartment::Lock),
            remote: &self.desired.remote,
            test_key: test_key.as_ref(),
            hold: self.hold_on(&host.record),
            quarantined: target.is_some_and(|target| self.quarantined(&target).is_some()),
            signature: Check::NotRequired,
            window: self.window_for(host, ActionClass::of(request.op, class), request),
            host_driven: self.config.host_driven,
            pr: &self.pr_state(request.reason.is_some()),
        };
        ask(request, &situation)
    }

    /// Law B21: a host with an active or queued command, or one that a rollout still has in hand, is
    /// not removed.
    fn refuse_while_in_use(&self, id: &HostId) -> Result<(), Refusal> {
        let open = self.hosts.get(id).and_then(|host| host.open.first());
        if let Some(command) = open.and_then(|id| self.commands.get(id)) {
            let subject = format!("{} ({}) is open", command.op.name(), command.id);
            return Err(Refusal::about(RefusalCode::Busy, subject));
        }
        match self.rollouts().find(|rollout| rollout.claims(id)) {
            Some(rollout) => {
                let subject = format!("rollout {} has it in hand", rollout.id);
                Err(Refusal::about(RefusalCode::Busy, subject))
            }
            None => Ok(()),
        }
    }

    fn remove_host(&mut self, turn: &mut Turn, id: &HostId, now: Timestamp) {
        if let Some(host) = self.hosts.remove(id) {
            for command in host.open.iter().chain(&host.record.last_ended) {
                self.commands.remove(command);
            }
        }
        turn.records.push(Record::HostRemoved(id.clone()));
        turn.change(Change::HostRemoved(id.clone()));
        self.event(turn, None, "host-removed", format!("{id} was removed"), now);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one audit row, written in one place"
    )]
    fn audit(
        &self,
        turn: &mut Turn,
        actor: &Actor,
        action: &str,
        host: Option<&HostId>,
        command: Option<CommandId>,
        reason: Option<&str>,
        outcome: &str,
        now: Timestamp,
    ) {
        turn.records.push(Record::Audit(AuditRecord {
            at: now,
            actor: actor.clone(),
            action: action.to_owned(),
            host: host.cloned(),
            command,
            reason: reason.map(str::to_owned),
            outcome: outcome.to_owned(),
            before: None,
            after: None,
            peer: None,
        }));
    }

    pub(super) fn end_hold(&mut self, turn: &mut Turn, id: &HostId, now: Timestamp) {
        let Some(host) = self.hosts.get_mut(id) else {
            return;
        };
        let ended = |hold: &crate::host::Hold| hold.until.is_some_and(|until| until <= now);
        if host.record.hold.as_ref().is_some_and(ended) {
            let before = host.record.hold.take();
            turn.host_changed(id);
            let actor = Actor::Automation("end of the hold".to_owned());
            let row = AuditRecord::new(now, &actor, "release", "done").on(id);
            turn.records
                .push(Record::Audit(row.changed(&before, &host.record.hold)));
        }
    }

    pub(super) fn arm_hold(&mut self, record: &HostRecord) {
        if let Some(until) = record.hold.as_ref().and_then(|hold| hold.until) {
            self.timers.insert((until, Timer::Hold(record.id.clone())));
        }
    }
}

/// What people can edit of a host, for the audit trail.
fn editable(record: &HostRecord) -> serde_json::Value {
    serde_json::json!({
        "hold": record.hold,
        "tests_enabled": record.tests_enabled,
        "theme_color": record.identity.theme_color,
        "settings": record.settings,
    })
}
