//! The two kinds of routes that most are: a read with a tag, and a change that is done once under an
//! `Idempotency-Key`.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use nixfleet_core::RolloutId;
use serde::de::DeserializeOwned;
use serde_json::Value;
use warp::Filter;
use warp::filters::BoxedFilter;

use super::api::Api;
use super::idempotency::Asked;
use super::mutations::Mutation;
use super::{Route, answer, content, get_or_head, idempotency, tagged};
use crate::auth::{Caller, Permission, filters};
use crate::keyed;
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

/// One request by `POST`, `PUT` or `DELETE`.
pub(super) struct Call<P, B> {
    /// What the handlers share.
    pub api: Api,
    /// Who asks.
    pub caller: Caller,
    /// What the path names.
    pub path: P,
    /// The body.
    pub body: B,
    /// The id of a rollout that this request starts, unless it has a key.
    unkeyed: RolloutId,
}

impl<P, B> Call<P, B> {
    /// The id of a rollout that this request starts: that of the first request under the same key,
    /// also after a restart of the server, so that a repetition starts nothing.
    pub fn rollout(&self) -> RolloutId {
        match keyed::current() {
            Some(first) => idempotency::rollout_id(&first),
            None => self.unkeyed,
        }
    }
}

/// What a path names: one word, or nothing.
pub(super) trait PathWord: Send + 'static {
    /// From the word, which is empty if the path names none.
    fn from_word(word: String) -> Self;
}

impl PathWord for String {
    fn from_word(word: String) -> Self {
        word
    }
}

impl PathWord for () {
    fn from_word(_word: String) {}
}

/// A route that changes something, made from its row: done once under the same `Idempotency-Key`,
/// and to its end although the client is gone. The body may be left out where every field may.
pub(super) fn change<P, B, F, W>(api: &Api, row: &Mutation, handler: F) -> Route
where
    P: PathWord,
    B: DeserializeOwned + Send + 'static,
    F: Fn(Call<P, B>) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = Result<Value, Problem>> + Send + 'static,
{
    let (method, status) = (row.method.clone(), row.status);
    asking(api, &row.method, row.path, row.permission)
        .and_then(move |asked: Sent| {
            let (handler, method) = (handler.clone(), method.clone());
            async move {
                let (engine, keyed) = (asked.api.idempotency.clone(), asked.keyed(&method, status));
                let outcome = match keyed.and_then(|keyed| Ok((asked.call()?, keyed))) {
                    Ok((call, keyed)) => {
                        let work = async move { idempotency::body(&handler(call).await?) };
                        engine.once(keyed, work).await
                    }
                    Err(problem) => Err(problem),
                };
                answer(outcome)
            }
        })
        .boxed()
}

/// A question that is too long for an address: changes nothing, so it needs no key.
pub(super) fn look<P, B, F, W>(api: &Api, path: &'static str, handler: F) -> Route
where
    P: PathWord,
    B: DeserializeOwned + Send + 'static,
    F: Fn(Call<P, B>) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = Result<Value, Problem>> + Send + 'static,
{
    asking(api, &Method::POST, path, Permission::Read)
        .and_then(move |asked: Sent| {
            let handler = handler.clone();
            async move {
                let outcome = match asked.call() {
                    Ok(call) => handler(call)
                        .await
                        .and_then(|value| idempotency::body(&value)),
                    Err(problem) => Err(problem),
                };
                answer(outcome.map(|body| content(StatusCode::OK, "application/json", body)))
            }
        })
        .boxed()
}

/// What was sent to a route, from somebody who may.
struct Sent {
    api: Api,
    word: String,
    caller: Caller,
    address: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Sent {
    fn keyed(&self, method: &Method, status: StatusCode) -> Result<Asked, Problem> {
        let parts = [
            method.as_str().as_bytes(),
            self.address.as_bytes(),
            &self.body,
        ];
        Ok(Asked {
            principal: self.caller.owner_of_keys(),
            key: idempotency::key(&self.headers)?,
            request: idempotency::fingerprint(&parts),
            status,
        })
    }

    fn call<P: PathWord, B: DeserializeOwned + 'static>(self) -> Result<Call<P, B>, Problem> {
        Ok(Call {
            body: body_of(&self.headers, &self.body)?,
            unkeyed: idempotency::new_rollout(),
            path: P::from_word(self.word),
            api: self.api,
            caller: self.caller,
        })
    }
}

fn asking(
    api: &Api,
    method: &Method,
    path: &'static str,
    permission: Permission,
) -> BoxedFilter<(Sent,)> {
    let auth = api.auth.clone();
    let api = api.clone();
    at(path)
        .and(only(method))
        .and(filters::require(&auth, permission))
        .and(address())
        .and(warp::header::headers_cloned())
        .and(body::bytes())
        .map(move |word, caller, address, headers, body| Sent {
            api: api.clone(),
            word,
            caller,
            address,
            headers,
            body,
        })
        .boxed()
}

/// A path as it stands in a table; the word for `{…}`, or an empty one.
fn at(path: &'static str) -> BoxedFilter<(String,)> {
    let start = warp::any().map(String::new).boxed();
    let parts = path.split('/').filter(|part| !part.is_empty());
    let all = parts.fold(start, |before, part| {
        if part.starts_with('{') {
            let param = warp::path::param::<String>();
            before.and(param).map(|_, word: String| word).boxed()
        } else {
            before.and(warp::path(part)).boxed()
        }
    });
    all.and(warp::path::end()).boxed()
}

/// The path as it was sent, with its query.
fn address() -> BoxedFilter<(String,)> {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::path::full()
        .and(query)
        .map(|path: warp::path::FullPath, query: String| format!("{}?{query}", path.as_str()))
        .boxed()
}

fn body_of<B: DeserializeOwned + 'static>(headers: &HeaderMap, bytes: &[u8]) -> Result<B, Problem> {
    if bytes.is_empty()
        && let Ok(nothing) = serde_json::from_str("{}")
    {
        return Ok(nothing);
    }
    body::from_json(headers, bytes)
}

fn only(method: &Method) -> BoxedFilter<()> {
    if method == Method::PUT {
        warp::put().boxed()
    } else if method == Method::DELETE {
        warp::delete().boxed()
    } else {
        warp::post().boxed()
    }
}
