//! What a running system says it was built from: it is judged, shown, and kept.

use serde_json::{Value, json};

use super::harness::{Agent, World, eventually};

#[tokio::test]
async fn a_system_that_claims_local_changes_is_not_green_also_after_a_restart() {
    let (world, at) = World::start().await;
    let mut agent = Agent::ours(&world, "web-1", &at).await;
    let deployed = json!({ "commit": at.commit, "lock_hash": at.lock,
        "store_path": "/nix/store/one-system", "clean": true });
    // A matching record, and the recorded system runs.
    let system = |claim: Value| {
        let running = json!({ "path": "/nix/store/one-system", "configuration_revision": claim });
        json!({ "deployed": deployed, "system": running })
    };
    let shown = "/compartments/system/status";

    // Positive control: without a claim, and with that of the commit, the record decides.
    agent.say("heartbeat", system(Value::Null)).await;
    world.host_shows("web-1", shown, json!("ok")).await;
    agent.say("heartbeat", system(json!(at.commit))).await;
    world
        .host_shows("web-1", "/claimed_revision", json!(at.commit))
        .await;
    world.host_shows("web-1", shown, json!("ok")).await;

    agent.say("heartbeat", system(json!("my laptop"))).await;
    world
        .host_shows("web-1", "/claimed_revision", json!("my laptop"))
        .await;
    world.host_shows("web-1", shown, json!("outdated")).await;

    let dirty = format!("{}-dirty", at.commit);
    agent.say("heartbeat", system(json!(dirty))).await;
    world
        .host_shows("web-1", "/claimed_revision", json!(dirty))
        .await;
    let (_, before) = world.admin.get("/api/v1/hosts/web-1").await;
    let told = &before["compartments"]["system"];
    assert_eq!(told["status"], "outdated");
    assert_eq!(told["reason"], "runs-no-commit");
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("local changes on top of"), "{message}");

    let world = world.restart().await;
    eventually("the remote is read again", async || {
        let (_, now) = world.admin.get("/api/v1/hosts/web-1").await;
        now["compartments"]["git"]["status"] == "ok"
    })
    .await;
    let (_, after) = world.admin.get("/api/v1/hosts/web-1").await;
    assert_eq!(after["claimed_revision"], json!(dirty));
    for field in ["status", "reason", "message"] {
        assert_eq!(after["compartments"]["system"][field], told[field]);
    }
}
