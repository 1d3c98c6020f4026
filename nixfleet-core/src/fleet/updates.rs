//! Updates within the fleet: requests and answers go to [`Updates`], its steps become records,
//! calls, events, notices, and what clients see.

use std::collections::BTreeSet;

use super::input::Reply;
use super::rollouts::{NotStarted, Occasion};
use super::turn::Turn;
use super::{AuditRecord, Effect, Fleet, Record};
use crate::admission::{PrState, Refusal, RefusalCode, WindowState};
use crate::desired::PendingPr;
use crate::host::Actor;
use crate::ids::{CommitId, PlanId, RolloutId};
use crate::lifecycle::Target;
use crate::notice::{Notice, NoticeKind};
use crate::op::Op;
use crate::rollout::{ConfirmedHosts, HostRun, Plan, PlanError, Rollout, RolloutState, Targets};
use crate::sync::Change;
use crate::time::Timestamp;
use crate::update::{
    AUTO_MERGE, AuditNote, Deploy, DeployOrder, ForgeAnswer, Gates, MergeOrder, PrNumber, Progress,
    RevertKind, UpdateRecord, UpdateRefusal, UpdateStep, Updates, UpdatesView,
};
use crate::window::{ActionClass, Opening};

/// What became of the rollout that follows a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
enum DeployStart {
    /// It runs; from now on it tells how far it is.
    Started {
        /// Hosts in its plan.
        targets: u32,
    },
    /// It ended while nobody listened.
    Ended {
        /// Whether the job ends well.
        well: bool,
        /// How it ended.
        why: String,
    },
    /// Nothing was started; why, for people.
    NotStarted(String),
}

impl DeployStart {
    fn started(targets: usize) -> Self {
        DeployStart::Started {
            targets: small(targets),
        }
    }
}

impl Fleet {
    /// Updates, if a forge is configured.
    #[must_use]
    pub fn updates(&self) -> Option<&Updates> {
        self.updates.as_ref()
    }

    /// What clients see of updates, if a forge is configured.
    #[must_use]
    pub fn updates_view(&self) -> Option<UpdatesView> {
        self.updates.as_ref().map(Updates::view)
    }

    /// The rollout that would follow a merge: exactly its waves and hosts. Its target is the merge
    /// commit, which nobody knows yet. Starts nothing.
    ///
    /// # Errors
    /// [`PlanError`], which says what to change.
    pub fn plan_deploy(&self, deploy: &Deploy, actor: &Actor) -> Result<Plan, PlanError> {
        self.plan_for(&deploy.ask(None), actor, Occasion::BeforeMerge)
    }

    /// What maintenance windows and the quarantine say about automatic merges. A merge turns every
    /// host yellow, so it waits until the rollout can start on one of them.
    fn gates(&self) -> Gates {
        let quarantine = self.quarantine().iter();
        let quarantined = quarantine.filter_map(|one| Some((one.target.lock?, one.why.clone())));
        let mut window = WindowState::Open;
        if !self.windows().is_empty() {
            let mut opens = None;
            let mut open = self.hosts.is_empty();
            for host in self.hosts.values() {
                match self.opening(&host.record, ActionClass::Routine, self.clock) {
                    Opening::Open => open = true,
                    Opening::Closed(at) => opens = [opens, at].into_iter().flatten().min(),
                }
            }
            if !open {
                window = WindowState::Closed { opens };
            }
        }
        Gates {
            quarantined: quarantined.collect(),
            window,
            rollout: self.keeps_automation_waiting(),
        }
    }

    /// Why the rollout of an automatic merge could not start now. A fleet without hosts has none.
    fn keeps_automation_waiting(&self) -> Option<String> {
        if let Some(rollout) = self.revert_due() {
            return Some(format!("rollout {rollout} wants its update reverted first"));
        }
        if self.hosts.is_empty() {
            return None;
        }
        let deploy = Updates::automatic_deploy(RolloutId::from_bytes([0; 16]));
        let actor = Actor::Automation(AUTO_MERGE.to_owned());
        let plan = self.plan_for(&deploy.ask(None), &actor, Occasion::BeforeAutoMerge);
        let others = plan.and_then(|plan| self.to_supersede(&plan));
        others.err().map(|why| why.to_string())
    }

    /// Looks at an automatic merge again when what kept its rollout from starting may be gone.
    pub(super) fn resume_automation(&mut self, turn: &mut Turn, now: Timestamp) {
        let waits = self
            .updates
            .as_ref()
            .is_some_and(Updates::waits_for_its_rollout);
        if std::mem::take(&mut turn.automation_may_go_on) && waits {
            self.settle_updates(turn, now);
        }
    }

    /// The rollout whose revert is to be asked for next.
    fn revert_due(&self) -> Option<RolloutId> {
        let due = self.rollouts.values();
        let due = due.filter(|one| one.revert_due && one.state.is_terminal());
        due.map(|one| (one.since, one.id)).min().map(|(_, id)| id)
    }

    /// Asks for the reverts that ended rollouts want, one job at a time. One that has to wait stays
    /// with its rollout, also over a restart.
    pub(super) fn revert_what_is_due(&mut self, turn: &mut Turn, now: Timestamp) {
        while let Some(id) = self.revert_due() {
            let job = self.updates.as_ref().and_then(Updates::open_job);
            if job.is_some() {
                return;
            }
            let Some(rollout) = self.rollouts.get_mut(&id) else {
                return;
            };
            rollout.revert_due = false;
            let rollout = rollout.clone();
            turn.rollouts.insert(id);
            self.revert_after(turn, &rollout, now);
        }
    }

    /// Starts the rollout of exactly the merge commit; from then on it tells of itself with
    /// [`Fleet::tell_update_job`].
    fn deploy_merged(
        &mut self,
        turn: &mut Turn,
        order: &DeployOrder,
        now: Timestamp,
    ) -> DeployStart {
        let target = Target {
            commit: order.commit,
            lock: order.lock,
        };
        // It may have been started by this order just before the server ended. A rollout of anything
        // else under this id deploys nothing of the merge.
        if let Some(known) = self.rollouts.get(&order.deploy.rollout) {
            return match known.target.map(|target| target.commit) {
                Some(commit) if commit == order.commit => self.deploy_goes_on(order),
                Some(_) | None => DeployStart::NotStarted(format!(
                    "{} is merged as {}, but no rollout was started: rollout {} is another one",
                    order.number,
                    order.commit.short(),
                    known.id
                )),
            };
        }
        let ask = order.deploy.ask(Some(target));
        let (id, reason) = (order.deploy.rollout, order.reason.clone());
        let occasion = Occasion::AfterMerge;
        match self.begin_rollout(turn, &order.actor, id, &ask, occasion, None, reason, now) {
            Ok(plan) => DeployStart::started(plan.hosts().count()),
            Err(why) => DeployStart::NotStarted(format!(
                "{} is merged as {}, but no rollout was started: {why}",
                order.number,
                order.commit.short()
            )),
        }
    }

    /// The rollout that followed a merge, after a restart.
    fn deploy_goes_on(&self, order: &DeployOrder) -> DeployStart {
        match self.rollouts.get(&order.deploy.rollout) {
            Some(rollout) if rollout.state.is_terminal() => DeployStart::Ended {
                well: ended_well(rollout),
                why: deploy_summary(rollout),
            },
            Some(rollout) => DeployStart::started(rollout.hosts.len()),
            None => DeployStart::NotStarted(format!(
                "{} is merged as {}, but its rollout is not known any more",
                order.number,
                order.commit.short()
            )),
        }
    }

    /// Tells the job that waits for a rollout how far it is.
    pub(super) fn tell_update_job(&mut self, turn: &mut Turn, rollout: &Rollout, now: Timestamp) {
        let job = self.updates.as_ref().and_then(Updates::open_job);
        let waits = job.is_some_and(|job| job.rollout() == Some(rollout.id));
        if waits && rollout.state.is_terminal() {
            let well = ended_well(rollout);
            let why = deploy_summary(rollout);
            self.with_updates(turn, now, |updates, _| {
                updates.deploy_ended(well, &why, now);
            });
        } else if waits {
            let progress = progress_of(rollout);
            self.with_updates(turn, now, |updates, _| {
                updates.deploy_progress(progress, now);
            });
        }
    }

    /// The revert that the policy of an ended rollout wants, as a pull request: what went back on
    /// the hosts goes back in the repository.
    fn revert_after(&mut self, turn: &mut Turn, rollout: &Rollout, now: Timestamp) {
        let actor = Actor::rollout(rollout.id);
        let commit = rollout.target.map(|target| target.commit);
        let merged = commit.and_then(|commit| self.updates.as_ref()?.merged_as(commit));
        let Some(number) = merged.map(|merged| merged.number) else {
            let text = "no merged update is known for the target, so nothing was reverted: revert \
                        the commit yourself";
            self.event(turn, None, "revert-not-possible", text.to_owned(), now);
            return;
        };
        let reason = Some("its rollout was rolled back".to_owned());
        let kind = RevertKind::PullRequest;
        let started = self.with_updates(turn, now, |updates, desired| {
            updates.revert(&actor, number, kind, reason, desired, now)
        });
        if let Some(Err(why)) = started {
            let text = format!("{number} was not reverted: {why}");
            let body = "its rollout was rolled back: revert the update yourself";
            let subject = format!("revert:{number}");
            let notice = Notice::new(NoticeKind::MergeFailed, now, &subject, &text, body);
            turn.notices.push(notice);
            self.event(turn, None, "revert-not-possible", text, now);
        }
    }

    pub(super) fn forge_answer(&mut self, turn: &mut Turn, answer: ForgeAnswer, now: Timestamp) {
        // A rollout may wait for just this.
        turn.look_at_all |= matches!(answer, ForgeAnswer::Contained { .. });
        self.with_updates(turn, now, |updates, desired| {
            updates.answer(answer, desired, now);
        });
    }

    pub(super) fn forge_hint(&mut self, turn: &mut Turn, now: Timestamp) {
        self.with_updates(turn, now, |updates, desired| updates.hint(desired, now));
    }

    /// Whether the source of the desired state shows a target: as its head, in its history, or
    /// because the forge said that its head contains it.
    pub(super) fn is_shown(&self, target: &Target) -> bool {
        let desired =
            Target::desired(&self.desired.remote).filter(|desired| desired.lock.is_some());
        let Some(desired) = desired else { return false };
        let history = self.desired.history.as_ref();
        let on_branch =
            |commit| history.is_some_and(|history| history.commits.position(commit).is_some());
        let proven = |commit| {
            let updates = self.updates.as_ref();
            updates.is_some_and(|updates| updates.branch_contains(commit, &self.desired))
        };
        desired.commit == target.commit || on_branch(&target.commit) || proven(target.commit)
    }

    /// Rollouts wait for commits of which only the forge can tell whether the branch has them.
    pub(super) fn ask_for_proofs(&mut self, turn: &mut Turn, now: Timestamp) {
        let Some(updates) = &self.updates else { return };
        let waiting = self
            .rollouts
            .values()
            .filter(|one| !one.state.is_terminal() && !one.visible)
            .filter_map(|one| one.target)
            .filter(|target| {
                !self.is_shown(target) && updates.lacks_proof(target.commit, &self.desired)
            });
        let commits: BTreeSet<CommitId> = waiting.map(|target| target.commit).collect();
        for commit in commits {
            self.with_updates(turn, now, |updates, desired| {
                updates.prove(commit, desired, now);
            });
        }
    }

    pub(super) fn check_updates(
        &mut self,
        turn: &mut Turn,
        actor: &Actor,
        now: Timestamp,
    ) -> Reply {
        let done = self.with_updates(turn, now, |updates, desired| {
            updates.check(actor, desired, now);
        });
        done.map_or_else(|| self.no_updates(), |()| Reply::Done)
    }

    pub(super) fn merge_pr(
        &mut self,
        turn: &mut Turn,
        actor: &Actor,
        order: MergeOrder,
        confirm: Option<PlanId>,
        now: Timestamp,
    ) -> Reply {
        let order = match self.with_confirmed_hosts(order, confirm, actor) {
            Ok(order) => order,
            Err(why) => return why.into(),
        };
        let started = self.with_updates(turn, now, |updates, desired| {
            updates.merge(actor, order, desired, now)
        });
        started.map_or_else(|| self.no_updates(), job_reply)
    }

    /// What follows a merge is planned before anything is merged: the rollout gets exactly the
    /// hosts of that plan, and one that cannot be planned merges nothing.
    fn with_confirmed_hosts(
        &self,
        mut order: MergeOrder,
        confirm: Option<PlanId>,
        actor: &Actor,
    ) -> Result<MergeOrder, NotStarted> {
        let Some(deploy) = order.deploy.as_mut() else {
            return Ok(order);
        };
        let plan = self
            .plan_deploy(deploy, actor)
            .map_err(NotStarted::NotPlanned)?;
        if confirm.is_some_and(|confirmed| confirmed != plan.id) {
            return Err(NotStarted::PlanChanged(Box::new(plan)));
        }
        // What is in the way of the rollout is in the way of the merge.
        self.to_supersede(&plan).map_err(NotStarted::NotPlanned)?;
        let hosts = plan.hosts().map(|(_, host)| host.clone());
        let canaries = plan.waves.iter().filter(|wave| wave.canary);
        deploy.hosts = Targets::Confirmed(Box::new(ConfirmedHosts {
            hosts: hosts.collect(),
            canaries: canaries.flat_map(|wave| wave.hosts.clone()).collect(),
            left_out: plan.skipped,
        }));
        Ok(order)
    }

    pub(super) fn revert_pr(
        &mut self,
        turn: &mut Turn,
        actor: &Actor,
        number: PrNumber,
        kind: RevertKind,
        reason: Option<String>,
        now: Timestamp,
    ) -> Reply {
        let started = self.with_updates(turn, now, |updates, desired| {
            updates.revert(actor, number, kind, reason, desired, now)
        });
        started.map_or_else(|| self.no_updates(), job_reply)
    }

    /// Merges the current update for a request that names hosts: once, however many it names.
    pub(super) fn merge_current(
        &mut self,
        turn: &mut Turn,
        actor: &Actor,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let open = self.updates.as_ref().and_then(Updates::open_job);
        let merging = open.map(|job| job.number);
        let current = self.updates.as_ref().and_then(Updates::current);
        let number = merging.or(current.map(|known| known.pr.number));
        let Some(number) = number else {
            return Err(Refusal::new(RefusalCode::PrUnknown));
        };
        let wanted = current.map(|known| known.pr.number);
        if merging == Some(number) && wanted.is_none_or(|wanted| wanted == number) {
            return Ok(());
        }
        let number = wanted.unwrap_or(number);
        let order = MergeOrder {
            number,
            head: None,
            reason,
            deploy: None,
        };
        let started = self.with_updates(turn, now, |updates, desired| {
            updates.merge(actor, order, desired, now)
        });
        match started {
            Some(Ok(_)) => Ok(()),
            Some(Err(why)) => Err(Refusal::about(RefusalCode::PrNotEligible, why.to_string())),
            None => Err(Refusal::new(RefusalCode::PrUnknown)),
        }
    }

    /// The current update, as far as admission goes.
    pub(super) fn pr_state(&self, has_reason: bool) -> PrState {
        let Some(updates) = &self.updates else {
            return PrState::NotKnown;
        };
        let Some(known) = updates.current() else {
            return PrState::NotKnown;
        };
        let judgement = updates.judgement(known);
        let first = judgement.stopping_people(has_reason).next();
        first.map_or(PrState::Eligible, |(_, finding)| {
            PrState::NotEligible(finding.why().to_owned())
        })
    }

    fn no_updates(&self) -> Reply {
        Reply::UpdateRefused(if self.config.store_intact {
            UpdateRefusal::NotConfigured
        } else {
            UpdateRefusal::StoreDamaged
        })
    }

    /// Fires what is due for updates.
    pub(super) fn fire_updates(&mut self, turn: &mut Turn, now: Timestamp) {
        let due = self.updates.as_ref().and_then(Updates::poll_timeout);
        if due.is_some_and(|due| due <= now) {
            self.with_updates(turn, now, |updates, desired| {
                updates.handle_timeout(desired, now);
            });
        }
    }

    /// The desired state was read: a merge may be visible now.
    pub(super) fn settle_updates(&mut self, turn: &mut Turn, now: Timestamp) {
        self.with_updates(turn, now, |updates, desired| updates.settle(desired, now));
    }

    /// Calls updates, and turns what follows into changes and effects.
    fn with_updates<T>(
        &mut self,
        turn: &mut Turn,
        now: Timestamp,
        call: impl FnOnce(&mut Updates, &crate::desired::DesiredState) -> T,
    ) -> Option<T> {
        let updates = self.updates.as_ref()?;
        let by_itself = updates
            .open_job()
            .is_some_and(|job| job.actor.is_automation());
        let automatic = updates.policy().auto_merge || by_itself;
        let gates = automatic.then(|| self.gates());
        let updates = self.updates.as_mut()?;
        if let Some(gates) = gates {
            updates.set_gates(gates);
        }
        let before = updates.state().clone();
        let result = call(updates, &self.desired);
        let steps = updates.take_steps();
        let state = updates.state();
        if *state != before {
            let record = UpdateRecord::State(Box::new(state.clone()));
            turn.records.push(Record::Update(record));
        }
        for step in steps {
            self.update_step(turn, step, now);
        }
        self.publish_updates(turn);
        Some(result)
    }

    fn update_step(&mut self, turn: &mut Turn, step: UpdateStep, now: Timestamp) {
        match step {
            UpdateStep::Ask(call) => turn.sends.push(Effect::Forge(call)),
            UpdateStep::ReadRemote => turn.sends.push(Effect::ReadRemote),
            UpdateStep::Audit(note) => turn.records.push(Record::Audit(audit_record(note, now))),
            UpdateStep::Event { code, text } => self.event(turn, None, code, text, now),
            UpdateStep::Notify(notice) => turn.notices.push(notice),
            UpdateStep::Keep(merged) => {
                turn.records
                    .push(Record::Update(UpdateRecord::Merged(merged)));
            }
            UpdateStep::Deploy(order) => {
                let start = self.deploy_merged(turn, &order, now);
                self.deploy_started(turn, start, now);
            }
            UpdateStep::Deploying(order) => {
                let start = self.deploy_goes_on(&order);
                self.deploy_started(turn, start, now);
            }
        }
    }

    fn deploy_started(&mut self, turn: &mut Turn, start: DeployStart, now: Timestamp) {
        match start {
            DeployStart::Started { targets } => {
                let progress = Progress {
                    targets,
                    ..Progress::default()
                };
                self.with_updates(turn, now, |updates, _| {
                    updates.deploy_progress(progress, now);
                });
            }
            DeployStart::Ended { well, why } => {
                self.with_updates(turn, now, |updates, _| {
                    updates.deploy_ended(well, &why, now);
                });
            }
            DeployStart::NotStarted(why) => {
                self.with_updates(turn, now, |updates, _| {
                    updates.deploy_ended(false, &why, now);
                });
            }
        }
    }

    /// What compartments and clients see of updates.
    fn publish_updates(&mut self, turn: &mut Turn) {
        let Some(updates) = &self.updates else { return };
        turn.change(Change::UpdatesChanged(Box::new(updates.view())));
        let pending = updates.pending(&self.desired.remote);
        self.publish_pending(turn, pending);
    }

    pub(super) fn publish_pending(&mut self, turn: &mut Turn, pending: Option<PendingPr>) {
        if self.desired.pending_pr != pending {
            self.desired.pending_pr.clone_from(&pending);
            turn.desired_changed(Change::UpdatePrChanged(pending));
            turn.refresh_all(self.hosts.keys());
        }
    }
}

/// How far a rollout is, as the job shows it.
fn progress_of(rollout: &Rollout) -> Progress {
    let totals = rollout.totals();
    let pulls = |run: &HostRun| !run.state.is_final() && rollout.op_of(run) == Some(Op::Pull);
    Progress {
        switching: !rollout.hosts.values().any(pulls),
        targets: small(rollout.hosts.len()),
        done: small(totals.done),
        failed: small(totals.failed),
    }
}

/// Whether the job of an ended rollout ends well: every host that took part is done.
fn ended_well(rollout: &Rollout) -> bool {
    match rollout.state {
        RolloutState::Complete => true,
        // Some hosts were not there; the others are done.
        RolloutState::Partial => rollout.totals().failed == 0,
        RolloutState::Running
        | RolloutState::Paused
        | RolloutState::AwaitingApproval
        | RolloutState::RollingBack
        | RolloutState::Failed
        | RolloutState::Halted
        | RolloutState::Cancelled
        | RolloutState::Superseded => false,
    }
}

fn deploy_summary(rollout: &Rollout) -> String {
    let totals = rollout.totals();
    let mut text = format!("{} of {} hosts are done", totals.done, totals.targets);
    for (count, what) in [
        (totals.failed, "failed"),
        (totals.skipped, "left out"),
        (totals.cancelled, "cancelled"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    if let Some(message) = &rollout.message {
        text.push_str(": ");
        text.push_str(message);
    }
    text
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn job_reply(started: Result<u64, UpdateRefusal>) -> Reply {
    match started {
        Ok(job) => Reply::JobStarted { job },
        Err(refusal) => Reply::UpdateRefused(refusal),
    }
}

fn audit_record(note: AuditNote, now: Timestamp) -> AuditRecord {
    AuditRecord {
        at: now,
        actor: note.actor,
        action: note.action.to_owned(),
        host: None,
        command: None,
        reason: note.reason,
        outcome: note.outcome,
        before: note.before,
        after: note.after,
        peer: None,
    }
}
