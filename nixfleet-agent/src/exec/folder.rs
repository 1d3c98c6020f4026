//! The folder of a job: its files, and what they say about its state.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nixfleet_core::wire::agent::UpdateFacts;
use serde::{Deserialize, Serialize};

use super::census;
use super::spec::{JobExit, JobSpec};
use crate::durable;
use crate::git::ACCESS_FILE;
use crate::update;

/// What the files of a job say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// There is no such job.
    Unknown,
    /// Written down, but no supervisor has claimed it yet; one may be on its way.
    Unclaimed,
    /// The claim was taken away from it: it never ran and never will.
    NeverStarted,
    /// Its supervisor lives.
    Running,
    /// It ended.
    Finished(Box<JobExit>),
    /// Its supervisor is gone without a word: how far it came is not known.
    Interrupted,
}

/// The process a job runs at the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningProcess {
    /// Its id, which is also the id of its group.
    pub pid: i32,
    /// The boot it belongs to.
    pub boot_id: String,
    /// When it started, in ticks since boot, where known: tells it from a later one with its id.
    pub start_ticks: Option<u64>,
}

/// The folder of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFolder(PathBuf);

const ABANDONED: &[u8] = b"abandoned\n";

impl JobFolder {
    /// The folder at this path, which need not exist.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The recorded job.
    ///
    /// # Errors
    /// When it cannot be read or is not a job.
    pub fn spec(&self) -> io::Result<JobSpec> {
        let bytes = fs::read(self.file("job.json"))?;
        serde_json::from_slice(&bytes).map_err(io::Error::other)
    }

    /// What the files say now.
    ///
    /// # Errors
    /// When a file that is there cannot be read.
    pub fn state(&self) -> io::Result<JobState> {
        if let Some(exit) = self.exit()? {
            return Ok(JobState::Finished(Box::new(exit)));
        }
        if !self.file("job.json").exists() {
            return Ok(JobState::Unknown);
        }
        if self.is_supervised()? {
            return Ok(JobState::Running);
        }
        // It may have ended between the two looks.
        if let Some(exit) = self.exit()? {
            return Ok(JobState::Finished(Box::new(exit)));
        }
        match fs::read(self.file("started")) {
            Ok(claim) if claim == ABANDONED => Ok(JobState::NeverStarted),
            Ok(_) if self.is_supervised()? => Ok(JobState::Running),
            Ok(_) => match self.exit()? {
                Some(exit) => Ok(JobState::Finished(Box::new(exit))),
                None => Ok(JobState::Interrupted),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(JobState::Unclaimed),
            Err(error) => Err(error),
        }
    }

    /// Takes the claim away from any supervisor that has not started yet. `true`: the job never ran
    /// and never will; `false`: a supervisor was first.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn abandon(&self) -> io::Result<bool> {
        durable::create_once(&self.file("started"), ABANDONED)
    }

    /// Claims the job for the calling supervisor; `false` if anybody did before.
    pub(super) fn claim(&self) -> io::Result<bool> {
        let text = format!("supervisor {}\n", std::process::id());
        durable::create_once(&self.file("started"), text.as_bytes())
    }

    /// Asks the supervisor for SIGTERM to the process group.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn ask_terminate(&self) -> io::Result<()> {
        durable::create_once(&self.file("stop"), b"").map(drop)
    }

    /// Asks the supervisor for SIGKILL to everything the job has started.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn ask_kill(&self) -> io::Result<()> {
        durable::create_once(&self.file("kill"), b"").map(drop)
    }

    pub(super) fn terminate_asked(&self) -> bool {
        self.file("stop").exists()
    }

    pub(super) fn kill_asked(&self) -> bool {
        self.file("kill").exists()
    }

    pub(super) fn record_process(&self, process: &RunningProcess) -> io::Result<()> {
        let bytes = serde_json::to_vec(process).map_err(io::Error::other)?;
        durable::write_atomic(&self.file("pid"), &bytes)
    }

    /// The process the job runs, or ran last.
    #[must_use]
    pub fn process(&self) -> Option<RunningProcess> {
        serde_json::from_slice(&fs::read(self.file("pid")).ok()?).ok()
    }

    /// The ids of the job's processes that live, seen from outside its supervisor.
    #[must_use]
    pub fn living_processes(&self) -> Vec<i32> {
        let Some(process) = self.process() else {
            return Vec::new();
        };
        if Some(&process.boot_id) != census::boot_id().as_ref() {
            return Vec::new();
        }
        let command_id = self.spec().ok().map(|spec| spec.command_id.to_string());
        census::of_job(&process, command_id.as_deref())
    }

    fn exit(&self) -> io::Result<Option<JobExit>> {
        match fs::read(self.file("exit.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What an update of inputs wrote down in the folder it ran in.
    pub(super) fn update_record(&self) -> Option<UpdateFacts> {
        serde_json::from_slice(&fs::read(self.file(update::RECORD)).ok()?).ok()
    }

    /// Removes what a step that was killed could not: a token for git, and a scratch repository.
    pub(super) fn tidy(&self) {
        let _ = fs::remove_file(self.file(ACCESS_FILE));
        let _ = fs::remove_dir_all(self.file(update::SCRATCH));
    }

    pub(super) fn record_exit(&self, exit: &JobExit) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(exit).map_err(io::Error::other)?;
        durable::write_atomic(&self.file("exit.json"), &bytes)
    }

    fn is_supervised(&self) -> io::Result<bool> {
        is_locked(&self.file("lock"))
    }
}

/// Whether somebody holds an exclusive lock.
pub(crate) fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_released_at_once) => Ok(false),
        Err((_, Errno::EWOULDBLOCK)) => Ok(true),
        Err((_, errno)) => Err(errno.into()),
    }
}

/// Takes an exclusive lock, or says that somebody holds it.
pub(crate) fn try_lock(path: &Path) -> io::Result<Option<Flock<File>>> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno.into()),
    }
}
