//! Signed messages of a forge: hints to look now instead of later.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use nixfleet_core::fleet::Input;
use serde_json::json;
use warp::Filter;
use warp::reply::Response;

use super::api::Api;
use super::{Route, answer, json as json_response};
use crate::config::Config;
use crate::forge::webhook::{Hint, Refusal, Webhook};
use crate::net::body;
use crate::reject::{Problem, standard};
use crate::sources::Poller;

/// What takes messages in; cheap to clone.
#[derive(Clone)]
pub struct Hooks {
    webhook: Arc<Mutex<Webhook>>,
    poller: Option<Poller>,
    /// How many hints came.
    heard: Arc<AtomicU64>,
}

impl Hooks {
    /// Takes in messages about the configured repository; without a secret or a repository it
    /// refuses all.
    #[must_use]
    pub fn new(config: &Config, poller: Option<Poller>) -> Self {
        let forge = config.forge.as_ref();
        let secret = config.webhook_secret.clone().filter(|_| forge.is_some());
        let repo = forge
            .map(|forge| forge.repo.to_string())
            .unwrap_or_default();
        let webhook = Webhook::new(secret, &repo, config.branch.as_str());
        Self {
            webhook: Arc::new(Mutex::new(webhook)),
            poller,
            heard: Arc::default(),
        }
    }

    fn take(&self, headers: &HeaderMap, body: &[u8]) -> Result<Hint, Refusal> {
        let mut webhook = self.webhook.lock().unwrap_or_else(PoisonError::into_inner);
        webhook.take(headers, body)
    }
}

/// `POST /api/v1/webhooks/{github|forgejo|gitea}`: no credential but the signature opens it.
#[must_use]
pub fn routes(api: &Api, hooks: Hooks) -> Route {
    let api = api.clone();
    warp::path!("api" / "v1" / "webhooks" / String)
        .and(warp::post())
        .and(warp::header::headers_cloned())
        .and(body::bytes())
        .and_then(move |forge: String, headers: HeaderMap, body: Bytes| {
            let (api, hooks) = (api.clone(), hooks.clone());
            async move { answer(taken(&api, &hooks, &forge, &headers, &body).await) }
        })
        .boxed()
}

async fn taken(
    api: &Api,
    hooks: &Hooks,
    forge: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Problem> {
    if !matches!(forge, "github" | "forgejo" | "gitea") {
        return Err(standard(StatusCode::NOT_FOUND));
    }
    let hint = hooks.take(headers, body).map_err(refused)?;
    let heard = match hint {
        Hint::Nothing => "nothing",
        Hint::Branch => {
            if let Some(poller) = &hooks.poller {
                poller.hint();
            }
            "branch"
        }
        Hint::Pull(_) => "pull",
    };
    if hint != Hint::Nothing {
        let heard_before = hooks.heard.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(
            heard,
            heard_before,
            "the forge hints that something changed"
        );
        api.hub.submit(Input::ForgeHint).await?;
    }
    Ok(json_response(
        StatusCode::ACCEPTED,
        &json!({ "heard": heard }),
    ))
}

fn refused(why: Refusal) -> Problem {
    let (status, code) = match why {
        Refusal::NoSecret => (StatusCode::FORBIDDEN, "webhook_without_secret"),
        Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "webhook_too_large"),
        Refusal::Unsigned => (StatusCode::UNAUTHORIZED, "webhook_unsigned"),
        Refusal::WrongSignature => (StatusCode::UNAUTHORIZED, "webhook_wrong_signature"),
        Refusal::Malformed => (StatusCode::BAD_REQUEST, "webhook_malformed"),
    };
    Problem::new(status, code, "The message is refused").detail(why.to_string())
}
