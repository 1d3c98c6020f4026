//! Which credential opens which door.

use std::time::Duration;

use nixfleet_server::auth::{CredentialStore, Role, TokenScope};

use super::harness::{AGENT_TOKEN, NO_ORIGIN, Server};

const DOORS: [&str; 4] = ["read", "operate", "deploy", "administer"];

async fn statuses(server: &Server, header: &str) -> [u16; 4] {
    let mut statuses = [0; 4];
    for (door, status) in DOORS.iter().zip(&mut statuses) {
        *status = server
            .ask(&format!("POST /api/{door}"), &[header])
            .await
            .status;
    }
    statuses
}

#[tokio::test]
async fn sec01_the_api_opens_to_sessions_and_api_tokens_by_role_and_to_nobody_else() {
    let server = Server::start().await;
    let host_token = TokenScope::Agent("web-1".parse().unwrap());
    let host_token = server.make_token("web-1", host_token, None).await;
    let expired = server
        .make_token(
            "old",
            TokenScope::Api(Role::Admin),
            Some(Duration::from_secs(60)),
        )
        .await;
    server.clock.advance(Duration::from_secs(60));
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let cases = [
        (server.log_in().await, [200; 4]),
        (bearer(&server.role_token(Role::Admin).await), [200; 4]),
        (
            bearer(&server.role_token(Role::Operator).await),
            [200, 200, 200, 403],
        ),
        (
            bearer(&server.role_token(Role::Viewer).await),
            [200, 403, 403, 403],
        ),
        (bearer(&host_token), [401; 4]),
        (bearer(AGENT_TOKEN), [401; 4]),
        (bearer(&expired), [401; 4]),
        (bearer("nfp_unknown"), [401; 4]),
        (bearer(""), [401; 4]),
        ("Authorization: Basic YWRtaW46eA==".to_owned(), [401; 4]),
        ("Cookie: nixfleet=unknown".to_owned(), [401; 4]),
        ("Cookie: nixfleet=".to_owned(), [401; 4]),
        ("X-Nothing: at all".to_owned(), [401; 4]),
    ];
    for (header, expected) in cases {
        assert_eq!(statuses(&server, &header).await, expected, "{header}");
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused_and_use_is_recorded() {
    let server = Server::start().await;
    let header = format!(
        "Authorization: Bearer {}",
        server.role_token(Role::Viewer).await
    );
    assert_eq!(server.ask("GET /api/read", &[&header]).await.status, 200);
    let kept = server.store.list_tokens().await.unwrap();
    assert_eq!(kept[0].last_used_at, Some(server.clock.now()));
    server.store.delete_token("viewer").await.unwrap().unwrap();
    let refused = server.ask("GET /api/read", &[&header]).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (401, "unauthenticated")
    );
    assert!(refused.header("www-authenticate").is_some());
}

#[tokio::test]
async fn the_agent_channel_takes_agent_tokens_only_and_decides_before_101() {
    let server = Server::start().await;
    let scope = TokenScope::Agent("web-1".parse().unwrap());
    let host_token = server.make_token("web-1", scope, None).await;
    let cookie = server.log_in().await;
    let shared = format!("Authorization: Bearer {AGENT_TOKEN}");
    let own = format!("Authorization: Bearer {host_token}");
    let admin = format!(
        "Authorization: Bearer {}",
        server.role_token(Role::Admin).await
    );
    let origin = format!("Origin: {}", server.origin());
    for headers in [
        vec![shared.as_str()],
        vec![own.as_str()],
        vec![shared.as_str(), origin.as_str()],
    ] {
        assert!(server.open("/ws", &headers).await.is_ok(), "{headers:?}");
    }
    for (headers, status) in [
        (vec![], 401),
        (vec!["Authorization: Bearer wrong"], 401),
        (vec!["Authorization: Bearer "], 401),
        (vec![admin.as_str()], 401),
        (vec![cookie.as_str()], 401),
        (vec![shared.as_str(), cookie.as_str()], 401),
        (vec![shared.as_str(), shared.as_str()], 401),
        (vec![shared.as_str(), "Origin: http://evil.example"], 403),
        (vec![shared.as_str(), "Origin: null"], 403),
    ] {
        assert_eq!(
            server.open("/ws", &headers).await.err(),
            Some(status),
            "{headers:?}"
        );
    }
    let plain = server.ask("GET /ws", &[&shared]).await;
    assert_eq!(
        (plain.status, plain.header("sec-websocket-version")),
        (426, Some("13"))
    );
}

#[tokio::test]
async fn sec09_the_live_feed_needs_session_exact_origin_and_a_fresh_ticket() {
    let server = Server::start().await;
    let cookie = server.log_in().await;
    let origin = format!("Origin: {}", server.origin());
    let admin = format!(
        "Authorization: Bearer {}",
        server.role_token(Role::Admin).await
    );
    let path = |ticket: &str| format!("/api/v1/live?ticket={ticket}");

    let ticket = server.ticket(&cookie).await;
    assert!(
        server
            .open(&path(&ticket), &[&cookie, &origin])
            .await
            .is_ok()
    );
    let again = server.open(&path(&ticket), &[&cookie, &origin]).await;
    assert_eq!(again.err(), Some(401), "a ticket works once");

    let evil = "Origin: http://evil.example";
    let port = format!("Origin: http://127.0.0.1:{}", server.address.port() ^ 1);
    let tls = format!("Origin: https://{}", server.address);
    for (headers, status) in [
        (vec![origin.as_str()], 401),
        (vec![cookie.as_str()], 403),
        (vec![cookie.as_str(), "Origin: null"], 403),
        (vec![cookie.as_str(), evil], 403),
        (vec![cookie.as_str(), port.as_str()], 403),
        (vec![cookie.as_str(), tls.as_str()], 403),
        (vec![cookie.as_str(), origin.as_str(), admin.as_str()], 403),
        (vec![origin.as_str(), admin.as_str()], 403),
    ] {
        let ticket = server.ticket(&cookie).await;
        assert_eq!(
            server.open(&path(&ticket), &headers).await.err(),
            Some(status),
            "{headers:?}"
        );
    }
    for ticket in ["", "wrong"] {
        assert_eq!(
            server.open(&path(ticket), &[&cookie, &origin]).await.err(),
            Some(401)
        );
    }
    let late = server.ticket(&cookie).await;
    server.clock.advance(Duration::from_secs(30));
    assert_eq!(
        server.open(&path(&late), &[&cookie, &origin]).await.err(),
        Some(401)
    );
    let other = server.log_in().await;
    let stolen = server.ticket(&cookie).await;
    assert_eq!(
        server.open(&path(&stolen), &[&other, &origin]).await.err(),
        Some(401)
    );
}

#[tokio::test]
async fn a_program_follows_the_live_feed_with_a_ticket_and_nothing_else() {
    let server = Server::start().await;
    let token = server.role_token(Role::Viewer).await;
    let bearer = format!("Authorization: Bearer {token}");
    let path = |ticket: &str| format!("/api/v1/live?ticket={ticket}");
    let ticket = server.ticket(&bearer).await;
    assert!(server.open(&path(&ticket), &[]).await.is_ok());
    let again = server.open(&path(&ticket), &[]).await;
    assert_eq!(again.err(), Some(401), "a ticket works once");

    let cookie = server.log_in().await;
    let origin = format!("Origin: {}", server.origin());
    for (headers, status) in [
        (vec![bearer.as_str()], 403),
        (vec!["Origin: http://evil.example"], 403),
        (vec![origin.as_str()], 401),
        (vec![cookie.as_str()], 403),
        (vec![cookie.as_str(), origin.as_str()], 401),
    ] {
        let ticket = server.ticket(&bearer).await;
        assert_eq!(
            server.open(&path(&ticket), &headers).await.err(),
            Some(status),
            "a browser cannot use the ticket of a program: {headers:?}"
        );
    }
    let of_session = server.ticket(&cookie).await;
    assert_eq!(
        server.open(&path(&of_session), &[]).await.err(),
        Some(401),
        "nor a program that of a browser"
    );
    let late = server.ticket(&bearer).await;
    server.store.delete_token("viewer").await.unwrap();
    assert_eq!(
        server.open(&path(&late), &[]).await.err(),
        Some(401),
        "the token is gone"
    );
}

#[tokio::test]
async fn tickets_need_a_credential_and_our_own_page() {
    let server = Server::start().await;
    assert_eq!(
        server.ask("POST /api/v1/live/ticket", &[]).await.status,
        401
    );
    let cookie = server.log_in().await;
    let foreign = [cookie.as_str(), "Sec-Fetch-Site: cross-site"];
    assert_eq!(
        server
            .ask("POST /api/v1/live/ticket", &foreign)
            .await
            .status,
        403
    );
    assert_eq!(
        server
            .ask("GET /api/v1/live/ticket", &[&cookie])
            .await
            .status,
        405
    );
}

#[tokio::test]
async fn sec10_another_site_cannot_change_anything() {
    let server = Server::start().await;
    let cookie = server.log_in().await;
    let own = format!("Origin: {}", server.origin());
    let tls = format!("Origin: https://{}", server.address);
    for (marks, status) in [
        (vec!["Sec-Fetch-Site: cross-site"], 403),
        (vec!["Sec-Fetch-Site: same-site"], 403),
        (vec!["Origin: http://evil.example"], 403),
        (vec!["Origin: null"], 403),
        (vec!["Sec-Fetch-Site: cross-site", own.as_str()], 403),
        (vec!["Sec-Fetch-Site: same-origin", own.as_str()], 200),
        (vec![own.as_str()], 200),
        (vec![tls.as_str()], 403),
        (vec![NO_ORIGIN], 403),
        (vec!["Sec-Fetch-Site: same-origin", NO_ORIGIN], 403),
    ] {
        let mut headers = vec![cookie.as_str()];
        headers.extend(&marks);
        let answer = server.ask("POST /api/operate", &headers).await;
        assert_eq!(answer.status, status, "{marks:?}");
        if status == 403 {
            assert_eq!(answer.code(), "cross_origin");
        }
    }
    let foreign = [
        "Sec-Fetch-Site: cross-site",
        "Content-Type: application/x-www-form-urlencoded",
    ];
    let login = server
        .ask_with_body("POST /login", &foreign, "password=open+sesame")
        .await;
    assert_eq!(
        (login.status, login.header("set-cookie")),
        (403, None),
        "login CSRF"
    );
}

#[tokio::test]
async fn only_declared_json_is_taken_as_json() {
    let server = Server::start().await;
    for (media, status) in [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ] {
        let header = format!("Content-Type: {media}");
        let answer = server
            .ask_with_body("POST /json", &[&header], "{\"a\":1}")
            .await;
        assert_eq!(answer.status, status, "{media:?}");
    }
    let deep = "[".repeat(10_000);
    let answer = server
        .ask_with_body("POST /json", &["Content-Type: application/json"], &deep)
        .await;
    assert_eq!(answer.status, 400, "deep nesting is refused, not followed");
}
