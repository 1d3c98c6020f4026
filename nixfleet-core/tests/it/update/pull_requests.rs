//! Pull requests to play with: a benign one, and its locks.

use nixfleet_core::update::{
    ChangedFile, Check, CheckState, Mergeable, PrNumber, PrState, PullRequest, ReadOrNot,
    UpdatePolicy,
};
use nixfleet_core::{CommitId, Timestamp};
use serde_json::{Value, json};

pub const REPO: &str = "o/config";
pub const BOT: &str = "update-bot";
pub const START: Timestamp = Timestamp::from_seconds(1_795_000_000);

/// A commit of one hex digit.
pub fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

pub fn policy() -> UpdatePolicy {
    UpdatePolicy {
        authors: [BOT.to_owned()].into(),
        required_checks: ["build".to_owned()].into(),
        auto_merge: true,
        ..UpdatePolicy::new(REPO, "main")
    }
}

fn github(owner: &str, repo: &str, rev: char, date: u64) -> Value {
    let rev = rev.to_string().repeat(40);
    json!({
        "locked": {
            "type": "github", "owner": owner, "repo": repo, "rev": rev,
            "narHash": format!("sha256-{rev}"), "lastModified": date,
        },
        "original": { "type": "github", "owner": owner, "repo": repo },
    })
}

/// A lock with three inputs, of which one has an input of its own and one is no flake.
pub fn lock(rev: char) -> Value {
    let mut manager = github("nix-community", "home-manager", rev, 1_795_000_000);
    manager["inputs"] = json!({ "nixpkgs": ["nixpkgs"] });
    let mut assets = github("o", "assets", '7', 1_700_000_000);
    assets["flake"] = json!(false);
    json!({
        "version": 7,
        "root": "root",
        "nodes": {
            "root": { "inputs": {
                "nixpkgs": "nixpkgs", "home-manager": "home-manager", "assets": "assets",
            }},
            "nixpkgs": github("NixOS", "nixpkgs", rev, 1_795_000_000),
            "home-manager": manager,
            "assets": assets,
        },
    })
}

pub fn bytes(lock: &Value) -> Vec<u8> {
    serde_json::to_vec_pretty(lock).unwrap()
}

/// The pull request that an automation merges, once it is old enough.
pub fn benign() -> PullRequest {
    PullRequest {
        number: PrNumber(42),
        title: "flake.lock: update".to_owned(),
        url: "https://forge.example/o/config/pull/42".to_owned(),
        author: BOT.to_owned(),
        labels: vec!["automated".to_owned()],
        created_at: START,
        state: PrState::Open,
        draft: false,
        base_branch: "main".to_owned(),
        base_repo: REPO.to_owned(),
        head_branch: "update-flake-lock".to_owned(),
        head_repo: Some(REPO.to_owned()),
        head: commit('c'),
        mergeable: Mergeable::Yes,
        files: ReadOrNot::Read(vec![modified("flake.lock")]),
        locks: ReadOrNot::Read((bytes(&lock('1')), bytes(&lock('2')))),
        checks: ReadOrNot::Read(vec![check("build", CheckState::Success, 'c')]),
    }
}

pub fn modified(path: &str) -> ChangedFile {
    ChangedFile {
        path: path.to_owned(),
        previous_path: None,
        modified: true,
    }
}

pub fn check(name: &str, state: CheckState, on: char) -> Check {
    Check {
        name: name.to_owned(),
        state,
        commit: commit(on),
    }
}

/// Changes the lock at the head.
pub fn edit_lock(pr: &mut PullRequest, edit: impl FnOnce(&mut Value)) {
    let mut new = lock('2');
    edit(&mut new);
    pr.locks = ReadOrNot::Read((bytes(&lock('1')), bytes(&new)));
}
