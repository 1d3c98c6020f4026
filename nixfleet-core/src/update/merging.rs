//! What a job does: the table of [`super::job`] carried out.

use super::call::{ForgeFailure, MergeAnswer, RevertAnswer};
use super::condition::{Condition, Finding};
use super::job::{
    Because, Happening, Job, MAX_TRIES, MAX_UNREAD, Next, READ_AGAIN, SETTLING, Stage, UNTIL_SHOWN,
    Work, job_row,
};
use super::machine::{AuditNote, CHECK_AGAIN, MergeOrder, UpdateStep, Updates};
use super::pull_request::{PrNumber, PrState, PullRequest};
use super::refusal::UpdateRefusal;
use super::state::{FailedHead, KnownPr, Reverted};
use crate::compartment::render::text::clean;
use crate::desired::{DesiredState, Remote};
use crate::history::CommitRelation;
use crate::host::Actor;
use crate::ids::{CommitId, LockHash};
use crate::notice::{Notice, NoticeKind};
use crate::time::Timestamp;

/// What a job was told, for the message if it ends.
type Told = (Happening, String);

/// What came with it.
#[derive(Clone, Copy)]
enum Seen<'a> {
    Nothing,
    /// The pull request.
    Pr(&'a PullRequest),
    /// The desired state shows the merge; the hash of its lock, where that is known.
    Branch(Option<LockHash>),
}

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
                    progress: super::job::Progress::default(),
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
                self.pause(why.not_before, now);
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

    /// Carries out the row of the table for what happened.
    fn advance(&mut self, told: Told, seen: Seen<'_>, now: Timestamp) {
        let (on, why) = told;
        let kind = self.state.job.as_ref().and_then(|job| job.stage.kind());
        let Some(row) = kind.and_then(|kind| job_row(kind, on)) else {
            return;
        };
        let Some(job) = self.state.job.as_mut() else {
            return;
        };
        let (number, commit) = (job.number, job.stage.commit());
        let said = job.said.take();
        let why = match &said {
            Some(said) if why.is_empty() => format!("the forge did not merge {number}: {said}"),
            Some(_) | None => why,
        };
        match row.next {
            Next::Call => self.enter(Stage::Calling { at: now }, now),
            Next::ReadUnclear => self.enter_reading(Because::Unclear, now + SETTLING, now),
            Next::ReadHeadMoved => self.read_refused(Because::HeadMoved, why, now),
            Next::ReadNotMergeable => self.read_refused(Because::NotMergeable, why, now),
            Next::ReadAgain => self.read_again(said, now),
            Next::Merged => {
                if let Seen::Pr(pr) = seen {
                    self.merged_as_asked(pr, now);
                }
            }
            Next::MergedOtherwise => {
                if let Seen::Pr(pr) = seen {
                    let commit = merge_commit(pr);
                    self.record_merge(pr, commit, now);
                    self.end(false, why, commit, now);
                }
            }
            Next::Deploy => {
                if let (Seen::Branch(lock), Some(commit)) = (seen, commit) {
                    self.deploy(commit, lock, now);
                }
            }
            Next::EndWell => self.end(true, why, commit, now),
            Next::EndBadly => {
                self.state.unsettled.remove(&number);
                self.end(false, why, commit, now);
            }
            Next::EndUnknown => {
                self.state.missing.insert(number, now + SETTLING);
                let why = format!("nobody knows whether it is merged: {why}");
                self.end(false, why, commit, now);
            }
        }
    }

    fn deploy(&mut self, commit: CommitId, lock: Option<LockHash>, now: Timestamp) {
        let progress = super::job::Progress::default();
        self.enter(Stage::Deploying { commit, progress }, now);
        if let Some(order) = self.deploy_order(commit, lock) {
            self.push(UpdateStep::Deploy(Box::new(order)));
        }
    }

    fn enter(&mut self, stage: Stage, now: Timestamp) {
        if let Some(job) = self.state.job.as_mut() {
            job.enter(stage, now);
        }
    }

    fn enter_reading(&mut self, because: Because, at: Timestamp, now: Timestamp) {
        self.enter(Stage::Reading { because, at }, now);
    }

    fn read_refused(&mut self, because: Because, said: String, now: Timestamp) {
        if let Some(job) = self.state.job.as_mut() {
            job.said = Some(clean(&said, 200));
        }
        self.enter_reading(because, now, now);
    }

    fn read_again(&mut self, said: Option<String>, now: Timestamp) {
        let Some(job) = self.state.job.as_mut() else {
            return;
        };
        job.said = said;
        let wait = READ_AGAIN.saturating_mul(u32::from(job.unread));
        if let Stage::Reading { at, .. } = &mut job.stage {
            *at = now + wait;
        }
    }

    fn merged_as_asked(&mut self, pr: &PullRequest, now: Timestamp) {
        let commit = merge_commit(pr);
        self.record_merge(pr, commit, now);
        let deploys = matches!(
            self.state.job.as_ref().map(|job| &job.work),
            Some(Work::Merge {
                deploy: Some(_),
                ..
            })
        );
        let number = pr.number;
        match commit {
            Some(commit) if deploys => self.enter(awaiting(commit, now), now),
            Some(commit) => {
                let message = format!("{number} is merged as {}", commit.short());
                self.end(true, message, Some(commit), now);
            }
            None if deploys => {
                let why = format!(
                    "{number} is merged, but the forge does not tell as which commit: no rollout \
                     was started"
                );
                self.end(false, why, None, now);
            }
            None => self.end(true, format!("{number} is merged"), None, now),
        }
    }

    /// Law E5: hosts start only once the branch shows the merge commit or a descendant.
    pub(super) fn await_branch(&mut self, desired: &DesiredState, now: Timestamp) {
        let Some(Stage::Awaiting { commit, until, .. }) =
            self.state.job.as_ref().map(|job| &job.stage)
        else {
            return;
        };
        let (commit, until) = (*commit, *until);
        if let Some(lock) = shows(desired, commit) {
            self.advance((Happening::Shown, String::new()), Seen::Branch(lock), now);
        } else if until <= now {
            let why = format!(
                "the tracked branch did not show the merge commit {} in time: no rollout was \
                 started; start one once it does",
                commit.short()
            );
            self.advance((Happening::NotShown, why), Seen::Nothing, now);
        } else {
            self.look_again(now);
        }
    }

    /// Tells that the rollout of the job ended, or that it was not started.
    pub fn deploy_ended(&mut self, well: bool, why: &str, now: Timestamp) {
        let happening = if well {
            Happening::DeployedWell
        } else {
            Happening::DeployedBadly
        };
        self.advance((happening, clean(why, 300)), Seen::Nothing, now);
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
                self.pause(why.not_before, now);
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

    /// Ends the job and tells so.
    pub(super) fn end(
        &mut self,
        well: bool,
        message: String,
        commit: Option<CommitId>,
        now: Timestamp,
    ) {
        let message = clean(&message, 400);
        let Some(job) = self.state.job.as_mut() else {
            return;
        };
        let progress = job.progress();
        let ended = Stage::Ended {
            well,
            message: message.clone(),
            commit,
            progress,
        };
        job.enter(ended, now);
        let (number, actor, reason) = (job.number, job.actor.clone(), job.reason.clone());
        let (verb, head) = match &job.work {
            Work::Merge { head, .. } => ("merge", Some(*head)),
            Work::Revert { .. } => ("revert", None),
        };
        let (code, action) = match (verb, well) {
            ("merge", true) => ("merge-finished", "merge-pr"),
            ("merge", false) => ("merge-failed", "merge-pr"),
            (_, true) => ("update-reverted", "revert-pr"),
            (_, false) => ("revert-failed", "revert-pr"),
        };
        let (tries, automatic) = (job.tries, actor.is_automation());
        if let (false, None, true, Some(head)) = (well, commit, automatic, head) {
            let again = match (tries, self.state.not_before) {
                (0, _) => Some(now + CHECK_AGAIN),
                (_, pause) => pause,
            };
            self.state.failed_head = Some(FailedHead {
                number,
                head,
                why: message.clone(),
                again,
            });
        }
        let outcome = if well { "done" } else { "failed" };
        self.push(UpdateStep::Audit(AuditNote {
            actor,
            action,
            reason,
            before: None,
            after: Some(message.clone()),
            outcome: outcome.to_owned(),
        }));
        self.push(UpdateStep::Event {
            code,
            text: format!("{verb} of {number}: {message}"),
        });
        if !well && (tries > 0 || !automatic) {
            self.push(UpdateStep::Notify(Notice::new(
                NoticeKind::MergeFailed,
                now,
                &number.to_string(),
                format!("{verb} of {number} failed"),
                message,
            )));
        }
    }
}

impl Job {
    pub(super) fn enter(&mut self, stage: Stage, now: Timestamp) {
        self.stage = stage;
        self.since = now;
    }
}

fn awaiting(commit: CommitId, now: Timestamp) -> Stage {
    Stage::Awaiting {
        commit,
        until: now + UNTIL_SHOWN,
        look: now,
    }
}

fn merge_commit(pr: &PullRequest) -> Option<CommitId> {
    match pr.state {
        PrState::Merged { commit } => commit,
        PrState::Open | PrState::Closed => None,
    }
}

pub(super) fn is_reason(reason: Option<&str>) -> bool {
    reason.is_some_and(|reason| !reason.trim().is_empty())
}

fn told(broken: &[&(Condition, Finding)]) -> String {
    let lines: Vec<&str> = broken.iter().map(|(_, finding)| finding.why()).collect();
    lines.join("; ")
}

/// Whether the branch contains a commit now; with the hash of its lock, where that is known.
fn shows(desired: &DesiredState, commit: CommitId) -> Option<Option<LockHash>> {
    let Remote::Verified(snapshot) = &desired.remote else {
        return None;
    };
    let head = snapshot.commit.as_ref().ok().copied()?;
    if head == commit {
        return Some(snapshot.lock.as_ref().ok().copied());
    }
    let history = desired.history.as_ref()?;
    match history.commits.relation(commit.into(), head) {
        CommitRelation::Same | CommitRelation::Behind(_) => {
            let mut versions = history.locks.versions().iter();
            Some(
                versions
                    .find(|one| one.commit == commit)
                    .map(|one| one.hash),
            )
        }
        CommitRelation::Ahead(_)
        | CommitRelation::Diverged { .. }
        | CommitRelation::NotOnBranch
        | CommitRelation::Unknown => None,
    }
}
