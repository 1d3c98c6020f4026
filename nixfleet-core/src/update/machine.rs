//! Updates of one repository: requests, answers and time in; steps out. Knows no host.

use std::collections::BTreeMap;
use std::time::Duration;

use super::asking::Hinted;
use super::call::{ForgeAnswer, ForgeCall, ForgeFailure, MergeAnswer, RevertAnswer};
use super::condition::{Judgement, judge};
use super::gate::Gates;
use super::job::{Because, Job, Stage, UNTIL_SHOWN, Work};
use super::policy::UpdatePolicy;
use super::proof::Proofs;
use super::pull_request::PrNumber;
use super::refusal::UpdateRefusal;
use super::state::{KnownPr, MergedUpdate, StoredUpdates, UpdateState};
pub use super::step::{AuditNote, DeployOrder, MergeOrder, UpdateStep};
use crate::compartment::render::text::clean;
use crate::credential::CredentialEnd;
use crate::desired::DesiredState;
use crate::host::Actor;
use crate::ids::CommitId;
use crate::time::Timestamp;

/// How long the forge's client may take to answer a call about one pull request.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// How long it may take to list all of them.
pub const LIST_PATIENCE: Duration = Duration::from_secs(900);
/// How soon a failed listing is tried again.
pub const CHECK_AGAIN: Duration = Duration::from_secs(300);
/// The longest that a forge may ask not to be called for.
pub const MAX_PAUSE: Duration = Duration::from_secs(86_400);

/// Updates of one repository.
#[derive(Clone, Debug)]
pub struct Updates {
    pub(super) policy: UpdatePolicy,
    pub(super) state: UpdateState,
    pub(super) merged: BTreeMap<PrNumber, MergedUpdate>,
    pub(super) gates: Gates,
    /// The call about one pull request that has not been answered, and when it left.
    pub(super) asked: Option<(ForgeCall, Timestamp)>,
    /// When the listing left that has not been answered.
    pub(super) listing: Option<Timestamp>,
    /// The head of the tracked branch as it is known, and as it was known when the last merge call left.
    pub(super) branch_head: BranchHead,
    /// When the last listing began that a hint of the forge led to, and whether one is to begin.
    pub(super) hinted: Hinted,
    pub(super) proofs: Proofs,
    /// When credentials of the forge end, to be shown.
    pub(super) credentials: Vec<CredentialEnd>,
    pub(super) clock: Timestamp,
    pub(super) steps: Vec<UpdateStep>,
}

/// The head of the tracked branch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BranchHead {
    pub(super) known: Option<CommitId>,
    pub(super) at_the_call: Option<CommitId>,
}

impl Updates {
    /// Goes on where the stored state stopped, if it is about the same branch.
    #[must_use]
    pub fn restore(policy: UpdatePolicy, stored: StoredUpdates, now: Timestamp) -> Self {
        let same = |state: &UpdateState| state.repo == policy.repo && state.branch == policy.branch;
        let mut state = stored.state.filter(same).unwrap_or_default();
        state.repo.clone_from(&policy.repo);
        state.branch.clone_from(&policy.branch);
        state.check_at = now;
        let merged = stored
            .merged
            .into_iter()
            .filter(|one| one.repo == policy.repo);
        let mut updates = Self {
            merged: merged.map(|one| (one.number, one)).collect(),
            policy,
            state,
            gates: Gates::default(),
            asked: None,
            listing: None,
            branch_head: BranchHead::default(),
            hinted: Hinted::default(),
            proofs: Proofs::default(),
            credentials: Vec::new(),
            clock: now,
            steps: Vec::new(),
        };
        updates.resume_job(now);
        updates
    }

    /// Whatever a call may have done before the restart is read first.
    fn resume_job(&mut self, now: Timestamp) {
        let Some(job) = self.state.job.as_mut() else {
            return;
        };
        match (&job.stage, &job.work) {
            (Stage::Calling { .. }, Work::Merge { .. }) => {
                let because = Because::Restart;
                job.enter(Stage::Reading { because, at: now }, now);
            }
            (Stage::Awaiting { commit, until, .. }, Work::Merge { .. }) => {
                // Nobody looked while the server was away.
                let (commit, until) = (*commit, (*until).max(now + UNTIL_SHOWN));
                job.stage = Stage::Awaiting {
                    commit,
                    until,
                    look: now,
                };
            }
            (Stage::Deploying { commit, .. }, Work::Merge { .. }) => {
                let commit = *commit;
                if let Some(order) = self.deploy_order(commit, None) {
                    self.steps.push(UpdateStep::Deploying(Box::new(order)));
                }
            }
            (
                Stage::Reading { .. }
                | Stage::Calling { .. }
                | Stage::Awaiting { .. }
                | Stage::Deploying { .. }
                | Stage::Ended { .. },
                Work::Merge { .. } | Work::Revert { .. },
            ) => {}
        }
    }

    /// What is to be stored of it.
    #[must_use]
    pub fn state(&self) -> &UpdateState {
        &self.state
    }

    /// The merged updates that are known, by number.
    #[must_use]
    pub fn merged(&self) -> &BTreeMap<PrNumber, MergedUpdate> {
        &self.merged
    }

    /// The update whose merge made this commit.
    #[must_use]
    pub fn merged_as(&self, commit: CommitId) -> Option<&MergedUpdate> {
        self.merged
            .values()
            .find(|merged| merged.commit == Some(commit))
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &UpdatePolicy {
        &self.policy
    }

    /// The current pull request: the newest open one.
    #[must_use]
    pub fn current(&self) -> Option<&KnownPr> {
        self.state.open.first()
    }

    /// What every condition says about a known pull request now.
    #[must_use]
    pub fn judgement(&self, known: &KnownPr) -> Judgement {
        let last = self.state.baseline.as_ref();
        judge(
            &known.pr,
            &known.lock,
            &self.policy,
            last,
            known.head_since,
            self.clock,
        )
    }

    /// What is to be done, in order; empties the list.
    #[must_use]
    pub fn take_steps(&mut self) -> Vec<UpdateStep> {
        std::mem::take(&mut self.steps)
    }

    pub(super) fn push(&mut self, step: UpdateStep) {
        self.steps.push(step);
    }

    /// Takes in when credentials of the forge end; they are only shown here.
    pub fn show_credentials(&mut self, ends: Vec<CredentialEnd>) {
        self.credentials = ends;
    }

    /// Takes in what other parts of the fleet say about automatic merges, before anything is
    /// decided.
    pub fn set_gates(&mut self, gates: Gates) {
        self.gates = gates;
    }

    /// Lists the pull requests as soon as the forge may be asked.
    pub fn check(&mut self, actor: &Actor, desired: &DesiredState, now: Timestamp) {
        self.audit(actor, "check-updates", None, "requested");
        self.state.check_at = now;
        self.settle(desired, now);
    }

    /// Takes in an answer. One that nobody waits for changes nothing.
    pub fn answer(&mut self, answer: ForgeAnswer, desired: &DesiredState, now: Timestamp) {
        self.clock = self.clock.max(now);
        match answer {
            ForgeAnswer::Listed(result) => {
                if self.listing.take().is_some() {
                    self.listed(result, now);
                }
            }
            ForgeAnswer::Read(number, result) => {
                if self
                    .was_asked(|call| matches!(call, ForgeCall::Read { number: n } if *n == number))
                {
                    self.read(number, result, now);
                }
            }
            ForgeAnswer::Merged(number, answer) => {
                if self.was_asked(
                    |call| matches!(call, ForgeCall::Merge { number: n, .. } if *n == number),
                ) {
                    self.merge_answer(answer, now);
                }
            }
            ForgeAnswer::Reverted(number, answer) => {
                if self.was_asked(
                    |call| matches!(call, ForgeCall::Revert { number: n, .. } if *n == number),
                ) {
                    self.revert_answer(answer, now);
                }
            }
            ForgeAnswer::Contained {
                commit,
                head,
                answer,
            } => {
                let pause = answer.as_ref().err().and_then(|why| why.not_before);
                if self.proofs.answer(commit, head, answer, now) {
                    self.pause(pause, now);
                }
            }
        }
        self.settle(desired, now);
    }

    fn was_asked(&mut self, is: impl Fn(&ForgeCall) -> bool) -> bool {
        let asked = self.asked.take_if(|(call, _)| is(call));
        asked.is_some()
    }

    /// Lets time pass, and looks at the desired state again.
    pub fn handle_timeout(&mut self, desired: &DesiredState, now: Timestamp) {
        self.clock = self.clock.max(now);
        if self.listing.is_some_and(|left| left + LIST_PATIENCE <= now) {
            self.listing = None;
            self.listed(Err(no_answer()), now);
        }
        if let Some((call, _)) = self.asked.take_if(|(_, left)| *left + PATIENCE <= now) {
            match call {
                ForgeCall::List | ForgeCall::Contains { .. } => {}
                ForgeCall::Read { number } => self.read(number, Err(no_answer()), now),
                ForgeCall::Merge { .. } => {
                    self.merge_answer(MergeAnswer::Ambiguous(no_answer().what), now);
                }
                ForgeCall::Revert { .. } => {
                    self.revert_answer(RevertAnswer::Ambiguous(no_answer().what), now);
                }
            }
        }
        if let Some((commit, head)) = self.proofs.overdue(now) {
            self.proofs.answer(commit, head, Err(no_answer()), now);
        }
        self.settle(desired, now);
    }

    /// What follows from what is known now. Ends every call from outside.
    pub fn settle(&mut self, desired: &DesiredState, now: Timestamp) {
        self.clock = self.clock.max(now);
        let now = self.clock;
        self.branch_head.known = desired.remote.commit().ok();
        self.await_branch(desired, now);
        self.automation(desired, now);
        self.ask(now);
    }

    /// Asks nothing before the moment that the forge named.
    pub(super) fn pause(&mut self, until: Option<Timestamp>, now: Timestamp) {
        let until = until.map(|until| until.min(now + MAX_PAUSE));
        self.state.not_before = self
            .state
            .not_before
            .max(until.filter(|until| *until > now));
    }

    /// Waits as long as a failed call wants. Until then nothing is listed either, so whatever is known
    /// grows old: that is told where a failed listing is.
    pub(super) fn wait_for_forge(&mut self, why: &ForgeFailure, now: Timestamp) {
        self.pause(why.not_before, now);
        if self.state.not_before.is_some_and(|until| until > now) {
            let since = self.state.failing.as_ref().map_or(now, |(since, _)| *since);
            self.state.failing = Some((since, clean(&why.what, 300)));
        }
    }

    pub(super) fn audit(
        &mut self,
        actor: &Actor,
        action: &'static str,
        reason: Option<String>,
        outcome: &str,
    ) {
        self.steps.push(UpdateStep::Audit(AuditNote {
            actor: actor.clone(),
            action,
            reason,
            before: None,
            after: None,
            outcome: outcome.to_owned(),
        }));
    }

    /// Whether a job is open.
    #[must_use]
    pub fn open_job(&self) -> Option<&Job> {
        self.state.job.as_ref().filter(|job| job.is_open())
    }

    #[expect(clippy::too_many_arguments, reason = "a job is made in one place")]
    pub(super) fn start_job(
        &mut self,
        number: PrNumber,
        title: String,
        actor: &Actor,
        reason: Option<String>,
        work: Work,
        stage: Stage,
        now: Timestamp,
    ) -> Result<u64, UpdateRefusal> {
        if let Some(job) = self.open_job() {
            return Err(UpdateRefusal::Busy(job.number));
        }
        self.state.jobs += 1;
        let id = self.state.jobs;
        self.state.job = Some(Job {
            id,
            number,
            title,
            actor: actor.clone(),
            reason,
            work,
            stage,
            tries: 0,
            unread: 0,
            said: None,
            created: now,
            since: now,
        });
        Ok(id)
    }
}

fn no_answer() -> ForgeFailure {
    ForgeFailure {
        what: "no answer came in time".to_owned(),
        not_before: None,
    }
}
