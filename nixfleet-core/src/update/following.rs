//! What follows a merge: the branch shows it, then a rollout brings it to hosts (law E5).

use super::carrying::Seen;
use super::job::{Happening, LOOK_AGAIN, Progress, Stage, Work};
use super::machine::{DeployOrder, UpdateStep, Updates};
use crate::compartment::render::text::clean;
use crate::desired::{DesiredState, Remote};
use crate::history::CommitRelation;
use crate::ids::{CommitId, LockHash};
use crate::time::Timestamp;

impl Updates {
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

    /// Looks at the desired state again while a merge is awaited in it.
    pub(super) fn look_again(&mut self, now: Timestamp) {
        if let Some(job) = self.state.job.as_mut()
            && let Stage::Awaiting { look, .. } = &mut job.stage
            && *look <= now
        {
            *look = now + LOOK_AGAIN;
            self.steps.push(UpdateStep::ReadRemote);
        }
    }

    pub(super) fn deploy_order(
        &self,
        commit: CommitId,
        lock: Option<LockHash>,
    ) -> Option<DeployOrder> {
        let job = self.state.job.as_ref()?;
        let Work::Merge {
            deploy: Some(deploy),
            ..
        } = &job.work
        else {
            return None;
        };
        Some(DeployOrder {
            number: job.number,
            commit,
            lock,
            actor: job.actor.clone(),
            reason: job.reason.clone(),
            deploy: deploy.clone(),
        })
    }

    /// Tells how far the rollout of the job is.
    pub fn deploy_progress(&mut self, told: Progress, now: Timestamp) {
        if let Some(job) = self.state.job.as_mut()
            && let Stage::Deploying { progress, .. } = &mut job.stage
            && *progress != told
        {
            *progress = told;
            job.since = now;
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
