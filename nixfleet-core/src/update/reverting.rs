//! Reverts of merged updates: at most one for each (law E9).

use super::call::{RevertAnswer, RevertKind};
use super::job::{MAX_TRIES, SETTLING, Stage, Work};
use super::machine::{UpdateStep, Updates};
use super::pull_request::PrNumber;
use super::refusal::UpdateRefusal;
use super::state::Reverted;
use crate::compartment::render::text::clean;
use crate::desired::DesiredState;
use crate::host::Actor;
use crate::notice::{Notice, NoticeKind};
use crate::time::Timestamp;

impl Updates {
    /// Asks for a revert of a merged update.
    ///
    /// # Errors
    /// Why nothing was started.
    pub fn revert(
        &mut self,
        actor: &Actor,
        number: PrNumber,
        kind: RevertKind,
        reason: Option<String>,
        desired: &DesiredState,
        now: Timestamp,
    ) -> Result<u64, UpdateRefusal> {
        let started = self.start_revert(actor, number, kind, reason.clone(), now);
        let told = started
            .as_ref()
            .map_or_else(|refusal| refusal.code(), |_| "requested");
        self.audit(actor, "revert-pr", reason, told);
        self.settle(desired, now);
        started
    }

    fn start_revert(
        &mut self,
        actor: &Actor,
        number: PrNumber,
        kind: RevertKind,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<u64, UpdateRefusal> {
        let Some(merged) = self.merged.get(&number) else {
            return Err(
                if self
                    .state
                    .open
                    .iter()
                    .any(|known| known.pr.number == number)
                {
                    UpdateRefusal::NotMerged(number)
                } else {
                    UpdateRefusal::UnknownPr(number)
                },
            );
        };
        let commit = merged.commit.ok_or(UpdateRefusal::NotMerged(number))?;
        if merged.revert.is_some() {
            return Err(UpdateRefusal::AlreadyReverted(number));
        }
        if kind == RevertKind::Commit && !self.policy.direct_revert {
            return Err(UpdateRefusal::DirectRevertOff);
        }
        let title = merged.title.clone();
        let work = Work::Revert { commit, kind };
        self.start_job(
            number,
            title,
            actor,
            reason,
            work,
            Stage::Calling { at: now },
            now,
        )
    }

    pub(super) fn revert_answer(&mut self, answer: RevertAnswer, now: Timestamp) {
        let Some(job) = self.state.job.as_mut() else {
            return;
        };
        let (Work::Revert { kind, commit }, Stage::Calling { .. }) = (&job.work, &job.stage) else {
            return;
        };
        let (kind, commit, number, tries) = (*kind, *commit, job.number, job.tries);
        let mut reverted = Reverted {
            kind,
            number: None,
            url: None,
            commit: None,
            at: now,
            by: job.actor.clone(),
        };
        let message = match answer {
            RevertAnswer::Opened { number: by, url } => {
                reverted.number = Some(by);
                reverted.url = Some(clean(&url, 500));
                format!("{number} is reverted by the pull request {by}: merge it to take effect")
            }
            RevertAnswer::Committed { commit: by } => {
                reverted.commit = Some(by);
                format!("{number} is reverted by the commit {}", by.short())
            }
            RevertAnswer::NotPossible(why) => {
                return self.end(
                    false,
                    format!("it cannot be reverted: {why}"),
                    Some(commit),
                    now,
                );
            }
            RevertAnswer::Refused(why) => {
                self.wait_for_forge(&why, now);
                let why = format!("it was not reverted: {}", why.what);
                return self.end(false, why, Some(commit), now);
            }
            RevertAnswer::Ambiguous(why) if tries >= MAX_TRIES => {
                let why = format!("nobody knows whether it is reverted: {why}; ask again");
                return self.end(false, why, Some(commit), now);
            }
            // An earlier revert is found, so asking again makes no second one (law E9).
            RevertAnswer::Ambiguous(_) => {
                job.stage = Stage::Calling { at: now + SETTLING };
                return;
            }
        };
        if let Some(merged) = self.merged.get_mut(&number) {
            merged.revert = Some(reverted);
            let keep = UpdateStep::Keep(Box::new(merged.clone()));
            self.push(keep);
        }
        self.push(UpdateStep::Notify(Notice::new(
            NoticeKind::UpdateReverted,
            now,
            &number.to_string(),
            message.clone(),
            String::new(),
        )));
        self.push(UpdateStep::ReadRemote);
        self.state.check_at = now;
        self.end(true, message, Some(commit), now);
    }
}
