//! Why there is no connection, in words that say what to do.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;

use crate::config::ServerUrl;

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name of the server has no address.
    #[error("the name in {url} has no address ({cause}); correct NIXFLEET_URL or the name service")]
    NoAddress {
        /// The server.
        url: ServerUrl,
        /// What the resolver said.
        cause: String,
    },
    /// Nobody listens there.
    #[error(
        "nothing listens at {url} (connection refused); start the server, open its port or correct NIXFLEET_URL"
    )]
    Refused {
        /// The server.
        url: ServerUrl,
    },
    /// The certificate is not accepted, or the two sides do not agree on TLS.
    #[error(
        "no secure connection to {url} ({cause}); if the server's certificate is signed by an authority of your own, set NIXFLEET_CA_FILE to it. Looked at: NIXFLEET_CA_FILE, SSL_CERT_FILE, SSL_CERT_DIR, NIX_SSL_CERT_FILE and the system's store"
    )]
    Tls {
        /// The server.
        url: ServerUrl,
        /// What is wrong.
        cause: String,
    },
    /// It took too long.
    #[error("{url} did not answer within {} s; check the network, the firewall and the proxy", .limit.as_secs())]
    TimedOut {
        /// The server.
        url: ServerUrl,
        /// How long was waited.
        limit: Duration,
    },
    /// Something else on the way there.
    #[error("{url} cannot be reached: {cause}")]
    Unreachable {
        /// The server.
        url: ServerUrl,
        /// The chain of causes.
        cause: String,
    },
    /// 401.
    #[error(
        "the server at {url} refused the token of this host (401){said}; create a token for this host on the server and put it into NIXFLEET_TOKEN_FILE"
    )]
    WrongToken {
        /// The server.
        url: ServerUrl,
        /// What it said.
        said: Said,
    },
    /// 403.
    #[error("the server at {url} does not let this host in (403){said}")]
    Forbidden {
        /// The server.
        url: ServerUrl,
        /// What it said.
        said: Said,
    },
    /// 429 or 5xx.
    #[error("the server at {url} cannot take the connection now ({status}){said}")]
    Busy {
        /// The server.
        url: ServerUrl,
        /// Its answer.
        status: StatusCode,
        /// What it said.
        said: Said,
    },
    /// 3xx.
    #[error(
        "{url} redirects to {to}; set NIXFLEET_URL to the address of the NixFleet server itself"
    )]
    Redirected {
        /// The asked one.
        url: ServerUrl,
        /// Where to.
        to: String,
    },
    /// Any other answer.
    #[error(
        "there is no NixFleet server at {url}: it answered {status}{said}. Correct NIXFLEET_URL, or let the proxy in front of it pass WebSocket upgrades"
    )]
    NotNixFleet {
        /// The address.
        url: ServerUrl,
        /// Its answer.
        status: StatusCode,
        /// What it said.
        said: Said,
    },
    /// 101 without the proof of a WebSocket.
    #[error("{url} accepted the upgrade but does not speak WebSocket; correct NIXFLEET_URL")]
    NotWebSocket {
        /// The address.
        url: ServerUrl,
    },
    /// The authority's file cannot be used.
    #[error("the certificate authority {} cannot be used: {why}; correct NIXFLEET_CA_FILE", .path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The token cannot be sent at all.
    #[error("the token cannot be sent: it is no visible ASCII text")]
    Token,
}

/// Why a connection ended, or never began.
#[derive(Debug, thiserror::Error)]
pub enum LinkEnd {
    /// It could not be made.
    #[error(transparent)]
    NotConnected(ConnectError),
    /// The server said goodbye.
    #[error("the server closed the connection{}", close_text(*.code, .reason))]
    ClosedByServer {
        /// Its code, if it gave one.
        code: Option<u16>,
        /// Its reason.
        reason: String,
    },
    /// Nothing came for [`DEAD_AFTER`](super::DEAD_AFTER).
    #[error("the server was silent for {} s", super::DEAD_AFTER.as_secs())]
    Silent,
    /// It broke.
    #[error("the connection broke: {0}")]
    Lost(String),
    /// We closed it.
    #[error("closed by this agent")]
    Ours,
}

fn close_text(code: Option<u16>, reason: &str) -> String {
    let code = code
        .map(|code| format!(" (code {code})"))
        .unwrap_or_default();
    if reason.is_empty() {
        return code;
    }
    format!("{code}: {reason}")
}

/// The server's own words, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said(String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, ": {:?}", self.0)
    }
}

impl ConnectError {
    pub(super) fn unreachable(url: &ServerUrl, source: reqwest::Error) -> Self {
        let url = url.clone();
        let cause = chain(&source.without_url());
        let is = |marks: &[&str]| {
            let text = cause.to_lowercase();
            marks.iter().any(|mark| text.contains(mark))
        };
        // The causes are private types of several crates, so their words have to do.
        if is(&["dns error", "failed to lookup address"]) {
            return ConnectError::NoAddress { url, cause };
        }
        if is(&["connection refused"]) {
            return ConnectError::Refused { url };
        }
        if is(&[
            "certificate",
            "tls",
            "handshake",
            "corrupt message",
            "unknownissuer",
        ]) {
            return ConnectError::Tls { url, cause };
        }
        ConnectError::Unreachable { url, cause }
    }

    pub(super) async fn refused(url: &ServerUrl, response: reqwest::Response) -> Self {
        let url = url.clone();
        let status = response.status();
        if status.is_redirection() {
            let to = response.headers().get(http::header::LOCATION);
            let to = to.and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
            return ConnectError::Redirected {
                url,
                to: printable(to),
            };
        }
        let said = said(response).await;
        match status {
            StatusCode::UNAUTHORIZED => ConnectError::WrongToken { url, said },
            StatusCode::FORBIDDEN => ConnectError::Forbidden { url, said },
            StatusCode::TOO_MANY_REQUESTS => ConnectError::Busy { url, status, said },
            status if status.is_server_error() => ConnectError::Busy { url, status, said },
            status => ConnectError::NotNixFleet { url, status, said },
        }
    }
}

/// What an answer says to people: the detail of a problem document, or a short plain text.
async fn said(mut response: reqwest::Response) -> Said {
    let kind = response.headers().get(http::header::CONTENT_TYPE);
    let kind = kind
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let mut body = Vec::new();
    while body.len() < 16 * 1024
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    if kind.contains("json") {
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let found = ["detail", "title", "message", "error"]
            .iter()
            .find_map(|name| json.get(name)?.as_str());
        return Said(printable(found.unwrap_or_default()));
    }
    if kind.starts_with("text/plain") {
        return Said(printable(&String::from_utf8_lossy(&body)));
    }
    Said::default()
}

fn printable(text: &str) -> String {
    let text: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect();
    text
}

/// The causes of an error in one line, each said once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = cause.source();
    }
    text
}
