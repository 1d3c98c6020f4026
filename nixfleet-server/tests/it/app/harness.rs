//! A server with a repository, and somebody to play its agents and clients.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nixfleet_core::sync::{Replica, ReplicaStep, ServerMessage};
use nixfleet_core::{CommitId, lock_hash};
use nixfleet_server::app::{Replacements, Server};
use nixfleet_server::auth::secret::{SecretKind, fresh};
use nixfleet_server::auth::{CredentialStore, Role, SecretHash, TokenRecord, TokenScope};
use nixfleet_server::config::{Config, NotifyArgs, ServeArgs, UpdateArgs};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::sources::repo::{Repo, lock};

pub const WEBHOOK_SECRET: &str = "webhook-secret-for-tests-0123456789";
pub const AGENT_TOKEN: &str = "shared-agent-token-for-tests";
/// Nothing here takes this long unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A server, its repository and a token for everything.
pub struct World {
    pub repo: Repo,
    pub server: Server,
    pub admin: Client,
    folder: TempDir,
}

/// What one revision of the repository is for a host.
#[derive(Clone)]
pub struct Revision {
    pub commit: CommitId,
    pub lock: String,
}

impl Revision {
    pub fn new(commit: CommitId, content: &str) -> Self {
        Self {
            commit,
            lock: lock_hash(content.as_bytes()).to_string(),
        }
    }

    /// The facts of a host that has it checked out.
    pub fn facts(&self) -> Value {
        json!({
            "generation": self.commit.short(),
            "repo": { "commit": self.commit, "dirty": false },
            "lock_hash": self.lock,
        })
    }
}

impl World {
    /// A server whose repository has one revision.
    pub async fn start() -> (Self, Revision) {
        Self::with(Replacements::default()).await
    }

    pub async fn with(replacements: Replacements) -> (Self, Revision) {
        Self::of(Repo::new(), replacements).await
    }

    pub async fn of(repo: Repo, replacements: Replacements) -> (Self, Revision) {
        let commit = repo.commit_lock(lock('a'));
        let folder = tempfile::tempdir().unwrap();
        let server = serve(folder.path(), &repo, replacements).await;
        let admin = Client::new(&server, Role::Admin).await;
        let world = Self {
            repo,
            server,
            admin,
            folder,
        };
        (world, Revision::new(commit, &lock('a')))
    }

    /// A server that tells an ntfy topic at this address.
    pub async fn notifying(address: SocketAddr) -> (Self, Revision) {
        let repo = Repo::new();
        let commit = repo.commit_lock(lock('a'));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ntfy"), address.to_string()).unwrap();
        let server = serve(folder.path(), &repo, Replacements::default()).await;
        let admin = Client::new(&server, Role::Admin).await;
        let world = Self {
            repo,
            server,
            admin,
            folder,
        };
        (world, Revision::new(commit, &lock('a')))
    }

    /// The folder of the server's data.
    pub fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// Stops the server and starts another on the same data.
    pub async fn restart(self) -> Self {
        self.restart_with(Replacements::default()).await
    }

    pub async fn restart_with(self, replacements: Replacements) -> Self {
        stop(self.server).await;
        let server = serve(self.folder.path(), &self.repo, replacements).await;
        let admin = Client {
            address: server.address,
            ..self.admin
        };
        Self {
            server,
            admin,
            ..self
        }
    }

    /// A new revision of the repository, once the server has seen it.
    pub async fn push(&self, digit: char) -> Revision {
        let content = lock(digit);
        let revision = Revision::new(self.repo.commit_lock(&content), &content);
        let wanted = json!(revision.commit);
        eventually("the server sees the new commit", async || {
            let state = self.admin.get("/api/v1/state").await.1;
            state["state"]["desired"]["commit"] == wanted
        })
        .await;
        revision
    }

    pub async fn client(&self, role: Role) -> Client {
        Client::new(&self.server, role).await
    }

    /// Waits until a path of a host's document has this value.
    pub async fn host_shows(&self, host: &str, pointer: &str, wanted: Value) {
        let path = format!("/api/v1/hosts/{host}");
        let what = format!("{host} shows {pointer} = {wanted}");
        eventually(&what, async || {
            let (status, document) = self.admin.get(&path).await;
            status == 200 && document.pointer(pointer) == Some(&wanted)
        })
        .await;
    }

    /// Starts an operation on a host; answers the id of its command.
    pub async fn order(&self, op: &str, host: &str) -> String {
        let body = json!({ "op": op, "hosts": [host] });
        let (status, answer) = self.admin.post("/api/v1/dispatch", &body).await;
        assert_eq!(status, 200, "{answer}");
        let one = &answer["results"][0];
        assert_eq!(one["outcome"], "started", "{answer}");
        one["command_id"].as_str().unwrap().to_owned()
    }
}

pub async fn stop(server: Server) {
    server.shutdown().cancel();
    timeout(PATIENCE, server.ended())
        .await
        .expect("the server hangs at shutdown")
        .unwrap();
}

pub async fn serve(folder: &Path, repo: &Repo, replacements: Replacements) -> Server {
    let has_forge = replacements.forge.is_some();
    let updates = UpdateArgs {
        github_repo: has_forge.then(|| "nixfleet/hosts".to_owned()),
        required_checks: has_forge.then(|| "build".to_owned()),
        direct_revert: has_forge.then(|| "true".to_owned()),
        ..UpdateArgs::default()
    };
    let ntfy = std::fs::read_to_string(folder.join("ntfy")).ok();
    let notify = NotifyArgs {
        notify_ntfy_url: ntfy.map(|address| format!("http://{address}/topic")),
        ..NotifyArgs::default()
    };
    let args = ServeArgs {
        notify,
        listen: Some("127.0.0.1:0".to_owned()),
        data_dir: Some(folder.join("data").display().to_string()),
        repo: Some(repo.path().display().to_string()),
        version_fetch_ttl: Some("1s".to_owned()),
        updates,
        ..ServeArgs::default()
    };
    let environment = |name: &str| match name {
        "NIXFLEET_AGENT_TOKEN" => Some(AGENT_TOKEN.to_owned()),
        "NIXFLEET_WEBHOOK_SECRET" => has_forge.then(|| WEBHOOK_SECRET.to_owned()),
        _ => None,
    };
    let config = Config::load(&args, &environment).unwrap();
    Server::start(config, replacements).await.unwrap()
}

/// Waits until something is so.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < end, "it never happened that {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A program with an API token.
#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub token: String,
    pub http: reqwest::Client,
}

impl Client {
    async fn new(server: &Server, role: Role) -> Self {
        let scope = TokenScope::Api(role);
        let token = make_token(server, role.as_str(), scope).await;
        Self {
            address: server.address,
            token,
            http: reqwest::Client::new(),
        }
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send(reqwest::Method::GET, path, None).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(reqwest::Method::PUT, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> (u16, Value) {
        self.send(reqwest::Method::DELETE, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(reqwest::Method::POST, path, Some(body)).await
    }

    pub async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let url = format!("http://{}{path}", self.address);
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = timeout(PATIENCE, request.send()).await.unwrap().unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Follows the live feed.
    pub async fn follow(&self) -> Follower {
        let (status, answer) = self.post("/api/v1/live/ticket", &json!({})).await;
        assert_eq!(status, 200, "{answer}");
        let path = format!("/api/v1/live?ticket={}", answer["ticket"].as_str().unwrap());
        Follower {
            socket: open(self.address, &path, None).await,
            replica: Replica::new(),
        }
    }
}

pub async fn make_token(server: &Server, name: &str, scope: TokenScope) -> String {
    let kind = match &scope {
        TokenScope::Api(_) => SecretKind::ApiToken,
        TokenScope::Agent(_) => SecretKind::AgentToken,
    };
    let secret = fresh(kind).unwrap();
    let record = TokenRecord {
        hash: SecretHash::of(secret.expose_secret()),
        name: name.to_owned(),
        scope,
        created_at: nixfleet_core::Timestamp::EPOCH,
        expires_at: None,
        last_used_at: None,
    };
    server.store.insert_token(record).await.unwrap();
    secret.expose_secret().to_owned()
}

type Socket = WebSocketStream<TcpStream>;

async fn open(address: SocketAddr, path: &str, bearer: Option<&str>) -> Socket {
    let mut request = format!("ws://{address}{path}")
        .into_client_request()
        .unwrap();
    if let Some(bearer) = bearer {
        let value = format!("Bearer {bearer}").parse().unwrap();
        request.headers_mut().insert("authorization", value);
    }
    let stream = TcpStream::connect(address).await.unwrap();
    within(tokio_tungstenite::client_async(request, stream))
        .await
        .unwrap()
        .0
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("nothing came")
}

/// A client of the live feed.
pub struct Follower {
    pub socket: Socket,
    pub replica: Replica,
}

impl Follower {
    /// Takes in the next message; asks for the state where the protocol says so.
    pub async fn step(&mut self) -> ServerMessage {
        loop {
            let message = within(self.socket.next()).await;
            let Some(Ok(Message::Text(text))) = message else {
                assert!(
                    matches!(message, Some(Ok(Message::Ping(_)))),
                    "the feed ended: {message:?}"
                );
                continue;
            };
            let message: ServerMessage = serde_json::from_str(&text).unwrap();
            if self.replica.apply(message.clone()) == ReplicaStep::AskForState {
                self.ask_for_state().await;
            }
            return message;
        }
    }

    pub async fn ask_for_state(&mut self) {
        let ask = Message::text(r#"{"type":"get_state"}"#);
        self.socket.send(ask).await.unwrap();
    }
}

/// An agent.
pub struct Agent {
    pub socket: Socket,
}

impl Agent {
    pub async fn connect(world: &World) -> Self {
        Self::connect_with(world, AGENT_TOKEN).await
    }

    pub async fn connect_with(world: &World, token: &str) -> Self {
        Self {
            socket: open(world.server.address, "/ws", Some(token)).await,
        }
    }

    /// One of ours, registered.
    pub async fn ours(world: &World, host: &str, at: &Revision) -> Self {
        let mut agent = Self::connect(world).await;
        agent.register(host, at).await;
        agent
    }

    /// Registers as one of ours and waits for the answer.
    pub async fn register(&mut self, host: &str, at: &Revision) {
        let ours = json!({
            "hostname": host,
            "host_type": "nixos",
            "agent_version": env!("CARGO_PKG_VERSION"),
            "heartbeat_interval": 5,
            "protocol": 1,
            "capabilities": ["commands", "lock", "deployed"],
            "instance_id": format!("instance-of-{host}"),
            "boot_id": "boot-1",
        });
        self.say("register", merged(ours, at.facts())).await;
        let (kind, payload) = self.hear().await;
        assert_eq!(kind, "registered");
        assert_eq!(payload["host_id"], host);
    }

    pub async fn say(&mut self, kind: &str, payload: Value) {
        let text = json!({ "type": kind, "payload": payload }).to_string();
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub async fn say_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next frame of the server: its type and its payload.
    pub async fn hear(&mut self) -> (String, Value) {
        loop {
            match within(self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    let kind = frame["type"].as_str().unwrap().to_owned();
                    return (kind, frame["payload"].clone());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("expected a frame, got {other:?}"),
            }
        }
    }

    /// The next frame, which is of this type.
    pub async fn hear_only(&mut self, wanted: &str) -> Value {
        let (kind, payload) = self.hear().await;
        assert_eq!(kind, wanted, "{payload}");
        payload
    }

    /// The code and reason with which the server ends the connection; nothing else may come.
    pub async fn hear_close(&mut self) -> (u16, String) {
        loop {
            match within(self.socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("expected a close frame, got {other:?}"),
            }
        }
    }

    /// Takes in a pull and reports that it brought its target.
    pub async fn pulls(&mut self, to: &Revision) -> Value {
        let command = self.hear_command().await;
        assert_eq!(command["command"], "pull", "{command}");
        assert_eq!(command["target"]["commit"], json!(to.commit));
        self.finish(&command, 0, to).await;
        command
    }

    /// Takes in a switch and reports its end, as generation `number`.
    pub async fn switches(&mut self, to: &Revision, number: u64, exit_code: i64) -> Value {
        let command = self.hear_command().await;
        assert_eq!(command["command"], "switch", "{command}");
        let mut after = to.facts();
        if exit_code == 0 {
            after = merged(after, running(to, number, &command["command_id"]));
        }
        let status = json!({
            "status": if exit_code == 0 { "ok" } else { "error" },
            "command": "switch",
            "exit_code": exit_code,
            "command_id": command["command_id"],
            "seq": command["seq"],
        });
        self.say("status", merged(status, after.clone())).await;
        self.hear_only("confirm").await;
        self.say("heartbeat", after).await;
        command
    }

    /// It gets no order within a moment. A result may be confirmed more than once.
    pub async fn hears_nothing(&mut self) {
        let end = Instant::now() + Duration::from_millis(300);
        while let Ok((kind, payload)) = tokio::time::timeout_at(end, self.hear()).await {
            assert_eq!(kind, "confirm", "unexpected: {payload}");
        }
    }

    /// The next command; results may be confirmed more than once before it.
    pub async fn hear_command(&mut self) -> Value {
        loop {
            match self.hear().await {
                (kind, payload) if kind == "command" => return payload,
                (kind, payload) => assert_eq!(kind, "confirm", "unexpected: {payload}"),
            }
        }
    }

    /// Reports the end of a command and the facts after it, as our agent does.
    pub async fn finish(&mut self, command: &Value, exit_code: i64, after: &Revision) {
        let id = &command["command_id"];
        let status = json!({
            "status": if exit_code == 0 { "ok" } else { "error" },
            "command": command["command"],
            "exit_code": exit_code,
            "command_id": id,
            "seq": command["seq"],
        });
        self.say("status", merged(status, after.facts())).await;
        let confirm = self.hear_only("confirm").await;
        assert_eq!(confirm["command_id"], *id);
        self.say("heartbeat", after.facts()).await;
    }
}

/// The store path of a generation.
fn path_of(number: u64) -> String {
    let digits = "0123456789abcdfghijklmnpqrsvwxyz".chars().cycle();
    let skipped = digits.skip(usize::try_from(number).unwrap());
    let hash: String = skipped.take(32).collect();
    format!("/nix/store/{hash}-nixos-system-{number}")
}

/// The facts of a host that was switched by a command.
pub fn running(to: &Revision, number: u64, command: &Value) -> Value {
    let path = path_of(number);
    json!({
        "deployed": {
            "commit": to.commit, "lock_hash": to.lock, "store_path": path, "clean": true,
            "command_id": command,
        },
        "system": {
            "path": path, "booted_path": path, "configuration_revision": to.commit,
            "generation_number": number, "reboot_required": false,
        },
        "generations": [
            {"number": number, "path": path, "commit": to.commit, "current": true},
            {"number": number - 1, "path": path_of(number - 1), "current": false},
        ],
    })
}

pub fn merged(mut into: Value, from: Value) -> Value {
    let (Value::Object(target), Value::Object(source)) = (&mut into, from) else {
        panic!("both are objects");
    };
    target.extend(source);
    into
}
