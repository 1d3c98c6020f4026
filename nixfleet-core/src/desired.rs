//! What the repository says should run, and how long that knowledge may be believed
//! (spec 01 "Remote freshness", spec 05 "Where the desired state comes from").

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::history::CommitHistory;
use crate::ids::{CommitId, LockHash};
use crate::lock::LockHistory;
use crate::time::Timestamp;

/// The most text kept of a peer's error message.
pub const MAX_DETAIL: usize = 400;

/// Why the desired state, or one half of it, cannot be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemoteCause {
    /// No repository is configured.
    NotConfigured,
    /// The server has just started and has not read the remote yet.
    NotReadYet,
    /// The remote does not answer: name, route or connection failed.
    Unreachable,
    /// The remote did not answer in time.
    TimedOut,
    /// The remote refused our credentials, or wants some.
    AccessDenied,
    /// There is no such repository or page.
    NotFound,
    /// The repository has no such branch, or the branch has no commit.
    BranchMissing,
    /// The page answered with this HTTP status.
    HttpStatus(u16),
    /// The content is not what it should be (broken repository, bad JSON, wrong type).
    Malformed,
    /// A field of the published page is missing.
    FieldMissing,
    /// There is no `flake.lock` at the desired commit.
    LockMissing,
    /// The last good reading is older than the bound W, and no newer one came.
    Expired,
    /// The store is damaged: nothing it says may be believed.
    StoreDamaged,
    /// The git program is missing or could not be started.
    GitMissing,
    /// The server cannot keep its own copy of the repository.
    MirrorFailed,
}

impl RemoteCause {
    /// Every cause; the status stands for any.
    pub const ALL: [RemoteCause; 15] = [
        RemoteCause::NotConfigured,
        RemoteCause::NotReadYet,
        RemoteCause::Unreachable,
        RemoteCause::TimedOut,
        RemoteCause::AccessDenied,
        RemoteCause::NotFound,
        RemoteCause::BranchMissing,
        RemoteCause::HttpStatus(404),
        RemoteCause::Malformed,
        RemoteCause::FieldMissing,
        RemoteCause::LockMissing,
        RemoteCause::Expired,
        RemoteCause::StoreDamaged,
        RemoteCause::GitMissing,
        RemoteCause::MirrorFailed,
    ];

    /// What an answer of a page with this HTTP status means.
    #[must_use]
    pub const fn of_http_status(status: u16) -> Self {
        match status {
            401 | 403 => RemoteCause::AccessDenied,
            404 | 410 => RemoteCause::NotFound,
            other => RemoteCause::HttpStatus(other),
        }
    }

    /// Whether a second attempt within the same reading may help (spec 01, "up to three quick
    /// attempts"): nothing that a person has to mend first.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        match self {
            RemoteCause::Unreachable | RemoteCause::TimedOut => true,
            // Too slow for the page, asked too often, or its own fault.
            RemoteCause::HttpStatus(status) => status == 408 || status == 429 || status >= 500,
            RemoteCause::NotConfigured
            | RemoteCause::NotReadYet
            | RemoteCause::AccessDenied
            | RemoteCause::NotFound
            | RemoteCause::BranchMissing
            | RemoteCause::Malformed
            | RemoteCause::FieldMissing
            | RemoteCause::LockMissing
            | RemoteCause::Expired
            | RemoteCause::StoreDamaged
            | RemoteCause::GitMissing
            | RemoteCause::MirrorFailed => false,
        }
    }

    /// What an administrator can do about it.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            RemoteCause::NotConfigured => {
                "set NIXFLEET_REPO to a git URL or path, or NIXFLEET_VERSION_URL to a published version.json"
            }
            RemoteCause::NotReadYet => "wait a moment: the server has just started",
            RemoteCause::Unreachable => "check the address and the network of the server",
            RemoteCause::TimedOut => "check the network of the server and the load of the remote",
            RemoteCause::AccessDenied => "check the deploy key or token of the server",
            RemoteCause::NotFound => "check the address in NIXFLEET_REPO or NIXFLEET_VERSION_URL",
            RemoteCause::BranchMissing => "check NIXFLEET_BRANCH, and that the branch has a commit",
            RemoteCause::HttpStatus(_) => {
                "check that the page is published and may be read by the server"
            }
            RemoteCause::Malformed => "check the repository with `git fsck`, or the published page",
            RemoteCause::FieldMissing => "publish the missing field",
            RemoteCause::LockMissing => {
                "commit a flake.lock (`nix flake lock`) on the tracked branch"
            }
            RemoteCause::Expired => "see the server's log: reading the remote hangs",
            RemoteCause::StoreDamaged => "restore the server's database from a backup",
            RemoteCause::GitMissing => "install git on the server",
            RemoteCause::MirrorFailed => {
                "check free space and permissions of the server's data directory"
            }
        }
    }
}

/// One half, or all, of the desired state cannot be known: the cause and its detail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// The kind of cause.
    pub cause: RemoteCause,
    /// One line of detail without secrets (a git message, a missing field's name); may be empty.
    pub detail: String,
}

impl Unavailable {
    /// A cause with one line of detail; control characters are removed and the text is cut at
    /// [`MAX_DETAIL`] characters.
    #[must_use]
    pub fn new(cause: RemoteCause, detail: impl AsRef<str>) -> Self {
        let cleaned = detail
            .as_ref()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c });
        let detail: String = cleaned.take(MAX_DETAIL).collect();
        Self {
            cause,
            detail: detail.trim().to_owned(),
        }
    }
}

/// What one successful reading found: everything from one snapshot of one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The desired commit.
    pub commit: Result<CommitId, Unavailable>,
    /// The hash of `flake.lock` at that commit.
    pub lock: Result<LockHash, Unavailable>,
    /// First line of the commit message, without control characters.
    pub subject: Option<String>,
    /// When the commit was made.
    pub commit_time: Option<Timestamp>,
    /// The tracked branch.
    pub branch: Option<String>,
    /// Whether the branch was rewritten since the last reading: the previous head is not an
    /// ancestor of this one.
    #[serde(default)]
    pub rewritten: bool,
}

/// Whether the desired state is known, and if not, why and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remote {
    /// In force.
    Verified(Snapshot),
    /// The remote cannot be read: nothing is green.
    Failed {
        /// The cause.
        why: Unavailable,
        /// Since when.
        since: Timestamp,
        /// What was last known, for messages only.
        last_good: Option<Snapshot>,
    },
}

impl Remote {
    /// The desired commit, or why it is not known.
    ///
    /// # Errors
    /// The reason why the commit is not known.
    pub fn commit(&self) -> Result<CommitId, &Unavailable> {
        match self {
            Remote::Verified(snapshot) => snapshot.commit.as_ref().copied(),
            Remote::Failed { why, .. } => Err(why),
        }
    }

    /// The desired lock hash, or why it is not known.
    ///
    /// # Errors
    /// The reason why the lock is not known.
    pub fn lock(&self) -> Result<LockHash, &Unavailable> {
        match self {
            Remote::Verified(snapshot) => snapshot.lock.as_ref().copied(),
            Remote::Failed { why, .. } => Err(why),
        }
    }

    /// The snapshot in force or, when failed, the last good one: for messages only.
    #[must_use]
    pub fn last_known(&self) -> Option<&Snapshot> {
        match self {
            Remote::Verified(snapshot) => Some(snapshot),
            Remote::Failed { last_good, .. } => last_good.as_ref(),
        }
    }
}

/// What the source knows of the past of the tracked branch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteHistory {
    /// Commits of the branch, and what is known of commits beside it.
    pub commits: CommitHistory,
    /// Versions of `flake.lock` on the branch.
    pub locks: LockHistory,
}

/// The open update pull request that would change the lock (spec 05).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingPr {
    /// Its number.
    pub number: u64,
    /// Its title, without control characters.
    pub title: String,
    /// Its address (http or https).
    pub url: String,
    /// When it was opened.
    pub created_at: Option<Timestamp>,
    /// What it changes, one entry per input: `nixpkgs abc1234 → def5678`.
    pub changes: Vec<String>,
}

/// What the repository says should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredState {
    /// The agent version this server expects.
    pub agent_version: String,
    /// The remote.
    pub remote: Remote,
    /// When the snapshot in force was last confirmed by the remote.
    pub verified_at: Option<Timestamp>,
    /// Commits and lock versions of the tracked branch, where the source knows them.
    pub history: Option<Arc<RemoteHistory>>,
    /// The open update pull request, if there is one.
    pub pending_pr: Option<PendingPr>,
}

/// How long a reading of the remote is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemotePolicy {
    /// Time between two readings.
    pub ttl: Duration,
    /// How long the last good snapshot stays in force after a failed reading (0–60 s).
    pub grace: Duration,
}

/// The longest that three quick attempts of one reading may take together.
pub const FETCH_BUDGET: Duration = Duration::from_secs(10);

/// The longest grace period that may be configured.
pub const MAX_GRACE: Duration = Duration::from_secs(60);

impl RemotePolicy {
    /// The bound W: no green is older than this.
    #[must_use]
    pub fn bound(&self) -> Duration {
        self.ttl
            .saturating_add(self.grace.min(MAX_GRACE))
            .saturating_add(FETCH_BUDGET)
    }
}

/// The small machine that decides whether the remote is readable: readings and the clock in, a
/// [`Remote`] out. Knows nothing of hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteWatch {
    policy: RemotePolicy,
    remote: Remote,
    verified_at: Option<Timestamp>,
    /// The first failed reading since the last good one.
    failing: Option<(Timestamp, Unavailable)>,
}

impl RemoteWatch {
    /// A watch that has read nothing yet.
    #[must_use]
    pub fn new(policy: RemotePolicy, why: Unavailable, now: Timestamp) -> Self {
        let remote = Remote::Failed {
            why,
            since: now,
            last_good: None,
        };
        Self {
            policy,
            remote,
            verified_at: None,
            failing: None,
        }
    }

    /// A watch continued after a restart: the bound and any grace period go on from where they
    /// were, they do not start again.
    #[must_use]
    pub fn resume(mut self, policy: RemotePolicy, now: Timestamp) -> Self {
        self.policy = policy;
        self.handle_timeout(now);
        self
    }

    /// The remote as it is to be believed now.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// When the snapshot in force was last confirmed.
    #[must_use]
    pub fn verified_at(&self) -> Option<Timestamp> {
        self.verified_at
    }

    /// Whether the last reading failed although the last good snapshot is still in force.
    #[must_use]
    pub fn in_grace(&self) -> bool {
        self.failing.is_some() && matches!(self.remote, Remote::Verified(_))
    }

    /// Takes in the result of one reading; tells whether [`RemoteWatch::remote`] changed.
    pub fn read(&mut self, result: Result<Snapshot, Unavailable>, now: Timestamp) -> bool {
        match result {
            Ok(snapshot) => {
                self.verified_at = Some(now);
                self.failing = None;
                let remote = Remote::Verified(snapshot);
                let changed = self.remote != remote;
                self.remote = remote;
                changed
            }
            Err(why) => {
                let since = self.failing.as_ref().map_or(now, |(since, _)| *since);
                self.failing = Some((since, why.clone()));
                if let Remote::Failed { why: shown, .. } = &mut self.remote {
                    let changed = *shown != why;
                    *shown = why;
                    return changed;
                }
                self.handle_timeout(now)
            }
        }
    }

    /// The next moment at which the answer changes by itself.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if matches!(self.remote, Remote::Failed { .. }) {
            return None;
        }
        let bound = self.verified_at.unwrap_or(Timestamp::EPOCH) + self.policy.bound();
        let grace = self
            .failing
            .as_ref()
            .map(|(since, _)| *since + self.policy.grace.min(MAX_GRACE));
        Some(grace.map_or(bound, |end| end.min(bound)))
    }

    /// Lets time pass; tells whether [`RemoteWatch::remote`] changed.
    pub fn handle_timeout(&mut self, now: Timestamp) -> bool {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return false;
        }
        let (since, why) = self.failing.clone().unwrap_or_else(|| {
            (
                now,
                Unavailable::new(
                    RemoteCause::Expired,
                    "no reading of the remote finished in time",
                ),
            )
        });
        let last_good = self.remote.last_known().cloned();
        self.remote = Remote::Failed {
            why,
            since,
            last_good,
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(5);

    fn good() -> Snapshot {
        Snapshot {
            commit: Ok("a".repeat(40).parse().unwrap()),
            lock: Ok(crate::lock_hash(b"lock")),
            subject: None,
            commit_time: None,
            branch: None,
            rewritten: false,
        }
    }

    fn bad() -> Unavailable {
        Unavailable::new(RemoteCause::Unreachable, "no route")
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn watch(grace: u64) -> RemoteWatch {
        let policy = RemotePolicy {
            ttl: TTL,
            grace: Duration::from_secs(grace),
        };
        let mut watch =
            RemoteWatch::new(policy, Unavailable::new(RemoteCause::NotReadYet, ""), at(0));
        assert!(watch.read(Ok(good()), at(1)));
        watch
    }

    #[test]
    fn an_http_status_has_one_cause_and_one_answer_to_trying_again() {
        for (status, cause, again) in [
            (401, RemoteCause::AccessDenied, false),
            (403, RemoteCause::AccessDenied, false),
            (404, RemoteCause::NotFound, false),
            (410, RemoteCause::NotFound, false),
            (302, RemoteCause::HttpStatus(302), false),
            (408, RemoteCause::HttpStatus(408), true),
            (418, RemoteCause::HttpStatus(418), false),
            (429, RemoteCause::HttpStatus(429), true),
            (499, RemoteCause::HttpStatus(499), false),
            (500, RemoteCause::HttpStatus(500), true),
            (503, RemoteCause::HttpStatus(503), true),
        ] {
            assert_eq!(RemoteCause::of_http_status(status), cause, "{status}");
            assert_eq!(cause.is_transient(), again, "{status}");
        }
    }

    #[test]
    fn of_the_other_causes_only_those_of_the_network_may_pass_by_themselves() {
        let passing: Vec<RemoteCause> = RemoteCause::ALL
            .into_iter()
            .filter(|cause| cause.is_transient())
            .collect();
        assert_eq!(passing, [RemoteCause::Unreachable, RemoteCause::TimedOut]);
    }

    #[test]
    fn without_grace_one_failed_reading_fails_the_remote() {
        let mut watch = watch(0);
        assert!(watch.read(Err(bad()), at(6)));
        assert!(matches!(watch.remote(), Remote::Failed { since, .. } if *since == at(6)));
        assert!(watch.read(Ok(good()), at(7)));
        assert!(matches!(watch.remote(), Remote::Verified(_)));
    }

    #[test]
    fn grace_keeps_the_last_good_snapshot_and_then_ends() {
        let mut watch = watch(20);
        assert!(!watch.read(Err(bad()), at(6)));
        assert!(watch.in_grace());
        assert_eq!(watch.poll_timeout(), Some(at(26)));
        assert!(
            !watch.read(Err(bad()), at(11)),
            "the period runs from the first failure"
        );
        assert!(!watch.handle_timeout(at(25)));
        assert!(watch.handle_timeout(at(26)));
        assert!(matches!(watch.remote(), Remote::Failed { .. }));
    }

    #[test]
    fn a01_no_verified_remote_is_older_than_the_bound_even_if_the_poller_hangs() {
        let mut watch = watch(0);
        let bound = TTL + FETCH_BUDGET;
        assert_eq!(watch.poll_timeout(), Some(at(1) + bound));
        assert!(watch.handle_timeout(at(1) + bound));
        assert!(
            matches!(watch.remote(), Remote::Failed { why, .. } if why.cause == RemoteCause::Expired)
        );
    }

    #[test]
    fn a_restart_starts_no_new_grace_period() {
        let mut watch = watch(20);
        watch.read(Err(bad()), at(6));
        let policy = RemotePolicy {
            ttl: TTL,
            grace: Duration::from_secs(20),
        };
        let resumed = watch.clone().resume(policy, at(20));
        assert_eq!(resumed.poll_timeout(), Some(at(26)));
        let late = watch.resume(policy, at(30));
        assert!(matches!(late.remote(), Remote::Failed { .. }));
    }
}
