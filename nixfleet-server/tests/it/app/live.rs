//! The live feed: whatever a client sees, it ends with the state of the server, byte for byte.

use std::sync::Arc;

use nixfleet_core::sync::{Change, Delta, FullState, ServerMessage};
use serde_json::json;

use super::harness::{Agent, Follower, World};

/// Follows until the replica is at the server's version, and compares.
async fn converges(world: &World, follower: &mut Follower) {
    loop {
        let (_, document) = world.admin.get("/api/v1/state").await;
        let server: FullState = serde_json::from_value(document).unwrap();
        while follower
            .replica
            .version()
            .is_none_or(|version| version < server.version)
        {
            follower.step().await;
        }
        if follower.replica.version() == Some(server.version) {
            let own = serde_json::to_string(follower.replica.state()).unwrap();
            assert_eq!(own, serde_json::to_string(&server.state).unwrap());
            return;
        }
    }
}

#[tokio::test]
async fn a_replica_equals_the_full_state_after_any_activity() {
    let (world, old) = World::start().await;
    let mut from_start = world.admin.follow().await;
    assert!(matches!(from_start.step().await, ServerMessage::Init(_)));
    let mut agents = Vec::new();
    for n in 0..5 {
        agents.push(Some(Agent::ours(&world, &format!("web-{n}"), &old).await));
    }
    let mut late = world.admin.follow().await;
    let mut random: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut next = |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    };
    let mut digits = ('b'..='f').cycle();
    let mut at = old.clone();
    for _ in 0..60 {
        let n = usize::try_from(next(5)).unwrap();
        let host = format!("web-{n}");
        match next(7) {
            0 => at = world.push(digits.next().unwrap()).await,
            1 => agents[n] = None,
            2 => agents[n] = Some(Agent::ours(&world, &host, &at).await),
            3 => {
                let body = json!({"op": "pull", "hosts": [host], "queue": next(2) == 0});
                world.admin.post("/api/v1/dispatch", &body).await;
            }
            4 => {
                let path = format!("/api/v1/hosts/{host}/color");
                let color = json!({"color": format!("#{:06x}", next(0xff_ffff))});
                world.admin.post(&path, &color).await;
            }
            5 => {
                if let Some(agent) = &mut agents[n] {
                    // An agent that was replaced or left may be gone already.
                    let beat = json!({"type": "heartbeat", "payload": at.facts()});
                    use futures_util::SinkExt;
                    let text = tokio_tungstenite::tungstenite::Message::text(beat.to_string());
                    agent.socket.send(text).await.ok();
                }
            }
            _ => {
                let path = format!("/api/v1/hosts/{host}/tests");
                let enabled = json!({"enabled": next(2) == 0});
                world.admin.post(&path, &enabled).await;
            }
        }
        if next(10) == 0 {
            late.ask_for_state().await;
        }
    }
    converges(&world, &mut from_start).await;
    converges(&world, &mut late).await;
    let mut fresh = world.admin.follow().await;
    converges(&world, &mut fresh).await;
    assert!(
        fresh.replica.state().hosts.len() == 5,
        "control: something happened"
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_nobody_and_starts_afresh() {
    let (world, _) = World::start().await;
    let mut slow = world.admin.follow().await;
    slow.step().await;
    let add = async |from: usize, to: usize| {
        for n in from..to {
            let body = json!({"id": format!("host-{n}")});
            assert_eq!(world.admin.post("/api/v1/hosts", &body).await.0, 201);
        }
    };
    add(0, 150).await;
    let mut quick = world.admin.follow().await;
    converges(&world, &mut quick).await;
    add(150, 200).await;
    converges(&world, &mut quick).await;
    converges(&world, &mut slow).await;
    assert_eq!(slow.replica.state().hosts.len(), 200);
}

#[tokio::test]
async fn a_client_that_fell_behind_is_skipped_to_the_full_state_without_asking() {
    let (world, at) = World::start().await;
    let _agent = Agent::ours(&world, "web-1", &at).await;
    let mut follower = world.admin.follow().await;
    assert!(matches!(follower.step().await, ServerMessage::Init(_)));
    converges(&world, &mut follower).await;
    // More changes than are kept for one tick; nobody can follow them one by one.
    let version = follower.replica.version().unwrap();
    let event = follower.replica.state().events.values().next().unwrap();
    let known = Arc::new(Delta {
        version,
        change: Change::Event(event.clone()),
    });
    world.server.feed.publish(vec![known; 70_000]);
    while !matches!(follower.step().await, ServerMessage::FullState(_)) {}
    converges(&world, &mut follower).await;
    let body = json!({"id": "web-2"});
    assert_eq!(world.admin.post("/api/v1/hosts", &body).await.0, 201);
    converges(&world, &mut follower).await;
    assert_eq!(follower.replica.state().hosts.len(), 2, "and follows again");
}

#[tokio::test]
async fn a_question_is_answered_with_the_full_state_and_nonsense_is_ignored() {
    let (world, at) = World::start().await;
    let _agent = Agent::ours(&world, "web-1", &at).await;
    let mut follower = world.admin.follow().await;
    assert!(matches!(follower.step().await, ServerMessage::Init(_)));
    use futures_util::SinkExt;
    for text in ["nonsense", r#"{"type":"drop_everything"}"#] {
        let text = tokio_tungstenite::tungstenite::Message::text(text);
        follower.socket.send(text).await.unwrap();
    }
    follower.ask_for_state().await;
    while !matches!(follower.step().await, ServerMessage::FullState(_)) {}
    converges(&world, &mut follower).await;
}

#[tokio::test]
async fn a_revoked_token_ends_its_feed() {
    use futures_util::StreamExt;
    use nixfleet_server::auth::{CredentialStore, Role};
    let (world, _) = World::start().await;
    let viewer = world.client(Role::Viewer).await;
    let mut follower = viewer.follow().await;
    follower.step().await;
    world.server.store.delete_token("viewer").await.unwrap();
    let end = async {
        loop {
            match follower.socket.next().await {
                Some(Ok(message)) if message.is_close() => return true,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return false,
            }
        }
    };
    let closed = tokio::time::timeout(super::harness::PATIENCE, end).await;
    assert!(closed.expect("the feed goes on"), "with a close frame");
}
