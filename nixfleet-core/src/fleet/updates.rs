//! Updates within the fleet: requests and answers go to [`Updates`], its steps become records,
//! calls, events, notices, and what clients see.

use super::input::Reply;
use super::turn::Turn;
use super::{AuditRecord, Effect, Fleet, Record};
use crate::admission::{PrState, Refusal, RefusalCode};
use crate::desired::PendingPr;
use crate::host::Actor;
use crate::sync::Change;
use crate::time::Timestamp;
use crate::update::{
    AuditNote, DeployOrder, ForgeAnswer, Gates, MergeOrder, PrNumber, Progress, RevertKind,
    UpdateRecord, UpdateRefusal, UpdateStep, Updates, UpdatesView,
};

/// What became of the rollout that follows a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeployStart {
    /// It runs; from now on it tells how far it is.
    Started {
        /// Hosts in its plan.
        targets: u32,
    },
    /// Nothing was started; why, for people.
    NotStarted(String),
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

    /// Takes in what maintenance windows and quarantine say about automatic merges.
    #[must_use]
    pub fn set_update_gates(&mut self, gates: Gates, now: Timestamp) -> Vec<Effect> {
        let mut turn = Turn::default();
        self.fire_due(&mut turn, now);
        self.update_gates(&mut turn, gates, now);
        self.finish(turn)
    }

    /// The same, as a part of a larger change.
    pub(super) fn update_gates(&mut self, turn: &mut Turn, gates: Gates, now: Timestamp) {
        self.with_updates(turn, now, |updates, desired| {
            updates.set_gates(gates, desired, now);
        });
    }

    /// Starts the rollout of exactly the merge commit. Rollouts are connected here: a rollout that
    /// is started tells of itself with [`Fleet::deploy_progress`] and [`Fleet::deploy_ended`].
    fn deploy_merged(
        &mut self,
        _turn: &mut Turn,
        order: &DeployOrder,
        _now: Timestamp,
    ) -> DeployStart {
        DeployStart::NotStarted(format!(
            "{} is merged as {}, but no rollout was started: this server cannot start one by \
             itself; pull and switch the hosts",
            order.number,
            order.commit.short()
        ))
    }

    /// Whether the rollout that followed a merge still runs after a restart.
    fn deploy_goes_on(&self, order: &DeployOrder) -> DeployStart {
        DeployStart::NotStarted(format!(
            "{} is merged as {}, but its rollout is not known any more",
            order.number,
            order.commit.short()
        ))
    }

    /// How far the rollout after a merge is.
    pub(super) fn deploy_progress(&mut self, turn: &mut Turn, progress: Progress, now: Timestamp) {
        self.with_updates(turn, now, |updates, _| {
            updates.deploy_progress(progress, now)
        });
    }

    /// The rollout after a merge ended.
    pub(super) fn deploy_ended(&mut self, turn: &mut Turn, well: bool, why: &str, now: Timestamp) {
        self.with_updates(turn, now, |updates, _| updates.deploy_ended(well, why, now));
    }

    pub(super) fn forge_answer(&mut self, turn: &mut Turn, answer: ForgeAnswer, now: Timestamp) {
        self.with_updates(turn, now, |updates, desired| {
            updates.answer(answer, desired, now);
        });
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
        now: Timestamp,
    ) -> Reply {
        let started = self.with_updates(turn, now, |updates, desired| {
            updates.merge(actor, order, desired, now)
        });
        started.map_or_else(|| self.no_updates(), job_reply)
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
        if merging == Some(number) {
            return Ok(());
        }
        let order = MergeOrder {
            number,
            head: None,
            reason,
            deploy: None,
        };
        match self.merge_pr(turn, actor, order, now) {
            Reply::UpdateRefused(why) => {
                Err(Refusal::about(RefusalCode::PrNotEligible, why.to_string()))
            }
            Reply::JobStarted { .. }
            | Reply::Done
            | Reply::Dispatched(_)
            | Reply::UnknownHost(_)
            | Reply::UnknownCommand
            | Reply::Refused(_) => Ok(()),
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
        let updates = self.updates.as_mut()?;
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
            UpdateStep::Notify(notice) => turn.sends.push(Effect::Notify(notice)),
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
                self.deploy_progress(turn, progress, now);
            }
            DeployStart::NotStarted(why) => self.deploy_ended(turn, false, &why, now),
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
    }
}
