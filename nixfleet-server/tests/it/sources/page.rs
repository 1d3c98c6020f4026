//! A published `version.json`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nixfleet_core::desired::RemoteCause;
use nixfleet_server::sources::VersionJsonSource;

use super::web::{Web, answer};

const COMMIT: &str = "abcdef0123456789abcdef0123456789abcdef01";

fn page() -> String {
    format!(
        r#"{{"gitCommit":"{COMMIT}","message":"m","lockHash":"{}"}}"#,
        "a".repeat(64)
    )
}

fn source(web: &Web, path: &str) -> VersionJsonSource {
    VersionJsonSource::new(&format!("http://{}{path}", web.address())).unwrap()
}

#[tokio::test]
async fn a_good_page_is_read_and_an_unchanged_one_is_kept() {
    let web = Web::start(|request| {
        if request.header("if-none-match") == Some("\"one\"") {
            answer(304, &[("ETag", "\"one\"")], b"")
        } else {
            answer(200, &[("ETag", "\"one\"")], page().as_bytes())
        }
    })
    .await;
    let mut source = source(&web, "/version.json");
    let first = source.fetch().await.unwrap();
    assert_eq!(first.snapshot.commit, Ok(COMMIT.parse().unwrap()));
    assert_eq!(source.fetch().await.unwrap(), first);
    let requests = web.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].header("if-none-match"), None);
    assert_eq!(requests[1].header("if-none-match"), Some("\"one\""));
}

#[tokio::test]
async fn bad_content_never_replaces_part_of_a_reading() {
    let turn = Arc::new(AtomicUsize::new(0));
    let bodies: Arc<[String]> = Arc::new([
        page(),
        "<html>oops</html>".to_owned(),
        r#"{"gitCommit": 1}"#.to_owned(),
        page().replace(COMMIT, "zzz"),
        page(),
    ]);
    let (turns, all) = (Arc::clone(&turn), Arc::clone(&bodies));
    let web = Web::start(move |_| {
        let body = &all[turns.fetch_add(1, Ordering::SeqCst)];
        answer(200, &[("ETag", "\"same\"")], body.as_bytes())
    })
    .await;
    let mut source = source(&web, "/v");
    let good = source.fetch().await.unwrap();
    for _ in 0..3 {
        assert_eq!(
            source.fetch().await.unwrap_err().cause,
            RemoteCause::Malformed
        );
    }
    assert_eq!(source.fetch().await.unwrap(), good);
}

#[tokio::test]
async fn failures_of_the_page_keep_their_status() {
    let web = Web::start(|request| match request.path.as_str() {
        "/absent" => answer(404, &[], b""),
        "/denied" => answer(403, &[], b""),
        "/teapot" => answer(418, &[], b""),
        "/broken" => answer(502, &[], b""),
        "/limited" => answer(429, &[], b""),
        "/unasked" => answer(304, &[], b""),
        "/huge" => answer(200, &[], &vec![b' '; 2 << 20]),
        "/short" => b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec(),
        "/loop" => answer(302, &[("Location", "/loop")], b""),
        _ => answer(500, &[], b""),
    })
    .await;
    for (path, cause, tries) in [
        ("/absent", RemoteCause::NotFound, 1),
        ("/denied", RemoteCause::AccessDenied, 1),
        ("/teapot", RemoteCause::HttpStatus(418), 1),
        ("/broken", RemoteCause::HttpStatus(502), 3),
        ("/limited", RemoteCause::HttpStatus(429), 3),
        ("/unasked", RemoteCause::HttpStatus(304), 1),
        ("/huge", RemoteCause::Malformed, 1),
    ] {
        let why = source(&web, path).fetch().await.unwrap_err();
        assert_eq!(why.cause, cause, "{why:?}");
        let asked = web
            .requests()
            .iter()
            .filter(|request| request.path == path)
            .count();
        assert_eq!(asked, tries, "{path}");
        assert!(!why.detail.is_empty(), "{path}");
    }
    for path in ["/short", "/loop"] {
        assert!(source(&web, path).fetch().await.is_err(), "{path}");
    }
}

#[tokio::test]
async fn a_page_with_credentials_follows_no_redirect_and_shows_no_secret() {
    let web = Web::start(|request| match request.path.split('?').next() {
        Some("/moved") => answer(302, &[("Location", "/version.json")], b""),
        _ => answer(200, &[], page().as_bytes()),
    })
    .await;
    assert!(
        source(&web, "/moved").fetch().await.is_ok(),
        "without credentials"
    );
    let secret = format!(
        "http://me:canary-secret@{}/moved?token=canary-secret",
        web.address()
    );
    let mut source = VersionJsonSource::new(&secret).unwrap();
    let why = source.fetch().await.unwrap_err();
    assert_eq!(why.cause, RemoteCause::HttpStatus(302));
    assert!(
        !format!("{why:?} {source:?}").contains("canary"),
        "{why:?} {source:?}"
    );
    let last = web.requests().pop().unwrap();
    assert!(
        last.header("authorization")
            .is_some_and(|value| value.starts_with("Basic "))
    );

    let unreachable = "http://me:canary-secret@127.0.0.1:1/x?token=canary-secret";
    let mut source = VersionJsonSource::new(unreachable).unwrap();
    let why = source.fetch().await.unwrap_err();
    assert_eq!(why.cause, RemoteCause::Unreachable);
    assert!(!why.detail.contains("canary"), "{why:?}");
}

#[test]
fn addresses_that_would_leak_are_refused() {
    for bad in [
        "ftp://x/y",
        "http://user:pass@example.org/v",
        "version.json",
        "",
    ] {
        assert!(VersionJsonSource::new(bad).is_err(), "{bad}");
    }
}
