//! Real git repositories in temporary folders.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use nixfleet_core::CommitId;
use nixfleet_server::sources::{Branch, GitSource, Limits, Remote};
use tempfile::TempDir;

/// A repository with a work tree, and room for a mirror beside it.
pub struct Repo {
    folder: TempDir,
    clock: std::cell::Cell<i64>,
}

impl Repo {
    pub fn new() -> Self {
        Self::with_format("sha1")
    }

    pub fn with_format(format: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repo = Self {
            folder,
            clock: std::cell::Cell::new(1_700_000_000),
        };
        std::fs::create_dir(repo.path()).unwrap();
        let format = format!("--object-format={format}");
        repo.git(&["init", "--quiet", "--initial-branch=main", &format]);
        repo
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("remote")
    }

    pub fn mirror(&self) -> PathBuf {
        self.folder.path().join("data/mirror")
    }

    /// Runs git in the repository; the test fails if git does. Answers what it printed.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = self.run(&self.path(), arguments);
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Runs git in a folder.
    pub fn run(&self, folder: &Path, arguments: &[&str]) -> Output {
        self.clock.set(self.clock.get() + 60);
        let time = format!("{} +0000", self.clock.get());
        Command::new("git")
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.org"])
            .args([
                "-c",
                "commit.gpgsign=false",
                "-c",
                "protocol.file.allow=always",
            ])
            .args(arguments)
            .current_dir(folder)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_DATE", &time)
            .env("GIT_COMMITTER_DATE", &time)
            .output()
            .unwrap()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Commits everything in the work tree; an empty commit is fine.
    pub fn commit(&self, message: &str) -> CommitId {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.id("HEAD")
    }

    pub fn commit_lock(&self, content: impl AsRef<[u8]>) -> CommitId {
        self.write("flake.lock", content);
        self.commit("flake.lock: update")
    }

    pub fn id(&self, revision: &str) -> CommitId {
        self.git(&["rev-parse", revision]).parse().unwrap()
    }

    pub fn source(&self) -> GitSource {
        self.source_with(quick())
    }

    pub fn source_with(&self, limits: Limits) -> GitSource {
        self.source_of(self.path().to_str().unwrap(), limits)
    }

    pub fn source_of(&self, address: &str, limits: Limits) -> GitSource {
        GitSource::new(remote(address), main(), self.mirror(), limits)
    }
}

pub fn remote(address: &str) -> Remote {
    Remote::parse(address).unwrap()
}

pub fn main() -> Branch {
    Branch::parse("main").unwrap()
}

/// The usual limits, but a damaged mirror may be replaced as often as a test damages it.
pub fn quick() -> Limits {
    Limits {
        rebuild_pause: Duration::ZERO,
        ..Limits::default()
    }
}

/// A lock with one input at a revision made of `digit`.
pub fn lock(digit: char) -> String {
    let revision = digit.to_string().repeat(40);
    format!(
        r#"{{"version": 7, "root": "root", "nodes": {{
            "root": {{"inputs": {{"nixpkgs": "nixpkgs"}}}},
            "nixpkgs": {{
                "locked": {{"type": "github", "owner": "o", "repo": "r", "rev": "{revision}", "lastModified": 1}},
                "original": {{"type": "github", "owner": "o", "repo": "r"}}
        }}}}}}"#
    )
}
