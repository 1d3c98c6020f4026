//! The client of the forge and the source that reads it, against the fake forge (FI-24).

mod faults;
mod limits;
mod normal;
mod reverts;
mod secrets;
mod source;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nixfleet_core::update::{
    ForgeAnswer, ForgeCall, MergeAnswer, MergeMethod, PrNumber, PullRequest,
};
use nixfleet_core::{CommitId, Timestamp};
use nixfleet_server::clock::Clock;
use nixfleet_server::forge::{
    ApiAddress, Forge, ForgeKind, ForgeSettings, Patience, Phases, connect,
};
use nixfleet_server::sources::{Branch, ForgeSource};
use nixfleet_tests::forge::{FakeForge, Speaks, unix_seconds};
use nixfleet_tests::upstream::Upstream;
use tempfile::TempDir;

pub const REPO: &str = "nixfleet/hosts";
pub const TOKEN: &str = "ghp_reading0123456789";

/// A fake forge and a client of it.
pub struct World {
    pub fake: FakeForge,
    pub forge: Arc<dyn Forge>,
    pub clock: Clock,
    _folder: TempDir,
}

impl World {
    pub async fn new(speaks: Speaks) -> Self {
        Self::with(speaks, |_| {}).await
    }

    pub async fn with(speaks: Speaks, change: impl FnOnce(&mut ForgeSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bare = folder.path().join("hosts.git");
        copy(template(), &bare);
        let fake = FakeForge::start(speaks, REPO, &bare).await;
        fake.state().tokens.push(TOKEN.to_owned());
        let mut settings = settings(speaks, &fake.api_url());
        change(&mut settings);
        let clock = Clock::manual(Timestamp::from_seconds(unix_seconds()));
        Self {
            forge: connect(settings, clock.clone()).unwrap(),
            fake,
            clock,
            _folder: folder,
        }
    }

    pub fn source(&self) -> ForgeSource {
        ForgeSource::new(Arc::clone(&self.forge), Branch::parse("main").unwrap())
    }

    pub async fn list(&self) -> Result<Vec<PullRequest>, nixfleet_core::update::ForgeFailure> {
        let answer = self.forge.call(ForgeCall::List).await;
        let ForgeAnswer::Listed(listed) = answer else {
            panic!("{answer:?}");
        };
        listed
    }

    pub async fn read(
        &self,
        number: u64,
    ) -> Result<Option<Box<PullRequest>>, nixfleet_core::update::ForgeFailure> {
        let number = PrNumber(number);
        let answer = self.forge.call(ForgeCall::Read { number }).await;
        let ForgeAnswer::Read(answered, read) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(answered, number);
        read
    }

    pub async fn pull(&self, number: u64) -> PullRequest {
        *self.read(number).await.unwrap().expect("a pull request")
    }

    pub async fn merge(&self, number: u64, head: &str, method: MergeMethod) -> MergeAnswer {
        // Changes are a second apart.
        self.clock.advance(Duration::from_secs(2));
        let number = PrNumber(number);
        let call = ForgeCall::Merge {
            number,
            head: head.parse().unwrap(),
            method,
        };
        let answer = self.forge.call(call).await;
        let ForgeAnswer::Merged(answered, merged) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(answered, number);
        merged
    }

    /// The head of the branch, as git has it.
    pub fn main(&self) -> CommitId {
        self.fake.state().git.head("main").unwrap().parse().unwrap()
    }

    /// Somebody commits to the branch.
    pub fn commit(&self, path: &str, content: &str) -> CommitId {
        let state = self.fake.state();
        let head = state.git.head("main").unwrap();
        let files: [(&str, Option<&[u8]>); 1] = [(path, Some(content.as_bytes()))];
        let new = state.commit_to("refs/heads/main", &head, &files, &format!("Write {path}"));
        new.parse().unwrap()
    }
}

pub fn settings(speaks: Speaks, api: &str) -> ForgeSettings {
    ForgeSettings {
        kind: match speaks {
            Speaks::GitHub => ForgeKind::GitHub,
            Speaks::Gitea => ForgeKind::Forgejo,
        },
        api: ApiAddress::configured(api).unwrap(),
        repo: REPO.parse().unwrap(),
        branch: Branch::parse("main").unwrap(),
        token: Some(TOKEN.into()),
        merge_token: None,
        label: "automated".to_owned(),
        phases: Phases {
            connect: Duration::from_secs(3),
            answer: Duration::from_secs(2),
            silence: Duration::from_secs(2),
            whole: Duration::from_secs(6),
        },
        patience: Patience {
            tries: 3,
            pause: Duration::from_millis(1),
        },
    }
}

/// A bare repository that is made once.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = TEMPLATE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::create(folder.path(), &["web-1"]).unwrap();
        let bare = upstream.remote().folder().to_owned();
        (folder, bare)
    });
    path
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// What stands for nothing: a pull request is complete.
pub fn is_complete(pull: &PullRequest) -> bool {
    pull.files.read().is_some() && pull.locks.read().is_some() && pull.checks.read().is_some()
}
