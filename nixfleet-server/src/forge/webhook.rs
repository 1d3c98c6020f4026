//! Signed messages of a forge. The signature is checked over the raw bytes before anything is
//! parsed, and what comes out is only a hint where to look; the truth is then fetched.

use std::collections::{BTreeSet, VecDeque};

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use nixfleet_core::update::PrNumber;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::Sha256;

/// The largest message; larger ones are refused before they are read.
pub const MOST_BYTES: usize = 256 << 10;
/// So many delivery ids are remembered.
const MOST_DELIVERIES: usize = 1024;
const MOST_ID: usize = 100;

/// Headers with a signature, and what stands before its digits. GitHub; Forgejo; Gitea.
const SIGNATURES: &[(&str, &str)] = &[
    ("x-hub-signature-256", "sha256="),
    ("x-forgejo-signature", ""),
    ("x-gitea-signature", ""),
];
const DELIVERIES: &[&str] = &[
    "x-github-delivery",
    "x-forgejo-delivery",
    "x-gitea-delivery",
];
const EVENTS: &[&str] = &["x-github-event", "x-forgejo-event", "x-gitea-event"];

/// Where something may have changed. Never what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The tracked branch.
    Branch,
    /// A pull request, or its checks.
    Pull(Option<PrNumber>),
    /// Nothing of interest: another repository, another branch, a ping.
    Nothing,
}

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no secret to check it with.
    #[error("no webhook secret is configured: set NIXFLEET_WEBHOOK_SECRET")]
    NoSecret,
    /// It is larger than [`MOST_BYTES`].
    #[error("the message is larger than {MOST_BYTES} bytes")]
    TooLarge,
    /// It has no signature, several, or one that is no SHA-256 in hex.
    #[error("the message has no usable signature")]
    Unsigned,
    /// The signature is of something else, or made with another secret.
    #[error("the signature does not match")]
    WrongSignature,
    /// It was signed but is no message of a forge.
    #[error("the signed message cannot be read")]
    Malformed,
}

/// Checks messages for one repository.
#[derive(Debug)]
pub struct Webhook {
    secret: Option<SecretString>,
    repo: String,
    branch: String,
    seen: Deliveries,
}

#[derive(Debug, Default)]
struct Deliveries {
    known: BTreeSet<String>,
    order: VecDeque<String>,
}

#[derive(Deserialize)]
struct Message {
    repository: Option<RepositoryPart>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    number: Option<u64>,
    pull_request: Option<PullPart>,
}

#[derive(Deserialize)]
struct RepositoryPart {
    full_name: String,
}

#[derive(Deserialize)]
struct PullPart {
    number: Option<u64>,
}

impl Webhook {
    /// Checks messages about `branch` of `repo`; without a secret it refuses all.
    #[must_use]
    pub fn new(secret: Option<SecretString>, repo: &str, branch: &str) -> Self {
        Self {
            secret,
            repo: repo.to_owned(),
            branch: branch.to_owned(),
            seen: Deliveries::default(),
        }
    }

    /// Takes in a message. A delivery that came before is [`Hint::Nothing`].
    ///
    /// # Errors
    /// [`Refusal`]; then nothing of the message was parsed, except for [`Refusal::Malformed`].
    pub fn take(&mut self, head: &HeaderMap, body: &[u8]) -> Result<Hint, Refusal> {
        verify(self.secret.as_ref(), head, body)?;
        let delivery = one_of(head, DELIVERIES).filter(|id| id.len() <= MOST_ID);
        if delivery.is_some_and(|id| !self.seen.is_new(id)) {
            return Ok(Hint::Nothing);
        }
        self.hint(head, body)
    }

    fn hint(&self, head: &HeaderMap, body: &[u8]) -> Result<Hint, Refusal> {
        let message: Message = serde_json::from_slice(body).map_err(|_| Refusal::Malformed)?;
        let repository = message.repository.as_ref();
        if repository.is_none_or(|known| !known.full_name.eq_ignore_ascii_case(&self.repo)) {
            return Ok(Hint::Nothing);
        }
        let tracked = format!("refs/heads/{}", self.branch);
        let number = message
            .pull_request
            .as_ref()
            .and_then(|pull| pull.number)
            .or(message.number);
        Ok(match one_of(head, EVENTS) {
            Some("push" | "delete" | "create") => {
                let reference = message.reference.as_deref();
                if reference == Some(tracked.as_str()) || reference == Some(self.branch.as_str()) {
                    Hint::Branch
                } else {
                    // A pull request's branch may have moved.
                    Hint::Pull(None)
                }
            }
            Some(
                "pull_request" | "pull_request_sync" | "pull_request_review" | "pull_request_label",
            ) => Hint::Pull(number.map(PrNumber)),
            Some("check_run" | "check_suite" | "status" | "workflow_run" | "workflow_job") => {
                Hint::Pull(None)
            }
            Some(_) | None => Hint::Nothing,
        })
    }
}

/// Checks the signature of a message over its raw bytes, in constant time.
///
/// # Errors
/// [`Refusal`]; never [`Refusal::Malformed`].
pub fn verify(secret: Option<&SecretString>, head: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let secret = secret
        .map(ExposeSecret::expose_secret)
        .filter(|secret| !secret.is_empty())
        .ok_or(Refusal::NoSecret)?;
    if body.len() > MOST_BYTES {
        return Err(Refusal::TooLarge);
    }
    let signatures = signatures(head)?;
    for signature in signatures {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|_| Refusal::NoSecret)?;
        mac.update(body);
        // Compares in constant time.
        mac.verify_slice(&signature)
            .map_err(|_| Refusal::WrongSignature)?;
    }
    Ok(())
}

/// Every signature there is; all of them have to match. Forges of the Gitea family send the same
/// one under several names.
fn signatures(head: &HeaderMap) -> Result<Vec<Vec<u8>>, Refusal> {
    let mut found = Vec::new();
    for (name, prefix) in SIGNATURES {
        let mut values = head.get_all(*name).iter();
        let Some(value) = values.next() else { continue };
        if values.next().is_some() {
            return Err(Refusal::Unsigned);
        }
        let digits = value
            .to_str()
            .ok()
            .and_then(|text| text.strip_prefix(prefix));
        let bytes = digits.and_then(|digits| hex::decode(digits).ok());
        match bytes {
            Some(bytes) if bytes.len() == 32 => found.push(bytes),
            Some(_) | None => return Err(Refusal::Unsigned),
        }
    }
    if found.is_empty() {
        return Err(Refusal::Unsigned);
    }
    Ok(found)
}

fn one_of<'a>(head: &'a HeaderMap, names: &[&str]) -> Option<&'a str> {
    let value = names.iter().find_map(|name| head.get(*name))?;
    value.to_str().ok()
}

impl Deliveries {
    fn is_new(&mut self, id: &str) -> bool {
        if !self.known.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > MOST_DELIVERIES
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const SECRET: &str = "It's a Secret to Everybody";

    fn head(entries: &[(&'static str, &str)]) -> HeaderMap {
        entries
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_str(value).unwrap();
                (HeaderName::from_static(name), value)
            })
            .collect()
    }

    fn sign(secret: &str, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body);
        hex::encode(mac.finalize().into_bytes())
    }

    fn signed(event: &str, delivery: &str, body: &[u8]) -> HeaderMap {
        head(&[
            (
                "x-hub-signature-256",
                &format!("sha256={}", sign(SECRET, body)),
            ),
            ("x-github-event", event),
            ("x-github-delivery", delivery),
        ])
    }

    fn webhook() -> Webhook {
        Webhook::new(Some(SECRET.into()), "nixfleet/hosts", "main")
    }

    /// The example that GitHub publishes for implementers.
    #[test]
    fn the_published_example_is_accepted_and_every_change_of_it_refused() {
        let digits = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let body = b"Hello, World!";
        let secret: SecretString = SECRET.into();
        let good = head(&[("x-hub-signature-256", &format!("sha256={digits}"))]);
        assert_eq!(verify(Some(&secret), &good, body), Ok(()));
        for position in 0..body.len() {
            let mut other = *body;
            other[position] ^= 1;
            let refused = verify(Some(&secret), &good, &other);
            assert_eq!(refused, Err(Refusal::WrongSignature));
        }
        for position in 0..digits.len() {
            let mut other = digits.to_owned();
            let digit = if digits[position..].starts_with('0') {
                "1"
            } else {
                "0"
            };
            other.replace_range(position..=position, digit);
            let bad = head(&[("x-hub-signature-256", &format!("sha256={other}"))]);
            let refused = verify(Some(&secret), &bad, body);
            assert_eq!(refused, Err(Refusal::WrongSignature));
        }
        assert_eq!(verify(None, &good, body), Err(Refusal::NoSecret));
        let empty: SecretString = "".into();
        assert_eq!(verify(Some(&empty), &good, body), Err(Refusal::NoSecret));
        let other: SecretString = "another secret".into();
        assert_eq!(
            verify(Some(&other), &good, body),
            Err(Refusal::WrongSignature)
        );
        assert_eq!(
            verify(Some(&secret), &good, &vec![0; MOST_BYTES + 1]),
            Err(Refusal::TooLarge)
        );
    }

    #[test]
    fn what_is_no_signature_is_unsigned() {
        let secret: SecretString = SECRET.into();
        let digits = sign(SECRET, b"x");
        let long = format!("sha256={digits}00");
        let sha1 = format!("sha1={digits}");
        for entries in [
            vec![],
            vec![("x-hub-signature-256", "")],
            vec![("x-hub-signature-256", "sha256=")],
            vec![("x-hub-signature-256", digits.as_str())],
            vec![("x-hub-signature-256", sha1.as_str())],
            vec![("x-hub-signature-256", long.as_str())],
            vec![("x-hub-signature-256", "sha256=zz")],
            vec![("x-hub-signature", sha1.as_str())],
            vec![("x-forgejo-signature", "none")],
        ] {
            let refused = verify(Some(&secret), &head(&entries), b"x");
            assert_eq!(refused, Err(Refusal::Unsigned), "{entries:?}");
        }
        let mut twice = head(&[("x-gitea-signature", &digits)]);
        twice.append("x-gitea-signature", HeaderValue::from_str(&digits).unwrap());
        assert_eq!(verify(Some(&secret), &twice, b"x"), Err(Refusal::Unsigned));
        let two = head(&[
            ("x-gitea-signature", digits.as_str()),
            ("x-forgejo-signature", &"0".repeat(64)),
        ]);
        let refused = verify(Some(&secret), &two, b"x");
        assert_eq!(
            refused,
            Err(Refusal::WrongSignature),
            "one good is not enough"
        );
        for name in ["x-gitea-signature", "x-forgejo-signature"] {
            assert_eq!(
                verify(Some(&secret), &head(&[(name, &digits)]), b"x"),
                Ok(())
            );
        }
    }

    #[test]
    fn a_message_is_a_hint_for_the_tracked_repository_only() {
        let mut webhook = webhook();
        let repository = r#""repository":{"full_name":"NixFleet/hosts"}"#;
        for (number, (event, body, expected)) in [
            (
                "push",
                format!(r#"{{"ref":"refs/heads/main",{repository}}}"#),
                Hint::Branch,
            ),
            (
                "push",
                format!(r#"{{"ref":"refs/heads/x",{repository}}}"#),
                Hint::Pull(None),
            ),
            (
                "pull_request",
                format!(r#"{{"number":42,{repository}}}"#),
                Hint::Pull(Some(PrNumber(42))),
            ),
            ("check_run", format!("{{{repository}}}"), Hint::Pull(None)),
            ("ping", format!("{{{repository}}}"), Hint::Nothing),
            (
                "push",
                r#"{"ref":"refs/heads/main","repository":{"full_name":"evil/hosts"}}"#.to_owned(),
                Hint::Nothing,
            ),
            (
                "push",
                r#"{"ref":"refs/heads/main"}"#.to_owned(),
                Hint::Nothing,
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let headers = signed(event, &number.to_string(), body.as_bytes());
            assert_eq!(
                webhook.take(&headers, body.as_bytes()),
                Ok(expected),
                "{body}"
            );
        }
        let headers = signed("push", "next", b"[");
        assert_eq!(webhook.take(&headers, b"["), Err(Refusal::Malformed));
    }

    #[test]
    fn a_delivery_counts_once_and_a_forged_one_uses_up_no_id() {
        let mut webhook = webhook();
        let body = br#"{"ref":"refs/heads/main","repository":{"full_name":"nixfleet/hosts"}}"#;
        let good = signed("push", "7", body);
        let mut forged = good.clone();
        let wrong = format!("sha256={}", "0".repeat(64));
        forged.insert(
            "x-hub-signature-256",
            HeaderValue::from_str(&wrong).unwrap(),
        );
        assert_eq!(webhook.take(&forged, body), Err(Refusal::WrongSignature));
        assert_eq!(webhook.take(&good, body), Ok(Hint::Branch));
        assert_eq!(webhook.take(&good, body), Ok(Hint::Nothing));
        for n in 0..2 * MOST_DELIVERIES {
            webhook
                .take(&signed("push", &format!("n{n}"), body), body)
                .unwrap();
        }
        assert_eq!(webhook.seen.known.len(), MOST_DELIVERIES);
    }
}
