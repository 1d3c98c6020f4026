//! Processes of the demo: each in a process group of its own, with its output in a file, and gone
//! when its owner is gone.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::error::{DemoError, DemoResult};
use super::wait::until;

/// What to start.
#[derive(Clone, Debug)]
pub struct Launch {
    /// A word for messages and for the names of the files with the output.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// The whole environment, apart from `PATH`.
    pub environment: Vec<(String, String)>,
    /// The folder for the output.
    pub logs: PathBuf,
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
    /// What an earlier process of this name had written to standard output.
    earlier: usize,
    // A child that watches its standard input ends when this process is gone, however it ends.
    _lifeline: Option<ChildStdin>,
}

impl Process {
    /// Starts it. Output is added to what an earlier process of that name left.
    ///
    /// # Errors
    /// [`DemoError::Io`].
    pub fn start(launch: &Launch) -> DemoResult<Self> {
        let failed = || DemoError::io(format!("cannot start {}", launch.name));
        let [out, err] =
            ["out", "err"].map(|end| launch.logs.join(format!("{}.{end}", launch.name)));
        let append = |path: &Path| OpenOptions::new().create(true).append(true).open(path);
        let (program, arguments) = launch
            .command
            .split_first()
            .ok_or_else(|| DemoError::Wrong("nothing to start".to_owned()))?;
        let earlier = fs::metadata(&out).map_or(0, |meta| meta.len());
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(append(&out).map_err(failed())?)
            .stderr(append(&err).map_err(failed())?)
            .process_group(0)
            .spawn()
            .map_err(failed())?;
        Ok(Self {
            name: launch.name.clone(),
            _lifeline: child.stdin.take(),
            child,
            out,
            err,
            earlier: usize::try_from(earlier).unwrap_or(usize::MAX),
        })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// [`DemoError::Io`].
    pub fn ended(&mut self) -> DemoResult<Option<ExitStatus>> {
        self.child
            .try_wait()
            .map_err(DemoError::io(format!("cannot look at {}", self.name)))
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Kills it and its process group with SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.signal(Signal::SIGKILL);
        // Nothing survives SIGKILL; if it cannot be waited for, it is gone already.
        let _ = self.child.wait();
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// [`DemoError::Timeout`] with its last words.
    pub async fn wait(&mut self, patience: Duration) -> DemoResult<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let last_words = self.last_words(20);
        let child = &mut self.child;
        until(
            patience,
            &what,
            || child.try_wait().ok().flatten(),
            || last_words.clone(),
        )
        .await
    }

    /// What it wrote to standard output.
    #[must_use]
    pub fn output(&self) -> String {
        let bytes = fs::read(&self.out).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(self.earlier..).unwrap_or_default()).into_owned()
    }

    /// What it and earlier processes of its name wrote to standard error, which is their log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// The last lines of its log.
    #[must_use]
    pub fn last_words(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        let last = all.get(all.len().saturating_sub(lines)..);
        let mut text = format!("--- the last lines of {} ---\n", self.name);
        for line in last.unwrap_or_default() {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    fn signal(&self, signal: Signal) {
        if let Ok(id) = i32::try_from(self.child.id()) {
            // An error means that there is nobody left to hear it.
            let _ = killpg(Pid::from_raw(id), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(folder: &Path, script: &str) -> Launch {
        Launch {
            name: "child".to_owned(),
            command: ["/bin/sh", "-c", script].map(OsString::from).to_vec(),
            environment: vec![("WORD".to_owned(), "hello".to_owned())],
            logs: folder.to_owned(),
        }
    }

    #[tokio::test]
    async fn output_is_kept_and_the_end_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let launch = launch(folder.path(), "echo $WORD; echo trouble >&2; exit 3");
        let mut process = Process::start(&launch).unwrap();
        let status = process.wait(Duration::from_secs(20)).await.unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(process.output(), "hello\n");
        assert!(process.last_words(5).contains("trouble"));
    }

    #[tokio::test]
    async fn a_dropped_process_takes_its_group_along() {
        let folder = tempfile::tempdir().unwrap();
        let script = "sleep 600 & echo $!; wait";
        let process = Process::start(&launch(folder.path(), script)).unwrap();
        let child = until(
            Duration::from_secs(20),
            "the child's id",
            || process.output().trim().parse::<i32>().ok(),
            String::new,
        )
        .await
        .unwrap();
        let alive = || nix::sys::signal::kill(Pid::from_raw(child), None).is_ok();
        assert!(alive(), "positive control");
        drop(process);
        // The orphan is reaped by whoever inherits it, which takes a moment.
        let stat = format!("/proc/{child}/stat");
        let gone = || match fs::read_to_string(&stat) {
            Ok(text) => text.contains(") Z ").then_some(()),
            Err(_) => (!alive()).then_some(()),
        };
        until(Duration::from_secs(20), "the end of it", gone, String::new)
            .await
            .unwrap();
    }
}
