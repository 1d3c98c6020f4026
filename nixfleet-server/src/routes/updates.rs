//! Update pull requests: looking, merging, deploying and reverting them.

use nixfleet_core::fleet::Request;
use nixfleet_core::host::Actor;
use nixfleet_core::rollout::PlanId;
use nixfleet_core::update::{Deploy, MergedUpdate, PrNumber, RevertKind, UpdatesView};
use nixfleet_core::{CommitId, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{Granted, unknown_pr, updates_off};
use super::api::{Api, Nothing, actor, unreadable_store};
use super::asks::{self, Hosts};
use super::endpoint::{Call, Page, change, look, read, words};
use super::{Route, any_of, mutations};
use crate::auth::Caller;
use crate::reject::Problem;

/// Merged updates of one page.
const MOST_MERGED: u32 = 50;

/// `/api/v1/updates…`
#[must_use]
pub fn routes(api: &Api) -> Route {
    any_of([
        read(api, words(&["updates"]), |api, (), _| async move {
            Ok(json!(view(&api).await?))
        }),
        read(
            api,
            words(&["updates", "history"]),
            |api, (), page| async move { history(&api, &page).await },
        ),
        change(
            api,
            &mutations::UPDATES_CHECK,
            |call: Call<(), Nothing>| async move {
                check(&call.api, &call.caller).await?;
                Ok(json!({ "status": "checking" }))
            },
        ),
        change(
            api,
            &mutations::UPDATE_MERGE,
            |call: Call<String, MergeBody>| async move { merged(call).await },
        ),
        look(
            api,
            "/api/v1/updates/{number}/plan",
            |call: Call<String, DeployBody>| async move { planned(call).await },
        ),
        change(
            api,
            &mutations::UPDATE_DEPLOY,
            |call: Call<String, DeployBody>| async move { deployed(call).await },
        ),
        change(
            api,
            &mutations::UPDATE_REVERT,
            |call: Call<String, RevertBody>| async move { reverted(call).await },
        ),
    ])
}

/// What is known of updates.
pub(super) async fn view(api: &Api) -> Result<UpdatesView, Problem> {
    let view = api
        .hub
        .ask(nixfleet_core::fleet::Fleet::updates_view)
        .await?;
    view.ok_or_else(updates_off)
}

/// Lists the update pull requests now.
pub(super) async fn check(api: &Api, caller: &Caller) -> Result<(), Problem> {
    api.submit(caller, Request::CheckUpdates).await
}

async fn history(api: &Api, page: &Page) -> Result<Value, Problem> {
    let before = page.before.as_deref().map(str::parse::<i64>).transpose();
    let before = asks::value("bad_page", "before", before)?;
    let repo = view(api).await?.repo;
    let limit = page.limit(MOST_MERGED);
    let merged = api
        .store
        .merged_before(&repo, before.map(Timestamp::from_millis), limit)
        .await
        .map_err(|error| unreadable_store(&error))?;
    let next = merged
        .last()
        .filter(|_| u32::try_from(merged.len()).is_ok_and(|count| count == limit));
    let next = next.map(|one| one.at.as_millis().to_string());
    let mut rows = Vec::with_capacity(merged.len());
    for one in merged {
        rows.push(with_arrivals(api, one).await?);
    }
    Ok(json!({ "merged": rows, "next_before": next }))
}

/// A merged update, and when each host got it.
async fn with_arrivals(api: &Api, merged: MergedUpdate) -> Result<Value, Problem> {
    let arrivals = api
        .store
        .arrivals(&merged)
        .await
        .map_err(|error| unreadable_store(&error))?;
    let hosts = arrivals
        .into_iter()
        .map(|one| json!({ "host": one.host, "at": one.at }));
    let hosts: Vec<Value> = hosts.collect();
    let mut row = json!(merged);
    row["hosts"] = json!(hosts);
    Ok(row)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MergeBody {
    override_reason: Option<String>,
    /// The head that the person saw.
    head: Option<String>,
}

async fn merged(call: Call<String, MergeBody>) -> Result<Value, Problem> {
    let number = asks::pr_number(&call.path)?;
    let order = MergeAsk {
        head: asks::commit("head", call.body.head.as_deref())?,
        reason: asks::reason(call.body.override_reason)?,
        confirm: None,
    };
    let job = merge(&call.api, &call.caller, number, order, None).await?;
    Ok(json!({ "job": job }))
}

/// What is asked of a merge, beside its number.
#[derive(Debug, Default)]
pub(super) struct MergeAsk {
    /// The head that the person saw.
    pub head: Option<CommitId>,
    /// Why, where a reason is needed.
    pub reason: Option<String>,
    /// The plan of the rollout that the person saw.
    pub confirm: Option<PlanId>,
}

/// Merges, and with `deploy` rolls out; answers the number of the job.
pub(super) async fn merge(
    api: &Api,
    caller: &Caller,
    number: PrNumber,
    ask: MergeAsk,
    deploy: Option<Deploy>,
) -> Result<Option<u64>, Problem> {
    let request = Request::MergePr {
        number,
        head: ask.head,
        override_reason: ask.reason,
        deploy: deploy.map(Box::new),
        confirm: ask.confirm,
    };
    job(api.ask_for(caller, request).await?)
}

fn job(granted: Granted) -> Result<Option<u64>, Problem> {
    match granted {
        Granted::Job(job) => Ok(Some(job)),
        Granted::Done | Granted::Dispatched(_) | Granted::Hold(_) => Ok(None),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DeployBody {
    hosts: Option<Hosts>,
    policy: Option<Value>,
    confirm: Option<String>,
    override_reason: Option<String>,
    /// The head that the person saw.
    head: Option<String>,
}

/// Refuses a number that is neither open nor merged.
pub(super) async fn known_pr(api: &Api, number: PrNumber) -> Result<(), Problem> {
    let known = api
        .hub
        .ask(move |fleet| {
            let updates = fleet.updates()?;
            let open = updates.state().open.iter();
            let is_open = open.into_iter().any(|known| known.pr.number == number);
            Some(is_open || updates.merged().contains_key(&number))
        })
        .await?;
    match known {
        Some(true) => Ok(()),
        Some(false) => Err(unknown_pr(&number.0.to_string())),
        None => Err(updates_off()),
    }
}

async fn planned(call: Call<String, DeployBody>) -> Result<Value, Problem> {
    let rollout = call.rollout();
    let number = asks::pr_number(&call.path)?;
    known_pr(&call.api, number).await?;
    let body = call.body;
    let deploy = asks::deploy(&call.api, rollout, body.hosts, body.policy).await?;
    let asker: Actor = actor(&call.caller);
    let plan = call
        .api
        .hub
        .ask(move |fleet| fleet.plan_deploy(&deploy, &asker))
        .await?;
    Ok(json!(
        plan.map_err(|why| super::answers::not_planned(&why))?
    ))
}

async fn deployed(call: Call<String, DeployBody>) -> Result<Value, Problem> {
    let rollout = call.rollout();
    let number = asks::pr_number(&call.path)?;
    known_pr(&call.api, number).await?;
    let body = call.body;
    let order = MergeAsk {
        head: asks::commit("head", body.head.as_deref())?,
        reason: asks::reason(body.override_reason)?,
        confirm: asks::plan_id(body.confirm.as_deref())?,
    };
    let deploy = asks::deploy(&call.api, rollout, body.hosts, body.policy).await?;
    let job = merge(&call.api, &call.caller, number, order, Some(deploy)).await?;
    Ok(json!({ "job": job, "rollout": rollout }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RevertBody {
    kind: Option<Value>,
    reason: Option<String>,
}

async fn reverted(call: Call<String, RevertBody>) -> Result<Value, Problem> {
    let number = asks::pr_number(&call.path)?;
    let kind = match call.body.kind {
        Some(said) => asks::from_value("bad_kind", "kind", said)?,
        None => RevertKind::PullRequest,
    };
    let request = Request::RevertPr {
        number,
        kind,
        reason: asks::reason(call.body.reason)?,
    };
    let job = job(call.api.ask_for(&call.caller, request).await?)?;
    Ok(json!({ "job": job }))
}
