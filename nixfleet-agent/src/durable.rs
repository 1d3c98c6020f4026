//! Files that must survive a crash: written beside, synced, renamed, and the folder synced too.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Replaces `path` with `bytes` so that after a crash it holds either the old or the new content.
///
/// # Errors
/// Any error of the file system; the old content is then still in place.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = parent(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        sync_dir(folder)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Creates `path` with `bytes` if it does not exist. `Ok(false)`: somebody else created it first.
///
/// # Errors
/// Any other error of the file system.
pub fn create_once(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    };
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_dir(parent(path)?)?;
    Ok(true)
}

/// Creates a folder, and its parents, readable by the owner only, and syncs its parent.
///
/// # Errors
/// Any error of the file system.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    sync_dir(parent(path)?)
}

/// Makes the names in a folder durable.
///
/// # Errors
/// Any error of the file system.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn parent(path: &Path) -> io::Result<&Path> {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(folder) => Ok(folder),
        None => Err(io::Error::other("the path has no parent folder")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_created_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert!(!create_once(&path, b"three").unwrap());
        assert!(create_once(&folder.path().join("b"), b"x").unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
