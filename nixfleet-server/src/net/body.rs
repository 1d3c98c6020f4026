//! Reading request bodies: bounded, with our own answers to what is wrong with them.

use std::any::TypeId;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use warp::Filter;
use warp::filters::BoxedFilter;

use crate::reject::{Problem, bad_request, standard};

/// The whole body; larger ones than the server takes are answered with 413.
#[must_use]
pub fn bytes() -> BoxedFilter<(Bytes,)> {
    warp::body::stream()
        .and_then(|stream| async move { collect(stream).await.map_err(warp::reject::custom) })
        .boxed()
}

/// A JSON body. It must be declared as `application/json`: a page of another site can send a form
/// or plain text without asking, JSON it cannot.
#[must_use]
pub fn json<T: DeserializeOwned + Send + 'static>() -> BoxedFilter<(T,)> {
    warp::header::headers_cloned()
        .and(bytes())
        .and_then(|headers: HeaderMap, body: Bytes| async move {
            from_json(&headers, &body).map_err(warp::reject::custom)
        })
        .boxed()
}

/// A JSON body where an empty one is as good as the default.
#[must_use]
pub fn json_or_nothing<T: DeserializeOwned + Default + Send + 'static>() -> BoxedFilter<(T,)> {
    warp::header::headers_cloned()
        .and(bytes())
        .and_then(|headers: HeaderMap, body: Bytes| async move {
            if body.is_empty() {
                return Ok(T::default());
            }
            from_json(&headers, &body).map_err(warp::reject::custom)
        })
        .boxed()
}

/// The media type of a body without its parameters, in lower case.
#[must_use]
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(
        value
            .split(';')
            .next()
            .unwrap_or(value)
            .trim()
            .to_ascii_lowercase(),
    )
}

/// Reads a body that is already here as JSON.
///
/// # Errors
/// 415 if it is not declared as JSON, 400 if it is not what is expected. A list is never expected: its
/// values would be taken for the fields in their order.
pub fn from_json<T: DeserializeOwned + 'static>(
    headers: &HeaderMap,
    body: &[u8],
) -> Result<T, Problem> {
    if media_type(headers).as_deref() != Some("application/json") {
        return Err(standard(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .detail("send the body with Content-Type: application/json"));
    }
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    // Who takes any JSON looks at it again.
    let any = TypeId::of::<T>() == TypeId::of::<serde_json::Value>();
    if first == Some(&b'[') && !any {
        return Err(bad_request("the JSON body: a list, expected an object"));
    }
    serde_json::from_slice(body).map_err(|error| bad_request(format!("the JSON body: {error}")))
}

async fn collect<B: Buf>(
    stream: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<Bytes, Problem> {
    let mut stream = std::pin::pin!(stream);
    let mut body = BytesMut::new();
    while let Some(part) = stream.next().await {
        body.extend_from_slice(&part_bytes(part.map_err(|error| unreadable(&error))?));
    }
    Ok(body.freeze())
}

fn part_bytes<B: Buf>(mut part: B) -> Bytes {
    part.copy_to_bytes(part.remaining())
}

fn unreadable(error: &warp::Error) -> Problem {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if current.is::<http_body_util::LengthLimitError>() {
            return standard(StatusCode::PAYLOAD_TOO_LARGE);
        }
        cause = current.source();
    }
    bad_request("the body could not be read to its end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, serde::Deserialize)]
    struct Reasoned {
        reason: String,
    }

    #[test]
    fn a_list_is_not_taken_for_the_fields_in_their_order() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/json".parse().unwrap());
        let read = |body: &str| from_json::<Reasoned>(&headers, body.as_bytes());
        let reason = "because".to_owned();
        assert_eq!(
            read(r#" {"reason":"because"}"#).unwrap(),
            Reasoned { reason }
        );
        for body in [r#"["because"]"#, "\n\t [\"because\"]", "[]", "\"because\""] {
            assert!(read(body).is_err(), "{body}");
        }
    }
}
