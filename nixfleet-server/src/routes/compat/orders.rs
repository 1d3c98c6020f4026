//! `POST /api/hosts/{id}/…` as existing tools send it.

use http::StatusCode;
use nixfleet_core::fleet::Accepted;
use nixfleet_core::lifecycle::Signal;
use nixfleet_core::{Op, Phase};
use serde::Deserialize;
use serde_json::json;
use warp::Filter;
use warp::reply::Response;

use super::host_path;
use crate::auth::{Caller, Permission, filters};
use crate::net::body;
use crate::reject::{Problem, bad_request};
use crate::routes::api::{Api, host_id, unknown_command};
use crate::routes::commands::{decide_one, stop_one};
use crate::routes::dispatch::{Order, named_op};
use crate::routes::host_edits::{ColorBody, colored, single};
use crate::routes::{Route, answer, any_of, json as json_response};

/// A command as existing tools order it.
#[derive(Debug, Default, Deserialize)]
struct CommandBody {
    #[serde(default, alias = "op")]
    command: String,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct TimeoutBody {
    #[serde(default)]
    action: String,
    #[serde(default)]
    minutes: Option<u64>,
}

pub(super) fn routes(api: &Api) -> Route {
    any_of([
        order(
            api,
            "command",
            |api, principal, host, body: CommandBody| async move {
                let order = Order {
                    force: body.force,
                    reason: body.reason,
                    ..Order::simple(named_op(&body.command)?, &host)
                };
                started(single(&api, &principal, order).await?)
            },
        ),
        order(
            api,
            "refresh",
            |api, principal, host, _: Loose| async move {
                started(single(&api, &principal, Order::simple(Op::RefreshAll, &host)).await?)
            },
        ),
        order(
            api,
            "refresh-git",
            |api, principal, host, _: Loose| async move {
                started(single(&api, &principal, Order::simple(Op::RefreshGit, &host)).await?)
            },
        ),
        order(api, "reboot", |api, principal, host, _: Loose| async move {
            started(single(&api, &principal, Order::simple(Op::Reboot, &host)).await?)
        }),
        order(
            api,
            "kill",
            |api, principal, host, body: KillBody| async move {
                stop_one(&api, &principal, &host, None, body.signal()).await
            },
        ),
        order(
            api,
            "theme-color",
            |api, principal, host, body: OptionalColor| async move {
                let color = body.0.map(|body| body.color).unwrap_or_default();
                colored(&api, &principal, &host, &color).await
            },
        ),
        order(
            api,
            "timeout-action",
            |api, principal, host, body: TimeoutBody| async move {
                timeout_action(&api, &principal, &host, &body).await
            },
        ),
    ])
}

/// Existing tools send all sorts of fields along.
#[derive(Debug, Default, Deserialize)]
struct Loose {}

#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
struct OptionalColor(Option<ColorBody>);

#[derive(Debug, Default, Deserialize)]
struct KillBody {
    #[serde(default)]
    signal: String,
}

impl KillBody {
    fn signal(&self) -> Signal {
        match self.signal.trim_start_matches("SIG") {
            "KILL" | "kill" => Signal::Kill,
            _ => Signal::Term,
        }
    }
}

/// `POST /api/hosts/{id}/<word>`.
fn order<B, F, W>(api: &Api, word: &'static str, handler: F) -> Route
where
    B: serde::de::DeserializeOwned + Default + Send + 'static,
    F: Fn(Api, Caller, String, B) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    let auth = api.auth.clone();
    let api = api.clone();
    host_path(word)
        .and(warp::post())
        .and(filters::require(&auth, Permission::Operate))
        .and(body::json_or_nothing::<B>())
        .and_then(move |host: String, principal: Caller, body: B| {
            let work = handler(api.clone(), principal, host, body);
            async move { answer(work.await) }
        })
        .boxed()
}

// Wrapped, because every order ends with it behind a `?`.
#[allow(clippy::unnecessary_wraps)]
fn started(outcome: Option<Accepted>) -> Result<Response, Problem> {
    let id = match outcome {
        Some(Accepted::Started(id) | Accepted::Queued(id)) => Some(id),
        Some(Accepted::Done) | None => None,
    };
    let body = json!({ "status": "ok", "command_id": id });
    Ok(json_response(StatusCode::OK, &body))
}

/// A decision about the command of a host that is past its timeout.
async fn timeout_action(
    api: &Api,
    principal: &Caller,
    host: &str,
    body: &TimeoutBody,
) -> Result<Response, Problem> {
    let decision = match body.action.as_str() {
        "kill" => return stop_one(api, principal, host, None, Signal::Term).await,
        "wait" | "extend" => "extend",
        "ignore" => "ignore",
        _ => return Err(bad_request("action: expected extend, kill or ignore")),
    };
    let id = host_id(host)?;
    let snapshot = api.snapshots.current().await?;
    let mut commands = snapshot.state().commands.values();
    let waiting = commands.find(|c| c.host == id && c.phase == Phase::TimeoutPending);
    let command = waiting.ok_or_else(unknown_command)?.id.to_string();
    decide_one(api, principal, &command, decision, body.minutes).await
}
