//! The hash of `flake.lock`, read again only when the file may have changed.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use nixfleet_core::{LockHash, LockHasher};

use super::fingerprint::{Fingerprint, is_absent};

/// A lock file beyond this is not one; reading it for ever would stop the heartbeats.
const LARGEST: u64 = 64 * 1024 * 1024;

/// The hash of the lock file of a checkout; `None` if it has none.
///
/// # Errors
/// When the file is there but cannot be read.
pub fn hash_of(checkout: &Path) -> io::Result<Option<LockHash>> {
    read(&checkout.join("flake.lock"))
}

/// Remembers the hash of one file.
#[derive(Debug)]
pub struct LockObserver {
    path: PathBuf,
    known: Option<(Fingerprint, Option<LockHash>)>,
    reads: u64,
}

impl LockObserver {
    /// An observer that has read nothing.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            known: None,
            reads: 0,
        }
    }

    /// The hash; `None` if there is no such file.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn observe(&mut self) -> io::Result<Option<LockHash>> {
        // Taken before reading, so that a change during the reading is seen the next time.
        let now = Fingerprint::of(&self.path)?;
        if let Some((then, hash)) = &self.known
            && then.still_holds(&now)
        {
            return Ok(*hash);
        }
        self.known = None;
        self.reads += 1;
        let hash = read(&self.path)?;
        self.known = Some((now, hash));
        Ok(hash)
    }

    /// How often the file was really read.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.reads
    }
}

fn read(path: &Path) -> io::Result<Option<LockHash>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() > LARGEST {
        return Err(io::Error::other("not a regular file of at most 64 MiB"));
    }
    let mut hasher = LockHasher::new();
    let mut chunk = [0; 64 * 1024];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(Some(hasher.finish())),
            count => hasher.update(&chunk[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use nixfleet_core::lock_hash;

    use super::*;

    fn age(path: &Path, seconds: u64) {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_modified(then).unwrap();
    }

    #[test]
    fn a_settled_file_is_read_once_and_any_change_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flake.lock");
        let mut observer = LockObserver::new(path.clone());
        assert_eq!(observer.observe().unwrap(), None);

        fs::write(&path, b"aaaa").unwrap();
        age(&path, 100);
        for _ in 0..3 {
            assert_eq!(observer.observe().unwrap(), Some(lock_hash(b"aaaa")));
        }
        assert_eq!(observer.reads(), 2);

        // Same size, same modification time: the change time tells.
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, b"bbbb").unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_modified(before).unwrap();
        assert_eq!(observer.observe().unwrap(), Some(lock_hash(b"bbbb")));
    }

    #[test]
    fn a_fresh_file_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flake.lock");
        let mut observer = LockObserver::new(path.clone());
        for text in ["a", "b", "c"] {
            fs::write(&path, text).unwrap();
            assert_eq!(
                observer.observe().unwrap(),
                Some(lock_hash(text.as_bytes()))
            );
        }
    }

    #[test]
    fn unreadable_is_not_missing() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("flake.lock")).unwrap();
        assert!(hash_of(folder.path()).is_err());
        assert_eq!(hash_of(&folder.path().join("none")).unwrap(), None);
    }
}
