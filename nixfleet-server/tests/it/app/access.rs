//! Who may do what, on the routes of the real server.

use nixfleet_server::auth::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{AGENT_TOKEN, Client, World};

/// A request, and the status it has for nobody, an agent, a viewer, an operator and an admin.
type Case = (Method, &'static str, Option<Value>, [u16; 5]);

fn cases() -> Vec<Case> {
    let empty = || Some(json!({}));
    let pull = || Some(json!({"op": "pull", "hosts": ["web-1"]}));
    let remove = || Some(json!({"op": "remove", "hosts": ["nope"]}));
    let read = [401, 401, 200, 200, 200];
    vec![
        (Method::GET, "/api/v1/state", None, read),
        (Method::GET, "/api/v1/hosts", None, read),
        (Method::GET, "/api/v1/hosts/web-1", None, read),
        (Method::GET, "/api/v1/hosts/web-1/explain", None, read),
        (Method::GET, "/api/v1/hosts/web-1/output", None, read),
        (Method::GET, "/api/v1/events", None, read),
        (Method::GET, "/api/v1/commands", None, read),
        (Method::GET, "/api/v1/tables", None, read),
        (Method::GET, "/api/hosts", None, read),
        (Method::GET, "/api/command-states", None, read),
        (Method::GET, "/api/flake-updates/status", None, read),
        (
            Method::POST,
            "/api/v1/dispatch",
            pull(),
            [401, 401, 403, 200, 200],
        ),
        (
            Method::POST,
            "/api/dispatch",
            pull(),
            [401, 401, 403, 200, 200],
        ),
        (
            Method::POST,
            "/api/v1/dispatch",
            remove(),
            [401, 401, 403, 403, 404],
        ),
        (
            Method::POST,
            "/api/v1/hosts",
            Some(json!({"id": "web-1"})),
            [401, 401, 403, 201, 201],
        ),
        (
            Method::POST,
            "/api/v1/hosts/web-1/stop",
            empty(),
            [401, 401, 403, 404, 404],
        ),
        (
            Method::POST,
            "/api/v1/hosts/web-1/kill",
            empty(),
            [401, 401, 403, 404, 404],
        ),
        (
            Method::POST,
            "/api/v1/hosts/web-1/release",
            empty(),
            [401, 401, 403, 202, 202],
        ),
        (
            Method::POST,
            "/api/v1/hosts/web-1/tests",
            Some(json!({"enabled": true})),
            [401, 401, 403, 202, 202],
        ),
        (
            Method::POST,
            "/api/hosts/web-1/refresh",
            empty(),
            [401, 401, 403, 409, 409],
        ),
        (
            Method::POST,
            "/api/hosts/web-1/reboot",
            empty(),
            [401, 401, 403, 409, 409],
        ),
        (
            Method::DELETE,
            "/api/v1/hosts/nope",
            None,
            [401, 401, 403, 403, 404],
        ),
        (
            Method::DELETE,
            "/api/hosts/nope",
            None,
            [401, 401, 403, 403, 404],
        ),
        (
            Method::POST,
            "/api/v1/live/ticket",
            empty(),
            [401, 401, 200, 200, 200],
        ),
    ]
}

#[tokio::test]
async fn every_route_takes_exactly_the_credentials_it_should() {
    let (world, _) = World::start().await;
    let (status, _) = world
        .admin
        .post("/api/v1/hosts", &json!({"id": "web-1"}))
        .await;
    assert_eq!(status, 201);
    let with = |token: &str| Client {
        token: token.to_owned(),
        ..world.admin.clone()
    };
    let clients = [
        ("nobody", with("nonsense")),
        ("agent", with(AGENT_TOKEN)),
        ("viewer", world.client(Role::Viewer).await),
        ("operator", world.client(Role::Operator).await),
        ("admin", world.admin.clone()),
    ];
    for (method, path, body, expected) in cases() {
        for ((who, client), expected) in clients.iter().zip(expected) {
            let (status, answer) = client.send(method.clone(), path, body.as_ref()).await;
            assert_eq!(status, expected, "{who}: {method} {path}: {answer}");
            if status >= 400 {
                assert_eq!(answer["status"], status, "a problem document: {answer}");
                assert!(answer["code"].is_string(), "{answer}");
            }
        }
    }
}

#[tokio::test]
async fn reads_answer_not_modified_to_who_has_them() {
    let (world, _) = World::start().await;
    for path in ["/api/v1/state", "/api/v1/tables", "/api/v1/hosts"] {
        let url = format!("http://{}{path}", world.admin.address);
        let http = reqwest::Client::new();
        let ask = || http.get(&url).bearer_auth(&world.admin.token);
        let first = ask().send().await.unwrap();
        let tag = first.headers()["etag"].clone();
        let again = ask().header("if-none-match", tag).send().await.unwrap();
        assert_eq!(again.status(), 304, "{path}");
        let other = ask().header("if-none-match", "\"x\"").send().await.unwrap();
        assert_eq!(other.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn names_that_could_be_paths_are_only_names() {
    let (world, _) = World::start().await;
    for name in ["..", "%2e%2e", "..%2f..%2fetc", "a%00b", "-rf", "a b"] {
        let path = format!("/api/v1/hosts/{name}/output");
        let (status, _) = world.admin.get(&path).await;
        assert!(matches!(status, 400 | 404), "{name}: {status}");
    }
    for name in ["../x", "a/b", "", "x y", "-rf"] {
        let (status, answer) = world
            .admin
            .post("/api/v1/hosts", &json!({"id": name}))
            .await;
        assert_eq!(status, 422, "{name}: {answer}");
    }
}
