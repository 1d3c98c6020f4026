//! One request to a forge and its answer: bounded in time and size, conditional where possible,
//! within the quota, to the one configured address. Nothing here knows what is asked.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use nixfleet_core::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, DATE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, LINK,
    LOCATION, RETRY_AFTER,
};
use reqwest::{Client, Method, StatusCode, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use super::address::{ApiAddress, Redirect, is_public};
use super::budget::{Admission, Budget, Purpose, RateWords};
use super::fault::Fault;
use super::tags::{Tagged, Tags};
use crate::clock::Clock;

const MOST_REDIRECTS: usize = 3;
/// How often a change waits for its turn before it is refused.
const MOST_TURNS: usize = 3;
/// The most of an error's text that is kept.
const MOST_SAID: usize = 300;

/// How long each phase of a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Phases {
    /// Name, connection and TLS.
    pub connect: Duration,
    /// From the request to the head of the answer.
    pub answer: Duration,
    /// Between two pieces of the body.
    pub silence: Duration,
    /// Everything together.
    pub whole: Duration,
}

impl Default for Phases {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(20),
            silence: Duration::from_secs(10),
            whole: Duration::from_secs(60),
        }
    }
}

/// How a kind of forge wants to be spoken to.
pub struct Manners {
    /// What stands before the token.
    pub scheme: &'static str,
    /// What is accepted, unless the request says otherwise.
    pub accept: &'static str,
    /// Further headers of every request.
    pub headers: &'static [(&'static str, &'static str)],
}

/// The connection to one forge.
pub struct Http {
    client: Client,
    api: ApiAddress,
    manners: &'static Manners,
    reading: Credential,
    /// For calls that change something; without one, those use the other.
    changing: Option<Credential>,
    tags: Mutex<Tags>,
    phases: Phases,
    clock: Clock,
}

struct Credential {
    name: &'static str,
    token: Option<SecretString>,
    budget: Mutex<Budget>,
}

/// A successful answer.
pub struct Answer {
    /// The body, complete.
    pub body: Vec<u8>,
    /// Where the list goes on.
    pub next: Option<Url>,
}

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client for the forge")]
pub struct NoClient(#[source] reqwest::Error);

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Http({})", self.api.url())
    }
}

impl Http {
    pub fn new(
        api: ApiAddress,
        manners: &'static Manners,
        token: Option<SecretString>,
        merge_token: Option<SecretString>,
        phases: Phases,
        clock: Clock,
    ) -> Result<Self, NoClient> {
        let mut builder = Client::builder()
            .user_agent(concat!("nixfleet-server/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(phases.connect)
            .no_gzip();
        if api.is_this_machine() {
            builder = builder.no_proxy();
        }
        if !api.is_configured() {
            builder = builder.dns_resolver(PublicOnly);
        }
        let credential = |name, token| Credential {
            name,
            token,
            budget: Mutex::default(),
        };
        Ok(Self {
            client: builder.build().map_err(NoClient)?,
            api,
            manners,
            reading: credential("reading", token),
            changing: merge_token.map(|token| credential("changing", Some(token))),
            tags: Mutex::default(),
            phases,
            clock,
        })
    }

    /// The address of something below the API.
    pub fn at(&self, parts: &[&str], query: &[(&str, &str)]) -> Url {
        self.api.at(parts, query)
    }

    /// The address of the API.
    pub fn api(&self) -> &Url {
        self.api.url()
    }

    /// Asks for something, conditionally if an earlier answer had a tag.
    pub async fn get(&self, url: Url, most: usize, purpose: Purpose) -> Result<Answer, Fault> {
        let end = Instant::now() + self.phases.whole;
        let mut at = url;
        for _ in 0..=MOST_REDIRECTS {
            match self.get_once(&at, most, purpose, end).await? {
                Got::Answer(answer) => return Ok(answer),
                Got::Elsewhere(to) => at = to,
            }
        }
        Err(Fault::Redirected("too many redirects".to_owned()))
    }

    /// The same, read as JSON.
    pub async fn get_json<T: DeserializeOwned>(
        &self,
        url: Url,
        most: usize,
        purpose: Purpose,
    ) -> Result<T, Fault> {
        let answer = self.get(url.clone(), most, purpose).await?;
        // What cannot be used must not come back under its tag.
        from_json(&answer.body).inspect_err(|_| lock(&self.tags).forget(&url, self.reading.name))
    }

    /// Asks for something to be changed: once, whatever comes of it. The answer is read without
    /// judging its content.
    pub async fn change(
        &self,
        method: Method,
        url: Url,
        body: &Value,
        most: usize,
    ) -> Result<Answer, Fault> {
        let credential = self.changing.as_ref().unwrap_or(&self.reading);
        self.take_turn(credential, Purpose::Change).await?;
        let request = self.client.request(method, url.clone());
        let request = self.dress(request, credential).json(body);
        let end = Instant::now() + self.phases.whole;
        let response = self.send(request, end).await?;
        let (status, head) = (response.status(), response.headers().clone());
        if status.is_redirection() {
            self.note(credential, status, &head, "");
            let to = text_of(&head, &LOCATION).unwrap_or_default();
            let why = match self.api.redirect(&url, to) {
                Redirect::Follow(_) => "the forge redirects; a change is not sent elsewhere",
                Redirect::Refuse(why) => why,
            };
            return Err(Fault::Redirected(why.to_owned()));
        }
        let body = self.body(response, most, end).await;
        if status.is_success() {
            self.note(credential, status, &head, "");
            return Ok(Answer {
                body: body?,
                next: None,
            });
        }
        // The status of a refusal counts, even if the rest of it is unreadable.
        let body = body.unwrap_or_default();
        Err(self.refusal(credential, status, &head, &body))
    }

    async fn get_once(
        &self,
        url: &Url,
        most: usize,
        purpose: Purpose,
        end: Instant,
    ) -> Result<Got, Fault> {
        if !self.api.covers(url) {
            let why = "an address outside the API is not asked";
            return Err(Fault::Redirected(why.to_owned()));
        }
        let credential = &self.reading;
        self.take_turn(credential, purpose).await?;
        let known = lock(&self.tags).get(url, credential.name);
        let mut request = self.dress(self.client.get(url.clone()), credential);
        if let Some(known) = &known {
            request = request.header(IF_NONE_MATCH, known.tag.clone());
        }
        let response = self.send(request, end).await?;
        let (status, head) = (response.status(), response.headers().clone());
        if status == StatusCode::NOT_MODIFIED {
            self.note(credential, status, &head, "");
            let known = known.ok_or_else(|| Fault::malformed("304, but nothing was known"))?;
            return Ok(Got::Answer(Answer {
                body: known.body,
                next: known.next,
            }));
        }
        if status.is_redirection() {
            self.note(credential, status, &head, "");
            let to = text_of(&head, &LOCATION).unwrap_or_default();
            return match self.api.redirect(url, to) {
                Redirect::Follow(to) => Ok(Got::Elsewhere(to)),
                Redirect::Refuse(why) => Err(Fault::Redirected(why.to_owned())),
            };
        }
        let body = self.body(response, most, end).await;
        if status != StatusCode::OK {
            let body = body.unwrap_or_default();
            return Err(self.refusal(credential, status, &head, &body));
        }
        self.note(credential, status, &head, "");
        let body = body?;
        let next = self.next_page(&head)?;
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
        if let Some(tag) = head.get(ETAG).filter(|_| is_json) {
            let tagged = Tagged {
                tag: tag.clone(),
                body: body.clone(),
                next: next.clone(),
            };
            lock(&self.tags).put(url, credential.name, tagged);
        }
        Ok(Got::Answer(Answer { body, next }))
    }

    async fn take_turn(&self, credential: &Credential, purpose: Purpose) -> Result<(), Fault> {
        for _ in 0..MOST_TURNS {
            let admission = lock(&credential.budget).admit(self.clock.now(), purpose);
            match admission {
                Admission::Now => return Ok(()),
                Admission::Soon(wait) => tokio::time::sleep(wait).await,
                Admission::NotBefore(until, why) => {
                    let polling_only = false;
                    return Err(Fault::TooEarly {
                        until,
                        why,
                        polling_only,
                    });
                }
                Admission::KeptBack(until, why) => {
                    let polling_only = true;
                    return Err(Fault::TooEarly {
                        until,
                        why,
                        polling_only,
                    });
                }
            }
        }
        Err(Fault::TooEarly {
            until: self.clock.now() + super::budget::BETWEEN_CHANGES,
            why: "other changes are under way",
            polling_only: false,
        })
    }

    fn dress(
        &self,
        mut request: reqwest::RequestBuilder,
        credential: &Credential,
    ) -> reqwest::RequestBuilder {
        request = request.header(ACCEPT, self.manners.accept);
        for (name, value) in self.manners.headers {
            request = request.header(*name, *value);
        }
        let Some(token) = &credential.token else {
            return request;
        };
        let text = format!("{} {}", self.manners.scheme, token.expose_secret());
        match HeaderValue::from_str(&text) {
            Ok(mut value) => {
                value.set_sensitive(true);
                request.header(AUTHORIZATION, value)
            }
            // Tokens are checked when the configuration is read; without one the forge says 401.
            Err(_) => request,
        }
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        end: Instant,
    ) -> Result<reqwest::Response, Fault> {
        let by = end.min(Instant::now() + self.phases.connect + self.phases.answer);
        match timeout_at(by, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() || error.is_builder() => {
                Err(Fault::NoConnection {
                    timed_out: error.is_timeout(),
                    why: self.explain(error),
                })
            }
            Ok(Err(error)) if error.is_timeout() => Err(Fault::TimedOut("no answer came")),
            Ok(Err(error)) => Err(Fault::BrokenOff(self.explain(error))),
            Err(_) => Err(Fault::TimedOut("no answer came")),
        }
    }

    async fn body(
        &self,
        mut response: reqwest::Response,
        most: usize,
        end: Instant,
    ) -> Result<Vec<u8>, Fault> {
        let too_much = || Fault::malformed(format!("it has more than {most} bytes"));
        if response
            .content_length()
            .is_some_and(|length| length > most as u64)
        {
            return Err(too_much());
        }
        let mut body = Vec::new();
        loop {
            let piece = timeout(self.phases.silence, response.chunk());
            let piece = match timeout_at(end, piece).await {
                Ok(Ok(Ok(piece))) => piece,
                Ok(Ok(Err(error))) => return Err(Fault::BrokenOff(self.explain(error))),
                Ok(Err(_)) => return Err(Fault::TimedOut("the answer stopped half-way")),
                Err(_) => return Err(Fault::TimedOut("the answer took too long")),
            };
            let Some(piece) = piece else { break };
            if body.len() + piece.len() > most {
                return Err(too_much());
            }
            body.extend_from_slice(&piece);
        }
        if self.holds_a_token(&body) {
            return Err(Fault::malformed("it repeats the token it was sent"));
        }
        Ok(body)
    }

    /// What a status that is no success means. A refusal because of a limit is told apart from one
    /// because of permissions (law E6).
    fn refusal(
        &self,
        credential: &Credential,
        status: StatusCode,
        head: &HeaderMap,
        body: &[u8],
    ) -> Fault {
        let said = message(body);
        match self.note(credential, status, head, &said) {
            Some(until) => Fault::Limited {
                status: status.as_u16(),
                until,
            },
            None => Fault::Status {
                status: status.as_u16(),
                said,
            },
        }
    }

    /// Takes in what an answer says about limits; answers until when, if it was refused for one.
    fn note(
        &self,
        credential: &Credential,
        status: StatusCode,
        head: &HeaderMap,
        said: &str,
    ) -> Option<Timestamp> {
        let now = self.clock.now();
        let authorised = credential.token.is_some();
        let mut words = rate_words(head, now);
        words.counted = !(authorised && status == StatusCode::NOT_MODIFIED);
        let lower = said.to_lowercase();
        let limiting = status == StatusCode::TOO_MANY_REQUESTS
            || (status == StatusCode::FORBIDDEN
                && (words.remaining == Some(0)
                    || words.retry_after.is_some()
                    || lower.contains("rate limit")
                    || lower.contains("abuse detection")));
        words.refused = limiting;
        // A server that is overloaded may also name a moment.
        let named = words.retry_after.is_some();
        let until = lock(&credential.budget).note(now, &words);
        if named || limiting {
            // Such limits are for the account and the address, not for one token.
            for other in [Some(&self.reading), self.changing.as_ref()]
                .into_iter()
                .flatten()
            {
                if !std::ptr::eq(other, credential) && words.retry_after.is_some() {
                    let only_wait = RateWords {
                        retry_after: words.retry_after,
                        ..RateWords::default()
                    };
                    lock(&other.budget).note(now, &only_wait);
                }
            }
        }
        until.filter(|_| limiting)
    }

    fn next_page(&self, head: &HeaderMap) -> Result<Option<Url>, Fault> {
        let Some(text) = text_of(head, &LINK) else {
            return Ok(None);
        };
        let Some(next) = next_link(text) else {
            return Ok(None);
        };
        match Url::parse(next) {
            Ok(url) if self.api.covers(&url) => Ok(Some(url)),
            Ok(_) | Err(_) => Err(Fault::malformed("its list goes on outside the API")),
        }
    }

    fn holds_a_token(&self, body: &[u8]) -> bool {
        [Some(&self.reading), self.changing.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(|credential| credential.token.as_ref())
            .map(|token| token.expose_secret().as_bytes())
            .filter(|token| token.len() >= 8)
            .any(|token| body.windows(token.len()).any(|part| part == token))
    }

    /// The causes of an error, without the address.
    fn explain(&self, error: reqwest::Error) -> String {
        let error = error.without_url();
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            text = format!("{text}: {inner}");
            source = inner.source();
        }
        one_line(&text, MOST_SAID)
    }
}

enum Got {
    Answer(Answer),
    Elsewhere(Url),
}

/// Reads JSON, and says what is wrong with it without repeating it.
pub fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        if body.trim_ascii_start().starts_with(b"<") {
            return Fault::malformed("it is HTML, not JSON");
        }
        Fault::malformed(one_line(&format!("unexpected JSON: {error}"), MOST_SAID))
    })
}

/// One line of text without control characters, cut at `most` characters.
pub fn one_line(text: &str, most: usize) -> String {
    let cleaned = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(most);
    cleaned.collect::<String>().trim().to_owned()
}

/// What the forge says in a refusal: the `message` of its JSON, with the details of `errors`.
fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Said {
        message: Option<String>,
        #[serde(default)]
        errors: Value,
    }
    let Ok(said) = serde_json::from_slice::<Said>(body) else {
        return "without a reason that can be read".to_owned();
    };
    let mut text = said.message.unwrap_or_default();
    for error in said.errors.as_array().into_iter().flatten() {
        let detail = error.get("message").unwrap_or(error).as_str();
        if let Some(detail) = detail {
            text = format!("{text}; {detail}");
        }
    }
    one_line(&text, MOST_SAID)
}

fn text_of<'a>(head: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    head.get(name)?.to_str().ok()
}

fn rate_words(head: &HeaderMap, now: Timestamp) -> RateWords {
    let number = |name: &str| head.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let date = text_of(head, &DATE).and_then(http_date);
    let there = date.unwrap_or(now);
    let until = |moment: Timestamp| moment.since(there);
    let retry_after = text_of(head, &RETRY_AFTER).and_then(|text| {
        let seconds = text.trim().parse().ok().map(Duration::from_secs);
        seconds.or_else(|| http_date(text).map(until))
    });
    let reset = number("x-ratelimit-reset").and_then(|seconds| i64::try_from(seconds).ok());
    RateWords {
        retry_after,
        limit: number("x-ratelimit-limit"),
        remaining: number("x-ratelimit-remaining"),
        reset_in: reset.map(|seconds| until(Timestamp::from_seconds(seconds))),
        refused: false,
        counted: true,
    }
}

fn http_date(text: &str) -> Option<Timestamp> {
    let moment = httpdate::parse_http_date(text.trim()).ok()?;
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::EPOCH + since)
}

/// The address marked `rel="next"` in a `Link` header.
fn next_link(text: &str) -> Option<&str> {
    text.split(',').find_map(|link| {
        let (address, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = rest
            .split(';')
            .any(|part| matches!(part.trim(), "rel=\"next\"" | "rel=next"));
        next.then_some(address)
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Resolves names to public addresses only: for an address that nobody configured.
#[derive(Debug)]
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|found| is_public(found.ip())).collect();
            if public.is_empty() {
                return Err("the name leads to a private address only".into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_the_links() {
        let text = r#"<https://x/a?page=1>; rel="prev", <https://x/a?page=3>; rel="next", <https://x/a?page=9>; rel="last""#;
        assert_eq!(next_link(text), Some("https://x/a?page=3"));
        for none in [
            "",
            "<https://x>",
            "https://x; rel=\"next\"",
            "<https://x>; rel=\"last\"",
        ] {
            assert_eq!(next_link(none), None, "{none}");
        }
    }

    #[test]
    fn limits_are_told_by_the_clock_of_the_forge() {
        let mut head = HeaderMap::new();
        let date = HeaderValue::from_static("Fri, 20 Nov 2026 12:00:00 GMT");
        head.insert(DATE, date);
        let there = Timestamp::parse_rfc3339("2026-11-20T12:00:00Z").unwrap();
        let reset = there.as_millis() / 1000 + 90;
        head.insert("x-ratelimit-reset", HeaderValue::from(reset));
        head.insert(
            RETRY_AFTER,
            HeaderValue::from_static("Fri, 20 Nov 2026 12:00:30 GMT"),
        );
        // Our own clock is years off; what is left of the wait is the same.
        let words = rate_words(&head, Timestamp::EPOCH);
        assert_eq!(words.reset_in, Some(Duration::from_secs(90)));
        assert_eq!(words.retry_after, Some(Duration::from_secs(30)));
        head.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        assert_eq!(
            rate_words(&head, there).retry_after,
            Some(Duration::from_secs(7))
        );
    }

    #[test]
    fn a_refusal_says_its_reasons_on_one_line() {
        let body = br#"{"message":"Validation\nFailed","errors":[{"message":"No commits"},"x",7]}"#;
        assert_eq!(message(body), "Validation Failed; No commits; x");
        assert_eq!(message(b"<html>"), "without a reason that can be read");
    }
}
