//! The lines below the headline: evidence, a way back, and attentions.

use crate::compartment::render::text::{
    cause_with_detail, clean, commit, counted, full, moment, subject,
};
use crate::compartment::{Attention, Reason, Situation};
use crate::desired::{PendingPr, Remote, Unavailable};
use crate::host::{Generation, TestEvidence, TestVerdict};
use crate::ids::LockHash;

/// The most inputs, or failed tests, that are listed.
const MAX_LISTED: usize = 12;

/// What supports a reason.
pub(super) fn evidence(reason: &Reason, situation: &Situation<'_>) -> Vec<String> {
    let remote = &situation.desired.remote;
    match *reason {
        Reason::DesiredCommitUnavailable { .. } => unavailable(remote.commit().err(), situation),
        Reason::DesiredLockUnavailable { .. } => unavailable(remote.lock().err(), situation),
        Reason::SystemUnverifiable { .. } | Reason::TestsUnverifiable { .. } => {
            unavailable(remote.commit().err().or(remote.lock().err()), situation)
        }

        Reason::CheckoutDirty { host } => vec![format!(
            "desired: {}{}; checked out: {}",
            full(remote.commit().ok()),
            subject(situation),
            commit(host)
        )],
        Reason::LockBehind { host, desired, .. }
        | Reason::LockAhead { host, desired }
        | Reason::LockNotOnBranch { host, desired }
        | Reason::LockDifferent { host, desired } => inputs(host, desired, situation),

        Reason::TestsFailed { .. } | Reason::TestsStopped { .. } | Reason::TestsPassed { .. } => {
            situation.tests.map_or_else(Vec::new, test_run)
        }
        Reason::SystemNotCurrent { passed_for, .. } => match passed_for {
            Some(_) => Vec::new(),
            None => situation.tests.map_or_else(Vec::new, earlier_run),
        },
        Reason::TestsOtherRevision { .. } | Reason::TestsUnverified { .. } => {
            situation.tests.map_or_else(Vec::new, earlier_run)
        }

        Reason::AgentNotReported
        | Reason::AgentCurrent
        | Reason::AgentOlder
        | Reason::AgentNewer
        | Reason::AgentIncompatible
        | Reason::CheckoutNotReported
        | Reason::CheckoutCurrent { .. }
        | Reason::CheckoutBehind { .. }
        | Reason::CheckoutAhead { .. }
        | Reason::CheckoutDiverged { .. }
        | Reason::CheckoutNotOnBranch { .. }
        | Reason::CheckoutDifferent { .. }
        | Reason::LockMissing
        | Reason::LockNotReported
        | Reason::LockCurrent { .. }
        | Reason::DeployFailed { .. }
        | Reason::CheckoutNotCurrent { .. }
        | Reason::CheckoutNotKnown { .. }
        | Reason::NeedsReconcile { .. }
        | Reason::RunsOtherRevision { .. }
        | Reason::RunsNoCommit { .. }
        | Reason::RunsOtherPath
        | Reason::SystemCurrent { .. }
        | Reason::SystemClaimsCurrent { .. }
        | Reason::DeployedInputsUnknown { .. }
        | Reason::DeployedInputsDiffer { .. }
        | Reason::DeploymentNotRecorded
        | Reason::NeverDeployed
        | Reason::TestsDisabled
        | Reason::TestsNeverDeployed
        | Reason::NoTests { .. }
        | Reason::TestsNotRun { .. }
        | Reason::TestsVoid
        | Reason::Working { .. } => Vec::new(),
    }
}

/// What belongs below the steps: the generation that a rollback would activate.
pub(super) fn after_to_do(reason: &Reason, situation: &Situation<'_>) -> Option<String> {
    let offers_rollback = matches!(
        reason,
        Reason::TestsFailed { .. } | Reason::TestsStopped { .. } | Reason::DeployFailed { .. }
    );
    let generation = previous(&situation.observation.generations).filter(|_| offers_rollback)?;
    let mut known = Vec::new();
    if generation.commit.is_some() {
        known.push(commit(generation.commit));
    }
    if let Some(created) = generation.created {
        known.push(created.date());
    }
    let number = generation.number;
    if known.is_empty() {
        Some(format!("roll back to: generation {number}"))
    } else {
        Some(format!(
            "roll back to: generation {number} ({})",
            known.join(", ")
        ))
    }
}

/// One line on an attention.
#[must_use]
pub fn attention_text(attention: &Attention, situation: &Situation<'_>) -> String {
    match attention {
        Attention::UpdatePending { pr } => match &situation.desired.pending_pr {
            Some(pending) => pending_text(pending),
            None => format!("Update PR pending: Merge PR #{pr} to update"),
        },
        Attention::RebootRequired => {
            "reboot required: the booted kernel is not the current one".to_owned()
        }
        Attention::LastDeployFailed => "the last deploy failed".to_owned(),
        Attention::Degraded { units, total } => {
            let listed = u32::try_from(units.len()).unwrap_or(u32::MAX);
            let more = match total.saturating_sub(listed) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let failed = counted(*total, "failed unit");
            format!("{failed}: {}{more}", units.join(", "))
        }
        Attention::LastTestsFailed { failed: 0 } => "the last test run failed".to_owned(),
        Attention::LastTestsFailed { failed } => {
            format!(
                "the last test run failed ({})",
                counted(*failed, "failed test")
            )
        }
        Attention::WorktreeDirty => "the checkout has local changes".to_owned(),
        Attention::RemoteRewritten => {
            "the tracked branch was rewritten: its previous head is no ancestor of this one"
                .to_owned()
        }
        Attention::Offline { since } => {
            format!("offline since {}: last known values", moment(*since))
        }
        Attention::Held { by, why, until } => {
            let until = until.map_or_else(String::new, |at| format!(" until {}", moment(at)));
            format!("held by {by}{until}: {why}")
        }
        Attention::RemoteStale { verified_at } => match verified_at {
            Some(at) => format!(
                "the remote does not answer: judged by its state of {}",
                moment(*at)
            ),
            None => "the remote does not answer: judged by its last known state".to_owned(),
        },
        Attention::Quarantined => {
            "quarantined: automation gave up on this host until a person releases it".to_owned()
        }
        Attention::IdentityConflict => {
            "two machines claim to be this host: check for a cloned disk".to_owned()
        }
    }
}

fn pending_text(pending: &PendingPr) -> String {
    let changes = if pending.changes.is_empty() {
        clean(&pending.title, 120)
    } else {
        let more = match pending.changes.len().saturating_sub(3) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named = pending.changes.iter().take(3).map(|one| clean(one, 60));
        format!("{}{more}", named.collect::<Vec<_>>().join(", "))
    };
    let number = pending.number;
    format!("Update PR pending: {changes}. Merge PR #{number} to update")
}

fn unavailable(why: Option<&Unavailable>, situation: &Situation<'_>) -> Vec<String> {
    let Some(why) = why else {
        return Vec::new();
    };
    let mut lines = vec![
        format!("cause: {}", cause_with_detail(why)),
        format!("how to fix: {}", why.cause.hint()),
    ];
    if let Remote::Failed {
        since, last_good, ..
    } = &situation.desired.remote
    {
        lines.push(format!("since: {}", moment(*since)));
        if let Some(commit) = last_good
            .as_ref()
            .and_then(|good| good.commit.as_ref().ok())
        {
            lines.push(format!(
                "last known: {}{}",
                commit.short(),
                subject(situation)
            ));
        }
    }
    lines
}

fn inputs(
    host: Option<LockHash>,
    desired: Option<LockHash>,
    situation: &Situation<'_>,
) -> Vec<String> {
    let (Some(host), Some(desired), Some(history)) = (host, desired, &situation.desired.history)
    else {
        return Vec::new();
    };
    match history.locks.changes(&host, &desired) {
        None => Vec::new(),
        Some(changes) if changes.is_empty() => {
            vec!["the bytes differ, the inputs do not".to_owned()]
        }
        Some(changes) => listed(changes.iter().map(ToString::to_string)),
    }
}

fn listed(items: impl ExactSizeIterator<Item = String>) -> Vec<String> {
    let more = items.len().saturating_sub(MAX_LISTED);
    let mut lines: Vec<String> = items.take(MAX_LISTED).collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

fn test_run(tests: &TestEvidence) -> Vec<String> {
    let mut lines = listed(
        tests
            .failed
            .iter()
            .map(|name| format!("failed: {}", clean(name, 120))),
    );
    if tests.skipped > 0 {
        lines.push(format!("{} skipped", counted(tests.skipped, "test")));
    }
    lines.push(format!("run: {}", moment(tests.at)));
    lines
}

fn earlier_run(tests: &TestEvidence) -> Vec<String> {
    let failed = u32::try_from(tests.failed.len()).unwrap_or(u32::MAX);
    let passed = tests.ran.saturating_sub(failed);
    let on = tests.key.as_ref().map(|key| key.commit);
    let on = on.map_or_else(String::new, |on| format!(" on {}", on.short()));
    let how = match tests.verdict {
        _ if tests.per_script => format!("{passed}/{} passed", tests.ran),
        TestVerdict::Pass => "reported as passed".to_owned(),
        TestVerdict::Fail => "failed".to_owned(),
        TestVerdict::Stopped => "stopped".to_owned(),
        TestVerdict::Empty => "no tests".to_owned(),
        TestVerdict::Void => "void".to_owned(),
    };
    vec![format!("last run: {how}{on}, {}", moment(tests.at))]
}

/// The generation before the current one.
fn previous(newest_first: &[Generation]) -> Option<&Generation> {
    let current = newest_first.iter().find(|one| one.current);
    newest_first
        .iter()
        .filter(|one| !one.current)
        .filter(|one| current.is_none_or(|current| one.number < current.number))
        .max_by_key(|one| one.number)
}
