//! One request to a forge and its answer: bounded in time and size, conditional where possible,
//! within the quota, to the one configured address. Nothing here knows what is asked.

mod exchange;
mod quota;
mod text;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nixfleet_core::Timestamp;
use nixfleet_core::credential::Credential as Kind;
use reqwest::header::{ETAG, HeaderMap, IF_NONE_MATCH, LINK, LOCATION};
use reqwest::{Client, Method, StatusCode, redirect};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

pub use text::{from_json, one_line, plain_name};

use super::address::{ApiAddress, Redirect};
use super::budget::{Budget, Purpose};
use super::fault::Fault;
use super::memory::Memory;
use super::tags::{Tagged, Tags};
use crate::clock::Clock;
use exchange::PublicOnly;
use text::{next_link, text_of};

const MOST_REDIRECTS: usize = 3;
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
    memory: Memory,
    tags: Mutex<Tags>,
    phases: Phases,
    clock: Clock,
}

struct Credential {
    name: &'static str,
    token: Option<SecretString>,
    kind: Kind,
    /// The name of its budget in the store.
    key: String,
    budget: Mutex<Budget>,
    /// What was told last of when it ends.
    ends: Mutex<Option<Option<Timestamp>>>,
}

/// What opens a forge.
#[derive(Default)]
pub struct Tokens {
    /// For reading.
    pub reading: Option<SecretString>,
    /// For changes; without one, those use the other.
    pub changing: Option<SecretString>,
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
        tokens: Tokens,
        phases: Phases,
        clock: Clock,
        memory: Memory,
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
        let shown = api.url().to_string();
        let credential = |name, token, kind| {
            let key = format!("{name} {shown}");
            let budget = memory.budgets.get(&key).cloned().unwrap_or_default();
            Credential {
                name,
                token,
                kind,
                key,
                budget: Mutex::new(Budget::restore(budget, clock.now())),
                ends: Mutex::default(),
            }
        };
        let reading = credential("reading", tokens.reading, Kind::ForgeReading);
        let changing = tokens
            .changing
            .map(|token| credential("changing", Some(token), Kind::ForgeChanging));
        let http = Self {
            client: builder.build().map_err(NoClient)?,
            api,
            manners,
            reading,
            changing,
            memory,
            tags: Mutex::default(),
            phases,
            clock,
        };
        http.forget_ends();
        Ok(http)
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
            let got = self.get_once(&self.reading, &at, most, purpose, end).await;
            self.keep_budgets().await;
            match got? {
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
        from_json(&answer.body).inspect_err(|_| self.forget(&url))
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
        let answer = self.change_once(method, url, body, most).await;
        self.keep_budgets().await;
        answer
    }

    /// Asks for an address anew next time: what it answered was of no use.
    pub fn forget(&self, url: &Url) {
        lock(&self.tags).forget(url, self.reading.name);
    }

    async fn change_once(
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
        // Before its body, which may take its time: what the head says is of now.
        let at = self.clock.now();
        let (status, head) = (response.status(), response.headers().clone());
        if status.is_redirection() {
            self.note(credential, at, status, &head, "");
            let to = text_of(&head, &LOCATION).unwrap_or_default();
            let why = match self.api.redirect(&url, to) {
                Redirect::Follow(_) => "the forge redirects; a change is not sent elsewhere",
                Redirect::Refuse(why) => why,
            };
            return Err(Fault::Redirected(why.to_owned()));
        }
        let body = self.body(response, most, end).await;
        if status.is_success() {
            self.note(credential, at, status, &head, "");
            return Ok(Answer {
                body: body?,
                next: None,
            });
        }
        // The status of a refusal counts, even if the rest of it is unreadable.
        let body = body.unwrap_or_default();
        Err(self.refusal(credential, at, status, &head, &body))
    }

    /// Asks for something with the token for changes, if there is one: only to see what the forge
    /// says of it.
    pub async fn try_changing(&self, url: Url, most: usize) -> Result<(), Fault> {
        let Some(credential) = &self.changing else {
            return Ok(());
        };
        let end = Instant::now() + self.phases.whole;
        let got = self
            .get_once(credential, &url, most, Purpose::Polling, end)
            .await;
        self.keep_budgets().await;
        got.map(|_| ())
    }

    async fn get_once(
        &self,
        credential: &Credential,
        url: &Url,
        most: usize,
        purpose: Purpose,
        end: Instant,
    ) -> Result<Got, Fault> {
        if !self.api.covers(url) {
            let why = "an address outside the API is not asked";
            return Err(Fault::Redirected(why.to_owned()));
        }
        self.take_turn(credential, purpose).await?;
        let known = lock(&self.tags).get(url, credential.name);
        let mut request = self.dress(self.client.get(url.clone()), credential);
        if let Some(known) = &known {
            request = request.header(IF_NONE_MATCH, known.tag.clone());
        }
        let response = self.send(request, end).await?;
        // Before its body, which may take its time: what the head says is of now.
        let at = self.clock.now();
        let (status, head) = (response.status(), response.headers().clone());
        if status == StatusCode::NOT_MODIFIED {
            self.note(credential, at, status, &head, "");
            let known = known.ok_or_else(|| Fault::malformed("304, but nothing was known"))?;
            return Ok(Got::Answer(Answer {
                body: known.body,
                next: known.next,
            }));
        }
        if status.is_redirection() {
            self.note(credential, at, status, &head, "");
            let to = text_of(&head, &LOCATION).unwrap_or_default();
            return match self.api.redirect(url, to) {
                Redirect::Follow(to) => Ok(Got::Elsewhere(to)),
                Redirect::Refuse(why) => Err(Fault::Redirected(why.to_owned())),
            };
        }
        let body = self.body(response, most, end).await;
        if status != StatusCode::OK {
            let body = body.unwrap_or_default();
            return Err(self.refusal(credential, at, status, &head, &body));
        }
        self.note(credential, at, status, &head, "");
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
}

enum Got {
    Answer(Answer),
    Elsewhere(Url),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
