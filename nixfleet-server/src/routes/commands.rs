//! Commands that were made: listing them, stopping them, deciding about them.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use nixfleet_core::HostId;
use nixfleet_core::fleet::{Decision, Request};
use nixfleet_core::lifecycle::Signal;
use serde::Deserialize;
use serde_json::{Value, json};
use warp::Filter;
use warp::reply::Response;

use super::api::{Api, Nothing, command_id, host_id, unknown_command};
use super::endpoint::{Call, change};
use super::mutations::{self, Mutation};
use super::{Route, answer, any_of, get_or_head, idempotency, json as json_response, tagged};
use crate::auth::{Caller, Permission, filters};
use crate::reject::{Problem, bad_request};

/// How long a person may prolong a command at once.
const LONGEST_EXTENSION: Duration = Duration::from_secs(24 * 3600);

/// `POST /api/v1/hosts/{id}/stop`, `…/commands/{id}/decide`, `GET …/commands`.
#[must_use]
pub fn routes(api: &Api) -> Route {
    any_of([
        stop(api, &mutations::HOST_STOP, Signal::Term),
        stop(api, &mutations::HOST_KILL, Signal::Kill),
        change(
            api,
            &mutations::COMMAND_STOP,
            |call: Call<String, Nothing>| async move {
                let host = host_of(&call.api, &call.path).await?;
                let command = Some(call.path);
                let host = host.as_str();
                stop_one(&call.api, &call.caller, host, command, Signal::Term).await
            },
        ),
        change(
            api,
            &mutations::COMMAND_DECIDE,
            |call: Call<String, DecideBody>| async move {
                let (word, minutes) = (&call.body.decision, call.body.minutes);
                decide_one(&call.api, &call.caller, &call.path, word, minutes).await
            },
        ),
        list(api),
        one(api),
    ])
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StopBody {
    #[serde(default)]
    command: Option<String>,
}

fn stop(api: &Api, row: &Mutation, signal: Signal) -> Route {
    change(api, row, move |call: Call<String, StopBody>| async move {
        stop_one(
            &call.api,
            &call.caller,
            &call.path,
            call.body.command,
            signal,
        )
        .await
    })
}

/// The host of a command, for who knows the command and not the host.
async fn host_of(api: &Api, command: &str) -> Result<HostId, Problem> {
    let id = command_id(command)?;
    let host = api
        .hub
        .ask(move |fleet| fleet.command(id).map(|command| command.host.clone()))
        .await?;
    host.ok_or_else(unknown_command)
}

/// Asks the running command of a host to end.
pub(super) async fn stop_one(
    api: &Api,
    principal: &Caller,
    host: &str,
    command: Option<String>,
    signal: Signal,
) -> Result<Value, Problem> {
    let request = Request::Stop {
        host: host_id(host)?,
        command: command.as_deref().map(command_id).transpose()?,
        signal,
    };
    api.submit(principal, request).await?;
    Ok(accepted())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DecideBody {
    decision: String,
    #[serde(default)]
    minutes: Option<u64>,
}

/// Carries out what a person decided about a command.
pub(super) async fn decide_one(
    api: &Api,
    principal: &Caller,
    command: &str,
    decision: &str,
    minutes: Option<u64>,
) -> Result<Value, Problem> {
    let request = Request::Decide {
        command: command_id(command)?,
        decision: decision_named(decision, minutes)?,
    };
    api.submit(principal, request).await?;
    Ok(accepted())
}

fn decision_named(word: &str, minutes: Option<u64>) -> Result<Decision, Problem> {
    match word {
        "extend" => {
            let by = Duration::from_secs(minutes.unwrap_or(10).saturating_mul(60));
            if by.is_zero() || by > LONGEST_EXTENSION {
                return Err(bad_request("minutes: expected 1 to 1440"));
            }
            Ok(Decision::Extend(by))
        }
        "ignore" => Ok(Decision::Ignore),
        "cancel" => Ok(Decision::Cancel),
        _ => Err(bad_request("decision: expected extend, ignore or cancel")),
    }
}

#[derive(Debug, Deserialize)]
struct ListQuery {
    #[serde(default)]
    host: Option<String>,
}

fn list(api: &Api) -> Route {
    let api = api.clone();
    warp::path!("api" / "v1" / "commands")
        .and(get_or_head())
        .and(filters::require(&api.auth, Permission::Read))
        .and(warp::query::<ListQuery>())
        .and(warp::header::headers_cloned())
        .and_then(move |_principal, query: ListQuery, headers: HeaderMap| {
            let api = api.clone();
            async move { answer(listed(&api, &query, &headers).await) }
        })
        .boxed()
}

async fn listed(api: &Api, query: &ListQuery, headers: &HeaderMap) -> Result<Response, Problem> {
    let host = query.host.as_deref().map(host_id).transpose()?;
    let snapshot = api.snapshots.current().await?;
    let commands = snapshot.state().commands.values();
    let of_host = |command: &&nixfleet_core::sync::CommandView| {
        host.as_ref().is_none_or(|host| command.host == *host)
    };
    let commands: Vec<_> = commands.filter(of_host).collect();
    let body = idempotency::body(&json!({ "commands": commands }))?;
    Ok(tagged(headers, body))
}

fn one(api: &Api) -> Route {
    let api = api.clone();
    warp::path!("api" / "v1" / "commands" / String)
        .and(get_or_head())
        .and(filters::require(&api.auth, Permission::Read))
        .and_then(move |command: String, _principal| {
            let api = api.clone();
            async move { answer(shown(&api, &command).await) }
        })
        .boxed()
}

async fn shown(api: &Api, command: &str) -> Result<Response, Problem> {
    let id = command_id(command)?;
    let snapshot = api.snapshots.current().await?;
    let found = snapshot.state().commands.get(&id);
    let command = found.ok_or_else(unknown_command)?;
    Ok(json_response(StatusCode::OK, command))
}

/// Taken up; the live feed tells what becomes of it.
pub(super) fn accepted() -> Value {
    json!({ "status": "ok" })
}
