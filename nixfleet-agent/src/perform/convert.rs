//! From what was seen and recorded on the host to the values of the core; nothing is decided.

use std::time::Duration;

use nixfleet_core::agent::{self, AgentObservation, JobReport};
use nixfleet_core::host::{AgentBinary, Generation, LockReport, Repo, RunningSystem};
use nixfleet_core::ids::CommitRef;
use nixfleet_core::wire::agent as wire;
use nixfleet_core::{ClaimedRevision, CommitId, StorePath, Timestamp, lock_hash};

use crate::exec::{Captured, CapturedRepo, JobEnd, JobExit, TestOutcome};
use crate::observe::{self, Binary, LockFact, Observation, RepoFacts};

/// What was seen of the host.
pub fn observation(seen: Observation, binary: &Binary) -> AgentObservation {
    let Observation {
        repo,
        system,
        metrics,
    } = seen;
    let current = system.generation_number;
    AgentObservation {
        repo_error: repo.error.clone(),
        repo: checkout(&repo),
        failed_units: system.failed_units,
        generations: system
            .generations
            .into_iter()
            .map(|generation| generation_of(generation, current))
            .collect(),
        binary: AgentBinary {
            source_commit: binary.source_commit.map(str::to_owned),
            store_path: binary.store_path.clone(),
            binary_hash: binary.hash.clone(),
            expected_path: None,
        },
        nixpkgs_version: system.nixpkgs_version,
        metrics: metrics.map(|sample| wire::Metrics {
            cpu: f64::from(sample.cpu),
            ram: f64::from(sample.ram),
            swap: f64::from(sample.swap),
            load: sample.load,
        }),
        system: RunningSystem {
            path: system.path.as_deref().and_then(path_or_name),
            configuration_revision: system
                .configuration_revision
                .and_then(|text| ClaimedRevision::from_text(&text)),
            profile_number: current,
            booted_path: system.booted_path.and_then(|path| path.parse().ok()),
            reboot_required: system.reboot_required.unwrap_or(false),
        },
    }
}

/// What names the running system. A name that cannot be sent is told by its hash: without any name,
/// nobody would notice that another system runs.
fn path_or_name(text: &str) -> Option<StorePath> {
    text.parse().ok().or_else(|| {
        let hash = lock_hash(text.as_bytes());
        format!("a name with SHA-256 {hash}").parse().ok()
    })
}

fn checkout(seen: &RepoFacts) -> Option<Repo> {
    Some(Repo {
        commit: CommitRef::from(seen.commit?),
        lock: match seen.lock {
            LockFact::Unknown => LockReport::NotReported,
            LockFact::Missing => LockReport::Missing,
            LockFact::Hash(hash) => LockReport::Hash(hash),
        },
        dirty: seen.dirty?,
    })
}

fn generation_of(seen: observe::Generation, current: Option<u64>) -> Generation {
    Generation {
        number: seen.number,
        path: seen.path.parse().ok(),
        commit: None,
        created: Some(Timestamp::from_seconds(seen.created)),
        current: current == Some(seen.number),
    }
}

/// How a job ended. `after` is what is seen now; `error_line` the last line of its error output.
pub fn report(
    end: JobEnd,
    after: AgentObservation,
    error_line: Option<String>,
    group_empty: bool,
) -> JobReport {
    match end {
        JobEnd::Exited(exit) => exited(*exit, after, error_line, group_empty),
        JobEnd::Interrupted => JobReport {
            group_empty,
            ..without_process(agent::JobExit::Interrupted, after)
        },
        JobEnd::NeverStarted => not_started(
            "the agent or its supervisor went away before the command was started; nothing was run",
            after,
        ),
    }
}

/// Nothing was run.
pub fn not_started(why: impl Into<String>, after: AgentObservation) -> JobReport {
    without_process(agent::JobExit::NotStarted(why.into()), after)
}

/// An end without any process of its own.
pub fn without_process(exit: agent::JobExit, after: AgentObservation) -> JobReport {
    JobReport {
        exit,
        message: None,
        group_empty: true,
        stop_asked: false,
        duration: Duration::ZERO,
        before: None,
        after,
        tests: Vec::new(),
    }
}

fn exited(
    exit: JobExit,
    after: AgentObservation,
    error_line: Option<String>,
    group_empty: bool,
) -> JobReport {
    let ended = match (&exit.problem, exit.stages.is_empty(), exit.signal) {
        (Some(problem), true, _) if !exit.stopped => agent::JobExit::NotStarted(problem.clone()),
        (_, _, Some(signal)) if !exit.timed_out => agent::JobExit::Signal(signal),
        _ => agent::JobExit::Code(exit.code),
    };
    JobReport {
        exit: ended,
        message: (exit.code != 0)
            .then(|| exit.problem.clone().or(error_line))
            .flatten(),
        group_empty: group_empty && exit.survivors.is_empty(),
        stop_asked: exit.stopped,
        duration: Duration::from_millis(exit.duration_ms),
        before: before(&exit, &after),
        after,
        tests: exit
            .tests
            .iter()
            .flat_map(|tests| &tests.results)
            .map(|test| agent::TestOutcome {
                name: test.name.clone(),
                passed: match test.outcome {
                    TestOutcome::Passed => Some(true),
                    TestOutcome::Failed | TestOutcome::TimedOut => Some(false),
                    TestOutcome::Skipped => None,
                },
            })
            .collect(),
    }
}

/// What the supervisor recorded right before the build, the activation or the tests began: before the
/// first stage that is not the pull. It survives a crash of the agent, because the supervisor keeps it.
///
/// The checkout is left out if it changed until the supervisor's second look, or the system that it saw
/// then does not run any more: its inputs are then not those of what runs now.
fn before(exit: &JobExit, after: &AgentObservation) -> Option<AgentObservation> {
    let first = exit.stages.iter().find(|stage| stage.name != "pull")?;
    let last = exit.stages.last()?;
    let (then, end) = (first.before.as_ref()?, last.after.as_ref());
    let mut seen = captured(then);
    let unchanged = end.is_some_and(|end| {
        end.repo == then.repo
            && end.system.as_deref() == after.system.path.as_ref().map(|p| p.as_str())
    });
    if !unchanged {
        seen.repo = None;
    }
    // A store path never changes what it claims to be built from.
    if seen.system.path == after.system.path {
        seen.system.configuration_revision = after.system.configuration_revision.clone();
    }
    Some(seen)
}

fn captured(then: &Captured) -> AgentObservation {
    AgentObservation {
        repo: then.repo.as_ref().and_then(captured_repo),
        failed_units: then.failed_units.clone(),
        system: RunningSystem {
            path: then.system.as_deref().and_then(path_or_name),
            ..RunningSystem::default()
        },
        ..AgentObservation::default()
    }
}

fn captured_repo(then: &CapturedRepo) -> Option<Repo> {
    let commit: CommitId = then.commit.parse().ok()?;
    Some(Repo {
        commit: commit.into(),
        lock: match &then.lock_hash {
            Some(hash) => LockReport::Hash(hash.parse().ok()?),
            None => LockReport::Missing,
        },
        dirty: !then.clean,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(path: &str, claim: Option<&str>) -> RunningSystem {
        let seen = Observation {
            repo: RepoFacts::default(),
            metrics: None,
            system: observe::SystemFacts {
                path: Some(path.to_owned()),
                configuration_revision: claim.map(str::to_owned),
                ..observe::SystemFacts::default()
            },
        };
        let binary = Binary::find().unwrap();
        observation(seen, &binary).system
    }

    #[test]
    fn nothing_that_the_system_says_of_itself_gets_lost() {
        let dirty = format!("{}-dirty", "a".repeat(40));
        for claim in [dirty.as_str(), "abc1234", "my laptop"] {
            let told = running("/nix/store/one", Some(claim)).configuration_revision;
            assert_eq!(told.map(|claim| claim.to_string()).as_deref(), Some(claim));
        }
        assert_eq!(running("/nix/store/one", None).configuration_revision, None);
    }

    #[test]
    fn a_name_that_cannot_be_sent_still_tells_systems_apart() {
        let long = |last: char| format!("{}{last}", "x".repeat(2000));
        let names = [long('1'), long('2'), "a\tb".to_owned(), "a\tc".to_owned()];
        let told = names
            .each_ref()
            .map(|name| running(name, None).path.unwrap());
        for (index, one) in told.iter().enumerate() {
            assert!(told.iter().skip(index + 1).all(|other| one != other));
            assert_eq!(Some(one), running(&names[index], None).path.as_ref());
        }
        let plain = running("/nix/store/one", None).path.unwrap();
        assert_eq!(plain.as_str(), "/nix/store/one");
    }
}
