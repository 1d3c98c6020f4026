//! A command from the click to its end.

use serde_json::json;

use super::harness::{Agent, World, eventually};

#[tokio::test]
async fn a_pull_goes_from_dispatch_to_success_and_the_host_becomes_current() {
    let (world, old) = World::start().await;
    let new = world.push('b').await;
    let mut agent = Agent::ours(&world, "web-1", &old).await;
    world
        .host_shows("web-1", "/compartments/git/status", json!("outdated"))
        .await;
    world
        .host_shows("web-1", "/compartments/agent/status", json!("ok"))
        .await;

    let id = world.order("pull", "web-1").await;
    let command = agent.hear_only("command").await;
    assert_eq!(command["command"], "pull");
    assert_eq!(command["command_id"], id);
    assert_eq!(command["seq"], 1);
    assert!(command["not_after"].as_i64().unwrap() > 1_600_000_000_000);
    assert_eq!(command["target"]["commit"], json!(new.commit));
    assert_eq!(command["target"]["lock_hash"], new.lock);

    agent
        .say("accepted", json!({"command_id": id, "pid": 7}))
        .await;
    for n in 1..=3 {
        let line = json!({"line": format!("line {n}"), "stream": "stdout", "command": "pull",
            "is_error": false, "command_id": id, "n": n});
        agent.say("output", line).await;
    }
    world
        .host_shows("web-1", "/compartments/git/status", json!("working"))
        .await;
    let output = format!("/api/v1/hosts/web-1/output?command={id}");
    eventually("all output is there", async || {
        let (_, page) = world.admin.get(&output).await;
        page["lines"]
            .as_array()
            .is_some_and(|lines| lines.len() == 3)
    })
    .await;
    let (_, page) = world.admin.get(&format!("{output}&from=3&wait=5")).await;
    assert_eq!(page["lines"][0]["text"], "line 3");
    assert_eq!(page["next"], 4);

    agent.finish(&command, 0, &new).await;
    world
        .host_shows("web-1", "/command/phase", json!("SUCCESS"))
        .await;
    for compartment in ["git", "lock"] {
        let pointer = format!("/compartments/{compartment}/status");
        world.host_shows("web-1", &pointer, json!("ok")).await;
    }
}

#[tokio::test]
async fn a_failed_command_shows_its_exit_code() {
    let (world, old) = World::start().await;
    world.push('b').await;
    let mut agent = Agent::ours(&world, "web-1", &old).await;
    world.order("pull", "web-1").await;
    let command = agent.hear_only("command").await;
    agent.finish(&command, 3, &old).await;
    world
        .host_shows("web-1", "/command/phase", json!("ERROR"))
        .await;
    world
        .host_shows("web-1", "/command/exit_code", json!(3))
        .await;
}

#[tokio::test]
async fn an_unknown_host_means_that_nothing_at_all_is_started() {
    let (world, old) = World::start().await;
    world.push('b').await;
    let mut agent = Agent::ours(&world, "web-1", &old).await;
    let body = json!({"op": "pull", "hosts": ["web-1", "nope"]});
    for path in ["/api/v1/dispatch", "/api/dispatch"] {
        let (status, answer) = world.admin.post(path, &body).await;
        assert_eq!(
            (status, answer["code"].as_str(), answer["host"].as_str()),
            (404, Some("unknown_host"), Some("nope"))
        );
    }
    let (status, answer) = world
        .admin
        .post(
            "/api/v1/dispatch",
            &json!({"op": "explode", "hosts": ["web-1"]}),
        )
        .await;
    assert_eq!(status, 422);
    assert!(answer["detail"].as_str().unwrap().contains("pull-switch"));

    // The control: the first command that the agent ever gets is the next one.
    let id = world.order("pull", "web-1").await;
    let command = agent.hear_only("command").await;
    assert_eq!(
        (&command["command_id"], &command["seq"]),
        (&json!(id), &json!(1))
    );
}

#[tokio::test]
async fn refusals_are_told_per_host_with_code_and_sentence() {
    let (world, current) = World::start().await;
    let _agent = Agent::ours(&world, "web-1", &current).await;
    let (status, _) = world
        .admin
        .post("/api/v1/hosts", &json!({"id": "web-2"}))
        .await;
    assert_eq!(status, 201);
    let body = json!({"op": "pull", "hosts": ["web-1", "web-2", "web-1"]});
    let (status, answer) = world.admin.post("/api/v1/dispatch", &body).await;
    assert_eq!(status, 200);
    let codes: Vec<_> = answer["results"].as_array().unwrap().iter().collect();
    assert_eq!(codes.len(), 2, "a host named twice is one host");
    assert_eq!(codes[0]["code"], "already-current");
    assert_eq!(codes[1]["code"], "never-seen");
    assert!(codes[1]["message"].as_str().unwrap().len() > 10);
    assert_eq!(answer["summary"]["refused"], 2);
}

#[tokio::test]
async fn the_same_idempotency_key_starts_one_command() {
    let (world, old) = World::start().await;
    world.push('b').await;
    let mut agent = Agent::ours(&world, "web-1", &old).await;
    let ask = async || {
        let url = format!("http://{}/api/v1/dispatch", world.admin.address);
        let request = reqwest::Client::new()
            .post(url)
            .bearer_auth(&world.admin.token)
            .header("idempotency-key", "click-1")
            .json(&json!({"op": "pull", "hosts": ["web-1"]}));
        let answer = request.send().await.unwrap().text().await.unwrap();
        serde_json::from_str::<serde_json::Value>(&answer).unwrap()
    };
    let first = ask().await;
    assert_eq!(first["summary"]["started"], 1, "{first}");
    assert_eq!(ask().await, first);
    let command = agent.hear_only("command").await;
    assert_eq!(command["command_id"], first["results"][0]["command_id"]);
}

#[tokio::test]
async fn a_stop_reaches_the_agent_and_the_confirmed_end_is_killed() {
    let (world, old) = World::start().await;
    world.push('b').await;
    let mut agent = Agent::ours(&world, "web-1", &old).await;
    let id = world.order("pull", "web-1").await;
    let command = agent.hear_only("command").await;
    agent
        .say("accepted", json!({"command_id": id, "pid": 7}))
        .await;
    let path = format!("/api/v1/commands/{id}/stop");
    let (status, _) = world.admin.post(&path, &json!({})).await;
    assert_eq!(status, 202);
    let kill = agent.hear_only("kill_command").await;
    assert_eq!(kill["command_id"], id);
    let stopped = json!({"status": "stopped", "command": "pull", "exit_code": 130,
        "command_id": id, "seq": command["seq"]});
    agent.say("status", stopped).await;
    world
        .host_shows("web-1", "/command/phase", json!("KILLED"))
        .await;
    let (status, answer) = world.admin.post(&path, &json!({})).await;
    assert_eq!(
        (status, answer["code"].as_str()),
        (404, Some("unknown_command"))
    );
}

#[tokio::test]
async fn a_held_host_is_left_alone_until_it_is_released() {
    let (world, old) = World::start().await;
    world.push('b').await;
    let mut agent = Agent::ours(&world, "web-1", &old).await;
    let hold = json!({"why": "disk is being replaced", "for": "2h"});
    let (status, _) = world.admin.post("/api/v1/hosts/web-1/hold", &hold).await;
    assert_eq!(status, 202);
    world
        .host_shows("web-1", "/hold/why", json!("disk is being replaced"))
        .await;
    let body = json!({"op": "pull", "hosts": ["web-1"]});
    let (_, answer) = world.admin.post("/api/v1/dispatch", &body).await;
    assert_eq!(answer["results"][0]["code"], "hold-needs-reason");
    let (status, _) = world
        .admin
        .post("/api/v1/hosts/web-1/release", &json!({}))
        .await;
    assert_eq!(status, 202);
    world.order("pull", "web-1").await;
    agent.hear_only("command").await;
}

#[tokio::test]
async fn a_restart_of_the_server_shows_the_same_and_goes_on_with_the_command() {
    let (world, old) = World::start().await;
    let new = world.push('b').await;
    let mut agent = Agent::ours(&world, "web-1", &old).await;
    let id = world.order("pull", "web-1").await;
    let command = agent.hear_only("command").await;
    agent
        .say("accepted", json!({"command_id": id, "pid": 7}))
        .await;
    world
        .host_shows("web-1", "/compartments/git/status", json!("working"))
        .await;
    let before = world.admin.get("/api/v1/hosts/web-1").await.1;

    let world = world.restart().await;
    let (code, _) = agent.hear_close().await;
    assert_eq!(code, 1012);
    let after = world.admin.get("/api/v1/hosts/web-1").await.1;
    for part in ["status", "reason", "message"] {
        let [before, after] = [&before, &after].map(|row| &row["compartments"]["lock"][part]);
        assert_eq!(after, before);
    }
    assert_eq!(after["command"]["id"], id);
    assert_eq!(after["online"], false);

    // The agent comes back with the result that nobody has confirmed.
    let mut agent = Agent::connect(&world).await;
    let mut hello = new.facts();
    hello["hostname"] = json!("web-1");
    hello["capabilities"] = json!(["commands", "lock", "deployed"]);
    hello["instance_id"] = json!("instance-of-web-1");
    hello["last_seq"] = json!(1);
    hello["results"] = json!([{"status": "ok", "command": "pull", "exit_code": 0,
        "command_id": id, "seq": command["seq"]}]);
    agent.say("register", hello).await;
    agent.hear_only("registered").await;
    assert_eq!(agent.hear_only("confirm").await["command_id"], id);
    agent.say("heartbeat", new.facts()).await;
    world
        .host_shows("web-1", "/command/phase", json!("SUCCESS"))
        .await;
}

#[tokio::test]
async fn events_are_told_newest_first_and_page_into_the_past() {
    let (world, at) = World::start().await;
    for n in 0..5 {
        Agent::ours(&world, &format!("web-{n}"), &at).await;
    }
    let (_, all) = world.admin.get("/api/v1/events").await;
    let numbers = |page: &serde_json::Value| -> Vec<u64> {
        let events = page["events"].as_array().unwrap().iter();
        events.map(|event| event["n"].as_u64().unwrap()).collect()
    };
    let all = numbers(&all);
    assert!(all.len() >= 5 && all.is_sorted_by(|a, b| a > b), "{all:?}");
    let mut paged = Vec::new();
    let mut path = "/api/v1/events?limit=2".to_owned();
    loop {
        let (status, page) = world.admin.get(&path).await;
        assert_eq!(status, 200);
        paged.extend(numbers(&page));
        let Some(before) = page["next_before"].as_u64() else {
            break;
        };
        path = format!("/api/v1/events?limit=2&before={before}");
    }
    assert_eq!(paged, all);
}
