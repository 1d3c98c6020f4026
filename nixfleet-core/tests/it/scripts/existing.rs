//! An existing agent: no ids, seven digits, no answer to a restart, two results after a stop.

use std::time::Duration;

use nixfleet_core::Op;
use nixfleet_core::wire::agent::{AgentFrame, ServerFrame};
use nixfleet_core::wire::decode_agent_frame;
use serde_json::{Value, json};

use super::machine::Agent;
use super::stage::Stage;

/// How long an existing agent takes to connect again.
const BACK: Duration = Duration::from_secs(2);

pub fn register(stage: &mut Stage, name: &str) {
    let machine = &stage.machines[name];
    let mut payload = json!({
        "hostname": name,
        "host_type": "nixos",
        "agent_version": machine.version,
        "heartbeat_interval": 5,
    });
    merge(&mut payload, facts(stage, name));
    send(
        stage,
        name,
        &json!({ "type": "register", "payload": payload }),
    );
}

pub fn heartbeat(stage: &mut Stage, name: &str) {
    let running = running(stage, name).map(|op| op.name());
    let mut payload = json!({ "pending_command": running, "command_pid": null, "metrics": null });
    merge(&mut payload, facts(stage, name));
    send(
        stage,
        name,
        &json!({ "type": "heartbeat", "payload": payload }),
    );
}

/// Only the first seven digits of the commit, and the lock if there is one.
fn facts(stage: &Stage, name: &str) -> Value {
    let repo = stage.machines[name].repo;
    let generation = repo.map(|repo| repo.commit.short());
    let lock = repo.and_then(|repo| repo.lock.hash());
    json!({
        "generation": generation.unwrap_or_default(),
        "lock_hash": lock.map(|hash| hash.to_string()).unwrap_or_default(),
    })
}

fn merge(into: &mut Value, from: Value) {
    let (Value::Object(into), Value::Object(from)) = (into, from) else {
        return;
    };
    into.extend(from);
}

fn running(stage: &Stage, name: &str) -> Option<Op> {
    match &stage.machines[name].agent {
        Agent::Existing { running, .. } => *running,
        Agent::Ours(_) => None,
    }
}

fn set_running(stage: &mut Stage, name: &str, op: Option<Op>) {
    if let Agent::Existing { running, .. } = &mut stage.machines.get_mut(name).unwrap().agent {
        *running = op;
    }
}

pub fn frame(stage: &mut Stage, name: &str, frame: ServerFrame) {
    match frame {
        ServerFrame::Registered(_) => heartbeat(stage, name),
        ServerFrame::Command(command) if command.command == "stop" => stop(stage, name),
        ServerFrame::Command(command) => start(stage, name, &command.command),
        ServerFrame::KillCommand(_) | ServerFrame::Confirm(_) => {}
    }
}

fn start(stage: &mut Stage, name: &str, command: &str) {
    let Some(op) = Op::named(command) else {
        return;
    };
    if let Some(current) = running(stage, name) {
        let payload = json!({ "reason": "busy", "current_command": current.name() });
        let frame = json!({ "type": "command_rejected", "payload": payload });
        return send(stage, name, &frame);
    }
    if matches!(op, Op::Restart | Op::Reboot) {
        return leave(stage, name);
    }
    set_running(stage, name, Some(op));
    output(stage, name);
}

pub fn output(stage: &mut Stage, name: &str) {
    let payload =
        json!({ "line": "building…", "stream": "stdout", "command": "", "is_error": false });
    send(
        stage,
        name,
        &json!({ "type": "output", "payload": payload }),
    );
}

fn stop(stage: &mut Stage, name: &str) {
    let Some(op) = running(stage, name) else {
        return;
    };
    set_running(stage, name, None);
    for (status, code) in [("stopped", 130), ("error", -1)] {
        let payload = json!({ "status": status, "command": op.name(), "exit_code": code });
        send(
            stage,
            name,
            &json!({ "type": "status", "payload": payload }),
        );
    }
    heartbeat(stage, name);
}

/// The running command ends. After a successful switch the agent connects anew.
pub fn exit(stage: &mut Stage, name: &str, code: i32, works: bool, stays: bool) {
    let Some(op) = running(stage, name) else {
        return;
    };
    set_running(stage, name, None);
    if works {
        let desired = stage
            .fleet
            .as_ref()
            .and_then(|fleet| fleet.desired().remote.commit().ok());
        let target = desired.and_then(|commit| commit.to_string().chars().next());
        stage
            .machines
            .get_mut(name)
            .unwrap()
            .perform(op, target, None);
    }
    let status = if code == 0 { "ok" } else { "error" };
    let payload = json!({ "status": status, "command": op.name(), "exit_code": code });
    send(
        stage,
        name,
        &json!({ "type": "status", "payload": payload }),
    );
    heartbeat(stage, name);
    if code == 0 && op == Op::Switch && !stays {
        leave(stage, name);
    }
}

fn leave(stage: &mut Stage, name: &str) {
    stage.cut(name);
    come_back(stage, name);
}

pub fn come_back(stage: &mut Stage, name: &str) {
    let at = stage.now + BACK;
    if let Agent::Existing { back_at, .. } = &mut stage.machines.get_mut(name).unwrap().agent {
        *back_at = Some(at);
    }
}

fn send(stage: &mut Stage, name: &str, frame: &Value) {
    let frame: AgentFrame = decode_agent_frame(&frame.to_string()).unwrap();
    stage.send_up(name, &frame);
}
