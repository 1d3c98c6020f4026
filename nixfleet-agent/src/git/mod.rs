//! Git, hardened: nothing that a repository contains or configures is ever executed, and no secret
//! appears in an argument, an address or an environment.

mod access;
mod error;
mod local;
mod pull;

use std::path::{Path, PathBuf};

use nixfleet_core::CommitId;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Repo};

pub(crate) use access::{ACCESS_FILE, Access};
pub use error::PullError;
pub(crate) use local::{Local, QUERY_LIMIT};
pub use pull::{look_at_remote, pull};

/// What to pull and where to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// The checkout and its remote.
    pub source: PullSource,
    /// The branch.
    pub branch: String,
    /// The full commit id that must be on the branch; the branch's head if `None`.
    pub target: Option<String>,
    /// File with a token for https.
    pub token_file: Option<PathBuf>,
    /// File with a private key for ssh.
    pub ssh_key_file: Option<PathBuf>,
}

impl PullRequest {
    /// What the configuration says.
    #[must_use]
    pub fn of(config: &Config, target: Option<CommitId>) -> Self {
        Self {
            source: match &config.repo {
                Repo::Isolated { url, dir } => PullSource::Isolated {
                    url: url.as_str().to_owned(),
                    dir: dir.clone(),
                    owned_folder: config.state_dir.clone(),
                },
                Repo::Existing { dir } => PullSource::Existing { dir: dir.clone() },
            },
            branch: config.branch.to_string(),
            target: target.map(|commit| commit.to_string()),
            token_file: config.git.token_file.clone(),
            ssh_key_file: config.git.ssh_key_file.clone(),
        }
    }
}

/// The two ways to keep a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum PullSource {
    /// The agent's own clone: whatever is in it may be thrown away.
    Isolated {
        /// The remote.
        url: String,
        /// The clone.
        dir: PathBuf,
        /// Clones below this folder are ours without any further sign.
        owned_folder: PathBuf,
    },
    /// Somebody's checkout: fast-forward or nothing.
    Existing {
        /// The checkout.
        dir: PathBuf,
    },
}

impl PullSource {
    /// The checkout.
    #[must_use]
    pub fn dir(&self) -> &Path {
        match self {
            PullSource::Isolated { dir, .. } | PullSource::Existing { dir } => dir,
        }
    }
}

/// Settings that take away every way in which repository content or its configuration could run a
/// program, write outside, or reach for another remote.
const HARDENED: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "core.pager=cat",
    "core.editor=false",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "safe.bareRepository=explicit",
    "protocol.allow=never",
    "transfer.fsckObjects=true",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "credential.helper=",
    "gc.auto=0",
    "maintenance.auto=false",
    "filter.lfs.smudge=",
    "filter.lfs.clean=",
    "filter.lfs.process=",
    "filter.lfs.required=false",
    "commit.gpgSign=false",
    "gpg.program=false",
    "advice.detachedHead=false",
];

/// The words every git command starts with.
pub(crate) fn hardened(dir: &Path) -> Vec<String> {
    let mut words = vec!["git".to_owned()];
    for setting in HARDENED {
        words.extend(["-c".to_owned(), (*setting).to_owned()]);
    }
    words.extend([
        "-c".to_owned(),
        format!("safe.directory={}", dir.display()),
        "-C".to_owned(),
        dir.display().to_string(),
    ]);
    words
}

/// The environment every git command gets on top of the allowed one.
pub(crate) const ENVIRONMENT: &[(&str, &str)] = &[
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_LFS_SKIP_SMUDGE", "1"),
    ("LC_ALL", "C"),
];
