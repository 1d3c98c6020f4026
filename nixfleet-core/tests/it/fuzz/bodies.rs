//! What is run on arbitrary bytes: nothing may panic, and what is accepted keeps its promises.

use nixfleet_core::Timestamp;
use nixfleet_core::admission::Request;
use nixfleet_core::host::{AgentProtocol, HostIdentity};
use nixfleet_core::lock::{self, FlakeLock};
use nixfleet_core::sync::{Replica, ServerMessage};
use nixfleet_core::wire::admission::{ConditionFacts, OwnedConditions, RequestFacts};
use nixfleet_core::wire::command::{CommandEvent, CommandFacts, TrackedCommand};
use nixfleet_core::wire::situation::{OwnedSituation, SituationFacts};
use nixfleet_core::wire::{agent_message, decode_agent_frame, decode_server_frame};
use nixfleet_core::{LockHasher, diff_summaries, lock_hash};

/// The parser of `flake.lock`, its hash and its differences. A zero byte separates two locks.
pub fn lock(data: &[u8]) {
    let middle = data
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(data.len());
    let (old, rest) = data.split_at(middle);
    let new = rest.get(1..).unwrap_or_default();
    let mut hasher = LockHasher::new();
    for piece in data.chunks(7) {
        hasher.update(piece);
    }
    assert_eq!(hasher.finish(), lock_hash(data));
    let parsed = [FlakeLock::parse(old), FlakeLock::parse(new)];
    for one in &parsed {
        match one {
            Ok(one) => {
                assert!(lock::diff(one, one).is_empty());
                assert!(diff_summaries(&one.summary(), &one.summary()).is_empty());
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    match nixfleet_core::wire::lock::compare(old, new) {
        Ok(report) => assert!(serde_json::to_string(&report).is_ok()),
        Err(error) => assert!(!error.to_string().contains(char::is_control)),
    }
    if let [Ok(old), Ok(new)] = &parsed {
        let there = lock::diff(old, new);
        let back = lock::diff(new, old);
        assert_eq!(there.is_empty(), back.is_empty());
        for change in there.changes() {
            assert!(!change.to_string().contains(char::is_control));
        }
    }
}

/// The decoders of both protocols, and of what other languages pass in.
pub fn wire(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    questions(&text);
    story(&text);
    let ours = HostIdentity {
        protocol: AgentProtocol::Commands,
        capabilities: ["commands", "lock", "deployed"].map(str::to_owned).to_vec(),
        ..HostIdentity::default()
    };
    if let Ok(frame) = decode_agent_frame(&text) {
        let again = serde_json::to_string(&frame).expect("a frame can be written");
        decode_agent_frame(&again).expect("what was written can be read");
        for identity in [HostIdentity::default(), ours] {
            if let Err(error) = agent_message(frame.clone(), &identity) {
                assert!(!error.to_string().is_empty());
            }
        }
    }
    if let Ok(frame) = decode_server_frame(&text) {
        let again = serde_json::to_string(&frame).expect("a frame can be written");
        assert_eq!(
            decode_server_frame(&again).expect("what was written can be read"),
            frame
        );
    }
    if let Ok(message) = serde_json::from_str::<ServerMessage>(&text) {
        let mut replica = Replica::new();
        replica.apply(message.clone());
        replica.apply(message);
    }
}

/// Situations and admissions.
fn questions(text: &str) {
    if let Ok(facts) = serde_json::from_str::<SituationFacts>(text)
        && let Ok(situation) = OwnedSituation::try_from(facts)
    {
        let report = situation.report();
        for one in report.compartments.values() {
            let lines = one.details.iter().chain([&one.message]);
            assert!(
                !lines
                    .into_iter()
                    .any(|line| line.contains(char::is_control))
            );
        }
        assert!(serde_json::to_string(&report).is_ok());
        assert!(serde_json::to_string(&situation.explain()).is_ok());
    }
    if let Ok(facts) = serde_json::from_str::<ConditionFacts>(text)
        && let Ok(conditions) = OwnedConditions::try_from(facts)
        && let Ok(request) = serde_json::from_str::<RequestFacts>(text)
        && let Ok(request) = Request::try_from(request)
    {
        let report = conditions.report(&request);
        assert_eq!(report.admitted, report.refusals.is_empty());
    }
}

/// One command and what happens to it.
#[derive(serde::Deserialize)]
struct Story {
    start: CommandFacts,
    #[serde(default)]
    steps: Vec<(i64, CommandEvent)>,
}

fn story(text: &str) {
    let Ok(story) = serde_json::from_str::<Story>(text) else {
        return;
    };
    let Ok(mut command) = TrackedCommand::queue(story.start, Timestamp::EPOCH) else {
        return;
    };
    for (at, event) in story.steps {
        if let Ok(report) = command.handle(event, Timestamp::from_millis(at)) {
            assert_eq!(report.deadline.is_none(), report.phase.is_terminal());
            assert_eq!(report.ending.is_some(), report.phase.is_terminal());
            assert!(serde_json::to_string(&report).is_ok());
        }
    }
    // Time alone leads to the end.
    for _ in 0..64 {
        if let Some(due) = command.poll_timeout() {
            let _ = command.handle_timeout(due.at);
        }
    }
    assert!(command.command().phase.is_terminal());
}
