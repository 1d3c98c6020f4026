//! The verb `desired`: what a reading of the remote finds.

use std::sync::Arc;

use nixfleet_core::desired::{RemoteCause, RemoteHistory, Snapshot, Unavailable};
use nixfleet_core::{CommitHistory, LockHistory, LockVersion, OffBranch};

use super::machine::{commit, lock};
use super::stage::{START, Stage};
use super::verbs::letter;

pub fn desired(stage: &mut Stage, words: &[&str]) {
    let failed = |cause, detail: &str| Some(Err(Unavailable::new(cause, detail)));
    match words {
        ["unreachable"] => stage.reading = failed(RemoteCause::Unreachable, "no route to host"),
        ["denied"] => stage.reading = failed(RemoteCause::AccessDenied, "HTTP 403"),
        ["hangs"] => {
            stage.reading = None;
            return;
        }
        ["beside", name] => {
            let history = stage.history.take().expect("a history");
            let beside = OffBranch {
                ahead: 1,
                behind: 2,
            };
            let commits = history.commits.clone();
            stage.history = Some(Arc::new(RemoteHistory {
                commits: commits.knowing([(commit(letter(name)), beside)].into()),
                locks: history.locks.clone(),
            }));
        }
        ["history", letters @ ..] => {
            let letters: Vec<char> = letters.iter().map(|one| letter(one)).collect();
            let version = |letter: &char| LockVersion {
                commit: commit(*letter),
                hash: lock(*letter),
                time: START,
                summary: None,
            };
            stage.history = Some(Arc::new(RemoteHistory {
                commits: CommitHistory::new(letters.iter().map(|one| commit(*one)).collect()),
                locks: LockHistory::new(letters.iter().map(version).collect()),
            }));
        }
        [revision, rest @ ..] => {
            let head = letter(revision);
            stage.reading = Some(Ok(Snapshot {
                commit: Ok(commit(head)),
                lock: match rest {
                    ["no-lock"] => Err(Unavailable::new(RemoteCause::LockMissing, "")),
                    ["same-lock", of] => Ok(lock(letter(of))),
                    _ => Ok(lock(head)),
                },
                subject: None,
                commit_time: None,
                branch: Some("main".to_owned()),
                rewritten: rest == ["rewritten"],
            }));
        }
        [] => panic!("desired what?"),
    }
    stage.read_remote();
}
