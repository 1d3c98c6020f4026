//! Whether a file is still the one that was read: by modification and change time, size and inode.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A file that was changed less than this before it was read may change again without a new time
/// stamp, since clocks of file systems tick coarsely. Such a reading is not trusted the next time.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// What identifies one state of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fingerprint {
    Absent,
    Present {
        modified: (i64, i64),
        changed: (i64, i64),
        size: u64,
        inode: u64,
        device: u64,
        settled: bool,
    },
}

impl Fingerprint {
    pub fn of(path: &Path) -> io::Result<Self> {
        let meta = match fs::metadata(path) {
            Ok(meta) => meta,
            Err(error) if is_absent(&error) => return Ok(Self::Absent),
            Err(error) => return Err(error),
        };
        let age = meta
            .modified()
            .ok()
            .and_then(|at| SystemTime::now().duration_since(at).ok());
        Ok(Self::Present {
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            size: meta.size(),
            inode: meta.ino(),
            device: meta.dev(),
            settled: age.is_some_and(|age| age >= SETTLED_AFTER),
        })
    }

    /// Whether a reading made at `self` is certain to hold at `now`.
    pub fn still_holds(&self, now: &Self) -> bool {
        match (self, now) {
            (Self::Absent, Self::Absent) => true,
            (Self::Present { settled, .. }, Self::Present { .. }) => {
                *settled && self.without_age() == now.without_age()
            }
            (Self::Absent, Self::Present { .. }) | (Self::Present { .. }, Self::Absent) => false,
        }
    }

    fn without_age(&self) -> Self {
        let mut same = self.clone();
        if let Self::Present { settled, .. } = &mut same {
            *settled = true;
        }
        same
    }
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
