//! `Idempotency-Key` on every route that changes something: sent again, it does nothing and gets the
//! same answer; over restarts, at the same time, and after a client that went away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Method;
use nixfleet_core::fleet::Record;
use nixfleet_server::app::Replacements;
use nixfleet_server::auth::{CredentialStore, Role};
use nixfleet_server::keyed::Taken;
use nixfleet_server::notify::Owed;
use nixfleet_server::persist::{Persist, PersistError};
use nixfleet_server::routes::mutations::{LOOKS, MUTATIONS, Mutation};
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::harness::{AGENT_TOKEN, Agent, Client, World, eventually};

const COMMIT: &str = "1111111111111111111111111111111111111111";
const ID: &str = "0199aaaa-0000-7000-8000-000000000000";

/// What is sent to each route: the word of its path, and a body. A row of the table that is not here
/// fails the tests.
fn sample(row: &Mutation) -> (&'static str, Value) {
    let hold = json!({"why": "disks"});
    let order = json!({"op": "refresh-git", "hosts": ["web-1"]});
    let window =
        json!({"selector": "*", "zone": "UTC", "effect": "allow", "from": "01:00", "to": "02:00"});
    let confirm = json!({"confirm": "0".repeat(64)});
    match (row.method.as_str(), row.path) {
        ("POST", "/api/v1/hosts" | "/api/hosts") => ("", json!({"id": "web-9"})),
        ("DELETE", "/api/v1/hosts/{id}") => ("gone-1", Value::Null),
        ("DELETE", "/api/hosts/{id}") => ("gone-2", Value::Null),
        ("POST", "/api/v1/hosts/{id}/hold") => ("web-1", hold),
        ("POST", "/api/v1/hosts/{id}/release") => ("web-1", json!({})),
        ("POST", "/api/v1/hosts/{id}/tests") => ("web-1", json!({"enabled": true})),
        ("POST", "/api/v1/hosts/{id}/color" | "/api/hosts/{id}/theme-color") => {
            ("web-1", json!({"color": "#112233"}))
        }
        ("PUT", "/api/v1/hosts/{id}/settings") => ("web-1", json!({"priority": 5})),
        (
            "POST",
            "/api/v1/hosts/{id}/stop" | "/api/v1/hosts/{id}/kill" | "/api/hosts/{id}/kill",
        ) => ("web-1", json!({})),
        ("POST", "/api/v1/commands/{id}/stop") => (ID, json!({})),
        ("POST", "/api/v1/commands/{id}/decide") => (ID, json!({"decision": "ignore"})),
        ("POST", "/api/v1/dispatch" | "/api/dispatch") => ("", order),
        ("POST", "/api/v1/updates/check" | "/api/flake-updates/check") => ("", json!({})),
        (
            "POST",
            "/api/v1/updates/{number}/merge"
            | "/api/v1/updates/{number}/merge-and-deploy"
            | "/api/v1/updates/{number}/revert",
        ) => ("7", json!({})),
        ("POST", "/api/v1/rollouts") => ("", confirm),
        (
            "POST",
            "/api/v1/rollouts/{id}/pause"
            | "/api/v1/rollouts/{id}/resume"
            | "/api/v1/rollouts/{id}/cancel"
            | "/api/v1/rollouts/{id}/retry-failed"
            | "/api/v1/rollouts/{id}/approve"
            | "/api/v1/rollouts/{id}/roll-back",
        ) => (ID, json!({})),
        ("POST", "/api/v1/rollouts/{id}/skip") => (ID, json!({"host": "web-1"})),
        ("POST", "/api/v1/pipelines" | "/api/dispatch/pipeline") => {
            ("", json!({"pipeline": "do-all"}))
        }
        ("PUT", "/api/v1/windows/{id}") => ("nights", window),
        ("DELETE", "/api/v1/windows/{id}") => ("nights", Value::Null),
        ("POST", "/api/v1/holds") => ("", json!({"selector": "@db", "why": "disks"})),
        ("DELETE", "/api/v1/holds/{id}") => ("1", Value::Null),
        ("POST", "/api/v1/quarantine/lift") => ("", json!({"commit": COMMIT, "reason": "fixed"})),
        ("POST", "/api/v1/notifications/test") => ("", json!({})),
        ("POST", "/api/hosts/{id}/command") => ("web-1", json!({"command": "refresh-git"})),
        (
            "POST",
            "/api/hosts/{id}/refresh" | "/api/hosts/{id}/refresh-git" | "/api/hosts/{id}/reboot",
        ) => ("web-1", json!({})),
        ("POST", "/api/hosts/{id}/timeout-action") => ("web-1", json!({"action": "ignore"})),
        ("POST", "/api/flake-updates/merge-pr" | "/api/flake-updates/merge-and-deploy") => {
            ("", json!({"pr_number": 7}))
        }
        (method, path) => panic!("{method} {path}: add a sample of this new route"),
    }
}

fn path_of(row: &Mutation, word: &str) -> String {
    match row.path.split_once('{') {
        Some((before, rest)) => {
            let after = rest.split_once('}').unwrap().1;
            format!("{before}{word}{after}")
        }
        None => row.path.to_owned(),
    }
}

/// Status, body, and whether the server says that it gave this answer before.
type Answer = (u16, Value, bool);

async fn keyed(client: &Client, method: &Method, path: &str, body: &Value, key: &str) -> Answer {
    let url = format!("http://{}{path}", client.address);
    let mut request = client.http.request(method.clone(), url);
    request = request
        .bearer_auth(&client.token)
        .header("idempotency-key", key);
    if !body.is_null() {
        request = request.json(body);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let replayed = response.headers().contains_key("idempotency-replayed");
    let mut body: Value = response.json().await.unwrap_or(Value::Null);
    if let Value::Object(document) = &mut body {
        // The first answer of a problem names the request that it answers.
        document.remove("request_id");
    }
    (status, body, replayed)
}

/// The number of the last row of the audit trail: it rises with everything that is done.
async fn audited(world: &World) -> i64 {
    let (status, answer) = world.admin.get("/api/v1/audit?limit=1").await;
    assert_eq!(status, 200, "{answer}");
    answer["audit"][0]["n"].as_i64().unwrap_or(0)
}

async fn world_with_hosts() -> World {
    let (world, _) = World::start().await;
    for host in ["web-1", "gone-1", "gone-2"] {
        let body = json!({"id": host});
        assert_eq!(world.admin.post("/api/v1/hosts", &body).await.0, 201);
    }
    world
}

#[tokio::test]
async fn every_route_that_changes_something_does_it_once_under_a_key_also_over_a_restart() {
    let world = world_with_hosts().await;
    let mut seen = Vec::new();
    let mut did_something = 0;
    for (index, row) in MUTATIONS.iter().enumerate() {
        let (word, body) = sample(row);
        let (path, key) = (path_of(row, word), format!("key-{index}"));
        let before = audited(&world).await;
        let first = keyed(&world.admin, &row.method, &path, &body, &key).await;
        let after = audited(&world).await;
        did_something += usize::from(after > before);
        let name = format!("{} {path}: {first:?}", row.method);
        assert!(!first.2 && first.0 < 500, "{name}");
        if first.0 < 400 {
            assert_eq!(first.0, row.status.as_u16(), "{name}");
        }
        let again = keyed(&world.admin, &row.method, &path, &body, &key).await;
        assert_eq!(
            (again.0, &again.1, again.2),
            (first.0, &first.1, true),
            "{name}"
        );
        assert_eq!(audited(&world).await, after, "nothing was done: {name}");
        // The same key with anything else is a mistake, and does nothing.
        let other = format!("{path}?other=1");
        let reused = keyed(&world.admin, &row.method, &other, &body, &key).await;
        assert_eq!(reused.0, 422, "{name}");
        assert_eq!(reused.1["code"], "idempotency_key_reused", "{name}");
        seen.push((row, path, body, key, first));
    }
    assert!(did_something >= 14, "positive control: {did_something}");
    let before = audited(&world).await;
    let world = world.restart().await;
    for (row, path, body, key, first) in seen {
        let again = keyed(&world.admin, &row.method, &path, &body, &key).await;
        let expected = (first.0, &first.1, true);
        assert_eq!(
            (again.0, &again.1, again.2),
            expected,
            "{} {path}",
            row.method
        );
    }
    assert_eq!(audited(&world).await, before, "nothing was done");
    let (path, body) = ("/api/v1/hosts/web-1/hold", json!({"why": "disks"}));
    let hold = keyed(&world.admin, &Method::POST, path, &body, "another").await;
    assert_eq!(hold.0, 202);
    assert_eq!(
        audited(&world).await,
        before + 1,
        "positive control: a new key"
    );
}

#[tokio::test]
async fn every_row_of_the_table_takes_exactly_the_roles_that_it_names() {
    let world = world_with_hosts().await;
    let with = |token: &str| Client {
        token: token.to_owned(),
        ..world.admin.clone()
    };
    let nobody = with("nonsense");
    let agent = with(AGENT_TOKEN);
    let viewer = world.client(Role::Viewer).await;
    let operator = world.client(Role::Operator).await;
    for row in MUTATIONS {
        let (word, body) = sample(row);
        let path = path_of(row, word);
        let body = (!body.is_null()).then_some(body);
        let ask = async |client: &Client| {
            client
                .send(row.method.clone(), &path, body.as_ref())
                .await
                .0
        };
        let name = format!("{} {path}", row.method);
        assert_eq!(ask(&nobody).await, 401, "{name}");
        assert_eq!(ask(&agent).await, 401, "{name}");
        assert_eq!(ask(&viewer).await, 403, "{name}");
        let administers = format!("{:?}", row.permission) == "Administer";
        assert_eq!(ask(&operator).await == 403, administers, "{name}");
        assert_ne!(ask(&world.admin).await, 403, "{name}");
    }
    for path in LOOKS {
        let path = path.replace("{number}", "7");
        assert_eq!(nobody.post(&path, &json!({})).await.0, 401, "{path}");
        assert!(
            !matches!(viewer.post(&path, &json!({})).await.0, 401 | 403),
            "{path}"
        );
    }
    assert_eq!(viewer.get("/api/v1/audit").await.0, 403);
    assert_eq!(operator.get("/api/v1/audit").await.0, 403);
    assert_eq!(viewer.get("/api/v1/drift").await.0, 200);
    assert_eq!(viewer.get("/api/v1/holds").await.0, 200);
}

#[tokio::test]
async fn two_at_the_same_time_are_one_and_another_principal_is_another() {
    let world = world_with_hosts().await;
    let before = audited(&world).await;
    let (path, body) = ("/api/v1/holds", json!({"selector": "@db", "why": "x"}));
    let ask = |client: &Client| {
        let (client, body) = (client.clone(), body.clone());
        async move { keyed(&client, &Method::POST, path, &body, "once").await }
    };
    let all = futures_util::future::join_all((0..16).map(|_| ask(&world.admin))).await;
    assert_eq!(
        all.iter().filter(|one| !one.2).count(),
        1,
        "one is the first"
    );
    assert!(
        all.iter().all(|one| (one.0, &one.1) == (201, &all[0].1)),
        "{all:?}"
    );
    assert_eq!(audited(&world).await, before + 1);
    let operator = world.client(Role::Operator).await;
    let other = ask(&operator).await;
    assert!(
        other.0 == 201 && !other.2 && other.1["id"] != all[0].1["id"],
        "{other:?}"
    );
    assert_eq!(audited(&world).await, before + 2);
}

/// The name of a token that was revoked may be given again; what its first holder asked for is not
/// what the second gets.
#[tokio::test]
async fn the_next_token_of_the_same_name_has_keys_of_its_own() {
    let world = world_with_hosts().await;
    let first = world.client(Role::Operator).await;
    let (path, body) = ("/api/v1/holds", json!({"selector": "@db", "why": "x"}));
    let answer = keyed(&first, &Method::POST, path, &body, "once").await;
    assert_eq!((answer.0, answer.2), (201, false));
    let again = keyed(&first, &Method::POST, path, &body, "once").await;
    assert_eq!((again.0, again.2), (201, true), "control");
    let name = Role::Operator.as_str();
    assert!(
        world
            .server
            .store
            .delete_token(name)
            .await
            .unwrap()
            .is_some()
    );
    let second = world.client(Role::Operator).await;
    let theirs = keyed(&second, &Method::POST, path, &body, "once").await;
    assert_eq!((theirs.0, theirs.2), (201, false));
    assert_ne!(theirs.1["id"], answer.1["id"]);
}

/// A journal that can be told to take its time.
#[derive(Default)]
struct Slow {
    shut: AtomicBool,
    asked: Notify,
    open: Notify,
}

impl Persist for Slow {
    fn commit<'a>(
        &'a self,
        _records: &'a [Record],
        _owed: &'a [Owed],
        _taken: &'a [Taken],
    ) -> BoxFuture<'a, Result<(), PersistError>> {
        async move {
            if self.shut.load(Ordering::SeqCst) {
                self.asked.notify_one();
                self.open.notified().await;
            }
            Ok(())
        }
        .boxed()
    }
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_half_done() {
    let journal = Arc::new(Slow::default());
    let replacements = Replacements {
        journal: Some(journal.clone()),
        ..Replacements::default()
    };
    let (world, _) = World::with(replacements).await;
    let added = json!({"id": "web-1"});
    assert_eq!(world.admin.post("/api/v1/hosts", &added).await.0, 201);
    let body = json!({"why": "disks"});
    let (path, text) = ("/api/v1/hosts/web-1/hold", body.to_string());
    let mut stream = TcpStream::connect(world.admin.address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nidempotency-key: gone\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
        world.admin.address,
        world.admin.token,
        text.len()
    );
    journal.shut.store(true, Ordering::SeqCst);
    stream.write_all(head.as_bytes()).await.unwrap();
    // The work has begun; now nobody waits for it any more, and the server knows.
    journal.asked.notified().await;
    drop(stream);
    tokio::task::yield_now().await;
    journal.shut.store(false, Ordering::SeqCst);
    journal.open.notify_one();
    eventually("its answer is there for who asks again", async || {
        keyed(&world.admin, &Method::POST, path, &body, "gone")
            .await
            .2
    })
    .await;
    let (_, host) = world.admin.get("/api/v1/hosts/web-1").await;
    assert_eq!(host["hold"]["why"], "disks");
    let again = keyed(&world.admin, &Method::POST, path, &body, "gone").await;
    assert_eq!((again.0, again.2), (202, true));
}

/// What is on the disk if the server ends right after it did something, before the answer is kept.
async fn forget_answers(world: &World) {
    let database = format!("sqlite:{}", world.data().join("nixfleet.db").display());
    let mut raw = SqliteConnection::connect(&database).await.unwrap();
    let changed = sqlx::query(
        "UPDATE idempotency SET status = NULL, media = NULL, body = NULL WHERE note IS NOT NULL",
    );
    assert!(changed.execute(&mut raw).await.unwrap().rows_affected() > 0);
    raw.close().await.unwrap();
}

#[tokio::test]
async fn after_a_crash_between_doing_and_answering_nothing_is_done_again() {
    let (world, old) = World::start().await;
    let new = world.push('b').await;
    let mut agent = Agent::ours(&world, "web-1", &old).await;
    let order = json!({"op": "pull", "hosts": ["web-1"]});
    let hold = json!({"selector": "@db", "why": "disks"});
    let asks = [
        (Method::POST, "/api/v1/dispatch", order),
        (Method::POST, "/api/v1/holds", hold),
        (Method::DELETE, "/api/v1/holds/1", Value::Null),
        (Method::POST, "/api/v1/hosts", json!({"id": "new-1"})),
        (Method::DELETE, "/api/v1/hosts/new-1", Value::Null),
    ];
    let mut first = Vec::new();
    for (index, (method, path, body)) in asks.iter().enumerate() {
        let key = format!("key-{index}");
        let answer = keyed(&world.admin, method, path, body, &key).await;
        assert!(answer.0 < 300, "{path}: {answer:?}");
        first.push(answer);
    }
    assert_eq!(first[0].1["summary"]["started"], 1, "{:?}", first[0]);
    agent.pulls(&new).await;
    let before = audited(&world).await;
    forget_answers(&world).await;
    let world = world.restart().await;
    let mut agent = Agent::ours(&world, "web-1", &new).await;
    for (index, (method, path, body)) in asks.iter().enumerate() {
        let key = format!("key-{index}");
        let again = keyed(&world.admin, method, path, body, &key).await;
        assert_eq!(again.0, first[index].0, "{path}: {again:?}");
        if index < 3 {
            assert_eq!(again.1, first[index].1, "{path}");
        }
        let once_more = keyed(&world.admin, method, path, body, &key).await;
        assert_eq!((once_more.0, &once_more.1), (again.0, &again.1), "{path}");
    }
    assert_eq!(audited(&world).await, before, "nothing was done again");
    agent.hears_nothing().await;
    let (_, holds) = world.admin.get("/api/v1/holds").await;
    assert_eq!(holds["holds"], json!([]));
}

#[tokio::test]
async fn a_bad_key_is_refused_and_what_was_not_decided_is_not_kept() {
    let world = world_with_hosts().await;
    let body = json!({"id": "a"});
    for bad in ["", " ", &"x".repeat(129)] {
        let answer = keyed(&world.admin, &Method::POST, "/api/v1/hosts", &body, bad).await;
        assert_eq!(answer.0, 400, "{bad:?}");
    }
    // An operator may not remove hosts; an admin's key of the same name is another.
    let operator = world.client(Role::Operator).await;
    let order = json!({"op": "remove", "hosts": ["gone-1"]});
    let refused = keyed(&operator, &Method::POST, "/api/v1/dispatch", &order, "k").await;
    assert_eq!((refused.0, refused.2), (403, false));
    let again = keyed(&operator, &Method::POST, "/api/v1/dispatch", &order, "k").await;
    assert_eq!(again.0, 403);
}
