//! What hosts run, their generations, and what was deployed on them; and what people were told.

use nixfleet_core::HostId;
use serde_json::{Value, json};

use super::api::{Api, host_id, unknown_host, unreadable_store};
use super::asks;
use super::endpoint::{Page, named, read, words};
use super::{Route, any_of};
use crate::reject::Problem;
use crate::store::DeployEntry;

/// Deploys of one page.
const MOST_DEPLOYS: u32 = 100;
/// Attempts to deliver notices of one page.
const MOST_DELIVERIES: u32 = 200;

/// `…/hosts/{id}/generations`, `…/hosts/{id}/deploys`, `/api/v1/drift`, `/api/v1/notifications`.
#[must_use]
pub fn routes(api: &Api) -> Route {
    any_of([
        read(
            api,
            named("hosts", Some("generations")),
            |api, host: String, _| async move { generations(&api, &host).await },
        ),
        read(
            api,
            named("hosts", Some("deploys")),
            |api, host: String, page| async move { deploys(&api, &host, &page).await },
        ),
        read(api, words(&["drift"]), |api, (), _| async move {
            Ok(json!(
                api.hub.ask(nixfleet_core::fleet::Fleet::drift).await?
            ))
        }),
        read(api, words(&["notifications"]), |api, (), page| async move {
            deliveries(&api, &page).await
        }),
    ])
}

async fn generations(api: &Api, name: &str) -> Result<Value, Problem> {
    let id = host_id(name)?;
    let generations = api
        .hub
        .ask(move |fleet| Some(fleet.host(&id)?.observation.generations.clone()))
        .await?;
    let generations = generations.ok_or_else(|| unknown_host(name))?;
    Ok(json!({ "generations": generations }))
}

async fn deploys(api: &Api, name: &str, page: &Page) -> Result<Value, Problem> {
    let id: HostId = host_id(name)?;
    let known = {
        let id = id.clone();
        api.hub.ask(move |fleet| fleet.host(&id).is_some())
    };
    if !known.await? {
        return Err(unknown_host(name));
    }
    let found = api.store.deploys(&id, page.limit(MOST_DEPLOYS)).await;
    let found = found.map_err(|error| unreadable_store(&error))?;
    let rows: Vec<Value> = found.iter().map(deploy_row).collect();
    Ok(json!({ "deploys": rows }))
}

fn deploy_row(entry: &DeployEntry) -> Value {
    let rollout = entry
        .actor
        .as_ref()
        .and_then(nixfleet_core::host::Actor::as_rollout);
    json!({
        "command": entry.command,
        "op": entry.op,
        "outcome": entry.outcome,
        "at": entry.at,
        "started": entry.started,
        "commit": entry.commit,
        "lock": entry.lock,
        "target": entry.target,
        "store_path": entry.store_path,
        "generation": entry.generation,
        "actor": entry.actor,
        "rollout": rollout,
        "pr": entry.pr,
        "message": entry.detail,
    })
}

async fn deliveries(api: &Api, page: &Page) -> Result<Value, Problem> {
    let before = page.before.as_deref().map(str::parse::<i64>).transpose();
    let before = asks::value("bad_page", "before", before)?;
    let limit = page.limit(MOST_DELIVERIES);
    let found = api.store.deliveries(before, limit).await;
    let found = found.map_err(|error| unreadable_store(&error))?;
    let next = found
        .last()
        .filter(|_| u32::try_from(found.len()).is_ok_and(|count| count == limit));
    let next = next.map(|one| one.id.to_string());
    Ok(json!({ "notifications": found, "next_before": next }))
}
