//! When the forge is asked, and what: never before it wants to be (law E6), and a call that changes
//! something only after its intent is stored.

use std::time::Duration;

use super::call::ForgeCall;
use super::job::{BETWEEN_MUTATIONS, Because, Job, MAX_TRIES, Stage, Work};
use super::machine::{AuditNote, LIST_PATIENCE, PATIENCE, UpdateStep, Updates};
use super::state::KnownPr;
use crate::admission::WindowState;
use crate::desired::DesiredState;
use crate::time::Timestamp;

/// The shortest time between two listings that hints of the forge lead to.
pub const HINTS_APART: Duration = Duration::from_secs(10);

/// A pause that is longer than this ends what a person asked for and waits for: quotas of an hour are
/// waited for.
const LONG_PAUSE: Duration = Duration::from_secs(3_600);

/// Hints of the forge: however many come, they lead to one listing at a time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hinted {
    /// When the last listing began that hints led to.
    last: Option<Timestamp>,
    /// Hints came since then.
    waits: bool,
}

impl Updates {
    /// The forge hints that something changed. Hints during a listing lead to another one, because
    /// that one may already have looked; nothing else of them counts.
    pub fn hint(&mut self, desired: &DesiredState, now: Timestamp) {
        let earliest = self.hinted.last.map_or(now, |last| last + HINTS_APART);
        self.hinted.waits = true;
        self.state.check_at = self.state.check_at.min(earliest.max(now));
        self.settle(desired, now);
    }

    /// The next moment at which something changes by itself.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let state = &self.state;
        let allowed = |at: Timestamp| state.not_before.map_or(at, |pause| pause.max(at));
        let mut due: Vec<Timestamp> = Vec::new();
        match self.listing {
            Some(left) => due.push(left + LIST_PATIENCE),
            None => due.push(allowed(state.check_at)),
        }
        if let Some((_, left)) = &self.asked {
            due.push(*left + PATIENCE);
        } else {
            match state.job.as_ref().map(|job| &job.stage) {
                Some(Stage::Reading { at, .. }) => due.push(allowed(*at)),
                Some(Stage::Calling { at }) => due.push(allowed(self.paced(*at))),
                Some(Stage::Awaiting { .. } | Stage::Deploying { .. } | Stage::Ended { .. })
                | None => {}
            }
            due.extend(state.missing.values().map(|at| allowed(*at)));
        }
        if let Some(Stage::Awaiting { until, look, .. }) = state.job.as_ref().map(|job| &job.stage)
        {
            due.extend([*until, *look]);
        }
        if let WindowState::Closed { opens } = self.gates.window
            && self.policy.auto_merge
        {
            due.extend(opens.filter(|opens| *opens > self.clock));
        }
        let delay = self.policy.delay;
        let ripe = |known: &KnownPr| [known.pr.created_at + delay, known.head_since + delay];
        let failed = state.failed_head.as_ref();
        let again = failed.and_then(|failed| failed.again);
        due.extend(again.filter(|again| *again > self.clock));
        due.extend(
            state
                .open
                .iter()
                .flat_map(ripe)
                .filter(|at| *at > self.clock),
        );
        due.extend(self.proofs.due(allowed));
        due.into_iter().min()
    }

    /// Not sooner after the last change than the forge likes (law E6).
    fn paced(&self, at: Timestamp) -> Timestamp {
        self.state
            .mutated
            .map_or(at, |last| at.max(last + BETWEEN_MUTATIONS))
    }

    /// Makes the next calls that may be made now: one about a pull request, and the listing.
    pub(super) fn ask(&mut self, now: Timestamp) {
        if let Some(pause) = self.state.not_before.filter(|pause| *pause > now) {
            self.give_up_before_the_call(pause, now);
            return;
        }
        self.state.not_before = None;
        if self.asked.is_none()
            && let Some(call) = self.wanted(now)
        {
            self.asked = Some((call.clone(), now));
            self.steps.push(UpdateStep::Ask(call));
        }
        if let Some(call) = self.proofs.next(now) {
            self.steps.push(UpdateStep::Ask(call));
        }
        if self.listing.is_none() && self.state.check_at <= now {
            self.listing = Some(now);
            if std::mem::take(&mut self.hinted.waits) {
                self.hinted.last = Some(now);
            }
            self.state.check_at = now + self.policy.interval;
            self.steps.push(UpdateStep::Ask(ForgeCall::List));
        }
    }

    /// A person is told at once that the forge wants to be left alone for long; automation waits.
    fn give_up_before_the_call(&mut self, pause: Timestamp, now: Timestamp) {
        let waits = |job: &Job| {
            let first = matches!(
                job.stage,
                Stage::Reading {
                    because: Because::First,
                    ..
                }
            );
            first && job.tries == 0 && !job.actor.is_automation()
        };
        if pause.since(now) <= LONG_PAUSE || !self.state.job.as_ref().is_some_and(waits) {
            return;
        }
        let why = format!(
            "nothing was sent: the forge asked to be left alone until {}; ask again then",
            pause.to_rfc3339()
        );
        self.end(false, why, None, now);
    }

    fn wanted(&mut self, now: Timestamp) -> Option<ForgeCall> {
        let job = self.state.job.as_ref();
        match job.map(|job| (&job.stage, job.number)) {
            Some((Stage::Reading { at, .. }, number)) if *at <= now => {
                return Some(ForgeCall::Read { number });
            }
            Some((Stage::Calling { at }, _)) if self.paced(*at) <= now => return self.call(now),
            Some((
                Stage::Reading { .. }
                | Stage::Calling { .. }
                | Stage::Awaiting { .. }
                | Stage::Deploying { .. }
                | Stage::Ended { .. },
                _,
            ))
            | None => {}
        }
        let (number, _) = self.state.missing.iter().find(|(_, at)| **at <= now)?;
        Some(ForgeCall::Read { number: *number })
    }

    /// The call that changes something; its intent is in the state before it leaves.
    fn call(&mut self, now: Timestamp) -> Option<ForgeCall> {
        let job = self.state.job.as_mut()?;
        if job.tries >= MAX_TRIES {
            let why = format!("nothing is known of it after {} calls", job.tries);
            self.end(false, why, None, now);
            return None;
        }
        job.tries = job.tries.saturating_add(1);
        self.state.mutated = Some(now);
        self.branch_head.at_the_call = self.branch_head.known;
        let (number, actor, reason) = (job.number, job.actor.clone(), job.reason.clone());
        let call = match &job.work {
            Work::Merge { head, .. } => {
                let head = *head;
                self.state.unsettled.insert(number, (head, actor.clone()));
                ForgeCall::Merge {
                    number,
                    head,
                    method: self.policy.method,
                }
            }
            Work::Revert { commit, kind } => ForgeCall::Revert {
                number,
                title: job.title.clone(),
                commit: *commit,
                kind: *kind,
            },
        };
        let (action, before) = match &call {
            ForgeCall::Merge { head, .. } => ("merge-pr", format!("{number} open at {head}")),
            ForgeCall::Revert { commit, .. } => {
                ("revert-pr", format!("{number} merged as {commit}"))
            }
            ForgeCall::List | ForgeCall::Read { .. } | ForgeCall::Contains { .. } => return None,
        };
        self.steps.push(UpdateStep::Audit(AuditNote {
            actor,
            action,
            reason,
            before: Some(before),
            after: None,
            outcome: "sent".to_owned(),
        }));
        Some(call)
    }
}
