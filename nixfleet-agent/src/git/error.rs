//! Why a pull failed, in words that say what to do.

use std::io;
use std::path::PathBuf;

use crate::program::ProgramError;

/// Why the checkout was not brought to the wanted commit. Nothing is lost in any of these cases.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// A value that no validated configuration contains.
    #[error("refused: {0}")]
    Request(String),
    /// A token or key cannot be used.
    #[error("{0}")]
    Secret(String),
    /// A folder or file operation failed.
    #[error("{what}: {source}")]
    File {
        /// What was tried.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// Git could not be run or a query failed.
    #[error(transparent)]
    Git(#[from] ProgramError),
    /// A git command that writes its own messages failed.
    #[error("git {step} failed (exit code {code}); its message is above")]
    Step {
        /// The sub-command.
        step: &'static str,
        /// Its exit code.
        code: i32,
    },
    /// The remote did not give the branch.
    #[error(
        "cannot fetch branch {branch} of {remote}; git's message is above. Check that the address is right, the remote is reachable and the branch exists"
    )]
    Fetch {
        /// The branch.
        branch: String,
        /// The remote.
        remote: String,
    },
    /// The pinned commit is not part of the branch.
    #[error(
        "commit {target} is not on branch {branch} of {remote} (fetched just now): it was never pushed, or the branch was rewritten. Nothing was changed; start a new pull"
    )]
    TargetNotOnBranch {
        /// The commit.
        target: String,
        /// The branch.
        branch: String,
        /// The remote.
        remote: String,
    },
    /// The folder exists but is not the agent's clone.
    #[error("{} is not the agent's own clone, so it is not reset. Move it away, or leave NIXFLEET_REPO_URL unset to use it as an existing checkout", .dir.display())]
    NotOurs {
        /// The folder.
        dir: PathBuf,
    },
    /// Not a checkout at all.
    #[error("{} is not a git checkout; clone the configuration there, or set NIXFLEET_REPO_URL", .dir.display())]
    NotACheckout {
        /// The folder.
        dir: PathBuf,
    },
    /// Local changes are in the way.
    #[error("{} has uncommitted changes ({changes}); nothing was pulled. Commit, stash or discard them there", .dir.display())]
    Dirty {
        /// The folder.
        dir: PathBuf,
        /// The first few.
        changes: String,
    },
    /// Another branch is checked out.
    #[error("{} is on {found}, not on branch {branch}; nothing was pulled. Run: git -C {0} switch {branch}", .dir.display())]
    OtherBranch {
        /// The folder.
        dir: PathBuf,
        /// What is checked out.
        found: String,
        /// What should be.
        branch: String,
    },
    /// Local commits are in the way.
    #[error("{} cannot be fast-forwarded to {wanted}: {why}. Push, rebase or drop the local commits there", .dir.display())]
    Diverged {
        /// The folder.
        dir: PathBuf,
        /// The commit.
        wanted: String,
        /// Ahead or diverged.
        why: &'static str,
    },
}
