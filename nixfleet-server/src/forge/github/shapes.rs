//! The JSON of GitHub, as far as it is read. A field that is missing or of another type spoils the
//! answer; nothing is guessed.

use nixfleet_core::update::{ChangedFile, Check, CheckState};
use nixfleet_core::{CommitId, Timestamp};
use serde::Deserialize;

use crate::forge::HeadCommit;
use crate::forge::alike::{CommitRef, MOST_NAME, complete_checks};
use crate::forge::fault::Fault;
use crate::forge::http::plain_name;

#[derive(Deserialize)]
pub(super) struct ObjectShape {
    pub sha: String,
}

#[derive(Deserialize)]
pub(super) struct TreeOf {
    pub tree: ObjectShape,
}

#[derive(Deserialize)]
pub(super) struct MergeShape {
    pub merged: bool,
    pub sha: CommitId,
}

#[derive(Deserialize)]
pub(super) struct CompareShape {
    pub merge_base_commit: CommitRef,
}

#[derive(Deserialize)]
pub(super) struct FileShape {
    filename: String,
    previous_filename: Option<String>,
    status: String,
}

impl FileShape {
    pub fn read(self) -> ChangedFile {
        ChangedFile {
            modified: matches!(self.status.as_str(), "modified" | "changed")
                && self.previous_filename.is_none(),
            path: self.filename,
            previous_path: self.previous_filename,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct CheckRuns {
    total_count: u64,
    check_runs: Vec<CheckRun>,
}

#[derive(Deserialize)]
struct CheckRun {
    name: String,
    head_sha: CommitId,
    status: String,
    conclusion: Option<String>,
}

impl CheckRuns {
    pub fn read(pages: Vec<CheckRuns>) -> Result<Vec<Check>, Fault> {
        let total = pages.first().map_or(0, |page| page.total_count);
        let runs: Vec<Check> = pages
            .into_iter()
            .flat_map(|page| page.check_runs)
            .map(|run| Check {
                state: state_of_run(&run.status, run.conclusion.as_deref()),
                name: plain_name(&run.name, MOST_NAME),
                commit: run.head_sha,
            })
            .collect();
        complete_checks(runs, total)
    }
}

#[derive(Deserialize)]
pub(super) struct Statuses {
    sha: CommitId,
    total_count: u64,
    statuses: Vec<Status>,
}

#[derive(Deserialize)]
struct Status {
    context: String,
    state: String,
}

impl Statuses {
    pub fn read(pages: Vec<Statuses>) -> Result<Vec<Check>, Fault> {
        let total = pages.first().map_or(0, |page| page.total_count);
        let mut checks = Vec::new();
        for page in pages {
            checks.extend(page.statuses.into_iter().map(|status| Check {
                name: plain_name(&status.context, MOST_NAME),
                state: state_of_status(&status.state),
                commit: page.sha,
            }));
        }
        complete_checks(checks, total)
    }
}

fn state_of_run(status: &str, conclusion: Option<&str>) -> CheckState {
    match (status, conclusion) {
        ("queued" | "in_progress" | "waiting" | "requested" | "pending", _) => CheckState::Running,
        ("completed", Some(conclusion)) => match conclusion {
            "success" => CheckState::Success,
            "failure" | "timed_out" | "startup_failure" => CheckState::Failure,
            "cancelled" => CheckState::Cancelled,
            "skipped" => CheckState::Skipped,
            "neutral" => CheckState::Neutral,
            "action_required" => CheckState::ActionRequired,
            "stale" => CheckState::Stale,
            _ => CheckState::Unknown,
        },
        _ => CheckState::Unknown,
    }
}

fn state_of_status(state: &str) -> CheckState {
    match state {
        "success" => CheckState::Success,
        "failure" | "error" => CheckState::Failure,
        "pending" => CheckState::Running,
        _ => CheckState::Unknown,
    }
}

#[derive(Deserialize)]
pub(super) struct BranchShape {
    name: String,
    commit: BranchCommit,
}

#[derive(Deserialize)]
struct BranchCommit {
    sha: CommitId,
    commit: CommitShape,
}

#[derive(Deserialize)]
struct CommitShape {
    message: String,
    committer: Option<Person>,
}

#[derive(Deserialize)]
struct Person {
    date: Option<String>,
}

impl BranchShape {
    pub fn read(self, asked: &str) -> Result<HeadCommit, Fault> {
        if self.name != asked {
            return Err(Fault::malformed("another branch than the one asked for"));
        }
        let date = self.commit.commit.committer.and_then(|person| person.date);
        Ok(HeadCommit {
            commit: self.commit.sha,
            message: self.commit.commit.message,
            time: date.and_then(|date| Timestamp::parse_rfc3339(&date).ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_completed_success_is_a_success() {
        let statuses = [
            "queued",
            "in_progress",
            "completed",
            "waiting",
            "requested",
            "pending",
            "new",
        ];
        let conclusions = [
            None,
            Some("success"),
            Some("failure"),
            Some("neutral"),
            Some("cancelled"),
            Some("skipped"),
            Some("timed_out"),
            Some("action_required"),
            Some("stale"),
            Some("startup_failure"),
            Some("novel"),
        ];
        for status in statuses {
            for conclusion in conclusions {
                let success = state_of_run(status, conclusion) == CheckState::Success;
                let expected = (status, conclusion) == ("completed", Some("success"));
                assert_eq!(success, expected, "{status} {conclusion:?}");
            }
        }
        assert_eq!(state_of_status("success"), CheckState::Success);
        for state in ["failure", "error", "pending", "expected", ""] {
            assert_ne!(state_of_status(state), CheckState::Success, "{state}");
        }
    }

    #[test]
    fn a_renamed_file_is_not_modified() {
        let file = |status: &str, previous: Option<&str>| FileShape {
            filename: "flake.lock".to_owned(),
            previous_filename: previous.map(str::to_owned),
            status: status.to_owned(),
        };
        assert!(file("modified", None).read().modified);
        for (status, previous) in [
            ("added", None),
            ("removed", None),
            ("renamed", Some("x")),
            ("copied", Some("x")),
            ("unchanged", None),
            ("modified", Some("x")),
        ] {
            assert!(!file(status, previous).read().modified, "{status}");
        }
    }
}
