//! Updates of one repository: requests, answers and time in; steps out. Knows no host.

use std::collections::BTreeMap;
use std::time::Duration;

use super::call::{ForgeAnswer, ForgeCall, ForgeFailure, MergeAnswer, RevertAnswer, RevertKind};
use super::condition::{Judgement, judge};
use super::gate::Gates;
use super::job::UNTIL_SHOWN;
use super::job::{
    BETWEEN_MUTATIONS, Because, Deploy, Job, LOOK_AGAIN, MAX_TRIES, Progress, Stage, Work,
};
use super::policy::UpdatePolicy;
use super::pull_request::{PrNumber, PrState, PullRequest};
use super::refusal::UpdateRefusal;
use super::state::{KnownPr, MAX_MERGED, MAX_OPEN, MergedUpdate, StoredUpdates, UpdateState};
use crate::admission::WindowState;
use crate::compartment::render::text::clean;
use crate::desired::DesiredState;
use crate::host::Actor;
use crate::ids::{CommitId, LockHash};
use crate::notice::{Notice, NoticeKind};
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
    asked: Option<(ForgeCall, Timestamp)>,
    /// When the listing left that has not been answered.
    listing: Option<Timestamp>,
    pub(super) clock: Timestamp,
    steps: Vec<UpdateStep>,
}

/// Something that updates want done, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum UpdateStep {
    /// Ask the forge; the state is to be stored before.
    Ask(ForgeCall),
    /// Read the desired state now.
    ReadRemote,
    /// Somebody asked for something, or something came of it.
    Audit(AuditNote),
    /// Something happened.
    Event {
        /// Stable code.
        code: &'static str,
        /// For people.
        text: String,
    },
    /// Tell people.
    Notify(Notice),
    /// Store this merged update.
    Keep(Box<MergedUpdate>),
    /// Start the rollout of exactly this commit. Answer with [`Updates::deploy_progress`] and
    /// [`Updates::deploy_ended`].
    Deploy(Box<DeployOrder>),
    /// After a restart: a rollout that was started before should still run.
    Deploying(Box<DeployOrder>),
}

/// A row for the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditNote {
    /// Who.
    pub actor: Actor,
    /// What, as a stable code.
    pub action: &'static str,
    /// Why, in the actor's words.
    pub reason: Option<String>,
    /// How it was before.
    pub before: Option<String>,
    /// How it is now.
    pub after: Option<String>,
    /// What came of it, as a stable code.
    pub outcome: String,
}

/// A rollout that follows a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployOrder {
    /// The pull request.
    pub number: PrNumber,
    /// The merge commit: the only target.
    pub commit: CommitId,
    /// The hash of the lock at that commit, where it is known.
    pub lock: Option<LockHash>,
    /// Who asked for the merge.
    pub actor: Actor,
    /// Why.
    pub reason: Option<String>,
    /// What was asked for.
    pub deploy: Deploy,
}

/// A merge that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeOrder {
    /// Which.
    pub number: PrNumber,
    /// The head that the person saw; `None` is the one that was last read.
    pub head: Option<CommitId>,
    /// Why; overrides what a reason can override.
    pub reason: Option<String>,
    /// The rollout that follows.
    pub deploy: Option<Deploy>,
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

    /// Takes in what other parts of the fleet say about automatic merges, before anything is
    /// decided.
    pub fn set_gates(&mut self, gates: Gates) {
        self.gates = gates;
    }

    /// Lists the pull requests as soon as the forge may be asked.
    pub fn check(&mut self, actor: &Actor, desired: &DesiredState, now: Timestamp) {
        self.audit(actor, "check-updates", None, "requested");
        self.look(desired, now);
    }

    /// The same, when a forge hinted that something changed.
    pub fn look(&mut self, desired: &DesiredState, now: Timestamp) {
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
                ForgeCall::List => {}
                ForgeCall::Read { number } => self.read(number, Err(no_answer()), now),
                ForgeCall::Merge { .. } => {
                    self.merge_answer(MergeAnswer::Ambiguous(no_answer().what), now);
                }
                ForgeCall::Revert { .. } => {
                    self.revert_answer(RevertAnswer::Ambiguous(no_answer().what), now);
                }
            }
        }
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
        due.into_iter().min()
    }

    /// Not sooner after the last change than the forge likes (law E6).
    fn paced(&self, at: Timestamp) -> Timestamp {
        self.state
            .mutated
            .map_or(at, |last| at.max(last + BETWEEN_MUTATIONS))
    }

    /// What follows from what is known now. Ends every call from outside.
    pub fn settle(&mut self, desired: &DesiredState, now: Timestamp) {
        self.clock = self.clock.max(now);
        let now = self.clock;
        self.await_branch(desired, now);
        self.automation(desired, now);
        self.ask(now);
    }

    /// Makes the next calls that may be made now: one about a pull request, and the listing.
    fn ask(&mut self, now: Timestamp) {
        if self.state.not_before.is_some_and(|pause| pause > now) {
            return;
        }
        self.state.not_before = None;
        if self.asked.is_none()
            && let Some(call) = self.wanted(now)
        {
            self.asked = Some((call.clone(), now));
            self.steps.push(UpdateStep::Ask(call));
        }
        if self.listing.is_none() && self.state.check_at <= now {
            self.listing = Some(now);
            self.state.check_at = now + self.policy.interval;
            self.steps.push(UpdateStep::Ask(ForgeCall::List));
        }
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
            ForgeCall::List | ForgeCall::Read { .. } => return None,
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

    fn listed(&mut self, result: Result<Vec<PullRequest>, ForgeFailure>, now: Timestamp) {
        let all = match result {
            Ok(all) => all,
            Err(why) => {
                self.pause(why.not_before, now);
                let since = self.state.failing.as_ref().map_or(now, |(since, _)| *since);
                self.state.failing = Some((since, clean(&why.what, 300)));
                self.state.check_at = self.state.check_at.min(now + CHECK_AGAIN);
                return;
            }
        };
        self.state.failing = None;
        self.state.checked = Some(now);
        let before = std::mem::take(&mut self.state.open);
        let known = |number| {
            before
                .iter()
                .find(|known: &&KnownPr| known.pr.number == number)
        };
        let mut visible: Vec<PullRequest> = all
            .into_iter()
            .filter(|pr| {
                pr.state == PrState::Open
                    && self.policy.lists(pr)
                    && !self.merged.contains_key(&pr.number)
            })
            .collect();
        visible.sort_by_key(|pr| std::cmp::Reverse((pr.created_at, pr.number)));
        visible.dedup_by_key(|pr| pr.number);
        visible.truncate(MAX_OPEN);
        let mut open: Vec<KnownPr> = visible
            .into_iter()
            .map(|pr| {
                let before = known(pr.number);
                KnownPr::new(pr, before, now)
            })
            .collect();
        let current = before.first().map(|known| known.pr.number);
        let busy = self.open_job().map(|job| job.number);
        for gone in before {
            let number = gone.pr.number;
            if open.iter().any(|known| known.pr.number == number) {
                continue;
            }
            if busy == Some(number) && !self.merged.contains_key(&number) {
                open.push(gone);
            } else if !self.merged.contains_key(&number) {
                self.state.missing.entry(number).or_insert(now);
            }
        }
        self.state.open = open;
        self.greet(current, now);
    }

    /// A new current pull request is told once.
    fn greet(&mut self, before: Option<PrNumber>, now: Timestamp) {
        let Some(known) = self.current() else { return };
        let (number, title) = (known.pr.number, known.pr.title.clone());
        if before == Some(number) {
            return;
        }
        let inputs: Vec<String> = known.lock.compared().map_or_else(Vec::new, |compared| {
            compared
                .inputs
                .iter()
                .map(|one| one.text.clone())
                .take(20)
                .collect()
        });
        self.push(UpdateStep::Event {
            code: "update-found",
            text: format!("update {number} is the current one: {title}"),
        });
        self.push(UpdateStep::Notify(Notice::new(
            NoticeKind::UpdateFound,
            now,
            &number.to_string(),
            format!("Update {number}: {title}"),
            inputs.join("\n"),
        )));
    }

    /// Takes in a fresh reading of one pull request.
    pub(super) fn remember(&mut self, pr: PullRequest, now: Timestamp) {
        let open = &mut self.state.open;
        let position = open.iter().position(|known| known.pr.number == pr.number);
        match (position, pr.state) {
            (Some(at), PrState::Open) => {
                if let Some(slot) = open.get_mut(at) {
                    *slot = KnownPr::new(pr, Some(slot), now);
                }
            }
            (Some(at), PrState::Closed | PrState::Merged { .. }) => {
                open.remove(at);
            }
            (None, PrState::Open | PrState::Closed | PrState::Merged { .. }) => {}
        }
    }

    fn read(
        &mut self,
        number: PrNumber,
        result: Result<Option<Box<PullRequest>>, ForgeFailure>,
        now: Timestamp,
    ) {
        let result = match result {
            Ok(Some(pr)) if pr.number != number => Err(ForgeFailure {
                what: format!("asked for {number}, the forge told of {}", pr.number),
                not_before: None,
            }),
            other => other,
        };
        if let Err(why) = &result {
            self.pause(why.not_before, now);
        }
        let reads =
            |job: &&mut Job| job.number == number && matches!(job.stage, Stage::Reading { .. });
        if self.state.job.as_mut().filter(reads).is_some() {
            self.job_read(number, result, now);
        } else {
            self.learn(number, result, now);
        }
    }

    /// What became of a pull request that is not listed any more.
    fn learn(
        &mut self,
        number: PrNumber,
        result: Result<Option<Box<PullRequest>>, ForgeFailure>,
        now: Timestamp,
    ) {
        self.state.missing.remove(&number);
        match result {
            Err(_) => {
                self.state.missing.insert(number, now + CHECK_AGAIN);
            }
            Ok(None) => {
                self.state.unsettled.remove(&number);
            }
            Ok(Some(pr)) => match pr.state {
                PrState::Merged { commit } => self.record_merge(&pr, commit, now),
                // A call whose outcome nobody knew did nothing.
                PrState::Open | PrState::Closed => {
                    self.state.unsettled.remove(&number);
                }
            },
        }
    }

    /// Records a merge, once for each pull request (law E1).
    pub(super) fn record_merge(
        &mut self,
        pr: &PullRequest,
        commit: Option<CommitId>,
        now: Timestamp,
    ) {
        let number = pr.number;
        let ours = self.state.unsettled.remove(&number);
        self.state.missing.remove(&number);
        let known = self
            .state
            .open
            .iter()
            .position(|one| one.pr.number == number);
        let known = known.map(|at| self.state.open.remove(at));
        if self.merged.contains_key(&number) {
            return;
        }
        let by = ours
            .filter(|(head, _)| *head == pr.head)
            .map(|(_, actor)| actor);
        if let Some(baseline) = super::checks::Baseline::of(pr) {
            self.state.baseline = Some(baseline);
        }
        let lock = known.map_or_else(|| super::lock_facts::LockFacts::of(pr), |known| known.lock);
        let inputs = lock.compared().map_or_else(Vec::new, |compared| {
            compared.inputs.iter().take(30).cloned().collect()
        });
        let merged = MergedUpdate {
            repo: self.policy.repo.clone(),
            number,
            title: clean(&pr.title, 200),
            url: pr.url.clone(),
            author: clean(&pr.author, 60),
            head: pr.head,
            commit,
            at: now,
            by,
            inputs,
            revert: None,
        };
        let whom = merged
            .by
            .as_ref()
            .map_or("elsewhere".to_owned(), |actor| match actor {
                Actor::Person(name) => format!("by {name}"),
                Actor::Automation(name) => format!("by the automation {name}"),
            });
        let place = commit.map_or("a commit not told".to_owned(), |commit| commit.short());
        let text = format!("update {number} was merged {whom} as {place}");
        self.push(UpdateStep::Event {
            code: "update-merged",
            text: text.clone(),
        });
        self.push(UpdateStep::Notify(Notice::new(
            NoticeKind::UpdateMerged,
            now,
            &number.to_string(),
            text,
            merged.title.clone(),
        )));
        if let Some(actor) = merged.by.clone() {
            let job = self.state.job.as_ref().filter(|job| job.number == number);
            let reason = job.and_then(|job| job.reason.clone());
            self.push(UpdateStep::Audit(AuditNote {
                actor,
                action: "merge-pr",
                reason,
                before: Some(format!("{number} open at {}", pr.head)),
                after: commit.map(|commit| format!("{number} merged as {commit}")),
                outcome: "merged".to_owned(),
            }));
        }
        self.push(UpdateStep::Keep(Box::new(merged.clone())));
        self.push(UpdateStep::ReadRemote);
        self.merged.insert(number, merged);
        if self.merged.len() > MAX_MERGED {
            self.merged.pop_first();
        }
    }

    /// Asks nothing before the moment that the forge named.
    pub(super) fn pause(&mut self, until: Option<Timestamp>, now: Timestamp) {
        let until = until.map(|until| until.min(now + MAX_PAUSE));
        self.state.not_before = self
            .state
            .not_before
            .max(until.filter(|until| *until > now));
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

    /// Whether a job is open.
    #[must_use]
    pub fn open_job(&self) -> Option<&Job> {
        self.state.job.as_ref().filter(|job| job.is_open())
    }

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
}

fn no_answer() -> ForgeFailure {
    ForgeFailure {
        what: "no answer came in time".to_owned(),
        not_before: None,
    }
}
