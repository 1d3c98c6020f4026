//! The accept loop and the life of a connection.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;
use warp::filters::BoxedFilter;

use super::guarded_io::GuardedIo;
use super::limits::{Limits, Slot, Slots};
use super::site::Site;
use super::stack::{self, ResponseBody};

/// Where connections come from.
pub trait Listener: Send + 'static {
    /// One connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// The next connection and who is at its other end. Must be safe to cancel.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, SocketAddr)>> + Send;
}

impl Listener for TcpListener {
    type Io = TcpStream;
    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok((stream, peer))
    }
}

/// What a request knows about the connection it came over; an extension of every request.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Who is at the other end, an IPv4 address as such.
    pub peer: SocketAddr,
    pub(super) shutdown: CancellationToken,
    pub(super) abort: CancellationToken,
    pub(super) tasks: TaskTracker,
    pub(super) slot: Arc<Slot>,
}

impl Connection {
    /// The address of the peer.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.peer.ip()
    }
}

/// How the server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// Every connection ended by itself in time.
    Complete,
    /// This many connections were cut at the deadline.
    Cut(usize),
}

/// Serves `routes` on `listener` until `shutdown` is cancelled and every connection has ended, or
/// was cut at the deadline.
pub async fn serve<L: Listener>(
    mut listener: L,
    routes: BoxedFilter<(warp::reply::Response,)>,
    site: Site,
    limits: Limits,
    shutdown: CancellationToken,
) -> Drain {
    let service = stack::build(routes, site, &limits);
    let slots = Slots::new(&limits);
    let tasks = TaskTracker::new();
    let abort = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = next(&mut listener, &slots) => accepted,
        };
        let Some((io, peer, slot)) = accepted else {
            continue;
        };
        let connection = Connection {
            peer,
            shutdown: shutdown.clone(),
            abort: abort.clone(),
            tasks: tasks.clone(),
            slot: Arc::new(slot),
        };
        tasks.spawn(until_cut(
            abort.clone(),
            converse(io, connection, service.clone(), limits.clone()),
        ));
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(limits.drain, tasks.wait())
        .await
        .is_ok()
    {
        return Drain::Complete;
    }
    let open = tasks.len();
    tracing::warn!(
        open,
        "connections were still open at the shutdown deadline; cutting them"
    );
    abort.cancel();
    tasks.wait().await;
    Drain::Cut(open)
}

async fn next<L: Listener>(listener: &mut L, slots: &Slots) -> Option<(L::Io, SocketAddr, Slot)> {
    let permit = slots.wait().await?;
    match listener.accept().await {
        Ok((io, peer)) => {
            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            let slot = slots.take(permit, peer.ip());
            if slot.is_none() {
                tracing::debug!(%peer, "refused: this address has too many open connections");
            }
            Some((io, peer, slot?))
        }
        Err(error) => {
            // A peer that is gone again concerns nobody; out of descriptors, pause a little.
            if !is_about_one_peer(&error) {
                tracing::error!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            None
        }
    }
}

fn is_about_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::InvalidInput
    )
}

pub(super) async fn until_cut(abort: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = abort.cancelled() => {}
    }
}

async fn converse<I, S>(io: I, connection: Connection, service: S, limits: Limits)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<ResponseBody>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let peer = connection.peer;
    let shutdown = connection.shutdown.clone();
    let service = tower::ServiceBuilder::new()
        .map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(connection.clone());
            request
        })
        .service(service);
    let io = TokioIo::new(GuardedIo::new(io, limits.first_byte, limits.write_stall));
    let mut http = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_read)
            .max_header_size(limits.header_bytes)
            .max_headers(limits.headers)
            .serve_connection(io, TowerToHyperService::new(service))
            .with_upgrades()
    );
    let ended = tokio::select! {
        ended = http.as_mut() => ended,
        () = shutdown.cancelled() => {
            http.as_mut().graceful_shutdown();
            http.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended early");
    }
}
