//! A forge in the same process: one pull request that becomes a real commit when it is merged.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use nixfleet_core::update::{
    ChangedFile, Check, CheckState, Containment, ForgeAnswer, ForgeCall, MergeAnswer, Mergeable,
    PrNumber, PrState, PullRequest, ReadOrNot, RevertAnswer,
};
use nixfleet_core::{CommitId, Timestamp};
use nixfleet_server::app::Replacements;
use nixfleet_server::forge::{Fault, Forge, HeadCommit};

use crate::sources::repo::{Repo, lock};

pub const NUMBER: u64 = 42;

/// What the forge knows and did.
#[derive(Debug)]
pub struct Script {
    pub pull: Option<PullRequest>,
    pub calls: Vec<ForgeCall>,
    /// From now on merge calls get no answer; they are done all the same.
    pub silent: bool,
}

#[derive(Clone, Debug)]
pub struct ScriptedForge {
    pub script: Arc<Mutex<Script>>,
    repo: PathBuf,
}

impl ScriptedForge {
    /// With one open pull request that would bring `lock('b')`.
    pub fn new(repo: &Repo) -> Self {
        let script = Script {
            pull: Some(pull()),
            calls: Vec::new(),
            silent: false,
        };
        Self {
            script: Arc::new(Mutex::new(script)),
            repo: repo.path(),
        }
    }

    pub fn replacements(&self) -> Replacements {
        Replacements {
            forge: Some(Arc::new(self.clone())),
            ..Replacements::default()
        }
    }

    pub fn head() -> CommitId {
        "c".repeat(40).parse().unwrap()
    }

    /// The heads that were given to merge calls.
    pub fn merges(&self) -> Vec<CommitId> {
        let script = self.script.lock().unwrap();
        let head = |call: &ForgeCall| match call {
            ForgeCall::Merge { head, .. } => Some(*head),
            ForgeCall::List
            | ForgeCall::Read { .. }
            | ForgeCall::Contains { .. }
            | ForgeCall::Revert { .. } => None,
        };
        script.calls.iter().filter_map(head).collect()
    }

    pub fn change(&self, change: impl FnOnce(&mut PullRequest)) {
        let mut script = self.script.lock().unwrap();
        change(script.pull.as_mut().unwrap());
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=Forge",
                "-c",
                "user.email=forge@example.org",
            ])
            .args(arguments)
            .current_dir(&self.repo)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn answer(&self, call: &ForgeCall) -> ForgeAnswer {
        let mut script = self.script.lock().unwrap();
        script.calls.push(call.clone());
        match call {
            ForgeCall::List => {
                let pull = script.pull.iter();
                let open = pull.filter(|pull| pull.state == PrState::Open);
                ForgeAnswer::Listed(Ok(open.cloned().collect()))
            }
            ForgeCall::Read { number } => {
                let mut pull = script.pull.iter();
                let found = pull.find(|pull| pull.number == *number).cloned();
                ForgeAnswer::Read(*number, Ok(found.map(Box::new)))
            }
            ForgeCall::Contains { commit, head } => ForgeAnswer::Contained {
                commit: *commit,
                head: *head,
                answer: Ok(Containment::NotContained),
            },
            ForgeCall::Merge { number, head, .. } => {
                let pull = script.pull.as_mut().unwrap();
                if pull.head != *head {
                    return ForgeAnswer::Merged(*number, MergeAnswer::HeadMoved);
                }
                std::fs::write(self.repo.join("flake.lock"), lock('b')).unwrap();
                self.git(&["add", "flake.lock"]);
                self.git(&["commit", "--quiet", "-m", "Merge #42"]);
                let commit: CommitId = self.git(&["rev-parse", "HEAD"]).parse().unwrap();
                pull.state = PrState::Merged {
                    commit: Some(commit),
                };
                ForgeAnswer::Merged(*number, MergeAnswer::Done { commit })
            }
            ForgeCall::Revert { number, .. } => ForgeAnswer::Reverted(
                *number,
                RevertAnswer::Opened {
                    number: PrNumber(43),
                    url: "https://forge.example/pull/43".to_owned(),
                },
            ),
        }
    }
}

pub fn pull() -> PullRequest {
    PullRequest {
        number: PrNumber(NUMBER),
        title: "flake.lock: update nixpkgs".to_owned(),
        url: "https://forge.example/pull/42".to_owned(),
        author: "github-actions[bot]".to_owned(),
        labels: vec!["automated".to_owned()],
        created_at: Timestamp::from_seconds(1_700_000_000),
        state: PrState::Open,
        draft: false,
        base_branch: "main".to_owned(),
        base_repo: "nixfleet/hosts".to_owned(),
        head_branch: "update".to_owned(),
        head_repo: Some("nixfleet/hosts".to_owned()),
        head: ScriptedForge::head(),
        mergeable: Mergeable::Yes,
        files: ReadOrNot::Read(vec![ChangedFile {
            path: "flake.lock".to_owned(),
            previous_path: None,
            modified: true,
        }]),
        locks: ReadOrNot::Read((lock('a').into_bytes(), lock('b').into_bytes())),
        checks: ReadOrNot::Read(vec![Check {
            name: "build".to_owned(),
            state: CheckState::Success,
            commit: ScriptedForge::head(),
        }]),
    }
}

impl Forge for ScriptedForge {
    fn call(&self, call: ForgeCall) -> BoxFuture<'_, ForgeAnswer> {
        let answer = self.answer(&call);
        let silent = self.script.lock().unwrap().silent;
        async move {
            if silent && matches!(call, ForgeCall::Merge { .. }) {
                return std::future::pending().await;
            }
            answer
        }
        .boxed()
    }

    fn head(&self) -> BoxFuture<'_, Result<HeadCommit, Fault>> {
        unreachable!("the repository is the source of the desired state")
    }

    fn lock_at(&self, _: CommitId) -> BoxFuture<'_, Result<Option<Vec<u8>>, Fault>> {
        unreachable!("the repository is the source of the desired state")
    }

    fn is_ancestor(&self, _: CommitId, _: CommitId) -> BoxFuture<'_, Result<bool, Fault>> {
        unreachable!("the repository is the source of the desired state")
    }

    fn shown(&self) -> String {
        "nixfleet/hosts".to_owned()
    }
}
