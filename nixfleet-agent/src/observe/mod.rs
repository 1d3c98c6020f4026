//! Facts about this host, without judgement and, in steady state, without starting any process.
//!
//! Everything here blocks (files, and now and then a small program); the event loop calls
//! [`Observer::observe`] on a thread for blocking work.

pub mod binary;
mod fingerprint;
pub mod git;
pub mod identity;
pub mod lock;
pub mod metrics;
pub mod system;

use std::path::PathBuf;

use nixfleet_core::{CommitId, LockHash};

pub use binary::Binary;
pub use metrics::Metrics;
pub use system::{Generation, SystemFacts, SystemPaths};

use crate::config::Config;

/// Why the host is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// A heartbeat: only what costs nothing, unless something changed or it is time for a closer
    /// look.
    Heartbeat,
    /// The agent starts, a command ended, or a refresh was asked for: everything anew.
    Closely,
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The checkout.
    pub repo: RepoFacts,
    /// The running system.
    pub system: SystemFacts,
    /// Load; `None` where the system does not tell.
    pub metrics: Option<Metrics>,
}

/// The checkout, each part with its own failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepoFacts {
    /// HEAD.
    pub commit: Option<CommitId>,
    /// Something is modified or untracked.
    pub dirty: Option<bool>,
    /// `flake.lock`.
    pub lock: LockFact,
    /// Why HEAD or cleanliness is not known.
    pub error: Option<String>,
}

/// `flake.lock` of the checkout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LockFact {
    /// The checkout itself is not there, or the file cannot be read.
    #[default]
    Unknown,
    /// There is a checkout, and it has no such file.
    Missing,
    /// Its hash.
    Hash(LockHash),
}

/// Looks at the host, remembering what need not be looked at again.
#[derive(Debug)]
pub struct Observer {
    repo_dir: PathBuf,
    git: git::GitObserver,
    lock: lock::LockObserver,
    system: system::SystemObserver,
    metrics: metrics::Sampler,
}

impl Observer {
    /// An observer that has seen nothing.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let repo_dir = config.repo.dir().to_owned();
        let own_clone = matches!(config.repo, crate::config::Repo::Isolated { .. });
        Self {
            git: git::GitObserver::new(repo_dir.clone(), own_clone),
            lock: lock::LockObserver::new(repo_dir.join("flake.lock")),
            system: system::SystemObserver::new(system::SystemPaths::of(config)),
            metrics: metrics::Sampler::default(),
            repo_dir,
        }
    }

    /// Looks at everything.
    pub fn observe(&mut self, occasion: Occasion) -> Observation {
        Observation {
            repo: self.repo(occasion),
            system: self.system.observe(occasion),
            metrics: self.metrics.sample(),
        }
    }

    /// Looks at the checkout alone.
    pub fn repo(&mut self, occasion: Occasion) -> RepoFacts {
        let (commit, dirty, error) = self.git.observe(occasion);
        let (lock, lock_error) = match self.lock.observe() {
            Ok(Some(hash)) => (LockFact::Hash(hash), None),
            Ok(None) if commit.is_some() => (LockFact::Missing, None),
            Ok(None) => (LockFact::Unknown, None),
            Err(error) => {
                let shown = self.repo_dir.display();
                (
                    LockFact::Unknown,
                    Some(format!("{shown}/flake.lock: {error}")),
                )
            }
        };
        RepoFacts {
            commit,
            dirty,
            lock,
            error: error.or(lock_error),
        }
    }
}
