//! The connection to the server: one WebSocket, opened through an ordinary HTTP client so that
//! proxies, certificate stores and custom authorities work as everywhere else.
//!
//! It carries frames and tells what happened; when to connect, what to send and what a frame means
//! is decided elsewhere.

mod error;
mod outbound;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, StatusCode};
use nixfleet_core::order::{Misread, ServerOrder};
use nixfleet_core::wire::{decode_server_frame, server_order};
use reqwest::{Certificate, Client, redirect};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error as WsError, Message};

pub use error::{ConnectError, LinkEnd};
pub use outbound::{Outbound, OutputLine, Overflow};

use crate::config::ServerUrl;

/// Time between pings.
pub const PING_EVERY: Duration = Duration::from_secs(10);
/// Without any frame for so long the connection is dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(45);
/// For name lookup, TCP, TLS and the upgrade together.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// For the last frames to leave and the server's goodbye to arrive.
const FAREWELL: Duration = Duration::from_secs(2);
/// No frame of a server is larger.
const LARGEST_MESSAGE: usize = 1024 * 1024;
/// The server accepts no larger frame of an agent.
const LARGEST_SENT: usize = 512 * 1024;

/// What is needed to connect.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// The server.
    pub server: ServerUrl,
    /// What proves who we are.
    pub token: SecretString,
    /// An additional certificate authority.
    pub ca_file: Option<PathBuf>,
}

/// What happens on a connection, in order.
#[derive(Debug)]
pub enum LinkEvent {
    /// It is up.
    Opened,
    /// The server says something, or something that cannot be read.
    Order(Box<Result<ServerOrder, Misread>>),
    /// It is down, or could not be made; nothing follows.
    Ended(LinkEnd),
}

/// Opens a connection and serves it to its end, sending what is queued for its number. `tell` is
/// called with every event and may wait; the server then waits too.
pub async fn run<F, W>(settings: LinkSettings, outbound: Outbound, connection: u64, tell: F)
where
    F: Fn(LinkEvent) -> W,
    W: Future<Output = ()>,
{
    let end = match timeout(CONNECT_LIMIT, connect(&settings)).await {
        Ok(Ok(socket)) => {
            tell(LinkEvent::Opened).await;
            serve(socket, &outbound, connection, &tell).await
        }
        Ok(Err(error)) => LinkEnd::NotConnected(error),
        Err(_) => LinkEnd::NotConnected(ConnectError::TimedOut {
            url: settings.server.clone(),
            limit: CONNECT_LIMIT,
        }),
    };
    tell(LinkEvent::Ended(end)).await;
}

/// Whether the server takes this host's token: opens a connection and closes it again, without
/// registering, so that a running agent is not disturbed.
///
/// # Errors
/// [`ConnectError`].
pub async fn probe(settings: &LinkSettings) -> Result<(), ConnectError> {
    let connected = timeout(CONNECT_LIMIT, connect(settings)).await;
    let mut socket = connected.map_err(|_| ConnectError::TimedOut {
        url: settings.server.clone(),
        limit: CONNECT_LIMIT,
    })??;
    // The answer is known; how the goodbye goes changes nothing.
    let _ = timeout(CONNECT_LIMIT, socket.close(None)).await;
    Ok(())
}

async fn connect(
    settings: &LinkSettings,
) -> Result<WebSocketStream<reqwest::Upgraded>, ConnectError> {
    let url = &settings.server;
    let key = generate_key();
    let response = client(settings)?
        .get(url.http())
        .headers(upgrade_headers(settings, &key)?)
        .send()
        .await
        .map_err(|source| ConnectError::unreachable(url, source))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(ConnectError::refused(url, response).await);
    }
    let accept = response.headers().get(http::header::SEC_WEBSOCKET_ACCEPT);
    if accept.map(HeaderValue::as_bytes) != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(ConnectError::NotWebSocket { url: url.clone() });
    }
    let stream = response
        .upgrade()
        .await
        .map_err(|source| ConnectError::unreachable(url, source))?;
    Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(limits())).await)
}

fn client(settings: &LinkSettings) -> Result<Client, ConnectError> {
    let mut builder = Client::builder()
        .http1_only()
        .redirect(redirect::Policy::none())
        .user_agent(concat!("nixfleet-agent/", env!("CARGO_PKG_VERSION")))
        .tcp_keepalive(Duration::from_secs(60));
    let named = settings.ca_file.clone();
    // Nix sets its own variable where the usual one is not known.
    let by_nix = || {
        let usual = std::env::var_os("SSL_CERT_FILE");
        let file = std::env::var_os("NIX_SSL_CERT_FILE").filter(|file| !file.is_empty())?;
        usual.is_none().then(|| PathBuf::from(file))
    };
    if let Some(path) = named.or_else(by_nix) {
        let bad = |why: String| ConnectError::Authority {
            path: path.clone(),
            why,
        };
        let pem = std::fs::read(&path).map_err(|error| bad(error.to_string()))?;
        let found = Certificate::from_pem_bundle(&pem).map_err(|error| bad(error.to_string()))?;
        if found.is_empty() {
            return Err(bad("it holds no certificate in PEM form".to_owned()));
        }
        builder = builder.tls_certs_merge(found);
    }
    builder
        .build()
        .map_err(|source| ConnectError::unreachable(&settings.server, source))
}

fn upgrade_headers(settings: &LinkSettings, key: &str) -> Result<HeaderMap, ConnectError> {
    use http::header::{
        AUTHORIZATION, CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
    };
    let bearer = format!("Bearer {}", settings.token.expose_secret());
    let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| ConnectError::Token)?;
    bearer.set_sensitive(true);
    let key = HeaderValue::from_str(key).map_err(|_| ConnectError::Token)?;
    Ok(HeaderMap::from_iter([
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
        (SEC_WEBSOCKET_KEY, key),
        (AUTHORIZATION, bearer),
    ]))
}

fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(16 * 1024)
        .max_message_size(Some(LARGEST_MESSAGE))
        .max_frame_size(Some(LARGEST_MESSAGE))
}

async fn serve<S, F, W>(
    socket: WebSocketStream<S>,
    outbound: &Outbound,
    connection: u64,
    tell: &F,
) -> LinkEnd
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(LinkEvent) -> W,
    W: Future<Output = ()>,
{
    let (mut sink, mut stream) = socket.split();
    let write = async {
        let mut ping = interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let message = tokio::select! {
                text = outbound.next(connection) => match text {
                    Some(text) if text.len() > LARGEST_SENT => {
                        tracing::error!(bytes = text.len(), "a frame is larger than the server accepts; not sent");
                        continue;
                    }
                    Some(text) => Message::text(text),
                    None => break,
                },
                _ = ping.tick() => Message::Ping(Bytes::new()),
            };
            sink.send(message).await?;
        }
        let goodbye = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        sink.send(Message::Close(Some(goodbye))).await
    };
    let read = async {
        loop {
            match timeout(DEAD_AFTER, stream.next()).await {
                Err(_) => return LinkEnd::Silent,
                Ok(None) => return LinkEnd::Lost("the server ended the connection".to_owned()),
                Ok(Some(Err(error))) => return LinkEnd::of_error(&error),
                Ok(Some(Ok(Message::Text(text)))) => match decode_server_frame(&text) {
                    Ok(frame) => tell(LinkEvent::Order(Box::new(server_order(frame)))).await,
                    Err(error) => {
                        tracing::warn!(%error, "a message of the server was not understood; ignored");
                    }
                },
                Ok(Some(Ok(Message::Close(frame)))) => {
                    // Reading on sends our answer.
                    let _ = timeout(FAREWELL, stream.next()).await;
                    return LinkEnd::closed_by_server(frame.as_ref());
                }
                Ok(Some(Ok(
                    Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_),
                ))) => {}
            }
        }
    };
    tokio::pin!(write, read);
    tokio::select! {
        end = &mut read => end,
        written = &mut write => match written {
            Ok(()) => {
                let _ = timeout(FAREWELL, &mut read).await;
                LinkEnd::Ours
            }
            // The reason for which the server went away says more than that it did.
            Err(error) => match timeout(FAREWELL, &mut read).await {
                Ok(end @ LinkEnd::ClosedByServer { .. }) => end,
                Ok(_) | Err(_) => LinkEnd::of_error(&error),
            },
        },
    }
}

impl LinkEnd {
    fn of_error(error: &WsError) -> Self {
        LinkEnd::Lost(error.to_string())
    }

    fn closed_by_server(frame: Option<&CloseFrame>) -> Self {
        LinkEnd::ClosedByServer {
            code: frame.map(|frame| u16::from(frame.code)),
            reason: frame.map_or_else(String::new, |frame| frame.reason.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
