//! A published `version.json` as the source of the desired state, for existing set-ups: commit and
//! lock hash as a continuous-integration job wrote them down. It knows no history.

use std::time::Duration;

use nixfleet_core::desired::{FETCH_BUDGET, RemoteCause, Snapshot, Unavailable};
use nixfleet_core::{CommitId, LockHash, Timestamp};
use reqwest::header::{ACCEPT, CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{Client, StatusCode, redirect};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::remote::RemoteError;
use super::{Fetched, remote};

/// The largest page that is read.
const MAX_BYTES: usize = 1 << 20;
/// Pauses before the second and the third attempt of one fetch.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];
const CONNECT: Duration = Duration::from_secs(3);
const ATTEMPT: Duration = Duration::from_secs(5);
const MAX_REDIRECTS: usize = 5;

/// A published page.
pub struct VersionJsonSource {
    client: Client,
    url: Url,
    /// The last good page and the tag it was published under.
    last: Option<(Option<HeaderValue>, Fetched)>,
}

impl std::fmt::Debug for VersionJsonSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VersionJsonSource({})", shown(&self.url))
    }
}

/// The fields of the page. An absent field is none; one of the wrong type spoils the page.
#[derive(Deserialize)]
struct Page {
    #[serde(rename = "gitCommit")]
    git_commit: Option<String>,
    message: Option<String>,
    branch: Option<String>,
    timestamp: Option<String>,
    #[serde(rename = "repo")]
    _repo: Option<String>,
    #[serde(rename = "lockHash")]
    lock_hash: Option<String>,
}

impl VersionJsonSource {
    /// A source that reads the page at `url`.
    ///
    /// # Errors
    /// [`RemoteError`] if the URL is not http or https, or would send a credential in the clear.
    pub fn new(url: &str) -> Result<Self, RemoteError> {
        let parsed = remote::page(url)?;
        let has_credentials = !parsed.username().is_empty() || parsed.password().is_some();
        let redirects = if has_credentials {
            redirect::Policy::none()
        } else {
            redirect::Policy::custom(follow)
        };
        let client = Client::builder()
            .user_agent(concat!("nixfleet-server/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(ATTEMPT)
            .redirect(redirects)
            .build()
            .map_err(|error| RemoteError::new(format!("no HTTP client: {error}")))?;
        Ok(Self {
            client,
            url: parsed,
            last: None,
        })
    }

    /// Reads the page once, in up to three attempts.
    ///
    /// # Errors
    /// Why the page could not be read. Bad content never replaces a part of an earlier reading.
    pub async fn fetch(&mut self) -> Result<Fetched, Unavailable> {
        let end = Instant::now() + FETCH_BUDGET;
        let mut pauses = PAUSES.into_iter();
        loop {
            let why = match timeout_at(end, self.attempt()).await {
                Ok(Ok(fetched)) => return Ok(fetched),
                Ok(Err(why)) => why,
                Err(_) => return Err(Unavailable::new(RemoteCause::TimedOut, "")),
            };
            let pause = pauses.next().filter(|_| why.cause.is_transient());
            match pause.map(|pause| Instant::now() + pause) {
                Some(next) if next < end => tokio::time::sleep_until(next).await,
                Some(_) | None => return Err(why),
            }
        }
    }

    async fn attempt(&mut self) -> Result<Fetched, Unavailable> {
        let mut request = self
            .client
            .get(self.url.clone())
            .header(ACCEPT, "application/json")
            .header(CACHE_CONTROL, "no-cache");
        if let Some((Some(tag), _)) = &self.last {
            request = request.header(IF_NONE_MATCH, tag.clone());
        }
        let mut response = request.send().await.map_err(|error| self.failure(error))?;
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED
            && let Some((Some(_), fetched)) = &self.last
        {
            return Ok(fetched.clone());
        }
        if status != StatusCode::OK {
            return Err(status_failure(status, &shown(&self.url)));
        }
        let tag = response.headers().get(ETAG).cloned();
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.failure(error))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BYTES {
                let detail = format!("the page has more than {MAX_BYTES} bytes");
                return Err(Unavailable::new(RemoteCause::Malformed, detail));
            }
        }
        let fetched = Fetched {
            snapshot: read_page(&body)?,
            lock: None,
            history: None,
        };
        self.last = Some((tag, fetched.clone()));
        Ok(fetched)
    }

    fn failure(&self, error: reqwest::Error) -> Unavailable {
        let cause = if error.is_timeout() {
            RemoteCause::TimedOut
        } else if error.is_decode() || error.is_redirect() {
            RemoteCause::Malformed
        } else {
            RemoteCause::Unreachable
        };
        let error = error.without_url();
        let mut detail = format!("{}: {error}", shown(&self.url));
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            detail = format!("{detail}: {inner}");
            source = inner.source();
        }
        Unavailable::new(cause, detail)
    }
}

/// Redirects are followed a few times, and never from https to something weaker.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let was_secure = attempt
        .previous()
        .first()
        .is_some_and(|url| url.scheme() == "https");
    if attempt.previous().len() > MAX_REDIRECTS {
        attempt.error("too many redirects")
    } else if was_secure && attempt.url().scheme() != "https" {
        attempt.error("a redirect leads from https to an insecure address")
    } else {
        attempt.follow()
    }
}

/// The HTTP status stays in the cause or in the detail, because it is what people search for.
fn status_failure(status: StatusCode, page: &str) -> Unavailable {
    let cause = RemoteCause::of_http_status(status.as_u16());
    Unavailable::new(cause, format!("{page} answered {status}"))
}

/// The address for people: without credentials, query and fragment.
fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

fn read_page(body: &[u8]) -> Result<Snapshot, Unavailable> {
    let malformed = |detail: String| Unavailable::new(RemoteCause::Malformed, detail);
    let page: Page = serde_json::from_slice(body).map_err(|error| {
        if body.trim_ascii_start().starts_with(b"<") {
            return malformed("the page is HTML, not JSON".to_owned());
        }
        malformed(format!("the page is not a valid version.json: {error}"))
    })?;
    let line = |text: String| {
        let text: String = text
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(200)
            .collect();
        let clean: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        Some(clean.trim().to_owned()).filter(|text| !text.is_empty())
    };
    Ok(Snapshot {
        commit: half::<CommitId>("gitCommit", page.git_commit.as_deref())?,
        lock: half::<LockHash>("lockHash", page.lock_hash.as_deref())?,
        subject: page.message.and_then(line),
        commit_time: page
            .timestamp
            .and_then(|text| Timestamp::parse_rfc3339(&text).ok()),
        branch: page.branch.and_then(line),
        rewritten: false,
    })
}

/// One half of the snapshot: what is missing makes only that half unavailable, what cannot be read
/// spoils the page, as the other half may be wrong as well (spec 01).
fn half<T>(name: &str, value: Option<&str>) -> Result<Result<T, Unavailable>, Unavailable>
where
    T: std::str::FromStr<Err = nixfleet_core::IdError>,
{
    let value = value.map(str::trim).filter(|text| !text.is_empty());
    let Some(value) = value else {
        let detail = format!("the page has no field {name}");
        return Ok(Err(Unavailable::new(RemoteCause::FieldMissing, detail)));
    };
    match value.parse() {
        Ok(value) => Ok(Ok(value)),
        Err(error) => {
            let detail = format!("the field {name} is unusable: {error}");
            Err(Unavailable::new(RemoteCause::Malformed, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "abcdef0123456789abcdef0123456789abcdef01";

    #[test]
    fn a_missing_field_costs_its_half_and_an_unusable_one_the_page() {
        let hash = "a".repeat(64);
        let full = format!(
            r#"{{"gitCommit":"{COMMIT}","message":"one\ntwo","branch":"main","timestamp":"2026-11-20T12:00:00Z","repo":"a/b","lockHash":"{hash}"}}"#
        );
        let snapshot = read_page(full.as_bytes()).unwrap();
        assert_eq!(snapshot.commit, Ok(COMMIT.parse().unwrap()));
        assert_eq!(snapshot.lock, Ok(hash.parse().unwrap()));
        assert_eq!(snapshot.subject.as_deref(), Some("one"));
        assert!(snapshot.commit_time.is_some());

        let no_lock = read_page(format!(r#"{{"gitCommit":"{COMMIT}"}}"#).as_bytes()).unwrap();
        assert!(no_lock.commit.is_ok());
        let why = no_lock.lock.unwrap_err();
        assert_eq!(why.cause, RemoteCause::FieldMissing);
        assert!(why.detail.contains("lockHash"));

        for page in [
            format!(r#"{{"gitCommit":"{COMMIT}-dirty","lockHash":"{hash}"}}"#),
            format!(r#"{{"gitCommit":"{COMMIT}","lockHash":"zz"}}"#),
            r#"{"gitCommit":"zz"}"#.to_owned(),
        ] {
            let why = read_page(page.as_bytes()).unwrap_err();
            assert_eq!(why.cause, RemoteCause::Malformed);
            assert!(why.detail.contains("the field "), "{}", why.detail);
        }
    }

    #[test]
    fn bad_content_fails_the_whole_page() {
        for body in [
            "",
            "<!DOCTYPE html><html></html>",
            "[]",
            "null",
            "\"x\"",
            r#"{"gitCommit": 7}"#,
            r#"{"gitCommit": "abc", "lockHash": ["x"]}"#,
            r#"{"gitCommit": "abc"#,
            "{}garbage",
        ] {
            let why = read_page(body.as_bytes()).unwrap_err();
            assert_eq!(why.cause, RemoteCause::Malformed, "{body}");
        }
    }
}
