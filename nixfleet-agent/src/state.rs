//! The folder of the agent's records belongs to one agent at a time.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::Flock;

use crate::durable;
use crate::exec::{is_locked, try_lock};

const LOCK: &str = "agent.lock";
/// Whoever looks at the lock holds it for an instant; an agent that is being replaced is about to
/// go.
const PATIENCE: Duration = Duration::from_secs(1);

/// Held for as long as the agent lives; the system releases it with the process, however it ends.
#[derive(Debug)]
pub struct StateLock {
    _lock: Flock<File>,
}

/// Why the folder cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another agent has it.
    #[error("another nixfleet-agent{holder} uses {}; stop it, or set NIXFLEET_STATE_DIR to another folder", .path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Its process, where known.
        holder: String,
    },
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
        let failed = |source| StateError::File {
            path: dir.to_owned(),
            source,
        };
        durable::create_private_dir(dir).map_err(failed)?;
        let path = dir.join(LOCK);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(mut lock) = try_lock(&path).map_err(failed)? {
                lock.set_len(0)
                    .and_then(|()| lock.rewind())
                    .and_then(|()| write!(lock, "{}", std::process::id()))
                    .map_err(failed)?;
                return Ok(Self { _lock: lock });
            }
            if Instant::now() >= deadline {
                return Err(StateError::InUse {
                    path: dir.to_owned(),
                    holder: holder(&path),
                });
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether an agent has the folder now.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn is_taken(dir: &Path) -> io::Result<bool> {
        is_locked(&dir.join(LOCK))
    }
}

fn holder(path: &Path) -> String {
    let pid = fs::read_to_string(path).unwrap_or_default();
    match pid.trim() {
        "" => String::new(),
        pid => format!(" (process {pid})"),
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
        assert!(StateLock::is_taken(&dir).unwrap());
        let refused = StateLock::take(&dir).unwrap_err().to_string();
        let holder = format!("(process {})", std::process::id());
        assert!(refused.contains(&holder), "{refused}");
        drop(first);
        assert!(!StateLock::is_taken(&dir).unwrap());
        assert!(StateLock::take(&dir).is_ok());
    }
}
