//! What is not on record did not happen.

use std::sync::Arc;

use nixfleet_core::fleet::Record;
use nixfleet_server::app::{Fault, Replacements};
use nixfleet_server::persist::MemoryJournal;
use serde_json::json;

use super::harness::{Agent, PATIENCE, World};

#[tokio::test]
async fn if_the_intent_cannot_be_journaled_nothing_is_sent_and_the_server_ends() {
    let journal = Arc::new(MemoryJournal::new());
    let replacements = Replacements {
        journal: Some(journal.clone()),
        ..Replacements::default()
    };
    let (world, old) = World::with(replacements).await;
    world.push('b').await;
    let mut first = Agent::ours(&world, "web-1", &old).await;
    let mut second = Agent::ours(&world, "web-2", &old).await;
    let id = world.order("pull", "web-1").await;
    let command = first.hear_only("command").await;
    assert_eq!(command["command_id"], id, "control: commands are sent");
    let on_record = |id: &str| {
        let records = journal.records();
        records.iter().any(|record| match record {
            Record::Command(command) => command.id.to_string() == id,
            Record::Host(_)
            | Record::HostRemoved(_)
            | Record::Remote(_)
            | Record::Event(_)
            | Record::Audit(_)
            | Record::Version(_)
            | Record::Rollout(_)
            | Record::Settings(_)
            | Record::Update(_) => false,
        })
    };
    assert!(on_record(&id), "control: and on record before");

    journal.break_down();
    let body = json!({"op": "pull", "hosts": ["web-2"]});
    let (status, answer) = world.admin.post("/api/v1/dispatch", &body).await;
    assert_eq!(status, 503, "{answer}");
    let (code, _) = second.hear_close().await;
    assert_eq!(code, 1012, "nothing came before the goodbye");
    let ended = tokio::time::timeout(PATIENCE, world.server.ended()).await;
    let error = ended.expect("the server goes on").unwrap_err();
    assert!(matches!(error, Fault::Journal(_)), "{error:?}");
}
