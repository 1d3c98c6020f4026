//! The harmless commands of the demo's hosts: what `switch`, `test` and `rollback` run there.
//!
//! A "system" is a folder named by what it was built from, and a link names the one that runs.
//! Nothing outside the host's own folder is touched.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::error::{DemoError, DemoResult};

/// A command that was told to wait gives up after this time.
const LONGEST_HOLD: Duration = Duration::from_secs(600);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is run on the demo's hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum HostCommand {
    /// Build what is checked out and make it the running system.
    Switch,
    /// Test the running system.
    Test,
    /// Make an earlier generation the running system.
    Rollback,
}

/// What a command is told to do instead of its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Do the work.
    Works,
    /// Fail.
    Fails,
    /// Claim success and change nothing.
    ChangesNothing,
    /// Wait until told otherwise, then do that.
    Waits,
}

/// One execution of a command on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// The id of the command, as its environment named it.
    pub command_id: String,
    /// `switch`, `test` or `rollback`.
    pub op: String,
}

/// The folder of one host of the demo.
#[derive(Clone, Debug)]
pub struct HostFolder(PathBuf);

impl HostCommand {
    /// The name of the op.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            HostCommand::Switch => "switch",
            HostCommand::Test => "test",
            HostCommand::Rollback => "rollback",
        }
    }
}

impl Habit {
    const ALL: [Habit; 4] = [
        Habit::Works,
        Habit::Fails,
        Habit::ChangesNothing,
        Habit::Waits,
    ];

    const fn word(self) -> &'static str {
        match self {
            Habit::Works => "works",
            Habit::Fails => "fails",
            Habit::ChangesNothing => "changes-nothing",
            Habit::Waits => "waits",
        }
    }
}

impl HostFolder {
    /// Prepares a host that runs a system which nobody deployed through us.
    ///
    /// # Errors
    /// [`DemoError::Io`].
    pub fn create(path: PathBuf) -> DemoResult<Self> {
        let host = Self(path);
        let factory = host
            .store()
            .join("00000000000000000000000000000000-factory");
        let made = fs::create_dir_all(&factory)
            .and_then(|()| fs::create_dir_all(host.0.join("control")))
            .and_then(|()| host.activate(&factory));
        made.map_err(DemoError::io("cannot prepare a host"))?;
        Ok(host)
    }

    /// A host that was prepared.
    #[must_use]
    pub const fn open(path: PathBuf) -> Self {
        Self(path)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The link that names the running system.
    #[must_use]
    pub fn system_link(&self) -> PathBuf {
        self.0.join("system")
    }

    /// The folder of the agent's records.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    /// Tells a command what to do from now on.
    ///
    /// # Errors
    /// [`DemoError::Io`].
    pub fn tell(&self, command: HostCommand, habit: Habit) -> DemoResult<()> {
        let file = self.control(command);
        // Renamed into place, so that nobody reads half a word.
        let partial = file.with_extension("partial");
        fs::write(&partial, habit.word())
            .and_then(|()| fs::rename(&partial, &file))
            .map_err(DemoError::io("cannot instruct a host"))
    }

    /// Everything that was executed on the host, in order.
    ///
    /// # Errors
    /// [`DemoError::Io`].
    pub fn executions(&self) -> DemoResult<Vec<Execution>> {
        let text = match fs::read_to_string(self.execution_log()) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(DemoError::io("cannot read the executions")(source)),
        };
        let parsed = text.lines().filter_map(|line| {
            let (command_id, op) = line.split_once(' ')?;
            Some(Execution {
                command_id: command_id.to_owned(),
                op: op.to_owned(),
            })
        });
        Ok(parsed.collect())
    }

    /// The path of the running system.
    ///
    /// # Errors
    /// [`DemoError::Io`].
    pub fn running(&self) -> DemoResult<PathBuf> {
        self.system_link()
            .canonicalize()
            .map_err(DemoError::io("cannot read the running system"))
    }

    fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    fn execution_log(&self) -> PathBuf {
        self.0.join("executions.log")
    }

    fn control(&self, command: HostCommand) -> PathBuf {
        self.0.join("control").join(command.name())
    }

    fn habit(&self, command: HostCommand) -> Habit {
        let word = fs::read_to_string(self.control(command)).unwrap_or_default();
        let told = Habit::ALL.into_iter().find(|habit| habit.word() == word);
        told.unwrap_or(Habit::Works)
    }

    fn record(&self, command: HostCommand) -> io::Result<()> {
        let id = std::env::var("NIXFLEET_COMMAND_ID").unwrap_or_else(|_| "-".to_owned());
        let line = format!("{id} {}\n", command.name());
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.execution_log())?;
        log.write_all(line.as_bytes())
    }

    /// Moves the link in one step, so that there is a running system at every moment.
    fn activate(&self, system: &Path) -> io::Result<()> {
        let new = self.0.join("system.new");
        if new.is_symlink() {
            fs::remove_file(&new)?;
        }
        symlink(system, &new)?;
        fs::rename(&new, self.system_link())
    }
}

/// Runs a command of a host; `pace` is how long its work takes.
#[must_use]
pub fn perform(host: &HostFolder, command: HostCommand, pace: Duration) -> ExitCode {
    match attempt(host, command, pace) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn attempt(host: &HostFolder, command: HostCommand, pace: Duration) -> DemoResult<ExitCode> {
    host.record(command)
        .map_err(DemoError::io("cannot record the execution"))?;
    std::thread::sleep(pace);
    match wait_while_told(host, command)? {
        Habit::Works => {}
        Habit::Fails => {
            eprintln!(
                "error: builder for '{}' failed with exit code 1",
                command.name()
            );
            return Ok(ExitCode::FAILURE);
        }
        Habit::ChangesNothing | Habit::Waits => {
            println!("nothing to do");
            return Ok(ExitCode::SUCCESS);
        }
    }
    match command {
        HostCommand::Switch => switch(host)?,
        HostCommand::Test => println!("ok 1 - the system answers"),
        HostCommand::Rollback => roll_back(host)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn wait_while_told(host: &HostFolder, command: HostCommand) -> DemoResult<Habit> {
    let deadline = Instant::now() + LONGEST_HOLD;
    loop {
        let habit = host.habit(command);
        if habit != Habit::Waits {
            return Ok(habit);
        }
        if Instant::now() >= deadline {
            return Err(DemoError::Wrong("nobody told this command to go on".into()));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn switch(host: &HostFolder) -> DemoResult<()> {
    let repo = PathBuf::from(variable("NIXFLEET_REPO_DIR")?);
    let name = variable("NIXFLEET_HOSTNAME")?;
    let commit = head(&repo)?;
    println!("building the configuration of {name} at {commit}");
    let lock = fs::read(repo.join("flake.lock")).map_err(DemoError::io("flake.lock"))?;
    let mut digest = Sha256::new();
    digest.update(&commit);
    digest.update(&lock);
    let hash: String = hex::encode(digest.finalize()).chars().take(32).collect();
    let system = host.store().join(format!("{hash}-nixos-system-{name}"));
    let built = fs::create_dir_all(&system)
        .and_then(|()| fs::write(system.join("commit"), &commit))
        .and_then(|()| fs::write(system.join("flake.lock"), &lock));
    built.map_err(DemoError::io("cannot build"))?;
    println!("activating {}", system.display());
    host.activate(&system)
        .map_err(DemoError::io("cannot activate"))
}

fn roll_back(host: &HostFolder) -> DemoResult<()> {
    let system = PathBuf::from(variable("NIXFLEET_GENERATION_PATH")?);
    if !system.starts_with(host.store()) || !system.is_dir() {
        let system = system.display();
        return Err(DemoError::Wrong(format!(
            "{system} is no system of this host"
        )));
    }
    println!("activating {} again", system.display());
    host.activate(&system)
        .map_err(DemoError::io("cannot roll back"))
}

fn variable(name: &str) -> DemoResult<String> {
    std::env::var(name).map_err(|_| DemoError::Wrong(format!("{name} is not set")))
}

fn head(repo: &Path) -> DemoResult<String> {
    let output = Command::new("git")
        .args(["rev-parse", "--verify", "HEAD"])
        .current_dir(repo)
        .output()
        .map_err(DemoError::io("cannot run git"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(DemoError::Git {
        arguments: "rev-parse --verify HEAD".to_owned(),
        message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_system_is_what_the_link_names() {
        let folder = tempfile::tempdir().unwrap();
        let host = HostFolder::create(folder.path().join("web-1")).unwrap();
        let first = host.running().unwrap();
        let second = host.store().join("second");
        fs::create_dir(&second).unwrap();
        host.activate(&second).unwrap();
        assert_eq!(host.running().unwrap(), second.canonicalize().unwrap());
        host.activate(&first).unwrap();
        assert_eq!(host.running().unwrap(), first);
    }

    #[test]
    fn a_habit_holds_until_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let host = HostFolder::create(folder.path().join("web-1")).unwrap();
        assert_eq!(host.habit(HostCommand::Switch), Habit::Works);
        host.tell(HostCommand::Switch, Habit::Fails).unwrap();
        assert_eq!(host.habit(HostCommand::Switch), Habit::Fails);
        assert_eq!(host.habit(HostCommand::Test), Habit::Works);
        host.tell(HostCommand::Switch, Habit::Works).unwrap();
        assert_eq!(host.habit(HostCommand::Switch), Habit::Works);
    }
}
