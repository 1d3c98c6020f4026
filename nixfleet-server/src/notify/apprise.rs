//! An Apprise API: `POST /notify/KEY`, or `POST /notify` where the services are configured there.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use nixfleet_core::Timestamp;
use nixfleet_core::notice::{Notice, Severity};
use reqwest::{Client, StatusCode};
use serde_json::json;
use url::Url;

use super::Channel;
use super::post::{Undelivered, send};

/// An Apprise API. Its address holds a key.
pub struct Apprise {
    client: Client,
    url: Url,
}

impl Apprise {
    pub(super) fn new(client: Client, url: Url) -> Self {
        Self { client, url }
    }
}

impl std::fmt::Debug for Apprise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Apprise")
    }
}

impl Channel for Apprise {
    fn name(&self) -> &'static str {
        "apprise"
    }

    fn deliver<'a>(
        &'a self,
        _id: &'a str,
        notice: &'a Notice,
        _now: Timestamp,
    ) -> BoxFuture<'a, Result<(), Undelivered>> {
        // A text without a body is refused there.
        let text = if notice.body.trim().is_empty() {
            &notice.title
        } else {
            &notice.body
        };
        let kind = match notice.kind.severity() {
            Severity::Info => "info",
            Severity::Success => "success",
            Severity::Warning => "warning",
            Severity::Failure => "failure",
        };
        let body = json!({
            "title": notice.title, "body": text, "type": kind, "format": "text",
        });
        let request = self.client.post(self.url.clone()).json(&body);
        async move {
            match send(request).await? {
                StatusCode::NO_CONTENT => {
                    let why = "nothing is configured under this key of the Apprise API";
                    Err(Undelivered::ForGood(why.to_owned()))
                }
                _ => Ok(()),
            }
        }
        .boxed()
    }
}
