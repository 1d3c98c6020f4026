//! The scratch repository: the tree of one commit, and a new commit that changes `flake.lock` only.

use std::fs;
use std::path::{Path, PathBuf};

use nixfleet_core::CommitId;
use nixfleet_core::lock::MAX_LOCK_BYTES;

use super::{UpdateError, clear};
use crate::config::{BranchName, CommitAuthor};
use crate::durable;
use crate::git::{ENVIRONMENT, Local, PullError, QUERY_LIMIT, hardened};
use crate::program;

const LOCK: &str = "flake.lock";

/// A repository of its own that borrows the objects of a checkout; removed when it is dropped.
pub(super) struct Scratch {
    dir: PathBuf,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = clear(&self.dir);
    }
}

impl Scratch {
    /// The tree of `base`, which the checkout has.
    pub fn new(
        dir: PathBuf,
        checkout: &Path,
        branch: &BranchName,
        base: CommitId,
    ) -> Result<Self, UpdateError> {
        clear(&dir)?;
        let scratch = Self::empty(dir, branch)?;
        let owner = Local::new(checkout);
        let objects = git_path(&owner, "objects")?;
        let alternates = scratch.dir.join(".git/objects/info/alternates");
        write(&alternates, format!("{}\n", objects.display()).as_bytes())?;
        let shallow = git_path(&owner, "shallow")?;
        if let Ok(bytes) = fs::read(&shallow) {
            write(&scratch.dir.join(".git/shallow"), &bytes)?;
        }
        let words = ["reset", "--hard", "--quiet", &base.to_string()];
        scratch.git().say(&words, "reset")?;
        Ok(scratch)
    }

    /// With nothing in it.
    pub fn empty(dir: PathBuf, branch: &BranchName) -> Result<Self, UpdateError> {
        durable::create_private_dir(&dir).map_err(|e| UpdateError::file("create", &dir, e))?;
        let scratch = Self { dir };
        let initial = format!("--initial-branch={branch}");
        let words = ["init", "--quiet", "--template=", &initial];
        scratch.git().say(&words, "init")?;
        let info = scratch.dir.join(".git/objects/info");
        fs::create_dir_all(&info).map_err(|e| UpdateError::file("create", &info, e))?;
        Ok(scratch)
    }

    /// The folder with the tree.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Git in it, with no configuration but the one of its own making.
    pub fn git(&self) -> Local<'_> {
        let mut environment = crate::environment::allowed();
        let own = [
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
        ];
        for (name, value) in ENVIRONMENT.iter().chain(&own) {
            environment.insert((*name).to_owned(), (*value).to_owned());
        }
        Local {
            dir: &self.dir,
            words: hardened(&self.dir),
            environment,
        }
    }

    /// The bytes of the lock, if there is one.
    pub fn lock(&self) -> Result<Option<Vec<u8>>, UpdateError> {
        let path = self.dir.join(LOCK);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(UpdateError::file("read", &path, error)),
            Ok(meta) if !meta.is_file() => return Err(UpdateError::NotAFile),
            Ok(meta) if meta.len() > MAX_LOCK_BYTES as u64 => {
                let error = std::io::Error::other(format!("it has {} bytes", meta.len()));
                return Err(UpdateError::file("use", &path, error));
            }
            Ok(_) => {}
        }
        fs::read(&path)
            .map(Some)
            .map_err(|e| UpdateError::file("read", &path, e))
    }

    /// A commit on `base` that differs from it in the lock alone, whatever else changed in the
    /// tree.
    pub fn commit(
        &self,
        base: CommitId,
        author: &CommitAuthor,
        message: &str,
    ) -> Result<CommitId, UpdateError> {
        let mut git = self.git();
        let state = self.dir.join(".git");
        let index = state.join("nixfleet-index");
        let text = state.join("nixfleet-message");
        write(&text, message.as_bytes())?;
        let text = text.display().to_string();
        for (name, value) in [
            ("GIT_INDEX_FILE", index.display().to_string()),
            ("GIT_AUTHOR_NAME", author.name.clone()),
            ("GIT_AUTHOR_EMAIL", author.email.clone()),
            ("GIT_COMMITTER_NAME", author.name.clone()),
            ("GIT_COMMITTER_EMAIL", author.email.clone()),
        ] {
            git.environment.insert(name.to_owned(), value);
        }
        let base = base.to_string();
        // The very bytes of the file: their hash is what hosts are compared by.
        let lock = self.dir.join(LOCK).display().to_string();
        let blob = answer(&git, &["hash-object", "-w", "--no-filters", "--", &lock])?;
        answer(&git, &["read-tree", &base])?;
        let entry = format!("100644,{blob},{LOCK}");
        answer(&git, &["update-index", "--add", "--cacheinfo", &entry])?;
        let tree = answer(&git, &["write-tree"])?;
        let commit = answer(&git, &["commit-tree", "-p", &base, "-F", &text, &tree])?;
        Ok(git.commit(&format!("{commit}^{{commit}}"))?)
    }

    /// A commit of nothing, to try a push with.
    pub fn commit_of_nothing(&self, author: &CommitAuthor) -> Result<CommitId, UpdateError> {
        let mut git = self.git();
        for (name, value) in [
            ("GIT_AUTHOR_NAME", &author.name),
            ("GIT_AUTHOR_EMAIL", &author.email),
            ("GIT_COMMITTER_NAME", &author.name),
            ("GIT_COMMITTER_EMAIL", &author.email),
        ] {
            git.environment.insert(name.to_owned(), value.clone());
        }
        let tree = answer(&git, &["write-tree"])?;
        let commit = answer(&git, &["commit-tree", "-m", "nothing", &tree])?;
        Ok(git.commit(&format!("{commit}^{{commit}}"))?)
    }
}

fn answer(git: &Local<'_>, words: &[&str]) -> Result<String, PullError> {
    let found = program::run_ok(&git.argv(words), None, &git.environment, QUERY_LIMIT)?;
    Ok(found.text())
}

/// Where the checkout keeps a part of its repository, also if it is a linked worktree.
fn git_path(checkout: &Local<'_>, name: &str) -> Result<PathBuf, UpdateError> {
    let found = PathBuf::from(answer(checkout, &["rev-parse", "--git-path", name])?);
    super::absolute(&checkout.dir.join(found))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), UpdateError> {
    fs::write(path, bytes).map_err(|e| UpdateError::file("write", path, e))
}
