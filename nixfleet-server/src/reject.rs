//! Every answer that is not a success: RFC 9457 problem documents with a stable `code`.
//!
//! What a client reads is written here by hand. A rejection of the router is only ever looked at to
//! find out which of these answers it is; its debug text goes nowhere.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value};
use warp::reject::Rejection;
use warp::reply::Response;

/// The media type of a problem document.
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// One answer that is not a success.
#[derive(Clone, Debug)]
pub struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    status: StatusCode,
    code: Cow<'static, str>,
    title: Cow<'static, str>,
    detail: Option<String>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    word: Option<&'static str>,
}

impl Problem {
    /// A problem with its HTTP status, its stable code and a short sentence that is the same every
    /// time the code appears.
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Parts {
            status,
            code: code.into(),
            title: title.into(),
            detail: None,
            members: Map::new(),
            headers: Vec::new(),
            word: None,
        }))
    }

    /// What is particular to this occurrence, and what to do about it.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// A further member of the document.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(member.to_owned(), value.into());
        self
    }

    /// A header of the response.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// What happened, in one sentence for people.
    #[must_use]
    pub fn message(&self) -> String {
        let detail = self.0.detail.clone();
        detail.unwrap_or_else(|| self.0.title.clone().into_owned())
    }

    /// The document with a word in the member `status`, as existing tools expect it, instead of
    /// the number that is also the status of the response.
    #[must_use]
    pub fn spoken(mut self, word: &'static str) -> Self {
        self.0.word = Some(word);
        self
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The document, naming the request it answers if that is known.
    #[must_use]
    pub fn document(&self, request_id: Option<&str>) -> Bytes {
        let mut document = self.0.members.clone();
        let fixed = [
            (
                "type",
                Some(format!("urn:nixfleet:problem:{}", self.0.code)),
            ),
            ("title", Some(self.0.title.clone().into_owned())),
            ("code", Some(self.0.code.clone().into_owned())),
            ("detail", self.0.detail.clone()),
            ("request_id", request_id.map(str::to_owned)),
        ];
        let status = match self.0.word {
            Some(word) => word.into(),
            None => self.0.status.as_u16().into(),
        };
        document.insert("status".to_owned(), status);
        for (member, value) in fixed {
            if let Some(value) = value {
                document.insert(member.to_owned(), value.into());
            }
        }
        Value::Object(document).to_string().into()
    }

    /// The headers of the response, without those every response carries.
    #[must_use]
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.headers
    }

    /// The whole response.
    #[must_use]
    pub fn into_response(self) -> Response {
        let mut response = Response::new(self.document(None).into());
        *response.status_mut() = self.0.status;
        response.headers_mut().insert(CONTENT_TYPE, PROBLEM_JSON);
        for (name, value) in self.0.headers.clone() {
            response.headers_mut().insert(name, value);
        }
        // The middleware renders the document again once it knows the id of the request.
        response.extensions_mut().insert(self);
        response
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.title, self.0.code)?;
        self.0
            .detail
            .as_ref()
            .map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

impl warp::reject::Reject for Problem {}

/// A page was asked for without a valid session; answered by sending the browser to the login.
#[derive(Clone, Debug)]
pub struct LoginRequired {
    /// The path to come back to.
    pub next: String,
}

impl warp::reject::Reject for LoginRequired {}

/// 400: the request cannot be understood.
pub fn bad_request(detail: impl Into<String>) -> Problem {
    standard(StatusCode::BAD_REQUEST).detail(detail)
}

/// 401: no valid credential.
pub fn unauthenticated(detail: impl Into<String>) -> Problem {
    standard(StatusCode::UNAUTHORIZED).detail(detail).header(
        WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"nixfleet\""),
    )
}

/// 403: a valid credential that does not allow this.
pub fn forbidden(detail: impl Into<String>) -> Problem {
    standard(StatusCode::FORBIDDEN).detail(detail)
}

/// 404: no such thing.
pub fn not_found(detail: impl Into<String>) -> Problem {
    standard(StatusCode::NOT_FOUND).detail(detail)
}

/// 429: asked too often; says when to try again, in whole seconds, at least one.
pub fn too_many_requests(retry_after: Duration, detail: impl Into<String>) -> Problem {
    let seconds = retry_after.as_millis().div_ceil(1000).max(1);
    standard(StatusCode::TOO_MANY_REQUESTS)
        .detail(detail)
        .with("retry_after", u64::try_from(seconds).unwrap_or(u64::MAX))
        .header(RETRY_AFTER, seconds_header(seconds))
}

/// 503: something the server needs is not available; tells what, not why.
pub fn unavailable(detail: impl Into<String>) -> Problem {
    standard(StatusCode::SERVICE_UNAVAILABLE)
        .detail(detail)
        .header(RETRY_AFTER, HeaderValue::from_static("5"))
}

/// The problem for a bare status, with the code of [`STANDARD`].
#[must_use]
pub fn standard(status: StatusCode) -> Problem {
    let row = STANDARD
        .iter()
        .find(|(number, ..)| *number == status.as_u16());
    match row {
        Some((_, code, title)) => Problem::new(status, *code, *title),
        None => Problem::new(
            status,
            "http_error",
            status.canonical_reason().unwrap_or("The request failed"),
        ),
    }
}

/// Status, code and title of the problems that need no knowledge of the product.
pub const STANDARD: &[(u16, &str, &str)] = &[
    (400, "bad_request", "The request cannot be understood"),
    (401, "unauthenticated", "A valid credential is required"),
    (403, "forbidden", "This credential does not allow this"),
    (404, "not_found", "There is nothing here"),
    (
        405,
        "method_not_allowed",
        "This path does not take this method",
    ),
    (408, "timeout", "The request took too long"),
    (
        409,
        "conflict",
        "The request does not fit the present state",
    ),
    (
        411,
        "length_required",
        "The request must say how long its body is",
    ),
    (
        413,
        "body_too_large",
        "The body of the request is too large",
    ),
    (
        415,
        "unsupported_media_type",
        "The body has a media type that is not taken here",
    ),
    (
        421,
        "misdirected",
        "This server does not answer for this host name",
    ),
    (426, "upgrade_required", "This path speaks WebSocket"),
    (429, "too_many_requests", "Too many requests"),
    (500, "internal", "The server failed"),
    (
        503,
        "unavailable",
        "The server cannot do this at the moment",
    ),
];

/// Turns every rejection into an answer; total, so that nothing is left to the router's own texts.
///
/// # Errors
/// None.
#[allow(clippy::unused_async)] // the router wants a future
pub async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    Ok(answer(&rejection))
}

fn answer(rejection: &Rejection) -> Response {
    if let Some(problem) = rejection.find::<Problem>() {
        return problem.clone().into_response();
    }
    if let Some(login) = rejection.find::<LoginRequired>() {
        return see_other(&login_path(&login.next));
    }
    standard(status_of(rejection)).into_response()
}

fn status_of(rejection: &Rejection) -> StatusCode {
    use warp::filters::body::BodyDeserializeError;
    use warp::reject::{
        InvalidHeader, InvalidQuery, LengthRequired, MethodNotAllowed, MissingCookie,
        MissingHeader, PayloadTooLarge, UnsupportedMediaType,
    };
    let has = |found: bool, status: StatusCode| found.then_some(status);
    if rejection.is_not_found() {
        return StatusCode::NOT_FOUND;
    }
    [
        has(
            rejection.find::<PayloadTooLarge>().is_some(),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
        has(
            rejection.find::<LengthRequired>().is_some(),
            StatusCode::LENGTH_REQUIRED,
        ),
        has(
            rejection.find::<UnsupportedMediaType>().is_some(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        has(
            rejection.find::<BodyDeserializeError>().is_some(),
            StatusCode::BAD_REQUEST,
        ),
        has(
            rejection.find::<InvalidQuery>().is_some(),
            StatusCode::BAD_REQUEST,
        ),
        has(
            rejection.find::<InvalidHeader>().is_some(),
            StatusCode::BAD_REQUEST,
        ),
        has(
            rejection.find::<MissingHeader>().is_some(),
            StatusCode::BAD_REQUEST,
        ),
        has(
            rejection.find::<MissingCookie>().is_some(),
            StatusCode::UNAUTHORIZED,
        ),
        has(
            rejection.find::<MethodNotAllowed>().is_some(),
            StatusCode::METHOD_NOT_ALLOWED,
        ),
    ]
    .into_iter()
    .flatten()
    .next()
    .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// 303 to a path of this server.
#[must_use]
pub fn see_other(path: &str) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SEE_OTHER;
    let location = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(LOCATION, location);
    response
}

/// 405 with the methods that are taken.
pub fn method_not_allowed(allowed: &'static str) -> Problem {
    standard(StatusCode::METHOD_NOT_ALLOWED).header(ALLOW, HeaderValue::from_static(allowed))
}

fn login_path(next: &str) -> String {
    if next == "/" {
        return "/login".to_owned();
    }
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("next", next)
        .finish();
    format!("/login?{query}")
}

fn seconds_header(seconds: u128) -> HeaderValue {
    HeaderValue::from_str(&seconds.to_string()).unwrap_or(HeaderValue::from_static("1"))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use warp::Filter;

    use super::*;

    async fn body_of(response: Response) -> Value {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn a_problem_carries_code_status_and_detail_and_nothing_of_rust() {
        let response = too_many_requests(Duration::from_millis(1200), "slow down").into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let body = body_of(response).await;
        assert_eq!(body["code"], "too_many_requests");
        assert_eq!(body["status"], 429);
        assert_eq!(body["detail"], "slow down");
    }

    #[tokio::test]
    async fn recovery_is_total_and_never_prints_a_rejection() {
        #[derive(Debug)]
        struct Canary;
        impl warp::reject::Reject for Canary {}
        let cases = [
            (warp::reject::not_found(), 404),
            (warp::reject::custom(Canary), 500),
            (warp::reject::custom(forbidden("no")), 403),
        ];
        for (rejection, status) in cases {
            let response = recover(rejection).await.unwrap();
            assert_eq!(response.status(), status);
            let text = body_of(response).await.to_string();
            assert!(
                !text.contains("Canary") && !text.contains("Rejection"),
                "{text}"
            );
        }
    }

    #[tokio::test]
    async fn a_foreign_method_is_405_and_our_own_answer_comes_before_it() {
        let get = warp::path("a").and(warp::get()).and_then(|| async {
            Err::<Response, _>(warp::reject::custom(unauthenticated("who")))
        });
        let post = warp::path("a").and(warp::post()).map(Response::default);
        let service = warp::service(get.or(post).unify().recover(recover).unify());
        let ask = |method: &'static str| {
            let request = http::Request::builder()
                .method(method)
                .uri("/a")
                .body(http_body_util::Empty::<Bytes>::new())
                .unwrap();
            tower::ServiceExt::oneshot(service, request)
        };
        assert_eq!(ask("PUT").await.unwrap().status(), 405);
        assert_eq!(ask("GET").await.unwrap().status(), 401);
        assert_eq!(ask("POST").await.unwrap().status(), 200);
    }

    #[test]
    fn the_way_back_after_login_is_encoded() {
        assert_eq!(login_path("/"), "/login");
        assert_eq!(
            login_path("/hosts?a=b&c"),
            "/login?next=%2Fhosts%3Fa%3Db%26c"
        );
    }
}
