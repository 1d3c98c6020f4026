//! Why an update of inputs failed, in words that say what to do.

use std::io;
use std::path::Path;

use nixfleet_core::LockParseError;

use crate::git::PullError;
use crate::program::ProgramError;

/// Why inputs were not updated and pushed. Unless it says otherwise nothing was pushed, and the
/// checkout is at the head of the remote's branch, or as it was.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// A value that no validated configuration or command contains.
    #[error("refused: {0}")]
    Request(String),
    /// The checkout cannot be brought to the head of the branch, or git failed in it.
    #[error(transparent)]
    Git(#[from] PullError),
    /// A file operation failed.
    #[error("{what}: {source}")]
    File {
        /// What was tried.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// Nix, or the configured command, cannot be run.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// It failed.
    #[error(
        "{program} failed (exit code {code}); its message is above. Nothing was committed or pushed"
    )]
    Updater {
        /// The program.
        program: String,
        /// Its exit code; -1 for a signal.
        code: i32,
    },
    /// The configuration has no such input.
    #[error("flake.lock has no input {input}; it has: {known}")]
    UnknownInput {
        /// The name that was asked for.
        input: String,
        /// Those there are.
        known: String,
    },
    /// `flake.lock` is a link, a folder or the like.
    #[error(
        "flake.lock is not a regular file in the repository; make it one before its inputs are updated"
    )]
    NotAFile,
    /// There was a lock, and then there was none.
    #[error("flake.lock was removed by the update; nothing was pushed")]
    LockRemoved,
    /// What came out is not a lock.
    #[error("the updated flake.lock cannot be read ({0}); nothing was pushed")]
    NotALock(#[source] LockParseError),
    /// Somebody else pushed meanwhile.
    #[error(
        "{branch} moved from {expected} to {found} while its inputs were updated, so the remote did not take the update: nothing was pushed. Start the update again"
    )]
    Moved {
        /// The branch.
        branch: String,
        /// Where the update began.
        expected: String,
        /// Where the branch is now.
        found: String,
    },
    /// The remote does not take it.
    #[error(
        "the remote {remote} did not take the update on {branch}; git's message is above. Give NIXFLEET_GIT_TOKEN_FILE or NIXFLEET_GIT_SSH_KEY_FILE the right to push there, allow it in the rules of the branch, or set NIXFLEET_UPDATE_PUSH=branch. Nothing was pushed"
    )]
    Refused {
        /// The remote.
        remote: String,
        /// The branch.
        branch: String,
    },
    /// Nobody knows.
    #[error(
        "the push to {branch} of {remote} failed, and the remote cannot be asked whether it arrived ({why}); look there for commit {commit}"
    )]
    Unclear {
        /// The remote.
        remote: String,
        /// The branch.
        branch: String,
        /// What was pushed, perhaps.
        commit: String,
        /// Why it cannot be asked.
        why: String,
    },
}

impl UpdateError {
    pub(super) fn file(what: &str, path: &Path, source: io::Error) -> Self {
        UpdateError::File {
            what: format!("cannot {what} {}", path.display()),
            source,
        }
    }
}
