//! The HTTP API, as a client sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE, ORIGIN, SET_COOKIE};
use http::{Method, StatusCode};
use nixfleet_core::{CommandId, CommitId, Compartment, HostId, Op, Status};
use serde_json::{Value, json};

use super::error::{DemoError, DemoResult};
use super::rows::Row;

const PATIENCE: Duration = Duration::from_secs(20);

/// A client of one server, with a credential or without.
#[derive(Clone, Debug)]
pub struct Api {
    origin: String,
    http: reqwest::Client,
    credential: Credential,
}

#[derive(Clone, Debug)]
enum Credential {
    None,
    Token(String),
    Session(String),
}

/// An answer of the server.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The JSON body; null if there was none.
    pub body: Value,
}

/// What a dispatch led to on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dispatched {
    /// A command was made.
    Started(CommandId),
    /// A rule said no.
    Refused {
        /// The stable code.
        code: String,
        /// The sentence.
        message: String,
    },
}

impl Api {
    /// A client without a credential; `origin` is like `http://127.0.0.1:8000`.
    ///
    /// # Errors
    /// [`DemoError::Answer`] if no client can be made.
    pub fn new(origin: &str) -> DemoResult<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            // A kept connection may be one that the server has given up, or that died with it.
            .pool_max_idle_per_host(0)
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| wrong(origin, &chain(&error)))?;
        Ok(Self {
            origin: origin.to_owned(),
            http,
            credential: Credential::None,
        })
    }

    /// The same with an API token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            credential: Credential::Token(token.to_owned()),
            ..self.clone()
        }
    }

    /// Logs in; the answer holds the session.
    ///
    /// # Errors
    /// [`DemoError::Answer`].
    pub async fn log_in(&self, password: &str) -> DemoResult<Self> {
        let body = json!({ "password": password });
        let response = self.send(Method::POST, "/login", Some(&body)).await?;
        let cookie = response
            .headers()
            .get(SET_COOKIE)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.split(';').next())
            .ok_or_else(|| {
                wrong(
                    "POST /login",
                    &format!("no session ({})", response.status()),
                )
            })?;
        Ok(Self {
            credential: Credential::Session(cookie.to_owned()),
            ..self.clone()
        })
    }

    /// The origin of the server.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The `Cookie` header, if this client has a session.
    #[must_use]
    pub fn cookie(&self) -> Option<&str> {
        match &self.credential {
            Credential::Session(cookie) => Some(cookie),
            Credential::None | Credential::Token(_) => None,
        }
    }

    /// Any request, any answer.
    ///
    /// # Errors
    /// [`DemoError::Answer`] if there is no answer.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> DemoResult<Answer> {
        let response = self.send(method, path, body).await?;
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        Ok(Answer {
            status,
            body: serde_json::from_str(&text).unwrap_or_default(),
        })
    }

    /// A body that must be there.
    ///
    /// # Errors
    /// [`DemoError::Answer`].
    pub async fn get(&self, path: &str) -> DemoResult<Value> {
        let answer = self.request(Method::GET, path, None).await?;
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        Err(answer.unexpected(&format!("GET {path}")))
    }

    /// The five statuses of every host, by its name.
    ///
    /// # Errors
    /// [`DemoError::Answer`].
    pub async fn rows(&self) -> DemoResult<BTreeMap<String, Row>> {
        let path = "/api/v1/hosts";
        let body = self.get(path).await?;
        let hosts = body.get("hosts").and_then(Value::as_array);
        let hosts = hosts.ok_or_else(|| wrong(path, &format!("no hosts in {body}")))?;
        hosts
            .iter()
            .map(|host| {
                let name = host.get("hostname").and_then(Value::as_str);
                let row = row_of(host);
                name.zip(row)
                    .map(|(name, row)| (name.to_owned(), row))
                    .ok_or_else(|| wrong(path, &format!("not a host: {host}")))
            })
            .collect()
    }

    /// Everything about one host.
    ///
    /// # Errors
    /// [`DemoError::Answer`].
    pub async fn host(&self, host: &str) -> DemoResult<Value> {
        self.get(&format!("/api/v1/hosts/{host}")).await
    }

    /// Adds a host that has not connected yet.
    ///
    /// # Errors
    /// [`DemoError::Answer`].
    pub async fn add_host(&self, host: &str) -> DemoResult<()> {
        let path = "/api/hosts";
        let body = json!({ "hostname": host });
        let answer = self.request(Method::POST, path, Some(&body)).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(answer.unexpected(&format!("POST {path}")))
    }

    /// Runs an op on hosts; one outcome for each.
    ///
    /// # Errors
    /// [`DemoError::Answer`].
    pub async fn dispatch(
        &self,
        op: Op,
        hosts: &[&str],
    ) -> DemoResult<BTreeMap<String, Dispatched>> {
        let path = "/api/v1/dispatch";
        let body = json!({ "op": op.name(), "hosts": hosts });
        let answer = self.request(Method::POST, path, Some(&body)).await?;
        let results = answer.body.get("results").and_then(Value::as_array);
        let Some(results) = results else {
            return Err(answer.unexpected(&format!("POST {path}")));
        };
        results
            .iter()
            .map(|result| {
                outcome(result).ok_or_else(|| wrong(path, &format!("not a result: {result}")))
            })
            .collect()
    }

    /// Ends the hold on a host, and the quarantine of a commit.
    ///
    /// # Errors
    /// [`DemoError::Answer`].
    pub async fn forgive(&self, host: &str, commit: CommitId) -> DemoResult<()> {
        let lift = json!({ "commit": commit.to_string(), "reason": "the host is good again" });
        for (path, body) in [
            (format!("/api/v1/hosts/{host}/release"), None),
            ("/api/v1/quarantine/lift".to_owned(), Some(&lift)),
        ] {
            let answer = self.request(Method::POST, &path, body).await?;
            if !answer.status.is_success() {
                return Err(answer.unexpected(&format!("POST {path}")));
            }
        }
        Ok(())
    }

    /// Stops what runs on a host.
    ///
    /// # Errors
    /// [`DemoError::Answer`].
    pub async fn stop(&self, host: &str) -> DemoResult<()> {
        let path = format!("/api/v1/hosts/{host}/stop");
        let answer = self.request(Method::POST, &path, Some(&json!({}))).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(answer.unexpected(&format!("POST {path}")))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> DemoResult<reqwest::Response> {
        let name = format!("{method} {path}");
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.origin))
            .header(ORIGIN, &self.origin);
        request = match &self.credential {
            Credential::None => request,
            Credential::Token(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            Credential::Session(cookie) => request.header(COOKIE, cookie),
        };
        if let Some(body) = body {
            request = request.json(body);
        }
        request
            .send()
            .await
            .map_err(|error| wrong(&name, &chain(&error)))
    }
}

impl Answer {
    /// The error that says that this is not the answer that was wanted.
    #[must_use]
    pub fn unexpected(&self, request: &str) -> DemoError {
        wrong(request, &format!("{} {}", self.status, self.body))
    }

    /// The stable code of a problem document.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body
            .get("code")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

fn wrong(request: &str, problem: &str) -> DemoError {
    DemoError::Answer {
        request: request.to_owned(),
        problem: problem.to_owned(),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn row_of(host: &Value) -> Option<Row> {
    let compartments = host.get("compartments")?;
    let mut row = [Status::Unknown; 5];
    for (slot, compartment) in row.iter_mut().zip(Compartment::ALL) {
        let status = compartments.get(compartment.name())?.get("status")?;
        *slot = serde_json::from_value(status.clone()).ok()?;
    }
    Some(Row(row))
}

fn outcome(result: &Value) -> Option<(String, Dispatched)> {
    let text = |name| result.get(name).and_then(Value::as_str);
    let host: HostId = text("host")?.parse().ok()?;
    let outcome = match text("command_id") {
        Some(id) => Dispatched::Started(id.parse().ok()?),
        None => Dispatched::Refused {
            code: text("code")?.to_owned(),
            message: text("message").unwrap_or_default().to_owned(),
        },
    };
    Some((host.to_string(), outcome))
}
