//! A pull request as a forge tells it, whatever the forge: read once, compared nowhere else.

use serde::{Deserialize, Serialize};

use crate::ids::CommitId;
use crate::time::Timestamp;

/// Number of a pull request in its repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrNumber(pub u64);

impl std::fmt::Display for PrNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Something the forge was asked for: its answer, or why there is none. Never guessed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadOrNot<T> {
    /// The forge's answer, complete.
    Read(T),
    /// It was not asked, or the answer is missing, incomplete or malformed; one line for people.
    NotRead(String),
}

impl<T> ReadOrNot<T> {
    /// The answer, if there is one.
    #[must_use]
    pub const fn read(&self) -> Option<&T> {
        match self {
            ReadOrNot::Read(value) => Some(value),
            ReadOrNot::NotRead(_) => None,
        }
    }
}

/// One pull request, as far as the forge was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Its number.
    pub number: PrNumber,
    /// Its title, without control characters. Never decides anything but visibility (law E3).
    pub title: String,
    /// Its address (http or https).
    pub url: String,
    /// Login of its author.
    pub author: String,
    /// Names of its labels. Never decide anything but visibility (law E3).
    pub labels: Vec<String>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// Whether it is open.
    pub state: PrState,
    /// Whether it is a draft.
    pub draft: bool,
    /// The branch it would change.
    pub base_branch: String,
    /// The repository it would change, `owner/name`.
    pub base_repo: String,
    /// Its branch.
    pub head_branch: String,
    /// The repository its branch is in, `owner/name`; `None` if that was deleted.
    pub head_repo: Option<String>,
    /// The commit it would merge.
    pub head: CommitId,
    /// Whether the forge could merge it now.
    pub mergeable: Mergeable,
    /// Every file it changes.
    pub files: ReadOrNot<Vec<ChangedFile>>,
    /// The bytes of `flake.lock` at the merge base and at the head, in this order.
    #[serde(with = "lock_texts")]
    pub locks: ReadOrNot<(Vec<u8>, Vec<u8>)>,
    /// Every check on its head: check runs and commit statuses.
    pub checks: ReadOrNot<Vec<Check>>,
}

/// Whether a pull request is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrState {
    /// It can still be merged.
    Open,
    /// Closed without a merge.
    Closed,
    /// Merged.
    Merged {
        /// The commit on the base branch, where the forge tells it.
        commit: Option<CommitId>,
    },
}

/// Whether the forge could merge now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mergeable {
    /// It could.
    Yes,
    /// It could not: conflicts, or a rule of the repository.
    No,
    /// It has not worked it out yet.
    NotComputed,
}

/// One file that a pull request changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedFile {
    /// Its path.
    pub path: String,
    /// Its path before, if it was renamed or copied.
    pub previous_path: Option<String>,
    /// Whether it is there before and after; an added, removed or renamed file is not `modified`.
    pub modified: bool,
}

/// One check on a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: CheckState,
    /// The commit it ran on.
    pub commit: CommitId,
}

/// How a check stands. What a forge calls otherwise is `Unknown`, never a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    /// It succeeded.
    Success,
    /// It failed, timed out, or could not start.
    Failure,
    /// It was cancelled.
    Cancelled,
    /// It was skipped.
    Skipped,
    /// It has no opinion.
    Neutral,
    /// It waits for a person.
    ActionRequired,
    /// Queued or running.
    Running,
    /// It was given up because it got old.
    Stale,
    /// Anything else.
    Unknown,
}

/// Locks are JSON texts; as text they stay readable where they are stored.
mod lock_texts {
    use super::ReadOrNot;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    type Locks = ReadOrNot<(Vec<u8>, Vec<u8>)>;

    pub(super) fn serialize<S: Serializer>(value: &Locks, to: S) -> Result<S::Ok, S::Error> {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        match value {
            ReadOrNot::Read((base, head)) => ReadOrNot::Read((text(base), text(head))),
            ReadOrNot::NotRead(why) => ReadOrNot::NotRead(why.clone()),
        }
        .serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Locks, D::Error> {
        Ok(match ReadOrNot::<(String, String)>::deserialize(from)? {
            ReadOrNot::Read((base, head)) => {
                ReadOrNot::Read((base.into_bytes(), head.into_bytes()))
            }
            ReadOrNot::NotRead(why) => ReadOrNot::NotRead(why),
        })
    }
}
