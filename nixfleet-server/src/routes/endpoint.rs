//! The two kinds of routes that most are: a read with a tag, and a change that is done once under an
//! `Idempotency-Key`.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use nixfleet_core::RolloutId;
use serde::de::DeserializeOwned;
use serde_json::Value;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::api::Api;
use super::{Route, answer, content, get_or_head, idempotency, tagged};
use crate::auth::{Caller, Permission, filters};
use crate::net::body;
use crate::reject::Problem;

/// `/api/v1/<words>` and nothing after it.
pub(super) fn words(words: &'static [&'static str]) -> BoxedFilter<((),)> {
    let start = warp::path!("api" / "v1" / ..).boxed();
    let all = words
        .iter()
        .fold(start, |path, word| path.and(warp::path(*word)).boxed());
    all.and(warp::path::end()).map(|| ()).boxed()
}

/// `/api/v1/<first>/{name}`, and `/<last>` after it if there is one.
pub(super) fn named(first: &'static str, last: Option<&'static str>) -> BoxedFilter<(String,)> {
    let start = warp::path!("api" / "v1" / ..)
        .and(warp::path(first))
        .and(warp::path::param::<String>());
    match last {
        Some(last) => start.and(warp::path(last)).and(warp::path::end()).boxed(),
        None => start.and(warp::path::end()).boxed(),
    }
}

/// The query of a list that goes back in time.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Only what is older than this.
    #[serde(default)]
    pub before: Option<String>,
    #[serde(default)]
    pub limit: Option<u32>,
}

impl Page {
    /// How many are wanted, of at most so many.
    pub fn limit(&self, most: u32) -> u32 {
        self.limit.unwrap_or(most).clamp(1, most)
    }
}

/// A read: a JSON document under a tag of its content.
pub(super) fn read<P, F, W>(api: &Api, path: BoxedFilter<(P,)>, handler: F) -> Route
where
    P: Send + 'static,
    F: Fn(Api, P, Page) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = Result<Value, Problem>> + Send + 'static,
{
    let auth = api.auth.clone();
    let api = api.clone();
    path.and(get_or_head())
        .and(filters::require(&auth, Permission::Read))
        .and(warp::query::<Page>())
        .and(warp::header::headers_cloned())
        .and_then(move |path: P, _caller, page: Page, headers: HeaderMap| {
            let work = handler(api.clone(), path, page);
            async move {
                let body = work.await.and_then(|value| idempotency::body(&value));
                answer(body.map(|body| tagged(&headers, body)))
            }
        })
        .boxed()
}

/// One request to change something.
pub(super) struct Call<P, B> {
    /// What the handlers share.
    pub api: Api,
    /// Who asks.
    pub caller: Caller,
    /// What the path names.
    pub path: P,
    /// The body.
    pub body: B,
    /// The id of a rollout that this request starts: always the same one under the same key, also
    /// after a restart of the server, so that a repetition starts nothing.
    pub rollout: RolloutId,
}

/// What a change is: how it is asked for, by whom, and the status of its success.
#[derive(Clone)]
pub(super) struct Change {
    pub method: Method,
    pub permission: Permission,
    pub status: StatusCode,
}

impl Change {
    /// A `POST`.
    pub fn post(permission: Permission, status: StatusCode) -> Self {
        Self {
            method: Method::POST,
            permission,
            status,
        }
    }
}

/// A change: done once under the same key. The body may be left out where every field may.
pub(super) fn change<P, B, F, W>(
    api: &Api,
    path: BoxedFilter<(P,)>,
    what: Change,
    handler: F,
) -> Route
where
    P: Send + 'static,
    B: DeserializeOwned + Send + 'static,
    F: Fn(Call<P, B>) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = Result<Value, Problem>> + Send + 'static,
{
    let auth = api.auth.clone();
    let api = api.clone();
    let Change {
        method,
        permission,
        status,
    } = what;
    path.and(only(method))
        .and(filters::require(&auth, permission))
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and(body::bytes())
        .and_then(
            move |path: P,
                  caller: Caller,
                  full: warp::path::FullPath,
                  headers: HeaderMap,
                  bytes: Bytes| {
                let (api, handler) = (api.clone(), handler.clone());
                async move {
                    let request = [full.as_str().as_bytes(), b"\n", &bytes[..]].concat();
                    let outcome = match body_of::<B>(&headers, &bytes) {
                        Ok(body) => {
                            let rollout = idempotency::rollout_id(&caller, &headers, &request);
                            let idempotency = api.idempotency.clone();
                            let call = Call {
                                api,
                                caller: caller.clone(),
                                path,
                                body,
                                rollout,
                            };
                            let work = || async move { idempotency::body(&handler(call).await?) };
                            idempotency.once(&caller, &headers, &request, work).await
                        }
                        Err(problem) => Err(problem),
                    };
                    answer(outcome.map(|body| done(status, body)))
                }
            },
        )
        .boxed()
}

fn done(status: StatusCode, body: Bytes) -> Response {
    content(status, "application/json", body)
}

fn body_of<B: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Result<B, Problem> {
    if bytes.is_empty()
        && let Ok(nothing) = serde_json::from_str("{}")
    {
        return Ok(nothing);
    }
    body::from_json(headers, bytes)
}

fn only(method: Method) -> BoxedFilter<()> {
    if method == Method::PUT {
        warp::put().boxed()
    } else if method == Method::DELETE {
        warp::delete().boxed()
    } else {
        warp::post().boxed()
    }
}
