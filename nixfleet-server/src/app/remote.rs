//! From readings of the remote to what the fleet wants to know: what hosts have checked out beside
//! the branch is looked up in the mirror, and trouble is logged once, with what to do about it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nixfleet_core::desired::{RemoteHistory, Snapshot, Unavailable};
use nixfleet_core::fleet::{Input, Reading};
use nixfleet_core::{CommitId, LockHash, OffBranch};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::hub::{Hub, HubGone};
use crate::sources::{Fetched, MirrorReader, Poll};
use crate::store::{Condition, Store};

/// Passes readings on to the hub until the polling or the hub ends. `first` is told when the first
/// one is in.
pub(super) async fn follow(
    keeper: Keeper,
    mirror: Option<MirrorReader>,
    mut readings: mpsc::Receiver<Poll>,
    first: oneshot::Sender<()>,
) {
    let mut follower = Follower {
        keeper,
        kept: None,
        relations: mirror.map(Relations::new),
        said: None,
    };
    let mut first = Some(first);
    while let Some(poll) = readings.recv().await {
        if follower.pass_on(poll).await.is_err() {
            return;
        }
        if let Some(first) = first.take() {
            first.send(()).ok();
        }
    }
}

/// Where readings and locks go.
pub(super) struct Keeper {
    pub hub: Hub,
    pub store: Store,
    pub clock: Clock,
}

struct Follower {
    keeper: Keeper,
    /// The lock that was kept last.
    kept: Option<LockHash>,
    relations: Option<Relations>,
    /// What was logged last.
    said: Option<Said>,
}

#[derive(PartialEq)]
enum Said {
    Readable,
    Trouble(Unavailable),
}

impl Follower {
    async fn pass_on(&mut self, poll: Poll) -> Result<(), HubGone> {
        self.log(&poll.outcome);
        let reading = match poll.outcome {
            Ok(fetched) => {
                self.keep_lock(&fetched).await;
                Ok(self.reading(fetched).await?)
            }
            Err(why) => Err(why),
        };
        self.keeper.hub.submit(Input::Read(Box::new(reading))).await
    }

    async fn reading(&mut self, fetched: Fetched) -> Result<Reading, HubGone> {
        let history = match (&mut self.relations, fetched.history) {
            (Some(relations), Some(history)) => {
                let reported = self
                    .keeper
                    .hub
                    .ask(|fleet| fleet.reported_commits().collect());
                Some(relations.complete(history, reported.await?).await)
            }
            (_, history) => history,
        };
        Ok(Reading {
            snapshot: fetched.snapshot,
            history,
        })
    }

    /// Keeps the content of the lock, for comparing it with others later.
    async fn keep_lock(&mut self, fetched: &Fetched) {
        let (Ok(hash), Some(content)) = (&fetched.snapshot.lock, &fetched.lock) else {
            return;
        };
        if self.kept == Some(*hash) || self.keeper.store.condition() != Condition::Sound {
            return;
        }
        let now = self.keeper.clock.now();
        match self.keeper.store.keep_lock(*hash, content, now).await {
            Ok(()) => self.kept = Some(*hash),
            Err(error) => tracing::warn!(%error, "the desired flake.lock could not be kept"),
        }
    }

    fn log(&mut self, outcome: &Result<Fetched, Unavailable>) {
        let now = match outcome {
            Ok(Fetched { snapshot, .. }) => trouble(snapshot).map_or(Said::Readable, Said::Trouble),
            Err(why) => Said::Trouble(why.clone()),
        };
        if self.said.as_ref() == Some(&now) {
            return;
        }
        match &now {
            Said::Readable => tracing::info!("the desired state is readable"),
            Said::Trouble(why) => tracing::warn!(
                cause = ?why.cause,
                detail = why.detail,
                hint = why.cause.hint(),
                "the desired state cannot be read"
            ),
        }
        self.said = Some(now);
    }
}

fn trouble(snapshot: &Snapshot) -> Option<Unavailable> {
    let commit = snapshot.commit.as_ref().err();
    commit.or(snapshot.lock.as_ref().err()).cloned()
}

/// How commits that hosts have checked out relate to a branch that does not list them.
struct Relations {
    mirror: MirrorReader,
    head: Option<CommitId>,
    asked: BTreeSet<CommitId>,
    known: BTreeMap<CommitId, OffBranch>,
    /// The last history that came in, and what was made of it.
    made: Option<(Arc<RemoteHistory>, Arc<RemoteHistory>)>,
}

impl Relations {
    fn new(mirror: MirrorReader) -> Self {
        Self {
            mirror,
            head: None,
            asked: BTreeSet::new(),
            known: BTreeMap::new(),
            made: None,
        }
    }

    async fn complete(
        &mut self,
        history: Arc<RemoteHistory>,
        reported: Vec<CommitId>,
    ) -> Arc<RemoteHistory> {
        let Some(head) = history.commits.head() else {
            return history;
        };
        if self.head != Some(head) {
            self.head = Some(head);
            self.asked.clear();
            self.known.clear();
        }
        let beside = |commit: &CommitId| history.commits.position(commit).is_none();
        let fresh: Vec<CommitId> = reported
            .into_iter()
            .filter(|commit| beside(commit) && !self.asked.contains(commit))
            .collect();
        if !fresh.is_empty() {
            match self.mirror.relations(head, &fresh).await {
                Ok(found) => {
                    self.known.extend(found);
                    self.asked.extend(fresh);
                    self.made = None;
                }
                Err(why) => {
                    tracing::debug!(?why, "commits of hosts could not be looked up");
                }
            }
        }
        if let Some((base, made)) = &self.made
            && Arc::ptr_eq(base, &history)
        {
            return Arc::clone(made);
        }
        let made = if self.known.is_empty() {
            Arc::clone(&history)
        } else {
            Arc::new(RemoteHistory {
                commits: history.commits.clone().knowing(self.known.clone()),
                locks: history.locks.clone(),
            })
        };
        self.made = Some((history, Arc::clone(&made)));
        made
    }
}
