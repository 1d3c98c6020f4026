//! Was the goal reached? Judged only from facts that the host reported after the exit.

use serde::{Deserialize, Serialize};

use super::command::Command;
use super::ending::{GoalGap, UnverifiedCause};
use super::freshness::{Freshness, FreshnessFacts};
use crate::host::{
    AgentProtocol, Deployed, HostObservation, LockReport, Repo, TestEvidence, TestVerdict,
};
use crate::ids::{CommitId, CommitRef, StorePath};
use crate::op::{Goal, Op};
use crate::report::ResultKind;

/// What facts reported after the exit say about a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "detail")]
pub enum Verdict {
    /// The goal is reached, and the agent is the one it should be.
    Reached,
    /// The goal is reached, but these units failed that did not fail before.
    UnitsFailed(Vec<String>),
    /// The goal is reached, but the agent is the old one although an update was due.
    AgentUnchanged,
    /// The goal is reached, but only the agent's source commit changed, not its binary.
    OnlySourceChanged,
    /// The goal is not reached.
    NotReached(GoalGap),
    /// The goal cannot be checked, however long one waits.
    Unverified(UnverifiedCause),
    /// Not settled yet; if nothing more comes, this is the answer.
    Waiting(Waiting),
}

/// What is still missing, and what it means if it never comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "detail")]
pub enum Waiting {
    /// The facts that prove it.
    Facts(UnverifiedCause),
    /// The goal is reached; the agent, still the old one, has not registered again.
    AgentUnchanged,
    /// The goal is reached; the agent, of other source but the same binary, has not registered
    /// again.
    OnlySourceChanged,
}

/// Judges a command by an observation that was reported after its exit.
///
/// When is the running system *the new one* (goal of `switch`)? The agent's deployment record
/// decides, not movement: the record names this command; its store path is the running one; and
/// its commit is the one that was checked out at the start (for `pull-switch`, the pinned
/// target). If the path did not move although the recorded inputs did, that is legitimate only
/// where equal paths mean equal systems (a Nix store path) and the running system claims no other
/// revision; elsewhere the path is just a name, and one that stays when its inputs change proves
/// that nothing was activated. Without an earlier record such a name must be confirmed by the
/// revision that the running system claims.
#[must_use]
pub fn goal_verdict(command: &Command, after: &HostObservation) -> Verdict {
    match reached(command, after) {
        Ok(()) => agent_verdict(command, after),
        Err(verdict) => verdict,
    }
}

/// Whether the host has a record that this command activated a system.
#[must_use]
pub fn activation_on_record(command: &Command, after: &HostObservation) -> bool {
    let named = |deployed: &Deployed| deployed.command == Some(command.id);
    after.deployed.as_ref().is_some_and(named) || infer_deployment(command, after).is_some()
}

/// The deployment record of a host whose agent keeps none: what is checked out, if commit and
/// lock reported before the start and after the end are equal and the exit code was 0 (spec 03).
#[must_use]
pub fn infer_deployment(command: &Command, after: &HostObservation) -> Option<Deployed> {
    let exit = command.exit.as_ref();
    let exited_well = exit.is_some_and(|exit| exit.kind == ResultKind::Ok);
    let existing = command.protocol == AgentProtocol::Existing;
    if !existing || !exited_well || !command.op.is_deploy() || command.op == Op::Rollback {
        return None;
    }
    let (before, now) = (command.baseline.repo?, after.repo?);
    let lock = now.lock.hash()?;
    let same = before.commit == now.commit && before.lock == now.lock;
    same.then(|| Deployed {
        commit: Some(now.commit),
        lock: Some(lock),
        store_path: running_path(after).cloned(),
        clean: !before.dirty && !now.dirty,
        command: Some(command.id),
        inferred: true,
    })
}

type Judgement = Result<(), Verdict>;

fn gap(gap: GoalGap) -> Judgement {
    Err(Verdict::NotReached(gap))
}

fn unverified(cause: UnverifiedCause) -> Judgement {
    Err(Verdict::Unverified(cause))
}

fn waiting_for_facts() -> Judgement {
    Err(Verdict::Waiting(Waiting::Facts(
        UnverifiedCause::NotReported,
    )))
}

fn reached(command: &Command, after: &HostObservation) -> Judgement {
    match command.op.spec().goal {
        Goal::CommitIsTarget => commit_is_target(command, after),
        Goal::SystemIsNew => system_is_new(command, after),
        Goal::CommitAndSystem => {
            commit_is_target(command, after).and_then(|()| system_is_new(command, after))
        }
        Goal::AgentFresh => system_is_new(command, after),
        Goal::TestResult => test_result(command, after),
        Goal::SystemIsRollbackTarget => rolled_back(command, after),
        Goal::RegisteredAgain if command.returned => Ok(()),
        Goal::RegisteredAgain => gap(GoalGap::AgentNotRestarted),
        Goal::RegisteredAfterBoot if command.returned => Ok(()),
        Goal::RegisteredAfterBoot => gap(GoalGap::NotRebooted),
        Goal::LockChangedAndPushed => lock_changed(command, after),
        Goal::Merged | Goal::RevertOpen | Goal::None => Ok(()),
    }
}

/// Whether `reported` is `full`, or an abbreviation of it.
fn names(reported: CommitRef, full: CommitId) -> bool {
    match reported {
        CommitRef::Full(id) => id == full,
        CommitRef::Abbreviated(prefix) => full.starts_with(&prefix),
    }
}

/// Whether two reports of a commit can be the same commit.
fn same_commit(one: CommitRef, other: CommitRef) -> bool {
    match (one, other) {
        (CommitRef::Full(id), any) | (any, CommitRef::Full(id)) => names(any, id),
        (CommitRef::Abbreviated(one), CommitRef::Abbreviated(other)) => one == other,
    }
}

fn running_path(after: &HostObservation) -> Option<&StorePath> {
    after.system.as_ref()?.path.as_ref()
}

fn commit_is_target(command: &Command, after: &HostObservation) -> Judgement {
    let Some(target) = &command.target else {
        return unverified(UnverifiedCause::NotReported);
    };
    match after.repo {
        None => waiting_for_facts(),
        Some(repo) if names(repo.commit, target.commit) => Ok(()),
        Some(_) => gap(GoalGap::CommitIsNotTarget),
    }
}

fn system_is_new(command: &Command, after: &HostObservation) -> Judgement {
    if command.protocol == AgentProtocol::Existing {
        return inferred_system(command, after);
    }
    let Some(deployed) = &after.deployed else {
        return waiting_for_facts();
    };
    if deployed.command != Some(command.id) {
        return gap(GoalGap::NoDeploymentRecord);
    }
    let (Some(built), Some(running)) = (&deployed.store_path, running_path(after)) else {
        return waiting_for_facts();
    };
    if built != running {
        return gap(GoalGap::OtherSystemRunning);
    }
    let Some(commit) = deployed.commit else {
        return gap(GoalGap::OtherInputsBuilt);
    };
    if intended_commit(command).is_some_and(|intended| !same_commit(intended, commit)) {
        return gap(GoalGap::OtherInputsBuilt);
    }
    let unmoved = command.baseline.system_path.as_ref() == Some(running);
    if unmoved && !may_stay(command, after, deployed, commit) {
        return gap(GoalGap::SystemUnmoved);
    }
    Ok(())
}

fn intended_commit(command: &Command) -> Option<CommitRef> {
    let target = command.target.map(|target| CommitRef::Full(target.commit));
    if command.op == Op::PullSwitch {
        return target;
    }
    command.baseline.repo.map(|repo| repo.commit)
}

/// Whether a running path that did not move is legitimate; see [`goal_verdict`].
fn may_stay(
    command: &Command,
    after: &HostObservation,
    deployed: &Deployed,
    commit: CommitRef,
) -> bool {
    let claimed = after
        .system
        .as_ref()
        .and_then(|system| system.configuration_revision.as_ref());
    if let Some(claimed) = claimed {
        return claimed
            .commit()
            .is_some_and(|claimed| same_commit(claimed, commit));
    }
    let content_addressed = deployed
        .store_path
        .as_ref()
        .is_some_and(|path| path.as_str().starts_with("/nix/store/"));
    let same_inputs = command.baseline.deployed.as_ref().is_some_and(|before| {
        before.store_path == deployed.store_path
            && before.lock == deployed.lock
            && before.commit.is_some_and(|c| same_commit(c, commit))
    });
    content_addressed || same_inputs
}

fn inferred_system(command: &Command, after: &HostObservation) -> Judgement {
    let known = |repo: &Repo| repo.lock != LockReport::NotReported;
    if !command.baseline.repo.as_ref().is_some_and(known) {
        return unverified(UnverifiedCause::NotReported);
    }
    match &after.repo {
        Some(repo) if known(repo) => {}
        Some(_) | None => return waiting_for_facts(),
    }
    match infer_deployment(command, after) {
        Some(_) => Ok(()),
        None => unverified(UnverifiedCause::NotReported),
    }
}

/// Whether the next boot would undo the rollback. A profile that had nothing to do with what ran, and
/// still has not, is none that the host's commands keep.
fn profile_left_elsewhere(command: &Command, target: &StorePath, after: &HostObservation) -> bool {
    let Some(system) = &after.system else {
        return false;
    };
    let before = &command.baseline;
    let ran = before.system_path.as_ref();
    let kept = system.profile_path != before.profile_path
        || before.profile_path.as_ref() == ran
        || ran == Some(target);
    kept && system.profile_leads_away_from(Some(target))
}

fn rolled_back(command: &Command, after: &HostObservation) -> Judgement {
    let Some(running) = running_path(after) else {
        return waiting_for_facts();
    };
    let number = after.system.as_ref().and_then(|s| s.profile_number);
    let target = command.rollback.as_ref();
    if let Some(path) = target.and_then(|generation| generation.path.as_ref()) {
        return if path == running && !profile_left_elsewhere(command, path, after) {
            Ok(())
        } else {
            gap(GoalGap::NotRollbackTarget)
        };
    }
    let is_target = match (target, number) {
        (Some(generation), Some(number)) => generation.number == number,
        (Some(_), None) | (None, _) => {
            let moved = command.baseline.system_path.as_ref() != Some(running);
            let recorded = after.deployed.as_ref().is_some_and(|deployed| {
                deployed.command == Some(command.id)
                    && deployed.store_path.as_ref() == Some(running)
            });
            moved && recorded
        }
    };
    if is_target {
        Ok(())
    } else {
        gap(GoalGap::NotRollbackTarget)
    }
}

fn test_result(command: &Command, after: &HostObservation) -> Judgement {
    let evidence = command.exit.as_ref().and_then(|exit| exit.tests.as_ref());
    let Some(evidence) = evidence else {
        // An existing agent reports a code and nothing else; the evidence says so.
        return match command.protocol {
            AgentProtocol::Existing => Ok(()),
            AgentProtocol::Commands => unverified(UnverifiedCause::NotReported),
        };
    };
    match evidence.verdict {
        TestVerdict::Void => gap(GoalGap::TestsOfOtherRevision),
        TestVerdict::Empty => gap(GoalGap::NoTests),
        TestVerdict::Pass | TestVerdict::Fail | TestVerdict::Stopped => {
            tested_what_is_deployed(evidence, after)
        }
    }
}

fn tested_what_is_deployed(evidence: &TestEvidence, after: &HostObservation) -> Judgement {
    let Some(key) = &evidence.key else {
        return unverified(UnverifiedCause::NotReported);
    };
    let Some(running) = running_path(after) else {
        return waiting_for_facts();
    };
    let same_inputs = after.deployed.as_ref().is_none_or(|deployed| {
        deployed.lock == Some(key.lock)
            && deployed.commit.is_some_and(|c| same_commit(c, key.commit))
    });
    if key.store_path.as_ref() == Some(running) && same_inputs {
        Ok(())
    } else {
        gap(GoalGap::TestsOfOtherRevision)
    }
}

/// The agent's record decides: its checkout alone cannot tell an update from a pull that brought
/// somebody else's lock, nor see what was pushed to a branch beside the tracked one.
fn lock_changed(command: &Command, after: &HostObservation) -> Judgement {
    let told = command.exit.as_ref().and_then(|exit| exit.update.as_ref());
    if let Some(update) = told {
        if update.lock_before == update.lock_after {
            return gap(GoalGap::LockUnchanged);
        }
        return match update.pushed {
            Some(_) => Ok(()),
            None => unverified(UnverifiedCause::NotReported),
        };
    }
    let lock = |repo: Option<Repo>| {
        repo.map(|r| r.lock)
            .filter(|l| *l != LockReport::NotReported)
    };
    match (lock(command.baseline.repo), lock(after.repo)) {
        (_, None) => waiting_for_facts(),
        (None, Some(_)) => unverified(UnverifiedCause::NotReported),
        (Some(before), Some(now)) if before == now => gap(GoalGap::LockUnchanged),
        (Some(_), Some(_)) => Ok(()),
    }
}

/// What remains once the goal itself is reached: failed units, then the agent's own binary.
fn agent_verdict(command: &Command, after: &HostObservation) -> Verdict {
    if let Some(units) = newly_failed_units(command, after) {
        return Verdict::UnitsFailed(units);
    }
    if !command.op.is_switch_like() {
        return Verdict::Reached;
    }
    // A rollback goes back on purpose: an older agent is no surprise.
    let due = command.baseline.agent_update_due && command.op != Op::Rollback;
    let facts = FreshnessFacts::compare(&command.baseline.binary, &after.binary, due);
    match (facts.verdict(), command.returned) {
        (Freshness::Fresh | Freshness::NoneDue | Freshness::NoDataNoneDue, _) => Verdict::Reached,
        (Freshness::Stale, true) => Verdict::AgentUnchanged,
        (Freshness::Stale, false) => Verdict::Waiting(Waiting::AgentUnchanged),
        (Freshness::Suspicious, true) => Verdict::OnlySourceChanged,
        (Freshness::Suspicious, false) => Verdict::Waiting(Waiting::OnlySourceChanged),
        (Freshness::Unverified, true) => Verdict::Unverified(UnverifiedCause::BinaryNotReported),
        (Freshness::Unverified, false) => {
            Verdict::Waiting(Waiting::Facts(UnverifiedCause::BinaryNotReported))
        }
    }
}

/// Units that failed and did not fail before, or an empty list if only the exit code says so.
fn newly_failed_units(command: &Command, after: &HostObservation) -> Option<Vec<String>> {
    let exit = command.exit.as_ref().filter(|_| command.op.is_deploy())?;
    if let Some(units) = exit.newly_failed.as_ref().filter(|units| !units.is_empty()) {
        return Some(units.clone());
    }
    if exit.kind == ResultKind::Ok {
        return None;
    }
    let before = command.baseline.failed_units.as_deref().unwrap_or_default();
    let now = after.failed_units.as_deref().unwrap_or_default();
    let new = now.iter().filter(|unit| !before.contains(unit));
    Some(new.cloned().collect())
}
