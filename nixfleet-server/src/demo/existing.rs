//! An agent with the habits of those that existing installations run: no command ids, a commit of
//! seven digits, no deployment record, results told apart by the name of the op, two results after
//! a stop, a new connection after a switch. Its frames are written by hand on purpose, so that it
//! shares nothing with this project's own agent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::header::{AUTHORIZATION, HeaderValue};
use nixfleet_core::{CommitId, LockHash};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::error::{DemoError, DemoResult};
use super::upstream::Remote;

const HEARTBEAT: Duration = Duration::from_secs(1);
const CONNECT_AGAIN: Duration = Duration::from_millis(200);

/// Who the agent is and where it connects.
#[derive(Clone, Debug)]
pub struct ExistingSetup {
    /// Origin of the server.
    pub origin: String,
    /// The agents' token.
    pub token: String,
    /// Its host.
    pub hostname: String,
    /// The version it reports.
    pub version: String,
    /// Where it pulls from.
    pub remote: Remote,
}

/// A running agent of the existing kind; gone when dropped.
#[derive(Debug)]
pub struct ExistingAgent {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    setup: ExistingSetup,
    host: Mutex<Host>,
    wake: Notify,
}

/// The host behind it.
#[derive(Debug)]
struct Host {
    commit: CommitId,
    lock: LockHash,
    tells_lock: bool,
    waits: bool,
    fails: Option<&'static str>,
    running: Option<String>,
    executed: Vec<String>,
}

type Socket = WebSocketStream<TcpStream>;

impl ExistingAgent {
    /// Starts it with a checkout of the remote's head; it does not tell a lock hash yet.
    ///
    /// # Errors
    /// [`DemoError::Git`].
    pub fn start(setup: ExistingSetup) -> DemoResult<Self> {
        let host = Host {
            commit: setup.remote.head()?,
            lock: setup.remote.lock()?,
            tells_lock: false,
            waits: false,
            fails: None,
            running: None,
            executed: Vec::new(),
        };
        let shared = Arc::new(Shared {
            setup,
            host: Mutex::new(host),
            wake: Notify::new(),
        });
        let task = tokio::spawn({
            let shared = shared.clone();
            async move {
                loop {
                    if let Err(error) = shared.serve().await {
                        tracing::debug!(%error, "the existing agent lost its connection");
                        tokio::time::sleep(CONNECT_AGAIN).await;
                    }
                }
            }
        });
        Ok(Self { shared, task })
    }

    /// From now on heartbeats carry the lock hash, as those of newer existing agents do.
    pub fn tell_lock_hash(&self) {
        self.shared.host().tells_lock = true;
        self.shared.wake.notify_one();
    }

    /// From now on it tells the hash of this lock, whatever it has checked out.
    pub fn tell_this_lock_hash(&self, lock: LockHash) {
        {
            let mut host = self.shared.host();
            (host.lock, host.tells_lock) = (lock, true);
        }
        self.shared.wake.notify_one();
    }

    /// From now on commands wait before they end, or no longer do.
    pub fn wait_in_commands(&self, waits: bool) {
        self.shared.host().waits = waits;
        self.shared.wake.notify_one();
    }

    /// From now on this op fails, or none.
    pub fn fail(&self, op: Option<&'static str>) {
        self.shared.host().fails = op;
    }

    /// The ops that ran, in order.
    #[must_use]
    pub fn executed(&self) -> Vec<String> {
        self.shared.host().executed.clone()
    }

    /// The op that is running.
    #[must_use]
    pub fn running(&self) -> Option<String> {
        self.shared.host().running.clone()
    }
}

impl Drop for ExistingAgent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn host(&self) -> MutexGuard<'_, Host> {
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One connection, from `register` to its end.
    async fn serve(&self) -> DemoResult<()> {
        let mut socket = connect(&self.setup).await?;
        let register = self.register();
        send(&mut socket, register).await?;
        let mut registered = false;
        let mut tick = tokio::time::interval(HEARTBEAT);
        loop {
            tokio::select! {
                message = socket.next() => {
                    let Some(message) = message else { return Ok(()) };
                    let message = message.map_err(|error| broken(&error))?;
                    let Ok(text) = message.to_text() else { continue };
                    let Ok(frame) = serde_json::from_str::<Value>(text) else { continue };
                    let payload = &frame["payload"];
                    match frame["type"].as_str() {
                        Some("registered") => {
                            registered = true;
                            send(&mut socket, self.heartbeat()).await?;
                        }
                        Some("command") => {
                            let op = payload["command"].as_str().unwrap_or_default();
                            self.command(&mut socket, op).await?;
                        }
                        // `kill_command` and what is newer than this agent.
                        Some(_) | None => {}
                    }
                }
                _ = tick.tick(), if registered => send(&mut socket, self.heartbeat()).await?,
                () = self.wake.notified(), if registered => send(&mut socket, self.heartbeat()).await?,
            }
            let ready = {
                let mut host = self.host();
                if host.waits {
                    None
                } else {
                    host.running.take()
                }
            };
            if let Some(op) = ready
                && self.finish(&mut socket, &op).await? == Afterwards::ConnectAgain
            {
                return Ok(());
            }
        }
    }

    async fn command(&self, socket: &mut Socket, op: &str) -> DemoResult<()> {
        if op == "stop" {
            let stopped = self.host().running.take();
            if let Some(stopped) = stopped {
                send(socket, result("stopped", &stopped, 130, "stopped by user")).await?;
                send(socket, result("error", &stopped, -1, "signal: terminated")).await?;
                send(socket, self.heartbeat()).await?;
            }
            return Ok(());
        }
        let busy = self.host().running.clone();
        if let Some(busy) = busy {
            let payload = json!({ "reason": "busy", "current_command": busy, "current_pid": 4711 });
            return send(socket, frame("command_rejected", payload)).await;
        }
        {
            let mut host = self.host();
            host.running = Some(op.to_owned());
            host.executed.push(op.to_owned());
        }
        send(socket, self.heartbeat()).await?;
        let line = json!({ "line": format!("running {op}"), "stream": "stdout", "command": "", "is_error": false });
        send(socket, frame("output", line)).await
    }

    async fn finish(&self, socket: &mut Socket, op: &str) -> DemoResult<Afterwards> {
        if self.host().fails == Some(op) {
            send(socket, result("error", op, 1, "exit status 1")).await?;
            send(socket, self.heartbeat()).await?;
            return Ok(Afterwards::Stay);
        }
        if op == "pull" {
            let remote = self.setup.remote.clone();
            let fetched = tokio::task::spawn_blocking(move || Ok((remote.head()?, remote.lock()?)));
            let fetched: DemoResult<_> = fetched.await.map_err(|error| broken(&error))?;
            let Ok((commit, lock)) = fetched else {
                send(socket, result("error", op, 1, "cannot reach the remote")).await?;
                return Ok(Afterwards::Stay);
            };
            let mut host = self.host();
            (host.commit, host.lock) = (commit, lock);
        }
        if op != "restart" && op != "reboot" {
            let mut status = result("ok", op, 0, "done");
            status["payload"]["generation"] = json!(self.generation());
            send(socket, status).await?;
            send(socket, self.heartbeat()).await?;
        }
        if !matches!(op, "switch" | "pull-switch" | "restart" | "reboot") {
            return Ok(Afterwards::Stay);
        }
        let goodbye = CloseFrame {
            code: CloseCode::Normal,
            reason: "restarting".into(),
        };
        socket
            .close(Some(goodbye))
            .await
            .map_err(|error| broken(&error))?;
        // The goodbye is answered before the connection ends.
        while let Some(Ok(_)) = socket.next().await {}
        Ok(Afterwards::ConnectAgain)
    }

    fn generation(&self) -> String {
        let text = self.host().commit.to_string();
        text.chars().take(7).collect()
    }

    fn register(&self) -> Value {
        let payload = json!({
            "hostname": self.setup.hostname,
            "host_type": "nixos",
            "agent_version": self.setup.version,
            "os_version": "25.11",
            "nixpkgs_version": "25.11.20260101.abcdef0",
            "generation": self.generation(),
            "theme_color": "#bb9af7",
            "heartbeat_interval": HEARTBEAT.as_secs(),
            "location": "attic",
            "device_type": "server",
            "repo_url": self.setup.remote.address(),
            "repo_dir": "/var/lib/nixfleet-agent/repo",
        });
        frame("register", payload)
    }

    fn heartbeat(&self) -> Value {
        let generation = self.generation();
        let host = self.host();
        let opinion =
            json!({ "status": "ok", "message": "as the agent sees it", "checked_at": "" });
        let mut payload = json!({
            "generation": generation,
            "nixpkgs_version": "25.11.20260101.abcdef0",
            "pending_command": host.running,
            "command_pid": host.running.as_ref().map(|_| 4711),
            "metrics": { "cpu": 1.5, "ram": 40.0, "swap": 0.0, "load": 0.1 },
            "update_status": { "git": opinion, "lock": opinion, "system": opinion },
        });
        if host.tells_lock {
            payload["lock_hash"] = json!(host.lock.to_string());
        }
        frame("heartbeat", payload)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Afterwards {
    Stay,
    ConnectAgain,
}

fn frame(kind: &str, payload: Value) -> Value {
    json!({ "type": kind, "payload": payload })
}

fn result(status: &str, op: &str, code: i32, message: &str) -> Value {
    let payload = json!({ "status": status, "command": op, "exit_code": code, "message": message });
    frame("status", payload)
}

async fn send(socket: &mut Socket, frame: Value) -> DemoResult<()> {
    let sent = socket.send(Message::text(frame.to_string())).await;
    sent.map_err(|error| broken(&error))
}

async fn connect(setup: &ExistingSetup) -> DemoResult<Socket> {
    let authority = setup.origin.trim_start_matches("http://");
    let mut request = format!("ws://{authority}/ws")
        .into_client_request()
        .map_err(|error| broken(&error))?;
    let bearer = format!("Bearer {}", setup.token);
    let bearer = HeaderValue::from_str(&bearer).map_err(|error| broken(&error))?;
    request.headers_mut().insert(AUTHORIZATION, bearer);
    let stream = TcpStream::connect(authority)
        .await
        .map_err(DemoError::io(format!("cannot connect to {authority}")))?;
    let (socket, _) = tokio_tungstenite::client_async(request, stream)
        .await
        .map_err(|error| broken(&error))?;
    Ok(socket)
}

fn broken(problem: &dyn std::fmt::Display) -> DemoError {
    DemoError::Answer {
        request: "GET /ws".to_owned(),
        problem: problem.to_string(),
    }
}
