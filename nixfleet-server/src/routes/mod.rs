//! The HTTP surface, one file for each group. A handler translates and submits; it decides nothing.
//!
//! Every route is a boxed filter of its own: an unboxed chain of them overflows the stack.

pub mod agent_ws;
mod answers;
pub mod api;
mod asks;
pub mod assets;
pub mod audit;
pub mod auth;
pub mod browser_ws;
pub mod commands;
pub mod compat;
pub mod dispatch;
mod endpoint;
pub mod health;
pub mod holds;
pub mod host_edits;
pub mod hosts;
pub mod idempotency;
pub mod mutations;
pub mod past;
pub mod rollouts;
pub mod tables;
mod tolerance;
pub mod updates;
pub mod upkeep;
pub mod webhooks;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use sha2::{Digest, Sha256};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reject::Rejection;
use warp::reply::Response;

use crate::reject::{Problem, standard};

/// A route or a group of routes.
pub type Route = BoxedFilter<(Response,)>;

/// Folds routes into one; the first that matches answers, so busy ones come first.
#[must_use]
pub fn any_of(routes: impl IntoIterator<Item = Route>) -> Route {
    let nothing = warp::any()
        .and_then(|| async { Err::<Response, Rejection>(warp::reject::not_found()) })
        .boxed();
    routes
        .into_iter()
        .reduce(|first, second| first.or(second).unify().boxed())
        .unwrap_or(nothing)
}

/// What a handler gives to the router.
///
/// # Errors
/// The problem, as a rejection that [`crate::reject::recover`] renders.
pub fn answer(outcome: Result<Response, Problem>) -> Result<Response, Rejection> {
    outcome.map_err(warp::reject::custom)
}

/// A JSON response.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => content(status, "application/json", bytes),
        Err(error) => {
            tracing::error!(%error, "a response could not be written as JSON");
            standard(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
    }
}

/// A response with a body of this media type.
pub fn content(status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(body.into().into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// A JSON body under a tag of its content; 304 for who has it already.
pub fn tagged(headers: &HeaderMap, body: impl Into<Bytes>) -> Response {
    let body = body.into();
    let digest = Sha256::digest(&body);
    tagged_as(headers, &hex::encode(&digest[..16]), body)
}

/// The same under a tag that the caller knows to change with the content.
pub fn tagged_as(headers: &HeaderMap, tag: &str, body: Bytes) -> Response {
    let etag = format!("W/\"{tag}\"");
    let known = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|other| other.trim().trim_start_matches("W/") == etag.trim_start_matches("W/"));
    let mut response = if known {
        let mut unchanged = Response::default();
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        content(StatusCode::OK, "application/json", body)
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(ETAG, etag);
    }
    response
}

/// GET, and HEAD for those who only want to know.
#[must_use]
pub fn get_or_head() -> BoxedFilter<()> {
    warp::get().or(warp::head()).unify().boxed()
}
