//! Holds by selector, the audit trail and the drift, over HTTP and the real store.

use serde_json::{Value, json};

use super::harness::{Agent, World, eventually};

async fn tagged(world: &World, host: &str, tags: Value) {
    let path = format!("/api/v1/hosts/{host}/settings");
    let (status, answer) = world.admin.put(&path, &json!({ "tags": tags })).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn a_hold_by_selector_is_placed_kept_shown_respected_and_released() {
    let (world, old) = World::start().await;
    let new = world.push('b').await;
    let mut one = Agent::ours(&world, "db-1", &old).await;
    let mut two = Agent::ours(&world, "web-1", &old).await;
    tagged(&world, "db-1", json!(["db"])).await;
    let body = json!({"selector": "@db, os:macos", "why": "disks", "for": "2h"});
    let (status, hold) = world.admin.post("/api/v1/holds", &body).await;
    assert_eq!(status, 201, "{hold}");
    assert_eq!(hold["selector"], "@db,os:macos");
    let (id, by) = (
        hold["id"].as_u64().unwrap(),
        hold["by"].as_str().unwrap().to_owned(),
    );
    assert!(hold["until"].as_i64() > hold["since"].as_i64(), "{hold}");

    let world = world.restart().await;
    drop((one, two));
    let (_, list) = world.admin.get("/api/v1/holds").await;
    let mut expected = hold.clone();
    expected["hosts"] = json!(["db-1"]);
    assert_eq!(list["holds"], json!([expected]), "the same after a restart");
    one = Agent::ours(&world, "db-1", &old).await;
    two = Agent::ours(&world, "web-1", &old).await;

    // Shown, with who and why.
    let (_, host) = world.admin.get("/api/v1/hosts/db-1").await;
    assert_eq!(host["held_by_selector"], id);
    assert_eq!(
        host["hold"]["by"],
        format!("selector @db,os:macos, by {by}")
    );
    let codes: Vec<&Value> = host["attentions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["code"])
        .collect();
    assert!(codes.contains(&&json!("held")), "{host}");

    // Respected by plans, rollouts and the queue; a person gives a reason.
    let ask = json!({"hosts": ["db-1", "web-1"], "policy": {"stages": ["pull"]}});
    let (status, plan) = world.admin.post("/api/v1/rollouts/plan", &ask).await;
    assert_eq!(status, 200, "{plan}");
    assert_eq!(plan["skipped"][0]["host"], "db-1");
    assert_eq!(plan["skipped"][0]["reason"], "held");
    let mut start = ask.clone();
    start["confirm"] = plan["id"].clone();
    assert_eq!(world.admin.post("/api/v1/rollouts", &start).await.0, 201);
    two.pulls(&new).await;
    let order = json!({"op": "pull", "hosts": ["db-1"]});
    let (_, refused) = world.admin.post("/api/v1/dispatch", &order).await;
    assert_eq!(
        refused["results"][0]["code"], "hold-needs-reason",
        "{refused}"
    );
    one.hears_nothing().await;

    // Who no longer matches is released, and so is everybody at the end.
    tagged(&world, "db-1", json!([])).await;
    let (_, host) = world.admin.get("/api/v1/hosts/db-1").await;
    assert!(
        host["hold"].is_null() && host["held_by_selector"].is_null(),
        "{host}"
    );
    tagged(&world, "db-1", json!(["db"])).await;
    let path = format!("/api/v1/holds/{id}");
    assert_eq!(world.admin.delete(&path).await.0, 200);
    assert_eq!(world.admin.delete(&path).await.0, 404);
    let (_, started) = world.admin.post("/api/v1/dispatch", &order).await;
    assert_eq!(
        started["summary"]["started"], 1,
        "positive control: {started}"
    );
    one.pulls(&new).await;

    let (_, audit) = world.admin.get("/api/v1/audit?action=hold.selector").await;
    let row = &audit["audit"][0];
    assert_eq!(
        (&row["reason"], &row["outcome"]),
        (&json!("disks"), &json!("done")),
        "{row}"
    );
    assert_eq!(row["after"]["selector"], "@db,os:macos");
    let (_, audit) = world.admin.get("/api/v1/audit?action=release.*").await;
    assert_eq!(audit["audit"][0]["before"]["id"], id, "{audit}");
}

#[tokio::test]
async fn a_hold_by_selector_ends_by_itself_and_bad_ones_are_named() {
    let (world, old) = World::start().await;
    let _agent = Agent::ours(&world, "web-1", &old).await;
    for (body, status, named) in [
        (
            json!({"selector": "web-*, kind:x", "why": "x"}),
            422,
            "kind:x",
        ),
        (json!({"selector": "", "why": "x"}), 422, "selector"),
        (json!({"selector": "*", "why": " "}), 400, "why"),
        (
            json!({"selector": "*", "why": "x", "for": "soon"}),
            400,
            "for",
        ),
        (
            json!({"selector": "*", "why": "x", "for": "0s"}),
            422,
            "until",
        ),
        (json!({"selector": "*"}), 400, "why"),
        (
            json!({"selector": "*", "why": "x", "until": 1}),
            400,
            "until",
        ),
    ] {
        let (found, answer) = world.admin.post("/api/v1/holds", &body).await;
        let detail = answer["detail"].as_str().unwrap_or_default();
        assert!(
            found == status && detail.contains(named),
            "{body}: {found} {answer}"
        );
    }
    assert_eq!(world.admin.get("/api/v1/holds").await.1["holds"], json!([]));
    let body = json!({"selector": "web-*", "why": "short", "for": "1s"});
    assert_eq!(world.admin.post("/api/v1/holds", &body).await.0, 201);
    world.host_shows("web-1", "/hold/why", json!("short")).await;
    eventually("the hold ends", async || {
        let (_, host) = world.admin.get("/api/v1/hosts/web-1").await;
        host["hold"].is_null()
    })
    .await;
    assert_eq!(world.admin.get("/api/v1/holds").await.1["holds"], json!([]));
    for bad in ["1", "x", "-1", "99999999999999999999999"] {
        let (status, answer) = world.admin.delete(&format!("/api/v1/holds/{bad}")).await;
        assert_eq!(
            (status, &answer["code"]),
            (404, &json!("unknown_hold")),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn the_audit_trail_is_read_page_by_page_and_by_host_actor_and_action() {
    let (world, _) = World::start().await;
    for host in ["a", "b"] {
        world
            .admin
            .post("/api/v1/hosts", &json!({"id": host}))
            .await;
        let path = format!("/api/v1/hosts/{host}/hold");
        world
            .admin
            .post(&path, &json!({"why": format!("of {host}")}))
            .await;
        let path = format!("/api/v1/hosts/{host}/release");
        world.admin.post(&path, &json!({})).await;
    }
    let read = async |query: &str| {
        let (status, answer) = world.admin.get(&format!("/api/v1/audit{query}")).await;
        assert_eq!(status, 200, "{query}: {answer}");
        answer
    };
    let all = read("").await;
    let rows = all["audit"].as_array().unwrap();
    assert!(rows.len() >= 6 && all["next_before"].is_null(), "{all}");
    assert!(
        rows.is_sorted_by(|one, next| one["n"].as_i64() > next["n"].as_i64()),
        "newest first"
    );
    let first = rows.iter().find(|row| row["action"] == "hold").unwrap();
    assert_eq!(
        (&first["host"], &first["reason"]),
        (&json!("b"), &json!("of b"))
    );
    assert_eq!(first["after"]["hold"]["why"], "of b");
    assert!(
        first["peer"]
            .as_str()
            .is_some_and(|peer| peer.contains("127.0.0.1")),
        "{first}"
    );

    // Page by page it is the same trail.
    let (mut paged, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let page = read(&query).await;
        paged.extend(page["audit"].as_array().unwrap().clone());
        let Some(next) = page["next_before"].as_str() else {
            break;
        };
        query = format!("?limit=2&before={next}");
    }
    assert_eq!(&paged, rows);

    let of = async |query: &str| read(query).await["audit"].as_array().unwrap().len();
    let actor = first["actor"]["name"].as_str().unwrap();
    let actor = actor.replace(' ', "%20");
    assert_eq!(of("?host=a").await, 3);
    assert_eq!(of("?host=a&action=hold").await, 1);
    assert_eq!(
        of("?action=ho*").await,
        of("?action=hold").await + of("?action=host.").await
    );
    assert_eq!(of(&format!("?actor={actor}")).await, rows.len());
    assert_eq!(of("?actor=nobody").await, 0);
    assert_eq!(of("?action=%25").await, 0, "no wildcard of the database");
    for (bad, code) in [
        ("?before=x", 422),
        ("?host=../x", 422),
        ("?nonsense=1", 400),
    ] {
        let (status, answer) = world.admin.get(&format!("/api/v1/audit{bad}")).await;
        assert_eq!(status, code, "{bad}: {answer}");
    }
}

#[tokio::test]
async fn the_drift_tells_what_most_run_and_who_differs() {
    let (world, old) = World::start().await;
    let new = world.push('b').await;
    let empty = world.admin.get("/api/v1/drift").await.1;
    assert_eq!(empty["sentence"], "there are no hosts");
    let mut agents = Vec::new();
    for (host, at) in [("a", &new), ("b", &new), ("c", &old)] {
        let mut agent = Agent::ours(&world, host, at).await;
        let path = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-nixos-system";
        let system = json!({
            "path": path, "booted_path": path, "configuration_revision": at.commit,
            "generation_number": 1, "reboot_required": false,
        });
        agent.say("heartbeat", json!({ "system": system })).await;
        agents.push(agent);
    }
    world.admin.post("/api/v1/hosts", &json!({"id": "d"})).await;
    let short = |at: &super::harness::Revision| at.commit.short();
    let expected = format!(
        "2 of 4 hosts run {}; differing: c; not known: d",
        short(&new)
    );
    eventually("the drift is told", async || {
        world.admin.get("/api/v1/drift").await.1["sentence"] == expected
    })
    .await;
    let (_, drift) = world.admin.get("/api/v1/drift").await;
    assert_eq!(
        drift["most"],
        json!({"revision": new.commit, "hosts": 2, "desired": true})
    );
    assert_eq!(
        drift["differing"],
        json!([{"host": "c", "revision": old.commit}])
    );
    assert_eq!(drift["unknown"], json!(["d"]));
}

#[tokio::test]
async fn windows_tell_when_they_next_open_and_simulations_who_waits() {
    let (world, old) = World::start().await;
    world.push('b').await;
    let _agent = Agent::ours(&world, "web-1", &old).await;
    // One that is shut now, whenever the test runs: it opens in about twelve hours.
    let now = hour_of_day();
    let hour = |ahead: u64| format!("{:02}:00", (now + ahead) % 24);
    let window = json!({"selector": "*", "zone": "UTC", "effect": "allow", "from": hour(12), "to": hour(13)});
    let (status, answer) = world.admin.put("/api/v1/windows/later", &window).await;
    assert_eq!(status, 200, "{answer}");
    let always =
        json!({"selector": "x", "zone": "UTC", "effect": "allow", "from": "00:00", "to": "24:00"});
    assert_eq!(
        world.admin.put("/api/v1/windows/open", &always).await.0,
        200
    );
    let (_, list) = world.admin.get("/api/v1/windows").await;
    let of = |id: &str| {
        list["windows"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["id"] == id)
            .unwrap()
            .clone()
    };
    assert_eq!(
        (&of("open")["open"], &of("open")["next_opening"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(of("later")["open"], false);
    let opens = of("later")["next_opening"].as_i64().unwrap();
    assert_eq!(opens % 3_600_000, 0, "on the hour");

    let ask = json!({"hosts": ["web-1"], "policy": {"stages": ["pull"]}});
    let (status, told) = world.admin.post("/api/v1/simulate", &ask).await;
    assert_eq!(status, 200, "{told}");
    let steps = told["steps"].as_array().unwrap();
    let wait = steps
        .iter()
        .find(|step| step["what"] == "waits")
        .expect("a wait");
    assert_eq!(wait["host"], "web-1");
    assert_eq!(wait["wait"]["code"], "outside-window");
    assert_eq!(wait["wait"]["until"], opens, "{wait}");
    let started = steps
        .iter()
        .find(|step| step["what"] == "pull-starts")
        .unwrap();
    assert_eq!(
        started["at_seconds"], wait["to_seconds"],
        "it waits as long as it says"
    );
}

/// The hour of the day, UTC.
fn hour_of_day() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs() / 3600 % 24
}
