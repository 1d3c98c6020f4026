//! Rollouts of the fleet: the machine is asked what to do, and its commands go the way of all
//! commands (law D17).

use super::input::Reply;
use super::snapshot::{KEPT_ROLLOUTS, prune_rollouts};
use super::turn::Turn;
use super::world::{FleetWorld, ended};
use super::{AuditRecord, Fleet, Record, Timer};
use crate::admission::{Refusal, RefusalCode, admit};
use crate::host::{Actor, Hold};
use crate::ids::{HostId, PlanId, RolloutId};
use crate::lifecycle::Target;
use crate::notice::{Notice, NoticeKind};
use crate::op::Op;
use crate::rollout::{
    Act, Ask, AskKind, Candidate, Ended, HostRun, HostStage, Plan, PlanContext, PlanError,
    RECONNECT_BOUND, RolledBack, Rollout, RolloutState, Verb, VerbError, plan, request_of,
};
use crate::time::Timestamp;

/// Why a rollout was not started; nothing of it was.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum NotStarted {
    /// A rule said no.
    #[error("{0}")]
    Refused(Refusal),
    /// No plan can be made.
    #[error("{0}")]
    NotPlanned(PlanError),
    /// The plan is another one than the one confirmed.
    #[error("the plan has changed since it was shown")]
    PlanChanged(Box<Plan>),
}

impl From<NotStarted> for Reply {
    fn from(why: NotStarted) -> Self {
        match why {
            NotStarted::Refused(refusal) => Reply::Refused(refusal),
            NotStarted::NotPlanned(why) => Reply::NotPlanned(why),
            NotStarted::PlanChanged(plan) => Reply::PlanChanged(plan),
        }
    }
}

/// When something is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// Somebody asks for a plan, or starts one.
    Request,
    /// Somebody asks for what would follow a merge; the target does not exist yet.
    BeforeMerge,
    /// The same, for an automatic merge: agents get time to return, too.
    BeforeAutoMerge,
    /// The branch shows the merge. Nobody is there who could look at a plan again, and the server
    /// may just have been restarted: agents get time to return.
    AfterMerge,
}

impl Fleet {
    /// Who would take part in what is asked for, in which order. Starts nothing.
    ///
    /// # Errors
    /// [`PlanError`], which says what to change.
    pub fn plan(&self, ask: &Ask, actor: &Actor) -> Result<Plan, PlanError> {
        self.plan_for(ask, actor, Occasion::Request)
    }

    /// The same, on some occasion.
    pub(super) fn plan_for(
        &self,
        ask: &Ask,
        actor: &Actor,
        occasion: Occasion,
    ) -> Result<Plan, PlanError> {
        let (target_to_come, with_returning) = match occasion {
            Occasion::Request => (false, false),
            Occasion::BeforeMerge => (true, false),
            Occasion::BeforeAutoMerge => (true, true),
            Occasion::AfterMerge => (false, true),
        };
        let returning_since = with_returning.then(|| self.clock - RECONNECT_BOUND);
        let hosts = self.hosts.values().map(|host| {
            let record = &host.record;
            let own = &record.identity.update_policy;
            Candidate {
                host: &record.id,
                labels: super::settings::labels(record),
                presence: record.presence,
                hold: self.hold_on(record),
                auto_update: record.settings.auto_update(own),
                priority: record.settings.priority(own),
                canary: record.settings.canary(own),
                runs_server: record.settings.runs_server,
            }
        });
        let desired = Target::desired(&self.desired.remote).filter(|target| target.lock.is_some());
        let target = ask.target.or(desired).filter(|_| !target_to_come);
        let quarantined = target.and_then(|target| self.quarantined(&target));
        plan(
            ask,
            &PlanContext {
                hosts: hosts.collect(),
                desired,
                target_to_come,
                returning_since,
                actor,
                quarantined: quarantined.map(|one| one.why.clone()),
            },
        )
    }

    /// A rollout: one that has not ended, or one of the last that have.
    #[must_use]
    pub fn rollout(&self, id: RolloutId) -> Option<&Rollout> {
        self.rollouts.get(&id)
    }

    /// Every rollout that has not ended, and the last that have.
    pub fn rollouts(&self) -> impl Iterator<Item = &Rollout> {
        self.rollouts.values()
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one request")]
    pub(super) fn start_rollout(
        &mut self,
        turn: &mut Turn,
        actor: &Actor,
        id: RolloutId,
        ask: &Ask,
        confirm: Option<PlanId>,
        reason: Option<String>,
        now: Timestamp,
    ) -> Reply {
        let occasion = Occasion::Request;
        match self.begin_rollout(turn, actor, id, ask, occasion, confirm, reason, now) {
            Ok(plan) => Reply::RolloutStarted(Box::new(plan)),
            Err(why) => why.into(),
        }
    }

    /// Starts a rollout, or says why nothing was started.
    #[expect(clippy::too_many_arguments, reason = "the fields of one request")]
    pub(super) fn begin_rollout(
        &mut self,
        turn: &mut Turn,
        actor: &Actor,
        id: RolloutId,
        ask: &Ask,
        occasion: Occasion,
        confirm: Option<PlanId>,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<Plan, NotStarted> {
        if !self.config.store_intact {
            return Err(NotStarted::Refused(Refusal::new(RefusalCode::StoreDamaged)));
        }
        // The same request twice is one rollout.
        if let Some(known) = self.rollouts.get(&id) {
            return Ok(known.plan.clone());
        }
        let plan = match self.plan_for(ask, actor, occasion) {
            Ok(plan) => plan,
            Err(why) => {
                let row = AuditRecord::new(now, actor, "rollout.start", "refused");
                let row = row.because(Some(&why.to_string()));
                turn.records.push(Record::Audit(row));
                return Err(NotStarted::NotPlanned(why));
            }
        };
        if confirm.is_some_and(|confirmed| confirmed != plan.id) {
            return Err(NotStarted::PlanChanged(Box::new(plan)));
        }
        let others = self.to_supersede(&plan).map_err(NotStarted::NotPlanned)?;
        let world = FleetWorld {
            fleet: self,
            id,
            class: plan.policy.class,
            active_since: now,
        };
        let rollout = Rollout::new(id, plan.clone(), actor.clone(), reason, &world, now);
        for other in others {
            if let Some(other) = self.rollouts.get_mut(&other) {
                other.superseded_by = Some(id);
                turn.rollouts.insert(other.id);
                turn.look.insert(other.id);
            }
        }
        let row = AuditRecord::new(now, actor, "rollout.start", "started");
        let row = row.because(rollout.reason.as_deref());
        let row = row.changed(&None::<RolloutId>, &(id, plan.id));
        turn.records.push(Record::Audit(row));
        let what = told(&rollout);
        let hosts = rollout.hosts.len();
        self.rollouts.insert(id, rollout);
        turn.rollouts.insert(id);
        turn.look.insert(id);
        let text = format!("{what} started on {hosts} hosts");
        let notice = Notice::new(NoticeKind::RolloutStarted, now, &id.to_string(), &text, "");
        turn.notices.push(notice);
        self.event(turn, None, "rollout-started", text, now);
        Ok(plan)
    }

    /// The rollouts whose place a new one takes at their next wave; a job for the same target, or
    /// one that cannot be replaced, is in the way instead.
    pub(super) fn to_supersede(&self, plan: &Plan) -> Result<Vec<RolloutId>, PlanError> {
        let mut others = Vec::new();
        for other in self
            .rollouts
            .values()
            .filter(|one| !one.state.is_terminal())
        {
            let Some((_, host)) = plan.hosts().find(|(_, host)| other.claims(host)) else {
                continue;
            };
            let both = plan.kind == AskKind::Rollout && other.plan.kind == AskKind::Rollout;
            let commit = |target: Option<Target>| target.map(|target| target.commit);
            let same = commit(plan.target) == commit(other.target);
            if !both || same || other.state == RolloutState::RollingBack {
                return Err(PlanError::Occupied {
                    rollout: other.id,
                    host: host.clone(),
                });
            }
            others.push(other.id);
        }
        Ok(others)
    }

    pub(super) fn rollout_verb(
        &mut self,
        turn: &mut Turn,
        actor: &Actor,
        id: RolloutId,
        verb: &Verb,
        now: Timestamp,
    ) -> Reply {
        let overtaken = self.rollouts.get(&id);
        let overtaken = overtaken.and_then(|rollout| self.overtaken(rollout, verb));
        let Some(rollout) = self.rollouts.get_mut(&id) else {
            return Reply::UnknownRollout(id);
        };
        if !self.config.store_intact {
            return Reply::Refused(Refusal::new(RefusalCode::StoreDamaged));
        }
        let before = rollout.state;
        let outcome: Result<(), VerbError> = match overtaken {
            Some(why) => Err(why),
            None => rollout.apply(verb, now),
        };
        let code = if outcome.is_ok() { "done" } else { "refused" };
        let action = format!("rollout.{}", crate::rollout::word(&verb.name()));
        let mut row = AuditRecord::new(now, actor, &action, code);
        if let Verb::SkipHost(host) = verb {
            row = row.on(host);
        }
        let row = row.changed(&(id, before), &(id, rollout.state));
        turn.records.push(Record::Audit(row));
        match outcome {
            Err(why) => Reply::VerbRefused(why),
            Ok(()) => {
                turn.rollouts.insert(id);
                turn.look.insert(id);
                let text = format!("{}: {} by {}", told_id(id), action, actor.name());
                self.event(turn, None, "rollout-verb", text, now);
                Reply::Done
            }
        }
    }

    /// Whether an ended rollout is not the last word any more on a host that a verb would change: a
    /// later one of another target changed it, or is about to. Going on would bring back what that
    /// one replaced.
    fn overtaken(&self, rollout: &Rollout, verb: &Verb) -> Option<VerbError> {
        if !rollout.state.is_terminal() || !verb.name().row().states.contains(&rollout.state) {
            return None;
        }
        let would_change = |run: &HostRun| match verb {
            Verb::RetryFailed => matches!(run.state, HostStage::Failed | HostStage::Cancelled),
            Verb::RollBack => run.can_go_back(),
            Verb::Pause | Verb::Resume | Verb::Cancel | Verb::SkipHost(_) | Verb::Approve => false,
        };
        let commit = |one: &Rollout| one.target.map(|target| target.commit);
        let later = self.rollouts.values().filter(|other| {
            (other.active_since, other.id) > (rollout.active_since, rollout.id)
                && commit(other) != commit(rollout)
        });
        for other in later {
            let has_it = |host: &HostId| {
                let changed = other.hosts.get(host).is_some_and(HostRun::is_changed);
                changed || other.claims(host)
            };
            let mut hosts = rollout.hosts.iter();
            if let Some((host, _)) = hosts.find(|(host, run)| would_change(run) && has_it(host)) {
                return Some(VerbError::Overtaken {
                    rollout: other.id,
                    host: host.clone(),
                });
            }
        }
        None
    }

    /// Rollouts of a fleet that was read back. What happened meanwhile was not seen, so the soak of
    /// canaries begins anew, and nobody is given up before agents had time to return.
    pub(super) fn resume_rollouts(
        &mut self,
        turn: &mut Turn,
        mut stored: Vec<Rollout>,
        now: Timestamp,
    ) {
        prune_rollouts(&mut stored);
        for mut rollout in stored {
            rollout.resume(now);
            if !rollout.state.is_terminal() {
                turn.rollouts.insert(rollout.id);
            }
            turn.change(crate::sync::Change::RolloutUpdated(Box::new(
                rollout.view(),
            )));
            self.rollouts.insert(rollout.id, rollout);
        }
        turn.look_at_all = true;
    }

    /// Everything that follows from what happened in this call: tests after a deploy, and what
    /// rollouts want next.
    pub(super) fn go_on(&mut self, turn: &mut Turn, now: Timestamp) {
        for (host, after) in std::mem::take(&mut turn.test_next) {
            self.run_tests_after(turn, &host, after, now);
        }
        if !self.config.store_intact {
            self.start_what_waited(turn, now);
            return;
        }
        self.note_ends(turn, now);
        let touched: Vec<RolloutId> = {
            let active = self
                .rollouts
                .values()
                .filter(|one| !one.state.is_terminal());
            let concerned =
                |one: &&Rollout| turn.touched().any(|host| one.hosts.contains_key(host));
            active.filter(concerned).map(|one| one.id).collect()
        };
        turn.look.extend(touched);
        while turn.look_at_all || !turn.look.is_empty() {
            self.look_at_rollouts(turn, now);
            self.revert_what_is_due(turn, now);
            self.resume_automation(turn, now);
        }
        self.revert_what_is_due(turn, now);
        self.resume_automation(turn, now);
    }

    fn look_at_rollouts(&mut self, turn: &mut Turn, now: Timestamp) {
        while turn.look_at_all || !turn.look.is_empty() {
            if std::mem::take(&mut turn.look_at_all) {
                let active = self
                    .rollouts
                    .values()
                    .filter(|one| !one.state.is_terminal());
                turn.look.extend(active.map(|one| one.id));
            }
            let mut look: Vec<(Timestamp, RolloutId)> = std::mem::take(&mut turn.look)
                .into_iter()
                .filter_map(|id| Some((self.rollouts.get(&id)?.active_since, id)))
                .collect();
            look.sort_unstable();
            for (_, id) in look {
                self.step_rollout(turn, id, now);
            }
            self.note_ends(turn, now);
        }
    }

    /// Of the ended ones the last are kept in memory; the store keeps more of them.
    fn forget_old_rollouts(&mut self) {
        let ended = self.rollouts.values().filter(|one| one.is_over());
        let mut ended: Vec<_> = ended.map(|one| (one.since, one.id)).collect();
        ended.sort_unstable();
        let surplus = ended.len().saturating_sub(KEPT_ROLLOUTS);
        for (_, id) in ended.into_iter().take(surplus) {
            self.rollouts.remove(&id);
        }
    }

    fn note_ends(&mut self, turn: &mut Turn, now: Timestamp) {
        while !turn.ended.is_empty() || !turn.start_next.is_empty() {
            self.tell_rollouts(turn, now);
            self.start_what_waited(turn, now);
        }
    }

    fn start_what_waited(&mut self, turn: &mut Turn, now: Timestamp) {
        for host in std::mem::take(&mut turn.start_next) {
            self.start_next(turn, &host, now);
        }
    }

    fn tell_rollouts(&mut self, turn: &mut Turn, now: Timestamp) {
        for id in std::mem::take(&mut turn.ended) {
            let Some(command) = self.commands.get(&id) else {
                continue;
            };
            let Some(of) = command.actor.as_rollout() else {
                continue;
            };
            let restarts = self
                .rollouts
                .get(&of)
                .is_some_and(|one| one.plan.ops.contains(&Op::Restart));
            let ended = ended(command, restarts);
            self.with_rollout(turn, of, now, |rollout, _| rollout.ended(id, &ended, now));
            turn.look.insert(of);
        }
    }

    fn step_rollout(&mut self, turn: &mut Turn, id: RolloutId, now: Timestamp) {
        self.with_rollout(turn, id, now, |rollout, fleet| {
            let world = FleetWorld::new(fleet, rollout);
            rollout.step(&world, now)
        });
    }

    /// Lets one rollout work, and does what it wants; what changed is told and stored.
    pub(super) fn with_rollout(
        &mut self,
        turn: &mut Turn,
        id: RolloutId,
        now: Timestamp,
        work: impl FnOnce(&mut Rollout, &Fleet) -> Vec<Act>,
    ) {
        let Some(mut rollout) = self.rollouts.remove(&id) else {
            return;
        };
        let before = rollout.clone();
        let acts = work(&mut rollout, self);
        let changed = rollout != before;
        let due = rollout.poll_timeout();
        let after = rollout.clone();
        self.rollouts.insert(id, rollout);
        if changed {
            turn.rollouts.insert(id);
            self.timers
                .retain(|(_, timer)| *timer != Timer::Rollout(id));
            self.tell_rollout(turn, &before, &after, now);
            self.tell_update_job(turn, &after, now);
        }
        if let Some(due) = due {
            self.timers.insert((due, Timer::Rollout(id)));
        }
        if after.state.is_terminal() && !before.state.is_terminal() {
            turn.look_at_all = true;
            turn.automation_may_go_on = true;
            self.forget_old_rollouts();
        }
        for act in acts {
            self.act(turn, &after, act, now);
        }
    }

    fn act(&mut self, turn: &mut Turn, rollout: &Rollout, act: Act, now: Timestamp) {
        let actor = Actor::rollout(rollout.id);
        match act {
            Act::Start {
                host,
                op,
                command,
                generation,
            } => {
                let target = rollout.target.as_ref();
                let mut request = request_of(rollout.id, &host, op, target, generation);
                request.reason.clone_from(&rollout.reason);
                let class = rollout.plan.policy.class;
                match self.admission_as(&request, class, admit) {
                    Ok(admitted) => {
                        let action = format!("dispatch.{}", op.name());
                        let mut row = AuditRecord::new(now, &actor, &action, "accepted").on(&host);
                        row.command = Some(command);
                        let row = row.because(rollout.reason.as_deref());
                        turn.records.push(Record::Audit(row));
                        self.start_command(turn, admitted, command, now);
                    }
                    // The machine was told yes a moment ago; if not, it must learn of it.
                    Err(refusal) => {
                        let why = Ended::Failed(refusal.sentence());
                        self.with_rollout(turn, rollout.id, now, |rollout, _| {
                            rollout.ended(command, &why, now)
                        });
                        turn.look.insert(rollout.id);
                    }
                }
            }
            Act::Hold { host, why } => {
                let Some(own) = self.hosts.get_mut(&host) else {
                    return;
                };
                // A person's hold says more, and lasts as long as they want.
                if own.record.hold.is_some() {
                    return;
                }
                own.record.hold = Some(Hold {
                    by: actor.name().to_owned(),
                    why: why.clone(),
                    until: None,
                });
                turn.host_changed(&host);
                let row = AuditRecord::new(now, &actor, "hold", "done").on(&host);
                let row = row.because(Some(&why));
                let row = row.changed(&None::<Hold>, &own.record.hold);
                turn.records.push(Record::Audit(row));
            }
            Act::Quarantine { why } => {
                if let Some(target) = rollout.target {
                    self.put_in_quarantine(turn, &actor, target, &why, now);
                }
            }
            Act::Revert => {
                // Asked of the forge once the rollout has ended.
                let text = format!("{} wants its update reverted", told(rollout));
                self.event(turn, None, "revert-wanted", text, now);
            }
        }
    }

    fn tell_rollout(&mut self, turn: &mut Turn, before: &Rollout, after: &Rollout, now: Timestamp) {
        for (host, run) in &after.hosts {
            let old = before.hosts.get(host);
            let newly =
                |state: HostStage| run.state == state && old.is_some_and(|old| old.state != state);
            let message = run.message.clone().unwrap_or_default();
            if newly(HostStage::Failed) {
                let text = format!("{host} failed: {message}");
                self.event(turn, Some(host), "rollout-host-failed", text, now);
            } else if newly(HostStage::Skipped) {
                let text = format!("{host} was left out: {message}");
                self.event(turn, Some(host), "rollout-host-skipped", text, now);
            }
            let told = |run: &HostRun| match &run.rolled_back {
                // One that was given up says nothing about its own host.
                None | Some(RolledBack::Abandoned) => None,
                Some(back) => back.why_not_back().map(str::to_owned),
            };
            if let (Some(why), true) = (told(run), old.and_then(told).is_none()) {
                self.rollback_failed(turn, after.id, host, &why, now);
            }
        }
        if before.state == after.state {
            return;
        }
        let state = crate::rollout::word(&after.state);
        let totals = after.totals();
        let message = after.message.clone().unwrap_or_default();
        let text = format!(
            "{} is {state}: {} of {} hosts done",
            told(after),
            totals.done,
            totals.targets
        );
        self.event(turn, None, &format!("rollout-{state}"), text.clone(), now);
        let kind = match after.state {
            RolloutState::Complete => NoticeKind::RolloutFinished,
            RolloutState::Partial
            | RolloutState::Failed
            | RolloutState::Halted
            | RolloutState::Cancelled
            | RolloutState::Superseded => NoticeKind::RolloutStopped,
            RolloutState::Running
            | RolloutState::Paused
            | RolloutState::AwaitingApproval
            | RolloutState::RollingBack => return,
        };
        let subject = format!("{}:{state}", after.id);
        turn.notices
            .push(Notice::new(kind, now, &subject, text, message));
    }

    fn rollback_failed(
        &mut self,
        turn: &mut Turn,
        id: RolloutId,
        host: &HostId,
        why: &str,
        now: Timestamp,
    ) {
        let text = format!("{host} could not be rolled back: {why}");
        self.event(turn, Some(host), "rollback-failed", text.clone(), now);
        let subject = format!("{id}:{host}:rollback");
        let body = "the rollout will be halted: look at the host";
        let notice = Notice::new(NoticeKind::HostFailed, now, &subject, text, body);
        turn.notices.push(notice.on(host));
    }
}

fn told(rollout: &Rollout) -> String {
    match &rollout.plan.kind {
        AskKind::Rollout => told_id(rollout.id),
        AskKind::Pipeline(name) => format!("pipeline {name} ({})", rollout.id),
    }
}

fn told_id(id: RolloutId) -> String {
    format!("rollout {id}")
}
