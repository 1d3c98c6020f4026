//! A live copy of the server's state over the sync protocol, as a browser keeps one.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::header::{COOKIE, HeaderValue, ORIGIN};
use nixfleet_core::sync::{ClientMessage, Replica, ReplicaStep, ServerMessage, SyncState};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::client::Api;
use super::error::{DemoError, DemoResult};
use super::rows::Row;

const CONNECT_AGAIN: Duration = Duration::from_millis(100);

/// A replica that stays connected, through restarts of the server as well.
#[derive(Debug)]
pub struct Live {
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

/// What the replica holds at one moment.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The copy.
    pub replica: Replica,
    /// Whether it is connected and complete.
    pub current: bool,
    /// Why the last connection ended or was refused.
    pub trouble: Option<String>,
}

impl Live {
    /// Connects with the session of `api`, and again whenever the connection is lost.
    #[must_use]
    pub fn start(api: Api) -> Self {
        let (sender, seen) = watch::channel(Seen::default());
        let task = tokio::spawn(async move {
            loop {
                let trouble = match follow(&api, &sender).await {
                    Ok(()) => "the server closed the connection".to_owned(),
                    Err(error) => error.to_string(),
                };
                sender.send_modify(|seen| {
                    seen.current = false;
                    seen.trouble = Some(trouble);
                });
                tokio::time::sleep(CONNECT_AGAIN).await;
            }
        });
        Self { seen, task }
    }

    /// What it holds now.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits for the next message, at most this long.
    pub async fn change(&mut self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.seen.changed()).await;
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    /// The state.
    #[must_use]
    pub fn state(&self) -> &SyncState {
        self.replica.state()
    }

    /// The five statuses of every host, by its name.
    #[must_use]
    pub fn rows(&self) -> BTreeMap<String, Row> {
        let statuses = self.state().statuses.iter();
        statuses
            .map(|(id, status)| (id.to_string(), Row(status.s)))
            .collect()
    }
}

async fn follow(api: &Api, sender: &watch::Sender<Seen>) -> DemoResult<()> {
    let mut socket = connect(api).await?;
    sender.send_modify(|seen| seen.replica = Replica::new());
    while let Some(message) = socket.next().await {
        match message.map_err(|error| broken(&error))? {
            Message::Text(text) => {
                let message: ServerMessage =
                    serde_json::from_str(&text).map_err(|error| broken(&error))?;
                let mut step = ReplicaStep::Unchanged;
                sender.send_modify(|seen| {
                    step = seen.replica.apply(message);
                    seen.current |= seen.replica.version().is_some();
                    seen.trouble = None;
                });
                if step == ReplicaStep::AskForState {
                    let ask = serde_json::to_string(&ClientMessage::GetState)
                        .map_err(|error| broken(&error))?;
                    let sent = socket.send(Message::text(ask)).await;
                    sent.map_err(|error| broken(&error))?;
                }
            }
            Message::Close(frame) => {
                return Err(broken(&format!("closed by the server: {frame:?}")));
            }
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    Ok(())
}

async fn connect(api: &Api) -> DemoResult<WebSocketStream<TcpStream>> {
    let cookie = api.cookie().ok_or_else(|| broken(&"a session is needed"))?;
    let answer = api
        .request(http::Method::POST, "/api/v1/live/ticket", None)
        .await?;
    let ticket = answer.body.get("ticket").and_then(|value| value.as_str());
    let ticket = ticket.ok_or_else(|| answer.unexpected("POST /api/v1/live/ticket"))?;
    let authority = api.origin().trim_start_matches("http://");
    let mut request = format!("ws://{authority}/api/v1/live?ticket={ticket}")
        .into_client_request()
        .map_err(|error| broken(&error))?;
    let header = |text: &str| HeaderValue::from_str(text).map_err(|error| broken(&error));
    request.headers_mut().insert(COOKIE, header(cookie)?);
    request.headers_mut().insert(ORIGIN, header(api.origin())?);
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
        request: "GET /api/v1/live".to_owned(),
        problem: problem.to_string(),
    }
}
