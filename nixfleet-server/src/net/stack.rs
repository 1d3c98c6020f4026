//! The middleware around the router, outermost first.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, STRICT_TRANSPORT_SECURITY,
};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::csrf::{CsrfLayer, ProtectionError};
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{
    MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::timeout::TimeoutLayer;
use warp::Filter;
use warp::filters::BoxedFilter;

use super::limits::Limits;
use super::site::Site;
use crate::auth::{has_session_cookie, is_same_origin};
use crate::reject::{self, PROBLEM_JSON, Problem, bad_request, standard};

/// The body of every response.
pub type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// What a page of this server may load and do: only what comes from this server.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; \
     frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'";

/// Headers of every response that does not set its own.
pub const SECURITY_HEADERS: &[(&str, &str)] = &[
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    // Not `no-referrer`: with it, browsers send `Origin: null` along with our own login form.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) fn build(
    routes: BoxedFilter<(warp::reply::Response,)>,
    site: Site,
    limits: &Limits,
) -> impl Service<
    Request<Incoming>,
    Response = Response<ResponseBody>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<ResponseBody>, Infallible>> + Send,
> + Clone
+ Send
+ 'static {
    let router = warp::service(routes.recover(reject::recover).unify());
    let inner = ServiceBuilder::new()
        .layer(SetRequestIdLayer::new(REQUEST_ID, FreshId))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(GuardLayer(site.clone()))
        .layer(csrf(&site))
        .layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            limits.request,
        ))
        .layer(RequestBodyLimitLayer::new(limits.body_bytes))
        .service(router);
    let secure = site
        .public_origin()
        .is_some_and(|origin| origin.starts_with("https://"));
    tower::service_fn(move |mut request: Request<Incoming>| {
        let inner = inner.clone();
        async move {
            drop_foreign_id(&mut request);
            let line = format!("{} {}", request.method(), request.uri().path());
            let started = Instant::now();
            let response = finish(inner.oneshot(request).await?, secure);
            tracing::debug!(
                request = %line,
                status = response.status().as_u16(),
                milliseconds = started.elapsed().as_millis(),
                id = request_id(&response).unwrap_or_default(),
                "answered"
            );
            Ok(response)
        }
    })
}

#[derive(Clone, Copy)]
struct FreshId;

impl MakeRequestId for FreshId {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        let id = uuid::Uuid::new_v4().to_string();
        HeaderValue::from_str(&id).ok().map(RequestId::new)
    }
}

/// An id that came with the request is kept only if it cannot disturb a log line.
fn drop_foreign_id<B>(request: &mut Request<B>) {
    let tame = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        (1..=64).contains(&bytes.len())
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let mut ids = request.headers().get_all(&REQUEST_ID).iter();
    let keep = ids.next().is_some_and(tame) && ids.next().is_none();
    if !keep {
        request.headers_mut().remove(&REQUEST_ID);
    }
}

fn csrf(site: &Site) -> CsrfLayer {
    let layer = CsrfLayer::new();
    match site.public_origin() {
        // An origin that came out of a parsed URL is well-formed; without it the layer is stricter.
        Some(origin) => layer.clone().add_trusted_origin(origin).unwrap_or(layer),
        None => layer,
    }
}

// Taken by value because the layer says so.
#[allow(clippy::needless_pass_by_value)]
fn answer_panic(panic: Box<dyn Any + Send>) -> Response<Full<Bytes>> {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(message, "a request handler panicked");
    let mut response = Response::default();
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// Gives an answer of the middleware its document, and every response its headers.
fn finish<B>(response: Response<B>, secure: bool) -> Response<ResponseBody>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let problem = problem_of(&response);
    let id = request_id(&response);
    let (mut head, body) = response.into_parts();
    let body = match problem {
        Some(problem) => {
            head.headers.remove(CONTENT_LENGTH);
            // A compressed body is replaced by one that is not.
            head.headers.remove(CONTENT_ENCODING);
            head.headers.insert(CONTENT_TYPE, PROBLEM_JSON);
            for (name, value) in problem.headers() {
                head.headers.insert(name.clone(), value.clone());
            }
            let document = Full::new(problem.document(id.as_deref()));
            document.map_err(|never| match never {}).boxed_unsync()
        }
        None => body.map_err(Into::into).boxed_unsync(),
    };
    for (name, value) in SECURITY_HEADERS {
        head.headers
            .entry(*name)
            .or_insert(HeaderValue::from_static(value));
    }
    head.headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if secure {
        head.headers
            .entry(STRICT_TRANSPORT_SECURITY)
            .or_insert(HeaderValue::from_static("max-age=31536000"));
    }
    Response::from_parts(head, body)
}

/// The problem to render: one that was attached on the way, or the standard one for an error that
/// a layer answered without a document of its own.
fn problem_of<B>(response: &Response<B>) -> Option<Problem> {
    if let Some(problem) = response.extensions().get::<Problem>() {
        return Some(problem.clone());
    }
    if response.extensions().get::<ProtectionError>().is_some() {
        return Some(cross_origin());
    }
    let status = response.status();
    let from_layer = response
        .headers()
        .get(CONTENT_TYPE)
        .is_none_or(|media| media.as_bytes().starts_with(b"text/plain"));
    ((status.is_client_error() || status.is_server_error()) && from_layer).then(|| standard(status))
}

fn request_id<B>(response: &Response<B>) -> Option<String> {
    Some(
        response
            .headers()
            .get(&REQUEST_ID)?
            .to_str()
            .ok()?
            .to_owned(),
    )
}

/// Refuses what must not reach the router: its filters panic on a target without a path, and a
/// name that is not ours is an attempt at DNS rebinding.
#[derive(Clone)]
struct GuardLayer(Site);

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;
    fn layer(&self, inner: S) -> Guard<S> {
        Guard {
            inner,
            site: self.0.clone(),
        }
    }
}

#[derive(Clone)]
struct Guard<S> {
    inner: S,
    site: Site,
}

type GuardFuture<B> = Pin<Box<dyn Future<Output = Result<Response<B>, Infallible>> + Send>>;

impl<S, A, B> Service<Request<A>> for Guard<S>
where
    S: Service<Request<A>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Default + Send + 'static,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = GuardFuture<B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        match refusal(&request, &self.site) {
            None => Box::pin(self.inner.call(request)),
            Some(problem) => {
                let mut response = Response::new(B::default());
                *response.status_mut() = problem.status();
                response.extensions_mut().insert(problem);
                Box::pin(std::future::ready(Ok(response)))
            }
        }
    }
}

fn refusal<A>(request: &Request<A>, site: &Site) -> Option<Problem> {
    let uri = request.uri();
    let in_origin_form =
        uri.scheme().is_none() && uri.authority().is_none() && uri.path().starts_with('/');
    if request.method() == Method::CONNECT || !in_origin_form {
        return Some(bad_request(
            "the request target must be a path; this is not a proxy",
        ));
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    match (host, hosts.next()) {
        (None, _) => Some(bad_request("the Host header is missing or unreadable")),
        (Some(_), Some(_)) => Some(bad_request("there is more than one Host header")),
        (Some(host), None) if !site.answers_for(host) => {
            tracing::info!(?host, "refused a request for a host name that is not ours");
            Some(standard(StatusCode::MISDIRECTED_REQUEST).detail(
                "set NIXFLEET_PUBLIC_URL to the address under which people and agents reach this \
                 server; further names go to NIXFLEET_ALLOWED_HOSTS",
            ))
        }
        (Some(_), None) => forged(request, site),
    }
}

/// A browser attaches our cookie to whatever a page makes it send, and tells with every request that
/// changes something from where it comes; without that, a cookie proves nobody's wish.
fn forged<A>(request: &Request<A>, site: &Site) -> Option<Problem> {
    let headers = request.headers();
    let changes = !request.method().is_safe();
    if !changes || !has_session_cookie(headers) || is_same_origin(headers, site) {
        return None;
    }
    Some(cross_origin())
}

fn cross_origin() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "cross_origin",
        "A page of another site may not do this",
    )
    .detail(
        "the request carries a session, but not the origin of this server's own pages; programs use \
         an API token; behind a proxy, set NIXFLEET_PUBLIC_URL to the address people use and forward \
         the Host header unchanged",
    )
}
