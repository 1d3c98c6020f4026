//! Rollouts over HTTP: planned, started, steered, over restarts, and refused whole.

use std::sync::Arc;

use nixfleet_core::fleet::Record;
use nixfleet_server::app::Replacements;
use nixfleet_server::persist::MemoryJournal;
use nixfleet_server::store::AuditVerdict;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use super::harness::{Agent, PATIENCE, Revision, World, eventually};

const STAGES: [&str; 2] = ["pull", "switch"];

/// A server with a new commit and two agents that do not have it.
async fn with_two() -> (World, Revision, Revision, Agent, Agent) {
    let (world, old) = World::start().await;
    let new = world.push('b').await;
    let one = Agent::ours(&world, "web-1", &old).await;
    let two = Agent::ours(&world, "web-2", &old).await;
    (world, old, new, one, two)
}

async fn plan(world: &World, ask: &Value) -> Value {
    let (status, plan) = world.admin.post("/api/v1/rollouts/plan", ask).await;
    assert_eq!(status, 200, "{plan}");
    plan
}

/// Starts what was planned; the path of the rollout.
async fn start(world: &World, ask: &Value) -> String {
    let plan = plan(world, ask).await;
    let mut body = ask.clone();
    body["confirm"] = plan["id"].clone();
    let (status, view) = world.admin.post("/api/v1/rollouts", &body).await;
    assert_eq!(status, 201, "{view}");
    assert_eq!(view["plan"], plan["id"]);
    format!("/api/v1/rollouts/{}", view["id"].as_str().unwrap())
}

async fn shows(world: &World, path: &str, pointer: &str, wanted: Value) {
    eventually(&format!("{path} shows {pointer} = {wanted}"), async || {
        let (status, view) = world.admin.get(path).await;
        status == 200 && view.pointer(pointer) == Some(&wanted)
    })
    .await;
}

fn in_stages(barrier: bool) -> Value {
    json!({"hosts": "web-*", "policy": {"stages": STAGES, "barrier": barrier}})
}

#[tokio::test]
async fn a_rollout_is_planned_confirmed_paused_resumed_and_completed() {
    let (world, _, new, mut one, mut two) = with_two().await;
    let mut ask = in_stages(true);
    ask["policy"]["max_in_flight"] = json!({"count": 1});
    let (status, answer) = world.admin.post("/api/v1/rollouts", &ask).await;
    assert_eq!(
        (status, &answer["code"]),
        (422, &json!("plan_not_confirmed")),
        "{answer}"
    );
    ask["confirm"] = json!("0".repeat(64));
    let (status, answer) = world.admin.post("/api/v1/rollouts", &ask).await;
    assert_eq!(
        (status, &answer["code"]),
        (409, &json!("plan_changed")),
        "{answer}"
    );
    ask.as_object_mut().unwrap().remove("confirm");

    let path = start(&world, &ask).await;
    one.pulls(&new).await;
    let command = two.hear_command().await;
    let (status, view) = world.admin.post(&format!("{path}/pause"), &json!({})).await;
    assert_eq!((status, &view["state"]), (200, &json!("paused")), "{view}");
    two.finish(&command, 0, &new).await;
    shows(&world, &path, "/hosts/0/wait/code", json!("paused")).await;
    one.hears_nothing().await;
    let (status, view) = world.admin.post(&format!("{path}/pause"), &json!({})).await;
    assert_eq!(
        (status, &view["code"]),
        (409, &json!("verb_refused")),
        "{view}"
    );
    let (status, _) = world
        .admin
        .post(&format!("{path}/resume"), &json!({}))
        .await;
    assert_eq!(status, 200);
    one.switches(&new, 5, 0).await;
    two.switches(&new, 5, 0).await;
    shows(&world, &path, "/state", json!("complete")).await;

    let (_, list) = world.admin.get("/api/v1/rollouts").await;
    assert_eq!(list["rollouts"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list["rollouts"][0]["totals"]["done"], 2);
    let verdict = world.server.store.verify_audit().await.unwrap();
    assert!(
        matches!(verdict, AuditVerdict::Intact(n) if n >= 5),
        "{verdict:?}"
    );
}

#[tokio::test]
async fn a_restart_at_every_step_repeats_no_command_and_skips_no_barrier() {
    let (mut world, old, new, mut one, mut two) = with_two().await;
    let path = start(&world, &in_stages(true)).await;
    let first = one.hear_command().await;
    let second = two.hear_command().await;
    drop((one, two));

    // Killed while both pull: the agents come back with what they did meanwhile.
    world = world.restart().await;
    shows(&world, &path, "/state", json!("running")).await;
    one = back(&world, "web-1", &new, &first).await;
    one.hears_nothing().await;
    shows(&world, &path, "/hosts/0/stage", json!("switch")).await;
    drop(one);

    // Killed with one through the barrier's stage and one not.
    world = world.restart().await;
    one = Agent::ours(&world, "web-1", &new).await;
    one.hears_nothing().await;
    two = back(&world, "web-2", &new, &second).await;
    let switch = one.hear_command().await;
    assert_eq!(switch["command"], "switch");
    assert_eq!(switch["seq"], 2, "one pull and one switch, no more");
    let other = two.hear_command().await;
    assert_eq!(
        (&other["command"], &other["seq"]),
        (&json!("switch"), &json!(2))
    );
    drop((one, two));

    // Killed during the switch, which fails on one: that ends it, and offers the way back.
    world = world.restart().await;
    one = Agent::connect(&world).await;
    let failed = json!([{"status": "error", "command": "switch", "exit_code": 1,
        "command_id": switch["command_id"], "seq": switch["seq"]}]);
    one.say("register", hello("web-1", &new, &failed)).await;
    one.hear_only("registered").await;
    one.hear_only("confirm").await;
    two = back_from_switch(&world, "web-2", &new, &other).await;
    shows(&world, &path, "/state", json!("failed")).await;
    let (_, view) = world.admin.get(&path).await;
    assert_eq!(view["totals"]["failed"], 1, "{view}");
    assert_eq!(view["totals"]["done"], 1, "{view}");
    let offers = view["offers"].as_array().unwrap();
    assert!(
        offers.contains(&json!("retry-failed")) && offers.contains(&json!("roll-back")),
        "{view}"
    );

    // Retried after one more restart: a command of its own for the one that failed, none for the other.
    drop((one, two));
    world = world.restart().await;
    one = Agent::ours(&world, "web-1", &new).await;
    two = Agent::ours(&world, "web-2", &new).await;
    let (status, view) = world
        .admin
        .post(&format!("{path}/retry-failed"), &json!({}))
        .await;
    assert_eq!(status, 200, "{view}");
    let again = one.switches(&new, 6, 0).await;
    assert_eq!(again["seq"], 3);
    assert_ne!(again["command_id"], switch["command_id"]);
    two.hears_nothing().await;
    shows(&world, &path, "/state", json!("complete")).await;
    let _ = old;
}

fn hello(host: &str, at: &Revision, results: &Value) -> Value {
    let mut hello = at.facts();
    hello["hostname"] = json!(host);
    hello["protocol"] = json!(1);
    hello["capabilities"] = json!(["commands", "lock", "deployed"]);
    hello["instance_id"] = json!(format!("instance-of-{host}"));
    hello["agent_version"] = json!(env!("CARGO_PKG_VERSION"));
    hello["last_seq"] = results[0]["seq"].clone();
    hello["results"] = results.clone();
    hello
}

/// An agent comes back with the good end of a pull that nobody has confirmed.
async fn back(world: &World, host: &str, at: &Revision, command: &Value) -> Agent {
    let mut agent = Agent::connect(world).await;
    let results = json!([{"status": "ok", "command": "pull", "exit_code": 0,
        "command_id": command["command_id"], "seq": command["seq"]}]);
    agent.say("register", hello(host, at, &results)).await;
    agent.hear_only("registered").await;
    agent.hear_only("confirm").await;
    agent.say("heartbeat", at.facts()).await;
    agent
}

/// The same, of a switch.
async fn back_from_switch(world: &World, host: &str, at: &Revision, command: &Value) -> Agent {
    let mut agent = Agent::connect(world).await;
    let results = json!([{"status": "ok", "command": "switch", "exit_code": 0,
        "command_id": command["command_id"], "seq": command["seq"]}]);
    let runs = super::harness::running(at, 6, &command["command_id"]);
    let hello = super::harness::merged(hello(host, at, &results), runs.clone());
    agent.say("register", hello).await;
    agent.hear_only("registered").await;
    agent.hear_only("confirm").await;
    let facts = super::harness::merged(at.facts(), runs);
    agent.say("heartbeat", facts).await;
    agent
}

#[tokio::test]
async fn a_held_host_is_listed_as_skipped_and_gets_nothing_until_it_is_released() {
    let (world, _, new, mut one, mut two) = with_two().await;
    let (status, _) = world
        .admin
        .post("/api/v1/hosts/web-2/hold", &json!({"why": "a demo"}))
        .await;
    assert_eq!(status, 202);
    let ask = in_stages(false);
    let planned = plan(&world, &ask).await;
    assert_eq!(planned["waves"][0]["hosts"], json!(["web-1"]), "{planned}");
    assert_eq!(planned["skipped"][0]["host"], "web-2");
    assert_eq!(planned["skipped"][0]["reason"], "held");
    let path = start(&world, &ask).await;
    one.pulls(&new).await;
    one.switches(&new, 5, 0).await;
    let (_, view) = world.admin.get(&path).await;
    assert_eq!(view["hosts"].as_array().unwrap().len(), 2, "{view}");
    two.hears_nothing().await;

    let (status, _) = world
        .admin
        .post("/api/v1/hosts/web-2/release", &json!({}))
        .await;
    assert_eq!(status, 202);
    start(
        &world,
        &json!({"hosts": ["web-2"], "policy": {"stages": STAGES}}),
    )
    .await;
    two.pulls(&new).await;
}

#[tokio::test]
async fn nothing_starts_outside_a_window_and_what_waits_starts_once_it_is_gone() {
    let (world, _, new, mut one, _two) = with_two().await;
    let never = json!({"selector": "*", "zone": "Europe/Vienna", "effect": "deny",
        "from": "00:00", "to": "24:00"});
    let (status, answer) = world.admin.put("/api/v1/windows/never", &never).await;
    assert_eq!(status, 200, "{answer}");
    let ask = json!({"hosts": ["web-1"], "policy": {"stages": STAGES}});
    let path = start(&world, &ask).await;
    shows(&world, &path, "/hosts/0/wait/code", json!("outside-window")).await;
    one.hears_nothing().await;
    let world = {
        drop(one);
        world.restart().await
    };
    one = Agent::ours(
        &world,
        "web-1",
        &Revision::new(world.repo.id("main~1"), &crate::sources::repo::lock('a')),
    )
    .await;
    shows(&world, &path, "/hosts/0/wait/code", json!("outside-window")).await;
    one.hears_nothing().await;
    let (status, _) = world.admin.delete("/api/v1/windows/never").await;
    assert_eq!(status, 200);
    one.pulls(&new).await;
}

#[tokio::test]
async fn what_cannot_be_planned_is_named_and_a_second_job_is_refused() {
    let (world, _, _, mut one, _two) = with_two().await;
    for (body, code) in [
        (json!({"hosts": ["nope"]}), "unknown_host"),
        (json!({"hosts": "@x y"}), "bad_selector"),
        (
            json!({"policy": {"canaries": {"count": 2}}}),
            "only_canaries",
        ),
        (
            json!({"policy": {"max_in_flight": {"percent": 101}}}),
            "bad_policy",
        ),
        (json!({"target": {"commit": "abc"}}), "bad_target"),
        (
            json!({"target": {"commit": "d".repeat(40), "lock": null}}),
            "target_without_lock",
        ),
    ] {
        for path in ["/api/v1/rollouts/plan", "/api/v1/simulate"] {
            let (status, answer) = world.admin.post(path, &body).await;
            assert_eq!(
                (status, &answer["code"]),
                (422, &json!(code)),
                "{path} {body}: {answer}"
            );
        }
        let mut body = body;
        body["confirm"] = json!("0".repeat(64));
        let (status, answer) = world.admin.post("/api/v1/rollouts", &body).await;
        assert_eq!(
            (status, &answer["code"]),
            (422, &json!(code)),
            "{body}: {answer}"
        );
    }
    let (status, answer) = world
        .admin
        .post("/api/v1/rollouts/plan", &json!({"waves": 1}))
        .await;
    assert_eq!(status, 400, "{answer}");
    for path in [
        "/api/v1/rollouts/x",
        "/api/v1/rollouts/01890a5d-ac96-774b-bcce-b302099a8057",
    ] {
        let (status, answer) = world.admin.get(path).await;
        assert_eq!(
            (status, &answer["code"]),
            (404, &json!("unknown_rollout")),
            "{answer}"
        );
        for verb in [
            "pause",
            "resume",
            "cancel",
            "retry-failed",
            "approve",
            "roll-back",
        ] {
            let (status, answer) = world
                .admin
                .post(&format!("{path}/{verb}"), &json!({}))
                .await;
            assert_eq!(
                (status, &answer["code"]),
                (404, &json!("unknown_rollout")),
                "{verb}: {answer}"
            );
        }
        let skip = json!({"host": "web-1"});
        assert_eq!(
            world.admin.post(&format!("{path}/skip"), &skip).await.0,
            404
        );
    }
    let (_, list) = world.admin.get("/api/v1/rollouts").await;
    assert_eq!(list["rollouts"], json!([]), "nothing is half-started");
    one.hears_nothing().await;

    let path = start(&world, &in_stages(false)).await;
    let planned = plan(&world, &in_stages(false)).await;
    let mut body = in_stages(false);
    body["confirm"] = planned["id"].clone();
    let (status, answer) = world.admin.post("/api/v1/rollouts", &body).await;
    assert_eq!(
        (status, &answer["code"]),
        (409, &json!("rollout_under_way")),
        "{answer}"
    );
    let (status, answer) = world
        .admin
        .post(&format!("{path}/skip"), &json!({"host": "nope"}))
        .await;
    assert_eq!(
        (status, &answer["code"]),
        (422, &json!("unknown_host")),
        "{answer}"
    );
    let (status, view) = world
        .admin
        .post(&format!("{path}/cancel"), &json!({}))
        .await;
    assert_eq!(status, 200, "{view}");
}

#[tokio::test]
async fn the_same_key_starts_one_rollout_also_over_a_restart() {
    let (world, old, new, mut one, two) = with_two().await;
    let ask = json!({"hosts": ["web-1"], "policy": {"stages": STAGES}});
    let planned = plan(&world, &ask).await;
    let mut body = ask.clone();
    body["confirm"] = planned["id"].clone();
    let ask_again = async |world: &World| {
        let url = format!("http://{}/api/v1/rollouts", world.admin.address);
        let request = world.admin.http.post(url).bearer_auth(&world.admin.token);
        let answer = request.header("idempotency-key", "once").json(&body).send();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 201);
        answer.json::<Value>().await.unwrap()["id"].clone()
    };
    let first = ask_again(&world).await;
    assert_eq!(ask_again(&world).await, first);
    one.pulls(&new).await;
    drop((one, two));
    let world = world.restart().await;
    assert_eq!(ask_again(&world).await, first);
    let (_, list) = world.admin.get("/api/v1/rollouts").await;
    assert_eq!(list["rollouts"].as_array().unwrap().len(), 1);
    let _ = old;
}

/// A key is remembered for a day. After that it starts something new, under another id.
#[tokio::test]
async fn a_key_that_is_forgotten_starts_a_rollout_of_its_own() {
    let (world, _, new, mut one, two) = with_two().await;
    let body = json!({"pipeline": "do-all", "hosts": ["web-1"]});
    let ask = async || {
        let url = format!("http://{}/api/v1/pipelines", world.admin.address);
        let request = world.admin.http.post(url).bearer_auth(&world.admin.token);
        let answer = request.header("idempotency-key", "weekly").json(&body);
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 201);
        answer.json::<Value>().await.unwrap()["id"].clone()
    };
    let first = ask().await;
    assert_eq!(ask().await, first, "control: it is remembered");
    let path = format!("/api/v1/rollouts/{}", first.as_str().unwrap());
    let cancel = format!("{path}/cancel");
    assert_eq!(world.admin.post(&cancel, &json!({})).await.0, 200);
    one.pulls(&new).await;
    drop(two);
    shows(&world, &path, "/state", json!("cancelled")).await;
    let database = format!("sqlite:{}", world.data().join("nixfleet.db").display());
    let mut raw = SqliteConnection::connect(&database).await.unwrap();
    let day = sqlx::query("UPDATE idempotency SET at = at - 90000000");
    assert_eq!(day.execute(&mut raw).await.unwrap().rows_affected(), 1);
    raw.close().await.unwrap();
    let second = ask().await;
    assert_ne!(second, first);
    let (_, list) = world.admin.get("/api/v1/rollouts").await;
    assert_eq!(list["rollouts"].as_array().unwrap().len(), 2);
    // It has pulled already.
    assert_eq!(one.hear_command().await["command"], "switch");
}

#[tokio::test]
async fn a_simulation_starts_nothing_and_shows_what_the_real_run_does() {
    let (world, _, new, mut one, mut two) = with_two().await;
    let mut ask = in_stages(true);
    ask["policy"]["max_in_flight"] = json!({"count": 1});
    let (status, simulated) = world.admin.post("/api/v1/simulate", &ask).await;
    assert_eq!(status, 200, "{simulated}");
    let steps = simulated["steps"].as_array().unwrap();
    let order: Vec<String> = steps
        .iter()
        .filter_map(|step| {
            let what = step["what"].as_str().unwrap();
            let host = step["host"].as_str()?;
            Some(format!("{host} {}", what.strip_suffix("-starts")?))
        })
        .collect();
    assert_eq!(simulated["result"]["state"], "complete", "{simulated}");
    one.hears_nothing().await;
    let (_, list) = world.admin.get("/api/v1/rollouts").await;
    assert_eq!(list["rollouts"], json!([]));

    let planned = plan(&world, &ask).await;
    assert_eq!(simulated["plan"], planned);
    start(&world, &ask).await;
    let mut real = Vec::new();
    one.pulls(&new).await;
    real.push("web-1 pull");
    two.pulls(&new).await;
    real.push("web-2 pull");
    one.switches(&new, 5, 0).await;
    real.push("web-1 switch");
    two.switches(&new, 5, 0).await;
    real.push("web-2 switch");
    assert_eq!(order, real);

    for (body, code) in [
        (json!({"outcomes": {"nope": "ok"}}), "unknown_host"),
        (json!({"outcomes": {"web-1": "explode"}}), "bad_outcome"),
    ] {
        let (status, answer) = world.admin.post("/api/v1/simulate", &body).await;
        assert_eq!((status, &answer["code"]), (422, &json!(code)), "{answer}");
    }
}

#[tokio::test]
async fn an_assumed_failure_stops_the_simulated_rollout() {
    let (world, _, _, _one, _two) = with_two().await;
    for outcome in ["fail", "timeout", "lost"] {
        let mut ask = in_stages(false);
        ask["policy"]["max_in_flight"] = json!({"count": 1});
        ask["outcomes"] = json!({"web-1": outcome});
        let (status, simulated) = world.admin.post("/api/v1/simulate", &ask).await;
        assert_eq!(status, 200, "{simulated}");
        assert_eq!(simulated["result"]["state"], "failed", "{simulated}");
        assert_eq!(simulated["result"]["totals"]["cancelled"], 1, "{simulated}");
    }
}

#[tokio::test]
async fn what_cannot_be_put_on_record_is_not_started_and_leaves_no_trace() {
    let journal = Arc::new(MemoryJournal::new());
    let replacements = Replacements {
        journal: Some(journal.clone()),
        ..Replacements::default()
    };
    let (world, old) = World::with(replacements).await;
    world.push('b').await;
    let mut one = Agent::ours(&world, "web-1", &old).await;
    let ask = json!({"hosts": ["web-1"], "policy": {"stages": STAGES}});
    let planned = plan(&world, &ask).await;
    let count = || {
        let records = journal.records();
        let rollout = |record: &&Record| matches!(record, Record::Rollout(_));
        let started = |record: &&Record| matches!(record, Record::Audit(row) if row.action == "rollout.start");
        (
            records.iter().filter(rollout).count(),
            records.iter().filter(started).count(),
        )
    };
    assert_eq!(count(), (0, 0));
    journal.break_down();
    let mut body = ask;
    body["confirm"] = planned["id"].clone();
    let (status, answer) = world.admin.post("/api/v1/rollouts", &body).await;
    assert_eq!(status, 503, "{answer}");
    assert_eq!(
        one.hear_close().await.0,
        1012,
        "no command came before the goodbye"
    );
    assert_eq!(count(), (0, 0), "neither the rollout nor its audit row");
    let ended = tokio::time::timeout(PATIENCE, world.server.ended()).await;
    ended.unwrap().unwrap_err();
}
