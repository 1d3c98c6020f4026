//! One request on its way, and the body of its answer: bounded in time and size, and no token
//! where it does not belong (law E8).

use std::error::Error as _;
use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout, timeout_at};

use super::super::address::is_public;
use super::super::fault::Fault;
use super::text::one_line;
use super::{Credential, Http, MOST_SAID};

impl Http {
    pub(super) fn dress(
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

    pub(super) async fn send(
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

    pub(super) async fn body(
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

/// Resolves names to public addresses only: for an address that nobody configured.
#[derive(Debug)]
pub(super) struct PublicOnly;

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
