//! Recorded runs of the sync protocol over a bad channel: what the core's replica does with each
//! message. Other implementations, such as the one of the page, follow them step by step.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use nixfleet_core::sync::{
    Change, Delta, FullState, Replica, ReplicaStep, ServerMessage, SyncLog, SyncState, frame,
    letters,
};
use nixfleet_core::{Phase, Reason, ReasonCode, StateVersion};
use serde_json::{Value, json};

const TRACES: u64 = 8;
const STEPS: usize = 40;
const HOSTS_PER_PART: usize = 2;

#[test]
fn the_recorded_sync_traces_are_what_the_replica_does() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/sync_traces.json");
    let mut traces: Vec<Value> = (1..=TRACES).map(trace).collect();
    traces.push(every_letter());
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

#[test]
fn the_traces_contain_statuses_in_few_bytes_and_whole_ones() {
    let (mut compact, mut whole) = (0, 0);
    for seed in 1..=TRACES {
        for step in trace(seed)["steps"].as_array().unwrap() {
            for change in step["message"]["payload"]["changes"]
                .as_array()
                .into_iter()
                .flatten()
            {
                match &change["status_updated"] {
                    Value::Array(entries) => compact += entries.len(),
                    Value::Object(_) => whole += 1,
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
                }
            }
        }
    }
    assert!(compact > 10 && whole > 20, "{compact} and {whole}");
}

/// Every reason and every attention twice: as it appears, and when something beside it changed.
fn every_letter() -> Value {
    let mut random = Random(1);
    let start = StateVersion {
        epoch: 1,
        number: 1,
    };
    let mut log = SyncLog::new(start, SyncState::default());
    let mut messages: Vec<ServerMessage> = full(&log, true);
    let mut publish = |change: Value| {
        let delta = log.publish(serde_json::from_value(change).unwrap());
        messages.extend(frame(delta.as_slice()));
    };
    publish(desired(1));
    publish(
        json!({"update_pr_changed": {"number": 7, "title": "", "url": "", "created_at": null,
        "changes": []}}),
    );
    let attentions = letters::ATTENTIONS.map(|(code, _)| code);
    let reasons = ReasonCode::ALL.iter().map(|code| (Some(*code), None));
    let all = reasons.chain(attentions.map(|code| (None, Some(code))));
    for (number, (code, attention)) in all.enumerate() {
        let host = format!("host-{number:02}");
        publish(host_view(&host, &mut random, 1));
        let reason = reason(code.unwrap_or(ReasonCode::CheckoutBehind), 1);
        let attentions: Vec<Value> = attention
            .map(|one| attention_of(one, 1))
            .into_iter()
            .collect();
        for status in ["outdated", "error"] {
            publish(
                json!({"status_updated": {"id": host, "s": ["unknown", "ok", status, "working",
                "error"], "r": [&reason, &reason, {"code": "lock-missing"}, &reason, &reason],
                "a": attentions, "g": status == "error"}}),
            );
        }
    }
    let mut replica = Replica::new();
    let steps = messages.into_iter().map(|message| {
        let step = word(replica.apply(message.clone()));
        json!({"message": message, "step": step, "version": replica.version()})
    });
    let steps: Vec<Value> = steps.collect();
    assert!(replica.state() == log.state());
    json!({"steps": steps, "state": replica.state()})
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
            let digit = mostly_one(random);
            host_view(&host, random, digit)
        }
        3 | 4 => json!({"status_updated": status(&host, random)}),
        5 | 6 => command(&host, random),
        7 => json!({"event": {"n": random.below(400), "at": 0, "code": "x", "text": ""}}),
        _ => desired(mostly_one(random)),
    };
    serde_json::from_value(value).unwrap()
}

/// So that what is said of a host often is what the host says.
fn mostly_one(random: &mut Random) -> u64 {
    [1, 1, 1, 1, 2, 0][random.index(6)]
}

/// A commit or lock made of one digit; for 0 there is none.
fn hash(digit: u64, length: usize) -> Value {
    if digit == 0 {
        Value::Null
    } else {
        digit.to_string().repeat(length).into()
    }
}

fn desired(digit: u64) -> Value {
    json!({"desired_changed": {"agent_version": "4.0.0", "remote": {"state": "verified"},
        "commit": hash(digit, 40), "lock": hash(digit, 64), "subject": null, "commit_time": null,
        "branch": "main"}})
}

/// A host that says the same hash wherever it says one.
fn host_view(host: &str, random: &mut Random, digit: u64) -> Value {
    let lock = match digit {
        0 => json!("missing"),
        _ => json!({"hash": hash(digit, 64)}),
    };
    json!({"host_updated": {"id": host, "hostname": host, "online": random.below(2) == 0,
        "command_ids": true, "deploy_outcome": "never", "tests_enabled": true,
        "commit": hash(digit, 40), "lock": lock, "offline_since": 1,
        "deployed": {"commit": hash(digit, 40), "lock": null, "store_path": null, "inferred": false},
        "deploy_command": "01939b0a-7c1e-7000-8000-0000000000ff", "deploy_at": 2,
        "tests": {"commit": hash(digit, 40), "verdict": "pass", "ran": 3, "failed": [],
            "skipped": 0, "at": 0},
        "hold": {"by": "ann", "why": "hands off", "until": null}}})
}

/// Random statuses: reasons about one hash, which may be the one of the host, and attentions.
fn status(host: &str, random: &mut Random) -> Value {
    let statuses = letters::STATUSES.map(|(status, _)| status);
    let digit = mostly_one(random);
    let s = [(); 5].map(|()| statuses[random.index(5)]);
    let r = [(); 5].map(|()| {
        let code = ReasonCode::ALL[random.index(ReasonCode::ALL.len())];
        reason(code, digit)
    });
    let a: Vec<Value> = letters::ATTENTIONS
        .iter()
        .filter(|_| random.below(24) == 0)
        .map(|(code, _)| attention_of(code, digit))
        .collect();
    json!({"id": host, "s": s, "r": r, "a": a, "g": random.below(4) == 0})
}

/// Every parameter that any reason has: each takes what it knows.
fn reason(code: ReasonCode, digit: u64) -> Reason {
    let of_lock = code >= ReasonCode::LockCurrent && code <= ReasonCode::LockDifferent;
    let length = if of_lock { 64 } else { 40 };
    let commit = hash(digit, 40);
    serde_json::from_value(json!({"code": code, "cause": {"http-status": 503 + digit},
        "host": hash(digit, length), "desired": hash(digit, length), "abbreviated": digit == 1,
        "commits": digit + 10, "ahead": 1, "behind": digit, "versions": 2, "git": true,
        "lock": digit == 1, "command": "01939b0a-7c1e-7000-8000-0000000000ff", "at": 2,
        "running": commit, "expected": commit, "commit": commit, "unclean": digit == 1,
        "deployed": commit, "ran": 12, "failed": digit, "system": "outdated",
        "passed_for": commit, "tested": commit, "passed": digit == 1, "op": "pull-switch",
        "half": if digit == 1 { json!("switch") } else { Value::Null },
        "awaiting_reconnect": digit == 1}))
    .unwrap()
}

fn attention_of(code: &str, digit: u64) -> Value {
    json!({"code": code, "pr": 6 + digit, "units": ["a.service"], "total": digit, "failed": digit,
        "since": digit, "by": "ann", "why": "hands off", "until": null,
        "verified_at": 1_767_225_600_000_i64})
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
