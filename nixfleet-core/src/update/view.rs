//! What clients see of updates.

use serde::{Deserialize, Serialize};

use super::checks::Verdict;
use super::condition::Condition;
use super::condition::{Finding, ForPeople};
use super::gate::AutoGate;
use super::job::{JobState, Progress, Work};
use super::lock_facts::{InputMove, LockFacts};
use super::machine::Updates;
use super::pull_request::{CheckState, Mergeable, PrNumber};
use super::state::{KnownPr, MergedUpdate, Reverted};
use crate::compartment::render::text::clean;
use crate::credential::CredentialEnd;
use crate::desired::{PendingPr, Remote};
use crate::host::Actor;
use crate::ids::{CommitId, LockHash, RolloutId};
use crate::time::Timestamp;

/// How many merged updates clients see.
pub const SHOWN_MERGED: usize = 20;
/// How many checks of a pull request clients see.
const SHOWN_CHECKS: usize = 50;

/// Everything about updates that clients see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdatesView {
    /// The repository.
    pub repo: String,
    /// The tracked branch.
    pub branch: String,
    /// Open update pull requests, newest first; the first is the current one.
    pub prs: Vec<PrView>,
    /// When they were last listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<Timestamp>,
    /// Since when they cannot be listed, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<FailingView>,
    /// When they are listed next.
    pub next_check: Timestamp,
    /// Automatic merges.
    pub auto: AutoView,
    /// Whether a revert may be a direct commit.
    pub direct_revert: bool,
    /// The current job, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobView>,
    /// Merged updates, newest first.
    pub merged: Vec<MergedView>,
    /// Credentials of the forge that end by themselves, and what people were told of that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<CredentialEnd>,
}

/// Since when the forge cannot be asked, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailingView {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub what: String,
    /// The forge asked not to be called before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
}

/// One open update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrView {
    /// Its number.
    pub number: PrNumber,
    /// Its title.
    pub title: String,
    /// Its address.
    pub url: String,
    /// Its author.
    pub author: String,
    /// When it was opened.
    pub created: Timestamp,
    /// Its head.
    pub head: CommitId,
    /// Since when this server has seen this head.
    pub head_since: Timestamp,
    /// Whether the forge could merge it.
    pub mergeable: Mergeable,
    /// What the required checks say.
    pub verdict: Verdict,
    /// Why.
    pub verdict_why: String,
    /// The checks on its head, and those that are missing.
    pub checks: Vec<CheckView>,
    /// Law E2, condition by condition.
    pub conditions: Vec<ConditionView>,
    /// Whether every condition holds.
    pub eligible: bool,
    /// From when on the conditions that only need time hold.
    pub ripe_at: Timestamp,
    /// What it does to the lock.
    pub inputs: Vec<InputMove>,
    /// How many more inputs differ.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_inputs: usize,
    /// Why its lock cannot be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_problem: Option<String>,
    /// Inputs that move although the title names others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unexpected: Vec<String>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckView {
    /// Its name.
    pub name: String,
    /// Whether the verdict needs it.
    pub required: bool,
    /// Its states on the head; none if it is not there.
    pub states: Vec<CheckState>,
    /// What it contributes.
    pub verdict: Verdict,
    /// The same for people.
    pub text: String,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionView {
    /// Which.
    pub condition: Condition,
    /// What it means to people who merge by hand.
    pub people: ForPeople,
    /// Whether it holds, and why.
    #[serde(flatten)]
    pub finding: Finding,
}

/// Automatic merges, as far as the current pull request goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoView {
    /// Whether they are switched on.
    pub on: bool,
    /// What every gate says; empty without a pull request.
    pub gates: Vec<GateView>,
}

/// One gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateView {
    /// Which.
    pub gate: AutoGate,
    /// Whether it lets the merge pass, and why.
    #[serde(flatten)]
    pub finding: Finding,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// Its number.
    pub id: u64,
    /// `merge` or `revert`.
    pub kind: String,
    /// The pull request.
    pub number: PrNumber,
    /// Its title.
    pub title: String,
    /// Who asked.
    pub actor: Actor,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where it stands.
    pub state: JobState,
    /// The same for people.
    pub message: String,
    /// The rollout that follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutId>,
    /// How far the rollout is.
    pub progress: Progress,
    /// When it was made.
    pub created: Timestamp,
    /// When it last got on.
    pub since: Timestamp,
}

/// A merged update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedView {
    /// The pull request.
    pub number: PrNumber,
    /// Its title.
    pub title: String,
    /// Its address.
    pub url: String,
    /// The commit on the tracked branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitId>,
    /// When.
    pub at: Timestamp,
    /// Who, if it was through this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
    /// What it changed.
    pub inputs: Vec<InputMove>,
    /// Its revert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revert: Option<Reverted>,
}

impl Updates {
    /// What clients see.
    #[must_use]
    pub fn view(&self) -> UpdatesView {
        let state = &self.state;
        let failing = state.failing.as_ref();
        let mut merged: Vec<&MergedUpdate> = self.merged.values().collect();
        merged.sort_by_key(|one| std::cmp::Reverse((one.at, one.number)));
        let gates = self.current().map_or_else(Vec::new, |known| {
            self.auto_gates(known, &self.judgement(known))
        });
        UpdatesView {
            repo: self.policy.repo.clone(),
            branch: self.policy.branch.clone(),
            prs: state.open.iter().map(|known| self.pr_view(known)).collect(),
            checked: state.checked,
            failing: failing.map(|(since, what)| FailingView {
                since: *since,
                what: what.clone(),
                not_before: state.not_before,
            }),
            next_check: state
                .not_before
                .unwrap_or(state.check_at)
                .max(state.check_at),
            auto: AutoView {
                on: self.policy.auto_merge,
                gates: gates
                    .into_iter()
                    .map(|(gate, finding)| GateView { gate, finding })
                    .collect(),
            },
            direct_revert: self.policy.direct_revert,
            job: self.job_view(),
            merged: merged
                .into_iter()
                .take(SHOWN_MERGED)
                .map(merged_view)
                .collect(),
            credentials: self.credentials.clone(),
        }
    }

    fn pr_view(&self, known: &KnownPr) -> PrView {
        let judgement = self.judgement(known);
        let eligible = judgement.is_eligible();
        let (inputs, more_inputs, lock_problem) = match &known.lock {
            LockFacts::NotRead(why) | LockFacts::Unreadable(why) => {
                (Vec::new(), 0, Some(why.clone()))
            }
            LockFacts::Compared(compared) => (compared.inputs.clone(), compared.more, None),
        };
        let unexpected = inputs.iter().filter(|one| one.unexpected);
        let checks = judgement.checks.checks.iter().take(SHOWN_CHECKS);
        PrView {
            number: known.pr.number,
            title: known.pr.title.clone(),
            url: known.pr.url.clone(),
            author: clean(&known.pr.author, 60),
            created: known.pr.created_at,
            head: known.pr.head,
            head_since: known.head_since,
            mergeable: known.pr.mergeable,
            verdict: judgement.checks.verdict,
            verdict_why: clean(&judgement.checks.why, 300),
            checks: checks
                .map(|check| CheckView {
                    name: clean(&check.name, 100),
                    required: check.required,
                    states: check.states.clone(),
                    verdict: check.verdict,
                    text: check.text.to_owned(),
                })
                .collect(),
            eligible,
            ripe_at: judgement.ripe_at,
            conditions: judgement
                .findings
                .into_iter()
                .map(|(condition, finding)| ConditionView {
                    condition,
                    people: condition
                        .spec()
                        .map_or(ForPeople::Required, |spec| spec.people),
                    finding,
                })
                .collect(),
            unexpected: unexpected.map(|one| one.input.clone()).collect(),
            inputs,
            more_inputs,
            lock_problem,
        }
    }

    fn job_view(&self) -> Option<JobView> {
        let job = self.state.job.as_ref()?;
        let (kind, rollout) = match &job.work {
            Work::Merge { deploy, .. } => ("merge", deploy.as_ref().map(|deploy| deploy.rollout)),
            Work::Revert { .. } => ("revert", None),
        };
        Some(JobView {
            id: job.id,
            kind: kind.to_owned(),
            number: job.number,
            title: job.title.clone(),
            actor: job.actor.clone(),
            reason: job.reason.clone(),
            state: job.state(),
            message: job.message(),
            rollout,
            progress: job.progress(),
            created: job.created,
            since: job.since,
        })
    }

    /// The update that compartments tell of: the current one, as long as its lock is not the
    /// branch's own. A lock that could not be read is not known to be the same.
    #[must_use]
    pub fn pending(&self, remote: &Remote) -> Option<PendingPr> {
        let known = self.current()?;
        let desired: Option<LockHash> = remote
            .last_known()
            .and_then(|snapshot| snapshot.lock.as_ref().ok().copied());
        if known.lock_hash().is_some_and(|lock| Some(lock) == desired) {
            return None;
        }
        let inputs = known
            .lock
            .compared()
            .map_or(&[][..], |compared| &compared.inputs);
        let roots = inputs.iter().filter(|one| !one.input.contains('/'));
        Some(PendingPr {
            number: known.pr.number.0,
            title: known.pr.title.clone(),
            url: known.pr.url.clone(),
            created_at: Some(known.pr.created_at),
            changes: roots.map(short_move).collect(),
        })
    }
}

/// `nixpkgs abc1234 → def5678`.
fn short_move(one: &InputMove) -> String {
    match (&one.old, &one.new) {
        (Some(old), Some(new)) => format!("{} {} → {}", one.input, old.short, new.short),
        (Some(_), None) | (None, Some(_)) | (None, None) => one.text.clone(),
    }
}

fn merged_view(one: &MergedUpdate) -> MergedView {
    MergedView {
        number: one.number,
        title: one.title.clone(),
        url: one.url.clone(),
        commit: one.commit,
        at: one.at,
        by: one.by.clone(),
        inputs: one.inputs.clone(),
        revert: one.revert.clone(),
    }
}
