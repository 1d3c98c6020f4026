//! From what was seen and recorded on the host to the values of the core; nothing is decided.

use std::time::Duration;

use nixfleet_core::agent::{self, AgentObservation, JobReport, RecordedExit, Sighting};
use nixfleet_core::host::{AgentBinary, Generation, LockReport, Repo, RunningSystem};
use nixfleet_core::ids::CommitRef;
use nixfleet_core::wire::agent as wire;
use nixfleet_core::wire::inputs_update;
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
            expected_path: system.agent_path,
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
            profile_path: system.profile_path.as_deref().and_then(path_or_name),
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
            ..JobReport::bare(agent::JobExit::Interrupted, after)
        },
        JobEnd::NeverStarted => not_started(
            "the agent or its supervisor went away before the command was started; nothing was run",
            after,
        ),
    }
}

/// Nothing was run.
pub fn not_started(why: impl Into<String>, after: AgentObservation) -> JobReport {
    JobReport::bare(agent::JobExit::NotStarted(why.into()), after)
}

fn exited(
    exit: JobExit,
    after: AgentObservation,
    error_line: Option<String>,
    group_empty: bool,
) -> JobReport {
    // What a `pull-switch` builds is what its pull has left behind.
    let mut begun = exit.stages.iter().filter(|stage| stage.name != "pull");
    let recorded = RecordedExit {
        code: exit.code,
        signal: exit.signal,
        timed_out: exit.timed_out,
        stopped: exit.stopped,
        started: !exit.stages.is_empty(),
        problem: exit.problem.clone(),
    };
    let update = exit.update.map(inputs_update);
    JobReport {
        message: exit.problem.or(error_line),
        group_empty: group_empty && exit.survivors.is_empty(),
        stop_asked: exit.stopped,
        duration: Duration::from_millis(exit.duration_ms),
        at_start: begun
            .next()
            .and_then(|stage| stage.before.as_ref())
            .map(captured),
        at_end: exit
            .stages
            .last()
            .and_then(|stage| stage.after.as_ref())
            .map(captured),
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
        update: update.and_then(Result::ok),
        ..JobReport::bare(recorded.into(), after)
    }
}

fn captured(then: &Captured) -> Sighting {
    Sighting {
        repo: then.repo.as_ref().and_then(captured_repo),
        system: then.system.as_deref().and_then(path_or_name),
        failed_units: then.failed_units.clone(),
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

    #[test]
    fn a_generation_is_told_with_its_number_path_and_date_and_the_running_one_is_marked() {
        let seen = |number, path: &str, created| observe::Generation {
            number,
            path: path.to_owned(),
            created,
        };
        let seen = Observation {
            repo: RepoFacts::default(),
            metrics: None,
            system: observe::SystemFacts {
                generation_number: Some(41),
                generations: vec![
                    seen(42, "/nix/store/b-nixos-system", 1_767_312_000),
                    seen(41, "/nix/store/a-nixos-system", 1_767_225_600),
                ],
                ..observe::SystemFacts::default()
            },
        };
        let told = observation(seen, &Binary::find().unwrap()).generations;
        let told: Vec<_> = told
            .iter()
            .map(|generation| {
                (
                    generation.number,
                    generation.path.as_ref().unwrap().as_str(),
                    generation.created.unwrap().to_rfc3339(),
                    generation.current,
                )
            })
            .collect();
        let date = |text: &str| text.to_owned();
        assert_eq!(
            told,
            [
                (
                    42,
                    "/nix/store/b-nixos-system",
                    date("2026-01-02T00:00:00Z"),
                    false
                ),
                (
                    41,
                    "/nix/store/a-nixos-system",
                    date("2026-01-01T00:00:00Z"),
                    true
                ),
            ]
        );
    }

    #[test]
    fn the_record_of_an_update_is_told_and_one_that_cannot_be_read_is_not() {
        let told = |base: &str| {
            let exit = JobExit {
                update: Some(wire::UpdateFacts {
                    base: base.to_owned(),
                    ..wire::UpdateFacts::default()
                }),
                ..JobExit::default()
            };
            let end = JobEnd::Exited(Box::new(exit));
            report(end, AgentObservation::default(), None, true).update
        };
        let base = "a".repeat(40);
        assert_eq!(
            told(&base).map(|update| update.base.to_string()),
            Some(base)
        );
        assert_eq!(told("somewhere"), None);
    }
}
