//! `Idempotency-Key`: a request that is sent again under the same key gets the first answer again
//! and does nothing.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use nixfleet_core::RolloutId;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::api::unprocessable;
use crate::auth::Principal;
use crate::reject::{Problem, bad_request};

/// How long an answer is kept.
const KEEP: Duration = Duration::from_secs(24 * 3600);
/// Answers kept in all; the oldest give way.
const MOST: usize = 4096;
const LONGEST_KEY: usize = 128;

/// The answers to keyed requests. They end with the process.
#[derive(Debug, Default)]
pub struct Idempotency(Mutex<HashMap<Key, Kept>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    principal: String,
    key: String,
}

#[derive(Clone, Debug)]
struct Kept {
    since: Instant,
    request: [u8; 32],
    answer: Arc<OnceCell<Result<Bytes, Problem>>>,
}

impl Idempotency {
    /// Does the work, unless the same principal asked for the same under the same key before. Two
    /// at the same time are one.
    pub(super) async fn once<W>(
        &self,
        principal: &Principal,
        headers: &HeaderMap,
        request: &[u8],
        work: impl FnOnce() -> W,
    ) -> Result<Bytes, Problem>
    where
        W: Future<Output = Result<Bytes, Problem>>,
    {
        let Some(key) = key(headers)? else {
            return work().await;
        };
        let key = Key {
            principal: principal.label(),
            key,
        };
        let request: [u8; 32] = Sha256::digest(request).into();
        let kept = self.find_or_keep(key, request);
        if kept.request != request {
            return Err(unprocessable(
                "idempotency_key_reused",
                "this Idempotency-Key came with another request before; use a new one",
            ));
        }
        kept.answer.get_or_init(work).await.clone()
    }

    fn find_or_keep(&self, key: Key, request: [u8; 32]) -> Kept {
        let now = Instant::now();
        let mut kept = self.kept();
        if kept.len() >= MOST {
            kept.retain(|_, kept| now.duration_since(kept.since) < KEEP);
        }
        if kept.len() >= MOST {
            let oldest = kept.iter().min_by_key(|(_, kept)| kept.since);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                kept.remove(&oldest);
            }
        }
        let fresh = || Kept {
            since: now,
            request,
            answer: Arc::default(),
        };
        let entry = kept.entry(key).or_insert_with(fresh);
        if now.duration_since(entry.since) >= KEEP {
            *entry = fresh();
        }
        entry.clone()
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Key, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
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

/// The id of a rollout that a request starts: new without a key, and under a key always the same
/// for the same request, also after a restart.
pub(super) fn rollout_id(principal: &Principal, headers: &HeaderMap, request: &[u8]) -> RolloutId {
    let Ok(Some(key)) = key(headers) else {
        return RolloutId::from_bytes(uuid::Uuid::now_v7().into_bytes());
    };
    let mut digest = Sha256::new();
    for part in [principal.label().as_bytes(), key.as_bytes(), request] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let digest: [u8; 32] = digest.finalize().into();
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
            Err(crate::reject::standard(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::auth::{Role, SecretHash};

    fn principal(name: &str) -> Principal {
        Principal::ApiToken {
            name: name.to_owned(),
            role: Role::Operator,
            hash: SecretHash::of(name),
        }
    }

    #[tokio::test]
    async fn the_same_key_does_the_work_once_and_only_for_the_same_request_of_the_same_principal() {
        let idempotency = Idempotency::default();
        let done = AtomicU32::new(0);
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", "abc".parse().unwrap());
        let none = HeaderMap::new();
        let ask = async |name: &str, headers: &HeaderMap, request: &str| {
            let work = || async {
                let n = done.fetch_add(1, Ordering::SeqCst);
                Ok(Bytes::from(n.to_string()))
            };
            let principal = principal(name);
            idempotency
                .once(&principal, headers, request.as_bytes(), work)
                .await
        };
        assert_eq!(ask("a", &headers, "1").await.unwrap(), "0");
        assert_eq!(ask("a", &headers, "1").await.unwrap(), "0");
        assert_eq!(ask("a", &headers, "2").await.unwrap_err().status(), 422);
        assert_eq!(ask("b", &headers, "1").await.unwrap(), "1");
        assert_eq!(ask("a", &none, "1").await.unwrap(), "2");
        assert_eq!(done.load(Ordering::SeqCst), 3);
    }
}
