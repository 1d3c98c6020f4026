//! What follows a merge: the branch shows it, then a rollout brings it to hosts (law E5).

use super::call::Containment;
use super::carrying::Seen;
use super::job::{Happening, LOOK_AGAIN, Progress, Stage, Work};
use super::machine::{DeployOrder, UpdateStep, Updates};
use super::proof::Proofs;
use crate::compartment::render::text::clean;
use crate::desired::{DesiredState, Remote};
use crate::history::CommitRelation;
use crate::ids::{CommitId, LockHash};
use crate::time::Timestamp;

impl Updates {
    /// Law E5: hosts start only once the branch shows the merge commit or a descendant.
    pub(super) fn await_branch(&mut self, desired: &DesiredState, now: Timestamp) {
        let Some(job) = self.state.job.as_ref() else {
            return;
        };
        let Stage::Awaiting { commit, until, .. } = job.stage else {
            return;
        };
        // What the branch was before the merge is nothing to ask about.
        let is_fresh = desired.verified_at.is_some_and(|at| at >= job.since);
        let shown = shows(desired, commit, &self.proofs);
        if let Shown::Yes(lock) = shown {
            self.advance((Happening::Shown, String::new()), Seen::Branch(lock), now);
            return;
        }
        if let (Shown::NotProven(head), true) = (shown, is_fresh) {
            self.proofs.want(commit, head, now);
        }
        if until <= now {
            let why = format!(
                "the tracked branch did not show the merge commit {} in time{}: no rollout was \
                 started; start one once it does",
                commit.short(),
                self.why_not_shown(shown)
            );
            self.advance((Happening::NotShown, why), Seen::Nothing, now);
        } else {
            self.look_again(now);
        }
    }

    fn why_not_shown(&self, shown: Shown) -> String {
        match shown {
            Shown::NotProven(head) => {
                let why = self.proofs.trouble(head).unwrap_or("it has not answered");
                let head = head.short();
                format!(" (the forge could not tell whether its head {head} contains it: {why})")
            }
            Shown::No(Some(head)) => format!(" (its head {} does not contain it)", head.short()),
            Shown::No(None) => " (it cannot be read)".to_owned(),
            Shown::Yes(_) => String::new(),
        }
    }

    /// Whether the branch is known to contain a commit now.
    #[must_use]
    pub fn branch_contains(&self, commit: CommitId, desired: &DesiredState) -> bool {
        match shows(desired, commit, &self.proofs) {
            Shown::Yes(_) => true,
            Shown::No(_) | Shown::NotProven(_) => false,
        }
    }

    /// Whether only the forge can tell whether the branch contains a commit, and nobody has asked
    /// for that yet.
    #[must_use]
    pub fn lacks_proof(&self, commit: CommitId, desired: &DesiredState) -> bool {
        match shows(desired, commit, &self.proofs) {
            Shown::NotProven(head) => self.proofs.lacks(commit, head),
            Shown::Yes(_) | Shown::No(_) => false,
        }
    }

    /// Somebody waits for a commit to be on the branch, and only the forge can tell.
    pub fn prove(&mut self, commit: CommitId, desired: &DesiredState, now: Timestamp) {
        if let Shown::NotProven(head) = shows(desired, commit, &self.proofs) {
            self.proofs.want(commit, head, now);
        }
        self.settle(desired, now);
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

/// Whether the branch contains a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// It does; the hash of the commit's lock, where that is known.
    Yes(Option<LockHash>),
    /// It does not with this head, or cannot be read.
    No(Option<CommitId>),
    /// The source knows no history that tells, and the forge has not said it of this head.
    NotProven(CommitId),
}

fn shows(desired: &DesiredState, commit: CommitId, proofs: &Proofs) -> Shown {
    let Remote::Verified(snapshot) = &desired.remote else {
        return Shown::No(None);
    };
    let Ok(head) = snapshot.commit else {
        return Shown::No(None);
    };
    if head == commit {
        return Shown::Yes(snapshot.lock.as_ref().ok().copied());
    }
    let proven = || match proofs.of(commit, head) {
        Some(Containment::Contained { lock }) => Shown::Yes(*lock),
        Some(Containment::NotContained) => Shown::No(Some(head)),
        None => Shown::NotProven(head),
    };
    let Some(history) = desired.history.as_ref() else {
        return proven();
    };
    match history.commits.relation(commit.into(), head) {
        CommitRelation::Same | CommitRelation::Behind(_) => {
            let mut versions = history.locks.versions().iter();
            let lock = versions.find(|one| one.commit == commit);
            Shown::Yes(lock.map(|one| one.hash))
        }
        CommitRelation::Ahead(_)
        | CommitRelation::Diverged { .. }
        | CommitRelation::NotOnBranch => Shown::No(Some(head)),
        CommitRelation::Unknown => proven(),
    }
}
