//! What every kind of forge has in common: how its calls are made of single requests.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use nixfleet_core::update::{
    ChangedFile, Check, Containment, ForgeAnswer, ForgeCall, ForgeFailure, MergeAnswer,
    MergeMethod, Mergeable, PrNumber, PrState, PullRequest, ReadOrNot, RevertAnswer,
};
use nixfleet_core::{CommitId, lock_hash};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::budget::Purpose;
use super::fault::Fault;
use super::pull::Pull;
use super::repository::Repository;
use super::revert::{self, Change, Onto};
use super::{Forge, HeadCommit, Patience};

/// The most pull requests that are read completely when all are listed.
const COMPLETE_AT_MOST: usize = 20;
/// How long a call that only reads may take.
const READING: Duration = Duration::from_secs(150);
/// How long a revert may take.
const REVERTING: Duration = Duration::from_secs(240);
/// How long a call may wait for the ones before it.
const QUEUEING: Duration = Duration::from_secs(300);
/// Titles with this are worth reading completely, as is the label.
const TITLE_SIGN: &str = "flake.lock";

/// What a kind of forge does in its own way.
pub(super) trait Dialect: Send + Sync + 'static {
    /// What it does as the others do.
    fn repository(&self) -> &Repository;

    /// Every open pull request on the tracked branch, newest first, as the list tells them.
    fn open_pulls(&self, purpose: Purpose)
    -> impl Future<Output = Result<Vec<Pull>, Fault>> + Send;

    /// One pull request, as far as one request tells it.
    fn pull(
        &self,
        number: PrNumber,
        purpose: Purpose,
    ) -> impl Future<Output = Result<Pull, Fault>> + Send;

    /// Every file of a pull request.
    fn files(
        &self,
        pull: &Pull,
        purpose: Purpose,
    ) -> impl Future<Output = Result<Vec<ChangedFile>, Fault>> + Send;

    /// Every check on a commit.
    fn checks(
        &self,
        head: CommitId,
        purpose: Purpose,
    ) -> impl Future<Output = Result<Vec<Check>, Fault>> + Send;

    /// Where a pull request left the tracked branch.
    fn merge_base(
        &self,
        pull: &Pull,
        purpose: Purpose,
    ) -> impl Future<Output = Result<CommitId, Fault>> + Send;

    /// Merges, once.
    fn merge(
        &self,
        number: PrNumber,
        head: CommitId,
        method: MergeMethod,
    ) -> impl Future<Output = MergeAnswer> + Send;

    /// The head of a branch.
    fn branch(
        &self,
        name: &str,
        purpose: Purpose,
    ) -> impl Future<Output = Result<HeadCommit, Fault>> + Send;

    /// Whether `older` is an ancestor of `younger`, or the same.
    fn is_ancestor(
        &self,
        older: CommitId,
        younger: CommitId,
        purpose: Purpose,
    ) -> impl Future<Output = Result<bool, Fault>> + Send;

    /// The newest pull request from a branch of the repository to the tracked one.
    fn pull_from(&self, branch: &str) -> impl Future<Output = Result<Option<Pull>, Fault>> + Send;

    /// Makes one commit of these changes on top of `head`, without rewriting anything.
    fn commit(
        &self,
        head: CommitId,
        changes: &[Change],
        message: &str,
        onto: Onto<'_>,
    ) -> impl Future<Output = Result<CommitId, Fault>> + Send;

    /// Opens a pull request from a branch of the repository to the tracked one.
    fn open_pull(
        &self,
        branch: &str,
        title: &str,
        body: &str,
    ) -> impl Future<Output = Result<Pull, Fault>> + Send;
}

/// A client of a forge.
pub(super) struct Client<D> {
    dialect: D,
    label: String,
    patience: Patience,
    /// Calls come one after the other; forges ask for that.
    lane: Mutex<()>,
}

impl<D: Dialect> fmt::Debug for Client<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Forge({})", self.dialect.repository().shown())
    }
}

impl<D: Dialect> Forge for Client<D> {
    fn call(&self, call: ForgeCall) -> BoxFuture<'_, ForgeAnswer> {
        async move {
            let Ok(_turn) = timeout(QUEUEING, self.lane.lock()).await else {
                return not_asked(&call);
            };
            match call {
                ForgeCall::List => {
                    let listed = timeout(READING, self.list()).await;
                    ForgeAnswer::Listed(in_time(listed))
                }
                ForgeCall::Read { number } => {
                    let read = timeout(READING, self.read(number)).await;
                    ForgeAnswer::Read(number, in_time(read))
                }
                ForgeCall::Contains { commit, head } => {
                    let answer = in_time(timeout(READING, self.contains(commit, head)).await);
                    ForgeAnswer::Contained {
                        commit,
                        head,
                        answer,
                    }
                }
                ForgeCall::Merge {
                    number,
                    head,
                    method,
                } => ForgeAnswer::Merged(number, self.dialect.merge(number, head, method).await),
                ForgeCall::Revert {
                    number,
                    title,
                    commit,
                    kind,
                } => {
                    let revert = revert::revert(&self.dialect, number, &title, commit, kind);
                    let answer = timeout(REVERTING, revert).await;
                    let slow = || RevertAnswer::Ambiguous("the forge took too long".to_owned());
                    ForgeAnswer::Reverted(number, answer.unwrap_or_else(|_| slow()))
                }
            }
        }
        .boxed()
    }

    fn head(&self) -> BoxFuture<'_, Result<HeadCommit, Fault>> {
        let branch = self.dialect.repository().branch();
        self.dialect.branch(branch, Purpose::Polling).boxed()
    }

    fn lock_at(&self, commit: CommitId) -> BoxFuture<'_, Result<Option<Vec<u8>>, Fault>> {
        let repository = self.dialect.repository();
        repository.lock_at(commit, Purpose::Polling).boxed()
    }

    fn is_ancestor(
        &self,
        older: CommitId,
        younger: CommitId,
    ) -> BoxFuture<'_, Result<bool, Fault>> {
        self.dialect
            .is_ancestor(older, younger, Purpose::Polling)
            .boxed()
    }

    fn try_credentials(&self) -> BoxFuture<'_, ()> {
        async move {
            if let Err(fault) = self.dialect.repository().try_changing().await {
                tracing::debug!(
                    why = fault.told(),
                    "the token for changes was tried in vain"
                );
            }
        }
        .boxed()
    }

    fn shown(&self) -> String {
        self.dialect.repository().shown()
    }
}

impl<D: Dialect> Client<D> {
    /// A client that reads pull requests completely if they have `label`.
    pub fn new(dialect: D, label: String, patience: Patience) -> Self {
        Self {
            dialect,
            label,
            patience,
            lane: Mutex::default(),
        }
    }

    async fn list(&self) -> Result<Vec<PullRequest>, Fault> {
        let pulls = self.dialect.open_pulls(Purpose::Polling).await?;
        let mut listed = Vec::with_capacity(pulls.len());
        let mut completed = 0;
        for pull in pulls {
            if completed == COMPLETE_AT_MOST || !self.is_worth_reading(&pull.told) {
                listed.push(pull.told);
                continue;
            }
            completed += 1;
            let number = pull.told.number;
            match self.dialect.pull(number, Purpose::Polling).await {
                // Closed since it was listed.
                Ok(fresh) if fresh.told.state != PrState::Open => {}
                Ok(fresh) => listed.push(self.complete(fresh, Purpose::Polling).await),
                Err(fault) => {
                    listed.push(pull.unread(&fault.told()));
                }
            }
        }
        Ok(listed)
    }

    /// Only what to spend requests on; what such a pull request is good for the core decides.
    fn is_worth_reading(&self, pull: &PullRequest) -> bool {
        pull.labels.contains(&self.label) || pull.title.contains(TITLE_SIGN)
    }

    async fn read(&self, number: PrNumber) -> Result<Option<Box<PullRequest>>, Fault> {
        match self.dialect.pull(number, Purpose::Asked).await {
            Ok(pull) => Ok(Some(Box::new(self.complete(pull, Purpose::Asked).await))),
            Err(fault) if fault.is_status(404) => {
                // A repository that the token may not see looks the same; so look at that.
                self.dialect.repository().is_there().await?;
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    async fn contains(&self, commit: CommitId, head: CommitId) -> Result<Containment, Fault> {
        let purpose = Purpose::Asked;
        if !self.dialect.is_ancestor(commit, head, purpose).await? {
            return Ok(Containment::NotContained);
        }
        let lock = self.dialect.repository().lock_at(commit, purpose).await?;
        Ok(Containment::Contained {
            lock: lock.as_deref().map(lock_hash),
        })
    }

    async fn complete(&self, mut pull: Pull, purpose: Purpose) -> PullRequest {
        for _ in 0..self.patience.tries {
            if pull.told.state != PrState::Open || pull.told.mergeable != Mergeable::NotComputed {
                break;
            }
            tokio::time::sleep(self.patience.pause).await;
            match self.dialect.pull(pull.told.number, purpose).await {
                Ok(fresh) => pull = fresh,
                Err(_) => break,
            }
        }
        let files = self.dialect.files(&pull, purpose).await;
        let touches_lock = files.as_ref().map_or(true, |files| {
            let is_lock = |path: &String| path == TITLE_SIGN;
            files
                .iter()
                .any(|file| is_lock(&file.path) || file.previous_path.as_ref().is_some_and(is_lock))
        });
        pull.told.files = told(files);
        pull.told.checks = told(self.dialect.checks(pull.told.head, purpose).await);
        pull.told.locks = if touches_lock {
            self.locks(&pull, purpose).await
        } else {
            ReadOrNot::NotRead("it does not change flake.lock".to_owned())
        };
        pull.told
    }

    async fn locks(&self, pull: &Pull, purpose: Purpose) -> ReadOrNot<(Vec<u8>, Vec<u8>)> {
        let repository = self.dialect.repository();
        let read = async {
            let base = self.dialect.merge_base(pull, purpose).await?;
            let before = repository.lock_at(base, purpose).await?;
            let after = repository.lock_at(pull.told.head, purpose).await?;
            Ok((before, after))
        };
        match read.await {
            Ok((Some(before), Some(after))) => ReadOrNot::Read((before, after)),
            Ok((None, _)) => {
                ReadOrNot::NotRead("there is no flake.lock where it left the branch".to_owned())
            }
            Ok((_, None)) => ReadOrNot::NotRead("there is no flake.lock at its head".to_owned()),
            Err(fault) => told(Err(fault)),
        }
    }
}

fn told<T>(read: Result<T, Fault>) -> ReadOrNot<T> {
    match read {
        Ok(value) => ReadOrNot::Read(value),
        Err(fault) => ReadOrNot::NotRead(fault.told()),
    }
}

fn in_time<T, E>(read: Result<Result<T, Fault>, E>) -> Result<T, ForgeFailure> {
    match read {
        Ok(read) => read.map_err(|fault| fault.failure()),
        Err(_) => Err(Fault::TimedOut("all requests of this call together").failure()),
    }
}

fn not_asked(call: &ForgeCall) -> ForgeAnswer {
    let failure = ForgeFailure {
        what: "earlier calls to the forge take too long; try again later".to_owned(),
        not_before: None,
    };
    match call {
        ForgeCall::List => ForgeAnswer::Listed(Err(failure)),
        ForgeCall::Read { number } => ForgeAnswer::Read(*number, Err(failure)),
        ForgeCall::Contains { commit, head } => ForgeAnswer::Contained {
            commit: *commit,
            head: *head,
            answer: Err(failure),
        },
        ForgeCall::Merge { number, .. } => {
            ForgeAnswer::Merged(*number, MergeAnswer::Refused(failure))
        }
        ForgeCall::Revert { number, .. } => {
            ForgeAnswer::Reverted(*number, RevertAnswer::Refused(failure))
        }
    }
}
