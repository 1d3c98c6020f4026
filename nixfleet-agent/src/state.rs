//! The folder of the agent's records belongs to one agent at a time.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;

use crate::durable;
use crate::exec::try_lock;

/// Held for as long as the agent lives; the system releases it with the process, however it ends.
#[derive(Debug)]
pub struct StateLock {
    _lock: Flock<File>,
}

/// Why the folder cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another agent has it.
    #[error("another nixfleet-agent uses {}; stop it, or set NIXFLEET_STATE_DIR to another folder", .0.display())]
    InUse(PathBuf),
    /// It cannot be created or written.
    #[error("{} cannot be used ({source}); make it writable for the agent or set NIXFLEET_STATE_DIR", .path.display())]
    File {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl StateLock {
    /// Creates the folder if necessary, and takes it.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn take(dir: &Path) -> Result<Self, StateError> {
        let taken =
            durable::create_private_dir(dir).and_then(|()| try_lock(&dir.join("agent.lock")));
        match taken {
            Ok(Some(lock)) => Ok(Self { _lock: lock }),
            Ok(None) => Err(StateError::InUse(dir.to_owned())),
            Err(source) => Err(StateError::File {
                path: dir.to_owned(),
                source,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c02_two_agents_cannot_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("state");
        let first = StateLock::take(&dir).unwrap();
        assert!(matches!(StateLock::take(&dir), Err(StateError::InUse(_))));
        drop(first);
        assert!(StateLock::take(&dir).is_ok());
    }
}
