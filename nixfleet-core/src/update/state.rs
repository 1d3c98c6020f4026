//! What is kept of updates, also over a restart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::call::RevertKind;
use super::checks::Baseline;
use super::job::Job;
use super::lock_facts::{InputMove, LockFacts};
use super::pull_request::{PrNumber, PullRequest, ReadOrNot};
use crate::compartment::render::text::clean;
use crate::host::Actor;
use crate::ids::{CommitId, LockHash};
use crate::time::Timestamp;

/// The most open pull requests that are kept.
pub const MAX_OPEN: usize = 30;
/// The most merged updates that are kept in memory.
pub const MAX_MERGED: usize = 200;
/// The most files of one pull request that are kept; one more than one is already too many.
const MAX_FILES: usize = 20;
/// The most checks of one pull request that are judged; with more of them nothing is.
const MAX_CHECKS: usize = 300;

/// A row to be stored about updates.
#[derive(Clone, Debug, PartialEq)]
pub enum UpdateRecord {
    /// Everything but the history; replaces the one before.
    State(Box<UpdateState>),
    /// One merged update, by repository and number.
    Merged(Box<MergedUpdate>),
}

/// What the store gives back after a restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredUpdates {
    /// Everything but the history.
    pub state: Option<UpdateState>,
    /// Merged updates; the newest [`MAX_MERGED`] are enough.
    pub merged: Vec<MergedUpdate>,
}

impl StoredUpdates {
    /// Takes in a row.
    pub fn commit(&mut self, record: UpdateRecord) {
        match record {
            UpdateRecord::State(state) => self.state = Some(*state),
            UpdateRecord::Merged(merged) => {
                let same =
                    |own: &MergedUpdate| own.repo == merged.repo && own.number == merged.number;
                self.merged.retain(|own| !same(own));
                self.merged.push(*merged);
            }
        }
    }
}

/// Everything about updates but their history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateState {
    /// The repository this is about.
    pub repo: String,
    /// The branch this is about.
    pub branch: String,
    /// Open update pull requests, newest first. The first is the current one.
    pub open: Vec<KnownPr>,
    /// When they were last listed.
    pub checked: Option<Timestamp>,
    /// Since when they cannot be listed, and why.
    pub failing: Option<(Timestamp, String)>,
    /// When they are listed next.
    pub check_at: Timestamp,
    /// The checks of the update that was merged last.
    pub baseline: Option<Baseline>,
    /// The current job, or the last one.
    pub job: Option<Job>,
    /// How many jobs there were.
    pub jobs: u64,
    /// The forge asked not to be called before.
    pub not_before: Option<Timestamp>,
    /// When the last call that changes something left.
    pub mutated: Option<Timestamp>,
    /// Pull requests of which must be learned what became of them, each not before a moment.
    pub missing: BTreeMap<PrNumber, Timestamp>,
    /// Merge calls of which nobody knows yet what they did: the head, and who asked.
    pub unsettled: BTreeMap<PrNumber, (CommitId, Actor)>,
    /// The last head whose automatic merge failed.
    pub failed_head: Option<FailedHead>,
    /// The last refusal that people were told of.
    pub told: Option<(PrNumber, CommitId, String)>,
}

/// A head whose automatic merge failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedHead {
    /// The pull request.
    pub number: PrNumber,
    /// The head.
    pub head: CommitId,
    /// Why.
    pub why: String,
    /// From when on it may be tried again; `None` is never.
    pub again: Option<Timestamp>,
}

/// An open pull request as it was last read. Its locks are compared at once, and not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPr {
    /// What the forge said, without the locks, with bounded texts and lists.
    pub pr: PullRequest,
    /// What it does to the lock.
    pub lock: LockFacts,
    /// Since when this server has seen its current head.
    pub head_since: Timestamp,
}

impl KnownPr {
    /// Takes in a reading; `before` is what was known of the same pull request.
    #[must_use]
    pub fn new(mut pr: PullRequest, before: Option<&KnownPr>, now: Timestamp) -> Self {
        let lock = LockFacts::of(&pr);
        pr.locks = ReadOrNot::NotRead("compared when it was read".to_owned());
        pr.title = clean(&pr.title, 200);
        pr.url = web_address(&pr.url);
        pr.labels.truncate(20);
        if let ReadOrNot::Read(files) = &mut pr.files {
            files.truncate(MAX_FILES);
        }
        if pr
            .checks
            .read()
            .is_some_and(|checks| checks.len() > MAX_CHECKS)
        {
            pr.checks = ReadOrNot::NotRead(format!("there are more than {MAX_CHECKS}"));
        }
        let same_head = before.filter(|before| before.pr.head == pr.head);
        Self {
            head_since: same_head.map_or(now, |before| before.head_since),
            pr,
            lock,
        }
    }

    /// The hash of its lock, if it was read.
    #[must_use]
    pub fn lock_hash(&self) -> Option<LockHash> {
        self.lock.compared().map(|compared| compared.head)
    }
}

fn web_address(url: &str) -> String {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    let is_plain = url.len() <= 500 && url.bytes().all(|byte| byte.is_ascii_graphic());
    if is_web && is_plain {
        url.to_owned()
    } else {
        String::new()
    }
}

/// One merged update. At most one for each pull request of a repository (law E1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedUpdate {
    /// The repository.
    pub repo: String,
    /// The pull request.
    pub number: PrNumber,
    /// Its title.
    pub title: String,
    /// Its address.
    pub url: String,
    /// Its author.
    pub author: String,
    /// The head that was merged.
    pub head: CommitId,
    /// The commit on the tracked branch, where the forge told it.
    pub commit: Option<CommitId>,
    /// When this server learned of it.
    pub at: Timestamp,
    /// Who merged it through this server; `None` if somebody did elsewhere.
    pub by: Option<Actor>,
    /// What it changed.
    pub inputs: Vec<InputMove>,
    /// Its revert, if there is one (law E9: at most one).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revert: Option<Reverted>,
}

/// The revert of a merged update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reverted {
    /// How.
    pub kind: RevertKind,
    /// The pull request that reverts, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<PrNumber>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The commit that reverts, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitId>,
    /// When.
    pub at: Timestamp,
    /// Who asked.
    pub by: Actor,
}
