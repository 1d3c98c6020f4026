//! What can go wrong with an answer, as scripts.

use std::time::Duration;

use serde_json::json;

use super::http::Answer;

/// One answer that goes wrong.
#[derive(Clone, Debug, Default)]
pub struct Fault {
    /// Whether the request is carried out nevertheless.
    pub performed: bool,
    /// What is answered instead of what would have been.
    pub instead: Option<Answer>,
    /// Headers added to the answer.
    pub headers: Vec<(String, String)>,
    /// How the answer is cut.
    pub cut: Option<Cut>,
}

/// How an answer is cut.
#[derive(Clone, Debug)]
pub enum Cut {
    /// The connection is reset before anything is sent.
    Reset,
    /// The connection is closed before anything is sent.
    Close,
    /// Half of the head.
    HalfHead,
    /// Half of the body.
    HalfBody,
    /// Nothing until the fake lets go.
    StallBeforeHead,
    /// Only the head until the fake lets go.
    StallAfterHead,
    /// Half of the body until the fake lets go.
    StallInBody,
    /// One byte at a time.
    Drip(Duration),
    /// 100 MiB, with or without saying so before.
    Huge {
        /// Whether the length is declared.
        declared: bool,
    },
}

impl Fault {
    /// A status with a message, as the forge writes it.
    #[must_use]
    pub fn status(status: u16, message: &str) -> Self {
        Self::answer(Answer::json(status, &json!({ "message": message })))
    }

    /// Another answer.
    #[must_use]
    pub fn answer(answer: Answer) -> Self {
        Self {
            instead: Some(answer),
            ..Self::default()
        }
    }

    /// A success with another body.
    #[must_use]
    pub fn body(body: impl Into<Vec<u8>>) -> Self {
        Self::answer(Answer {
            status: 200,
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.into(),
        })
    }

    /// The real answer, cut.
    #[must_use]
    pub fn cut(cut: Cut) -> Self {
        Self {
            cut: Some(cut),
            ..Self::default()
        }
    }

    /// 401.
    #[must_use]
    pub fn bad_credentials() -> Self {
        Self::status(401, "Bad credentials")
    }

    /// 403 because the token may not.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::status(403, "Resource not accessible by personal access token")
    }

    /// 403 because the quota is used up until `reset` (seconds since 1970).
    #[must_use]
    pub fn quota_used_up(reset: i64) -> Self {
        Self::status(403, "API rate limit exceeded for installation ID 1.")
            .with("x-ratelimit-limit", "5000")
            .with("x-ratelimit-remaining", "0")
            .with("x-ratelimit-reset", &reset.to_string())
    }

    /// 403 because of too many requests at a time, with the time to wait.
    #[must_use]
    pub fn secondary_limit(seconds: u64) -> Self {
        Self::status(403, "You have exceeded a secondary rate limit.")
            .with("retry-after", &seconds.to_string())
    }

    /// 429 without a word about when.
    #[must_use]
    pub fn too_many() -> Self {
        Self::status(429, "Too many requests")
    }

    /// A redirect.
    #[must_use]
    pub fn redirect(status: u16, to: &str) -> Self {
        Self::status(status, "Moved").with("location", to)
    }

    /// A page for people, with status 200.
    #[must_use]
    pub fn html() -> Self {
        Self::answer(Answer {
            status: 200,
            headers: vec![("content-type".into(), "text/html".into())],
            body: b"<!DOCTYPE html><html><body>Sign in</body></html>".to_vec(),
        })
    }

    /// The same with another header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        match &mut self.instead {
            Some(answer) => answer.headers.push((name.to_owned(), value.to_owned())),
            None => self.headers.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// The same, cut.
    #[must_use]
    pub fn and_cut(mut self, cut: Cut) -> Self {
        self.cut = Some(cut);
        self
    }

    /// The same, but the request is carried out: only the answer goes wrong.
    #[must_use]
    pub fn but_done(mut self) -> Self {
        self.performed = true;
        self
    }
}
