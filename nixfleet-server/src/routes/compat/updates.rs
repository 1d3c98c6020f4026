//! Updates and pipelines as existing tools ask for them: a status to poll, and orders that answer
//! `{"status": "started", …}` or `{"status": "error", "message": …}`.

use nixfleet_core::Timestamp;
use nixfleet_core::desired::PendingPr;
use nixfleet_core::update::{JobView, PrNumber};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::reject::Problem;
use crate::routes::api::{Api, Nothing};
use crate::routes::asks::{self, Hosts, PipelineBody};
use crate::routes::endpoint::{Call, change};
use crate::routes::mutations::{self, Mutation};
use crate::routes::rollouts::{Running, current_pr, run_pipeline};
use crate::routes::updates::{MergeAsk, check, known_pr, merge};
use crate::routes::{Route, any_of};

/// `POST /api/flake-updates/…`, `POST /api/dispatch/pipeline`.
pub(super) fn routes(api: &Api) -> Route {
    any_of([
        order(
            api,
            &mutations::OLD_UPDATES_CHECK,
            |call: Call<(), Nothing>| async move {
                check(&call.api, &call.caller).await?;
                Ok(json!({ "status": "checking" }))
            },
        ),
        order(
            api,
            &mutations::OLD_UPDATE_MERGE,
            |call: Call<(), MergeBody>| async move {
                let number = wanted(&call.api, call.body.pr_number).await?;
                let ask = because(call.body.reason);
                let job = merge(&call.api, &call.caller, number, ask, None).await?;
                Ok(started(job))
            },
        ),
        order(
            api,
            &mutations::OLD_UPDATE_DEPLOY,
            |call: Call<(), MergeBody>| async move {
                let number = wanted(&call.api, call.body.pr_number).await?;
                let (rollout, hosts) = (call.rollout(), listed(call.body.hosts));
                let deploy = asks::deploy(&call.api, rollout, hosts, None).await?;
                let ask = because(call.body.reason);
                let job = merge(&call.api, &call.caller, number, ask, Some(deploy)).await?;
                Ok(started(job))
            },
        ),
        order(
            api,
            &mutations::OLD_PIPELINE,
            |call: Call<(), PipelineBody>| async move { pipeline(call).await },
        ),
    ])
}

/// What existing tools send along with a merge.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MergeBody {
    pr_number: Option<u64>,
    hosts: Option<Hosts>,
    reason: Option<String>,
}

/// Existing tools send an empty list for "all".
fn listed(hosts: Option<Hosts>) -> Option<Hosts> {
    hosts.filter(|hosts| match hosts {
        Hosts::List(names) => !names.is_empty(),
        Hosts::Selector(text) => !text.trim().is_empty(),
    })
}

/// The pull request that is named, or the current one.
async fn wanted(api: &Api, number: Option<u64>) -> Result<PrNumber, Problem> {
    match number.map(PrNumber) {
        Some(number) => known_pr(api, number).await.map(|()| number),
        None => current_pr(api).await,
    }
}

fn because(reason: Option<String>) -> MergeAsk {
    MergeAsk {
        reason,
        ..MergeAsk::default()
    }
}

fn started(job: Option<u64>) -> Value {
    json!({ "status": "started", "job_id": job.map(|job| job.to_string()) })
}

async fn pipeline(call: Call<(), PipelineBody>) -> Result<Value, Problem> {
    let rollout = call.rollout();
    let name = call.body.pipeline.clone();
    let body = PipelineBody {
        hosts: listed(call.body.hosts.clone()),
        ..call.body
    };
    let (job, rollout) = match run_pipeline(&call.api, &call.caller, rollout, body).await? {
        Running::Rollout(view) => (None, view.id),
        Running::Job { job, rollout } => (job, rollout),
    };
    Ok(json!({
        "status": "started",
        "pipeline": name,
        "job_id": job.map(|job| job.to_string()),
        "rollout_id": rollout,
    }))
}

/// An order whose failure has the shape that existing tools read.
fn order<B, F, W>(api: &Api, row: &Mutation, handler: F) -> Route
where
    B: serde::de::DeserializeOwned + Send + 'static,
    F: Fn(Call<(), B>) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = Result<Value, Problem>> + Send + 'static,
{
    change(api, row, move |call: Call<(), B>| {
        let work = handler(call);
        async move { work.await.map_err(as_existing_tools_read_it) }
    })
}

/// The problem document keeps its members; `status` is the word that existing tools look for.
fn as_existing_tools_read_it(problem: Problem) -> Problem {
    let message = problem.message();
    problem.with("message", message).spoken("error")
}

/// `GET /api/flake-updates/status`.
pub(super) async fn status(api: Api) -> Result<Value, Problem> {
    let snapshot = api.snapshots.current().await?;
    let pending = snapshot.state().update_pr.as_ref().map(pending_pr);
    let (updates, verified) = api
        .hub
        .ask(|fleet| (fleet.updates_view(), fleet.remote().verified_at()))
        .await?;
    let Some(updates) = updates else {
        return Ok(json!({
            "enabled": false,
            "repo": api.remote.as_deref(),
            "pending_pr": pending,
            "last_check": verified.map(Timestamp::to_rfc3339),
            "current_job": null,
        }));
    };
    Ok(json!({
        "enabled": true,
        "repo": updates.repo,
        "pending_pr": pending,
        "last_check": updates.checked.map(Timestamp::to_rfc3339),
        "current_job": updates.job.as_ref().map(job_row),
    }))
}

fn pending_pr(pr: &PendingPr) -> Value {
    json!({
        "number": pr.number,
        "title": pr.title,
        "url": pr.url,
        "created_at": pr.created_at.map(Timestamp::to_rfc3339),
        "changes": pr.changes,
    })
}

fn job_row(job: &JobView) -> Value {
    json!({
        "id": job.id.to_string(),
        "pr_number": job.number,
        "state": job.state,
        "started_at": job.created.to_rfc3339(),
        "message": job.message,
        "total_hosts": job.progress.targets,
        "completed_hosts": job.progress.done,
        "failed_hosts": job.progress.failed,
    })
}
