//! Connections of agents: registering, being replaced, speaking nonsense, speaking for others.

use std::time::Duration;

use nixfleet_server::app::Replacements;
use nixfleet_server::auth::TokenScope;
use serde_json::json;

use super::harness::{Agent, World, make_token};

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
