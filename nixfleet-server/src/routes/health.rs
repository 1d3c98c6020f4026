//! Is the process alive, and can it do its work. Open to everybody, so they say no more than that.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use http::StatusCode;
use serde_json::json;
use warp::Filter;

use super::{Route, any_of, get_or_head, json as json_response};

/// A check that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What must work for the server to be ready.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: Vec<(&'static str, Check)>,
}

impl Readiness {
    /// Ready as soon as it runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check; its error goes to the log, not to the client.
    #[must_use]
    pub fn with<F, W>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> W + Send + Sync + 'static,
        W: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks.push((name, Arc::new(move || check().boxed())));
        self
    }

    async fn results(&self) -> Vec<(&'static str, bool)> {
        let checks = self.checks.iter().map(|(name, check)| async move {
            let outcome = tokio::time::timeout(PATIENCE, check()).await;
            let failure = match outcome {
                Ok(Ok(())) => return (*name, true),
                Ok(Err(failure)) => failure,
                Err(_) => format!("no answer within {PATIENCE:?}"),
            };
            tracing::warn!(check = name, failure, "not ready");
            (*name, false)
        });
        join_all(checks).await
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.checks.iter().map(|(name, _)| name))
            .finish()
    }
}

/// `GET /healthz`, `/readyz` and the older `/health`.
#[must_use]
pub fn routes(readiness: Readiness) -> Route {
    let alive = |path: &'static str| {
        warp::path(path)
            .and(warp::path::end())
            .and(get_or_head())
            .map(|| json_response(StatusCode::OK, &json!({"status": "ok"})))
            .boxed()
    };
    let ready = warp::path("readyz")
        .and(warp::path::end())
        .and(get_or_head())
        .then(move || {
            let readiness = readiness.clone();
            async move { report(&readiness.results().await) }
        })
        .boxed();
    any_of([alive("healthz"), ready, alive("health")])
}

fn report(results: &[(&'static str, bool)]) -> warp::reply::Response {
    let ready = results.iter().all(|(_, ok)| *ok);
    let (status, word) = if ready {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let checks: serde_json::Map<_, _> = results
        .iter()
        .map(|(name, ok)| ((*name).to_owned(), (*ok).into()))
        .collect();
    json_response(status, &json!({"status": word, "checks": checks}))
}
