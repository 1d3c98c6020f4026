//! The pull: in the agent's own clone a reset, in somebody's checkout a fast-forward. Runs as a
//! process of its own, below the supervisor, and writes what it does to its output.

use std::fs;
use std::io;
use std::path::Path;

use nixfleet_core::CommitId;

use super::access::Access;
use super::local::{Local, QUERY_LIMIT};
use super::{PullError, PullRequest, PullSource, hardened};
use crate::config::{BranchName, RemoteUrl, ValueError};
use crate::durable;
use crate::program;

/// A file below `.git` that says: this clone is the agent's, it may be reset and cleaned.
const OWN_CLONE: &str = "nixfleet-own-clone";

/// Carries out the request; `workspace` is a private folder for a short-lived file with the token.
/// Returns the commit that is checked out afterwards.
///
/// # Errors
/// [`PullError`]; an existing checkout is then as it was.
pub fn pull(request: &PullRequest, workspace: &Path) -> Result<CommitId, PullError> {
    let branch: BranchName = request
        .branch
        .parse()
        .map_err(|e| PullError::Request(format!("branch: {e}")))?;
    let target = match &request.target {
        Some(text) => Some(
            text.parse::<CommitId>()
                .map_err(|e| PullError::Request(format!("target: {e}")))?,
        ),
        None => None,
    };
    match &request.source {
        PullSource::Isolated {
            url,
            dir,
            owned_folder,
        } => {
            let remote: RemoteUrl = url
                .parse()
                .map_err(|e| PullError::Request(format!("remote: {e}")))?;
            let access = Access::new(request, &remote, workspace)?;
            let git = Git::new(dir, access, branch, remote);
            git.isolated(target, owned_folder)
        }
        PullSource::Existing { dir } => {
            let remote = Local::new(dir).origin()?;
            let access = Access::new(request, &remote, workspace)?;
            Git::new(dir, access, branch, remote).existing(target)
        }
    }
}

/// Asks the remote for the head of the branch, without changing anything.
///
/// # Errors
/// [`PullError`].
pub fn look_at_remote(request: &PullRequest, workspace: &Path) -> Result<CommitId, PullError> {
    let refused = |what: &str, why: String| PullError::Request(format!("{what}: {why}"));
    let branch: BranchName = request
        .branch
        .parse()
        .map_err(|e: ValueError| refused("branch", e.0))?;
    let remote: RemoteUrl = match &request.source {
        PullSource::Isolated { url, .. } => url
            .parse()
            .map_err(|e: ValueError| refused("remote", e.0))?,
        PullSource::Existing { dir } => Local::new(dir).origin()?,
    };
    let access = Access::new(request, &remote, workspace)?;
    let git = Git::new(workspace, access, branch, remote);
    let head = format!("refs/heads/{}", git.branch);
    let words = ["ls-remote", "--exit-code", "--", git.remote.as_str(), &head];
    let environment = &git.local.environment;
    let found = program::run_ok(&git.local.argv(&words), None, environment, QUERY_LIMIT)?;
    let commit = found
        .text()
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    commit.parse().map_err(|_| PullError::Fetch {
        branch: git.branch.to_string(),
        remote: git.remote.to_string(),
    })
}

struct Git<'a> {
    local: Local<'a>,
    branch: BranchName,
    remote: RemoteUrl,
    // Removes the token's file when the pull is over.
    _access: Access,
}

impl<'a> Git<'a> {
    fn new(dir: &'a Path, access: Access, branch: BranchName, remote: RemoteUrl) -> Self {
        let mut words = hardened(dir);
        words.extend(access.words.iter().cloned());
        let environment = access.environment.clone();
        Self {
            local: Local {
                dir,
                words,
                environment,
            },
            branch,
            remote,
            _access: access,
        }
    }

    fn isolated(
        &self,
        target: Option<CommitId>,
        owned_folder: &Path,
    ) -> Result<CommitId, PullError> {
        self.own_clone(owned_folder)?;
        self.fetch(self.remote.as_str())?;
        let wanted = self.wanted(target)?;
        let git = &self.local;
        let head = format!("refs/heads/{}", self.branch);
        git.say(&["symbolic-ref", "HEAD", &head], "symbolic-ref")?;
        git.say(&["reset", "--hard", &wanted.to_string()], "reset")?;
        git.say(&["clean", "-ffdxq"], "clean")?;
        git.expect_at(wanted)?;
        // Without this the clone of a busy repository would grow for ever; failing is harmless.
        let tidy = [
            "-c",
            "gc.auto=6700",
            "-c",
            "gc.autoDetach=false",
            "gc",
            "--auto",
            "--quiet",
        ];
        let _ = git.say(&tidy, "gc");
        Ok(wanted)
    }

    fn existing(&self, target: Option<CommitId>) -> Result<CommitId, PullError> {
        let git = &self.local;
        let dir = || git.dir.to_owned();
        let found = git.query(&["symbolic-ref", "--short", "-q", "HEAD"])?;
        if found.code != 0 || found.text() != self.branch.as_str() {
            let found = match found.text() {
                name if name.is_empty() => "a detached HEAD".to_owned(),
                name => format!("branch {name}"),
            };
            return Err(PullError::OtherBranch {
                dir: dir(),
                found,
                branch: self.branch.to_string(),
            });
        }
        git.expect_clean()?;
        self.fetch("origin")?;
        let wanted = self.wanted(target)?;
        let head = git.head()?;
        if head == wanted {
            println!("already at {wanted}");
            return Ok(wanted);
        }
        if !git.is_ancestor(&head.to_string(), &wanted.to_string())? {
            let ahead = git.is_ancestor(&wanted.to_string(), &head.to_string())?;
            return Err(PullError::Diverged {
                dir: dir(),
                wanted: wanted.to_string(),
                why: if ahead {
                    "it has commits beyond it"
                } else {
                    "it has commits of its own (diverged)"
                },
            });
        }
        git.say(
            &["merge", "--ff-only", "--no-edit", &wanted.to_string()],
            "merge",
        )?;
        git.expect_at(wanted)?;
        Ok(wanted)
    }

    /// Makes sure that there is a clone of ours to fetch into.
    fn own_clone(&self, owned_folder: &Path) -> Result<(), PullError> {
        let dir = self.local.dir;
        let file = |what: &str, source| PullError::File {
            what: format!("cannot {what} {}", dir.display()),
            source,
        };
        let git_dir = dir.join(".git");
        let marker = git_dir.join(OWN_CLONE);
        let empty = match fs::read_dir(dir) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(file("read", error)),
        };
        let is_link = fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_symlink());
        let ours = marker.is_file() || (dir.starts_with(owned_folder) && dir != owned_folder);
        if !empty && (!ours || is_link) {
            return Err(PullError::NotOurs {
                dir: dir.to_owned(),
            });
        }
        if git_dir.exists() && self.local.query(&["rev-parse", "--git-dir"])?.code != 0 {
            // A clone that was cut short; everything in it can be fetched again.
            println!(
                "the clone in {} is damaged: starting it anew",
                dir.display()
            );
            fs::remove_dir_all(&git_dir).map_err(|e| file("clear", e))?;
        }
        if !git_dir.exists() {
            durable::create_private_dir(dir).map_err(|e| file("create", e))?;
            let initial = format!("--initial-branch={}", self.branch);
            self.local
                .say(&["init", "--quiet", "--template=", &initial], "init")?;
        }
        durable::write_atomic(
            &marker,
            b"Made by nixfleet-agent, which resets and cleans this clone.\n",
        )
        .map_err(|e| file("mark", e))?;
        self.remove_stale_locks(&git_dir);
        Ok(())
    }

    /// A git that was killed leaves its lock files behind. Only one job runs at a time, and the
    /// clone is ours alone, so nobody holds them.
    fn remove_stale_locks(&self, git_dir: &Path) {
        let branch = self.branch.as_str();
        for name in [
            "index.lock".to_owned(),
            "HEAD.lock".to_owned(),
            "config.lock".to_owned(),
            "shallow.lock".to_owned(),
            "packed-refs.lock".to_owned(),
            "FETCH_HEAD.lock".to_owned(),
            format!("refs/heads/{branch}.lock"),
            format!("refs/remotes/origin/{branch}.lock"),
        ] {
            let _ = fs::remove_file(git_dir.join(name));
        }
    }

    fn fetch(&self, from: &str) -> Result<(), PullError> {
        println!("fetching {} of {}", self.branch, self.remote);
        let refspec = format!("+refs/heads/{0}:refs/remotes/origin/{0}", self.branch);
        let words = [
            "fetch",
            "--quiet",
            "--force",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--upload-pack=git-upload-pack",
            "--",
            from,
            &refspec,
        ];
        match self.local.say(&words, "fetch") {
            Err(PullError::Step { .. }) => Err(PullError::Fetch {
                branch: self.branch.to_string(),
                remote: self.remote.to_string(),
            }),
            other => other,
        }
    }

    /// The commit to go to; a pinned one must be part of what was just fetched.
    fn wanted(&self, target: Option<CommitId>) -> Result<CommitId, PullError> {
        let remote_head = format!("refs/remotes/origin/{}", self.branch);
        let Some(target) = target else {
            return self.local.commit(&format!("{remote_head}^{{commit}}"));
        };
        let text = target.to_string();
        let known = self
            .local
            .query(&["cat-file", "-e", &format!("{text}^{{commit}}")])?
            .code
            == 0;
        if known && self.local.is_ancestor(&text, &remote_head)? {
            return Ok(target);
        }
        Err(PullError::TargetNotOnBranch {
            target: text,
            branch: self.branch.to_string(),
            remote: self.remote.to_string(),
        })
    }
}
