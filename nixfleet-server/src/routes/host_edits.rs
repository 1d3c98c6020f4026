//! Changing what is kept of a host: adding, holding, colouring, removing it.

use http::StatusCode;
use nixfleet_core::fleet::{Accepted, Request};
use nixfleet_core::host::Hold;
use nixfleet_core::{HostId, Op};
use serde::Deserialize;
use serde_json::json;
use warp::Filter;
use warp::reply::Response;

use super::api::{Api, Nothing, host_id, refused, unprocessable};
use super::commands::accepted;
use super::dispatch::{Order, dispatch};
use super::hosts::host_path;
use super::{Route, answer, any_of, json as json_response};
use crate::auth::{Caller, Permission, filters};
use crate::config::parse_duration;
use crate::net::body;
use crate::reject::{Problem, bad_request};

/// What `POST` and `DELETE` do under `/api/v1/hosts`.
#[must_use]
pub fn routes(api: &Api) -> Route {
    any_of([
        add(api),
        hold(api),
        release(api),
        tests(api),
        color(api),
        remove(api),
    ])
}

/// A new host, under either name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddBody {
    #[serde(alias = "hostname")]
    pub id: String,
}

fn add(api: &Api) -> Route {
    let api = api.clone();
    warp::path!("api" / "v1" / "hosts")
        .and(warp::post())
        .and(filters::require(&api.auth, Permission::Operate))
        .and(body::json::<AddBody>())
        .and_then(move |principal: Caller, body: AddBody| {
            let api = api.clone();
            async move { answer(added(&api, &principal, &body.id).await) }
        })
        .boxed()
}

/// Adds a host that has not connected yet.
pub(super) async fn added(api: &Api, principal: &Caller, name: &str) -> Result<Response, Problem> {
    let host: HostId = name
        .trim()
        .parse()
        .map_err(|error: nixfleet_core::IdError| unprocessable("bad_host", error.to_string()))?;
    let request = Request::AddHost { host: host.clone() };
    api.submit(principal, request).await?;
    let row = api.known(host.as_str()).await?;
    Ok(json_response(StatusCode::CREATED, &row))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldBody {
    why: String,
    /// How long, like `2h`; without it, until somebody releases the host.
    #[serde(default, rename = "for")]
    lasting: Option<String>,
}

fn hold(api: &Api) -> Route {
    let api = api.clone();
    host_path(Some("hold"))
        .and(warp::post())
        .and(filters::require(&api.auth, Permission::Operate))
        .and(body::json::<HoldBody>())
        .and_then(move |host: String, principal: Caller, body: HoldBody| {
            let api = api.clone();
            async move { answer(held(&api, &principal, &host, &body).await) }
        })
        .boxed()
}

async fn held(
    api: &Api,
    principal: &Caller,
    host: &str,
    body: &HoldBody,
) -> Result<Response, Problem> {
    let why = body.why.trim();
    if why.is_empty() || why.chars().count() > 500 {
        return Err(bad_request(
            "why: say in 1 to 500 characters why the host is held",
        ));
    }
    let lasting = body.lasting.as_deref().map(parse_duration).transpose();
    let lasting = lasting.map_err(|error| bad_request(format!("for: {error}")))?;
    let hold = Hold {
        by: principal.label(),
        why: why.to_owned(),
        until: lasting.map(|lasting| api.clock.now() + lasting),
    };
    let host = host_id(host)?;
    api.submit(principal, Request::Hold { host, hold }).await?;
    Ok(accepted())
}

fn release(api: &Api) -> Route {
    let api = api.clone();
    host_path(Some("release"))
        .and(warp::post())
        .and(filters::require(&api.auth, Permission::Operate))
        .and(body::json_or_nothing::<Nothing>())
        .and_then(move |host: String, principal: Caller, _body| {
            let api = api.clone();
            async move {
                let outcome = match host_id(&host) {
                    Ok(host) => api.submit(&principal, Request::Release { host }).await,
                    Err(problem) => Err(problem),
                };
                answer(outcome.map(|()| accepted()))
            }
        })
        .boxed()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestsBody {
    enabled: bool,
}

fn tests(api: &Api) -> Route {
    let api = api.clone();
    host_path(Some("tests"))
        .and(warp::post())
        .and(filters::require(&api.auth, Permission::Operate))
        .and(body::json::<TestsBody>())
        .and_then(move |host: String, principal: Caller, body: TestsBody| {
            let api = api.clone();
            async move { answer(tests_switched(&api, &principal, &host, body.enabled).await) }
        })
        .boxed()
}

async fn tests_switched(
    api: &Api,
    principal: &Caller,
    host: &str,
    enabled: bool,
) -> Result<Response, Problem> {
    let host = host_id(host)?;
    api.submit(principal, Request::SetTests { host, enabled })
        .await?;
    Ok(accepted())
}

/// A colour, under either name.
#[derive(Debug, Deserialize)]
pub(super) struct ColorBody {
    #[serde(alias = "theme_color")]
    pub color: String,
}

fn color(api: &Api) -> Route {
    let api = api.clone();
    host_path(Some("color"))
        .and(warp::post())
        .and(filters::require(&api.auth, Permission::Operate))
        .and(body::json::<ColorBody>())
        .and_then(move |host: String, principal: Caller, body: ColorBody| {
            let api = api.clone();
            async move { answer(colored(&api, &principal, &host, &body.color).await) }
        })
        .boxed()
}

/// Gives a host a colour.
pub(super) async fn colored(
    api: &Api,
    principal: &Caller,
    host: &str,
    color: &str,
) -> Result<Response, Problem> {
    let digits = color.strip_prefix('#').unwrap_or_default();
    if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(unprocessable("bad_color", "expected a colour like #1e90ff"));
    }
    let request = Request::SetColor {
        host: host_id(host)?,
        color: color.to_ascii_lowercase(),
    };
    api.submit(principal, request).await?;
    Ok(accepted())
}

fn remove(api: &Api) -> Route {
    let api = api.clone();
    host_path(None)
        .and(warp::delete())
        .and(filters::require(&api.auth, Permission::Administer))
        .and_then(move |host: String, principal: Caller| {
            let api = api.clone();
            async move { answer(removed(&api, &principal, &host).await) }
        })
        .boxed()
}

/// Removes a host, if the rules allow it.
pub(super) async fn removed(
    api: &Api,
    principal: &Caller,
    host: &str,
) -> Result<Response, Problem> {
    single(api, principal, Order::simple(Op::Remove, host)).await?;
    Ok(json_response(StatusCode::OK, &json!({"status": "ok"})))
}

/// Runs an order for one host; a refusal is a problem here, not a row.
pub(super) async fn single(
    api: &Api,
    principal: &Caller,
    order: Order,
) -> Result<Option<Accepted>, Problem> {
    let outcomes = dispatch(api, principal, order).await?;
    match outcomes.into_iter().next().map(|one| one.outcome) {
        None => Ok(None),
        Some(Ok(accepted)) => Ok(Some(accepted)),
        Some(Err(refusal)) => Err(refused(&refusal)),
    }
}
