//! Any receiver: JSON with the signature of Standard Webhooks, so that it can tell our notices
//! from others and a late repetition from a new one.

use data_encoding::BASE64;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use nixfleet_core::Timestamp;
use nixfleet_core::notice::Notice;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use secrecy::ExposeSecret;
use serde_json::json;
use sha2::Sha256;

use super::Channel;
use super::post::{Undelivered, send};
use crate::config::SignedWebhook;

/// How secrets of Standard Webhooks begin; the rest is the key in base64.
const KEY_PREFIX: &str = "whsec_";

/// A receiver of signed JSON.
pub struct Webhook {
    client: Client,
    target: SignedWebhook,
}

impl Webhook {
    pub(super) fn new(client: Client, target: SignedWebhook) -> Self {
        Self { client, target }
    }

    fn sign(&self, id: &str, seconds: i64, body: &str) -> Option<String> {
        let secret = self.target.secret.expose_secret();
        let decoded = secret
            .strip_prefix(KEY_PREFIX)
            .and_then(|text| BASE64.decode(text.as_bytes()).ok());
        let key = decoded.unwrap_or_else(|| secret.as_bytes().to_vec());
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
        mac.update(format!("{id}.{seconds}.{body}").as_bytes());
        let signature = mac.finalize().into_bytes();
        Some(format!("v1,{}", BASE64.encode(signature.as_slice())))
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Webhook")
    }
}

impl Channel for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn deliver<'a>(
        &'a self,
        id: &'a str,
        notice: &'a Notice,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), Undelivered>> {
        let body = json!({
            "type": format!("nixfleet.{}", notice.kind.code()),
            "timestamp": notice.at.to_rfc3339(),
            "data": {
                "severity": notice.kind.severity(),
                "key": notice.key,
                "title": notice.title,
                "body": notice.body,
                "host": notice.host,
            },
        })
        .to_string();
        let seconds = now.as_millis().div_euclid(1000);
        async move {
            let Some(signature) = self.sign(id, seconds, &body) else {
                let why = "the secret cannot be used as a key";
                return Err(Undelivered::ForGood(why.to_owned()));
            };
            let request = self
                .client
                .post(self.target.url.clone())
                .header(CONTENT_TYPE, "application/json")
                .header("webhook-id", id)
                .header("webhook-timestamp", seconds.to_string())
                .header("webhook-signature", signature)
                .body(body);
            send(request).await.map(|_| ())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the specification of Standard Webhooks publishes.
    #[test]
    fn the_published_example_is_signed_as_published() {
        let webhook = Webhook {
            client: Client::new(),
            target: SignedWebhook {
                url: "https://x".parse().unwrap(),
                secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(),
            },
        };
        let signature = webhook.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        let published = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signature.as_deref(), Some(published));
    }
}
