//! Reverting a merge (law E9): exactly one commit that gives the files of the merge their earlier
//! content, on top of what is there now. Asked twice, the first one is found.

use std::collections::BTreeMap;

use nixfleet_core::CommitId;
use nixfleet_core::update::{PrNumber, PrState, RevertAnswer, RevertKind};

use super::budget::Purpose;
use super::client::Dialect;
use super::fault::Fault;
use super::http::one_line;
use super::pull::Pull;
use super::repository::Entry;

/// The most files a merge may have changed.
const MOST_FILES: usize = 50;
/// How often the commit is made anew because the branch moved meanwhile.
const TRIES: usize = 3;

/// One file and what it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Its path.
    pub path: String,
    /// What is there now.
    pub now: Option<Entry>,
    /// What it becomes; none removes it.
    pub becomes: Option<Entry>,
}

/// Where a commit goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Onto<'a> {
    /// A branch that is made for it.
    NewBranch(&'a str),
    /// The tracked branch.
    Tracked,
}

/// Why there is no revert.
enum Why {
    /// It cannot be.
    NotPossible(String),
    /// The forge did not answer a question before anything was changed.
    Unread(Fault),
    /// The forge did not answer a change.
    Unwritten(Fault),
}

/// What is at each path of a commit.
type Files = BTreeMap<String, Option<Entry>>;

/// Reverts a merge, or finds the revert that was made before.
pub(super) async fn revert<D: Dialect>(
    dialect: &D,
    number: PrNumber,
    title: &str,
    commit: CommitId,
    kind: RevertKind,
) -> RevertAnswer {
    let work = Work {
        dialect,
        number,
        title: format!("Revert \"{}\" ({number})", one_line(title, 200)),
        commit,
    };
    let done = match kind {
        RevertKind::PullRequest => work.by_pull().await,
        RevertKind::Commit => work.by_commit().await,
    };
    done.unwrap_or_else(|why| why.into_answer())
}

struct Work<'a, D> {
    dialect: &'a D,
    number: PrNumber,
    title: String,
    commit: CommitId,
}

impl<D: Dialect> Work<'_, D> {
    fn words(&self) -> String {
        format!("This reverts commit {}.", self.commit)
    }

    fn message(&self) -> String {
        format!("{}\n\n{}\n", self.title, self.words())
    }

    async fn by_pull(&self) -> Result<RevertAnswer, Why> {
        let branch = format!("nixfleet/revert-{}-{}", self.number.0, self.commit.short());
        let earlier = self.dialect.pull_from(&branch).await;
        if let Some(pull) = earlier.map_err(Why::Unread)? {
            return found(&pull);
        }
        match self.dialect.branch(&branch, Purpose::Asked).await {
            // Made by an earlier call that did not get further.
            Ok(head) if head.message.contains(&self.words()) => {}
            Ok(_) => {
                let why = format!("there is a branch {branch} with something else: remove it");
                return Err(Why::NotPossible(why));
            }
            Err(fault) if fault.is_status(404) => {
                self.make(Onto::NewBranch(&branch)).await?;
            }
            Err(fault) => return Err(Why::Unread(fault)),
        }
        let body = format!(
            "{}\n\nIt gives the files of {} the content they had before.",
            self.words(),
            self.number
        );
        match self.dialect.open_pull(&branch, &self.title, &body).await {
            Ok(pull) => found(&pull),
            Err(fault) if fault.is_status(422) || fault.is_status(409) => {
                let opened = self.dialect.pull_from(&branch).await;
                match opened.map_err(Why::Unwritten)? {
                    Some(pull) => found(&pull),
                    None => Err(Why::Unwritten(fault)),
                }
            }
            Err(fault) => Err(Why::Unwritten(fault)),
        }
    }

    async fn by_commit(&self) -> Result<RevertAnswer, Why> {
        let earlier = self.dialect.repository().commit_saying(&self.words()).await;
        if let Some(commit) = earlier.map_err(Why::Unread)? {
            return Ok(RevertAnswer::Committed { commit });
        }
        let commit = self.make(Onto::Tracked).await?;
        Ok(RevertAnswer::Committed { commit })
    }

    /// Makes the commit.
    async fn make(&self, onto: Onto<'_>) -> Result<CommitId, Why> {
        let (before, after) = self.what_it_did().await?;
        for _ in 0..TRIES {
            let tracked = self.dialect.repository().branch();
            let head = self.dialect.branch(tracked, Purpose::Asked).await;
            let head = head.map_err(Why::Unread)?.commit;
            let now = self.files(head, before.keys()).await?;
            let changes = plan(&before, &after, &now).map_err(Why::NotPossible)?;
            let message = self.message();
            match self.dialect.commit(head, &changes, &message, onto).await {
                Ok(commit) => return Ok(commit),
                Err(fault) if has_moved(&fault) => {}
                Err(fault) => return Err(Why::Unwritten(fault)),
            }
        }
        let why = "the branch moves all the time; try again later";
        Err(Why::NotPossible(why.to_owned()))
    }

    /// The files before and after the merge.
    async fn what_it_did(&self) -> Result<(Files, Files), Why> {
        let pull = match self.dialect.pull(self.number, Purpose::Asked).await {
            Ok(pull) => pull,
            Err(fault) if fault.is_status(404) => {
                let why = format!("there is no pull request {}", self.number);
                return Err(Why::NotPossible(why));
            }
            Err(fault) => return Err(Why::Unread(fault)),
        };
        match pull.told.state {
            PrState::Merged { commit } if commit.is_none_or(|commit| commit == self.commit) => {}
            PrState::Merged { .. } => {
                let why = format!("{} was merged into another commit", self.number);
                return Err(Why::NotPossible(why));
            }
            PrState::Open | PrState::Closed => {
                let why = format!("{} is not merged", self.number);
                return Err(Why::NotPossible(why));
            }
        }
        let files = self.dialect.files(&pull, Purpose::Asked).await;
        let files = files.map_err(Why::Unread)?;
        let mut paths: Vec<String> = files
            .into_iter()
            .flat_map(|file| [Some(file.path), file.previous_path])
            .flatten()
            .collect();
        paths.sort();
        paths.dedup();
        if paths.is_empty() || paths.len() > MOST_FILES {
            let why = format!("it changed {} files; revert it by hand", paths.len());
            return Err(Why::NotPossible(why));
        }
        let parents = self.dialect.repository().parents(self.commit).await;
        let parents = parents.map_err(Why::Unread)?;
        let Some(&parent) = parents.first() else {
            let why = "the merge commit has no parent";
            return Err(Why::NotPossible(why.to_owned()));
        };
        let before = self.files(parent, &paths).await?;
        let after = self.files(self.commit, &paths).await?;
        if parents.len() == 1 && pull.commits != Some(1) {
            self.is_one_commit(&pull, &before).await?;
        }
        Ok((before, after))
    }

    /// A merge by rebase leaves several commits of which only the last is named. It is told from
    /// one by squashing by what was there before.
    async fn is_one_commit(&self, pull: &Pull, before: &Files) -> Result<(), Why> {
        let base = self.dialect.merge_base(pull, Purpose::Asked).await;
        let left = self
            .files(base.map_err(Why::Unread)?, before.keys())
            .await?;
        if &left == before {
            return Ok(());
        }
        let why = "it may have been merged as several commits; revert it by hand";
        Err(Why::NotPossible(why.to_owned()))
    }

    async fn files(
        &self,
        commit: CommitId,
        paths: impl IntoIterator<Item = &String>,
    ) -> Result<Files, Why> {
        let mut files = Files::new();
        for path in paths {
            let entry = self
                .dialect
                .repository()
                .entry(commit, path, Purpose::Asked)
                .await
                .map_err(Why::Unread)?;
            files.insert(path.clone(), entry);
        }
        Ok(files)
    }
}

/// What is to be changed so that the files are as before, if nobody changed them since.
fn plan(before: &Files, after: &Files, now: &Files) -> Result<Vec<Change>, String> {
    if before == after {
        return Err("the merge changed nothing that can be taken back".to_owned());
    }
    if now == before {
        return Err("it is reverted already: its files are as before".to_owned());
    }
    let mut changes = Vec::new();
    for (path, earlier) in before {
        let (merged, present) = (after.get(path), now.get(path));
        if merged != present {
            return Err(format!("{path} was changed since; revert it by hand"));
        }
        let folder = |entry: &Option<Entry>| entry.as_ref().is_some_and(|e| e.kind != "blob");
        if folder(earlier) || merged.is_some_and(folder) {
            return Err(format!("{path} is no file; revert it by hand"));
        }
        if merged != Some(earlier) {
            changes.push(Change {
                path: path.clone(),
                now: merged.cloned().flatten(),
                becomes: earlier.clone(),
            });
        }
    }
    Ok(changes)
}

fn found(pull: &Pull) -> Result<RevertAnswer, Why> {
    match pull.told.state {
        PrState::Open | PrState::Merged { .. } => Ok(RevertAnswer::Opened {
            number: pull.told.number,
            url: pull.told.url.clone(),
        }),
        PrState::Closed => Err(Why::NotPossible(format!(
            "{} reverts it and was closed: open it again",
            pull.told.number
        ))),
    }
}

/// Whether the branch moved between reading and writing.
fn has_moved(fault: &Fault) -> bool {
    match fault {
        Fault::Status {
            status: 409 | 422,
            said,
        } => {
            let said = said.to_lowercase();
            said.contains("fast forward") || said.contains("fast-forward")
        }
        Fault::Status { .. }
        | Fault::TooEarly { .. }
        | Fault::NoConnection { .. }
        | Fault::TimedOut(_)
        | Fault::BrokenOff(_)
        | Fault::Limited { .. }
        | Fault::Redirected(_)
        | Fault::Malformed(_) => false,
    }
}

impl Why {
    fn into_answer(self) -> RevertAnswer {
        match self {
            Why::NotPossible(why) => RevertAnswer::NotPossible(why),
            Why::Unread(fault) => RevertAnswer::Refused(fault.failure()),
            Why::Unwritten(fault) if !fault.nothing_was_done() => {
                RevertAnswer::Ambiguous(fault.told())
            }
            Why::Unwritten(fault) => match fault {
                Fault::Status { status, .. } if status != 401 => {
                    RevertAnswer::NotPossible(fault.told())
                }
                Fault::Status { .. }
                | Fault::TooEarly { .. }
                | Fault::NoConnection { .. }
                | Fault::Limited { .. }
                | Fault::Redirected(_)
                | Fault::TimedOut(_)
                | Fault::BrokenOff(_)
                | Fault::Malformed(_) => RevertAnswer::Refused(fault.failure()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(entries: &[(&str, Option<&str>)]) -> Files {
        let entry = |path: &str, sha: &str| Entry {
            path: path.to_owned(),
            mode: "100644".to_owned(),
            kind: "blob".to_owned(),
            sha: sha.to_owned(),
        };
        entries
            .iter()
            .map(|(path, sha)| ((*path).to_owned(), sha.map(|sha| entry(path, sha))))
            .collect()
    }

    #[test]
    fn e09_files_get_their_earlier_content_or_nothing_happens() {
        let before = files(&[("a", Some("1")), ("b", None), ("c", Some("3"))]);
        let after = files(&[("a", Some("2")), ("b", Some("5")), ("c", None)]);
        let changes = plan(&before, &after, &after).unwrap();
        let short: Vec<_> = changes
            .iter()
            .map(|change| {
                (
                    change.path.as_str(),
                    change.becomes.as_ref().map(|e| e.sha.as_str()),
                )
            })
            .collect();
        assert_eq!(short, [("a", Some("1")), ("b", None), ("c", Some("3"))]);

        assert!(
            plan(&before, &after, &before)
                .unwrap_err()
                .contains("already")
        );
        assert!(plan(&before, &before, &before).is_err());
        let moved = files(&[("a", Some("9")), ("b", Some("5")), ("c", None)]);
        assert!(
            plan(&before, &after, &moved)
                .unwrap_err()
                .contains("a was changed")
        );
    }
}
