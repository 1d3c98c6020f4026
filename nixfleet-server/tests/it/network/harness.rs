//! A server on a free port, and a client that sends exactly the bytes it is told to.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use nixfleet_core::Timestamp;
use nixfleet_server::auth::secret::{SecretKind, fresh};
use nixfleet_server::auth::{
    Auth, AuthSettings, Budget, CredentialStore, LoginBudgets, MemoryCredentials, PasswordHash,
    Permission, Role, SecretHash, TokenRecord, TokenScope, filters,
};
use nixfleet_server::clock::Clock;
use nixfleet_server::net::{
    self, CloseReason, Drain, Limits, Received, Site, Socket, SocketLimits, Upgrade, body,
    websocket,
};
use nixfleet_server::routes::{self, Route, any_of, health::Readiness};
use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_util::sync::CancellationToken;
use warp::Filter;

pub const PASSWORD: &str = "open sesame";
pub const AGENT_TOKEN: &str = "shared-agent-token-for-tests";
/// Instead of a header line: a request with a cookie that does not tell where it comes from.
pub const NO_ORIGIN: &str = "(no origin)";
/// Nothing here takes this long unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    pub address: SocketAddr,
    pub store: Arc<MemoryCredentials>,
    pub clock: Clock,
    /// Why each WebSocket of the server ended.
    pub ended: mpsc::UnboundedReceiver<CloseReason>,
    shutdown: CancellationToken,
    task: JoinHandle<Drain>,
}

pub struct Setup {
    pub limits: Limits,
    pub socket: SocketLimits,
    pub site: Site,
    pub budgets: LoginBudgets,
}

impl Default for Setup {
    fn default() -> Self {
        let generous = Budget {
            burst: NonZeroU32::new(1000).unwrap(),
            every: Duration::from_millis(1),
        };
        Self {
            limits: Limits::default(),
            socket: SocketLimits::AGENT,
            site: Site::new(true, None, &[]),
            budgets: LoginBudgets {
                peer: generous,
                account: generous,
                all: generous,
            },
        }
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let clock = Clock::manual(Timestamp::from_seconds(1_780_000_000));
        let store = Arc::new(MemoryCredentials::new());
        let settings = AuthSettings {
            password: cheap_hash(),
            agent_token: AGENT_TOKEN.into(),
            site: setup.site.clone(),
            budgets: setup.budgets,
        };
        let auth = Arc::new(Auth::new(settings, store.clone(), clock.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let (sender, ended) = mpsc::unbounded_channel();
        let routes = test_routes(&auth, setup.socket, sender);
        let task = tokio::spawn(net::serve(
            listener,
            routes,
            setup.site,
            setup.limits,
            shutdown.clone(),
        ));
        let housekeeper = auth.clone();
        let until = shutdown.clone();
        tokio::spawn(async move { housekeeper.housekeeping(until).await });
        Self {
            address,
            store,
            clock,
            ended,
            shutdown,
            task,
        }
    }

    /// Sends bytes and reads the whole answer.
    pub async fn send(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        Answer::read(&mut stream).await
    }

    /// A request with these further header lines; what carries a cookie is a browser and tells the
    /// origin of the page, unless it says otherwise.
    pub async fn ask(&self, line: &str, headers: &[&str]) -> Answer {
        self.ask_with_body(line, headers, "").await
    }

    pub async fn ask_with_body(&self, line: &str, headers: &[&str], body: &str) -> Answer {
        let host = if headers.iter().any(|header| header.starts_with("Host:")) {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address)
        };
        let has = |name: &str| headers.iter().any(|header| header.starts_with(name));
        let is_browser = has("Cookie:") && !has("Host:") && !has("Origin:") && !has(NO_ORIGIN);
        let origin = is_browser.then(|| format!("Origin: {}\r\n", self.origin()));
        let headers: String = headers
            .iter()
            .filter(|header| **header != NO_ORIGIN)
            .map(|header| format!("{header}\r\n"))
            .chain(origin)
            .collect();
        let length = if line.starts_with("GET") {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let request =
            format!("{line} HTTP/1.1\r\n{host}Connection: close\r\n{length}{headers}\r\n{body}");
        self.send(request.as_bytes()).await
    }

    /// Logs in and answers the cookie header line.
    pub async fn log_in(&self) -> String {
        let answer = self.login_form(PASSWORD).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        format!("Cookie: {}", answer.cookie())
    }

    pub async fn login_form(&self, password: &str) -> Answer {
        let body = format!("next=%2F&password={}", password.replace(' ', "+"));
        self.ask_with_body(
            "POST /login",
            &["Content-Type: application/x-www-form-urlencoded"],
            &body,
        )
        .await
    }

    pub async fn ticket(&self, cookie: &str) -> String {
        let answer = self.ask("POST /api/v1/live/ticket", &[cookie]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["ticket"].as_str().unwrap().to_owned()
    }

    pub async fn make_token(
        &self,
        name: &str,
        scope: TokenScope,
        expires_in: Option<Duration>,
    ) -> String {
        let kind = match &scope {
            TokenScope::Api(_) => SecretKind::ApiToken,
            TokenScope::Agent(_) => SecretKind::AgentToken,
        };
        let secret = fresh(kind).unwrap();
        let record = TokenRecord {
            hash: SecretHash::of(secret.expose_secret()),
            name: name.to_owned(),
            scope,
            created_at: self.clock.now(),
            expires_at: expires_in.map(|lifetime| self.clock.now() + lifetime),
            last_used_at: None,
        };
        self.store.insert_token(record).await.unwrap();
        secret.expose_secret().to_owned()
    }

    pub async fn role_token(&self, role: Role) -> String {
        self.make_token(role.as_str(), TokenScope::Api(role), None)
            .await
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Opens a WebSocket with these further header lines, or answers the status of the refusal.
    pub async fn open(
        &self,
        path: &str,
        headers: &[&str],
    ) -> Result<WebSocketStream<TcpStream>, u16> {
        let mut request = format!("ws://{}{path}", self.address)
            .into_client_request()
            .unwrap();
        for header in headers {
            let (name, value) = header.split_once(": ").unwrap();
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        match timeout(PATIENCE, tokio_tungstenite::client_async(request, stream))
            .await
            .unwrap()
        {
            Ok((socket, _)) => Ok(socket),
            Err(WsError::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn open_agent(&self) -> WebSocketStream<TcpStream> {
        let bearer = format!("Authorization: Bearer {AGENT_TOKEN}");
        self.open("/ws", &[&bearer]).await.unwrap()
    }

    pub fn begin_shutdown(&self) {
        self.shutdown.cancel();
    }

    pub async fn stopped(self) -> Drain {
        self.shutdown.cancel();
        timeout(PATIENCE, self.task)
            .await
            .expect("the server hangs at shutdown")
            .unwrap()
    }

    pub async fn next_end(&mut self) -> CloseReason {
        timeout(PATIENCE, self.ended.recv())
            .await
            .expect("no socket ended")
            .unwrap()
    }
}

/// As weak as bcrypt allows: these tests are about what follows from the answer.
fn cheap_hash() -> PasswordHash {
    bcrypt::hash(PASSWORD, 4).unwrap().parse().unwrap()
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut bytes))
            .await
            .expect("no answer")
            .ok();
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.and_then(|status| status.parse().ok()).unwrap_or(0),
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is there twice");
        first
    }

    pub fn cookie(&self) -> &str {
        self.header("set-cookie")
            .expect("no cookie")
            .split(';')
            .next()
            .unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        let body = self.body.trim();
        // A body without a length comes in chunks; here it is always a single one.
        let single = body
            .split("\r\n")
            .find(|line| line.starts_with('{'))
            .unwrap_or(body);
        serde_json::from_str(single).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// The code and reason of the close frame that comes next; other messages are skipped.
pub async fn close_code(socket: &mut WebSocketStream<TcpStream>) -> Option<(u16, String)> {
    use futures_util::StreamExt;
    let end = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(frame))) => {
                    return frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    };
    timeout(PATIENCE, end).await.expect("the socket stays open")
}

fn test_routes(
    auth: &Arc<Auth>,
    socket: SocketLimits,
    ended: mpsc::UnboundedSender<CloseReason>,
) -> Route {
    let needs = |name: &'static str, permission: Permission| {
        warp::path!("api" / ..)
            .and(warp::path(name))
            .and(warp::path::end())
            .and(filters::require(auth, permission))
            .map(|_| routes::json(http::StatusCode::OK, &"done"))
            .boxed()
    };
    let echo = warp::path!("echo")
        .and(warp::post())
        .and(body::bytes())
        .map(|bytes: bytes::Bytes| {
            routes::content(http::StatusCode::OK, "text/plain", bytes.len().to_string())
        })
        .boxed();
    let json = warp::path!("json")
        .and(warp::post())
        .and(body::json::<serde_json::Value>())
        .map(|value| routes::json(http::StatusCode::OK, &value))
        .boxed();
    let large = warp::path!("large")
        .map(|| {
            routes::content(
                http::StatusCode::OK,
                "text/plain",
                "0123456789".repeat(1000),
            )
        })
        .boxed();
    let panics = warp::path!("panic")
        .map(|| -> warp::reply::Response { panic!("canary-in-a-panic") })
        .boxed();
    let agents_ended = ended.clone();
    let agents = warp::path!("ws")
        .and(warp::get())
        .and(filters::require_agent(auth))
        .and(websocket())
        .map(move |_identity, upgrade: Upgrade| {
            let ended = agents_ended.clone();
            upgrade.start(socket, move |socket| echo_back(socket, ended))
        })
        .boxed();
    let watcher = auth.clone();
    let live = warp::path!("api" / "v1" / "live")
        .and(warp::get())
        .and(filters::require_live(auth))
        .and(websocket())
        .map(move |principal, upgrade: Upgrade| {
            let (revocation, ended) = (watcher.watch(&principal), ended.clone());
            upgrade.start(socket, move |mut socket| async move {
                tokio::select! {
                    () = revocation.revoked() => socket.close(1008, "logged out").await,
                    Received::Closed(reason) = socket.receive() => {
                        ended.send(reason).ok();
                    }
                }
            })
        })
        .boxed();
    let stubborn = warp::path!("stubborn")
        .and(websocket())
        .map(move |upgrade: Upgrade| upgrade.start(socket, |_socket| std::future::pending()))
        .boxed();
    // Reads the whole path, which is what a CONNECT request must never reach.
    let any_path = warp::path::full()
        .and_then(|_| async { Err::<warp::reply::Response, _>(warp::reject::not_found()) })
        .boxed();
    any_of([
        routes::auth::routes(auth),
        routes::assets::routes(),
        routes::assets::page(auth),
        routes::health::routes(Readiness::new().with("store", || async { Ok(()) })),
        needs("read", Permission::Read),
        needs("operate", Permission::Operate),
        needs("deploy", Permission::Deploy),
        needs("administer", Permission::Administer),
        echo,
        json,
        large,
        panics,
        agents,
        live,
        stubborn,
        any_path,
    ])
}

async fn echo_back(mut socket: Socket, ended: mpsc::UnboundedSender<CloseReason>) {
    loop {
        match socket.receive().await {
            Received::Text(text) => {
                socket.send(text).await.ok();
            }
            Received::Binary(_) => {}
            Received::Closed(reason) => {
                ended.send(reason).ok();
                return;
            }
        }
    }
}
