//! The host-driven strategy (spec 05): update the inputs of the configuration, commit, push.
//!
//! All of it happens in a scratch repository below the job's folder, which borrows the objects of
//! the checkout but has a configuration of its own: nothing that the checkout configures (hooks,
//! filters, helpers) can run, and whoever stops it in the middle leaves the checkout at a head of
//! the remote. The checkout itself is only ever pulled, before and after.

mod error;
mod inputs;
mod push;
mod scratch;

use std::fs;
use std::path::{Path, PathBuf};

use nixfleet_core::lock::{LockComparison, compare};
use nixfleet_core::wire::agent::UpdateFacts;
use nixfleet_core::{CommitId, FlakeLock, lock_hash};
use serde::{Deserialize, Serialize};

pub use error::UpdateError;
pub use inputs::{NixVersion, Updater};
pub use push::try_push;

use crate::config::{BranchName, CommitAuthor, InputName, PushTo, ValueError};
use crate::durable;
use crate::git::{Local, PullRequest, pull};
use push::Destination;
use scratch::Scratch;

/// In the job's folder: what was done, once it is done.
pub(crate) const RECORD: &str = "update.json";
/// In the job's folder: the scratch repository.
pub(crate) const SCRATCH: &str = "update";
/// So many changed inputs are named in the message of the commit.
const NAMED_CHANGES: usize = 100;

/// What to update and where to push it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateRequest {
    /// The checkout, its remote and branch; always the branch's head.
    pub pull: PullRequest,
    /// The one input to update; all of them if `None`.
    pub input: Option<String>,
    /// The words of a command that replaces nix; `{repo}` is the folder it runs in.
    pub command: Option<Vec<String>>,
    /// The author of the commit, `Name <address>`.
    pub author: String,
    /// Where to push: see [`PushTo`].
    pub push: String,
}

struct Wanted {
    branch: BranchName,
    input: Option<InputName>,
    author: CommitAuthor,
    push: PushTo,
}

impl Wanted {
    fn read(request: &UpdateRequest) -> Result<Self, UpdateError> {
        let refused = |error: ValueError| UpdateError::Request(error.0);
        Ok(Self {
            branch: request.pull.branch.parse().map_err(refused)?,
            input: match &request.input {
                Some(name) => Some(name.parse().map_err(refused)?),
                None => None,
            },
            author: request.author.parse().map_err(refused)?,
            push: request.push.parse().map_err(refused)?,
        })
    }
}

/// Carries out the request; `workspace` is the job's private folder, where the record of what was
/// done is left for its supervisor.
///
/// # Errors
/// [`UpdateError`]; unless it says otherwise, nothing was pushed.
pub fn update_inputs(
    request: &UpdateRequest,
    workspace: &Path,
) -> Result<UpdateFacts, UpdateError> {
    let wanted = Wanted::read(request)?;
    let to_head = PullRequest {
        target: None,
        ..request.pull.clone()
    };
    let base = pull(&to_head, workspace)?;
    let folder = absolute(&workspace.join(SCRATCH))?;
    let scratch = Scratch::new(folder, to_head.source.dir(), &wanted.branch, base)?;
    let before = scratch.lock()?;
    if request.command.is_none() {
        known(wanted.input.as_ref(), before.as_deref())?;
    }
    let updater = match &request.command {
        Some(words) => Updater::Configured(words.clone()),
        None => Updater::find()?,
    };
    updater.run(scratch.dir(), wanted.input.as_ref())?;
    let after = scratch.lock()?;

    let hash = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|b| lock_hash(b).to_string());
    let mut facts = UpdateFacts {
        base: base.to_string(),
        lock_before: hash(&before),
        lock_after: hash(&after),
        ..UpdateFacts::default()
    };
    if before == after {
        println!("flake.lock did not change: there is nothing to push");
        record(workspace, &facts)?;
        return Ok(facts);
    }
    let after = after.ok_or(UpdateError::LockRemoved)?;
    FlakeLock::parse(&after).map_err(UpdateError::NotALock)?;
    let message = message(wanted.input.as_ref(), before.as_deref(), &after);
    println!("{message}");
    let commit = scratch.commit(base, &wanted.author, &message)?;

    let destination = Destination::new(wanted.push, &wanted.branch, base, commit);
    match destination.push(&scratch, &to_head, workspace) {
        Err(moved @ UpdateError::Moved { .. }) => {
            // The checkout is brought to where the next attempt begins. If an answer got lost and
            // somebody has pushed on top of the update since, it is there after all.
            let head = pull(&to_head, workspace).inspect_err(|error| eprintln!("{error}"));
            let arrived = head.is_ok_and(|head| contains(&to_head, head, commit));
            if !arrived {
                return Err(moved);
            }
        }
        pushed => pushed?,
    }
    facts.commit = Some(commit.to_string());
    facts.branch = Some(destination.branch().to_string());
    record(workspace, &facts)?;
    if wanted.push == PushTo::Tracked
        && let Err(error) = pull(&to_head, workspace)
    {
        eprintln!("the update is pushed, but the checkout is not there yet: {error}");
    }
    Ok(facts)
}

/// An input that does not exist would be an update that never finds anything.
fn known(input: Option<&InputName>, lock: Option<&[u8]>) -> Result<(), UpdateError> {
    let lock = lock.and_then(|bytes| FlakeLock::parse(bytes).ok());
    let (Some(input), Some(lock)) = (input, lock) else {
        return Ok(());
    };
    let names: Vec<&str> = lock.root_inputs().map(|found| found.name).collect();
    if names.contains(&input.as_str()) {
        return Ok(());
    }
    Err(UpdateError::UnknownInput {
        input: input.as_str().to_owned(),
        known: names.join(", "),
    })
}

/// What changed, as the message of the commit.
fn message(input: Option<&InputName>, before: Option<&[u8]>, after: &[u8]) -> String {
    let what = input.map_or("inputs", InputName::as_str);
    let mut lines = vec![format!("flake.lock: update {what}"), String::new()];
    if let Some(Ok(LockComparison::Differ(diff))) = before.map(|before| compare(before, after)) {
        let changes: Vec<_> = diff.root_changes().collect();
        let named = changes.iter().take(NAMED_CHANGES);
        lines.extend(named.map(|change| format!("* {change}")));
        if changes.len() > NAMED_CHANGES {
            lines.push(format!("* and {} more", changes.len() - NAMED_CHANGES));
        }
    }
    lines.join("\n").trim_end().to_owned()
}

fn contains(request: &PullRequest, head: CommitId, commit: CommitId) -> bool {
    let checkout = Local::new(request.source.dir());
    checkout
        .is_ancestor(&commit.to_string(), &head.to_string())
        .unwrap_or(false)
}

fn record(workspace: &Path, facts: &UpdateFacts) -> Result<(), UpdateError> {
    let path = workspace.join(RECORD);
    serde_json::to_vec(facts)
        .map_err(std::io::Error::other)
        .and_then(|bytes| durable::write_atomic(&path, &bytes))
        .map_err(|source| UpdateError::file("write", &path, source))
}

fn absolute(path: &Path) -> Result<PathBuf, UpdateError> {
    std::path::absolute(path).map_err(|source| UpdateError::file("find", path, source))
}

/// Removes a folder, if it is there.
fn clear(path: &Path) -> Result<(), UpdateError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(UpdateError::file("clear", path, error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The branch for a pull request with this commit.
fn own_branch(commit: CommitId) -> String {
    let text = commit.to_string();
    format!("nixfleet/update-{}", text.get(..12).unwrap_or(&text))
}
