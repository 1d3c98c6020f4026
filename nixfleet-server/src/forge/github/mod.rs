//! GitHub and GitHub Enterprise Server, over the REST API.

mod shapes;

use nixfleet_core::CommitId;
use nixfleet_core::update::{ChangedFile, Check, MergeAnswer, MergeMethod, Mergeable, PrNumber};
use reqwest::Method;
use serde_json::{Value, json};

use super::HeadCommit;
use super::alike::{CommitRef, complete_files, merge_refusal, method_word, read_pull};
use super::budget::Purpose;
use super::client::Dialect;
use super::fault::Fault;
use super::http::{Manners, from_json};
use super::pull::{Pull, PullShape};
use super::repository::Repository;
use super::revert::{Change, Onto};
use shapes::{BranchShape, CheckRuns, CompareShape, FileShape, MergeShape, Statuses};

/// How GitHub wants to be spoken to.
pub(super) const MANNERS: Manners = Manners {
    scheme: "Bearer",
    accept: "application/vnd.github+json",
    headers: &[("x-github-api-version", "2022-11-28")],
};

const MOST_PULL_PAGES: usize = 10;
/// GitHub tells no more than 3,000 files; more than 300 are no update.
const MOST_FILE_PAGES: usize = 3;
const MOST_CHECK_PAGES: usize = 10;

pub(super) struct GitHub {
    repository: Repository,
}

impl GitHub {
    pub fn new(repository: Repository) -> Self {
        Self { repository }
    }

    fn pull_of(&self, shape: PullShape) -> Result<Pull, Fault> {
        let mergeable = mergeable(shape.mergeable, shape.mergeable_state.as_deref());
        shape.read(mergeable, false, self.repository.http().api())
    }

    async fn create(&self, parts: &[&str], body: &Value) -> Result<Vec<u8>, Fault> {
        self.repository.change(Method::POST, parts, body).await
    }
}

impl Dialect for GitHub {
    fn repository(&self) -> &Repository {
        &self.repository
    }

    async fn open_pulls(&self, purpose: Purpose) -> Result<Vec<Pull>, Fault> {
        let branch = self.repository.branch();
        let query = [
            ("state", "open"),
            ("base", branch),
            ("sort", "created"),
            ("direction", "desc"),
            ("per_page", "100"),
        ];
        let first = self.repository.at(&["pulls"], &query);
        let pages: Vec<Vec<PullShape>> = self
            .repository
            .pages(first, MOST_PULL_PAGES, purpose)
            .await?;
        pages
            .into_iter()
            .flatten()
            .filter(|pull| pull.goes_to(branch))
            .map(|pull| self.pull_of(pull))
            .collect()
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
            .at(&["pulls", &name, "files"], &[("per_page", "100")]);
        let pages: Vec<Vec<FileShape>> = self
            .repository
            .pages(first, MOST_FILE_PAGES, purpose)
            .await?;
        let files: Vec<ChangedFile> = pages.into_iter().flatten().map(FileShape::read).collect();
        complete_files(pull, files)
    }

    async fn checks(&self, head: CommitId, purpose: Purpose) -> Result<Vec<Check>, Fault> {
        let name = head.to_string();
        let query = [("per_page", "100")];
        let first = self
            .repository
            .at(&["commits", &name, "check-runs"], &query);
        let runs: Vec<CheckRuns> = self
            .repository
            .pages(first, MOST_CHECK_PAGES, purpose)
            .await?;
        let first = self.repository.at(&["commits", &name, "status"], &query);
        let statuses: Vec<Statuses> = self
            .repository
            .pages(first, MOST_CHECK_PAGES, purpose)
            .await?;
        let mut checks = CheckRuns::read(runs)?;
        checks.extend(Statuses::read(statuses)?);
        Ok(checks)
    }

    async fn merge_base(&self, pull: &Pull, purpose: Purpose) -> Result<CommitId, Fault> {
        let range = format!("{}...{}", self.repository.branch(), pull.told.head);
        // The second page has no files, which may be many.
        let query = [("per_page", "1"), ("page", "2")];
        let shape: CompareShape = self
            .repository
            .get(&["compare", &range], &query, purpose)
            .await?;
        Ok(shape.merge_base_commit.sha)
    }

    async fn merge(&self, number: PrNumber, head: CommitId, method: MergeMethod) -> MergeAnswer {
        let name = number.0.to_string();
        let method = method_word(method);
        let body = json!({ "sha": head, "merge_method": method });
        let answer = self
            .repository
            .change(Method::PUT, &["pulls", &name, "merge"], &body)
            .await;
        let fault = match answer {
            Ok(body) => match from_json::<MergeShape>(&body) {
                Ok(MergeShape { merged: true, sha }) => return MergeAnswer::Done { commit: sha },
                Ok(MergeShape { merged: false, .. }) => {
                    let why = "the forge answered success, but not that it merged";
                    return MergeAnswer::Ambiguous(why.to_owned());
                }
                Err(fault) => fault,
            },
            Err(fault) => fault,
        };
        merge_refusal(fault)
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
        let range = format!("{older}...{younger}");
        let query = [("per_page", "1"), ("page", "2")];
        let shape: CompareShape = self
            .repository
            .get(&["compare", &range], &query, purpose)
            .await?;
        Ok(shape.merge_base_commit.sha == older)
    }

    async fn pull_from(&self, branch: &str) -> Result<Option<Pull>, Fault> {
        let repo = self.repository.repo();
        let head = format!("{}:{branch}", repo.owner());
        let base = self.repository.branch();
        let query = [
            ("state", "all"),
            ("head", head.as_str()),
            ("base", base),
            ("per_page", "100"),
        ];
        let pulls: Vec<PullShape> = self
            .repository
            .get(&["pulls"], &query, Purpose::Asked)
            .await?;
        let ours =
            |pull: &PullShape| pull.goes_to(base) && pull.comes_from(branch, |name| repo.is(name));
        let pulls: Result<Vec<Pull>, Fault> = pulls
            .into_iter()
            .filter(ours)
            .map(|pull| self.pull_of(pull))
            .collect();
        Ok(pulls?.into_iter().max_by_key(|pull| pull.told.number))
    }

    async fn commit(
        &self,
        head: CommitId,
        changes: &[Change],
        message: &str,
        onto: Onto<'_>,
    ) -> Result<CommitId, Fault> {
        let entries: Vec<Value> = changes.iter().map(tree_entry).collect();
        let base = self.tree_of(head).await?;
        let tree = self
            .create(
                &["git", "trees"],
                &json!({ "base_tree": base, "tree": entries }),
            )
            .await?;
        let tree: shapes::ObjectShape = from_json(&tree)?;
        let commit = json!({ "message": message, "tree": tree.sha, "parents": [head] });
        let commit = self.create(&["git", "commits"], &commit).await?;
        let commit: CommitRef = from_json(&commit)?;
        match onto {
            Onto::NewBranch(branch) => {
                let reference = json!({ "ref": format!("refs/heads/{branch}"), "sha": commit.sha });
                self.create(&["git", "refs"], &reference).await?;
            }
            Onto::Tracked => {
                let branch = self.repository.branch();
                // Never forced: history is not rewritten, and a branch that moved is noticed.
                let forwards = json!({ "sha": commit.sha, "force": false });
                let mut parts = vec!["git", "refs", "heads"];
                parts.extend(branch.split('/'));
                self.repository
                    .change(Method::PATCH, &parts, &forwards)
                    .await?;
            }
        }
        Ok(commit.sha)
    }

    async fn open_pull(&self, branch: &str, title: &str, body: &str) -> Result<Pull, Fault> {
        let ask = json!({
            "title": title,
            "body": body,
            "head": branch,
            "base": self.repository.branch(),
        });
        let answer = self.create(&["pulls"], &ask).await?;
        self.pull_of(from_json(&answer)?)
    }
}

impl GitHub {
    async fn tree_of(&self, commit: CommitId) -> Result<String, Fault> {
        let name = commit.to_string();
        let shape: shapes::TreeOf = self
            .repository
            .get(&["git", "commits", &name], &[], Purpose::Asked)
            .await?;
        Ok(shape.tree.sha)
    }
}

/// GitHub has two words for it: the first about conflicts, the second with the rules, too.
fn mergeable(conflict_free: Option<bool>, state: Option<&str>) -> Mergeable {
    match (conflict_free, state) {
        (None, _) | (_, Some("unknown")) => Mergeable::NotComputed,
        (Some(false), _) | (_, Some("dirty" | "blocked" | "behind")) => Mergeable::No,
        (Some(true), _) => Mergeable::Yes,
    }
}

fn tree_entry(change: &Change) -> Value {
    match (&change.becomes, &change.now) {
        (Some(entry), _) => json!({
            "path": change.path, "mode": entry.mode, "type": entry.kind, "sha": entry.sha,
        }),
        (None, now) => {
            let mode = now.as_ref().map_or("100644", |entry| entry.mode.as_str());
            json!({ "path": change.path, "mode": mode, "type": "blob", "sha": null })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mergeable_knows_the_words_that_github_uses() {
        for (flag, state, expected) in [
            (None, None, Mergeable::NotComputed),
            (None, Some("unknown"), Mergeable::NotComputed),
            (Some(true), Some("unknown"), Mergeable::NotComputed),
            (Some(true), Some("clean"), Mergeable::Yes),
            (Some(true), Some("unstable"), Mergeable::Yes),
            (Some(true), Some("has_hooks"), Mergeable::Yes),
            (Some(true), Some("draft"), Mergeable::Yes),
            (Some(true), None, Mergeable::Yes),
            (Some(true), Some("blocked"), Mergeable::No),
            (Some(true), Some("behind"), Mergeable::No),
            (Some(false), Some("dirty"), Mergeable::No),
            (Some(false), Some("clean"), Mergeable::No),
        ] {
            assert_eq!(mergeable(flag, state), expected, "{flag:?} {state:?}");
        }
    }
}
