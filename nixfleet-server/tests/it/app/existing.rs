//! Agents that are deployed already: no ids, seven digits, results matched by name.

use serde_json::{Value, json};

use super::harness::{Agent, Revision, World, eventually};

async fn register(agent: &mut Agent, host: &str, at: &Revision) {
    let hello = json!({
        "hostname": host, "host_type": "nixos", "agent_version": env!("CARGO_PKG_VERSION"),
        "os_version": "25.05", "nixpkgs_version": "25.05", "generation": at.commit.short(),
        "theme_color": "#1e90ff", "heartbeat_interval": 5, "location": "home",
        "device_type": "server", "repo_url": "", "repo_dir": "/etc/nixos",
    });
    agent.say("register", hello).await;
    agent.hear_only("registered").await;
    agent.say("heartbeat", beat(at, Value::Null)).await;
}

fn beat(at: &Revision, pending: Value) -> Value {
    json!({
        "generation": at.commit.short(), "nixpkgs_version": "25.05", "pending_command": pending,
        "command_pid": null, "metrics": null, "lock_hash": at.lock,
        "update_status": {"git": {"status": "ok"}, "lock": {"status": "ok"}, "system": {"status": "ok"}},
    })
}

#[tokio::test]
async fn a_pull_without_ids_ends_by_host_and_name_and_its_output_is_found() {
    let (world, old) = World::start().await;
    let new = world.push('b').await;
    let mut agent = Agent::connect(&world).await;
    register(&mut agent, "old-1", &old).await;
    world
        .host_shows("old-1", "/compartments/git/status", json!("outdated"))
        .await;
    world
        .host_shows("old-1", "/command_ids", json!(false))
        .await;

    let id = world.order("pull", "old-1").await;
    let command = agent.hear_only("command").await;
    assert_eq!(command["command"], "pull");
    agent.say("heartbeat", beat(&old, json!("pull"))).await;
    let line =
        json!({"line": "Updating abc..def", "stream": "stdout", "command": "", "is_error": false});
    agent.say("output", line).await;
    let output = format!("/api/v1/hosts/old-1/output?command={id}&wait=5");
    eventually("the line is found under the command", async || {
        let (_, page) = world.admin.get(&output).await;
        page["lines"][0]["text"] == "Updating abc..def"
    })
    .await;
    let done = json!({"status": "ok", "command": "pull", "exit_code": 0,
        "generation": new.commit.short()});
    agent.say("status", done).await;
    agent.say("heartbeat", beat(&new, Value::Null)).await;
    world
        .host_shows("old-1", "/command/phase", json!("SUCCESS"))
        .await;
    world
        .host_shows("old-1", "/compartments/git/status", json!("ok"))
        .await;
}

#[tokio::test]
async fn a_stop_is_the_old_word_and_its_two_results_are_one_end() {
    let (world, old) = World::start().await;
    world.push('b').await;
    let mut agent = Agent::connect(&world).await;
    register(&mut agent, "old-1", &old).await;
    world.order("pull", "old-1").await;
    agent.hear_only("command").await;
    agent.say("heartbeat", beat(&old, json!("pull"))).await;
    let (status, _) = world
        .admin
        .post("/api/hosts/old-1/kill", &json!({"signal": "SIGTERM"}))
        .await;
    assert_eq!(status, 202);
    let stop = agent.hear_only("command").await;
    assert_eq!(stop["command"], "stop");
    for (status, code) in [("stopped", 130), ("error", -1)] {
        let end = json!({"status": status, "command": "pull", "exit_code": code});
        agent.say("status", end).await;
    }
    agent.say("heartbeat", beat(&old, Value::Null)).await;
    world
        .host_shows("old-1", "/command/phase", json!("KILLED"))
        .await;
}

#[tokio::test]
async fn b09_the_second_end_of_a_stopped_command_does_not_end_the_next_one() {
    let (world, old) = World::start().await;
    let new = world.push('b').await;
    let mut agent = Agent::connect(&world).await;
    register(&mut agent, "old-1", &old).await;
    let end = |status: &str, code: i32, at: &Revision| {
        json!({"status": status, "command": "pull", "exit_code": code,
            "generation": at.commit.short()})
    };
    world.order("pull", "old-1").await;
    agent.hear_only("command").await;
    let stop = json!({"signal": "SIGTERM"});
    let (status, _) = world.admin.post("/api/hosts/old-1/kill", &stop).await;
    assert_eq!(status, 202);
    agent.hear_only("command").await;
    agent.say("status", end("stopped", 130, &old)).await;
    agent.say("heartbeat", beat(&old, Value::Null)).await;
    let phase = "/command/phase";
    world.host_shows("old-1", phase, json!("KILLED")).await;

    world.order("pull", "old-1").await;
    agent.hear_only("command").await;
    agent.say("status", end("error", -1, &old)).await;
    agent.say("heartbeat", beat(&old, json!("pull"))).await;
    agent.say("status", end("ok", 0, &new)).await;
    agent.say("heartbeat", beat(&new, Value::Null)).await;
    world.host_shows("old-1", phase, json!("SUCCESS")).await;

    // Positive control: a failure that nothing announced ends the command that runs.
    let newest = world.push('c').await;
    world
        .host_shows("old-1", "/compartments/git/status", json!("outdated"))
        .await;
    world.order("pull", "old-1").await;
    agent.hear_only("command").await;
    agent.say("status", end("error", -1, &new)).await;
    agent.say("heartbeat", beat(&new, Value::Null)).await;
    world.host_shows("old-1", phase, json!("ERROR")).await;
    assert_ne!(newest.commit, new.commit);
}

#[tokio::test]
async fn the_paths_of_existing_tools_answer_in_their_shape() {
    let (world, old) = World::start().await;
    let mut agent = Agent::connect(&world).await;
    register(&mut agent, "old-1", &old).await;
    world
        .host_shows("old-1", "/compartments/lock/status", json!("ok"))
        .await;
    let (status, answer) = world.admin.get("/api/hosts").await;
    assert_eq!(status, 200);
    let row = &answer["hosts"][0];
    assert_eq!(row["id"], "old-1");
    assert_eq!(row["status"], "online");
    assert_eq!(row["generation"], old.commit.short());
    assert_eq!(row["pending_command"], Value::Null);
    for compartment in ["git", "lock", "system", "tests"] {
        let one = &row["update_status"][compartment];
        assert!(
            one["status"].is_string() && one["message"].is_string(),
            "{row}"
        );
        assert!(one["checked_at"].as_str().unwrap().ends_with('Z'));
    }
    assert!(row["last_seen"].as_str().unwrap().ends_with('Z'));

    for path in [
        "/api/command-states",
        "/api/system-log",
        "/api/events",
        "/api/ops",
        "/api/pipelines",
        "/api/flake-updates/status",
        "/api/hosts/old-1/logs",
        "/api/hosts/old-1/output",
        "/api/hosts/old-1/events",
    ] {
        assert_eq!(world.admin.get(path).await.0, 200, "{path}");
    }
    let color = json!({"theme_color": "#ff0000"});
    let path = "/api/hosts/old-1/theme-color";
    assert_eq!(world.admin.post(path, &color).await.0, 202);
    world
        .host_shows("old-1", "/theme_color", json!("#ff0000"))
        .await;
    let (status, answer) = world
        .admin
        .post("/api/hosts/old-1/command", &json!({"command": "pull"}))
        .await;
    assert_eq!(
        (status, answer["code"].as_str()),
        (409, Some("already-current"))
    );
    let (status, _) = world
        .admin
        .post("/api/hosts/old-1/refresh-git", &json!({}))
        .await;
    assert_eq!(status, 200);
    for (path, wanted, code) in [
        ("/api/dispatch/pipeline", 422, "unknown_pipeline"),
        (
            "/api/flake-updates/merge-and-deploy",
            409,
            "updates-not-configured",
        ),
    ] {
        let (status, answer) = world.admin.post(path, &json!({})).await;
        assert_eq!((status, &answer["code"]), (wanted, &json!(code)), "{path}");
        assert_eq!(answer["status"], "error", "{path}");
        assert!(answer["message"].is_string(), "{path}");
    }
    let delete = reqwest::Method::DELETE;
    let (status, answer) = world
        .admin
        .send(delete.clone(), "/api/hosts/old-1", None)
        .await;
    assert_eq!(
        (status, answer["code"].as_str()),
        (409, Some("still-online"))
    );
    drop(agent);
    world.host_shows("old-1", "/online", json!(false)).await;
    let (status, _) = world.admin.send(delete, "/api/hosts/old-1", None).await;
    assert_eq!(status, 200);
    assert_eq!(world.admin.get("/api/v1/hosts/old-1").await.0, 404);
}
