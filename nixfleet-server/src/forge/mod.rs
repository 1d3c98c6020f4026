//! The forge: pull requests, merges and reverts over its API (spec 05, "Update PRs"), and the head
//! of the tracked branch as a source of the desired state.
//!
//! It only asks and tells: no status, eligibility or retry of a change is decided here.

pub mod address;
mod alike;
pub mod budget;
mod client;
mod fault;
mod gitea;
mod github;
mod http;
pub mod memory;
mod pull;
mod repository;
mod revert;
mod tags;
pub mod webhook;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use nixfleet_core::update::{ForgeAnswer, ForgeCall};
use nixfleet_core::{CommitId, Timestamp};
use secrecy::SecretString;

pub use address::ApiAddress;
pub use fault::Fault;
pub use http::{NoClient, Phases};

use crate::clock::Clock;
use crate::sources::Branch;
use client::Client;
use http::{Http, Tokens};
use memory::Memory;

/// A forge that can be asked.
pub trait Forge: Send + Sync + fmt::Debug {
    /// Asks, and brings the answer back; always within a few minutes. A call that changes
    /// something is sent once.
    fn call(&self, call: ForgeCall) -> BoxFuture<'_, ForgeAnswer>;

    /// The head of the tracked branch now. Costs nothing while nothing changed.
    fn head(&self) -> BoxFuture<'_, Result<HeadCommit, Fault>>;

    /// The bytes of `flake.lock` at a commit; none only if the forge shows the commit without it.
    fn lock_at(&self, commit: CommitId) -> BoxFuture<'_, Result<Option<Vec<u8>>, Fault>>;

    /// Whether `older` is an ancestor of `younger`, or the same.
    fn is_ancestor(&self, older: CommitId, younger: CommitId)
    -> BoxFuture<'_, Result<bool, Fault>>;

    /// Asks once with credentials that are seldom used otherwise, so that it is known when they end.
    fn try_credentials(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }

    /// Which repository it is, for people.
    fn shown(&self) -> String;
}

/// The commit a branch points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadCommit {
    /// The commit.
    pub commit: CommitId,
    /// Its whole message.
    pub message: String,
    /// When it was made.
    pub time: Option<Timestamp>,
}

/// Which kind of forge it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForgeKind {
    /// GitHub, or GitHub Enterprise Server.
    #[default]
    GitHub,
    /// Forgejo, Codeberg among them.
    Forgejo,
    /// Gitea.
    Gitea,
}

/// The text names no kind of forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected github, forgejo or gitea")]
pub struct BadForgeKind;

impl FromStr for ForgeKind {
    type Err = BadForgeKind;
    fn from_str(text: &str) -> Result<Self, BadForgeKind> {
        match text {
            "github" => Ok(ForgeKind::GitHub),
            "forgejo" => Ok(ForgeKind::Forgejo),
            "gitea" => Ok(ForgeKind::Gitea),
            _ => Err(BadForgeKind),
        }
    }
}

/// A repository on a forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoName {
    owner: String,
    name: String,
}

/// The text names no repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected owner/name, like nixfleet/hosts")]
pub struct BadRepoName;

impl RepoName {
    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Its name below the owner.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is the same repository; forges do not tell capitals apart.
    #[must_use]
    pub fn is(&self, full_name: &str) -> bool {
        self.to_string().eq_ignore_ascii_case(full_name)
    }
}

impl FromStr for RepoName {
    type Err = BadRepoName;
    fn from_str(text: &str) -> Result<Self, BadRepoName> {
        let (owner, name) = text.split_once('/').ok_or(BadRepoName)?;
        let usable = |part: &str| {
            (1..=100).contains(&part.len())
                && !matches!(part, "." | "..")
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        if !usable(owner) || !usable(name) {
            return Err(BadRepoName);
        }
        Ok(Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// Everything a client of a forge needs to know. Its `Debug` holds no secret.
#[derive(Clone, Debug)]
pub struct ForgeSettings {
    /// The kind.
    pub kind: ForgeKind,
    /// Where its API is.
    pub api: ApiAddress,
    /// The repository.
    pub repo: RepoName,
    /// The tracked branch.
    pub branch: Branch,
    /// What opens it for reading; and for changes, unless there is a token for those.
    pub token: Option<SecretString>,
    /// What opens it for changes.
    pub merge_token: Option<SecretString>,
    /// The label of pull requests that are worth reading completely when all are listed.
    pub label: String,
    /// How long requests may take.
    pub phases: Phases,
    /// How long is waited for a forge that is still working something out.
    pub patience: Patience,
}

/// How long is waited for a forge that is still working something out.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often it is asked again.
    pub tries: u8,
    /// The pause before each time.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tries: 3,
            pause: Duration::from_secs(1),
        }
    }
}

/// A client of the forge that is configured; nothing is asked yet.
///
/// # Errors
/// [`NoClient`] if the system's certificates or its resolver cannot be used.
pub fn connect(settings: ForgeSettings, clock: Clock) -> Result<Arc<dyn Forge>, NoClient> {
    connect_knowing(settings, clock, Memory::default())
}

/// The same, going on from what was known before a restart.
///
/// # Errors
/// As [`connect`].
pub fn connect_knowing(
    settings: ForgeSettings,
    clock: Clock,
    memory: Memory,
) -> Result<Arc<dyn Forge>, NoClient> {
    let manners = match settings.kind {
        ForgeKind::GitHub => &github::MANNERS,
        ForgeKind::Forgejo | ForgeKind::Gitea => &gitea::MANNERS,
    };
    let ForgeSettings {
        kind,
        api,
        repo,
        branch,
        token,
        merge_token,
        label,
        phases,
        patience,
    } = settings;
    let tokens = Tokens {
        reading: token,
        changing: merge_token,
    };
    let http = Http::new(api, manners, tokens, phases, clock, memory)?;
    let repository = repository::Repository::new(http, repo, branch.as_str());
    Ok(match kind {
        ForgeKind::GitHub => Arc::new(Client::new(
            github::GitHub::new(repository),
            label,
            patience,
        )),
        ForgeKind::Forgejo | ForgeKind::Gitea => Arc::new(Client::new(
            gitea::Gitea::new(repository, patience),
            label,
            patience,
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_owner_and_name_and_nothing_else() {
        let repo: RepoName = "nixfleet/hosts.nix".parse().unwrap();
        assert_eq!((repo.owner(), repo.name()), ("nixfleet", "hosts.nix"));
        assert!(repo.is("NixFleet/Hosts.nix") && !repo.is("nixfleet/hosts"));
        for bad in [
            "", "hosts", "/", "a/", "/b", "a/b/c", "a/..", "../b", "a b/c", "a/b?c", "a/b\n",
        ] {
            assert_eq!(bad.parse::<RepoName>(), Err(BadRepoName), "{bad}");
        }
    }
}
