//! Merges: what is asked for, what a fresh reading says of it, and what the forge answers.

use super::call::{ForgeFailure, MergeAnswer};
use super::carrying::{Seen, Told, awaiting};
use super::condition::{Condition, Finding};
use super::job::{Because, Happening, MAX_TRIES, MAX_UNREAD, Progress, Stage, Work};
use super::machine::{MergeOrder, Updates};
use super::pull_request::{PrNumber, PrState, PullRequest};
use super::refusal::UpdateRefusal;
use super::state::KnownPr;
use crate::desired::DesiredState;
use crate::host::Actor;
use crate::time::Timestamp;

impl Updates {
    /// Asks for a merge, and for what follows. A pull request that is merged already is a success.
    ///
    /// # Errors
    /// Why nothing was started.
    pub fn merge(
        &mut self,
        actor: &Actor,
        order: MergeOrder,
        desired: &DesiredState,
        now: Timestamp,
    ) -> Result<u64, UpdateRefusal> {
        self.clock = self.clock.max(now);
        let reason = order.reason.clone();
        let started = self.start_merge(actor, order, now);
        let told = started
            .as_ref()
            .map_or_else(|refusal| refusal.code(), |_| "requested");
        self.audit(actor, "merge-pr", reason, told);
        self.settle(desired, now);
        started
    }

    fn start_merge(
        &mut self,
        actor: &Actor,
        order: MergeOrder,
        now: Timestamp,
    ) -> Result<u64, UpdateRefusal> {
        let number = order.number;
        let is_open = self
            .state
            .open
            .iter()
            .any(|known| known.pr.number == number);
        if !is_open && !self.merged.contains_key(&number) {
            return Err(UpdateRefusal::UnknownPr(number));
        }
        if let Some(job) = self.open_job() {
            return Err(UpdateRefusal::Busy(job.number));
        }
        if let Some(merged) = self.merged.get(&number) {
            let (title, head, commit) = (merged.title.clone(), merged.head, merged.commit);
            let wait = order.deploy.is_some();
            let work = Work::Merge {
                head,
                deploy: order.deploy,
            };
            if order.head.is_some_and(|seen| seen != head) {
                return Err(UpdateRefusal::HeadMoved(number));
            }
            let stage = match commit {
                Some(commit) if wait => awaiting(commit, now),
                None if wait => return Err(UpdateRefusal::NotMerged(number)),
                Some(_) | None => Stage::Ended {
                    well: true,
                    message: format!("{number} is merged already"),
                    commit,
                    progress: Progress::default(),
                },
            };
            return self.start_job(number, title, actor, order.reason, work, stage, now);
        }
        let known = self
            .state
            .open
            .iter()
            .find(|known| known.pr.number == number);
        let known = known.ok_or(UpdateRefusal::UnknownPr(number))?;
        let head = known.pr.head;
        if order.head.is_some_and(|seen| seen != head) {
            return Err(UpdateRefusal::HeadMoved(number));
        }
        let has_reason = is_reason(order.reason.as_deref());
        if let Some(refusal) = self.refusal(known, has_reason) {
            return Err(refusal);
        }
        let title = known.pr.title.clone();
        let work = Work::Merge {
            head,
            deploy: order.deploy,
        };
        let because = Because::First;
        let stage = Stage::Reading { because, at: now };
        self.start_job(number, title, actor, order.reason, work, stage, now)
    }

    fn refusal(&self, known: &KnownPr, has_reason: bool) -> Option<UpdateRefusal> {
        let number = known.pr.number;
        let judgement = self.judgement(known);
        let stopping = |reason| {
            let broken: Vec<&(Condition, Finding)> = judgement.stopping_people(reason).collect();
            broken
                .first()
                .map(|(condition, _)| (*condition, told(&broken)))
        };
        if let Some((condition, why)) = stopping(true) {
            return Some(UpdateRefusal::NotEligible {
                number,
                condition,
                why,
            });
        }
        let (condition, why) = stopping(has_reason)?;
        Some(UpdateRefusal::NeedsReason {
            number,
            condition,
            why,
        })
    }

    /// A reading for the job.
    pub(super) fn job_read(
        &mut self,
        number: PrNumber,
        result: Result<Option<Box<PullRequest>>, ForgeFailure>,
        now: Timestamp,
    ) {
        let (happening, pr) = match result {
            Err(why) => (self.unread(&why), None),
            Ok(None) => {
                self.state.open.retain(|known| known.pr.number != number);
                let why = format!("the forge does not know {number} any more");
                ((Happening::Gone, why), None)
            }
            Ok(Some(pr)) => (self.classify(&pr, now), Some(pr)),
        };
        self.advance(
            happening,
            pr.as_deref().map_or(Seen::Nothing, Seen::Pr),
            now,
        );
    }

    fn unread(&mut self, why: &ForgeFailure) -> Told {
        let number = self.state.job.as_mut().map_or(0, |job| {
            job.unread = job.unread.saturating_add(1);
            job.unread
        });
        if number >= MAX_UNREAD {
            let why = format!("it could not be read {number} times: {}", why.what);
            (Happening::UnreadTooOften, why)
        } else {
            (Happening::Unread, why.what.clone())
        }
    }

    fn classify(&mut self, pr: &PullRequest, now: Timestamp) -> Told {
        let Some((Work::Merge { head, .. }, tries)) = self.state.job.as_mut().map(|job| {
            job.unread = 0;
            (job.work.clone(), job.tries)
        }) else {
            return (Happening::Gone, String::new());
        };
        let number = pr.number;
        match pr.state {
            PrState::Merged { .. } if pr.head == head => {
                return (Happening::MergedAsAsked, String::new());
            }
            PrState::Merged { .. } => {
                let (other, asked) = (pr.head.short(), head.short());
                let why = format!("{number} was merged elsewhere at {other}, not at {asked}");
                return (Happening::MergedOtherwise, why);
            }
            PrState::Open | PrState::Closed => self.remember(pr.clone(), now),
        }
        let known = self
            .state
            .open
            .iter()
            .find(|known| known.pr.number == number);
        let (PrState::Open, Some(known)) = (pr.state, known) else {
            return (Happening::Gone, format!("{number} was closed"));
        };
        if pr.head != head {
            let why = format!(
                "the head of {number} moved from {} to {}: it was not merged; look at it again",
                head.short(),
                pr.head.short()
            );
            return (Happening::OtherHead, why);
        }
        if let Some(why) = self.stops(known) {
            return (Happening::NotEligible, why);
        }
        if tries >= MAX_TRIES {
            let why = format!("{number} is not merged after {tries} calls");
            return (Happening::TriesUsed, why);
        }
        (Happening::Eligible, String::new())
    }

    /// Why the actor of the job may not merge this now.
    fn stops(&self, known: &KnownPr) -> Option<String> {
        let job = self.state.job.as_ref()?;
        let judgement = self.judgement(known);
        let broken: Vec<&(Condition, Finding)> = if job.actor.is_automation() {
            judgement.broken().collect()
        } else {
            let reason = is_reason(job.reason.as_deref());
            judgement.stopping_people(reason).collect()
        };
        if !broken.is_empty() {
            return Some(told(&broken));
        }
        if !job.actor.is_automation() {
            return None;
        }
        if !self.policy.auto_merge {
            return Some("automatic merges are switched off".to_owned());
        }
        let gates = [
            self.gates.quarantine(known.lock_hash()),
            self.gates.window(),
            self.gates.rollout(),
        ];
        let closed = gates.iter().find(|finding| !finding.is_pass())?;
        Some(closed.why().to_owned())
    }

    pub(super) fn merge_answer(&mut self, answer: MergeAnswer, now: Timestamp) {
        let mut commit = None;
        let told = match answer {
            MergeAnswer::Done { commit: merged }
                if self.branch_head.at_the_call == Some(merged) =>
            {
                let why = "the forge names the commit that the branch had before".to_owned();
                (Happening::Ambiguous, why)
            }
            MergeAnswer::Done { commit: merged } => {
                commit = Some(merged);
                (Happening::Done, String::new())
            }
            MergeAnswer::HeadMoved => {
                let why = "the forge says that the head moved: it was not merged".to_owned();
                (Happening::HeadMoved, why)
            }
            MergeAnswer::NotMergeable(why) => (Happening::NotMergeable, why),
            MergeAnswer::Invalid(why) => (Happening::Invalid, why),
            MergeAnswer::Refused(why) => {
                self.wait_for_forge(&why, now);
                (Happening::Refused, why.what)
            }
            MergeAnswer::Ambiguous(why) => (Happening::Ambiguous, why),
        };
        // The forge's word on the merge, on what was last read of the pull request.
        let number = self.state.job.as_ref().map(|job| job.number);
        let known = self
            .state
            .open
            .iter()
            .find(|known| Some(known.pr.number) == number);
        let told = match known {
            None if commit.is_some() => (Happening::Ambiguous, "it is not listed".to_owned()),
            Some(_) | None => told,
        };
        let merged = known.filter(|_| commit.is_some()).map(|known| PullRequest {
            state: PrState::Merged { commit },
            ..known.pr.clone()
        });
        self.advance(told, merged.as_ref().map_or(Seen::Nothing, Seen::Pr), now);
    }
}

pub(super) fn is_reason(reason: Option<&str>) -> bool {
    reason.is_some_and(|reason| !reason.trim().is_empty())
}

fn told(broken: &[&(Condition, Finding)]) -> String {
    let lines: Vec<&str> = broken.iter().map(|(_, finding)| finding.why()).collect();
    lines.join("; ")
}
