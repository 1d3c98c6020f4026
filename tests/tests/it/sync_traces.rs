//! Recorded runs of the sync protocol over a bad channel: what the core's replica does with each
//! message. Other implementations, such as the one of the page, follow them step by step.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use nixfleet_core::sync::{
    Change, Delta, FullState, Replica, ReplicaStep, ServerMessage, SyncLog, SyncState, frame,
};
use nixfleet_core::{Phase, StateVersion};
use serde_json::{Value, json};

const TRACES: u64 = 8;
const STEPS: usize = 40;
const HOSTS_PER_PART: usize = 2;

#[test]
fn the_recorded_sync_traces_are_what_the_replica_does() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/sync_traces.json");
    let traces: Vec<Value> = (1..=TRACES).map(trace).collect();
    let phases = Phase::ALL.into_iter().filter(|phase| phase.is_terminal());
    let document = json!({
        "about": "messages, and what a replica does with each; see tests/it/sync_traces.rs",
        "final_phases": phases.collect::<Vec<_>>(),
        "traces": traces,
    });
    let text = format!("{document}\n");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let recorded = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        recorded == text,
        "{} is not current: run the test with UPDATE_GOLDEN=1 and read the difference",
        path.display()
    );
}

#[test]
fn the_traces_contain_every_kind_of_trouble() {
    let mut counts = [0_usize; 3];
    for seed in 1..=TRACES {
        for step in trace(seed)["steps"].as_array().unwrap() {
            let slot = match step["step"].as_str().unwrap() {
                "changed" => 0,
                "unchanged" => 1,
                _ => 2,
            };
            counts[slot] += 1;
        }
    }
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
}

/// One run: a server that changes, a channel that loses, repeats and reorders, a replica.
fn trace(seed: u64) -> Value {
    let mut random = Random(seed);
    let start = StateVersion {
        epoch: 1,
        number: 100,
    };
    let mut log = SyncLog::new(start, SyncState::default());
    let mut recent: Vec<Arc<Delta>> = Vec::new();
    let mut channel: VecDeque<ServerMessage> = full(&log, true).into();
    let mut replica = Replica::new();
    let mut steps = Vec::new();
    while steps.len() < STEPS || replica.version() != Some(log.version()) {
        let calm = steps.len() >= STEPS;
        if calm && channel.is_empty() {
            channel.push_back(beacon(&log));
        } else if !calm {
            for _ in 0..random.below(3) {
                let change = change(log.state(), &mut random);
                recent.extend(log.publish(change));
            }
            if random.below(3) > 0 {
                channel.extend(frame(&recent));
                recent.clear();
            }
            if random.below(6) == 0 {
                channel.push_back(beacon(&log));
            }
        }
        let Some(message) = deliver(&mut channel, &mut random, calm) else {
            continue;
        };
        let step = replica.apply(message.clone());
        if step == ReplicaStep::AskForState && (calm || random.below(4) > 0) {
            channel.extend(full(&log, false));
        }
        steps.push(json!({
            "message": message, "step": word(step), "version": replica.version(),
        }));
    }
    assert!(
        replica.state() == log.state(),
        "seed {seed} did not converge"
    );
    json!({"steps": steps, "state": replica.state()})
}

/// The next message that arrives, if one does.
fn deliver(
    channel: &mut VecDeque<ServerMessage>,
    random: &mut Random,
    calm: bool,
) -> Option<ServerMessage> {
    if calm {
        return channel.pop_front();
    }
    match random.below(10) {
        0 => {
            channel.pop_front();
            None
        }
        1 => channel.front().cloned(),
        2 if channel.len() > 1 => channel.remove(1),
        _ => channel.pop_front(),
    }
}

fn full(log: &SyncLog, first: bool) -> Vec<ServerMessage> {
    let pieces = log.state().split(HOSTS_PER_PART);
    let parts = u32::try_from(pieces.len()).unwrap();
    let message = |(state, part)| {
        let part = Box::new(FullState {
            version: log.version(),
            part,
            parts,
            state,
        });
        if first {
            ServerMessage::Init(part)
        } else {
            ServerMessage::FullState(part)
        }
    };
    pieces.into_iter().zip(0..).map(message).collect()
}

fn beacon(log: &SyncLog) -> ServerMessage {
    ServerMessage::Sync {
        version: log.version(),
    }
}

fn word(step: ReplicaStep) -> &'static str {
    match step {
        ReplicaStep::Changed => "changed",
        ReplicaStep::Unchanged => "unchanged",
        ReplicaStep::AskForState => "ask",
    }
}

fn change(state: &SyncState, random: &mut Random) -> Change {
    let host = format!("host-{}", random.below(5));
    let known = state.hosts.keys().any(|id| id.as_str() == host);
    // The server judges and commands only hosts it has.
    let kind = if known { random.below(9) } else { 1 };
    let value = match kind {
        0 => json!({"host_removed": host}),
        1 | 2 => {
            let online = random.below(2) == 0;
            json!({"host_updated": {"id": host, "hostname": host, "online": online,
                "command_ids": true, "deploy_outcome": "never", "tests_enabled": true}})
        }
        3 | 4 => json!({"status_updated": status(&host, random)}),
        5 | 6 => command(&host, random),
        7 => json!({"event": {"n": random.below(400), "at": 0, "code": "x", "text": ""}}),
        _ => json!({"desired_changed": {"agent_version": "4.0.0", "remote": {"state": "verified"},
            "commit": null, "lock": null, "subject": format!("change {}", random.below(9)),
            "commit_time": null, "branch": "main"}}),
    };
    serde_json::from_value(value).unwrap()
}

fn status(host: &str, random: &mut Random) -> Value {
    let tests = if random.below(2) == 0 {
        (
            "ok",
            json!({"code": "tests-passed", "commit": null, "ran": 3}),
        )
    } else {
        ("unknown", json!({"code": "tests-disabled"}))
    };
    json!({"id": host, "s": ["unknown", "unknown", "unknown", "unknown", tests.0], "r": [
        {"code": "agent-not-reported"}, {"code": "checkout-not-reported"},
        {"code": "lock-not-reported"}, {"code": "never-deployed"}, tests.1]})
}

fn command(host: &str, random: &mut Random) -> Value {
    // The number names the command, its host included: an id never moves to another host.
    let seq = random.below(6);
    let id = format!(
        "01939b0a-7c1e-7000-8000-0000000{seq:02}{}",
        host_digits(host)
    );
    let (kind, phase) = [
        ("command_started", "PENDING"),
        ("command_progress", "EXECUTING"),
        ("command_finished", "SUCCESS"),
        ("command_finished", "ERROR"),
    ][random.index(4)];
    json!({kind: {"id": id, "host": host, "op": "pull", "phase": phase, "seq": seq,
        "actor": {"kind": "person", "name": "ann"}, "created": 0, "since": seq}})
}

fn host_digits(host: &str) -> String {
    let number = host.trim_start_matches("host-");
    format!("{number:0>3}")
}

/// A small generator with a fixed sequence, so that a trace is the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap_or(0)
    }
}
