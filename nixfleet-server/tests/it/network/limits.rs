//! What the accept loop and the middleware refuse, and what every response carries.

use std::time::Duration;

use nixfleet_server::net::{Drain, Limits, SECURITY_HEADERS, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::harness::{Answer, PATIENCE, Server, Setup};

fn short_limits() -> Setup {
    Setup {
        limits: Limits {
            first_byte: Duration::from_millis(100),
            header_read: Duration::from_millis(200),
            ..Limits::default()
        },
        ..Setup::default()
    }
}

#[tokio::test]
async fn slow_headers_are_closed_and_quick_ones_answered() {
    let server = Server::with(short_limits()).await;
    for start in [
        "",
        "GET /healthz HT",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ",
    ] {
        let mut slow = TcpStream::connect(server.address).await.unwrap();
        slow.write_all(start.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let closed = timeout(PATIENCE, slow.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "still open after {start:?}");
        assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    }
    assert_eq!(server.ask("GET /healthz", &[]).await.status, 200);
}

#[tokio::test]
async fn connect_and_other_targets_without_a_path_are_400_and_nothing_panics() {
    let server = Server::start().await;
    for line in [
        "CONNECT evil.example:443",
        "CONNECT /",
        "GET http://evil.example/",
        "OPTIONS *",
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = server.send(request.as_bytes()).await;
        assert_eq!(answer.status, 400, "{line}: {answer:?}");
    }
    let connect =
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(server.send(connect.as_bytes()).await.code(), "bad_request");
    assert_eq!(server.ask("GET /no/such/path", &[]).await.status, 404);
    assert_eq!(server.ask("GET /healthz", &[]).await.status, 200);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_declared_or_not() {
    let server = Server::start().await;
    let limit = Limits::default().body_bytes;
    let full = server
        .ask_with_body("POST /echo", &[], &"x".repeat(limit))
        .await;
    assert_eq!((full.status, full.body), (200, limit.to_string()));

    let declared = format!(
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        limit + 1
    );
    let answer = server.send(declared.as_bytes()).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "body_too_large")
    );

    let chunk = format!("{:x}\r\n{}\r\n", limit / 2, "x".repeat(limit / 2));
    let chunked = format!(
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}1\r\nx\r\n0\r\n\r\n"
    );
    let answer = server.send(chunked.as_bytes()).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "body_too_large")
    );
}

#[tokio::test]
async fn headers_beyond_the_limit_are_refused() {
    let server = Server::start().await;
    let many = "X: y\r\n".repeat(200);
    let large = format!("X: {}\r\n", "y".repeat(64 * 1024));
    for headers in [many, large] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        assert_eq!(server.send(request.as_bytes()).await.status, 431);
    }
}

#[tokio::test]
async fn every_response_carries_the_security_headers_and_a_request_id() {
    let server = Server::start().await;
    let cookie = server.log_in().await;
    let json = "Content-Type: application/json";
    let answers = [
        (200, server.ask("GET /healthz", &[]).await),
        (200, server.ask("GET /login", &[]).await),
        (200, server.ask("GET /assets/login.css", &[]).await),
        (200, server.ask("GET /api/read", &[&cookie]).await),
        (303, server.ask("GET /", &[]).await),
        (
            400,
            server
                .send(b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .await,
        ),
        (400, server.ask_with_body("POST /json", &[json], "{").await),
        (401, server.ask("GET /api/read", &[]).await),
        (
            403,
            server
                .ask("POST /logout", &["Sec-Fetch-Site: cross-site"])
                .await,
        ),
        (404, server.ask("GET /nothing", &[]).await),
        (405, server.ask("PUT /login", &[]).await),
        (
            413,
            server
                .ask_with_body("POST /echo", &[], &"x".repeat(300_000))
                .await,
        ),
        (
            415,
            server
                .ask_with_body("POST /json", &["Content-Type: text/plain"], "{}")
                .await,
        ),
        (
            421,
            server.ask("GET /healthz", &["Host: evil.example"]).await,
        ),
        (426, server.ask("GET /stubborn", &[]).await),
        (500, server.ask("GET /panic", &[]).await),
    ];
    for (status, answer) in answers {
        assert_eq!(answer.status, status, "{answer:?}");
        for (name, value) in SECURITY_HEADERS {
            assert_eq!(answer.header(name), Some(*value), "{name} on {status}");
        }
        assert!(
            answer
                .header("x-request-id")
                .is_some_and(|id| id.len() == 36),
            "{answer:?}"
        );
        assert!(answer.header("cache-control").is_some(), "{answer:?}");
        if status >= 400 {
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json")
            );
            let document = answer.json();
            assert_eq!(document["status"], status);
            assert!(
                document["code"]
                    .as_str()
                    .is_some_and(|code| !code.is_empty())
            );
            assert_eq!(
                document["request_id"].as_str(),
                answer.header("x-request-id")
            );
        }
    }
}

#[tokio::test]
async fn a_panic_is_500_and_its_text_stays_inside() {
    let server = Server::start().await;
    let answer = server.ask("GET /panic", &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (500, "internal"));
    assert!(!answer.body.contains("canary"), "{answer:?}");
    assert_eq!(server.ask("GET /healthz", &[]).await.status, 200);
}

#[tokio::test]
async fn a_request_id_is_taken_over_only_if_it_is_tame() {
    let server = Server::start().await;
    let tame = server
        .ask("GET /healthz", &["X-Request-Id: trace-1.a_b"])
        .await;
    assert_eq!(tame.header("x-request-id"), Some("trace-1.a_b"));
    for wild in [
        "X-Request-Id: a b",
        "X-Request-Id: a;b",
        &format!("X-Request-Id: {}", "a".repeat(65)),
    ] {
        let answer = server.ask("GET /healthz", &[wild]).await;
        assert_eq!(
            answer.header("x-request-id").map(str::len),
            Some(36),
            "{wild:?}"
        );
    }
}

#[tokio::test]
async fn sec25_a_rebound_host_name_is_421() {
    let public = "https://fleet.example".parse().unwrap();
    let server = Server::with(Setup {
        site: Site::new(false, Some(&public), &[]),
        ..Setup::default()
    })
    .await;
    for (host, status) in [
        ("fleet.example", 200),
        ("localhost", 200),
        ("192.0.2.1:8000", 200),
        ("evil.example", 421),
        ("fleet.example.evil.example", 421),
    ] {
        let answer = server
            .ask("GET /healthz", &[&format!("Host: {host}")])
            .await;
        assert_eq!(answer.status, status, "{host}");
        assert!(answer.header("strict-transport-security").is_some());
    }
    for hosts in ["", "Host: localhost\r\nHost: localhost\r\n", "Host: \r\n"] {
        let request = format!("GET /healthz HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        let status = server.send(request.as_bytes()).await.status;
        assert!([400, 421].contains(&status), "{hosts:?}: {status}");
    }
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_ask() {
    let server = Server::start().await;
    let plain = server.ask("GET /large", &[]).await;
    assert_eq!(
        (plain.header("content-encoding"), plain.body.len()),
        (None, 10_000)
    );
    let small = server.ask("GET /large", &["Accept-Encoding: gzip"]).await;
    assert_eq!(small.header("content-encoding"), Some("gzip"));
}

#[tokio::test]
async fn a_request_in_progress_is_answered_before_the_server_ends() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nab";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    idle.readable().await.unwrap();
    server.begin_shutdown();
    stream.write_all(b"cd").await.unwrap();
    let answer = Answer::read(&mut stream).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "4"));
    let address = server.address;
    assert_eq!(server.stopped().await, Drain::Complete);
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn health_tells_alive_from_ready() {
    let server = Server::start().await;
    for path in ["/healthz", "/health"] {
        assert_eq!(
            server.ask(&format!("GET {path}"), &[]).await.json()["status"],
            "ok"
        );
    }
    let ready = server.ask("GET /readyz", &[]).await.json();
    assert_eq!(ready["checks"]["store"], true);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let limits = Limits {
        request: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = Server::with(Setup {
        limits,
        ..Setup::default()
    })
    .await;
    let head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nab";
    let answer = server.send(head.as_bytes()).await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "timeout"));
    assert_eq!(
        server.ask_with_body("POST /echo", &[], "abcd").await.status,
        200
    );
}
