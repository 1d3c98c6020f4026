//! The JSON of Gitea and Forgejo, where it is not the one of GitHub.

use nixfleet_core::update::{ChangedFile, Check, CheckState};
use nixfleet_core::{CommitId, Timestamp};
use serde::Deserialize;

use crate::forge::HeadCommit;
use crate::forge::alike::{CommitRef, MOST_NAME, complete_checks};
use crate::forge::fault::Fault;
use crate::forge::http::plain_name;

#[derive(Deserialize)]
pub(super) struct CompareShape {
    pub total_commits: u64,
}

#[derive(Deserialize)]
pub(super) struct WrittenShape {
    pub commit: CommitRef,
}

#[derive(Deserialize)]
pub(super) struct FileShape {
    filename: String,
    previous_filename: Option<String>,
    status: String,
}

impl FileShape {
    pub fn read(self) -> ChangedFile {
        let previous = self.previous_filename.filter(|name| !name.is_empty());
        ChangedFile {
            modified: matches!(self.status.as_str(), "changed" | "modified") && previous.is_none(),
            path: self.filename,
            previous_path: previous,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Statuses {
    sha: String,
    total_count: u64,
    statuses: Option<Vec<Status>>,
}

#[derive(Deserialize)]
struct Status {
    context: String,
    status: String,
}

impl Statuses {
    pub fn read(pages: Vec<Statuses>, head: CommitId) -> Result<Vec<Check>, Fault> {
        let total = pages.first().map_or(0, |page| page.total_count);
        let mut checks = Vec::new();
        for page in pages {
            // Without any status, some versions tell no commit.
            let commit = if page.sha.is_empty() && total == 0 {
                head
            } else {
                let wrong = |error| Fault::malformed(format!("the commit of checks: {error}"));
                page.sha.parse().map_err(wrong)?
            };
            for status in page.statuses.into_iter().flatten() {
                checks.push(Check {
                    name: plain_name(&status.context, MOST_NAME),
                    state: state_of(&status.status),
                    commit,
                });
            }
        }
        complete_checks(checks, total)
    }
}

fn state_of(status: &str) -> CheckState {
    match status {
        "success" => CheckState::Success,
        "failure" | "error" => CheckState::Failure,
        "pending" => CheckState::Running,
        "skipped" => CheckState::Skipped,
        _ => CheckState::Unknown,
    }
}

#[derive(Deserialize)]
pub(super) struct BranchShape {
    name: String,
    commit: CommitShape,
}

#[derive(Deserialize)]
struct CommitShape {
    id: CommitId,
    message: String,
    timestamp: Option<String>,
}

impl BranchShape {
    pub fn read(self, asked: &str) -> Result<HeadCommit, Fault> {
        if self.name != asked {
            return Err(Fault::malformed("another branch than the one asked for"));
        }
        let time = self.commit.timestamp;
        Ok(HeadCommit {
            commit: self.commit.id,
            message: self.commit.message,
            time: time.and_then(|time| Timestamp::parse_rfc3339(&time).ok()),
        })
    }
}
