//! The past of the tracked branch: its commits, and the versions of `flake.lock` on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use nixfleet_core::lock::{FlakeLock, LockHistory, LockSummary, LockVersion};
use nixfleet_core::{CommitHistory, CommitId, LockHash, OffBranch, Timestamp, lock_hash};
use tokio::time::Instant;

use super::graph;
use super::mirror::Mirror;
use super::objects;
use super::trouble::Trouble;

/// How many versions of `flake.lock` are read at a time.
const VERSIONS_AT_ONCE: usize = 32;
/// The most that so many versions may weigh together.
const VERSIONS_BYTES: usize = 64 << 20;

/// What is kept of one version that was read, so that it is never read again.
type Read = (LockHash, Option<Arc<LockSummary>>);

/// Reads histories, remembering the versions of `flake.lock` it has read.
#[derive(Debug, Default)]
pub(super) struct HistoryReader {
    known: BTreeMap<CommitId, Option<Read>>,
}

impl HistoryReader {
    /// The commits reachable from `head`, in topological order.
    pub async fn commits(
        &self,
        mirror: &Mirror,
        head: CommitId,
        limit: usize,
        end: Instant,
    ) -> Result<CommitHistory, Trouble> {
        let head = head.to_string();
        let count = format!("--max-count={limit}");
        let arguments = ["rev-list", "--topo-order", "--parents", &count, &head];
        // A line holds a commit and its parents, usually one.
        let bounds = mirror.within(remaining(end), limit.saturating_mul(400).max(1 << 16));
        let output = mirror.read(&arguments, None, bounds).await?;
        let mut rows: Vec<(CommitId, Vec<CommitId>)> = Vec::new();
        for line in String::from_utf8_lossy(&output).lines() {
            let ids: Result<Vec<CommitId>, _> = line.split(' ').map(str::parse).collect();
            match ids.as_deref() {
                Ok([commit, parents @ ..]) => rows.push((*commit, parents.to_vec())),
                Ok([]) | Err(_) => return Err(Trouble::damaged("git listed no commit")),
            }
        }
        let reachable = graph::reachable(&rows);
        let commits = rows.into_iter().map(|(commit, _)| commit).collect();
        Ok(CommitHistory::new(commits).with_reachable(reachable.unwrap_or_default()))
    }

    /// The versions of `flake.lock` that led to `head`.
    ///
    /// Every commit that made a difference is listed, also on branches that were merged, but a
    /// merge that only brought such a commit in is not: one change is one version.
    pub async fn locks(
        &mut self,
        mirror: &Mirror,
        head: CommitId,
        limit: usize,
        end: Instant,
    ) -> Result<LockHistory, Trouble> {
        let commits = touching(mirror, head, limit, end).await?;
        let unread: Vec<CommitId> = commits
            .iter()
            .map(|(commit, _)| *commit)
            .filter(|commit| !self.known.contains_key(commit))
            .collect();
        for chunk in unread.chunks(VERSIONS_AT_ONCE) {
            let bounds = mirror.within(remaining(end), VERSIONS_BYTES);
            let contents = objects::locks(mirror, chunk, bounds).await?;
            let read = tokio::task::spawn_blocking(move || digest(contents)).await;
            let read = read.map_err(|_| Trouble::damaged("reading flake.lock was given up"))?;
            self.known.extend(chunk.iter().copied().zip(read));
        }
        let listed = |commit: &CommitId| commits.iter().any(|(other, _)| other == commit);
        self.known.retain(|commit, _| listed(commit));
        let mut versions: Vec<LockVersion> = Vec::with_capacity(commits.len());
        for (commit, time) in commits {
            let Some(Some((hash, summary))) = self.known.get(&commit) else {
                continue;
            };
            if versions.last().is_some_and(|newer| newer.hash == *hash) {
                versions.pop();
            }
            versions.push(LockVersion {
                commit,
                hash: *hash,
                time,
                summary: summary.clone(),
            });
        }
        Ok(LockHistory::new(versions))
    }
}

/// How a commit that is not on the branch compares with the head; `None` if the mirror does not hold it.
pub(super) async fn beside(
    mirror: &Mirror,
    head: CommitId,
    commit: CommitId,
) -> Result<Option<OffBranch>, Trouble> {
    let held = format!("{commit}^{{commit}}");
    let probe = ["cat-file", "-e", &held];
    if mirror.read(&probe, None, mirror.quick()).await.is_err() {
        return Ok(None);
    }
    let range = format!("{commit}...{head}");
    let arguments = ["rev-list", "--left-right", "--count", &range];
    let output = mirror.read(&arguments, None, mirror.quick()).await?;
    let text = String::from_utf8_lossy(&output);
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(ahead)), Some(Ok(behind))) => Ok(Some(OffBranch { ahead, behind })),
        (_, _) => Err(Trouble::damaged("git did not count the commits")),
    }
}

/// The commits that changed `flake.lock`, newest first, with their times.
async fn touching(
    mirror: &Mirror,
    head: CommitId,
    limit: usize,
    end: Instant,
) -> Result<Vec<(CommitId, Timestamp)>, Trouble> {
    let head = head.to_string();
    let count = format!("--max-count={limit}");
    #[rustfmt::skip]
    let arguments = [
        "rev-list", "--simplify-merges", "--topo-order", "--timestamp", &count, &head,
        "--", "flake.lock",
    ];
    let bounds = mirror.within(remaining(end), limit.saturating_mul(100).max(1 << 16));
    let output = mirror.read(&arguments, None, bounds).await?;
    String::from_utf8_lossy(&output)
        .lines()
        .map(|line| {
            let (time, commit) = line.split_once(' ')?;
            let time = Timestamp::from_seconds(time.parse().ok()?);
            Some((commit.parse().ok()?, time))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| Trouble::damaged("git listed no commit"))
}

/// Off the event loop, because hashing and parsing many locks takes a while.
fn digest(contents: Vec<Option<Vec<u8>>>) -> Vec<Option<Read>> {
    let read = |content: Vec<u8>| {
        let summary = FlakeLock::parse(&content)
            .ok()
            .map(|lock| Arc::new(lock.summary()));
        (lock_hash(&content), summary)
    };
    contents
        .into_iter()
        .map(|content| content.map(read))
        .collect()
}

fn remaining(end: Instant) -> std::time::Duration {
    end.saturating_duration_since(Instant::now())
}
