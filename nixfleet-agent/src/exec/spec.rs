//! What a job is (`job.json`) and how it ended (`exit.json`): the two durable records between the
//! agent and a supervisor, which may be of different versions after an update.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nixfleet_core::CommandId;
use nixfleet_core::wire::agent::UpdateFacts;
use serde::{Deserialize, Serialize};

/// One command of the fleet as processes to run in order; the first failure ends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The command this job carries out; also the name of its folder.
    pub command_id: CommandId,
    /// The op's name, for the children's environment and for people.
    pub op: String,
    /// The processes, in order; at least one.
    pub stages: Vec<Stage>,
    /// The whole environment of every child.
    pub environment: BTreeMap<String, String>,
    /// Whether it must be the only one on the host (everything but a reboot on override).
    pub exclusive: bool,
}

/// One step of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// A word for people: `pull`, `switch`, `test`, `rollback`, `activate`, `reboot`.
    pub name: String,
    /// What runs.
    pub run: Run,
    /// The folder it runs in; by default the job's own.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// Time limit in milliseconds; beyond it SIGTERM, then SIGKILL after 3 s.
    #[serde(default)]
    pub limit_ms: Option<u64>,
    /// More environment, for this stage only.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// What to record right before and right after the stage.
    #[serde(default)]
    pub capture: Option<Capture>,
    /// What to tell people when the program is not installed.
    #[serde(default)]
    pub missing_advice: Option<String>,
}

/// What a stage runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Run {
    /// One program.
    Command {
        /// Program and arguments; never a shell line.
        argv: Vec<String>,
    },
    /// Every executable `*.sh` of a folder, in the order of their names.
    TestScripts {
        /// The folder.
        folder: PathBuf,
        /// Time limit of each script in milliseconds.
        limit_ms: u64,
    },
    /// One program whose exit code is the verdict of the host's tests.
    TestCommand {
        /// Program and arguments.
        argv: Vec<String>,
        /// Its time limit in milliseconds.
        limit_ms: u64,
    },
}

/// Facts recorded by the supervisor itself, so that they exist even if the agent is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// The checkout whose commit, lock hash and cleanliness are recorded.
    #[serde(default)]
    pub repo_dir: Option<PathBuf>,
    /// The link whose target names the running system.
    #[serde(default)]
    pub system_link: Option<PathBuf>,
    /// The command that prints the name of the running system, where there is no link.
    #[serde(default)]
    pub system_command: Option<Vec<String>>,
    /// Whether the failed units of the system manager are recorded.
    #[serde(default)]
    pub failed_units: bool,
}

/// What was found at one moment; an absent part could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// The checkout.
    #[serde(default)]
    pub repo: Option<CapturedRepo>,
    /// The name of the running system.
    #[serde(default)]
    pub system: Option<String>,
    /// The failed units.
    #[serde(default)]
    pub failed_units: Option<Vec<String>>,
}

/// The checkout at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedRepo {
    /// HEAD, in full.
    pub commit: String,
    /// SHA-256 of `flake.lock`; `None` if there is no such file.
    pub lock_hash: Option<String>,
    /// Nothing is modified or untracked.
    pub clean: bool,
}

/// How a job ended; written once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobExit {
    /// The exit code of the stage that ended the job, 128 + signal, 127 for a program that could
    /// not be started, 124 for an exceeded time limit.
    pub code: i32,
    /// The signal that ended the deciding process, if one did.
    #[serde(default)]
    pub signal: Option<i32>,
    /// A stop was asked for before the end.
    #[serde(default)]
    pub stopped: bool,
    /// A time limit ended the deciding stage.
    #[serde(default)]
    pub timed_out: bool,
    /// Why nothing ran or could go on, in words for people.
    #[serde(default)]
    pub problem: Option<String>,
    /// Run time in milliseconds.
    pub duration_ms: u64,
    /// Every stage that was started.
    #[serde(default)]
    pub stages: Vec<StageExit>,
    /// The results of the tests, for a job that had any to run.
    #[serde(default)]
    pub tests: Option<TestReport>,
    /// What an update of inputs wrote down when it was done.
    #[serde(default)]
    pub update: Option<UpdateFacts>,
    /// Bytes of output that were not kept.
    #[serde(default)]
    pub dropped_bytes: u64,
    /// Processes of the job that outlived even SIGKILL.
    #[serde(default)]
    pub survivors: Vec<i32>,
}

/// How one stage ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageExit {
    /// Its name in the job.
    pub name: String,
    /// As in [`JobExit::code`].
    pub code: i32,
    /// Run time in milliseconds.
    pub duration_ms: u64,
    /// Recorded before it started.
    #[serde(default)]
    pub before: Option<Captured>,
    /// Recorded after it ended.
    #[serde(default)]
    pub after: Option<Captured>,
}

/// What became of the host's tests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestReport {
    /// One entry per script, in order.
    pub results: Vec<TestResult>,
    /// A stop was asked for before the last one ended.
    #[serde(default)]
    pub aborted: bool,
}

impl TestReport {
    /// The verdict on the whole: nothing executed is never a pass.
    #[must_use]
    pub fn verdict(&self) -> TestVerdict {
        if self.aborted {
            return TestVerdict::Aborted;
        }
        if self.ran() == 0 {
            return TestVerdict::Empty;
        }
        if self.failed().next().is_some() {
            return TestVerdict::Fail;
        }
        TestVerdict::Pass
    }

    /// How many were executed.
    #[must_use]
    pub fn ran(&self) -> usize {
        self.results
            .iter()
            .filter(|r| r.outcome != TestOutcome::Skipped)
            .count()
    }

    /// The names of those that failed.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        self.named(|outcome| matches!(outcome, TestOutcome::Failed | TestOutcome::TimedOut))
    }

    /// The names of those that were not executed.
    pub fn skipped(&self) -> impl Iterator<Item = &str> {
        self.named(|outcome| outcome == TestOutcome::Skipped)
    }

    fn named(&self, wanted: impl Fn(TestOutcome) -> bool) -> impl Iterator<Item = &str> {
        self.results
            .iter()
            .filter(move |r| wanted(r.outcome))
            .map(|r| r.name.as_str())
    }
}

/// The verdict on all tests of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestVerdict {
    /// At least one ran, and none failed.
    Pass,
    /// At least one failed.
    Fail,
    /// Stopped before the end.
    Aborted,
    /// None ran.
    Empty,
}

/// One test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestResult {
    /// The file's name.
    pub name: String,
    /// What became of it.
    pub outcome: TestOutcome,
    /// As in [`JobExit::code`]; 0 for a skipped one.
    #[serde(default)]
    pub code: i32,
    /// Run time in milliseconds.
    #[serde(default)]
    pub duration_ms: u64,
}

/// What became of one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestOutcome {
    /// Exit 0.
    Passed,
    /// Any other end.
    Failed,
    /// Stopped by its time limit.
    TimedOut,
    /// Not executable, so not executed.
    Skipped,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: &[TestOutcome]) -> TestReport {
        let results = outcomes
            .iter()
            .map(|&outcome| TestResult {
                name: "t.sh".into(),
                outcome,
                code: 0,
                duration_ms: 0,
            })
            .collect();
        TestReport {
            results,
            aborted: false,
        }
    }

    #[test]
    fn nothing_executed_is_never_a_pass_and_one_failure_fails_all() {
        use TestOutcome::{Failed, Passed, Skipped, TimedOut};
        for (outcomes, verdict) in [
            (vec![], TestVerdict::Empty),
            (vec![Skipped], TestVerdict::Empty),
            (vec![Passed, Skipped], TestVerdict::Pass),
            (vec![Failed, Passed], TestVerdict::Fail),
            (vec![Passed, TimedOut], TestVerdict::Fail),
        ] {
            assert_eq!(report(&outcomes).verdict(), verdict, "{outcomes:?}");
        }
        let mut stopped = report(&[Passed]);
        stopped.aborted = true;
        assert_eq!(stopped.verdict(), TestVerdict::Aborted);
    }
}
