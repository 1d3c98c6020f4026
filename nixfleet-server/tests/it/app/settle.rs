//! Windows, the quarantine, settings of hosts, notices: each with good and bad input.

use std::time::Duration;

use nixfleet_server::auth::Role;
use nixfleet_server::store::AuditVerdict;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use super::harness::{Agent, World, eventually, merged, running};
use super::updates::with_update;

/// Action, actor, peer, before, after.
type AuditRow = (
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
);

fn night() -> Value {
    json!({"id": "night", "selector": "web-*,@eu", "zone": "Europe/Vienna",
        "classes": ["routine"], "effect": "allow", "days": ["sat", "sun"],
        "from": "22:00", "to": "04:00"})
}

#[tokio::test]
async fn windows_are_kept_with_their_zone_over_a_restart() {
    let (world, _) = World::start().await;
    let (status, answer) = world.admin.put("/api/v1/windows/night", &night()).await;
    assert_eq!((status, &answer), (200, &night()));
    let world = world.restart().await;
    let (_, list) = world.admin.get("/api/v1/windows").await;
    let mut window = list["windows"][0].clone();
    let computed = window.as_object_mut().unwrap();
    let (open, next) = (computed.remove("open"), computed.remove("next_opening"));
    assert_eq!(
        open == Some(json!(true)),
        next == Some(Value::Null),
        "{list}"
    );
    assert_eq!(window, night());
    let (status, _) = world.admin.delete("/api/v1/windows/night").await;
    assert_eq!(status, 200);
    let (status, answer) = world.admin.delete("/api/v1/windows/night").await;
    assert_eq!(
        (status, &answer["code"]),
        (404, &json!("unknown_window")),
        "{answer}"
    );
}

#[tokio::test]
async fn a_bad_window_is_named_and_not_taken() {
    let (world, _) = World::start().await;
    for (field, value, code, named) in [
        ("zone", json!("Europe/Atlantis"), "bad_zone", "Atlantis"),
        ("zone", json!("../etc"), "bad_zone", "../etc"),
        ("selector", json!("a b"), "bad_window", "a b"),
        ("from", json!("25:00"), "bad_window", "25:00"),
        ("days", json!(["someday"]), "bad_window", "someday"),
        ("classes", json!(["fun"]), "bad_window", "fun"),
        ("effect", json!("perhaps"), "bad_window", "perhaps"),
        ("id", json!("other"), "bad_window", "night"),
        ("color", json!("red"), "bad_window", "color"),
    ] {
        let mut window = night();
        window[field] = value;
        let (status, answer) = world.admin.put("/api/v1/windows/night", &window).await;
        assert_eq!(
            (status, &answer["code"]),
            (422, &json!(code)),
            "{field}: {answer}"
        );
        assert!(
            answer["detail"].as_str().unwrap().contains(named),
            "{answer}"
        );
    }
    let mut window = night();
    window["id"] = json!("a b");
    let (status, answer) = world.admin.put("/api/v1/windows/a%20b", &window).await;
    assert_eq!(status, 422, "{answer}");
    let (_, list) = world.admin.get("/api/v1/windows").await;
    assert_eq!(list["windows"], json!([]));
}

#[tokio::test]
async fn settings_of_a_host_are_kept_and_shown() {
    let (world, at) = World::start().await;
    let agent = Agent::ours(&world, "web-1", &at).await;
    let settings = json!({"auto_update": false, "priority": 5, "canary": true,
        "tests_after_switch": false, "tags": ["eu"], "runs_server": true});
    let (status, answer) = world
        .admin
        .put("/api/v1/hosts/web-1/settings", &settings)
        .await;
    assert_eq!((status, &answer), (200, &settings));
    drop(agent);
    let world = world.restart().await;
    let (_, host) = world.admin.get("/api/v1/hosts/web-1").await;
    assert_eq!(host["settings"], settings, "{host}");
    for (body, code) in [
        (json!({"tags": ["a b"]}), "bad_settings"),
        (json!({"priority": "first"}), "bad_settings"),
        (json!([]), "bad_settings"),
    ] {
        let (status, answer) = world.admin.put("/api/v1/hosts/web-1/settings", &body).await;
        assert_eq!(
            (status, &answer["code"]),
            (422, &json!(code)),
            "{body}: {answer}"
        );
    }
    let (status, _) = world
        .admin
        .put("/api/v1/hosts/nope/settings", &settings)
        .await;
    assert_eq!(status, 404);
    for path in ["generations", "deploys"] {
        let (status, answer) = world.admin.get(&format!("/api/v1/hosts/nope/{path}")).await;
        assert_eq!((status, &answer["code"]), (404, &json!("unknown_host")));
        let (status, answer) = world
            .admin
            .get(&format!("/api/v1/hosts/web-1/{path}"))
            .await;
        assert_eq!((status, &answer[path]), (200, &json!([])), "{answer}");
    }
}

#[tokio::test]
async fn what_a_person_changed_is_in_the_audit_trail_with_address_and_values() {
    let (world, at) = World::start().await;
    let agent = Agent::ours(&world, "web-1", &at).await;
    world.admin.put("/api/v1/windows/night", &night()).await;
    world
        .admin
        .put("/api/v1/hosts/web-1/settings", &json!({"priority": 5}))
        .await;
    let database = world.data().join("nixfleet.db");
    let url = format!("sqlite://{}?mode=ro", database.display());
    let mut raw = SqliteConnection::connect(&url).await.unwrap();
    let rows: Vec<AuditRow> =
        sqlx::query_as("SELECT action, actor, peer, value_before, value_after FROM audit WHERE action IN ('window.set', 'settings') ORDER BY n")
            .fetch_all(&mut raw)
            .await
            .unwrap();
    raw.close().await.unwrap();
    assert_eq!(rows.len(), 2, "{rows:?}");
    for (action, actor, peer, _, after) in &rows {
        assert_eq!(
            (actor.as_str(), peer.as_deref()),
            ("token:admin", Some("127.0.0.1")),
            "{action}"
        );
        assert!(after.is_some(), "{action}");
    }
    assert!(rows[0].4.as_deref().unwrap().contains("Europe/Vienna"));
    assert!(
        rows[1].3.is_some() && rows[1].4.as_deref().unwrap().contains("5"),
        "{rows:?}"
    );
    let verdict = world.server.store.verify_audit().await.unwrap();
    assert!(matches!(verdict, AuditVerdict::Intact(_)), "{verdict:?}");
    drop(agent);
}

#[tokio::test]
async fn the_quarantine_is_lifted_with_a_reason_and_only_of_what_is_in_it() {
    let (world, old) = World::start().await;
    let new = world.push('b').await;
    let mut agent = Agent::ours(&world, "web-1", &old).await;
    let before = merged(old.facts(), running(&old, 4, &Value::Null));
    agent.say("heartbeat", before.clone()).await;
    let generations = "/api/v1/hosts/web-1/generations";
    eventually("its generations are known", async || {
        world.admin.get(generations).await.1["generations"][0]["number"] == 4
    })
    .await;
    let ask = json!({"hosts": ["web-1"], "policy": {"stages": ["pull", "switch"]}});
    let (_, plan) = world.admin.post("/api/v1/rollouts/plan", &ask).await;
    let mut body = ask.clone();
    body["confirm"] = plan["id"].clone();
    let (status, view) = world.admin.post("/api/v1/rollouts", &body).await;
    assert_eq!(status, 201, "{view}");
    agent.pulls(&new).await;
    agent.switches(&new, 5, 0).await;
    let path = format!("/api/v1/rollouts/{}", view["id"].as_str().unwrap());
    eventually("it is complete", async || {
        world.admin.get(&path).await.1["state"] == "complete"
    })
    .await;
    let (status, view) = world
        .admin
        .post(&format!("{path}/roll-back"), &json!({}))
        .await;
    assert_eq!(status, 200, "{view}");
    let command = agent.hear_command().await;
    assert_eq!(command["command"], "rollback", "{command}");
    let status = json!({"status": "ok", "command": "rollback", "exit_code": 0,
        "command_id": command["command_id"], "seq": command["seq"]});
    let after = merged(new.facts(), running(&old, 4, &command["command_id"]));
    agent.say("status", merged(status, after.clone())).await;
    agent.say("heartbeat", after).await;
    eventually("the target is in quarantine", async || {
        let (_, list) = world.admin.get("/api/v1/quarantine").await;
        list["quarantine"][0]["target"]["commit"] == json!(new.commit)
    })
    .await;
    let (_, host) = world.admin.get("/api/v1/hosts/web-1").await;
    assert!(
        host["hold"].is_object(),
        "a rollback holds the host: {host}"
    );
    let (_, list) = world.admin.get("/api/v1/quarantine").await;
    let commit = &list["quarantine"][0]["target"]["commit"];
    assert_eq!(*commit, json!(new.commit), "{list}");

    for (body, status, code) in [
        (
            json!({"commit": "d".repeat(40), "reason": "x"}),
            404,
            "not_quarantined",
        ),
        (json!({"commit": "abc", "reason": "x"}), 422, "bad_commit"),
        (json!({"commit": commit, "reason": " "}), 422, "bad_reason"),
        (
            json!({"commit": commit, "lock": "e".repeat(64), "reason": "x"}),
            404,
            "not_quarantined",
        ),
    ] {
        let answer = world.admin.post("/api/v1/quarantine/lift", &body).await;
        assert_eq!(
            (answer.0, &answer.1["code"]),
            (status, &json!(code)),
            "{body}: {}",
            answer.1
        );
    }
    let lift = json!({"commit": commit, "reason": "the disk was full"});
    let (status, answer) = world.admin.post("/api/v1/quarantine/lift", &lift).await;
    assert_eq!(status, 200, "{answer}");
    let (_, list) = world.admin.get("/api/v1/quarantine").await;
    assert_eq!(list["quarantine"], json!([]));
}

/// Every new route, and the status it has for a viewer and an operator. What is not granted is
/// refused before the body is looked at.
#[tokio::test]
async fn reads_are_for_everybody_and_changes_for_those_who_may() {
    let (world, at, _) = with_update().await;
    let _agent = Agent::ours(&world, "web-1", &at).await;
    let viewer = world.client(Role::Viewer).await;
    let operator = world.client(Role::Operator).await;
    let nobody = super::harness::Client {
        token: "nonsense".to_owned(),
        ..world.admin.clone()
    };
    let agent = super::harness::Client {
        token: super::harness::AGENT_TOKEN.to_owned(),
        ..world.admin.clone()
    };
    for path in [
        "updates",
        "updates/history",
        "rollouts",
        "windows",
        "quarantine",
        "notifications",
        "hosts/web-1/generations",
        "hosts/web-1/deploys",
    ] {
        let path = format!("/api/v1/{path}");
        for (client, wanted) in [
            (&nobody, 401),
            (&agent, 401),
            (&viewer, 200),
            (&operator, 200),
        ] {
            let (status, answer) = client.get(&path).await;
            assert_eq!(status, wanted, "{path}: {answer}");
        }
    }
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let rollout = |verb: &str| format!("/api/v1/rollouts/{id}/{verb}");
    let changes: Vec<(Method, String, Value, u16, u16)> = vec![
        (
            Method::POST,
            "/api/v1/updates/42/plan".into(),
            json!({}),
            200,
            200,
        ),
        (
            Method::POST,
            "/api/v1/rollouts/plan".into(),
            json!({"hosts": []}),
            422,
            422,
        ),
        (
            Method::POST,
            "/api/v1/simulate".into(),
            json!({"pr": 7}),
            404,
            404,
        ),
        (
            Method::POST,
            "/api/v1/updates/check".into(),
            json!({}),
            403,
            202,
        ),
        (
            Method::POST,
            "/api/v1/updates/7/merge".into(),
            json!({}),
            403,
            404,
        ),
        (
            Method::POST,
            "/api/v1/updates/7/merge-and-deploy".into(),
            json!({}),
            403,
            404,
        ),
        (
            Method::POST,
            "/api/v1/updates/7/revert".into(),
            json!({}),
            403,
            404,
        ),
        (Method::POST, "/api/v1/rollouts".into(), json!({}), 403, 422),
        (Method::POST, rollout("pause"), json!({}), 403, 404),
        (Method::POST, rollout("resume"), json!({}), 403, 404),
        (Method::POST, rollout("cancel"), json!({}), 403, 404),
        (Method::POST, rollout("retry-failed"), json!({}), 403, 404),
        (Method::POST, rollout("approve"), json!({}), 403, 404),
        (Method::POST, rollout("roll-back"), json!({}), 403, 404),
        (
            Method::POST,
            rollout("skip"),
            json!({"host": "web-1"}),
            403,
            404,
        ),
        (
            Method::POST,
            "/api/v1/pipelines".into(),
            json!({"pipeline": "x"}),
            403,
            422,
        ),
        (Method::PUT, "/api/v1/windows/w".into(), json!({}), 403, 422),
        (
            Method::DELETE,
            "/api/v1/windows/w".into(),
            json!({}),
            403,
            404,
        ),
        (
            Method::POST,
            "/api/v1/quarantine/lift".into(),
            json!({"commit": "x", "reason": "y"}),
            403,
            422,
        ),
        (
            Method::PUT,
            "/api/v1/hosts/nope/settings".into(),
            json!({}),
            403,
            404,
        ),
        (
            Method::POST,
            "/api/v1/notifications/test".into(),
            json!({}),
            403,
            409,
        ),
        (
            Method::POST,
            "/api/flake-updates/check".into(),
            json!({}),
            403,
            200,
        ),
        (
            Method::POST,
            "/api/flake-updates/merge-pr".into(),
            json!({"pr_number": 7}),
            403,
            404,
        ),
        (
            Method::POST,
            "/api/flake-updates/merge-and-deploy".into(),
            json!({"pr_number": 7}),
            403,
            404,
        ),
        (
            Method::POST,
            "/api/dispatch/pipeline".into(),
            json!({"pipeline": "x"}),
            403,
            422,
        ),
    ];
    for (method, path, body, for_viewer, for_operator) in changes {
        for (who, client, wanted) in [
            ("nobody", &nobody, 401),
            ("agent", &agent, 401),
            ("viewer", &viewer, for_viewer),
            ("operator", &operator, for_operator),
        ] {
            let (status, answer) = client.send(method.clone(), &path, Some(&body)).await;
            assert_eq!(status, wanted, "{who}: {method} {path}: {answer}");
            if status >= 400 {
                assert!(answer["code"].is_string(), "{answer}");
            }
        }
    }
}

#[tokio::test]
async fn what_people_are_told_is_recorded_and_owed_over_a_restart() {
    let receiver = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = receiver.local_addr().unwrap();
    // Nobody answers, so it is owed.
    let (world, old) = World::notifying(address).await;
    let agent = Agent::ours(&world, "web-1", &old).await;
    let (status, answer) = world
        .admin
        .post("/api/v1/notifications/test", &json!({}))
        .await;
    assert_eq!(status, 202, "{answer}");
    drop(receiver);
    eventually("an attempt is recorded", async || {
        let (_, list) = world.admin.get("/api/v1/notifications").await;
        list["notifications"][0]["state"] == "retrying"
    })
    .await;
    let owed = world.server.store.owed_notices().await.unwrap();
    assert_eq!(owed.len(), 1, "{owed:?}");
    drop(agent);

    let received = serve_one(address);
    let world = world.restart().await;
    let request = tokio::time::timeout(Duration::from_secs(30), received)
        .await
        .unwrap()
        .unwrap();
    assert!(request.starts_with("POST "), "{request}");
    eventually("the delivery is recorded", async || {
        let (_, list) = world.admin.get("/api/v1/notifications").await;
        list["notifications"][0]["state"] == "delivered"
    })
    .await;
    let (_, list) = world.admin.get("/api/v1/notifications").await;
    let one = &list["notifications"][0];
    assert_eq!(one["title"], "NixFleet: a test", "{list}");
    assert_eq!(one["kind"], "test");
    assert!(one["attempt"].as_u64().unwrap() >= 2, "{one}");
    assert_eq!(world.server.store.owed_notices().await.unwrap(), []);
}

/// Answers one HTTP request with 200; what it was.
fn serve_one(address: std::net::SocketAddr) -> tokio::task::JoinHandle<String> {
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 4096];
        let count = stream.read(&mut bytes).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    })
}
