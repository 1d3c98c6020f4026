//! A server that speaks the agent protocol, and the agent's own program as a child.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nixfleet_core::CommandId;
use nixfleet_core::wire::agent::{
    AgentFrame, Args, CommandFrame, Confirm, Heartbeat, KillCommand, Output as Line,
    PROTOCOL_VERSION, Register, Registered, ServerFrame, StatusReport,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use crate::support::{PATIENCE, Remote, program, script};

pub const TOKEN: &str = "canary-token-of-this-host";

/// Where a server listens; agents come and go.
pub struct Server {
    listener: TcpListener,
    /// Whether it tells ids, leases and confirmations, unlike an existing dashboard.
    pub ours: bool,
}

impl Server {
    pub async fn start() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            ours: true,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// The next agent that connects, before it has said anything.
    #[allow(clippy::result_large_err)]
    pub async fn accept(&self) -> Wire {
        let accept = async {
            let (stream, _) = self.listener.accept().await.unwrap();
            let check = |request: &Request, response: Response| {
                assert_eq!(request.uri().path(), "/ws");
                assert_eq!(
                    request.headers()["authorization"],
                    format!("Bearer {TOKEN}")
                );
                Ok(response)
            };
            Wire {
                socket: accept_hdr_async(stream, check).await.unwrap(),
                kept: VecDeque::new(),
                closed: None,
            }
        };
        timeout(PATIENCE, accept).await.expect("no agent connects")
    }

    /// The next agent, registered.
    pub async fn agent(&self) -> (Wire, Register) {
        let mut line = self.accept().await;
        let AgentFrame::Register(register) = line.frame().await else {
            panic!("not registered first");
        };
        line.registered(self.ours).await;
        (line, *register)
    }

    /// Answers whatever comes first with something that is not TLS.
    pub async fn answer_anything(&self) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let accepted = timeout(PATIENCE, self.listener.accept()).await;
        let (mut stream, _) = accepted.unwrap().unwrap();
        stream.read_u8().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
    }

    /// Answers one HTTP request with these bytes.
    pub async fn answer(&self, bytes: &str) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = timeout(PATIENCE, self.listener.accept())
            .await
            .unwrap()
            .unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            request.extend(byte);
        }
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    }
}

/// The server's end of one connection.
pub struct Wire {
    socket: WebSocketStream<TcpStream>,
    kept: VecDeque<AgentFrame>,
    pub closed: Option<u16>,
}

impl Wire {
    pub async fn send(&mut self, frame: ServerFrame) {
        let text = serde_json::to_string(&frame).unwrap();
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub async fn registered(&mut self, ours: bool) {
        self.send(ServerFrame::Registered(Registered {
            host_id: "web-1".to_owned(),
            protocol: ours.then_some(PROTOCOL_VERSION),
            server_time: ours.then_some(now_millis()),
            ..Registered::default()
        }))
        .await;
    }

    pub async fn command(&mut self, op: &str, id: CommandId, seq: u64) {
        self.command_with(op, id, seq, None).await;
    }

    pub async fn command_with(&mut self, op: &str, id: CommandId, seq: u64, args: Option<Args>) {
        self.send(ServerFrame::Command(CommandFrame {
            command: op.to_owned(),
            command_id: Some(id.to_string()),
            seq: Some(seq),
            not_after: Some(now_millis() + 60_000),
            args,
            target: None,
        }))
        .await;
    }

    pub async fn stop(&mut self, id: CommandId) {
        self.send(ServerFrame::KillCommand(KillCommand {
            signal: "TERM".to_owned(),
            pid: None,
            command_id: Some(id.to_string()),
        }))
        .await;
    }

    pub async fn confirm(&mut self, id: CommandId) {
        self.send(ServerFrame::Confirm(Confirm {
            command_id: id.to_string(),
            server_time: Some(now_millis()),
        }))
        .await;
    }

    async fn read(&mut self) -> Option<Utf8Bytes> {
        loop {
            match timeout(PATIENCE, self.socket.next())
                .await
                .expect("the agent says nothing")
            {
                Some(Ok(Message::Text(text))) => return Some(text),
                Some(Ok(Message::Close(frame))) => {
                    self.closed = frame.map(|frame| u16::from(frame.code));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The next frame; the connection must stand.
    pub async fn frame(&mut self) -> AgentFrame {
        match self.kept.pop_front() {
            Some(frame) => frame,
            None => self.maybe().await.expect("the agent went away"),
        }
    }

    /// The next frame, or `None` at the end of the connection.
    pub async fn maybe(&mut self) -> Option<AgentFrame> {
        let text = self.read().await?;
        assert!(!text.contains(TOKEN), "the token is in a frame");
        Some(serde_json::from_str(&text).unwrap())
    }

    /// Reads until the agent has gone away.
    pub async fn until_gone(&mut self) -> Vec<AgentFrame> {
        let mut frames = Vec::from(std::mem::take(&mut self.kept));
        while let Some(frame) = self.maybe().await {
            frames.push(frame);
        }
        frames
    }

    /// Reads until a frame is the wanted one; returns those before it, too.
    pub async fn until<T>(
        &mut self,
        wanted: impl Fn(&AgentFrame) -> Option<T>,
    ) -> (Vec<AgentFrame>, T) {
        let mut before = Vec::new();
        loop {
            let frame = self.frame().await;
            if let Some(found) = wanted(&frame) {
                return (before, found);
            }
            before.push(frame);
        }
    }

    pub async fn status(&mut self) -> StatusReport {
        self.until(as_status).await.1
    }

    pub async fn heartbeat(&mut self) -> Heartbeat {
        self.until(as_heartbeat).await.1
    }

    pub async fn accepted(&mut self) -> String {
        let accepted = |frame: &AgentFrame| {
            let AgentFrame::Accepted(accepted) = frame else {
                return None;
            };
            Some(accepted.command_id.clone())
        };
        self.until(accepted).await.1
    }

    pub async fn rejected(&mut self) -> String {
        let rejected = |frame: &AgentFrame| {
            let AgentFrame::CommandRejected(rejected) = frame else {
                return None;
            };
            rejected.code.clone()
        };
        self.until(rejected).await.1
    }

    pub async fn line(&mut self, text: &str) -> Line {
        let wanted = |frame: &AgentFrame| as_output(frame).filter(|output| output.line == text);
        self.until(wanted).await.1
    }

    /// Goes away without a word.
    pub fn cut(self) {
        drop(self.socket);
    }
}

pub fn as_status(frame: &AgentFrame) -> Option<StatusReport> {
    let AgentFrame::Status(status) = frame else {
        return None;
    };
    Some((**status).clone())
}

pub fn as_heartbeat(frame: &AgentFrame) -> Option<Heartbeat> {
    let AgentFrame::Heartbeat(beat) = frame else {
        return None;
    };
    Some((**beat).clone())
}

pub fn as_output(frame: &AgentFrame) -> Option<Line> {
    let AgentFrame::Output(output) = frame else {
        return None;
    };
    Some(output.clone())
}

pub fn now_millis() -> i64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// An id of this test: processes carry the ids of their commands, and a stop finds them by it.
pub fn id(number: u8) -> CommandId {
    let thread = std::thread::current();
    let text = format!("{} {}", thread.name().unwrap(), std::process::id());
    let mut bytes = [number; 16];
    bytes[..8].copy_from_slice(&nixfleet_core::lock_hash(text.as_bytes()).as_bytes()[..8]);
    CommandId::from_bytes(bytes)
}

/// A host with a configuration, a switch command and a link that names the running system.
pub struct Host {
    pub remote: Remote,
    url: String,
}

impl Host {
    /// `switch` is the shell text of the switch command; `$HOST_DIR` is a folder for its marks.
    pub fn new(url: String, switch: &str) -> Self {
        let remote = Remote::new();
        let host = Self { remote, url };
        let dir = host.path("");
        let text = format!(
            "HOST_DIR={}\n{switch}",
            dir.display().to_string().trim_end_matches('/')
        );
        script(&host.path("switch"), &text, 0o755);
        symlink("system-0", host.path("system")).unwrap();
        host
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.remote.path(name)
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn program(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path("home"))
            .env("NIXFLEET_URL", &self.url)
            .env("NIXFLEET_TOKEN", TOKEN)
            .env("NIXFLEET_REPO_URL", self.remote.url())
            .env("NIXFLEET_STATE_DIR", self.state())
            .env("NIXFLEET_HOSTNAME", "web-1")
            .env("NIXFLEET_PLATFORM", "custom")
            .env("NIXFLEET_SWITCH_COMMAND", self.path("switch"))
            .env("NIXFLEET_ROLLBACK_COMMAND", self.path("rollback"))
            .env("NIXFLEET_REBOOT_COMMAND", "false")
            .env("NIXFLEET_SYSTEM_LINK", self.path("system"))
            .env("NIXFLEET_INTERVAL", "1s")
            .env("NIXFLEET_LOG", "debug,hyper=info,reqwest=info,h2=info");
        command
    }

    /// The agent, running.
    pub fn agent(&self) -> Agent {
        self.agent_with(|_| {})
    }

    pub fn agent_with(&self, change: impl FnOnce(&mut Command)) -> Agent {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("agent.log"))
            .unwrap();
        let mut command = self.program(&["run"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        change(&mut command);
        Agent {
            child: command.spawn().unwrap(),
        }
    }

    pub fn log(&self) -> String {
        self.text("agent.log")
    }

    pub fn ask(&self, words: &[&str]) -> Output {
        self.program(words).output().unwrap()
    }
}

impl Drop for Host {
    /// Nothing of a test may outlive it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the agent ---\n{}", self.log());
        }
        let jobs = fs::read_dir(self.state().join("jobs"));
        for job in jobs.into_iter().flatten().flatten() {
            let _ = fs::write(job.path().join("kill"), "");
            let _ = fs::write(job.path().join("stop"), "");
        }
    }
}

/// The agent as a process; killed at the latest when the test is over.
pub struct Agent {
    child: Child,
}

impl Agent {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap();
    }

    /// kill -9.
    pub fn crash(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end; its exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        let started = std::time::Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(started.elapsed() < PATIENCE, "the agent does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
