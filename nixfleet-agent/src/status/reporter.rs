//! Keeps the status file current, without ever holding up the loop.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nixfleet_core::host::RunningSystem;
use nixfleet_core::{CommandId, Op, Timestamp};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{Connection, FILE, Failure, Running, StatusFile};
use crate::config::Config;

/// Writes down what the loop tells, whenever it changes.
#[derive(Debug)]
pub struct Reporter {
    latest: watch::Sender<StatusFile>,
    writer: JoinHandle<()>,
}

impl Reporter {
    /// Starts writing.
    #[must_use]
    pub fn start(config: &Config, now: Timestamp) -> Self {
        let path = config.state_dir.join(FILE);
        let (latest, changes) = watch::channel(StatusFile {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: config.hostname.to_string(),
            server: config.server.to_string(),
            started_at: now,
            connection: Connection::Disconnected,
            since: now,
            last_error: None,
            running: None,
            system: RunningSystem::default(),
        });
        let writer = tokio::spawn(write_changes(path, changes));
        Self { latest, writer }
    }

    /// How things are now.
    pub fn now(
        &self,
        registered: bool,
        running: Option<(CommandId, Op)>,
        system: &RunningSystem,
        now: Timestamp,
    ) {
        let connection = if registered {
            Connection::Connected
        } else {
            Connection::Disconnected
        };
        let running = running.map(|(command_id, op)| Running {
            command_id,
            op: op.name().to_owned(),
        });
        self.latest.send_if_modified(|status| {
            let changed = status.connection != connection
                || status.running != running
                || status.system != *system;
            if status.connection != connection {
                status.since = now;
            }
            status.connection = connection;
            status.running = running;
            if status.system != *system {
                status.system = system.clone();
            }
            changed
        });
    }

    /// There is no connection, and why.
    pub fn failed(&self, message: String, at: Timestamp) {
        self.latest
            .send_modify(|status| status.last_error = Some(Failure { at, message }));
    }

    /// Whether this is another failure than the last, or one after a connection stood.
    #[must_use]
    pub fn is_news(&self, message: &str) -> bool {
        let status = self.latest.borrow();
        let last = status.last_error.as_ref();
        status.connection == Connection::Connected
            || last.is_none_or(|last| last.message != message)
    }

    /// Whether the server has answered the registration.
    #[must_use]
    pub fn connection(&self) -> Connection {
        self.latest.borrow().connection
    }

    /// The agent ends; returns when that is written down.
    pub async fn stopped(self, now: Timestamp) {
        self.latest.send_modify(|status| {
            status.connection = Connection::Stopped;
            status.since = now;
            status.running = None;
        });
        drop(self.latest);
        let _ = self.writer.await;
    }
}

async fn write_changes(path: PathBuf, mut changes: watch::Receiver<StatusFile>) {
    changes.mark_changed();
    while changes.changed().await.is_ok() {
        let status = changes.borrow_and_update().clone();
        let path = path.clone();
        let written = spawn_blocking(move || write(&path, &status)).await;
        if let Ok(Err(error)) = written {
            tracing::debug!(%error, "the status file cannot be written");
        }
    }
}

/// Whole or not at all, but not synced: after a crash of the machine it is out of date anyway.
fn write(path: &Path, status: &StatusFile) -> std::io::Result<()> {
    let beside = path.with_extension("tmp");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(&serde_json::to_vec_pretty(status)?)?;
    fs::rename(beside, path)
}
