//! The table of [`super::job`] carried out.

use super::job::{
    Because, Happening, Job, Next, Progress, READ_AGAIN, SETTLING, Stage, StageKind, UNTIL_SHOWN,
    Work, job_row,
};
use super::machine::{AuditNote, CHECK_AGAIN, UpdateStep, Updates};
use super::pull_request::{PrState, PullRequest};
use super::state::FailedHead;
use crate::compartment::render::text::clean;
use crate::ids::{CommitId, LockHash};
use crate::notice::{Notice, NoticeKind};
use crate::time::Timestamp;

/// What a job was told, for the message if it ends.
pub(super) type Told = (Happening, String);

/// What came with it.
#[derive(Clone, Copy)]
pub(super) enum Seen<'a> {
    Nothing,
    /// The pull request.
    Pr(&'a PullRequest),
    /// The desired state shows the merge; the hash of its lock, where that is known.
    Branch(Option<LockHash>),
}

impl Updates {
    /// Carries out the row of the table for what happened.
    pub(super) fn advance(&mut self, told: Told, seen: Seen<'_>, now: Timestamp) {
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
                // A forge that refuses a call may have done it all the same: whose it was is known
                // until a listing shows the pull request open, and that is asked for soon, before
                // somebody merges it elsewhere.
                if kind == Some(StageKind::Calling) {
                    self.state.check_at = self.state.check_at.min(now + SETTLING);
                } else {
                    self.state.unsettled.remove(&number);
                }
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
        let progress = Progress::default();
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

pub(super) fn awaiting(commit: CommitId, now: Timestamp) -> Stage {
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
