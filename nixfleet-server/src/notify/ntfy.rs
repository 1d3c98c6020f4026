//! ntfy: JSON to the root of the server, with the topic in it.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use nixfleet_core::Timestamp;
use nixfleet_core::notice::{Notice, Severity};
use reqwest::Client;
use secrecy::ExposeSecret;
use serde_json::json;

use super::Channel;
use super::post::{Undelivered, send};
use crate::config::Ntfy;

/// A topic of ntfy. Who knows its name can read it.
pub struct NtfyTopic {
    client: Client,
    target: Ntfy,
}

impl NtfyTopic {
    pub(super) fn new(client: Client, target: Ntfy) -> Self {
        Self { client, target }
    }
}

impl std::fmt::Debug for NtfyTopic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NtfyTopic")
    }
}

impl Channel for NtfyTopic {
    fn name(&self) -> &'static str {
        "ntfy"
    }

    fn deliver<'a>(
        &'a self,
        _id: &'a str,
        notice: &'a Notice,
        _now: Timestamp,
    ) -> BoxFuture<'a, Result<(), Undelivered>> {
        let (priority, tag) = match notice.kind.severity() {
            Severity::Info => (2, "information_source"),
            Severity::Success => (3, "white_check_mark"),
            Severity::Warning => (4, "warning"),
            Severity::Failure => (5, "rotating_light"),
        };
        let body = json!({
            "topic": self.target.topic,
            "title": notice.title,
            "message": notice.body,
            "priority": priority,
            "tags": [tag, notice.kind.code()],
        });
        let mut request = self.client.post(self.target.server.clone()).json(&body);
        if let Some(token) = &self.target.token {
            request = request.bearer_auth(token.expose_secret());
        }
        async move { send(request).await.map(|_| ()) }.boxed()
    }
}
