//! The live feed, `GET /api/v1/live` (spec 04): the full state, then every change.
//!
//! A browser connects with its session, its origin and a ticket; a program with a ticket alone,
//! which its API token got from `POST /api/v1/live/ticket`.

use std::sync::Arc;
use std::time::Duration;

use nixfleet_core::StateVersion;
use nixfleet_core::sync::ClientMessage;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until};
use warp::Filter;

use super::Route;
use super::tolerance::{Tolerance, Verdict};
use crate::auth::{Auth, Principal, Revocation, filters};
use crate::live::{Feed, Frame, Snapshots};
use crate::net::{CloseReason, Received, Socket, SocketLimits, Upgrade, websocket};

/// At least this long between two full states for one client.
const BETWEEN_STATES: Duration = Duration::from_millis(250);
const POLICY: u16 = 1008;
const RESTART: u16 = 1012;

/// What conversations with browsers need.
#[derive(Clone)]
pub struct LiveChannel {
    /// Who may come in.
    pub auth: Arc<Auth>,
    /// Where changes come from.
    pub feed: Arc<Feed>,
    /// Where full states come from.
    pub snapshots: Arc<Snapshots>,
    /// Bounds of a socket.
    pub limits: SocketLimits,
}

/// `GET /api/v1/live`.
#[must_use]
pub fn routes(channel: LiveChannel) -> Route {
    warp::path!("api" / "v1" / "live")
        .and(warp::get())
        .and(filters::require_live(&channel.auth))
        .and(websocket())
        .map(move |principal: Principal, upgrade: Upgrade| {
            let revocation = channel.auth.watch(&principal);
            let client = Client {
                // Subscribed before the state is asked for: no change falls between the two.
                frames: channel.feed.subscribe(),
                snapshots: channel.snapshots.clone(),
                version: None,
                last_state: None,
                tolerance: Tolerance::new(),
            };
            upgrade.start(channel.limits, |socket| client.hold(socket, revocation))
        })
        .boxed()
}

/// One client of the feed.
struct Client {
    frames: broadcast::Receiver<Frame>,
    snapshots: Arc<Snapshots>,
    /// The version it has.
    version: Option<StateVersion>,
    last_state: Option<Instant>,
    tolerance: Tolerance,
}

/// The conversation is over; close with a code, unless the socket is closed already.
struct Over(Option<(u16, &'static str)>);

impl From<CloseReason> for Over {
    fn from(_: CloseReason) -> Self {
        Over(None)
    }
}

impl Client {
    async fn hold(mut self, mut socket: Socket, revocation: Revocation) {
        let Err(Over(goodbye)) = self.talk(&mut socket, revocation).await;
        if let Some((code, reason)) = goodbye {
            socket.close(code, reason).await;
        }
    }

    async fn talk(
        &mut self,
        socket: &mut Socket,
        revocation: Revocation,
    ) -> Result<std::convert::Infallible, Over> {
        self.full_state(socket, "init").await?;
        loop {
            tokio::select! {
                () = revocation.revoked() => return Err(Over(Some((POLICY, "logged out")))),
                received = socket.receive() => match received {
                    Received::Text(text) => self.take(socket, &text).await?,
                    Received::Binary(_) => self.strike()?,
                    Received::Closed(reason) => return Err(reason.into()),
                },
                frame = self.frames.recv() => self.pass_on(socket, frame).await?,
            }
        }
    }

    async fn take(&mut self, socket: &mut Socket, text: &str) -> Result<(), Over> {
        match serde_json::from_str(text) {
            Ok(ClientMessage::GetState) => self.full_state(socket, "full_state").await,
            Err(_) => self.strike(),
        }
    }

    async fn pass_on(
        &mut self,
        socket: &mut Socket,
        frame: Result<Frame, RecvError>,
    ) -> Result<(), Over> {
        match frame {
            Ok(Frame::Deltas { first, last, text }) => {
                let Some(version) = self.version else {
                    return self.full_state(socket, "full_state").await;
                };
                if last <= version {
                    return Ok(());
                }
                if first > version.next() {
                    return self.full_state(socket, "full_state").await;
                }
                self.version = Some(last);
                Ok(socket.send(text).await?)
            }
            Ok(Frame::Plain(text)) => Ok(socket.send(text).await?),
            // It fell behind: nothing is waited for and nothing is sent late, it starts afresh.
            Ok(Frame::Skip) | Err(RecvError::Lagged(_)) => {
                self.full_state(socket, "full_state").await
            }
            Err(RecvError::Closed) => Err(Over(Some((RESTART, "server restart")))),
        }
    }

    async fn full_state(&mut self, socket: &mut Socket, kind: &'static str) -> Result<(), Over> {
        if let Some(last) = self.last_state {
            sleep_until(last + BETWEEN_STATES).await;
        }
        self.last_state = Some(Instant::now());
        let Ok(snapshot) = self.snapshots.current().await else {
            return Err(Over(Some((RESTART, "server restart"))));
        };
        for message in snapshot.messages(kind) {
            socket.send(message).await?;
        }
        self.version = Some(snapshot.version);
        Ok(())
    }

    fn strike(&mut self) -> Result<(), Over> {
        match self.tolerance.strike() {
            Verdict::Ignore => Ok(()),
            Verdict::Log(unlogged) => {
                tracing::debug!(unlogged, "ignored what a client of the live feed sent");
                Ok(())
            }
            Verdict::Close => Err(Over(Some((POLICY, "too many malformed messages")))),
        }
    }
}
