//! The facts a supervisor records before and after a stage.

use super::spec::{Capture, Captured, CapturedRepo};
use crate::observe::{git, lock, system};

pub(super) fn capture(wanted: &Capture) -> Captured {
    let repo = wanted.repo_dir.as_deref().and_then(|dir| {
        let commit = git::head(dir).ok()?;
        Some(CapturedRepo {
            commit: commit.to_string(),
            lock_hash: lock::hash_of(dir).ok()?.map(|hash| hash.to_string()),
            clean: !git::is_dirty(dir).ok()?,
        })
    });
    let by_link = wanted.system_link.as_deref().and_then(system::link_target);
    let by_command = || system::command_output(wanted.system_command.as_deref()?);
    Captured {
        repo,
        system: by_link.or_else(by_command),
        failed_units: wanted.failed_units.then(system::failed_units).flatten(),
    }
}
