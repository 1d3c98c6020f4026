//! One POST to a receiver. Its address may be a secret, so no error names it.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, RequestBuilder, StatusCode, redirect};

const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(15);
const MOST_WHY: usize = 300;
/// The longest wait a receiver may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client for notifications")]
pub struct NoClient(#[source] reqwest::Error);

/// Why an attempt failed; the text holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// Trying again may help.
    ForNow {
        /// Why.
        why: String,
        /// The receiver asked to wait so long.
        wait: Option<Duration>,
    },
    /// It will not help.
    ForGood(String),
}

pub(super) fn client() -> Result<Client, NoClient> {
    Client::builder()
        .user_agent(concat!("nixfleet-server/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .build()
        .map_err(NoClient)
}

/// Sends; a success is answered with its status. The body of the answer is of no interest.
pub(super) async fn send(request: RequestBuilder) -> Result<StatusCode, Undelivered> {
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_builder() => {
            return Err(Undelivered::ForGood(
                "the request cannot be made".to_owned(),
            ));
        }
        Err(error) => {
            return Err(Undelivered::ForNow {
                why: explain(error),
                wait: None,
            });
        }
    };
    let status = response.status();
    if status.is_success() {
        return Ok(status);
    }
    let why = format!("the receiver answered {status}");
    let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 424 | 425 | 429);
    if !passing {
        return Err(Undelivered::ForGood(why));
    }
    let seconds = response.headers().get(RETRY_AFTER);
    let seconds = seconds.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let wait = seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
    Err(Undelivered::ForNow { why, wait })
}

fn explain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(MOST_WHY).collect()
}
