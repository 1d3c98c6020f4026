//! HEAD and cleanliness of the checkout.
//!
//! HEAD is asked of git itself (packed refs, worktrees, detached HEADs, reftables), but only when
//! one of the files that git changes with it has changed. Cleanliness cannot be seen on such files:
//! an edited file touches nothing in `.git`. So it is asked again when the index or HEAD changed,
//! when a command ended, and every two minutes in somebody's checkout, where people edit. In the
//! agent's own clone nobody else has business, and ten minutes bound the time an intruding edit
//! stays unseen; pulls and builds look anyway.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nixfleet_core::CommitId;

use super::Occasion;
use super::fingerprint::Fingerprint;
use crate::environment;
use crate::git::{ENVIRONMENT, hardened};
use crate::program::{self, ProgramError};

const LIMIT: Duration = Duration::from_secs(30);
const LOOK_AGAIN_EXISTING: Duration = Duration::from_secs(120);
const LOOK_AGAIN_OWN: Duration = Duration::from_secs(600);
/// A failing git is not asked at every heartbeat.
const RETRY: Duration = Duration::from_secs(30);

/// Why git did not answer.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no checkout yet.
    #[error("{} does not exist yet; a pull creates or needs it", .0.display())]
    NoFolder(PathBuf),
    /// Git failed.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Git's answer is not a commit.
    #[error("git named no commit: {0}")]
    NoCommit(String),
}

/// The full id of HEAD.
///
/// # Errors
/// [`GitError`].
pub fn head(dir: &Path) -> Result<CommitId, GitError> {
    let text = ask(dir, &["rev-parse", "--verify", "HEAD^{commit}"])?;
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    text.parse().map_err(|_| GitError::NoCommit(text))
}

/// Whether anything is modified or untracked, or may be: a file that git was told not to look at
/// (`git update-index --assume-unchanged` and `--skip-worktree`) is not known to be unmodified.
///
/// # Errors
/// [`GitError`].
pub fn is_dirty(dir: &Path) -> Result<bool, GitError> {
    let text = ask(dir, &["status", "--porcelain", "--ignore-submodules=all"])?;
    if !text.is_empty() {
        return Ok(true);
    }
    let files = ask(dir, &["ls-files", "-v", "-z"])?;
    Ok(files
        .split(|&byte| byte == 0)
        .any(|file| file.first().is_some_and(|&tag| is_hidden(tag))))
}

/// Lower case: assumed unchanged; S: skipped in the worktree (git-ls-files(1), `-v`).
fn is_hidden(tag: u8) -> bool {
    tag.is_ascii_lowercase() || tag == b'S'
}

fn ask(dir: &Path, words: &[&str]) -> Result<Vec<u8>, GitError> {
    if !dir.is_dir() {
        return Err(GitError::NoFolder(dir.to_owned()));
    }
    let mut argv = hardened(dir);
    argv.extend(words.iter().map(|&word| word.to_owned()));
    let mut environment = environment::allowed();
    for (name, value) in ENVIRONMENT {
        environment.insert((*name).to_owned(), (*value).to_owned());
    }
    // A folder without `.git` must not be taken for a part of a repository around it.
    if let Some(parent) = dir.parent() {
        let ceiling = parent.display().to_string();
        environment.insert("GIT_CEILING_DIRECTORIES".to_owned(), ceiling);
    }
    Ok(program::run_ok(&argv, None, &environment, LIMIT)?.stdout)
}

/// Remembers what git said, until one of its files changes.
#[derive(Debug)]
pub struct GitObserver {
    dir: PathBuf,
    look_again: Duration,
    known: Option<Known>,
    asked: u64,
}

#[derive(Debug)]
struct Known {
    files: Vec<(PathBuf, Fingerprint)>,
    at: Instant,
    commit: Option<CommitId>,
    dirty: Option<bool>,
    error: Option<String>,
}

impl GitObserver {
    /// An observer that has seen nothing.
    #[must_use]
    pub fn new(dir: PathBuf, own_clone: bool) -> Self {
        let look_again = if own_clone {
            LOOK_AGAIN_OWN
        } else {
            LOOK_AGAIN_EXISTING
        };
        Self {
            dir,
            look_again,
            known: None,
            asked: 0,
        }
    }

    /// HEAD, whether it is dirty, and why either is not known.
    pub fn observe(
        &mut self,
        occasion: Occasion,
    ) -> (Option<CommitId>, Option<bool>, Option<String>) {
        if occasion == Occasion::Closely || !self.is_current() {
            self.look();
        }
        match &self.known {
            Some(known) => (known.commit, known.dirty, known.error.clone()),
            None => (None, None, None),
        }
    }

    /// How often git was asked.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked
    }

    fn is_current(&self) -> bool {
        let Some(known) = &self.known else {
            return false;
        };
        let patience = if known.error.is_some() {
            RETRY
        } else {
            self.look_again
        };
        known.at.elapsed() < patience
            && known
                .files
                .iter()
                .all(|(path, then)| Fingerprint::of(path).is_ok_and(|now| then.still_holds(&now)))
    }

    fn look(&mut self) {
        self.asked += 1;
        // Before asking, so that a change in between is seen the next time.
        let files = watched(&self.dir)
            .into_iter()
            .map(|path| {
                let print = Fingerprint::of(&path).unwrap_or(Fingerprint::Absent);
                (path, print)
            })
            .collect();
        let commit = head(&self.dir);
        let dirty = is_dirty(&self.dir);
        let error = commit
            .as_ref()
            .err()
            .or(dirty.as_ref().err())
            .map(ToString::to_string);
        self.known = Some(Known {
            files,
            at: Instant::now(),
            commit: commit.ok(),
            dirty: dirty.ok(),
            error,
        });
    }
}

/// The files that change whenever HEAD, the branch or the index does, plus `.git` itself.
fn watched(dir: &Path) -> Vec<PathBuf> {
    let dot_git = dir.join(".git");
    let git_dir = match fs::read_to_string(&dot_git) {
        // A worktree: a file that names the real folder.
        Ok(text) => match text.trim().strip_prefix("gitdir:") {
            Some(path) => dir.join(path.trim()),
            None => dot_git.clone(),
        },
        Err(_) => dot_git.clone(),
    };
    let common = match fs::read_to_string(git_dir.join("commondir")) {
        Ok(text) => git_dir.join(text.trim()),
        Err(_) => git_dir.clone(),
    };
    let mut files = vec![
        git_dir.join("HEAD"),
        git_dir.join("index"),
        common.join("packed-refs"),
        common.join("reftable/tables.list"),
        dir.join("flake.lock"),
        dir.join("flake.nix"),
    ];
    if let Ok(head) = fs::read_to_string(git_dir.join("HEAD"))
        && let Some(name) = head.trim().strip_prefix("ref:")
        && !name.contains("..")
    {
        files.push(common.join(name.trim()));
    }
    if dot_git != git_dir {
        files.push(dot_git);
    }
    files
}
