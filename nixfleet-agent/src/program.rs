//! Small helper programs (git queries, `nixos-version`, `systemctl`): found in PATH, run without a
//! shell, with a time limit and bounded output.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// No more than this much of each stream is kept.
const OUTPUT_LIMIT: usize = 4 * 1024 * 1024;

/// Why a helper program gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The program is not installed where the agent looks.
    #[error("{program} was not found in PATH: {advice}")]
    Missing {
        /// The name that was looked for.
        program: String,
        /// What to do about it.
        advice: String,
    },
    /// It could not be started.
    #[error("{program} could not be started: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// The cause.
        source: io::Error,
    },
    /// It ran longer than allowed and was killed.
    #[error("{program} did not finish within {} s and was stopped", .limit.as_secs())]
    TimedOut {
        /// The program.
        program: String,
        /// The limit.
        limit: Duration,
    },
    /// It reported a failure.
    #[error("{program} failed ({}): {stderr}", exit_text(*.code))]
    Failed {
        /// The program.
        program: String,
        /// The exit code, or 128 + signal.
        code: i32,
        /// The end of what it wrote to standard error.
        stderr: String,
    },
}

fn exit_text(code: i32) -> String {
    if code > 128 {
        return format!("signal {}", code - 128);
    }
    format!("exit code {code}")
}

/// What a helper program wrote, and how it ended.
#[derive(Clone, Debug)]
pub struct Captured {
    /// The exit code, or 128 + signal.
    pub code: i32,
    /// Standard output, at most 4 MiB.
    pub stdout: Vec<u8>,
    /// Standard error, at most 4 MiB.
    pub stderr: Vec<u8>,
}

impl Captured {
    /// Standard output as trimmed text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }

    /// The last lines of standard error, for messages.
    #[must_use]
    pub fn complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(4)..].join("; ")
    }
}

/// Looks a program up in the given PATH; a name with a slash is taken as it is.
#[must_use]
pub fn find_program(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    if name.contains('/') {
        return is_executable(Path::new(name)).then(|| PathBuf::from(name));
    }
    std::env::split_paths(path?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|candidate| is_executable(candidate))
}

/// Whether the path is a regular file that somebody may execute.
#[must_use]
pub fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Runs a program with exactly the given environment and waits for it, at most `limit`.
///
/// # Errors
/// [`ProgramError::Spawn`] or [`ProgramError::TimedOut`]; a non-zero exit is not an error here.
pub fn run(
    argv: &[String],
    folder: Option<&Path>,
    environment: &BTreeMap<String, String>,
    limit: Duration,
) -> Result<Captured, ProgramError> {
    let program = argv.first().cloned().unwrap_or_default();
    let spawn_error = |source| ProgramError::Spawn {
        program: program.clone(),
        source,
    };
    let mut command = Command::new(&program);
    command
        .args(argv.get(1..).unwrap_or_default())
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    let mut child = command.spawn().map_err(spawn_error)?;
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let stdout = child.stdout.take().map(read_in_background);
    let stderr = child.stderr.take().map(read_in_background);

    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_micros(500);
    let mut expired = false;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(spawn_error)? {
            break status;
        }
        if Instant::now() >= deadline && !expired {
            expired = true;
            let _ = killpg(group, Signal::SIGKILL);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    // A background process it left behind would keep the pipes open for ever.
    let _ = killpg(group, Signal::SIGKILL);
    if expired {
        return Err(ProgramError::TimedOut { program, limit });
    }
    Ok(Captured {
        code: status
            .code()
            .or_else(|| status.signal().map(|s| 128 + s))
            .unwrap_or(-1),
        stdout: stdout.map(joined).unwrap_or_default(),
        stderr: stderr.map(joined).unwrap_or_default(),
    })
}

/// Like [`run`], but a non-zero exit is an error that carries what the program said.
///
/// # Errors
/// [`ProgramError`].
pub fn run_ok(
    argv: &[String],
    folder: Option<&Path>,
    environment: &BTreeMap<String, String>,
    limit: Duration,
) -> Result<Captured, ProgramError> {
    let captured = run(argv, folder, environment, limit)?;
    if captured.code == 0 {
        return Ok(captured);
    }
    Err(ProgramError::Failed {
        program: argv.first().cloned().unwrap_or_default(),
        code: captured.code,
        stderr: captured.complaint(),
    })
}

fn read_in_background(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut chunk = [0; 16 * 1024];
        loop {
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => {
                    let room = OUTPUT_LIMIT.saturating_sub(kept.len()).min(count);
                    kept.extend_from_slice(&chunk[..room]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let _ = sender.send(kept);
    });
    receiver
}

/// A process that left the group may hold the pipe open for ever, so the wait is bounded.
fn joined(reader: mpsc::Receiver<Vec<u8>>) -> Vec<u8> {
    reader
        .recv_timeout(Duration::from_secs(2))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|&w| w.to_owned()).collect()
    }

    #[test]
    fn output_and_exit_code_are_captured_and_the_environment_is_exact() {
        let env = BTreeMap::from([("ONLY".to_owned(), "this".to_owned())]);
        let captured = run(
            &words(&["/bin/sh", "-c", "echo $ONLY; echo bad >&2; exit 3"]),
            None,
            &env,
            Duration::from_secs(20),
        )
        .unwrap();
        assert_eq!((captured.code, captured.text().as_str()), (3, "this"));
        assert_eq!(captured.complaint(), "bad");
    }

    #[test]
    fn a_program_that_hangs_is_stopped_with_its_children() {
        let result = run(
            &words(&["/bin/sh", "-c", "sleep 600 & sleep 600"]),
            None,
            &BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            Duration::from_millis(100),
        );
        assert!(matches!(result, Err(ProgramError::TimedOut { .. })));
    }

    #[test]
    fn programs_are_found_in_absolute_folders_only() {
        assert!(find_program("sh", Some(OsStr::new("/nowhere:/bin"))).is_some());
        assert!(find_program("sh", Some(OsStr::new("bin"))).is_none());
        assert!(find_program("sh", None).is_none());
    }
}
