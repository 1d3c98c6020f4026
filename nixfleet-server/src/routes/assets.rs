//! The files of the page, embedded in the binary (read from disk in a debug build).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use rust_embed::{EmbeddedFile, RustEmbed};
use warp::Filter;
use warp::reply::Response;

use super::{Route, answer, get_or_head};
use crate::auth::{Auth, filters};
use crate::reject::{Problem, not_found};

#[derive(RustEmbed)]
#[folder = "web/"]
struct Web;

/// `GET /assets/…`: style sheets, scripts and pictures. Open, because the login page needs them and
/// they hold nothing of the fleet.
#[must_use]
pub fn routes() -> Route {
    warp::path("assets")
        .and(warp::path::tail())
        .and(get_or_head())
        .and(warp::header::headers_cloned())
        .and_then(|tail: warp::path::Tail, headers: HeaderMap| async move {
            answer(serve(tail.as_str(), &headers))
        })
        .boxed()
}

/// `GET /`: the page itself, for those who are logged in; others go to the login first.
#[must_use]
pub fn page(auth: &Arc<Auth>) -> Route {
    warp::path::end()
        .and(get_or_head())
        .and(filters::require_page(auth))
        .and(warp::header::headers_cloned())
        .and_then(
            |_principal, headers: HeaderMap| async move { answer(serve("index.html", &headers)) },
        )
        .boxed()
}

fn serve(path: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let file = Web::get(path).ok_or_else(|| not_found("there is no such file"))?;
    let etag = etag(&file);
    let known = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|tag| tag.trim().trim_start_matches("W/") == etag);
    let media = file.metadata.mimetype().to_owned();
    let mut response = if known {
        Response::default()
    } else {
        Response::new(Bytes::from(file.data.into_owned()).into())
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(ETAG, etag);
    }
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else if let Ok(media) = HeaderValue::from_str(&with_charset(media)) {
        headers.insert(CONTENT_TYPE, media);
    }
    Ok(response)
}

fn etag(file: &EmbeddedFile) -> String {
    format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..16]))
}

fn with_charset(media: String) -> String {
    if media.starts_with("text/") || media == "application/javascript" {
        return format!("{media}; charset=utf-8");
    }
    media
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_a_type_and_a_tag_and_nothing_outside_is_reachable() {
        let response = serve("login.css", &HeaderMap::new()).unwrap();
        assert_eq!(response.headers()[CONTENT_TYPE], "text/css; charset=utf-8");
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, response.headers()[ETAG].clone());
        assert_eq!(serve("login.css", &headers).unwrap().status(), 304);
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("\"other\""));
        assert_eq!(serve("login.css", &headers).unwrap().status(), 200);
        for outside in [
            "../Cargo.toml",
            "/etc/passwd",
            "..%2fCargo.toml",
            "",
            ".",
            "nothing.css",
        ] {
            assert_eq!(
                serve(outside, &HeaderMap::new()).unwrap_err().status(),
                404,
                "{outside}"
            );
        }
    }
}
