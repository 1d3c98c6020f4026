//! The channel of agents, `GET /ws` (spec 03): frames in, reports to the hub; frames of the hub out.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use nixfleet_core::HostId;
use nixfleet_core::fleet::Input;
use nixfleet_core::host::HostIdentity;
use nixfleet_core::wire::agent::AgentFrameOf;
use nixfleet_core::wire::{AgentReport, agent_message, borrow_agent_frame};
use tokio::time::{Instant, sleep_until};
use warp::Filter;

use super::Route;
use super::tolerance::{LogGate, Pace, Tolerance, Verdict};
use crate::agents::{Agents, Outgoing, Peer};
use crate::auth::{AgentIdentity, Auth, Principal};
use crate::clock::Clock;
use crate::hub::{Hub, HubGone};
use crate::net::{CloseReason, Connection, Received, Socket, SocketLimits, Upgrade, websocket};
use crate::output::Output;
use crate::telemetry::Telemetry;

/// An agent that has not registered after this long is closed.
pub const REGISTER_WITHIN: Duration = Duration::from_secs(10);
const POLICY: u16 = 1008;
const RESTART: u16 = 1012;

/// What conversations with agents need.
#[derive(Clone)]
pub struct AgentChannel {
    /// Who may come in.
    pub auth: Arc<Auth>,
    /// Where reports go.
    pub hub: Hub,
    /// Where connections are known.
    pub agents: Arc<Agents>,
    /// Where output goes.
    pub output: Arc<Output>,
    /// Where telemetry goes.
    pub telemetry: Arc<Telemetry>,
    /// The time.
    pub clock: Clock,
    /// Bounds of a socket.
    pub limits: SocketLimits,
    /// How long an agent may take to register.
    pub register_within: Duration,
}

/// `GET /ws`: bearer only, checked before the upgrade.
#[must_use]
pub fn routes(channel: AgentChannel) -> Route {
    let auth = channel.auth.clone();
    let gate = Arc::new(LogGate::default());
    warp::path("ws")
        .and(warp::path::end())
        .and(warp::get())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Connection>())
        .and_then(move |headers: HeaderMap, connection: Option<Connection>| {
            let (auth, gate) = (auth.clone(), gate.clone());
            async move {
                let agent = auth.authenticate_agent(&headers).await;
                agent.map_err(|problem| {
                    if let Some(held_back) = gate.pass() {
                        let peer = connection.map(|connection| connection.peer.to_string());
                        let peer = peer.unwrap_or_default();
                        tracing::warn!(peer, %problem, held_back, "an agent was refused");
                    }
                    warp::reject::custom(problem)
                })
            }
        })
        .and(websocket())
        .map(move |agent: AgentIdentity, upgrade: Upgrade| {
            let channel = channel.clone();
            let peer = upgrade.connection().peer.to_string();
            upgrade.start(channel.limits, move |socket| async move {
                Conversation::new(channel, agent, peer).hold(socket).await;
            })
        })
        .boxed()
}

/// One connection of one agent.
struct Conversation {
    channel: AgentChannel,
    agent: AgentIdentity,
    address: String,
    /// What it said of itself when it registered; decides how its frames are read.
    identity: HostIdentity,
    /// As whom it wants to speak.
    host: Option<HostId>,
    /// Whether the fleet has accepted it as that host.
    greeted: bool,
    tolerance: Tolerance,
    pace: Pace,
}

/// How a conversation goes on.
enum Next {
    Go,
    Close(u16, &'static str),
    Ended(CloseReason),
}

impl Conversation {
    fn new(channel: AgentChannel, agent: AgentIdentity, address: String) -> Self {
        Self {
            channel,
            agent,
            address,
            identity: HostIdentity::default(),
            host: None,
            greeted: false,
            tolerance: Tolerance::new(),
            pace: Pace::new(),
        }
    }

    async fn hold(mut self, mut socket: Socket) {
        let mut peer = self.channel.agents.open();
        let reason = self.talk(&mut socket, &mut peer).await;
        let connection = peer.connection;
        self.channel.agents.forget(connection);
        let host = self.host.as_ref().map_or("?", HostId::as_str);
        tracing::info!(host, peer = self.address, ?reason, "agent disconnected");
        // When the server goes down, its agents are not away: the journal goes on as it is.
        if reason == CloseReason::Shutdown {
            return;
        }
        while let Ok(unsent) = peer.frames.try_recv() {
            self.not_sent(&unsent, true, &reason).await;
        }
        let gone = Input::Disconnected { connection };
        self.channel.hub.agent(gone).await.ok();
    }

    async fn talk(&mut self, socket: &mut Socket, peer: &mut Peer) -> CloseReason {
        let principal = Principal::Agent(self.agent.clone());
        let revocation = self.channel.auth.watch(&principal);
        let deadline = Instant::now() + self.channel.register_within;
        loop {
            let next = tokio::select! {
                biased;
                Some(frame) = peer.frames.recv() => self.send(socket, frame).await,
                Ok(farewell) = &mut peer.farewell => Next::Close(farewell.code, farewell.reason),
                () = revocation.revoked() => Next::Close(POLICY, "the token was revoked"),
                () = sleep_until(deadline), if self.host.is_none() => {
                    Next::Close(POLICY, "register first, and soon")
                }
                received = socket.receive() => match received {
                    Received::Text(text) => self.take(peer, &text).await,
                    Received::Binary(_) => self.strike("a binary message"),
                    Received::Closed(reason) => Next::Ended(reason),
                },
            };
            match next {
                Next::Go => {}
                Next::Close(code, reason) => {
                    socket.close(code, reason).await;
                    return CloseReason::Ours;
                }
                Next::Ended(reason) => return reason,
            }
        }
    }

    async fn send(&mut self, socket: &mut Socket, frame: Outgoing) -> Next {
        if let Err(reason) = socket.send(frame.text.clone()).await {
            // Some of its bytes may have left: nobody knows whether the agent got it.
            self.not_sent(&frame, false, &reason).await;
            return Next::Ended(reason);
        }
        if frame.greets && !self.greeted {
            self.greeted = true;
            if let Some(host) = &self.host {
                tracing::info!(%host, peer = self.address, "agent connected");
                let now = self.channel.clock.now();
                self.channel.telemetry.note(host, now, None);
            }
        }
        Next::Go
    }

    async fn not_sent(&self, frame: &Outgoing, nothing_left: bool, reason: &CloseReason) {
        let Some(command) = frame.command else { return };
        let input = Input::SendFailed {
            command,
            nothing_left,
            why: format!("the agent's connection ended ({reason:?})"),
        };
        self.channel.hub.agent(input).await.ok();
    }

    async fn take(&mut self, peer: &Peer, text: &str) -> Next {
        let frame = match borrow_agent_frame(text) {
            Ok(frame) => frame,
            Err(error) => return self.strike(&error.to_string()),
        };
        let frame = match self.beside_the_core(frame).await {
            Some(frame) => frame,
            None => return Next::Go,
        };
        if !self.pace.wait().await {
            return Next::Close(POLICY, "too many messages");
        }
        match agent_message(frame, &self.identity) {
            Err(error) => self.strike(&error.to_string()),
            Ok(None) => Next::Go,
            Ok(Some(report)) => match self.submit(peer, report).await {
                Ok(()) => Next::Go,
                Err(HubGone) => Next::Close(RESTART, "server restart"),
            },
        }
    }

    /// Output and telemetry go past the core, and only for a host that the core has accepted.
    async fn beside_the_core<T>(&self, frame: AgentFrameOf<T>) -> Option<AgentFrameOf<T>> {
        let host = self.host.as_ref().filter(|_| self.greeted);
        let metrics = match &frame {
            AgentFrameOf::Heartbeat(beat) => beat.metrics,
            AgentFrameOf::Register(_)
            | AgentFrameOf::Output(_)
            | AgentFrameOf::Status(_)
            | AgentFrameOf::CommandRejected(_)
            | AgentFrameOf::TestProgress(_)
            | AgentFrameOf::OperationProgress(_)
            | AgentFrameOf::Accepted(_) => None,
        };
        if let Some(host) = host {
            let now = self.channel.clock.now();
            self.channel.telemetry.note(host, now, metrics);
        }
        let AgentFrameOf::Output(line) = frame else {
            return Some(frame);
        };
        if let Some(host) = host {
            self.channel.output.take(host, line).await;
        }
        None
    }

    async fn submit(&mut self, peer: &Peer, report: AgentReport) -> Result<(), HubGone> {
        if let AgentReport::Registered(registration) = &report
            && self
                .host
                .as_ref()
                .is_none_or(|own| *own == registration.host)
        {
            self.identity = registration.identity.clone();
            self.host = Some(registration.host.clone());
        }
        let bound = match &self.agent {
            AgentIdentity::Shared => None,
            AgentIdentity::Host { host, .. } => Some(host.clone()),
        };
        let input = Input::Agent {
            connection: peer.connection,
            bound,
            report,
        };
        self.channel.hub.agent(input).await
    }

    fn strike(&mut self, what: &str) -> Next {
        match self.tolerance.strike() {
            Verdict::Ignore => Next::Go,
            Verdict::Log(unlogged) => {
                let host = self.host.as_ref().map_or("?", HostId::as_str);
                let peer = &self.address;
                tracing::warn!(host, peer, what, unlogged, "ignored what an agent sent");
                Next::Go
            }
            Verdict::Close => Next::Close(POLICY, "too many malformed messages"),
        }
    }
}
