//! Samples of every frame of both protocols, `tests/golden/wire/*.json`. Each is read, converted
//! and written again; what came of it stands beside it in a text of the same name. Other
//! implementations can read the samples, so an old one is never edited: only new ones are added.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use nixfleet_core::host::{AgentProtocol, HostIdentity};
use nixfleet_core::lock_hash;
use nixfleet_core::sync::{ClientMessage, Replica, ServerMessage};
use nixfleet_core::wire::agent::{
    AgentFrame, CAPABILITY_COMMANDS, CAPABILITY_DEPLOYED, CAPABILITY_LOCK, ServerFrame,
};
use nixfleet_core::wire::{agent_message, decode_agent_frame, decode_server_frame, server_order};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::goldens::{check, files, read, updating};

const FOLDER: &str = "tests/golden/wire";
const SUMS: &str = "tests/golden/wire/SHA256SUMS";

fn samples() -> BTreeMap<String, Value> {
    let sample = |name: String| {
        let text = read(&format!("{FOLDER}/{name}"));
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name.trim_end_matches(".json").to_owned(), value)
    };
    files(FOLDER, "json").into_iter().map(sample).collect()
}

#[test]
fn every_sample_of_the_wire_is_understood_and_written_again() {
    let samples = samples();
    for (name, sample) in &samples {
        let text = told(name, sample);
        check(&format!("{FOLDER}/{name}.txt"), &text);
    }
    println!("wire: {} samples", samples.len());
    assert!(samples.len() >= 50);
}

fn told(name: &str, sample: &Value) -> String {
    let text = match sample["text"].as_str() {
        Some(text) => text.to_owned(),
        None => sample["frame"].to_string(),
    };
    match sample["from"].as_str().unwrap() {
        "agent" => agent(&text, &identity(sample["agent"].as_str().unwrap())),
        "server" => {
            let frame = decode_server_frame(&text).unwrap();
            let mut told = written(name, &text, &frame);
            match server_order(frame) {
                Ok(order) => writeln!(told, "{order:#?}").unwrap(),
                Err(misread) => writeln!(told, "refused: {misread}\n{:#?}", misread.asked).unwrap(),
            }
            told
        }
        "live-server" => {
            let message: ServerMessage = serde_json::from_str(&text).unwrap();
            let mut replica = Replica::new();
            let step = replica.apply(message.clone());
            format!(
                "{}a new replica: {step:?}\n",
                written(name, &text, &message)
            )
        }
        "live-client" => {
            let message: ClientMessage = serde_json::from_str(&text).unwrap();
            written(name, &text, &message)
        }
        other => panic!("{name}: nobody is called {other}"),
    }
}

fn identity(protocol: &str) -> HostIdentity {
    let ours = match protocol {
        "commands" => true,
        "existing" => false,
        other => panic!("no agent is {other}"),
    };
    let capabilities = [CAPABILITY_COMMANDS, CAPABILITY_LOCK, CAPABILITY_DEPLOYED];
    HostIdentity {
        protocol: if ours {
            AgentProtocol::Commands
        } else {
            AgentProtocol::Existing
        },
        capabilities: capabilities
            .iter()
            .filter(|_| ours)
            .map(|one| (*one).to_owned())
            .collect(),
        ..HostIdentity::default()
    }
}

fn agent(text: &str, identity: &HostIdentity) -> String {
    let frame = match decode_agent_frame(text) {
        Ok(frame) => frame,
        Err(error) => return format!("not a frame: {error}\n"),
    };
    let mut told = written("", text, &frame);
    match agent_message(frame, identity) {
        Ok(Some(report)) => writeln!(told, "{report:#?}").unwrap(),
        Ok(None) => told.push_str("says nothing to the core\n"),
        Err(error) => writeln!(told, "refused: {error}").unwrap(),
    }
    told
}

/// Whether writing the frame gives what was read; and that reading that gives the same frame.
fn written<T>(name: &str, text: &str, frame: &T) -> String
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let again = serde_json::to_value(frame).unwrap();
    let reread: T = serde_json::from_value(again.clone()).unwrap();
    assert_eq!(
        &reread, frame,
        "{name}: written and read again it is another one"
    );
    let original: Value = serde_json::from_str(text).unwrap();
    if original == again {
        "written again: the same\n".to_owned()
    } else {
        let again = serde_json::to_string_pretty(&again).unwrap();
        format!("written again: {again}\n")
    }
}

#[test]
fn old_samples_are_never_edited_only_added() {
    let known: BTreeMap<String, String> = read_sums();
    let mut lines = Vec::new();
    for name in files(FOLDER, "json") {
        let sum = lock_hash(read(&format!("{FOLDER}/{name}")).as_bytes()).to_string();
        if let Some(old) = known.get(&name) {
            assert_eq!(
                old, &sum,
                "{name} was edited; others rely on it: restore it, and add a new sample"
            );
        }
        lines.push(format!("{sum}  {name}\n"));
    }
    let present: BTreeSet<String> = files(FOLDER, "json").into_iter().collect();
    for name in known.keys() {
        assert!(present.contains(name), "{name} is gone; others rely on it");
    }
    check(SUMS, &lines.concat());
}

fn read_sums() -> BTreeMap<String, String> {
    if updating() && !crate::goldens::root().join(SUMS).exists() {
        return BTreeMap::new();
    }
    let text = read(SUMS);
    let lines = text.lines().filter_map(|line| line.split_once("  "));
    lines
        .map(|(sum, name)| (name.to_owned(), sum.to_owned()))
        .collect()
}

/// The samples have every type of frame, of existing agents where those have it.
#[test]
fn the_samples_have_every_frame_of_both_protocols() {
    let mut found = BTreeSet::new();
    for sample in samples().values() {
        let sender = sample["from"].as_str().unwrap();
        let agent = sample["agent"].as_str().unwrap_or_default();
        if let Some(kind) = kind(sample) {
            found.insert(format!("{sender} {agent} {kind}"));
        }
    }
    let existing = [
        "register",
        "heartbeat",
        "output",
        "status",
        "command_rejected",
        "test_progress",
        "operation_progress",
    ];
    let ours = [
        "register",
        "heartbeat",
        "output",
        "status",
        "command_rejected",
        "operation_progress",
        "accepted",
    ];
    let server = ["registered", "command", "kill_command", "confirm"];
    let live = ["init", "delta", "sync", "full_state", "telemetry"];
    let expected = existing
        .iter()
        .map(|kind| format!("agent existing {kind}"))
        .chain(ours.iter().map(|kind| format!("agent commands {kind}")))
        .chain(server.iter().map(|kind| format!("server  {kind}")))
        .chain(live.iter().map(|kind| format!("live-server  {kind}")))
        .chain(["live-client  get_state".to_owned()]);
    for kind in expected {
        assert!(found.contains(&kind), "no sample of {kind}");
    }
}

/// A frame that is added to the protocol needs its name here, and then a sample.
fn agent_kind(frame: &AgentFrame) -> &'static str {
    match frame {
        AgentFrame::Register(_) => "register",
        AgentFrame::Heartbeat(_) => "heartbeat",
        AgentFrame::Output(_) => "output",
        AgentFrame::Status(_) => "status",
        AgentFrame::CommandRejected(_) => "command_rejected",
        AgentFrame::TestProgress(_) => "test_progress",
        AgentFrame::OperationProgress(_) => "operation_progress",
        AgentFrame::Accepted(_) => "accepted",
    }
}

fn server_kind(frame: &ServerFrame) -> &'static str {
    match frame {
        ServerFrame::Registered(_) => "registered",
        ServerFrame::Command(_) => "command",
        ServerFrame::KillCommand(_) => "kill_command",
        ServerFrame::Confirm(_) => "confirm",
    }
}

fn live_kind(message: &ServerMessage) -> &'static str {
    match message {
        ServerMessage::Init(_) => "init",
        ServerMessage::Delta(_) => "delta",
        ServerMessage::Sync { .. } => "sync",
        ServerMessage::FullState(_) => "full_state",
        ServerMessage::Telemetry(_) => "telemetry",
    }
}

fn kind(sample: &Value) -> Option<&'static str> {
    let text = sample.get("frame")?.to_string();
    Some(match sample["from"].as_str()? {
        "agent" => agent_kind(&decode_agent_frame(&text).unwrap()),
        "server" => server_kind(&decode_server_frame(&text).unwrap()),
        "live-server" => live_kind(&serde_json::from_str(&text).unwrap()),
        _ => match serde_json::from_str(&text).unwrap() {
            ClientMessage::GetState => "get_state",
        },
    })
}
