//! What the fleet answers, as HTTP: one place for the status and the code of every refusal.

use http::StatusCode;
use nixfleet_core::admission::Refusal;
use nixfleet_core::fleet::{Accepted, Dispatched, Reply, SelectorHold};
use nixfleet_core::rollout::{Plan, PlanError, VerbError};
use nixfleet_core::update::UpdateRefusal;
use nixfleet_core::{CommandId, HostId};
use serde::{Deserialize, Serialize};

use super::api::{refused, unknown_command, unknown_host, unprocessable};
use crate::reject::{Problem, standard};

/// What was done.
#[derive(Debug)]
pub(super) enum Granted {
    /// It is done.
    Done,
    /// One outcome for each host.
    Dispatched(Vec<Dispatched>),
    /// A job on an update, by its number.
    Job(u64),
    /// A hold by selector.
    Hold(Box<SelectorHold>),
}

/// What is noted of something that was done, so that it can be answered once more.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Noted {
    Done,
    Dispatched(Vec<NotedRow>),
    Job(u64),
    Hold(Box<SelectorHold>),
}

#[derive(Debug, Serialize, Deserialize)]
struct NotedRow {
    host: HostId,
    outcome: NotedOutcome,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum NotedOutcome {
    Started(CommandId),
    Queued(CommandId),
    Done,
    Refused(Refusal),
}

/// What is noted of a reply; nothing if nothing was done, because then asking again does no harm.
pub(super) fn note(reply: &Reply) -> Option<String> {
    let noted = match reply {
        Reply::Done | Reply::RolloutStarted(_) => Noted::Done,
        Reply::Dispatched(outcomes) => Noted::Dispatched(outcomes.iter().map(noted_row).collect()),
        Reply::JobStarted { job } => Noted::Job(*job),
        Reply::HeldBySelector(hold) => Noted::Hold(hold.clone()),
        Reply::UnknownHost(_)
        | Reply::UnknownCommand
        | Reply::Refused(_)
        | Reply::NotPlanned(_)
        | Reply::PlanChanged(_)
        | Reply::UnknownRollout(_)
        | Reply::VerbRefused(_)
        | Reply::BadSettings(_)
        | Reply::BadWindow(_)
        | Reply::UnknownWindow(_)
        | Reply::NotQuarantined(_)
        | Reply::UpdateRefused(_)
        | Reply::BadHold(_)
        | Reply::UnknownHold(_) => return None,
    };
    serde_json::to_string(&noted).ok()
}

fn noted_row(one: &Dispatched) -> NotedRow {
    NotedRow {
        host: one.host.clone(),
        outcome: match &one.outcome {
            Ok(Accepted::Started(id)) => NotedOutcome::Started(*id),
            Ok(Accepted::Queued(id)) => NotedOutcome::Queued(*id),
            Ok(Accepted::Done) => NotedOutcome::Done,
            Err(refusal) => NotedOutcome::Refused(refusal.clone()),
        },
    }
}

/// What was done, from what was noted of it.
pub(super) fn noted(note: &str) -> Result<Granted, Problem> {
    let noted = serde_json::from_str(note).map_err(|error| {
        tracing::error!(%error, "what was noted of a request cannot be read");
        standard(StatusCode::INTERNAL_SERVER_ERROR)
    })?;
    Ok(match noted {
        Noted::Done => Granted::Done,
        Noted::Job(job) => Granted::Job(job),
        Noted::Hold(hold) => Granted::Hold(hold),
        Noted::Dispatched(rows) => Granted::Dispatched(rows.into_iter().map(dispatched).collect()),
    })
}

fn dispatched(row: NotedRow) -> Dispatched {
    Dispatched {
        host: row.host,
        outcome: match row.outcome {
            NotedOutcome::Started(id) => Ok(Accepted::Started(id)),
            NotedOutcome::Queued(id) => Ok(Accepted::Queued(id)),
            NotedOutcome::Done => Ok(Accepted::Done),
            NotedOutcome::Refused(refusal) => Err(refusal),
        },
    }
}

/// What was done, or the problem document that says why not.
pub(super) fn granted(reply: Reply) -> Result<Granted, Problem> {
    match reply {
        Reply::Done | Reply::RolloutStarted(_) => Ok(Granted::Done),
        Reply::Dispatched(outcomes) => Ok(Granted::Dispatched(outcomes)),
        Reply::JobStarted { job } => Ok(Granted::Job(job)),
        Reply::HeldBySelector(hold) => Ok(Granted::Hold(hold)),
        Reply::BadHold(why) => Err(unprocessable("bad_hold", why.to_string())),
        Reply::UnknownHold(id) => Err(unknown_hold(&id.to_string())),
        Reply::UnknownHost(host) => Err(unknown_host(host.as_str())),
        Reply::UnknownCommand => Err(unknown_command()),
        Reply::Refused(refusal) => Err(refused(&refusal)),
        Reply::NotPlanned(why) => Err(not_planned(&why)),
        Reply::PlanChanged(plan) => Err(plan_changed(&plan)),
        Reply::UnknownRollout(id) => Err(unknown_rollout(&id.to_string())),
        Reply::VerbRefused(why) => Err(verb_refused(&why)),
        Reply::BadSettings(why) => Err(unprocessable("bad_settings", why)),
        Reply::BadWindow(why) => Err(unprocessable("bad_window", why.to_string())),
        Reply::UnknownWindow(id) => Err(unknown(
            "unknown_window",
            "There is no such window",
            format!("no maintenance window is named {id:?}. See /api/v1/windows"),
        )),
        Reply::NotQuarantined(commit) => Err(unknown(
            "not_quarantined",
            "The commit is not quarantined",
            format!("{commit} is not in quarantine. See /api/v1/quarantine"),
        )),
        Reply::UpdateRefused(why) => Err(update_refused(&why)),
    }
}

/// 404 about something that is not a host or a command.
pub(super) fn unknown(code: &'static str, title: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, code, title).detail(detail)
}

pub(super) fn unknown_rollout(id: &str) -> Problem {
    let shown: String = id.chars().filter(|c| !c.is_control()).take(64).collect();
    unknown(
        "unknown_rollout",
        "There is no such rollout",
        format!("no rollout has the id {shown:?}. See /api/v1/rollouts"),
    )
}

pub(super) fn unknown_hold(id: &str) -> Problem {
    let shown: String = id.chars().filter(|c| !c.is_control()).take(64).collect();
    unknown(
        "unknown_hold",
        "There is no such hold",
        format!("no hold by selector has the number {shown:?}. See /api/v1/holds"),
    )
}

/// No forge is configured, so there are no updates to talk of.
pub(super) fn updates_off() -> Problem {
    update_refused(&UpdateRefusal::NotConfigured)
}

pub(super) fn unknown_pr(number: &str) -> Problem {
    let shown: String = number
        .chars()
        .filter(|c| !c.is_control())
        .take(20)
        .collect();
    unknown(
        "pr-unknown",
        "There is no such update",
        format!("{shown:?} is not the number of a known update: check for updates first"),
    )
}

/// 422 if the request itself cannot be followed, 409 if only the state of things is in the way.
pub(super) fn not_planned(why: &PlanError) -> Problem {
    let bad = |code| unprocessable(code, why.to_string());
    let conflict = |code| {
        let title = "No rollout can be planned at the moment";
        Problem::new(StatusCode::CONFLICT, code, title).detail(why.to_string())
    };
    match why {
        PlanError::UnknownHost(host) => bad("unknown_host").with("host", host.as_str()),
        PlanError::UnknownPipeline(_) => bad("unknown_pipeline"),
        PlanError::NotOnHosts(_) => bad("op_not_on_hosts"),
        PlanError::NoHosts(_) => bad("no_hosts"),
        PlanError::OnlyCanaries => bad("only_canaries"),
        PlanError::NoCanary(_) => bad("no_canary"),
        PlanError::Policy(_) => bad("bad_policy"),
        PlanError::NoLock => bad("target_without_lock"),
        PlanError::ForeignLock(_) => bad("target_with_foreign_lock"),
        PlanError::NoTarget => conflict("no_target"),
        PlanError::Quarantined(_) => conflict("quarantined"),
        PlanError::Occupied { rollout, host } => conflict("rollout_under_way")
            .with("rollout", rollout.to_string())
            .with("host", host.as_str()),
    }
}

fn plan_changed(plan: &Plan) -> Problem {
    let problem = Problem::new(
        StatusCode::CONFLICT,
        "plan_changed",
        "The plan is another one than the one confirmed",
    )
    .detail("nothing was started: look at the new plan, and confirm its id");
    match serde_json::to_value(plan) {
        Ok(plan) => problem.with("plan", plan),
        Err(_) => problem,
    }
}

fn verb_refused(why: &VerbError) -> Problem {
    match why {
        VerbError::UnknownHost(host) => {
            unprocessable("unknown_host", why.to_string()).with("host", host.as_str())
        }
        VerbError::State(..)
        | VerbError::Ending(_)
        | VerbError::NotWaiting(..)
        | VerbError::Canary(_)
        | VerbError::CanaryBroughtBack(_)
        | VerbError::NothingFailed
        | VerbError::NothingChanged
        | VerbError::Overtaken { .. } => Problem::new(
            StatusCode::CONFLICT,
            "verb_refused",
            "The rollout cannot do that now",
        )
        .detail(why.to_string()),
    }
}

fn update_refused(why: &UpdateRefusal) -> Problem {
    match why {
        UpdateRefusal::UnknownPr(number) => unknown_pr(&number.0.to_string()),
        UpdateRefusal::NotConfigured
        | UpdateRefusal::StoreDamaged
        | UpdateRefusal::Busy(_)
        | UpdateRefusal::NotEligible { .. }
        | UpdateRefusal::NeedsReason { .. }
        | UpdateRefusal::HeadMoved(_)
        | UpdateRefusal::NotMerged(_)
        | UpdateRefusal::AlreadyReverted(_)
        | UpdateRefusal::DirectRevertOff => Problem::new(
            StatusCode::CONFLICT,
            why.code(),
            "Nothing was done about the update",
        )
        .detail(why.to_string()),
    }
}
