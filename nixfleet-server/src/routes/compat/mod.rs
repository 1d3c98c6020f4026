//! The paths that existing NixFleet tools use (spec 04, "HTTP"), in terms of the same requests.

mod orders;
mod updates;

use http::StatusCode;
use nixfleet_core::render::ops_json;
use nixfleet_core::rollout::{PIPELINES, PipelineRow};
use nixfleet_core::sync::CommandView;
use nixfleet_core::{Compartment, Timestamp};
use serde_json::{Map, Value, json};
use warp::Filter;
use warp::filters::BoxedFilter;

use super::api::{Api, host_id};
use super::endpoint::{Call, change};
use super::host_edits::{AddBody, added, removed};
use super::hosts::{HostRow, OutputQuery, output_page};
use super::{Route, answer, any_of, get_or_head, json as json_response, mutations};
use crate::auth::{Permission, filters};
use crate::reject::Problem;

/// Every compatible path.
#[must_use]
pub fn routes(api: &Api) -> Route {
    any_of([
        reads(api),
        host_reads(api),
        orders::routes(api),
        add(api),
        remove(api),
        updates::routes(api),
    ])
}

fn reads(api: &Api) -> Route {
    any_of([
        read(api, &["hosts"], hosts),
        read(api, &["command-states"], command_states),
        read(api, &["system-log"], events),
        read(api, &["events"], events),
        read(api, &["ops"], |_| async {
            Ok(json!({ "ops": ops_json() }))
        }),
        read(api, &["pipelines"], |_| async {
            let row = |row: &PipelineRow| {
                json!({
                    "name": row.name,
                    "ops": row.ops.iter().map(|op| op.name()).collect::<Vec<_>>(),
                    "description": row.help,
                })
            };
            let pipelines: Vec<Value> = PIPELINES.iter().map(row).collect();
            Ok(json!({ "pipelines": pipelines }))
        }),
        read(api, &["flake-updates", "status"], updates::status),
    ])
}

/// `GET /api/<words>` with an answer that depends on nothing but the fleet.
fn read<F, W>(api: &Api, words: &'static [&'static str], handler: F) -> Route
where
    F: Fn(Api) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = Result<Value, Problem>> + Send + 'static,
{
    let auth = api.auth.clone();
    let api = api.clone();
    path(words)
        .and(get_or_head())
        .and(filters::require(&auth, Permission::Read))
        .and_then(move |_principal| {
            let work = handler(api.clone());
            async move {
                answer(
                    work.await
                        .map(|value| json_response(StatusCode::OK, &value)),
                )
            }
        })
        .boxed()
}

fn path(words: &'static [&'static str]) -> BoxedFilter<()> {
    let start = warp::path("api").boxed();
    let all = words
        .iter()
        .fold(start, |path, word| path.and(warp::path(*word)).boxed());
    all.and(warp::path::end()).boxed()
}

/// `/api/hosts/{id}/<word>`.
fn host_path(word: &'static str) -> BoxedFilter<(String,)> {
    warp::path!("api" / "hosts" / String / ..)
        .and(warp::path(word))
        .and(warp::path::end())
        .boxed()
}

async fn hosts(api: Api) -> Result<Value, Problem> {
    let rows = api.rows().await?;
    let snapshot = api.snapshots.current().await?;
    let pending = snapshot.state().update_pr.clone();
    let verified = api.hub.ask(|fleet| fleet.remote().verified_at()).await?;
    let checked_at = verified.map(Timestamp::to_rfc3339);
    let pending = pending.map(|pr| {
        json!({
            "number": pr.number, "title": pr.title, "url": pr.url,
            "created_at": pr.created_at.map(Timestamp::to_rfc3339),
        })
    });
    let hosts = rows
        .iter()
        .map(|row| host(row, checked_at.as_deref(), pending.as_ref()));
    Ok(json!({ "hosts": hosts.collect::<Vec<_>>() }))
}

/// A host in the shape that existing tools read.
fn host(row: &HostRow, checked_at: Option<&str>, pending_pr: Option<&Value>) -> Value {
    let facts = &row.report.facts;
    let mut update_status = Map::new();
    for (compartment, one) in &row.report.compartments {
        if *compartment != Compartment::Agent {
            let entry =
                json!({ "status": one.status, "message": one.message, "checked_at": checked_at });
            update_status.insert(compartment_name(*compartment).to_owned(), entry);
        }
    }
    if let Some(pr) = pending_pr {
        update_status.insert("pending_pr".to_owned(), pr.clone());
    }
    let running = row.report.command.as_ref().filter(|c| c.phase.is_active());
    let last_seen = row.last_seen.or(facts.offline_since);
    json!({
        "id": facts.id,
        "hostname": facts.hostname,
        "host_type": facts.host_type,
        "agent_version": facts.agent_version,
        "os_version": facts.os_version,
        "nixpkgs_version": facts.nixpkgs_version,
        "generation": facts.commit.as_ref().map(nixfleet_core::CommitRef::short),
        "status": if facts.online { "online" } else { "offline" },
        "online": facts.online,
        "last_seen": last_seen.map(Timestamp::to_rfc3339),
        "location": facts.location,
        "device_type": facts.device_type,
        "theme_color": facts.theme_color,
        "metrics": row.metrics,
        "pending_command": running.map(|command| command.op.name()),
        "update_status": update_status,
    })
}

const fn compartment_name(compartment: Compartment) -> &'static str {
    match compartment {
        Compartment::Agent => "agent",
        Compartment::Git => "git",
        Compartment::Lock => "lock",
        Compartment::System => "system",
        Compartment::Tests => "tests",
    }
}

async fn command_states(api: Api) -> Result<Value, Problem> {
    let snapshot = api.snapshots.current().await?;
    let states = snapshot.state().commands.values().map(command_state);
    Ok(json!({ "states": states.collect::<Vec<_>>() }))
}

fn command_state(command: &CommandView) -> Value {
    json!({
        "id": command.id,
        "host_id": command.host,
        "op": command.op,
        "state": command.phase,
        "message": command.message,
        "exit_code": command.exit_code,
        "started_at": command.created.to_rfc3339(),
        "updated_at": command.since.to_rfc3339(),
    })
}

async fn events(api: Api) -> Result<Value, Problem> {
    events_of(&api, None).await
}

async fn events_of(api: &Api, host: Option<&str>) -> Result<Value, Problem> {
    let host = host.map(host_id).transpose()?;
    let snapshot = api.snapshots.current().await?;
    let events = snapshot.state().events.values().rev();
    let wanted = events.filter(|event| host.is_none() || event.host == host);
    let rows = wanted.map(|event| {
        json!({
            "id": event.n, "timestamp": event.at.to_rfc3339(), "host_id": event.host,
            "category": event.code, "message": event.text,
        })
    });
    Ok(json!({ "events": rows.collect::<Vec<_>>() }))
}

fn host_reads(api: &Api) -> Route {
    let output = |word: &'static str| {
        let api = api.clone();
        host_path(word)
            .and(get_or_head())
            .and(filters::require(&api.auth, Permission::Read))
            .and(warp::query::<OutputQuery>())
            .and_then(move |host: String, _principal, query: OutputQuery| {
                let api = api.clone();
                async move { answer(output_page(&api, &host, &query).await) }
            })
            .boxed()
    };
    let events = {
        let api = api.clone();
        host_path("events")
            .and(get_or_head())
            .and(filters::require(&api.auth, Permission::Read))
            .and_then(move |host: String, _principal| {
                let api = api.clone();
                async move {
                    let events = events_of(&api, Some(&host)).await;
                    answer(events.map(|value| json_response(StatusCode::OK, &value)))
                }
            })
            .boxed()
    };
    any_of([output("logs"), output("output"), events])
}

fn add(api: &Api) -> Route {
    change(
        api,
        &mutations::OLD_HOST_ADD,
        |call: Call<(), AddBody>| async move { added(&call.api, &call.caller, &call.body.id).await },
    )
}

fn remove(api: &Api) -> Route {
    change(
        api,
        &mutations::OLD_HOST_REMOVE,
        |call: Call<String, Loose>| async move { removed(&call.api, &call.caller, &call.path).await },
    )
}

/// Existing tools send all sorts of fields along.
#[derive(Debug, Default, serde::Deserialize)]
struct Loose {}
