//! WebSocket: the upgrade, and a socket that looks after pings, limits and closing.
//!
//! Put the authentication filter before [`websocket`]: whatever rejects there is answered before
//! 101, and nothing is switched.

use std::borrow::Cow;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::accept::{Connection, until_cut};
use super::limits::{Slot, SocketLimits};
use crate::reject::{Problem, bad_request, standard};

/// How long the peer may take to read our close frame.
const FAREWELL: Duration = Duration::from_secs(1);

/// A request that may become a WebSocket.
pub struct Upgrade {
    accept: HeaderValue,
    switched: OnUpgrade,
    connection: Connection,
}

/// What came out of [`Socket::receive`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message of this many bytes; no protocol of ours has any.
    Binary(usize),
    /// The socket is closed; nothing comes after this.
    Closed(CloseReason),
}

/// Why a socket ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer said goodbye, with this code if it gave one.
    Peer(Option<u16>),
    /// The peer vanished without a goodbye.
    Lost,
    /// A message was larger than allowed; closed with 1009.
    TooLarge,
    /// A frame broke the rules of WebSocket; closed with 1002 or 1007.
    Broken(String),
    /// Nothing was heard for the dead time.
    Silent,
    /// The peer did not take a message in time.
    Slow,
    /// The server is going down; closed with 1012.
    Shutdown,
    /// Closed by [`Socket::close`].
    Ours,
}

/// Takes a WebSocket handshake; anything else is answered with 426 or 400.
#[must_use]
pub fn websocket() -> BoxedFilter<(Upgrade,)> {
    warp::header::headers_cloned()
        .and(warp::ext::optional::<OnUpgrade>())
        .and(warp::ext::optional::<Connection>())
        .and_then(|headers: HeaderMap, switched, connection| async move {
            handshake(&headers, switched, connection).map_err(warp::reject::custom)
        })
        .boxed()
}

impl Upgrade {
    /// Answers 101 and runs `conversation` on the open socket in a task of its own, which the
    /// server waits for when it shuts down.
    pub fn start<F, W>(self, limits: SocketLimits, conversation: F) -> Response
    where
        F: FnOnce(Socket) -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let Self {
            accept,
            switched,
            connection,
        } = self;
        let tasks = connection.tasks.clone();
        tasks.spawn(until_cut(connection.abort.clone(), async move {
            match switched.await {
                Ok(upgraded) => {
                    conversation(Socket::open(upgraded, limits, connection).await).await;
                }
                Err(error) => tracing::debug!(%error, "a WebSocket upgrade did not complete"),
            }
        }));
        let mut response = Response::default();
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        response
    }

    /// The connection this came over.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// An open WebSocket of the server.
pub struct Socket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    limits: SocketLimits,
    shutdown: CancellationToken,
    next_ping: Instant,
    last_heard: Instant,
    closed: Option<CloseReason>,
    _slot: Arc<Slot>,
}

impl Socket {
    async fn open(upgraded: Upgraded, limits: SocketLimits, connection: Connection) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(4 * 1024)
            .write_buffer_size(4 * 1024)
            .max_write_buffer_size(limits.outgoing_bytes + 64 * 1024)
            .max_message_size(Some(limits.message_bytes))
            .max_frame_size(Some(limits.message_bytes));
        let io = TokioIo::new(upgraded);
        let now = Instant::now();
        Self {
            stream: WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await,
            limits,
            shutdown: connection.shutdown,
            next_ping: now + limits.ping_every,
            last_heard: now,
            closed: None,
            _slot: connection.slot,
        }
    }

    /// The next message. Sends pings, answers them, and closes the socket where the limits or the
    /// end of the server ask for it. Safe to cancel.
    pub async fn receive(&mut self) -> Received {
        loop {
            if let Some(reason) = &self.closed {
                return Received::Closed(reason.clone());
            }
            let dead_at = self.last_heard + self.limits.dead_after;
            let step = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => Step::Shutdown,
                frame = self.stream.next() => Step::Frame(frame),
                () = sleep_until(self.next_ping.min(dead_at)) => Step::Timer,
            };
            match step {
                Step::Shutdown => {
                    self.end(
                        CloseReason::Shutdown,
                        Some((CloseCode::Restart, "server restart")),
                    )
                    .await;
                }
                Step::Timer if Instant::now() >= dead_at => {
                    self.end(CloseReason::Silent, None).await;
                }
                Step::Timer => {
                    self.next_ping = Instant::now() + self.limits.ping_every;
                    self.write(Message::Ping(bytes::Bytes::new())).await.ok();
                }
                Step::Frame(frame) => {
                    self.last_heard = Instant::now();
                    if let Some(received) = self.take(frame).await {
                        return received;
                    }
                }
            }
        }
    }

    /// Sends a text message; an error says why the socket is closed now.
    ///
    /// # Errors
    /// [`CloseReason`] if the socket is or was closed.
    pub async fn send(&mut self, text: impl Into<Utf8Bytes>) -> Result<(), CloseReason> {
        self.write(Message::Text(text.into())).await
    }

    /// Says goodbye with a code and ends the socket.
    pub async fn close(&mut self, code: u16, reason: impl Into<Cow<'static, str>>) {
        let reason = reason.into();
        self.end(CloseReason::Ours, Some((CloseCode::from(code), &reason)))
            .await;
    }

    async fn write(&mut self, message: Message) -> Result<(), CloseReason> {
        if let Some(reason) = &self.closed {
            return Err(reason.clone());
        }
        let reason = match timeout(self.limits.write, self.stream.send(message)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => lost_or_broken(&error),
            Err(_) => CloseReason::Slow,
        };
        self.closed = Some(reason.clone());
        Err(reason)
    }

    /// Handles one frame; answers what the caller must see of it.
    async fn take(&mut self, frame: Option<Result<Message, WsError>>) -> Option<Received> {
        match frame {
            None => self.closed = Some(CloseReason::Lost),
            Some(Ok(Message::Text(text))) => return Some(Received::Text(text)),
            Some(Ok(Message::Binary(bytes))) => return Some(Received::Binary(bytes.len())),
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map(|frame| u16::from(frame.code));
                self.end(CloseReason::Peer(code), None).await;
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Err(WsError::Capacity(CapacityError::MessageTooLong { .. }))) => {
                self.end(
                    CloseReason::TooLarge,
                    Some((CloseCode::Size, "message too large")),
                )
                .await;
            }
            Some(Err(error)) => {
                let reason = lost_or_broken(&error);
                let goodbye = if matches!(error, WsError::Utf8(_)) {
                    Some((CloseCode::Invalid, "not UTF-8"))
                } else if matches!(reason, CloseReason::Broken(_)) {
                    Some((CloseCode::Protocol, "broken frame"))
                } else {
                    None
                };
                self.end(reason, goodbye).await;
            }
        }
        None
    }

    async fn end(&mut self, reason: CloseReason, goodbye: Option<(CloseCode, &str)>) {
        if self.closed.is_some() {
            return;
        }
        let frame = goodbye.map(|(code, text)| CloseFrame {
            code,
            reason: text.into(),
        });
        // Closing while bytes of the peer lie unread would reset the connection and destroy the
        // close frame on its way. After an orderly goodbye there are none.
        let unread = matches!(reason, CloseReason::TooLarge | CloseReason::Broken(_));
        let farewell = async {
            if frame.is_some() {
                self.stream.close(frame).await.ok();
            } else {
                self.stream.flush().await.ok();
            }
            while let Some(Ok(_)) = self.stream.next().await {}
            if unread {
                discard(self.stream.get_mut()).await.ok();
            }
        };
        timeout(FAREWELL, farewell).await.ok();
        self.closed = Some(reason);
    }
}

enum Step {
    Shutdown,
    Frame(Option<Result<Message, WsError>>),
    Timer,
}

fn lost_or_broken(error: &WsError) -> CloseReason {
    if matches!(
        error,
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake)
    ) {
        return CloseReason::Lost;
    }
    if matches!(
        error,
        WsError::Protocol(_) | WsError::Utf8(_) | WsError::Capacity(_)
    ) {
        return CloseReason::Broken(error.to_string());
    }
    CloseReason::Lost
}

async fn discard(io: &mut TokioIo<Upgraded>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while io.read(&mut buffer).await? > 0 {}
    Ok(())
}

fn handshake(
    headers: &HeaderMap,
    switched: Option<OnUpgrade>,
    connection: Option<Connection>,
) -> Result<Upgrade, Problem> {
    let lists = |name, token: &str| {
        headers.get_all(name).iter().any(|value: &HeaderValue| {
            value.to_str().is_ok_and(|list| {
                list.split(',')
                    .any(|item| item.trim().eq_ignore_ascii_case(token))
            })
        })
    };
    if !lists(CONNECTION, "upgrade") || !lists(UPGRADE, "websocket") {
        return Err(wants_websocket());
    }
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        return Err(wants_websocket().detail("only version 13 of WebSocket is spoken here"));
    }
    let key = headers
        .get(SEC_WEBSOCKET_KEY)
        .filter(|key| is_key(key.as_bytes()));
    let (Some(key), Some(switched), Some(connection)) = (key, switched, connection) else {
        return Err(bad_request("the WebSocket handshake is incomplete"));
    };
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map_err(|_| bad_request("the WebSocket key is not valid"))?;
    Ok(Upgrade {
        accept,
        switched,
        connection,
    })
}

fn is_key(key: &[u8]) -> bool {
    data_encoding::BASE64
        .decode(key)
        .is_ok_and(|bytes| bytes.len() == 16)
}

fn wants_websocket() -> Problem {
    standard(StatusCode::UPGRADE_REQUIRED)
        .header(UPGRADE, HeaderValue::from_static("websocket"))
        .header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
}
