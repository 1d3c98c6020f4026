//! Frames from what the agent knows.

use super::jobs::{Ended, RunningJob};
use super::{AgentConfig, AgentObservation, CommandRecord, JobExit, JobReport, Journal};
use crate::host::{AgentBinary, Deployed, Generation, LockReport, Repo, TestKey};
use crate::ids::{CommandId, CommitRef, StorePath};
use crate::op::Op;
use crate::report::InputsUpdate;
use crate::time::Timestamp;
use crate::wire::Field;
use crate::wire::agent::{
    CAPABILITY_COMMANDS, CAPABILITY_DEPLOYED, CAPABILITY_LOCK, DeployedFacts, Facts, FailedUnits,
    GenerationFacts, Heartbeat, PROTOCOL_VERSION, Register, RepoFacts, RunningCommand,
    StatusReport, SystemFacts, TestKeyFacts, TestReport, UpdateFacts,
};

/// Exit code that says "stopped", as existing agents use it.
const EXIT_STOPPED: i64 = 130;

const STILL_UP: &str = "the reboot command succeeded, but the machine is still up";

pub(super) fn register(
    config: &AgentConfig,
    observation: &AgentObservation,
    journal: &Journal,
    running: Option<&RunningJob>,
) -> Register {
    Register {
        hostname: config.host.to_string(),
        host_type: Some(config.host_type.clone()),
        agent_version: Some(config.version.clone()),
        os_version: config.os_version.clone(),
        nixpkgs_version: observation.nixpkgs_version.clone(),
        generation: short_commit(observation),
        theme_color: config.theme_color.clone(),
        heartbeat_interval: Some(config.interval.as_secs_f64()),
        location: config.location.clone(),
        device_type: config.device_type.clone(),
        repo_url: config.repo_url.clone(),
        repo_dir: config.repo_dir.clone(),
        protocol: Some(PROTOCOL_VERSION),
        capabilities: [CAPABILITY_COMMANDS, CAPABILITY_LOCK, CAPABILITY_DEPLOYED]
            .map(str::to_owned)
            .to_vec(),
        instance_id: Some(config.instance_id.to_string()),
        boot_id: config.boot_id.as_ref().map(ToString::to_string),
        machine_id_hash: config.machine_id_hash.as_ref().map(ToString::to_string),
        last_seq: Some(journal.high_water.0),
        running: running.map(|job| RunningCommand {
            command_id: job.command.to_string(),
            op: job.op.name().to_owned(),
            pid: job.pid,
            started_at: Some(job.started_at.to_rfc3339()),
        }),
        results: journal
            .unconfirmed()
            .into_iter()
            .map(|(_, result)| result.clone())
            .collect(),
        flake_updates: config.flake_updates.clone(),
        facts: facts(observation, journal.deployed.as_ref(), journal),
    }
}

pub(super) fn heartbeat(
    observation: &AgentObservation,
    journal: &Journal,
    running: Option<&RunningJob>,
) -> Heartbeat {
    Heartbeat {
        generation: short_commit(observation),
        nixpkgs_version: observation.nixpkgs_version.clone(),
        pending_command: running.map(|job| job.op.name().to_owned()),
        command_pid: running.and_then(|job| job.pid),
        metrics: observation.metrics,
        update_status: None,
        failed_units: observation
            .failed_units
            .clone()
            .map_or(Field::Absent, Field::Value),
        command_id: running.map(|job| job.command.to_string()),
        seq: running.map(|job| job.seq.0),
        facts: facts(observation, journal.deployed.as_ref(), journal),
    }
}

pub(super) fn result(
    job: &RunningJob,
    report: &JobReport,
    ended: Ended,
    deployed: Option<&Deployed>,
    journal: &Journal,
) -> StatusReport {
    let (status, exit_code) = match (&report.exit, ended) {
        (_, Ended::OnRequest) => ("stopped", Some(EXIT_STOPPED)),
        (JobExit::Code(0), Ended::ByItself) => ("ok", Some(0)),
        (JobExit::Code(code), _) => ("error", Some(i64::from(*code))),
        (JobExit::Signal(signal), _) => ("error", Some(128 + i64::from(*signal))),
        (JobExit::NotStarted(_), _) => ("error", Some(-1)),
        (JobExit::Interrupted, _) => ("error", None),
    };
    let message = match (&report.exit, ended) {
        (_, Ended::StillUp) => Some(STILL_UP.to_owned()),
        (JobExit::NotStarted(why), _) => Some(why.clone()),
        (JobExit::Interrupted, _) => {
            Some("the command was interrupted and left no result".to_owned())
        }
        // What a command that succeeded wrote to its error output is no complaint.
        (JobExit::Code(0), _) => None,
        (JobExit::Code(_) | JobExit::Signal(_), _) => report.message.clone(),
    };
    let stopped = ended == Ended::OnRequest;
    StatusReport {
        status: status.to_owned(),
        command: job.op.name().to_owned(),
        exit_code,
        message,
        generation: short_commit(&report.after),
        command_id: Some(job.command.to_string()),
        seq: Some(job.seq.0),
        duration_ms: u64::try_from(report.duration.as_millis()).ok(),
        failed_units: report
            .at_start
            .as_ref()
            .and_then(|start| start.failed_units.clone())
            .zip(report.after.failed_units.clone())
            .map(|(before, after)| FailedUnits { before, after }),
        tests: (job.op == Op::Test).then(|| test_report(report, stopped, deployed)),
        update: report.update.as_ref().map(wire_update),
        interrupted: matches!(report.exit, JobExit::Interrupted),
        facts: facts(&report.after, deployed, journal),
    }
}

/// The result of a restart or reboot, known only to the process that came after it.
pub(super) fn restart_result(
    command: CommandId,
    record: &CommandRecord,
    done: bool,
    now: Timestamp,
) -> StatusReport {
    StatusReport {
        status: if done { "ok" } else { "error" }.to_owned(),
        command: record.op.name().to_owned(),
        exit_code: done.then_some(0),
        message: (!done).then(|| "the host did not boot again".to_owned()),
        command_id: Some(command.to_string()),
        seq: Some(record.seq.0),
        duration_ms: u64::try_from(now.since(record.started_at).as_millis()).ok(),
        interrupted: !done,
        ..StatusReport::default()
    }
}

fn test_report(report: &JobReport, stopped: bool, deployed: Option<&Deployed>) -> TestReport {
    let start = report.at_start.as_ref();
    let key = test_key(
        start.and_then(|start| start.system.clone()),
        report.claimed_at_start(),
        report.unchanged_checkout(),
        deployed,
    );
    let after = &report.after;
    let key_end = test_key(
        after.system.path.clone(),
        after.system.claimed_commit(),
        after.repo,
        deployed,
    );
    let failed: Vec<String> = report
        .tests
        .iter()
        .filter(|test| test.passed == Some(false))
        .map(|test| test.name.clone())
        .collect();
    let count = |wanted: bool| {
        report
            .tests
            .iter()
            .filter(|test| test.passed.is_some() == wanted)
            .count()
    };
    let ran = u32::try_from(count(true)).unwrap_or(u32::MAX);
    let ended = matches!(report.exit, JobExit::Code(_));
    let verdict = match (
        stopped || !ended,
        key == key_end,
        failed.is_empty(),
        ran,
        &report.exit,
    ) {
        (true, ..) => "stopped",
        (false, false, ..) => "void",
        (false, true, false, ..) => "fail",
        (false, true, true, 0, _) => "empty",
        (false, true, true, _, JobExit::Code(0)) => "pass",
        (false, true, true, ..) => "fail",
    };
    TestReport {
        key: key.map(wire_key),
        key_end: key_end.map(wire_key),
        verdict: verdict.to_owned(),
        ran,
        failed,
        skipped: u32::try_from(count(false)).unwrap_or(u32::MAX),
    }
}

/// What is under test: the deployed inputs and the running path or, where the host keeps no
/// deployment record, the commit that the running system claims with the lock checked out at it.
fn test_key(
    path: Option<StorePath>,
    claim: Option<CommitRef>,
    repo: Option<Repo>,
    deployed: Option<&Deployed>,
) -> Option<TestKey> {
    let store_path = path?;
    match deployed {
        Some(deployed) => Some(TestKey {
            commit: deployed.commit?,
            lock: deployed.lock?,
            store_path: Some(store_path),
        }),
        None => {
            let commit = claim?;
            let repo = repo.filter(|repo| repo.commit == commit && !repo.dirty)?;
            Some(TestKey {
                commit,
                lock: repo.lock.hash()?,
                store_path: Some(store_path),
            })
        }
    }
}

fn wire_update(update: &InputsUpdate) -> UpdateFacts {
    let pushed = update.pushed.as_ref();
    UpdateFacts {
        base: update.base.to_string(),
        lock_before: update.lock_before.map(|hash| hash.to_string()),
        lock_after: update.lock_after.map(|hash| hash.to_string()),
        commit: pushed.map(|pushed| pushed.commit.to_string()),
        branch: pushed.map(|pushed| pushed.branch.clone()),
    }
}

fn wire_key(key: TestKey) -> TestKeyFacts {
    TestKeyFacts {
        commit: key.commit.to_string(),
        lock_hash: key.lock.to_string(),
        store_path: key
            .store_path
            .map_or_else(String::new, |path| path.to_string()),
    }
}

fn facts(seen: &AgentObservation, deployed: Option<&Deployed>, journal: &Journal) -> Facts {
    let AgentBinary {
        source_commit,
        store_path,
        binary_hash,
        expected_path,
    } = seen.binary.clone();
    Facts {
        source_commit,
        store_path,
        binary_hash,
        expected_store_path: expected_path,
        lock_hash: match seen.repo.map(|repo| repo.lock) {
            Some(LockReport::Hash(hash)) => Field::Value(hash.to_string()),
            Some(LockReport::Missing) => Field::Null,
            Some(LockReport::NotReported) | None => Field::Absent,
        },
        repo: seen
            .repo
            .map(|repo| RepoFacts {
                commit: repo.commit.to_string(),
                dirty: repo.dirty,
            })
            .into(),
        deployed: deployed.map(wire_deployed).into(),
        system: Field::Value(SystemFacts {
            path: seen.system.path.as_ref().map(ToString::to_string),
            configuration_revision: seen
                .system
                .configuration_revision
                .as_ref()
                .map(ToString::to_string),
            generation_number: seen.system.profile_number,
            profile_path: seen.system.profile_path.as_ref().map(ToString::to_string),
            booted_path: seen.system.booted_path.as_ref().map(ToString::to_string),
            reboot_required: seen.system.reboot_required,
        }),
        generations: Field::Value(
            generations(seen, journal)
                .iter()
                .map(wire_generation)
                .collect(),
        ),
        repo_error: seen.repo_error.clone().into(),
    }
}

fn wire_deployed(deployed: &Deployed) -> DeployedFacts {
    DeployedFacts {
        commit: deployed.commit.map(|commit| commit.to_string()),
        lock_hash: deployed.lock.map(|lock| lock.to_string()),
        store_path: deployed.store_path.as_ref().map(ToString::to_string),
        clean: deployed.clean,
        command_id: deployed.command.map(|id| id.to_string()),
    }
}

/// What the host can be rolled back to, newest first: its own list, with the commits that the
/// journal knows, or, on a host that keeps none, the journal's deployments.
fn generations(seen: &AgentObservation, journal: &Journal) -> Vec<Generation> {
    if seen.generations.is_empty() {
        let known = journal.deployments.iter().rev();
        return known
            .map(|deployment| Generation {
                number: deployment.number,
                path: deployment.deployed.store_path.clone(),
                commit: deployment.deployed.commit,
                created: Some(deployment.at),
                current: deployment.deployed.store_path == seen.system.path,
            })
            .collect();
    }
    let commit = |generation: &Generation| {
        let path = generation.path.as_ref()?;
        generation
            .commit
            .or_else(|| journal.deployment_of(path)?.commit)
    };
    seen.generations
        .iter()
        .map(|generation| Generation {
            commit: commit(generation),
            ..generation.clone()
        })
        .collect()
}

fn wire_generation(generation: &Generation) -> GenerationFacts {
    GenerationFacts {
        number: generation.number,
        path: generation.path.as_ref().map(ToString::to_string),
        commit: generation.commit.map(|commit| commit.to_string()),
        created_at: generation.created.map(Timestamp::to_rfc3339),
        current: generation.current,
    }
}

fn short_commit(seen: &AgentObservation) -> Option<String> {
    seen.repo.map(|repo| repo.commit.short())
}
