//! Connections of agents: registering, being replaced, speaking nonsense, speaking for others.

use std::time::Duration;

use nixfleet_server::app::Replacements;
use nixfleet_server::auth::TokenScope;
use serde_json::json;

use super::harness::{Agent, World, eventually, make_token};

#[tokio::test]
async fn a_second_connection_of_a_host_replaces_the_first() {
    let (world, at) = World::start().await;
    let mut first = Agent::ours(&world, "web-1", &at).await;
    let mut second = Agent::ours(&world, "web-1", &at).await;
    assert_eq!(first.hear_close().await, (1008, "replaced".to_owned()));
    drop(first);
    let new = world.push('b').await;
    world.host_shows("web-1", "/online", json!(true)).await;
    let id = world.order("pull", "web-1").await;
    let command = second.hear_only("command").await;
    assert_eq!(command["command_id"], id, "the second one is served");
    second.finish(&command, 0, &new).await;
}

#[tokio::test]
async fn a_host_whose_agent_leaves_is_offline() {
    let (world, at) = World::start().await;
    let agent = Agent::ours(&world, "web-1", &at).await;
    world.host_shows("web-1", "/online", json!(true)).await;
    drop(agent);
    world.host_shows("web-1", "/online", json!(false)).await;
}

#[tokio::test]
async fn who_does_not_register_is_closed() {
    let replacements = Replacements {
        register_within: Some(Duration::from_millis(50)),
        ..Replacements::default()
    };
    let (world, at) = World::with(replacements).await;
    let mut silent = Agent::connect(&world).await;
    assert_eq!(silent.hear_close().await.0, 1008);
    let mut registered = Agent::ours(&world, "web-1", &at).await;
    let mut early = Agent::connect(&world).await;
    early.say("heartbeat", at.facts()).await;
    assert_eq!(early.hear_close().await.0, 1008, "register comes first");
    world.push('b').await;
    world.order("pull", "web-1").await;
    registered.hear_only("command").await;
}

#[tokio::test]
async fn nonsense_is_ignored_and_too_much_of_it_closes() {
    let (world, at) = World::start().await;
    let mut agent = Agent::ours(&world, "web-1", &at).await;
    for text in [
        "not json",
        r#"{"type":"no-such-type","payload":{}}"#,
        r#"{"type":"heartbeat","payload":{"lock_hash":"zz"}}"#,
        r#"{"type":"status","payload":{"command_id":"../../etc/passwd"}}"#,
        "[]",
    ] {
        agent.say_text(text).await;
    }
    world.push('b').await;
    world.order("pull", "web-1").await;
    agent.hear_only("command").await;

    let mut noisy = Agent::ours(&world, "web-2", &at).await;
    for _ in 0..200 {
        noisy.say_text("{").await;
    }
    let (code, reason) = noisy.hear_close().await;
    assert_eq!(
        (code, reason.as_str()),
        (1008, "too many malformed messages")
    );
}

#[tokio::test]
async fn a_token_of_one_host_speaks_for_no_other() {
    let (world, at) = World::start().await;
    let scope = TokenScope::Agent("web-1".parse().unwrap());
    let token = make_token(&world.server, "of-web-1", scope).await;
    let mut own = Agent::connect_with(&world, &token).await;
    own.register("web-1", &at).await;
    let mut other = Agent::connect_with(&world, &token).await;
    other.say("register", json!({"hostname": "db-1"})).await;
    let line = json!({"line": "forged", "command": ""});
    for _ in 0..3 {
        other.say("output", line.clone()).await;
    }
    assert_eq!(other.hear_close().await.0, 1008);
    assert_eq!(world.admin.get("/api/v1/hosts/db-1").await.0, 404);
}

#[tokio::test]
async fn sec03_a_second_registration_under_another_name_reaches_nothing_of_that_host() {
    let (world, at) = World::start().await;
    let mut victim = Agent::ours(&world, "victim", &at).await;
    let new = world.push('b').await;
    let id = world.order("pull", "victim").await;
    let command = victim.hear_only("command").await;
    let line = |text: &str| json!({"line": text, "command": "pull", "command_id": id});
    victim.say("output", line("genuine")).await;

    let scope = TokenScope::Agent("web-1".parse().unwrap());
    let token = make_token(&world.server, "of-web-1", scope).await;
    let mut forger = Agent::connect_with(&world, &token).await;
    forger.register("web-1", &at).await;
    forger.say("register", json!({"hostname": "victim"})).await;
    forger.say("output", line("forged")).await;
    let mut beat = at.facts();
    beat["metrics"] = json!({"cpu": 77.0, "ram": 1.0, "swap": 0.0, "load": 0.1});
    forger.say("heartbeat", beat).await;
    assert_eq!(forger.hear_close().await.0, 1008);

    victim.finish(&command, 0, &new).await;
    let path = format!("/api/v1/hosts/victim/output?command={id}");
    eventually("the command's own output is kept", async || {
        let shown = world.admin.get(&path).await.1.to_string();
        assert!(!shown.contains("forged"), "{shown}");
        shown.contains("genuine")
    })
    .await;
    let row = world.admin.get("/api/v1/hosts/victim").await.1;
    assert_ne!(row["metrics"]["cpu"], json!(77.0), "{row}");
}

#[tokio::test]
async fn sec03_the_progress_of_a_command_is_told_by_its_own_host_only() {
    let (world, at) = World::start().await;
    let mut owner = Agent::ours(&world, "owner", &at).await;
    let mut other = Agent::ours(&world, "other", &at).await;
    let new = world.push('b').await;
    let id = world.order("pull", "owner").await;
    owner.hear_only("command").await;
    let progress =
        |done: u32| json!({"command_id": id, "progress": {"pull": {"current": done, "total": 6}}});
    other.say("operation_progress", progress(5)).await;
    other.say("heartbeat", new.facts()).await;
    world
        .host_shows("other", "/compartments/git/status", json!("ok"))
        .await;
    let path = format!("/api/v1/commands/{id}");
    let shown = world.admin.get(&path).await.1;
    assert!(shown["progress"].is_null(), "{shown}");

    owner.say("operation_progress", progress(2)).await;
    eventually("its own progress is shown", async || {
        let shown = world.admin.get(&path).await.1;
        shown["progress"]["current"] == json!(2)
    })
    .await;
}

#[tokio::test]
async fn fi33_a_flood_is_slowed_down_and_ended_and_others_are_heard() {
    let (world, at) = World::start().await;
    let mut calm = Agent::ours(&world, "calm", &at).await;
    let mut flood = Agent::ours(&world, "flood", &at).await;
    for i in 0..500 {
        let beat = json!({"generation": format!("{i:07x}")});
        flood.say("heartbeat", beat).await;
    }
    let mut beat = at.facts();
    beat["metrics"] = json!({"cpu": 12.5, "ram": 40.0, "swap": 0.0, "load": 0.3});
    calm.say("heartbeat", beat).await;
    world.host_shows("calm", "/metrics/cpu", json!(12.5)).await;
}

#[tokio::test]
async fn load_and_the_last_sign_of_life_are_shown_beside_the_state() {
    let (world, at) = World::start().await;
    let mut agent = Agent::ours(&world, "web-1", &at).await;
    let version = world.admin.get("/api/v1/state").await.1["version"].clone();
    let mut beat = at.facts();
    beat["metrics"] = json!({"cpu": 12.5, "ram": 40.0, "swap": 0.0, "load": 0.3});
    agent.say("heartbeat", beat).await;
    world.host_shows("web-1", "/metrics/cpu", json!(12.5)).await;
    let row = world.admin.get("/api/v1/hosts/web-1").await.1;
    assert!(row["last_seen"].as_i64().unwrap() > 1_600_000_000_000);
    let now = world.admin.get("/api/v1/state").await.1["version"].clone();
    assert_eq!(now, version, "telemetry is no change of state");
}
