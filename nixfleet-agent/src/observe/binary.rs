//! The agent's own program: which one runs.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use nixfleet_core::LockHasher;

/// The running program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// The path it was started from, with links resolved.
    pub path: PathBuf,
    /// That path if it is in the nix store.
    pub store_path: Option<String>,
    /// SHA-256 of its bytes.
    pub hash: Option<String>,
    /// The commit it was built from, where the build said.
    pub source_commit: Option<&'static str>,
}

impl Binary {
    /// Finds out once, at start; later the file may have been replaced.
    ///
    /// # Errors
    /// When the system does not tell the path.
    pub fn find() -> std::io::Result<Self> {
        let path = std::env::current_exe()?;
        let path = path.canonicalize().unwrap_or(path);
        let store_path = path
            .starts_with("/nix/store")
            .then(|| path.display().to_string());
        Ok(Self {
            hash: hash(&path),
            store_path,
            path,
            source_commit: option_env!("NIXFLEET_SOURCE_COMMIT"),
        })
    }
}

fn hash(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let mut hasher = LockHasher::new();
    let mut chunk = vec![0; 256 * 1024];
    loop {
        match file.read(&mut chunk).ok()? {
            0 => return Some(hasher.finish().to_string()),
            count => hasher.update(&chunk[..count]),
        }
    }
}
