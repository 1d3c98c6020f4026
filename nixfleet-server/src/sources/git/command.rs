//! Runs the git program: a fixed environment, no prompts, no shell, bounded time and output, and
//! nothing left behind when a run is given up.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until};

/// Variables that git and its transports may inherit; everything else is withheld.
const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NIX_SSL_CERT_FILE",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// The most of a child's messages that is kept: the end, where git says why it failed.
const MESSAGE_BYTES: usize = 8 * 1024;
/// How long a child has to clean up its lock files before it is killed.
const TERMINATION: Duration = Duration::from_secs(1);

/// The bounds of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The run is given up after this long.
    pub total: Duration,
    /// The run is given up when it says nothing for this long.
    pub silence: Duration,
    /// The most it may print.
    pub output: usize,
}

/// A run that ended by itself.
#[derive(Debug)]
pub(super) struct Finished {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    /// The last lines that git printed for people.
    pub messages: String,
}

/// Why a run did not end by itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("git could not be started: {0}")]
    Start(#[source] io::Error),
    #[error("git did not finish in {} s", .0.as_secs())]
    TooSlow(Duration),
    #[error("git printed more than {0} bytes")]
    TooMuch(usize),
    #[error("talking to git failed: {0}")]
    Pipe(#[source] io::Error),
}

/// The git program with the configuration file that hardens it.
#[derive(Clone, Debug)]
pub(super) struct Git {
    program: PathBuf,
    config: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

impl Git {
    /// Git, reading no configuration but `config`.
    pub fn new(program: impl Into<PathBuf>, config: impl Into<PathBuf>) -> Self {
        let environment = INHERITED
            .iter()
            .filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)))
            .collect();
        Self {
            program: program.into(),
            config: config.into(),
            environment,
        }
    }

    /// Runs git with `arguments`, feeding `input` to it.
    pub async fn run(
        &self,
        arguments: &[&str],
        input: Option<Vec<u8>>,
        bounds: Bounds,
    ) -> Result<Finished, RunError> {
        let mut running = Running::start(self.command(arguments, input.is_some()))?;
        let outcome = running.attend(input.unwrap_or_default(), bounds).await;
        if outcome.is_err() {
            running.stop().await;
        }
        outcome
    }

    fn command(&self, arguments: &[&str], has_input: bool) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env_clear()
            .env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=5")
            .envs(self.environment.iter().cloned())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", &self.config)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "")
            .env("SSH_ASKPASS", "")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("LC_ALL", "C")
            .stdin(if has_input {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command
    }
}

/// A child that leads its own process group, so that its transports end with it.
struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Running {
    fn start(mut command: Command) -> Result<Self, RunError> {
        let child = command.spawn().map_err(RunError::Start)?;
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        Ok(Self { child, group })
    }

    async fn attend(&mut self, input: Vec<u8>, bounds: Bounds) -> Result<Finished, RunError> {
        let end = Instant::now() + bounds.total;
        let mut stdin = self.child.stdin.take();
        let mut stdout = self.child.stdout.take();
        let mut stderr = self.child.stderr.take();
        let write = async {
            if let Some(pipe) = &mut stdin {
                // A child that fails early closes its end; its exit status tells why.
                let _ = pipe.write_all(&input).await;
                let _ = pipe.shutdown().await;
            }
            drop(stdin);
            std::future::pending::<()>().await;
        };
        tokio::pin!(write);

        let (mut printed, mut messages) = (Vec::new(), Vec::new());
        let (mut out, mut err) = (vec![0; 64 * 1024], vec![0; 4 * 1024]);
        let mut silent_until = Instant::now() + bounds.silence;
        while stdout.is_some() || stderr.is_some() {
            tokio::select! {
                () = &mut write => {}
                read = read_some(&mut stdout, &mut out) => {
                    let read = read.map_err(RunError::Pipe)?;
                    printed.extend_from_slice(out.get(..read).unwrap_or_default());
                    if printed.len() > bounds.output {
                        return Err(RunError::TooMuch(bounds.output));
                    }
                    silent_until = Instant::now() + bounds.silence;
                }
                read = read_some(&mut stderr, &mut err) => {
                    let read = read.map_err(RunError::Pipe)?;
                    keep_end(&mut messages, err.get(..read).unwrap_or_default());
                    silent_until = Instant::now() + bounds.silence;
                }
                () = sleep_until(end) => return Err(RunError::TooSlow(bounds.total)),
                () = sleep_until(silent_until) => return Err(RunError::TooSlow(bounds.silence)),
            }
        }
        let status = tokio::time::timeout_at(end, self.child.wait())
            .await
            .map_err(|_| RunError::TooSlow(bounds.total))?
            .map_err(RunError::Pipe)?;
        self.group = None;
        Ok(Finished {
            status,
            stdout: printed,
            messages: String::from_utf8_lossy(&messages).into_owned(),
        })
    }

    /// Asks the whole group to end, so that git removes its lock files, and kills what is left.
    async fn stop(&mut self) {
        let Some(group) = self.group.take() else {
            return;
        };
        let _ = killpg(group, Signal::SIGTERM);
        let _ = tokio::time::timeout(TERMINATION, self.child.wait()).await;
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            let _ = killpg(group, Signal::SIGTERM);
        }
    }
}

/// Reads what is there; at the end of the stream the reader is dropped, and for ever pending.
async fn read_some<R: AsyncRead + Unpin>(
    reader: &mut Option<R>,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let Some(open) = reader else {
        return std::future::pending().await;
    };
    let read = open.read(buffer).await?;
    if read == 0 {
        *reader = None;
    }
    Ok(read)
}

fn keep_end(kept: &mut Vec<u8>, more: &[u8]) {
    kept.extend_from_slice(more);
    if kept.len() > MESSAGE_BYTES {
        kept.drain(..kept.len() - MESSAGE_BYTES);
    }
}

/// Whether a path exists without following a link at its end.
pub(super) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        Bounds {
            total: Duration::from_secs(20),
            silence: Duration::from_secs(20),
            output: 1024,
        }
    }

    fn shell() -> Git {
        Git::new("/bin/sh", "/dev/null")
    }

    #[tokio::test]
    async fn a_silent_run_is_given_up_and_its_children_end_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", pid_file.display());
        let bounds = Bounds {
            silence: Duration::from_millis(500),
            ..bounds()
        };
        let outcome = shell().run(&["-c", &script], None, bounds).await;
        assert!(matches!(outcome, Err(RunError::TooSlow(_))), "{outcome:?}");
        let pid: i32 = std::fs::read_to_string(pid_file)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let gone = || {
            nix::sys::signal::kill(Pid::from_raw(pid), None).is_err()
                || std::fs::read_to_string(format!("/proc/{pid}/stat"))
                    .is_ok_and(|stat| stat.contains(") Z "))
        };
        while !gone() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn output_is_bounded_and_input_is_fed() {
        let outcome = shell().run(&["-c", "yes"], None, bounds()).await;
        assert!(
            matches!(outcome, Err(RunError::TooMuch(1024))),
            "{outcome:?}"
        );
        let echoed = shell()
            .run(&["-c", "cat"], Some(b"abc".to_vec()), bounds())
            .await
            .unwrap();
        assert_eq!(echoed.stdout, b"abc");
        let ignored = vec![b'x'; 1 << 20];
        let unread = shell()
            .run(&["-c", "exit 3"], Some(ignored), bounds())
            .await
            .unwrap();
        assert_eq!(unread.status.code(), Some(3));
    }

    #[tokio::test]
    async fn the_environment_of_children_is_a_fixed_list() {
        let printed = shell().run(&["-c", "env"], None, bounds()).await.unwrap();
        let text = String::from_utf8(printed.stdout).unwrap();
        assert!(text.contains("GIT_TERMINAL_PROMPT=0"));
        assert!(!text.contains("CARGO"), "{text}");
    }

    #[tokio::test]
    async fn a_missing_program_is_told_apart() {
        let git = Git::new("/nonexistent/git", "/dev/null");
        let outcome = git.run(&["version"], None, bounds()).await;
        assert!(matches!(outcome, Err(RunError::Start(_))), "{outcome:?}");
    }
}
