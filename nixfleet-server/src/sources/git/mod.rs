//! A git remote as the source of the desired state: a bare mirror, kept current by `git fetch`,
//! read at one commit at a time. Nothing is ever checked out.

mod command;
mod graph;
mod history;
mod mirror;
mod objects;
mod trouble;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nixfleet_core::desired::{FETCH_BUDGET, RemoteCause, RemoteHistory, Snapshot, Unavailable};
use nixfleet_core::{CommitId, OffBranch, lock_hash};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use history::HistoryReader;
use mirror::{Mirror, ObjectFormat};
use trouble::Trouble;

use super::Fetched;
use super::remote::{Branch, Remote};

/// Pauses before the second and the third attempt of one fetch.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];
/// How often one fetch makes the mirror anew: for the other hash algorithm, and for damage.
const REBUILDS: u8 = 2;
/// How often the history of one head is tried before it is left alone.
const HISTORY_TRIES: u8 = 3;

/// The bounds within which a git source works.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One fetch answers within this time.
    pub window: Duration,
    /// A transfer is given up when nothing is heard for this long.
    pub silence: Duration,
    /// A transfer that goes on in the background is given up after this long.
    pub transfer: Duration,
    /// At least so long between two re-creations of the mirror because of damage.
    pub rebuild_pause: Duration,
    /// The most commits that are listed.
    pub commits: usize,
    /// The most versions of `flake.lock` that are read.
    pub lock_versions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window: FETCH_BUDGET,
            silence: Duration::from_secs(5),
            transfer: Duration::from_secs(600),
            rebuild_pause: Duration::from_secs(60),
            commits: 50_000,
            lock_versions: 500,
        }
    }
}

/// A branch of a git remote.
#[derive(Debug)]
pub struct GitSource {
    mirror: Arc<Mirror>,
    branch: Branch,
    limits: Limits,
    history: HistoryReader,
    transfer: Option<AbortOnDropHandle<Result<(), Trouble>>>,
    upkeep: Option<AbortOnDropHandle<()>>,
    /// The last reading and what is needed to judge the next one.
    last: Option<Last>,
    /// The head of the mirror as the last run of the server left it.
    previous: Option<CommitId>,
    format: ObjectFormat,
    prepared: bool,
    rebuilt: Option<Instant>,
    /// The history could not be read although the head could.
    history_damaged: bool,
}

#[derive(Debug)]
struct Last {
    head: CommitId,
    fetched: Fetched,
    history_tries: u8,
}

impl GitSource {
    /// A source that mirrors `remote` in `folder`; nothing is read yet.
    #[must_use]
    pub fn new(remote: Remote, branch: Branch, folder: PathBuf, limits: Limits) -> Self {
        Self::with_program(Path::new("git"), remote, branch, folder, limits)
    }

    /// The same with another git program than the one found by name.
    #[must_use]
    pub fn with_program(
        program: &Path,
        remote: Remote,
        branch: Branch,
        folder: PathBuf,
        limits: Limits,
    ) -> Self {
        Self {
            mirror: Arc::new(Mirror::new(program, folder, remote, limits)),
            branch,
            limits,
            history: HistoryReader::default(),
            transfer: None,
            upkeep: None,
            last: None,
            previous: None,
            format: ObjectFormat::Sha1,
            prepared: false,
            rebuilt: None,
            history_damaged: false,
        }
    }

    /// A reader of the mirror for questions beside the polling.
    #[must_use]
    pub fn reader(&self) -> MirrorReader {
        MirrorReader(Arc::clone(&self.mirror))
    }

    /// Reads the remote once, in up to three attempts within the window.
    ///
    /// A transfer that is still moving when the window ends is a failure of this fetch, but goes
    /// on in the background, so that a large first copy succeeds in the end.
    ///
    /// # Errors
    /// Why the remote could not be read.
    pub async fn fetch(&mut self) -> Result<Fetched, Unavailable> {
        let end = Instant::now() + self.limits.window;
        let mut pauses = PAUSES.into_iter();
        let mut rebuilds = REBUILDS;
        loop {
            let trouble = match self.attempt(end).await {
                Ok(fetched) => return Ok(fetched),
                Err(trouble) => trouble,
            };
            if rebuilds > 0 && self.may_rebuild(&trouble) {
                rebuilds -= 1;
                self.discard().await.map_err(Trouble::into_unavailable)?;
                continue;
            }
            let pause = pauses.next().filter(|_| trouble.is_transient());
            match pause.map(|pause| Instant::now() + pause) {
                Some(next) if next < end => tokio::time::sleep_until(next).await,
                Some(_) | None => return Err(trouble.into_unavailable()),
            }
        }
    }

    /// Damage is answered with a new mirror, but not again and again: if it is the remote that is
    /// damaged, a new copy does not help.
    fn may_rebuild(&mut self, trouble: &Trouble) -> bool {
        match trouble {
            Trouble::Remote(_) => return false,
            Trouble::Damaged(_) => {}
            Trouble::OtherHash => {
                self.format = match self.format {
                    ObjectFormat::Sha1 => ObjectFormat::Sha256,
                    ObjectFormat::Sha256 => ObjectFormat::Sha1,
                };
            }
        }
        let now = Instant::now();
        let paused = |last: Instant| now.duration_since(last) < self.limits.rebuild_pause;
        if self.rebuilt.is_some_and(paused) {
            return false;
        }
        self.rebuilt = Some(now);
        true
    }

    async fn discard(&mut self) -> Result<(), Trouble> {
        self.prepared = false;
        self.mirror.discard().await
    }

    async fn attempt(&mut self, end: Instant) -> Result<Fetched, Trouble> {
        if std::mem::take(&mut self.history_damaged) && self.may_rebuild(&Trouble::damaged("")) {
            self.discard().await?;
        }
        if !self.prepared {
            self.mirror.prepare(self.format).await?;
            self.prepared = true;
            if self.last.is_none() && self.previous.is_none() {
                self.previous = self.mirror.head(&self.branch).await.ok();
            }
        }
        self.transfer(end).await?;
        let head = self.mirror.head(&self.branch).await?;
        let unchanged = self.last.as_ref().is_some_and(|last| last.head == head);
        if unchanged {
            self.retry_history(end).await;
        } else {
            self.read(head, end).await?;
            self.tidy();
        }
        let last = self.last.as_ref();
        last.map(|last| last.fetched.clone())
            .ok_or_else(|| Trouble::damaged("the head was not read"))
    }

    /// Brings the mirror up to date. What an older transfer learnt is too old to be told as news,
    /// so after it has ended there is another one.
    async fn transfer(&mut self, end: Instant) -> Result<(), Trouble> {
        if self.transfer.is_some() {
            self.finish_transfer(end).await?;
        }
        let mirror = Arc::clone(&self.mirror);
        let transfer = tokio::spawn(async move { mirror.update().await });
        self.transfer = Some(AbortOnDropHandle::new(transfer));
        self.finish_transfer(end).await
    }

    /// Waits for the transfer; one that is not done at `end` is kept for the next fetch.
    async fn finish_transfer(&mut self, end: Instant) -> Result<(), Trouble> {
        let Some(transfer) = &mut self.transfer else {
            return Ok(());
        };
        let Ok(outcome) = timeout_at(end, transfer).await else {
            return Err(Trouble::remote(
                RemoteCause::TimedOut,
                format!(
                    "the transfer did not finish in {} s and goes on in the background",
                    self.limits.window.as_secs()
                ),
            ));
        };
        self.transfer = None;
        outcome.unwrap_or_else(|_| {
            let detail = "the transfer was broken off";
            Err(Trouble::remote(RemoteCause::MirrorFailed, detail))
        })
    }

    /// Reads everything by the id of the commit, so that it is one snapshot of one commit.
    async fn read(&mut self, head: CommitId, end: Instant) -> Result<(), Trouble> {
        let previous = self.last.as_ref().map(|last| last.head).or(self.previous);
        let rewritten = match previous {
            Some(previous) if previous != head => !self.mirror.is_ancestor(previous, head).await?,
            Some(_) | None => false,
        };
        let (text, lock) = objects::commit_and_lock(&self.mirror, head).await?;
        let history = self.read_history(head, end).await;
        // Bytes that can be read have a hash, which is all that is needed for a colour, even if
        // they are no lock: whoever explains them parses them and says what is wrong. Only bytes
        // that cannot be read fail the snapshot (spec 05, "Lock truth").
        let snapshot = Snapshot {
            commit: Ok(head),
            lock: lock.as_deref().map(lock_hash).map_err(Clone::clone),
            subject: text.subject,
            commit_time: text.time,
            branch: Some(self.branch.to_string()),
            rewritten,
        };
        let fetched = Fetched {
            snapshot,
            lock: lock.ok().map(Arc::from),
            history,
        };
        self.last = Some(Last {
            head,
            fetched,
            history_tries: 1,
        });
        Ok(())
    }

    /// A history only explains: without one the snapshot is still good.
    async fn read_history(&mut self, head: CommitId, end: Instant) -> Option<Arc<RemoteHistory>> {
        let commits = self
            .history
            .commits(&self.mirror, head, self.limits.commits, end);
        let commits = commits.await;
        let locks = self
            .history
            .locks(&self.mirror, head, self.limits.lock_versions, end);
        match (commits, locks.await) {
            (Ok(commits), Ok(locks)) => Some(Arc::new(RemoteHistory { commits, locks })),
            (Err(trouble), _) | (_, Err(trouble)) => {
                self.history_damaged = matches!(trouble, Trouble::Damaged(_));
                let why = trouble.into_unavailable();
                tracing::warn!(
                    detail = why.detail,
                    "the history of the branch was not read"
                );
                None
            }
        }
    }

    async fn retry_history(&mut self, end: Instant) {
        let Some(last) = &mut self.last else { return };
        if last.fetched.history.is_some() || last.history_tries >= HISTORY_TRIES {
            return;
        }
        last.history_tries += 1;
        let head = last.head;
        let history = self.read_history(head, end).await;
        if let Some(last) = &mut self.last {
            last.fetched.history = history;
        }
    }

    /// Packs the mirror now and then, beside the polling.
    fn tidy(&mut self) {
        if self.upkeep.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let mirror = Arc::clone(&self.mirror);
        let upkeep = tokio::spawn(async move { mirror.tidy().await });
        self.upkeep = Some(AbortOnDropHandle::new(upkeep));
    }
}

/// Answers questions about commits from the mirror, as it is.
#[derive(Clone, Debug)]
pub struct MirrorReader(Arc<Mirror>);

impl MirrorReader {
    /// How each commit compares with `head`; commits that the mirror does not hold are left out.
    ///
    /// # Errors
    /// Why the mirror could not be read.
    pub async fn relations(
        &self,
        head: CommitId,
        commits: &[CommitId],
    ) -> Result<BTreeMap<CommitId, OffBranch>, Unavailable> {
        let mut relations = BTreeMap::new();
        for &commit in commits {
            let found = history::beside(&self.0, head, commit).await;
            if let Some(relation) = found.map_err(Trouble::into_unavailable)? {
                relations.insert(commit, relation);
            }
        }
        Ok(relations)
    }
}
