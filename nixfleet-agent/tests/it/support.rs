//! A place to run jobs in, and repositories to pull from.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use nixfleet_agent::exec::{
    Detach, Job, JobEnd, JobEvent, JobExit, JobSpec, Launcher, OutputLine, Run, Stage,
};
use nixfleet_core::CommandId;

/// Longer than anything here takes on a busy machine; only ever reached by a failure.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_nixfleet-agent"))
}

pub struct Place {
    folder: tempfile::TempDir,
    pub launcher: Launcher,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let jobs = folder.path().join("jobs");
        let launcher = Launcher::new(program(), jobs, Detach::Session).unwrap();
        Self { folder, launcher }
    }

    /// What an agent sees that was started anew.
    pub fn another_agent(&self) -> Launcher {
        let jobs = self.folder.path().join("jobs");
        Launcher::new(program(), jobs, Detach::Session).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn number(&self, name: &str) -> i32 {
        self.text(name).trim().parse().unwrap()
    }

    /// A shell script as a stage; `$PLACE` is this place.
    pub fn stage(&self, name: &str, script: &str) -> Stage {
        let place = self.folder.path().display().to_string();
        Stage {
            name: name.to_owned(),
            run: Run::Command {
                argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            },
            folder: None,
            limit_ms: None,
            environment: BTreeMap::from([("PLACE".to_owned(), place)]),
            capture: None,
            missing_advice: None,
        }
    }

    pub fn spec(&self, stages: Vec<Stage>) -> JobSpec {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let mut bytes = [0; 16];
        bytes[15] = NEXT.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id().to_be_bytes();
        bytes[..4].copy_from_slice(&process);
        let command_id = CommandId::from_bytes(bytes);
        let path = std::env::var("PATH").unwrap();
        JobSpec {
            command_id,
            op: "test".to_owned(),
            stages,
            environment: BTreeMap::from([
                ("PATH".to_owned(), path),
                ("NIXFLEET_COMMAND_ID".to_owned(), command_id.to_string()),
            ]),
            exclusive: true,
        }
    }

    pub async fn run(&self, stages: Vec<Stage>) -> Outcome {
        let mut job = self.launcher.launch(&self.spec(stages)).await.unwrap();
        finish(&mut job).await
    }

    pub async fn sh(&self, script: &str) -> Outcome {
        self.run(vec![self.stage("only", script)]).await
    }
}

/// Everything a job gave from some moment on.
#[derive(Debug)]
pub struct Outcome {
    pub events: Vec<JobEvent>,
    pub end: JobEnd,
}

impl Outcome {
    pub fn exit(&self) -> &JobExit {
        match &self.end {
            JobEnd::Exited(exit) => exit,
            JobEnd::Interrupted | JobEnd::NeverStarted => panic!("no exit: {self:?}"),
        }
    }

    pub fn lines(&self) -> Vec<&OutputLine> {
        self.events
            .iter()
            .filter_map(|event| match event {
                JobEvent::Line(line) => Some(line),
                JobEvent::Dropped(_) | JobEvent::Note(_) | JobEvent::Ended(_) => None,
            })
            .collect()
    }

    pub fn texts(&self) -> Vec<&str> {
        self.lines().iter().map(|line| line.text.as_str()).collect()
    }

    pub fn dropped(&self) -> u64 {
        self.events
            .iter()
            .map(|event| match event {
                JobEvent::Dropped(bytes) => *bytes,
                JobEvent::Line(_) | JobEvent::Note(_) | JobEvent::Ended(_) => 0,
            })
            .sum()
    }
}

pub async fn finish(job: &mut Job) -> Outcome {
    let mut events = Vec::new();
    loop {
        match next(job).await {
            JobEvent::Ended(end) => return Outcome { events, end },
            event @ (JobEvent::Line(_) | JobEvent::Dropped(_) | JobEvent::Note(_)) => {
                events.push(event);
            }
        }
    }
}

pub async fn next(job: &mut Job) -> JobEvent {
    tokio::time::timeout(PATIENCE, job.next())
        .await
        .expect("the job gives no event")
        .unwrap()
        .expect("the job is over")
}

pub async fn until_line(job: &mut Job, text: &str) -> OutputLine {
    loop {
        if let JobEvent::Line(line) = next(job).await
            && line.text == text
        {
            return line;
        }
    }
}

pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('Z'))
    })
}

pub fn script(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs git as a person would, without the settings of this machine.
pub fn git(dir: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(words)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs([
            ("GIT_AUTHOR_NAME", "a"),
            ("GIT_AUTHOR_EMAIL", "a@example.org"),
            ("GIT_COMMITTER_NAME", "a"),
            ("GIT_COMMITTER_EMAIL", "a@example.org"),
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A bare remote and a working copy of somebody who pushes to it.
pub struct Remote {
    pub folder: tempfile::TempDir,
}

impl Remote {
    pub fn new() -> Self {
        let remote = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let root = remote.folder.path();
        git(root, &["init", "-q", "--bare", "-b", "main", "remote.git"]);
        git(root, &["clone", "-q", "remote.git", "author"]);
        git(&remote.author(), &["checkout", "-q", "-B", "main"]);
        remote.commit("flake.nix", "{ }");
        remote.commit("flake.lock", "{\"version\":7}");
        remote
    }

    pub fn url(&self) -> String {
        self.path("remote.git").display().to_string()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn author(&self) -> PathBuf {
        self.path("author")
    }

    /// Commits and pushes a file; returns the commit.
    pub fn commit(&self, name: &str, text: &str) -> String {
        let author = self.author();
        fs::write(author.join(name), text).unwrap();
        git(&author, &["add", "-A"]);
        git(&author, &["commit", "-q", "-m", name]);
        git(&author, &["push", "-q", "-f", "origin", "HEAD:main"]);
        git(&author, &["rev-parse", "HEAD"])
    }
}
