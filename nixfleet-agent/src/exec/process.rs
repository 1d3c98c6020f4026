//! One process of a job, from its start until neither it nor anything it started is left.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::census;
use super::folder::{JobFolder, RunningProcess};
use super::frames::{FrameWriter, Note, Stream};
use crate::program::find_program;

const TICK: Duration = Duration::from_millis(20);
/// From SIGTERM to SIGKILL for a process beyond its time limit.
const LIMIT_GRACE: Duration = Duration::from_secs(3);
/// From a requested SIGTERM to SIGKILL if nobody asks for it: the agent may be gone.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// For what a process leaves running in its group, such as the `tee` at the end of its output.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// For the kernel to carry out SIGKILL, and for the last output to arrive.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// What all processes of a job share.
pub(super) struct Scene {
    pub folder: JobFolder,
    pub command_id: String,
    pub output: Arc<Mutex<FrameWriter>>,
    /// Set when the supervisor itself is told to end.
    pub told_to_end: Arc<AtomicBool>,
    pub survivors: Vec<i32>,
}

/// What is to run.
pub(super) struct Order<'a> {
    pub argv: &'a [String],
    pub folder: &'a Path,
    pub environment: &'a BTreeMap<String, String>,
    pub limit: Option<Duration>,
    pub missing_advice: Option<&'a str>,
}

/// How a process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    pub code: i32,
    pub signal: Option<i32>,
    pub timed_out: bool,
    pub problem: Option<String>,
}

impl Scene {
    /// Whether a person or the system asked for the end of the job.
    pub fn stop_asked(&self) -> bool {
        self.told_to_end.load(Ordering::Relaxed)
            || self.folder.terminate_asked()
            || self.folder.kill_asked()
    }

    pub fn note(&self, note: &Note) {
        self.writer(|output| output.note(note));
    }

    fn say(&self, text: &str) {
        self.writer(|output| output.output(Stream::Err, text.as_bytes()));
    }

    pub fn writer<T>(&self, act: impl FnOnce(&mut FrameWriter) -> T) -> T {
        act(&mut self.output.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs one process to its end, and kills whatever it leaves behind.
    pub fn run(&mut self, order: &Order<'_>) -> End {
        match self.start(order) {
            Ok(running) => self.attend(running, order.limit),
            Err(problem) => {
                self.say(&format!("error: {problem}\n"));
                End {
                    code: 127,
                    problem: Some(problem),
                    ..End::default()
                }
            }
        }
    }

    fn start(&self, order: &Order<'_>) -> Result<Running, String> {
        let name = order.argv.first().map(String::as_str).unwrap_or_default();
        let path = order.environment.get("PATH").map(OsStr::new);
        let program = find_program(name, path).ok_or_else(|| {
            let advice = order.missing_advice.unwrap_or(
                "install it, put its folder into the PATH of the agent's service, or correct the configured command",
            );
            let place = if name.contains('/') { "" } else { " in PATH" };
            format!("the program {name} was not found{place} or is not executable: {advice}")
        })?;
        let mut child = Command::new(&program)
            .args(order.argv.get(1..).unwrap_or_default())
            .env_clear()
            .envs(order.environment)
            .current_dir(order.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| {
                if order.folder.is_dir() {
                    return format!("{} could not be started: {error}", program.display());
                }
                format!(
                    "the folder {} does not exist; pull first",
                    order.folder.display()
                )
            })?;
        let pid = i32::try_from(child.id()).map_err(|e| e.to_string())?;
        let (ended, pumps) = mpsc::channel();
        if let Some(pipe) = child.stdout.take() {
            pump(pipe, Stream::Out, Arc::clone(&self.output), ended.clone());
        }
        if let Some(pipe) = child.stderr.take() {
            pump(pipe, Stream::Err, Arc::clone(&self.output), ended);
        }
        let recorded = self.folder.record_process(&RunningProcess {
            pid,
            boot_id: census::boot_id().unwrap_or_default(),
            start_ticks: census::start_ticks(pid),
        });
        if let Err(error) = recorded {
            // Without the record a later agent could not find it: better not to run it at all.
            census::signal(pid, &[], Signal::SIGKILL);
            let _ = child.wait();
            return Err(format!("the process could not be recorded: {error}"));
        }
        self.note(&Note::ProcessStarted { pid });
        Ok(Running { child, pid, pumps })
    }

    fn attend(&mut self, mut running: Running, limit: Option<Duration>) -> End {
        let started = Instant::now();
        let mut terminated: Option<Instant> = None;
        let mut killed = false;
        let mut timed_out = false;
        let status = loop {
            match running.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => {}
                Err(error) => {
                    self.clear(running.pid, Duration::ZERO);
                    return End {
                        code: -1,
                        problem: Some(format!("waiting for the process failed: {error}")),
                        ..End::default()
                    };
                }
            }
            if limit.is_some_and(|limit| started.elapsed() >= limit) {
                timed_out = true;
            }
            if terminated.is_none() && (timed_out || self.stop_asked()) {
                census::signal(running.pid, &[], Signal::SIGTERM);
                terminated = Some(Instant::now());
            }
            let grace = if timed_out { LIMIT_GRACE } else { STOP_GRACE };
            let patience_over = terminated.is_some_and(|at| at.elapsed() >= grace);
            if !killed && (self.folder.kill_asked() || patience_over) {
                let others = census::of_supervisor(running.pid, &self.command_id);
                census::signal(running.pid, &others, Signal::SIGKILL);
                killed = true;
            }
            thread::sleep(TICK);
        };
        let grace = if terminated.is_some() {
            Duration::ZERO
        } else {
            LEFTOVER_GRACE
        };
        self.clear(running.pid, grace);
        running.drain();
        end_of(status, timed_out)
    }

    /// Waits a little for what the process left behind, then kills it, until nothing is left.
    fn clear(&mut self, group: i32, grace: Duration) {
        let started = Instant::now();
        loop {
            reap_adopted();
            let left = census::of_supervisor(group, &self.command_id);
            if left.is_empty() {
                return;
            }
            let waited = started.elapsed();
            if waited >= grace + KILL_PATIENCE {
                self.survivors.extend(left);
                return;
            }
            if waited >= grace || self.stop_asked() {
                // The group's id is certain to be ours only while a member of it lives.
                let group = if left.contains(&group) { group } else { -1 };
                census::signal(group, &left, Signal::SIGKILL);
            }
            thread::sleep(TICK);
        }
    }
}

struct Running {
    child: Child,
    pid: i32,
    pumps: mpsc::Receiver<()>,
}

impl Running {
    /// Waits for the last output; bounded, since a process out of reach may hold the pipe open.
    fn drain(&self) {
        let deadline = Instant::now() + KILL_PATIENCE;
        let left = || deadline.saturating_duration_since(Instant::now());
        while !matches!(
            self.pumps.recv_timeout(left()),
            Err(mpsc::RecvTimeoutError::Disconnected | mpsc::RecvTimeoutError::Timeout)
        ) {}
    }
}

fn end_of(status: ExitStatus, timed_out: bool) -> End {
    let signal = status.signal();
    let code = if timed_out {
        124
    } else {
        status.code().or(signal.map(|s| 128 + s)).unwrap_or(-1)
    };
    End {
        code,
        signal,
        timed_out,
        problem: timed_out.then(|| "the time limit was exceeded".to_owned()),
    }
}

/// Reads a pipe until its end, whatever becomes of the bytes: the process never waits for us.
fn pump(
    mut pipe: impl Read + Send + 'static,
    stream: Stream,
    output: Arc<Mutex<FrameWriter>>,
    ended: mpsc::Sender<()>,
) {
    thread::spawn(move || {
        let mut chunk = vec![0; 64 * 1024];
        loop {
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => output
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .output(stream, &chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        drop(ended);
    });
}

/// Collects processes that were handed to the supervisor when their parent died. Called only while
/// no child of our own is waited for.
fn reap_adopted() {
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(_) => return,
            Ok(_) => {}
        }
    }
}
