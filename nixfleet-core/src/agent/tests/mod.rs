//! The agent's decisions, by theme; here is what the tests share.

mod connection;
mod deployments;
mod results;
mod starting;
mod stopping;

use std::time::Duration;

use super::*;
use crate::host::{LockReport, Repo, RunningSystem};
use crate::ids::Sequence;
use crate::wire::agent::*;
use crate::wire::server_order;

const INTERVAL: Duration = Duration::from_secs(5);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_000_000 + seconds)
}

fn config(instance: &str) -> AgentConfig {
    AgentConfig {
        host: "web-1".parse().unwrap(),
        version: "4.0.0".into(),
        host_type: "nixos".into(),
        os_version: None,
        location: None,
        device_type: None,
        theme_color: None,
        repo_url: None,
        repo_dir: None,
        interval: INTERVAL,
        flake_updates: None,
        instance_id: instance.parse().unwrap(),
        boot_id: Some("boot-1".parse().unwrap()),
        machine_id_hash: None,
        seed: 1,
    }
}

fn id(number: u8) -> CommandId {
    CommandId::from_bytes([number; 16])
}

fn seen(commit: char, path: &str) -> AgentObservation {
    AgentObservation {
        repo: Some(Repo {
            commit: commit.to_string().repeat(40).parse().unwrap(),
            lock: LockReport::Hash(crate::lock_hash(commit.to_string().as_bytes())),
            dirty: false,
        }),
        system: RunningSystem {
            path: Some(path.parse().unwrap()),
            ..RunningSystem::default()
        },
        ..AgentObservation::default()
    }
}

/// What the server says, as it arrives; `fresh` makes an id for what has none.
fn told(frame: ServerFrame, fresh: u8) -> AgentInput {
    let fresh_id = id(fresh);
    let order = server_order(frame);
    AgentInput::Order { order, fresh_id }
}

fn registered(core: &mut AgentCore, now: Timestamp) -> Vec<AgentEffect> {
    let mut effects = core.handle(AgentInput::Connected(seen('a', "/nix/store/a")), now);
    let frame = ServerFrame::Registered(Registered {
        host_id: "web-1".into(),
        protocol: Some(PROTOCOL_VERSION),
        server_time: Some(now.as_millis()),
        ..Registered::default()
    });
    effects.extend(core.handle(told(frame, 99), now));
    effects
}

fn ready() -> AgentCore {
    let (mut core, effects) = AgentCore::start(config("one"), Journal::default(), at(0));
    assert_eq!(effects, [AgentEffect::Connect]);
    let effects = registered(&mut core, at(0));
    assert!(matches!(
        sent(&effects)[..],
        [AgentFrame::Register(_), AgentFrame::Heartbeat(_)]
    ));
    core
}

fn command(
    core: &mut AgentCore,
    op: &str,
    number: u8,
    seq: u64,
    now: Timestamp,
) -> Vec<AgentEffect> {
    let frame = ServerFrame::Command(CommandFrame {
        command: op.into(),
        command_id: Some(id(number).to_string()),
        seq: Some(seq),
        not_after: Some((now + Duration::from_secs(60)).as_millis()),
        ..CommandFrame::default()
    });
    core.handle(told(frame, 99), now)
}

fn finish(
    core: &mut AgentCore,
    number: u8,
    exit: JobExit,
    before: AgentObservation,
    after: AgentObservation,
) -> Vec<AgentEffect> {
    let report = JobReport {
        at_start: Some(Sighting::from(&before)),
        at_end: Some(Sighting::from(&after)),
        ..JobReport::bare(exit, after)
    };
    core.handle(
        AgentInput::JobFinished {
            command: id(number),
            report: Box::new(report),
        },
        at(2),
    )
}

fn sent(effects: &[AgentEffect]) -> Vec<&AgentFrame> {
    effects
        .iter()
        .filter_map(|effect| {
            if let AgentEffect::Send(frame) = effect {
                Some(&**frame)
            } else {
                None
            }
        })
        .collect()
}

fn spawns(effects: &[AgentEffect]) -> usize {
    effects
        .iter()
        .filter(|effect| matches!(effect, AgentEffect::Spawn { .. }))
        .count()
}

fn rejection(effects: &[AgentEffect]) -> Option<String> {
    sent(effects).into_iter().find_map(|frame| {
        if let AgentFrame::CommandRejected(rejected) = frame {
            rejected.code.clone()
        } else {
            None
        }
    })
}

fn status(effects: &[AgentEffect]) -> StatusReport {
    sent(effects)
        .into_iter()
        .find_map(|frame| {
            if let AgentFrame::Status(status) = frame {
                Some((**status).clone())
            } else {
                None
            }
        })
        .unwrap()
}

fn deploy(
    core: &mut AgentCore,
    op: &str,
    number: u8,
    commit: char,
    path: &str,
) -> Vec<AgentEffect> {
    let _ = command(core, op, number, u64::from(number), at(1));
    finish(
        core,
        number,
        JobExit::Code(0),
        seen(commit, "/s/0"),
        seen(commit, path),
    )
}
