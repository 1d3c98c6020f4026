//! `Idempotency-Key`: a request that is sent again under the same key gets the first answer again
//! and does nothing, for a day and over restarts.
//!
//! The work is done by a task of its own: it goes on when the client is gone. What the work changes
//! and the fact that it was done under this key are on record in one transaction (see
//! [`crate::keyed`]); the answer follows right after. If the server ends between the two, a
//! repetition does nothing and is answered from what was noted of the result.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use nixfleet_core::RolloutId;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use warp::reply::Response;

use super::api::{unprocessable, unreadable_store};
use super::content;
use crate::clock::Clock;
use crate::keyed::{self, KeyedAnswer, KeyedRequest, Known};
use crate::reject::{PROBLEM_JSON, Problem, bad_request, standard};
use crate::store::{Condition, Store};

const LONGEST_KEY: usize = 128;
/// How long a repetition waits for the first request to be answered.
const PATIENCE: Duration = Duration::from_secs(10);
/// When such a repetition may come again, in seconds.
const COME_AGAIN: HeaderValue = HeaderValue::from_static("2");
const JSON: &str = "application/json";
/// Tells that an answer is one that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What is known of keyed requests: those under way here, the others in the store.
#[derive(Debug)]
pub struct Idempotency {
    store: Store,
    clock: Clock,
    patience: Duration,
    running: Mutex<HashMap<(String, String), Running>>,
}

/// An answer, and whether it was given before.
type Outcome = Result<(KeyedAnswer, bool), Problem>;

#[derive(Clone, Debug)]
struct Running {
    request: [u8; 32],
    done: watch::Receiver<Option<Outcome>>,
}

/// A request to change something, as far as keys are concerned.
pub(super) struct Asked {
    /// Who asks.
    pub principal: String,
    /// The key, if there is one.
    pub key: Option<String>,
    /// Everything that makes it this request and no other.
    pub request: [u8; 32],
    /// The status of its success.
    pub status: StatusCode,
}

impl Idempotency {
    /// Keys on record in this store.
    #[must_use]
    pub fn new(store: Store, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            store,
            clock,
            patience: PATIENCE,
            running: Mutex::default(),
        })
    }

    /// Does the work, unless the same principal asked for the same under the same key before. Two
    /// at the same time are one. The work is not given up when nobody waits for it any more.
    pub(super) async fn once(
        self: &Arc<Self>,
        asked: Asked,
        work: impl Future<Output = Result<Bytes, Problem>> + Send + 'static,
    ) -> Result<Response, Problem> {
        let status = asked.status;
        let Some(key) = asked.key else {
            let outcome = tokio::spawn(work).await.map_err(|error| failed(&error))?;
            return outcome.map(|body| content(status, JSON, body));
        };
        let request = KeyedRequest {
            principal: asked.principal,
            key,
            request: asked.request,
            at: self.clock.now(),
        };
        let (running, sender) = self.join_or_begin(&request);
        if running.request != request.request {
            return Err(reused());
        }
        let mut done = running.done;
        let first = sender.is_some();
        if let Some(sender) = sender {
            let engine = self.clone();
            tokio::spawn(async move {
                let ended = Ended(&engine, &request);
                let outcome = engine.carry_out(&request, status, work).await;
                drop(ended);
                sender.send_replace(Some(outcome));
            });
        }
        let wait = done.wait_for(Option::is_some);
        let outcome = if first {
            wait.await
        } else {
            let in_time = tokio::time::timeout(self.patience, wait).await;
            in_time.map_err(|_| under_way())?
        };
        let outcome = outcome.map_err(|error| failed(&error))?.clone();
        let outcome = outcome.unwrap_or_else(|| Err(standard(StatusCode::INTERNAL_SERVER_ERROR)));
        let (answer, known) = outcome?;
        respond(answer, known || !first)
    }

    fn join_or_begin(
        &self,
        request: &KeyedRequest,
    ) -> (Running, Option<watch::Sender<Option<Outcome>>>) {
        let mut all = self.running();
        let name = (request.principal.clone(), request.key.clone());
        if let Some(running) = all.get(&name) {
            return (running.clone(), None);
        }
        let (sender, done) = watch::channel(None);
        let running = Running {
            request: request.request,
            done,
        };
        all.insert(name, running.clone());
        (running, Some(sender))
    }

    async fn carry_out(
        &self,
        request: &KeyedRequest,
        status: StatusCode,
        work: impl Future<Output = Result<Bytes, Problem>>,
    ) -> Outcome {
        // A damaged store takes nothing down, keys neither; nothing that would have to be kept is done
        // then. Stopping a command still is, and stopping it twice is harmless.
        let keeps = self.store.condition() == Condition::Sound;
        let known = if keeps {
            let found = self
                .store
                .find_key(&request.principal, &request.key, request.at);
            found.await.map_err(|error| unreadable_store(&error))?
        } else {
            None
        };
        let begun = known.as_ref().map_or(request.at, |known| known.at);
        let note = match known {
            Some(known) if known.request != request.request => return Err(reused()),
            Some(Known {
                answer: Some(answer),
                ..
            }) => return Ok((answer, true)),
            Some(Known { note, .. }) => note,
            None => None,
        };
        let was_done = note.is_some();
        let first = KeyedRequest {
            at: begun,
            ..request.clone()
        };
        let outcome = keyed::during(first, note, work).await;
        let answer = match outcome {
            Ok(body) => KeyedAnswer {
                status: status.as_u16(),
                media: JSON.to_owned(),
                body,
            },
            Err(problem) if !is_final(problem.status()) => return Err(problem),
            // It was done before, but what its answer was made of is not there any more.
            Err(_) if was_done => KeyedAnswer {
                status: status.as_u16(),
                media: JSON.to_owned(),
                body: json!({ "status": "ok" }).to_string().into(),
            },
            Err(problem) => KeyedAnswer {
                status: problem.status().as_u16(),
                media: PROBLEM_JSON.to_str().unwrap_or_default().to_owned(),
                body: problem.document(None),
            },
        };
        if keeps && let Err(error) = self.store.keep_answer(request, &answer).await {
            tracing::error!(%error, "the answer to a keyed request could not be put on record");
        }
        Ok((answer, was_done))
    }

    fn running(&self) -> MutexGuard<'_, HashMap<(String, String), Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a request out of those under way, also if its work panics.
struct Ended<'a>(&'a Idempotency, &'a KeyedRequest);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let name = (self.1.principal.clone(), self.1.key.clone());
        self.0.running().remove(&name);
    }
}

/// Whether an answer says how the request ended. What only says that it could not be decided now,
/// or not for this credential, is found out anew.
fn is_final(status: StatusCode) -> bool {
    !status.is_server_error()
        && !matches!(
            status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
        )
}

fn respond(answer: KeyedAnswer, replayed: bool) -> Result<Response, Problem> {
    let status = StatusCode::from_u16(answer.status);
    let media = HeaderValue::from_str(&answer.media);
    let (Ok(status), Ok(media)) = (status, media) else {
        return Err(standard(StatusCode::INTERNAL_SERVER_ERROR));
    };
    let mut response = content(status, JSON, answer.body);
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, media);
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn reused() -> Problem {
    unprocessable(
        "idempotency_key_reused",
        "this Idempotency-Key came with another request before; use a new one",
    )
}

fn under_way() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "idempotency_key_in_use",
        "The first request under this key is still under way",
    )
    .detail("it goes on by itself; send this one again in a moment to get its answer")
    .header(RETRY_AFTER, COME_AGAIN)
}

fn failed(error: &dyn std::error::Error) -> Problem {
    tracing::error!(%error, "a request was not carried out to its end");
    standard(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The key of a request.
///
/// # Errors
/// 400 if it is no key.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text.is_empty() || text.len() > LONGEST_KEY {
        return Err(bad_request(
            "Idempotency-Key must have 1 to 128 visible ASCII characters",
        ));
    }
    Ok(Some(text.to_owned()))
}

/// Everything that makes a request this one and no other.
pub(super) fn fingerprint(parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// A new id of a rollout.
pub(super) fn new_rollout() -> RolloutId {
    RolloutId::from_bytes(uuid::Uuid::now_v7().into_bytes())
}

/// The id of a rollout that a keyed request starts: the same in every repetition, also after a
/// restart. The moment of the first belongs to it, as a key that is forgotten may come again.
pub(super) fn rollout_id(of: &KeyedRequest) -> RolloutId {
    let at = of.at.as_millis().to_be_bytes();
    let digest = fingerprint(&[of.principal.as_bytes(), of.key.as_bytes(), &of.request, &at]);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    RolloutId::from_bytes(
        uuid::Builder::from_custom_bytes(bytes)
            .into_uuid()
            .into_bytes(),
    )
}

/// The body of an answer, as JSON.
pub(super) fn body(value: &impl serde::Serialize) -> Result<Bytes, Problem> {
    match serde_json::to_vec(value) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => {
            tracing::error!(%error, "a response could not be written as JSON");
            Err(standard(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use http_body_util::BodyExt;
    use tempfile::TempDir;
    use tokio::sync::Notify;

    use super::*;
    use crate::store::DataFolder;

    async fn engine(folder: &TempDir, patience: Duration) -> Arc<Idempotency> {
        let store = Store::open(DataFolder::take(folder.path()).unwrap()).await;
        Arc::new(Idempotency {
            store: store.unwrap(),
            clock: Clock::not_before(nixfleet_core::Timestamp::EPOCH),
            patience,
            running: Mutex::default(),
        })
    }

    fn asked(principal: &str, key: Option<&str>, request: &str) -> Asked {
        Asked {
            principal: principal.to_owned(),
            key: key.map(str::to_owned),
            request: fingerprint(&[request.as_bytes()]),
            status: StatusCode::CREATED,
        }
    }

    async fn text(outcome: Result<Response, Problem>) -> Result<String, u16> {
        let response = outcome.map_err(|problem| problem.status().as_u16())?;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Ok(String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_same_key_does_the_work_once_and_only_for_the_same_request_of_the_same_principal() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(&folder, PATIENCE).await;
        let done = Arc::new(AtomicU32::new(0));
        let ask = async |name: &str, key: Option<&str>, request: &str| {
            let done = done.clone();
            let work = async move {
                let n = done.fetch_add(1, Ordering::SeqCst);
                Ok(Bytes::from(n.to_string()))
            };
            text(engine.once(asked(name, key, request), work).await).await
        };
        assert_eq!(ask("a", Some("abc"), "1").await.unwrap(), "0");
        assert_eq!(ask("a", Some("abc"), "1").await.unwrap(), "0");
        assert_eq!(ask("a", Some("abc"), "2").await, Err(422));
        assert_eq!(ask("b", Some("abc"), "1").await.unwrap(), "1");
        assert_eq!(ask("a", None, "1").await.unwrap(), "2");
        assert_eq!(done.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_repetition_while_the_first_still_runs_waits_and_then_is_told_to_come_again() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(&folder, Duration::from_millis(50)).await;
        let go_on = Arc::new(Notify::new());
        let first = {
            let (engine, go_on) = (engine.clone(), go_on.clone());
            tokio::spawn(async move {
                let work = async move {
                    go_on.notified().await;
                    Ok(Bytes::from("done"))
                };
                text(engine.once(asked("a", Some("k"), "1"), work).await).await
            })
        };
        while engine.running().is_empty() {
            tokio::task::yield_now().await;
        }
        let never = async { Ok(Bytes::from("twice")) };
        let busy = engine
            .once(asked("a", Some("k"), "1"), never)
            .await
            .unwrap_err();
        assert_eq!(
            (busy.status().as_u16(), busy.code()),
            (409, "idempotency_key_in_use")
        );
        assert!(busy.headers().iter().any(|(name, _)| name == RETRY_AFTER));
        let other = engine.once(asked("a", Some("k"), "2"), async { Ok(Bytes::new()) });
        assert_eq!(
            text(other.await).await,
            Err(422),
            "another request is told at once"
        );
        go_on.notify_one();
        assert_eq!(first.await.unwrap().unwrap(), "done");
        let never = async { Ok(Bytes::from("twice")) };
        let again = engine.once(asked("a", Some("k"), "1"), never).await;
        assert_eq!(text(again).await.unwrap(), "done");
    }

    #[tokio::test]
    async fn refusals_are_kept_and_what_could_not_be_decided_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(&folder, PATIENCE).await;
        for (status, kept) in [
            (StatusCode::CONFLICT, true),
            (StatusCode::NOT_FOUND, true),
            (StatusCode::FORBIDDEN, false),
            (StatusCode::TOO_MANY_REQUESTS, false),
            (StatusCode::SERVICE_UNAVAILABLE, false),
        ] {
            let key = status.as_str().to_owned();
            let work = async move { Err(standard(status)) };
            let first = engine.once(asked("a", Some(&key), "1"), work).await;
            let found = first.map_or_else(|problem| problem.status(), |response| response.status());
            assert_eq!(found, status);
            let work = async { Ok(Bytes::from("done")) };
            let again = engine
                .once(asked("a", Some(&key), "1"), work)
                .await
                .unwrap();
            let expected = if kept { status } else { StatusCode::CREATED };
            assert_eq!(again.status(), expected);
        }
    }

    #[tokio::test]
    async fn work_that_panics_is_a_failure_and_not_for_ever_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(&folder, PATIENCE).await;
        for key in [None, Some("k")] {
            let work = async { panic!("a fault of the server") };
            let failed = engine.once(asked("a", key, "1"), work).await;
            assert_eq!(text(failed).await, Err(500));
        }
        let work = async { Ok(Bytes::from("done")) };
        let again = engine.once(asked("a", Some("k"), "1"), work).await;
        assert_eq!(text(again).await.unwrap(), "done");
    }
}
