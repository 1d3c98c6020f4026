//! Where the desired state comes from (spec 05): a git remote, a forge or a published page. Each
//! source reads; whether a reading is believed, and for how long, the core decides.

pub mod forge;
pub mod git;
pub mod poller;
pub mod remote;
pub mod version_json;

use std::sync::Arc;

use nixfleet_core::desired::{RemoteHistory, Snapshot, Unavailable};

pub use forge::ForgeSource;
pub use git::{GitSource, Limits, MirrorReader};
pub use poller::{Poll, Poller};
pub use remote::{Branch, Remote, RemoteError};
pub use version_json::VersionJsonSource;

/// What one successful reading found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Commit and lock hash, from one snapshot of one commit.
    pub snapshot: Snapshot,
    /// The bytes of `flake.lock` behind the hash, where the source has them.
    pub lock: Option<Arc<[u8]>>,
    /// The past of the tracked branch, where the source knows it.
    pub history: Option<Arc<RemoteHistory>>,
}

/// One configured source of the desired state.
#[derive(Debug)]
pub enum Source {
    /// A git remote.
    Git(Box<GitSource>),
    /// The API of a forge.
    Forge(Box<ForgeSource>),
    /// A published `version.json`.
    VersionJson(Box<VersionJsonSource>),
}

impl Source {
    /// Reads the remote once: up to three quick attempts within
    /// [`nixfleet_core::desired::FETCH_BUDGET`].
    ///
    /// # Errors
    /// Why the remote could not be read; the cause carries a hint on what to do.
    pub async fn fetch(&mut self) -> Result<Fetched, Unavailable> {
        match self {
            Source::Git(source) => source.fetch().await,
            Source::Forge(source) => source.fetch().await,
            Source::VersionJson(source) => source.fetch().await,
        }
    }

    /// A reader of the mirror, for questions beside the polling; only a git remote has one.
    #[must_use]
    pub fn mirror(&self) -> Option<MirrorReader> {
        match self {
            Source::Git(source) => Some(source.reader()),
            Source::Forge(_) | Source::VersionJson(_) => None,
        }
    }
}
