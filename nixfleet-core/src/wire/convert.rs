//! Frames of an agent to reports. The only fallible step: after it nothing is checked again.

use std::str::FromStr;

use serde::Deserialize;

use super::agent::{
    AgentFrame, AgentFrameOf, CAPABILITY_COMMANDS, CAPABILITY_LOCK, CommandRejected, DeployedFacts,
    Facts, GenerationFacts, Heartbeat, OperationProgress, Register, RepoFacts, ServerFrame,
    StatusReport, SystemFacts, TestKeyFacts, TestProgress, TestReport, UpdateFacts,
};
use super::place::field_of;
use super::{Field, Text};
use crate::claim::ClaimedRevision;
use crate::host::{
    AgentBinary, AgentProtocol, Deployed, Generation, HostIdentity, LockReport, ObservationUpdate,
    Repo, RunningSystem, TestKey, TestVerdict, Update, UpdatePolicy,
};
use crate::ids::{IdError, Sequence, StorePath};
use crate::op::Op;
pub use crate::report::AgentReport;
use crate::report::{
    CommandResult, HeartbeatReport, InputsUpdate, ProgressReport, ProgressStage, PushedUpdate,
    Registration, Rejection, ResultKind, Running, TestRun,
};
use crate::time::Timestamp;

/// The longest text taken over from a peer into the state; longer ones are cut.
pub const MAX_TEXT: usize = 1024;
/// The most entries taken over from a list of a peer.
pub const MAX_ENTRIES: usize = 512;

/// A frame is not what it should be. The peer is at fault; the frame is ignored.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Not JSON, or no frame.
    #[error("malformed message: {0}")]
    Json(#[from] serde_json::Error),
    /// A field that is missing or has another type.
    #[error("malformed message: field `{field}`: {source}")]
    Type {
        /// Where it is, for example `payload.repo.dirty`.
        field: String,
        /// What was expected.
        source: serde_json::Error,
    },
    /// A field has a value that it may not have.
    #[error("field `{field}`: {source}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// What was expected.
        source: IdError,
    },
}

/// Reads a frame of an agent.
///
/// # Errors
/// [`WireError::Json`] or [`WireError::Type`] if the text is not a known frame.
pub fn decode_agent_frame(text: &str) -> Result<AgentFrame, WireError> {
    read(text)
}

/// The same; the texts of a heartbeat are borrowed from the frame.
///
/// # Errors
/// As [`decode_agent_frame`].
pub fn borrow_agent_frame(text: &str) -> Result<AgentFrameOf<Text<'_>>, WireError> {
    read(text)
}

/// Reads a frame of a server.
///
/// # Errors
/// [`WireError::Json`] or [`WireError::Type`] if the text is not a known frame.
pub fn decode_server_frame(text: &str) -> Result<ServerFrame, WireError> {
    read(text)
}

/// JSON to a value; a field of the wrong type is named.
pub(in crate::wire) fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, WireError> {
    serde_json::from_str(text).map_err(|source| {
        let field = field_of(text, &source);
        if source.is_data() && !field.is_empty() {
            WireError::Type { field, source }
        } else {
            WireError::Json(source)
        }
    })
}

/// What an agent's frame says, or `None` for an output line, which bypasses the core.
/// `identity` is what the agent said of itself when it registered; before that, the default.
///
/// # Errors
/// [`WireError::Field`] naming the first field with an impossible value.
pub fn agent_message<T: AsRef<str>>(
    frame: AgentFrameOf<T>,
    identity: &HostIdentity,
) -> Result<Option<AgentReport>, WireError> {
    Ok(Some(match frame {
        AgentFrameOf::Register(register) => {
            AgentReport::Registered(Box::new(registration(*register)?))
        }
        AgentFrameOf::Heartbeat(beat) => {
            AgentReport::Heartbeat(Box::new(heartbeat(*beat, identity)?))
        }
        AgentFrameOf::Output(_) => return Ok(None),
        AgentFrameOf::Status(report) => AgentReport::Result(Box::new(result(*report, identity)?)),
        AgentFrameOf::CommandRejected(rejected) => AgentReport::Rejected(rejection(rejected)?),
        AgentFrameOf::TestProgress(progress) => AgentReport::Progress(test_progress(&progress)),
        AgentFrameOf::OperationProgress(progress) => match operation_progress(progress)? {
            Some(progress) => AgentReport::Progress(progress),
            None => return Ok(None),
        },
        AgentFrameOf::Accepted(accepted) => AgentReport::Accepted {
            command: parse("command_id", &accepted.command_id)?,
            pid: accepted.pid,
        },
    }))
}

fn registration(register: Register) -> Result<Registration, WireError> {
    let has = |capability: &str| register.capabilities.iter().any(|own| own == capability);
    let protocol = if has(CAPABILITY_COMMANDS) {
        AgentProtocol::Commands
    } else {
        AgentProtocol::Existing
    };
    let identity = HostIdentity {
        host_type: register.host_type.map(cut),
        os_version: register.os_version.map(cut),
        nixpkgs_version: register.nixpkgs_version.map(cut),
        theme_color: register.theme_color.filter(|color| is_color(color)),
        location: register.location.map(cut),
        device_type: register.device_type.map(cut),
        repo_url: register.repo_url.map(|url| cut(without_userinfo(&url))),
        repo_dir: register.repo_dir.map(cut),
        heartbeat_interval: register
            .heartbeat_interval
            .map(|s| s.clamp(0.0, 86_400.0) as u32),
        protocol,
        capabilities: register
            .capabilities
            .into_iter()
            .take(32)
            .map(cut)
            .collect(),
        instance_id: optional("instance_id", register.instance_id)?,
        boot_id: optional("boot_id", register.boot_id)?,
        machine_id_hash: optional("machine_id_hash", register.machine_id_hash)?,
        update_policy: register
            .flake_updates
            .map(|own| UpdatePolicy {
                auto_update: own.auto_update,
                priority: own.priority,
                canary: own.canary,
            })
            .unwrap_or_default(),
    };
    let mut facts = facts(register.facts, register.generation, None, &identity)?;
    // A new process that does not tell its version is not known to be the version of the last one.
    facts.agent_version = match register.agent_version.filter(|version| !version.is_empty()) {
        Some(version) => Update::Set(cut(version)),
        None => Update::Gone,
    };
    let running = match register.running {
        None => None,
        Some(running) => Some(Running {
            command: parse("running.command_id", &running.command_id)?,
            pid: running.pid,
        }),
    };
    let mut results = Vec::new();
    for report in register.results.into_iter().take(MAX_ENTRIES) {
        results.push(result(report, &identity)?);
    }
    Ok(Registration {
        host: parse("hostname", &register.hostname)?,
        identity,
        facts,
        last_seq: register.last_seq.map(Sequence),
        running,
        results,
    })
}

fn heartbeat<T: AsRef<str>>(
    beat: Heartbeat<T>,
    identity: &HostIdentity,
) -> Result<HeartbeatReport, WireError> {
    Ok(HeartbeatReport {
        facts: facts(
            beat.facts,
            beat.generation,
            Some(beat.failed_units),
            identity,
        )?,
        command: optional("command_id", beat.command_id)?,
        pending_op: beat
            .pending_command
            .and_then(|name| Op::named(name.as_ref())),
        nixpkgs_version: beat.nixpkgs_version.map(cut),
    })
}

fn result(report: StatusReport, identity: &HostIdentity) -> Result<CommandResult, WireError> {
    let exit_code = report
        .exit_code
        .map(|code| i32::try_from(code).unwrap_or(-1));
    let kind = match (report.interrupted, report.status.as_str()) {
        (true, _) => ResultKind::Interrupted,
        (false, "stopped") => ResultKind::Stopped,
        (false, "ok" | "warning") if exit_code.unwrap_or(0) == 0 => ResultKind::Ok,
        (false, _) => ResultKind::Error,
    };
    let units = report
        .failed_units
        .map(|units| (list(units.before), list(units.after)));
    let generation = report.generation.filter(|text| !text.is_empty());
    let mut facts = facts(report.facts, generation, None, identity)?;
    if let Some((_, after)) = &units {
        facts.failed_units = Update::Set(after.clone());
    }
    Ok(CommandResult {
        command: optional("command_id", report.command_id)?,
        op: Op::named(&report.command),
        seq: report.seq.map(Sequence),
        kind,
        exit_code,
        message: report.message.map(cut),
        duration_ms: report.duration_ms,
        facts,
        failed_units: units,
        tests: report.tests.map(test_run).transpose()?,
        update: report.update.map(inputs_update).transpose()?,
    })
}

/// What an agent wrote down about an update of inputs.
///
/// # Errors
/// [`WireError::Field`] naming the first field with an impossible value.
pub fn inputs_update(facts: UpdateFacts) -> Result<InputsUpdate, WireError> {
    let commit = optional("update.commit", facts.commit)?;
    let pushed = commit.zip(facts.branch.filter(|branch| !branch.is_empty()));
    Ok(InputsUpdate {
        base: parse("update.base", &facts.base)?,
        lock_before: optional("update.lock_before", facts.lock_before)?,
        lock_after: optional("update.lock_after", facts.lock_after)?,
        pushed: pushed.map(|(commit, branch)| PushedUpdate {
            commit,
            branch: cut(branch),
        }),
    })
}

fn test_run(report: TestReport) -> Result<TestRun, WireError> {
    let key = report.key.map(test_key).transpose()?;
    let key_end = report.key_end.map(test_key).transpose()?;
    let verdict = match report.verdict.as_str() {
        "pass" if !report.failed.is_empty() => TestVerdict::Fail,
        "pass" if report.ran > 0 => TestVerdict::Pass,
        "pass" | "empty" => TestVerdict::Empty,
        "stopped" => TestVerdict::Stopped,
        "void" => TestVerdict::Void,
        _ => TestVerdict::Fail,
    };
    Ok(TestRun {
        key,
        key_end,
        verdict,
        ran: report.ran,
        failed: list(report.failed),
        skipped: report.skipped,
    })
}

fn test_key(key: TestKeyFacts) -> Result<TestKey, WireError> {
    Ok(TestKey {
        commit: parse("tests.key.commit", &key.commit)?,
        lock: parse("tests.key.lock_hash", &key.lock_hash)?,
        store_path: Some(parse("tests.key.store_path", &key.store_path)?),
    })
}

fn rejection(rejected: CommandRejected) -> Result<Rejection, WireError> {
    Ok(Rejection {
        command: optional("command_id", rejected.command_id)?,
        reason: cut(rejected.reason),
        code: rejected.code.map(cut),
        current: rejected.current_command.as_deref().and_then(Op::named),
    })
}

fn test_progress(progress: &TestProgress) -> ProgressReport {
    ProgressReport {
        command: None,
        stage: ProgressStage::Tests,
        current: progress.current,
        total: progress.total,
    }
}

fn operation_progress(message: OperationProgress) -> Result<Option<ProgressReport>, WireError> {
    let stages = message.progress;
    let latest = [
        (ProgressStage::Tests, stages.tests),
        (ProgressStage::System, stages.system),
        (ProgressStage::Lock, stages.lock),
        (ProgressStage::Pull, stages.pull),
    ];
    let command = optional("command_id", message.command_id)?;
    Ok(latest.into_iter().find_map(|(stage, progress)| {
        let progress = progress?;
        Some(ProgressReport {
            command,
            stage,
            current: progress.current,
            total: progress.total,
        })
    }))
}

fn facts<T: AsRef<str>>(
    facts: Facts<T>,
    generation: Option<T>,
    failed_units: Option<Field<Vec<T>>>,
    identity: &HostIdentity,
) -> Result<ObservationUpdate, WireError> {
    let binary = AgentBinary {
        source_commit: facts.source_commit.map(cut),
        store_path: facts.store_path.map(cut),
        binary_hash: facts.binary_hash.map(cut),
        expected_path: facts.expected_store_path.map(cut),
    };
    let repo = repo(facts.repo, facts.lock_hash, generation, identity)?;
    let deployed = facts.deployed.update(deployed)?;
    let same_path = match &deployed {
        Update::Set(deployed) => deployed.store_path.as_ref(),
        Update::Unchanged | Update::Gone => None,
    };
    let system = facts.system.update(|facts| system(facts, same_path))?;
    Ok(ObservationUpdate {
        agent_version: Update::Unchanged,
        repo,
        deployed,
        system,
        binary: if binary == AgentBinary::default() {
            Update::Unchanged
        } else {
            Update::Set(binary)
        },
        failed_units: match failed_units {
            None => Update::Unchanged,
            Some(units) => units.update(|units| Ok::<_, WireError>(list(units)))?,
        },
        repo_error: facts
            .repo_error
            .update(|text| Ok::<_, WireError>(cut(text)))?,
        generations: facts.generations.update(generations)?,
    })
}

/// The checkout as one unit. An existing agent sends a seven-digit `generation`, and another text
/// where it could not read it: then its checkout is not known, as it is if only a lock is told.
/// What was known before would look current although the agent says something else.
fn repo<T: AsRef<str>>(
    repo: Field<RepoFacts<T>>,
    lock: Field<T>,
    generation: Option<T>,
    identity: &HostIdentity,
) -> Result<Update<Repo>, WireError> {
    let reports_missing = identity
        .capabilities
        .iter()
        .any(|own| own == CAPABILITY_LOCK);
    let lock = match lock {
        Field::Null if reports_missing => LockReport::Missing,
        Field::Value(text) if !text.as_ref().is_empty() => {
            LockReport::Hash(parse("lock_hash", text.as_ref())?)
        }
        Field::Absent | Field::Null | Field::Value(_) => LockReport::NotReported,
    };
    match repo {
        Field::Null => Ok(Update::Gone),
        Field::Value(repo) => Ok(Update::Set(Repo {
            commit: parse("repo.commit", repo.commit.as_ref())?,
            lock,
            dirty: repo.dirty,
        })),
        Field::Absent => {
            let own = identity.protocol == AgentProtocol::Commands;
            Ok(
                match generation
                    .filter(|_| !own)
                    .map(|text| text.as_ref().parse())
                {
                    Some(Ok(commit)) => Update::Set(Repo {
                        commit,
                        lock,
                        dirty: false,
                    }),
                    Some(Err(_)) => Update::Gone,
                    None if lock == LockReport::NotReported => Update::Unchanged,
                    None => Update::Gone,
                },
            )
        }
    }
}

fn deployed<T: AsRef<str>>(facts: DeployedFacts<T>) -> Result<Deployed, WireError> {
    Ok(Deployed {
        commit: optional("deployed.commit", facts.commit)?,
        lock: optional("deployed.lock_hash", facts.lock_hash)?,
        store_path: optional("deployed.store_path", facts.store_path)?,
        clean: facts.clean,
        command: optional("deployed.command_id", facts.command_id)?,
        inferred: false,
    })
}

/// `deployed`: the store path that the same frame says was deployed; most hosts run that one.
fn system<T: AsRef<str>>(
    facts: SystemFacts<T>,
    deployed: Option<&StorePath>,
) -> Result<RunningSystem, WireError> {
    let store_path = |field, text: Option<T>| match (deployed, text) {
        (Some(same), Some(text)) if same.as_str() == text.as_ref() => Ok(Some(same.clone())),
        (_, text) => optional(field, text),
    };
    Ok(RunningSystem {
        path: store_path("system.path", facts.path)?,
        configuration_revision: facts
            .configuration_revision
            .and_then(|text| ClaimedRevision::from_text(text.as_ref())),
        profile_number: facts.generation_number,
        profile_path: store_path("system.profile_path", facts.profile_path)?,
        booted_path: store_path("system.booted_path", facts.booted_path)?,
        reboot_required: facts.reboot_required,
    })
}

fn generations<T: AsRef<str>>(list: Vec<GenerationFacts<T>>) -> Result<Vec<Generation>, WireError> {
    list.into_iter().take(MAX_ENTRIES).map(generation).collect()
}

fn generation<T: AsRef<str>>(facts: GenerationFacts<T>) -> Result<Generation, WireError> {
    Ok(Generation {
        number: facts.number,
        path: optional("generations.path", facts.path)?,
        commit: facts.commit.and_then(|text| text.as_ref().parse().ok()),
        created: facts
            .created_at
            .and_then(|text| Timestamp::parse_rfc3339(text.as_ref()).ok()),
        current: facts.current,
    })
}

pub(in crate::wire) fn parse<T: FromStr<Err = IdError>>(
    field: &'static str,
    text: &str,
) -> Result<T, WireError> {
    text.parse()
        .map_err(|source| WireError::Field { field, source })
}

/// A missing or empty text is `None`.
pub(in crate::wire) fn optional<T: FromStr<Err = IdError>>(
    field: &'static str,
    text: Option<impl AsRef<str>>,
) -> Result<Option<T>, WireError> {
    text.filter(|text| !text.as_ref().is_empty())
        .map(|text| parse(field, text.as_ref()))
        .transpose()
}

/// One line without control characters, at most [`MAX_TEXT`] characters.
pub(in crate::wire) fn cut(text: impl AsRef<str>) -> String {
    text.as_ref()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_TEXT)
        .collect()
}

fn list<T: AsRef<str>>(texts: Vec<T>) -> Vec<String> {
    let mut texts: Vec<String> = texts.into_iter().take(MAX_ENTRIES).map(cut).collect();
    texts.sort();
    texts.dedup();
    texts
}

fn is_color(text: &str) -> bool {
    text.strip_prefix('#').is_some_and(|digits| {
        matches!(digits.len(), 3 | 6) && digits.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// `https://user:secret@host/path` without the part that may be secret.
fn without_userinfo(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests;
