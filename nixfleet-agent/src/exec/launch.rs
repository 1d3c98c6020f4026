//! Writing a job down and starting its supervisor.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nixfleet_core::CommandId;
use tokio::process::Command;
use tokio::task::spawn_blocking;

use super::folder::{JobFolder, JobState};
use super::job::Job;
use super::spec::JobSpec;
use crate::durable;
use crate::environment;
use crate::platform::Platform;
use crate::program::find_program;

/// Why a job could not be started, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// A file of the job cannot be used.
    #[error("the job's folder {} cannot be used: {source}", .path.display())]
    File {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// There is a job with this id already; look at it instead of starting it again.
    #[error("command {0} was started before")]
    Exists(CommandId),
    /// There is no such job.
    #[error("there is no record of command {0}")]
    Unknown(CommandId),
    /// It still runs.
    #[error("command {0} still runs")]
    StillRunning(CommandId),
}

/// How a supervisor leaves the agent's own service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detach {
    /// A session of its own.
    Session,
    /// A transient unit of systemd, which a restart of the agent's service does not touch.
    SystemdUnit {
        /// The program `systemd-run`.
        systemd_run: PathBuf,
    },
}

impl Detach {
    /// A unit where the agent is root's service under systemd on NixOS, otherwise a session.
    #[must_use]
    pub fn detect(platform: Platform) -> Self {
        let under_systemd = Path::new("/run/systemd/system").is_dir()
            && std::env::var_os("INVOCATION_ID").is_some()
            && nix::unistd::geteuid().is_root();
        let systemd_run = find_program("systemd-run", std::env::var_os("PATH").as_deref());
        match (platform, under_systemd, systemd_run) {
            (Platform::Nixos, true, Some(systemd_run)) => Detach::SystemdUnit { systemd_run },
            (
                Platform::Nixos | Platform::Darwin | Platform::HomeManager | Platform::Custom,
                _,
                _,
            ) => Detach::Session,
        }
    }
}

/// Starts jobs and finds those that were started before.
#[derive(Clone, Debug)]
pub struct Launcher {
    exe: PathBuf,
    jobs: PathBuf,
    detach: Detach,
}

impl Launcher {
    /// `exe` is this program; `jobs` the folder that holds a folder for each job.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn new(exe: PathBuf, jobs: PathBuf, detach: Detach) -> Result<Self, ExecError> {
        match durable::create_private_dir(&jobs) {
            Ok(()) => Ok(Self { exe, jobs, detach }),
            Err(source) => Err(ExecError::File { path: jobs, source }),
        }
    }

    /// The folder of a job, which need not exist.
    #[must_use]
    pub fn folder(&self, id: CommandId) -> JobFolder {
        JobFolder::new(self.jobs.join(id.to_string()))
    }

    /// Writes the job down durably and starts its supervisor. After an error the job has not been
    /// started and never will be, except for [`ExecError::Exists`].
    ///
    /// # Errors
    /// [`ExecError::Exists`] or [`ExecError::File`].
    pub async fn launch(&self, spec: &JobSpec) -> Result<Job, ExecError> {
        let folder = self.folder(spec.command_id);
        let recorded = {
            let (folder, spec) = (folder.clone(), spec.clone());
            blocking(move || record(&folder, &spec)).await
        };
        match recorded {
            Ok(true) => {}
            Ok(false) => return Err(ExecError::Exists(spec.command_id)),
            Err(source) => return Err(file_error(&folder, source)),
        }
        let starter_ended = match self.start(&folder, spec.command_id).await {
            Ok(flag) => flag,
            Err(source) => {
                let _ = folder.abandon();
                return Err(file_error(&folder, source));
            }
        };
        Ok(Job::new(spec.command_id, folder, 0, Some(starter_ended)))
    }

    /// Goes on reading a job that was started before, by this or an earlier agent, after the first
    /// `skip_lines` lines of its output.
    ///
    /// # Errors
    /// [`ExecError::Unknown`] if there is no such job.
    pub fn attach(&self, id: CommandId, skip_lines: u64) -> Result<Job, ExecError> {
        if self.state(id)? == JobState::Unknown {
            return Err(ExecError::Unknown(id));
        }
        Ok(Job::new(id, self.folder(id), skip_lines, None))
    }

    /// What is known of a job.
    ///
    /// # Errors
    /// When its files cannot be read.
    pub fn state(&self, id: CommandId) -> Result<JobState, ExecError> {
        let folder = self.folder(id);
        folder.state().map_err(|source| file_error(&folder, source))
    }

    /// Every job there is a folder of, oldest id first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<CommandId>, ExecError> {
        let read = || -> io::Result<Vec<CommandId>> {
            let mut ids: Vec<CommandId> = Vec::new();
            for entry in fs::read_dir(&self.jobs)? {
                let name = entry?.file_name();
                ids.extend(
                    name.to_str()
                        .and_then(|name| name.parse::<CommandId>().ok()),
                );
            }
            ids.sort();
            Ok(ids)
        };
        read().map_err(|source| ExecError::File {
            path: self.jobs.clone(),
            source,
        })
    }

    /// Removes the record of a job that is over. Only for ids that can never be started again.
    ///
    /// # Errors
    /// [`ExecError::StillRunning`], or when the folder cannot be removed.
    pub fn forget(&self, id: CommandId) -> Result<(), ExecError> {
        let folder = self.folder(id);
        match self.state(id)? {
            JobState::Running | JobState::Unclaimed => Err(ExecError::StillRunning(id)),
            JobState::Unknown if !folder.path().exists() => Ok(()),
            JobState::Unknown
            | JobState::NeverStarted
            | JobState::Finished(_)
            | JobState::Interrupted => {
                fs::remove_dir_all(folder.path()).map_err(|e| file_error(&folder, e))
            }
        }
    }

    /// Starts the supervisor. The flag is set when whatever started it is over.
    async fn start(&self, folder: &JobFolder, id: CommandId) -> io::Result<Arc<AtomicBool>> {
        if let Detach::SystemdUnit { systemd_run } = &self.detach {
            let unit = format!("--unit=nixfleet-cmd-{id}");
            let status = self
                .command(systemd_run, folder)?
                .args([&unit, "--collect", "--quiet", "--property=Type=exec", "--"])
                .arg(&self.exe)
                .arg("supervise")
                .arg(folder.path())
                .status()
                .await;
            if status.is_ok_and(|status| status.success()) {
                return Ok(Arc::default());
            }
            // The claim keeps a second supervisor from running the job again, so trying the other
            // way is safe whatever became of the unit.
        }
        let mut supervisor = self
            .command(&self.exe, folder)?
            .arg("supervise")
            .arg(folder.path())
            .spawn()?;
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        tokio::spawn(async move {
            let _ = supervisor.wait().await;
            flag.store(true, Ordering::Relaxed);
        });
        Ok(ended)
    }

    fn command(&self, program: &Path, folder: &JobFolder) -> io::Result<Command> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.file("supervisor.log"))?;
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(environment::allowed())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(false);
        Ok(command)
    }
}

fn record(folder: &JobFolder, spec: &JobSpec) -> io::Result<bool> {
    match fs::create_dir(folder.path()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // A crash between the folder and the record leaves a folder that nothing can run from.
            if folder.file("job.json").exists() || folder.file("started").exists() {
                return Ok(false);
            }
        }
        Err(error) => return Err(error),
    }
    durable::create_private_dir(folder.path())?;
    let bytes = serde_json::to_vec_pretty(spec).map_err(io::Error::other)?;
    durable::write_atomic(&folder.file("job.json"), &bytes)?;
    Ok(true)
}

fn file_error(folder: &JobFolder, source: io::Error) -> ExecError {
    ExecError::File {
        path: folder.path().to_owned(),
        source,
    }
}

async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(act)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}
