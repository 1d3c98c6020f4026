//! Logging in and out.

use std::time::Duration;

use nixfleet_server::auth::{CredentialStore, LoginBudgets};
use nixfleet_server::net::Site;

use super::harness::{PASSWORD, Server, Setup, close_code};

#[tokio::test]
async fn the_right_password_opens_a_session_and_logout_ends_it() {
    let server = Server::start().await;
    assert_eq!(
        server.ask("GET /", &[]).await.header("location"),
        Some("/login")
    );
    let answer = server.login_form(PASSWORD).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    let set = answer.header("set-cookie").unwrap();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=604800"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(
        set.starts_with("nixfleet=") && !set.contains("Secure"),
        "{set}"
    );
    let cookie = format!("Cookie: {}", answer.cookie());
    let kept = server.store.list_sessions().await.unwrap();
    assert!(!format!("{kept:?}").contains(answer.cookie().trim_start_matches("nixfleet=")));

    assert_eq!(server.ask("GET /api/read", &[&cookie]).await.status, 200);
    assert_eq!(
        server
            .ask("GET /login", &[&cookie])
            .await
            .header("location"),
        Some("/")
    );
    let out = server.ask("POST /logout", &[&cookie]).await;
    assert!(
        out.header("set-cookie").unwrap().contains("Max-Age=0"),
        "{out:?}"
    );
    assert_eq!(server.ask("GET /api/read", &[&cookie]).await.status, 401);
    assert!(server.store.list_sessions().await.unwrap().is_empty());
    assert_eq!(
        server.ask("POST /logout", &[&cookie]).await.status,
        200,
        "again is harmless"
    );
}

#[tokio::test]
async fn a_wrong_password_opens_nothing_and_says_the_same_every_time() {
    let server = Server::start().await;
    for wrong in ["open sesam", "", "OPEN SESAME", &"x".repeat(5000)] {
        let page = server.login_form(wrong).await;
        assert_eq!((page.status, page.header("set-cookie")), (401, None));
        assert!(page.body.contains("role=\"alert\"") && page.body.contains("not correct"));
        let json = format!("{{\"password\": {}}}", serde_json::json!(wrong));
        let headers = ["Content-Type: application/json"];
        let answer = server.ask_with_body("POST /login", &headers, &json).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "wrong_password")
        );
        assert!(answer.header("set-cookie").is_none());
    }
    assert!(server.store.list_sessions().await.unwrap().is_empty());
    for (media, body, status) in [
        ("application/json", "{\"password\": 7}", 400),
        ("application/json", "{}", 400),
        ("application/x-www-form-urlencoded", "pass=x", 400),
        ("text/plain", "password=x", 415),
    ] {
        let header = format!("Content-Type: {media}");
        let answer = server.ask_with_body("POST /login", &[&header], body).await;
        assert_eq!(answer.status, status, "{media} {body}");
    }
}

#[tokio::test]
async fn programs_log_in_with_json() {
    let server = Server::start().await;
    let body = format!("{{\"password\": \"{PASSWORD}\"}}");
    let answer = server
        .ask_with_body("POST /login", &["Content-Type: application/json"], &body)
        .await;
    assert_eq!(answer.status, 200);
    let cookie = format!("Cookie: {}", answer.cookie());
    assert_eq!(server.ask("GET /api/read", &[&cookie]).await.status, 200);
}

#[tokio::test]
async fn sec16_attempts_are_throttled_whatever_the_headers_claim() {
    let server = Server::with(Setup {
        budgets: LoginBudgets::default(),
        ..Setup::default()
    })
    .await;
    let mut statuses = Vec::new();
    for attempt in 0..8 {
        let forged = [
            format!("X-Forwarded-For: 203.0.113.{attempt}"),
            format!("Forwarded: for=203.0.113.{attempt}"),
            format!("X-Real-IP: 203.0.113.{attempt}"),
            "Content-Type: application/json".to_owned(),
        ];
        let forged: Vec<&str> = forged.iter().map(String::as_str).collect();
        let body = "{\"password\": \"guess\"}";
        let answer = server.ask_with_body("POST /login", &forged, body).await;
        if answer.status == 429 {
            let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=10).contains(&wait), "{wait}");
            assert_eq!(answer.code(), "too_many_requests");
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses[..5], [401; 5]);
    assert_eq!(statuses[5..], [429; 3]);
    let page = server.login_form(PASSWORD).await;
    assert_eq!(
        page.status, 429,
        "the right password does not jump the queue"
    );
    assert!(page.header("retry-after").is_some() && page.body.contains("Too many attempts"));
}

#[tokio::test]
async fn sessions_end_when_idle_and_after_a_week_whatever_happens() {
    let hour = Duration::from_secs(3600);
    let server = Server::start().await;
    let idle = server.log_in().await;
    server.clock.advance(hour * 12);
    assert_eq!(server.ask("GET /api/read", &[&idle]).await.status, 401);

    let busy = server.log_in().await;
    for _ in 0..15 {
        server.clock.advance(hour * 11);
        assert_eq!(server.ask("GET /api/read", &[&busy]).await.status, 200);
    }
    server.clock.advance(hour * 3);
    assert_eq!(server.ask("GET /api/read", &[&busy]).await.status, 401);
}

#[tokio::test]
async fn a_new_login_ends_the_session_that_the_browser_had() {
    let server = Server::start().await;
    let first = server.log_in().await;
    let headers = [
        first.as_str(),
        "Content-Type: application/x-www-form-urlencoded",
    ];
    let second = server
        .ask_with_body("POST /login", &headers, "password=open+sesame")
        .await;
    assert_eq!(second.status, 303);
    assert_eq!(server.ask("GET /api/read", &[&first]).await.status, 401);
    assert_eq!(server.store.list_sessions().await.unwrap().len(), 1);
}

#[tokio::test]
async fn where_people_use_tls_the_cookie_is_bound_to_the_host() {
    let public = "https://fleet.example".parse().unwrap();
    let site = Site::new(true, Some(&public), &[]);
    let server = Server::with(Setup {
        site,
        ..Setup::default()
    })
    .await;
    let form = "Content-Type: application/x-www-form-urlencoded";
    let host = "Host: fleet.example";
    let answer = server
        .ask_with_body("POST /login", &[host, form], "password=open+sesame")
        .await;
    let set = answer.header("set-cookie").unwrap();
    assert!(
        set.starts_with("__Host-nixfleet=") && set.contains("Secure"),
        "{set}"
    );
    let cookie = format!("Cookie: {}", answer.cookie());
    assert_eq!(
        server.ask("GET /api/read", &[host, &cookie]).await.status,
        200
    );
    let stripped = cookie.replace("__Host-", "");
    assert_eq!(
        server.ask("GET /api/read", &[host, &stripped]).await.status,
        401
    );
}

#[tokio::test]
async fn sec15_open_sockets_close_when_the_session_ends() {
    let server = Server::start().await;
    let origin = format!("Origin: {}", server.origin());
    let open = async |cookie: &str| {
        let path = format!("/api/v1/live?ticket={}", server.ticket(cookie).await);
        server.open(&path, &[cookie, &origin]).await.unwrap()
    };
    let cookie = server.log_in().await;
    let mut socket = open(&cookie).await;
    server.ask("POST /logout", &[&cookie]).await;
    assert_eq!(
        close_code(&mut socket).await,
        Some((1008, "logged out".to_owned()))
    );

    let cookie = server.log_in().await;
    let mut socket = open(&cookie).await;
    let hash = server.store.list_sessions().await.unwrap()[0].hash;
    server.store.delete_session(hash).await.unwrap();
    let closed = close_code(&mut socket).await;
    assert_eq!(
        closed,
        Some((1008, "logged out".to_owned())),
        "revoked by another process"
    );
}

#[tokio::test]
async fn the_login_page_works_without_scripts_and_finds_its_style() {
    let server = Server::start().await;
    let page = server.ask("GET /login?next=%2Fhosts%3Fa%3D1", &[]).await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    for part in [
        "<label for=\"password\">",
        "name=\"next\" value=\"/hosts?a=1\"",
        "method=\"post\"",
    ] {
        assert!(page.body.contains(part), "{part}");
    }
    assert!(!page.body.contains("<script") && !page.body.contains("style="));
    let style = server.ask("GET /assets/login.css", &[]).await;
    assert_eq!(
        style.header("content-type"),
        Some("text/css; charset=utf-8")
    );
    let tag = format!("If-None-Match: {}", style.header("etag").unwrap());
    assert_eq!(
        server.ask("GET /assets/login.css", &[&tag]).await.status,
        304
    );
    for outside in [
        "/assets/../Cargo.toml",
        "/assets/..%2fCargo.toml",
        "/assets/",
        "/assets/x",
    ] {
        assert_eq!(
            server.ask(&format!("GET {outside}"), &[]).await.status,
            404,
            "{outside}"
        );
    }
}
