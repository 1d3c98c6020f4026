//! Gitea and Forgejo, over their API v1. They have statuses but no check runs, and write files
//! instead of objects, so a revert of something else than plain files is not possible there.

mod shapes;

use data_encoding::BASE64;
use nixfleet_core::CommitId;
use nixfleet_core::update::{
    ChangedFile, Check, MergeAnswer, MergeMethod, Mergeable, PrNumber, PrState,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::alike::{complete_files, merge_refusal, method_word, read_pull};
use super::budget::Purpose;
use super::client::Dialect;
use super::fault::Fault;
use super::http::{Manners, from_json};
use super::pull::{Pull, PullShape};
use super::repository::{MOST_JSON, Repository};
use super::revert::{Change, Onto};
use super::{HeadCommit, Patience};
use shapes::{BranchShape, CompareShape, FileShape, Statuses, WrittenShape};

/// How Gitea and Forgejo want to be spoken to.
pub(super) const MANNERS: Manners = Manners {
    scheme: "token",
    accept: "application/json",
    headers: &[],
};

const PAGE: &str = "50";
const MOST_PULL_PAGES: usize = 20;
const MOST_FILE_PAGES: usize = 6;
const MOST_CHECK_PAGES: usize = 20;
/// Among so many pages of pull requests, last changed first, an earlier revert is looked for.
const REVERT_PAGES: usize = 4;

pub(super) struct Gitea {
    repository: Repository,
    patience: Patience,
}

impl Gitea {
    pub fn new(repository: Repository, patience: Patience) -> Self {
        Self {
            repository,
            patience,
        }
    }

    fn pull_of(&self, shape: PullShape) -> Result<Pull, Fault> {
        let mergeable = match shape.mergeable {
            Some(true) => Mergeable::Yes,
            Some(false) => Mergeable::No,
            None => Mergeable::NotComputed,
        };
        shape.read(mergeable, true, self.repository.http().api())
    }

    /// The answer to a merge is empty; into which commit it was merged is asked afterwards.
    async fn merged_into(&self, number: PrNumber) -> MergeAnswer {
        for attempt in 0..=self.patience.tries {
            if attempt > 0 {
                tokio::time::sleep(self.patience.pause).await;
            }
            let Ok(pull) = self.pull(number, Purpose::Asked).await else {
                continue;
            };
            if let PrState::Merged {
                commit: Some(commit),
            } = pull.told.state
            {
                return MergeAnswer::Done { commit };
            }
        }
        let why = "the forge answered success, but does not show the merge commit yet";
        MergeAnswer::Ambiguous(why.to_owned())
    }
}

impl Dialect for Gitea {
    fn repository(&self) -> &Repository {
        &self.repository
    }

    async fn open_pulls(&self, purpose: Purpose) -> Result<Vec<Pull>, Fault> {
        let query = [("state", "open"), ("limit", PAGE)];
        let first = self.repository.at(&["pulls"], &query);
        let pages: Vec<Vec<PullShape>> = self
            .repository
            .pages(first, MOST_PULL_PAGES, purpose)
            .await?;
        let branch = self.repository.branch();
        let pulls: Result<Vec<Pull>, Fault> = pages
            .into_iter()
            .flatten()
            .filter(|pull| pull.goes_to(branch))
            .map(|pull| self.pull_of(pull))
            .collect();
        let mut pulls = pulls?;
        pulls.sort_by_key(|pull| std::cmp::Reverse(pull.told.number));
        Ok(pulls)
    }

    async fn pull(&self, number: PrNumber, purpose: Purpose) -> Result<Pull, Fault> {
        read_pull(&self.repository, number, purpose, |shape| {
            self.pull_of(shape)
        })
        .await
    }

    async fn files(&self, pull: &Pull, purpose: Purpose) -> Result<Vec<ChangedFile>, Fault> {
        let name = pull.told.number.0.to_string();
        let first = self
            .repository
            .at(&["pulls", &name, "files"], &[("limit", PAGE)]);
        let pages: Vec<Vec<FileShape>> = self
            .repository
            .pages(first, MOST_FILE_PAGES, purpose)
            .await?;
        let files: Vec<ChangedFile> = pages.into_iter().flatten().map(FileShape::read).collect();
        complete_files(pull, files)
    }

    async fn checks(&self, head: CommitId, purpose: Purpose) -> Result<Vec<Check>, Fault> {
        let name = head.to_string();
        let first = self
            .repository
            .at(&["commits", &name, "status"], &[("limit", PAGE)]);
        let pages: Vec<Statuses> = self
            .repository
            .pages(first, MOST_CHECK_PAGES, purpose)
            .await?;
        Statuses::read(pages, head)
    }

    async fn merge_base(&self, pull: &Pull, _purpose: Purpose) -> Result<CommitId, Fault> {
        pull.merge_base
            .ok_or_else(|| Fault::malformed("a pull request without `merge_base`"))
    }

    async fn merge(&self, number: PrNumber, head: CommitId, method: MergeMethod) -> MergeAnswer {
        let name = number.0.to_string();
        let method = method_word(method);
        let body = json!({ "Do": method, "head_commit_id": head });
        let answer = self
            .repository
            .change(Method::POST, &["pulls", &name, "merge"], &body)
            .await;
        match answer {
            Ok(_) => self.merged_into(number).await,
            Err(fault) => merge_refusal(fault),
        }
    }

    async fn branch(&self, name: &str, purpose: Purpose) -> Result<HeadCommit, Fault> {
        let shape: BranchShape = self
            .repository
            .get(&["branches", name], &[], purpose)
            .await?;
        shape.read(name)
    }

    async fn is_ancestor(
        &self,
        older: CommitId,
        younger: CommitId,
        purpose: Purpose,
    ) -> Result<bool, Fault> {
        // What is in the older one and not in the younger one.
        let range = format!("{younger}...{older}");
        let shape: CompareShape = self
            .repository
            .get(&["compare", &range], &[], purpose)
            .await?;
        Ok(shape.total_commits == 0)
    }

    async fn pull_from(&self, branch: &str) -> Result<Option<Pull>, Fault> {
        let repo = self.repository.repo();
        let base = self.repository.branch();
        let query = [("state", "all"), ("sort", "recentupdate"), ("limit", PAGE)];
        let mut at = Some(self.repository.at(&["pulls"], &query));
        for _ in 0..REVERT_PAGES {
            let Some(url) = at else { break };
            let answer = self
                .repository
                .http()
                .get(url, MOST_JSON, Purpose::Asked)
                .await?;
            let pulls: Vec<PullShape> = from_json(&answer.body)?;
            let found = pulls
                .into_iter()
                .find(|pull| pull.goes_to(base) && pull.comes_from(branch, |name| repo.is(name)));
            if let Some(found) = found {
                return self.pull_of(found).map(Some);
            }
            at = answer.next;
        }
        Ok(None)
    }

    async fn commit(
        &self,
        _head: CommitId,
        changes: &[Change],
        message: &str,
        onto: Onto<'_>,
    ) -> Result<CommitId, Fault> {
        let mut files = Vec::with_capacity(changes.len());
        for change in changes {
            files.push(self.file_change(change).await?);
        }
        let mut body = json!({
            "message": message,
            "branch": self.repository.branch(),
            "files": files,
        });
        match onto {
            Onto::NewBranch(branch) => {
                if let Some(fields) = body.as_object_mut() {
                    fields.insert("new_branch".to_owned(), json!(branch));
                }
            }
            Onto::Tracked => {}
        }
        let answer = self
            .repository
            .change(Method::POST, &["contents"], &body)
            .await?;
        let written: WrittenShape = from_json(&answer)?;
        Ok(written.commit.sha)
    }

    async fn open_pull(&self, branch: &str, title: &str, body: &str) -> Result<Pull, Fault> {
        let ask = json!({
            "title": title,
            "body": body,
            "head": branch,
            "base": self.repository.branch(),
        });
        let answer = self
            .repository
            .change(Method::POST, &["pulls"], &ask)
            .await?;
        self.pull_of(from_json(&answer)?)
    }
}

impl Gitea {
    /// One file for the API, which refuses it if the file is not what it was.
    async fn file_change(&self, change: &Change) -> Result<Value, Fault> {
        let plain = |mode: &str| mode == "100644";
        let entries = change.now.iter().chain(&change.becomes);
        let keeps_mode = match (&change.now, &change.becomes) {
            (Some(now), Some(becomes)) => now.mode == becomes.mode,
            (None, _) | (_, None) => entries.clone().all(|entry| plain(&entry.mode)),
        };
        if !keeps_mode || entries.clone().any(|entry| entry.mode == "120000") {
            return Err(Fault::Status {
                status: 422,
                said: format!("{} is no plain file; revert it by hand", change.path),
            });
        }
        let content = match &change.becomes {
            Some(entry) => {
                let bytes = self.repository.blob(&entry.sha, Purpose::Asked).await?;
                Some(BASE64.encode(&bytes))
            }
            None => None,
        };
        let before = change.now.as_ref().map(|entry| entry.sha.as_str());
        Ok(match (before, content) {
            (Some(sha), Some(content)) => {
                json!({ "operation": "update", "path": change.path, "sha": sha, "content": content })
            }
            (None, Some(content)) => {
                json!({ "operation": "create", "path": change.path, "content": content })
            }
            (sha, None) => json!({ "operation": "delete", "path": change.path, "sha": sha }),
        })
    }
}
