//! Output of commands: many lines, none of the fleet's business. They go to one file for each
//! command, up to a limit, and whoever follows a command is woken when there are more.
//!
//! Names of files come from a [`HostId`] and a [`CommandId`] and from nothing else.

mod file;
mod owners;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use nixfleet_core::wire::agent::Output as OutputFrame;
use nixfleet_core::{CommandId, HostId};
use tokio::sync::{mpsc, watch};

use file::{Entry, Files};
pub use file::{Line, MAX_BYTES, Page, Stream};
use owners::Owners;

/// Lines that may wait to be written; a peer that brings more waits.
const QUEUE: usize = 1024;
/// Lines of one page.
pub const PAGE: usize = 2000;

/// Where output goes and comes from.
pub struct Output {
    folder: PathBuf,
    owners: Mutex<Owners>,
    lines: mpsc::Sender<Entry>,
    /// Counts what was written, whatever command it belongs to.
    written: watch::Receiver<u64>,
}

impl Output {
    /// Keeps output in `folder`, which is made if need be.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let (lines, queue) = mpsc::channel(QUEUE);
        let (written, watcher) = watch::channel(0);
        let files = Files::new(folder.clone());
        // Files are written on a thread of their own: a slow disk holds up nobody else.
        std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || files.write_all(queue, &written))?;
        Ok(Self {
            folder,
            owners: Mutex::default(),
            lines,
            written: watcher,
        })
    }

    /// A command is active on a host, or has ended there.
    pub fn note_command(&self, host: &HostId, command: CommandId, active: bool) {
        self.owners().note(host, command, active);
    }

    /// A host is gone. Its files stay until their time has come.
    pub fn forget(&self, host: &HostId) {
        self.owners().forget(host);
    }

    /// The command of a host whose output is the most interesting: the active one, else the last.
    #[must_use]
    pub fn latest(&self, host: &HostId) -> Option<CommandId> {
        self.owners().latest(host)
    }

    /// Takes in a line from a host. A line for a command that is not of this host is dropped; one
    /// that names none (an existing agent's) belongs to what the host runs.
    pub async fn take(&self, host: &HostId, frame: OutputFrame) {
        let named = frame.command_id.as_deref().filter(|id| !id.is_empty());
        let command = match named.map(str::parse::<CommandId>) {
            None => self.owners().latest(host),
            Some(Ok(command)) => self.owners().owns(host, command).then_some(command),
            Some(Err(_)) => None,
        };
        let Some(command) = command else {
            tracing::debug!(%host, "an output line belongs to no command of this host");
            return;
        };
        let is_error = frame.is_error || frame.stream.as_deref() == Some("stderr");
        let entry = Entry {
            host: host.clone(),
            command,
            number: frame.n.unwrap_or(0),
            dropped: frame.dropped.unwrap_or(0),
            stream: if is_error {
                Stream::Stderr
            } else {
                Stream::Stdout
            },
            text: frame.line,
        };
        self.lines.send(entry).await.ok();
    }

    /// The lines of a command from number `from` (the first is 1), at most [`PAGE`] of them.
    ///
    /// # Errors
    /// If the file cannot be read; a command without output has an empty page.
    pub async fn read(&self, host: &HostId, command: CommandId, from: u64) -> io::Result<Page> {
        let path = file::path(&self.folder, host, command);
        tokio::task::spawn_blocking(move || file::read(&path, from, PAGE))
            .await
            .map_err(io::Error::other)?
    }

    /// The same, but waits up to `patience` for the first line.
    ///
    /// # Errors
    /// As [`Output::read`].
    pub async fn follow(
        &self,
        host: &HostId,
        command: CommandId,
        from: u64,
        patience: Duration,
    ) -> io::Result<Page> {
        let mut written = self.written.clone();
        let end = tokio::time::Instant::now() + patience;
        loop {
            written.borrow_and_update();
            let page = self.read(host, command, from).await?;
            if !page.lines.is_empty() {
                return Ok(page);
            }
            let more = tokio::time::timeout_at(end, written.changed()).await;
            if !matches!(more, Ok(Ok(()))) {
                return Ok(page);
            }
        }
    }

    /// Removes files that nothing was written to for `age`; answers how many.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub async fn remove_older_than(&self, age: Duration) -> io::Result<usize> {
        let folder = self.folder.clone();
        let before = SystemTime::now().checked_sub(age);
        let work = move || before.map_or(Ok(0), |before| remove_before(&folder, before));
        tokio::task::spawn_blocking(work)
            .await
            .map_err(io::Error::other)?
    }

    fn owners(&self) -> std::sync::MutexGuard<'_, Owners> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes old output every hour until the end of the process.
pub async fn housekeeping(output: Arc<Output>, keep: Duration) {
    let mut hours = tokio::time::interval(Duration::from_secs(3600));
    loop {
        hours.tick().await;
        match output.remove_older_than(keep).await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "removed old command output"),
            Err(error) => tracing::warn!(%error, "old command output could not be removed"),
        }
    }
}

fn remove_before(folder: &Path, before: SystemTime) -> io::Result<usize> {
    let mut removed = 0;
    for host in std::fs::read_dir(folder)? {
        let host = host?.path();
        for file in std::fs::read_dir(&host)? {
            let file = file?;
            if file.metadata()?.modified()? < before {
                std::fs::remove_file(file.path())?;
                removed += 1;
            }
        }
        // Fails, as it should, while there are files left.
        std::fs::remove_dir(&host).ok();
    }
    Ok(removed)
}

#[cfg(test)]
mod tests;
