//! The push: the branch moves from exactly where the update began, or not at all.

use std::path::Path;

use nixfleet_core::CommitId;

use super::scratch::Scratch;
use super::{SCRATCH, UpdateError, absolute, clear, own_branch};
use crate::config::{BranchName, CommitAuthor, PushTo, RemoteUrl};
use crate::git::{Access, Local, PullError, PullRequest, PullSource, QUERY_LIMIT, hardened};
use crate::program;

/// A branch of the remote, where it must be, and where it is to go.
pub(super) struct Destination {
    branch: String,
    from: Option<CommitId>,
    to: CommitId,
}

impl Destination {
    pub fn new(push: PushTo, tracked: &BranchName, base: CommitId, commit: CommitId) -> Self {
        match push {
            PushTo::Tracked => Self {
                branch: tracked.to_string(),
                from: Some(base),
                to: commit,
            },
            PushTo::Branch => Self {
                branch: own_branch(commit),
                from: None,
                to: commit,
            },
        }
    }

    /// The branch of the remote.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// Pushes; whether it arrived is asked where git says that it failed.
    pub fn push(
        &self,
        scratch: &Scratch,
        request: &PullRequest,
        workspace: &Path,
    ) -> Result<(), UpdateError> {
        let remote = remote(&request.source)?;
        let access = Access::new(request, &remote, workspace)?;
        let git = with_access(scratch.dir(), &access);
        println!("pushing {} to {} of {remote}", self.to, self.branch);
        let name = format!("refs/heads/{}", self.branch);
        match self.attempt(&git, &remote, &name, &[]) {
            Ok(()) => Ok(()),
            Err(PullError::Step { .. }) => self.look(&git, &remote, &name),
            Err(other) => Err(other.into()),
        }
    }

    fn attempt(
        &self,
        git: &Local<'_>,
        remote: &RemoteUrl,
        name: &str,
        more: &[&str],
    ) -> Result<(), PullError> {
        // Compares and swaps: the new commit's parent is the expected head, so this is a
        // fast-forward, and a branch that somebody has moved, even back, is left alone.
        let expected = self.from.map_or(String::new(), |from| from.to_string());
        let lease = format!("--force-with-lease={name}:{expected}");
        let refspec = format!("{}:{name}", self.to);
        let start = [
            "-c",
            "push.followTags=false",
            "-c",
            "push.pushOption=",
            "push",
            "--quiet",
            "--no-verify",
            "--no-signed",
            "--recurse-submodules=no",
            "--receive-pack=git-receive-pack",
        ];
        let end = [lease.as_str(), "--", remote.as_str(), refspec.as_str()];
        let words = [&start[..], more, &end[..]].concat();
        git.say(&words, "push")
    }

    /// An answer may get lost after the remote has taken the push.
    fn look(&self, git: &Local<'_>, remote: &RemoteUrl, name: &str) -> Result<(), UpdateError> {
        let words = ["ls-remote", "--", remote.as_str(), name];
        let found = program::run_ok(&git.argv(&words), None, &git.environment, QUERY_LIMIT);
        let text = found
            .map_err(|error| UpdateError::Unclear {
                remote: remote.to_string(),
                branch: self.branch.clone(),
                commit: self.to.to_string(),
                why: error.to_string(),
            })?
            .text();
        let head = text.split_whitespace().next();
        let head: Option<CommitId> = head.and_then(|head| head.parse().ok());
        if head == Some(self.to) {
            println!("the remote has taken it all the same");
            return Ok(());
        }
        match self.from {
            Some(from) if head != Some(from) => Err(UpdateError::Moved {
                branch: self.branch.clone(),
                expected: from.to_string(),
                found: head.map_or_else(|| "nothing".to_owned(), |head| head.to_string()),
            }),
            Some(_) | None => Err(UpdateError::Refused {
                remote: remote.to_string(),
                branch: self.branch.clone(),
            }),
        }
    }
}

/// Asks the remote to take a push, without changing anything there.
///
/// # Errors
/// [`UpdateError`].
pub fn try_push(
    request: &PullRequest,
    author: &CommitAuthor,
    workspace: &Path,
) -> Result<String, UpdateError> {
    let branch: BranchName = request
        .branch
        .parse()
        .map_err(|e: crate::config::ValueError| UpdateError::Request(e.0))?;
    let remote = remote(&request.source)?;
    let folder = absolute(&workspace.join(SCRATCH))?;
    clear(&folder)?;
    let scratch = Scratch::empty(folder, &branch)?;
    let commit = scratch.commit_of_nothing(author)?;
    let destination = Destination::new(PushTo::Branch, &branch, commit, commit);
    let access = Access::new(request, &remote, workspace)?;
    let git = with_access(scratch.dir(), &access);
    let name = format!("refs/heads/{}", destination.branch);
    destination.attempt(&git, &remote, &name, &["--dry-run"])?;
    Ok(remote.to_string())
}

fn remote(source: &PullSource) -> Result<RemoteUrl, UpdateError> {
    match source {
        PullSource::Isolated { url, .. } => url.parse().map_err(|e: crate::config::ValueError| {
            UpdateError::Request(format!("remote: {}", e.0))
        }),
        PullSource::Existing { dir } => Ok(Local::new(dir).push_origin()?),
    }
}

fn with_access<'a>(dir: &'a Path, access: &Access) -> Local<'a> {
    let mut words = hardened(dir);
    words.extend(access.words.iter().cloned());
    Local {
        dir,
        words,
        environment: access.environment.clone(),
    }
}
