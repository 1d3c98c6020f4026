//! The SQLite database behind the store: how it is opened, checked and locked down.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};

use super::error::{StoreError, failed_check};
use super::folder::DataFolder;
use super::{DATABASE, continuity, migrations};

/// 'NFLT', as the first migration writes it.
const APPLICATION_ID: i64 = 0x4E46_4C54;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READERS: u32 = 4;
/// Up to this size the whole database is checked before the server starts.
const CHECKED_AT_START: u64 = 64 << 20;

/// Whether the database may be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// No damage is known.
    Sound,
    /// Damage was found: what it is.
    Damaged(String),
}

/// An open database.
#[derive(Debug)]
pub(super) struct Database {
    /// Absent when the database is damaged.
    writer: Option<SqlitePool>,
    reader: SqlitePool,
    damage: Mutex<Option<String>>,
    /// Held as long as the database is open; absent beside a running server.
    _folder: Option<DataFolder>,
}

impl Database {
    /// Opens the database of a running server, without checking or changing its schema.
    pub async fn open_beside(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(DATABASE);
        let options = options(&path);
        let writer = pool(1).connect_with(options.clone()).await?;
        migrations::require_newest(&writer).await?;
        Ok(Self {
            writer: Some(writer),
            reader: pool(1).connect_lazy_with(options.read_only(true)),
            damage: Mutex::new(None),
            _folder: None,
        })
    }

    pub async fn open(folder: DataFolder) -> Result<Self, StoreError> {
        let path = folder.path().join(DATABASE);
        create_private(&path)?;
        let options = options(&path);
        let writer = match open_for_writing(&path, &options).await {
            Ok(writer) => Ok(writer),
            Err(StoreError::Damaged(what)) => Err(what),
            Err(error) => return Err(error),
        };
        let options = options.read_only(true);
        let reader = pool(READERS).connect_lazy_with(options);
        let (writer, damage) = match writer {
            Ok(writer) => (Some(writer), None),
            Err(what) => (None, Some(what)),
        };
        Ok(Self {
            writer,
            reader,
            damage: Mutex::new(damage),
            _folder: Some(folder),
        })
    }

    pub fn condition(&self) -> Condition {
        let damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        match damage.clone() {
            None => Condition::Sound,
            Some(what) => Condition::Damaged(what),
        }
    }

    /// Connections that only read.
    pub fn reader(&self) -> &SqlitePool {
        &self.reader
    }

    /// Begins a transaction that writes. It takes the write lock at once, because a transaction
    /// that reads first and then wants to write would fail when another one was faster.
    pub async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        match (&self.writer, self.condition()) {
            (_, Condition::Damaged(what)) => Err(StoreError::Damaged(what)),
            (None, Condition::Sound) => Err(StoreError::Damaged("not opened".to_owned())),
            (Some(writer), Condition::Sound) => Ok(writer.begin_with("BEGIN IMMEDIATE").await?),
        }
    }

    pub async fn check_everything(&self) -> Condition {
        if let Condition::Damaged(what) = self.condition() {
            return Condition::Damaged(what);
        }
        if let Err(error) = integrity(&self.reader).await {
            self.record_damage(&error);
        }
        self.condition()
    }

    /// From now on nothing is written. Errors that are no damage change nothing.
    pub fn record_damage(&self, error: &StoreError) {
        if let StoreError::Damaged(what) = error {
            let mut damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
            damage.get_or_insert_with(|| what.clone());
        }
    }

    pub async fn back_up(&self, target: &Path) -> Result<(), StoreError> {
        let Some(name) = target.to_str() else {
            let what = "the path of the backup is not UTF-8";
            return Err(StoreError::Unusable(what.to_owned()));
        };
        sqlx::query("VACUUM INTO ?")
            .bind(name)
            .execute(&self.reader)
            .await?;
        // Whoever restores the copy does not go on where this database is by then.
        let options = SqliteConnectOptions::new().filename(target);
        let mut copy = SqliteConnection::connect_with(&options).await?;
        sqlx::query("UPDATE state_version SET continuity = NULL")
            .execute(&mut copy)
            .await?;
        Ok(copy.close().await?)
    }

    pub async fn close(&self) {
        self.reader.close().await;
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
}

/// The database holds sessions and the audit trail: nobody else may read it, also not between
/// its creation and our first write.
fn create_private(path: &PathBuf) -> Result<(), StoreError> {
    let opened = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    match opened {
        Err(error) if error.kind() != io::ErrorKind::IsADirectory => Err(StoreError::Folder {
            folder: path.clone(),
            source: error,
        }),
        Err(_) => Err(StoreError::NotOurs(path.clone())),
        Ok(_) => Ok(()),
    }
}

/// Connects, checks, and migrates; any sign of damage is [`StoreError::Damaged`].
async fn open_for_writing(
    path: &PathBuf,
    options: &SqliteConnectOptions,
) -> Result<SqlitePool, StoreError> {
    let size = std::fs::metadata(path).map_or(0, |found| found.len());
    let writer = pool(1)
        .connect_with(options.clone().optimize_on_close(true, 400))
        .await?;
    let outcome = check_and_migrate(&writer, path, size).await;
    if outcome.is_err() {
        writer.close().await;
    }
    outcome.map(|()| writer)
}

async fn check_and_migrate(writer: &SqlitePool, path: &Path, size: u64) -> Result<(), StoreError> {
    recognise(writer, path).await?;
    if size <= CHECKED_AT_START {
        integrity(writer).await?;
    }
    migrations::migrate(writer).await?;
    let mut writing = writer.begin_with("BEGIN IMMEDIATE").await?;
    continuity::renew(&mut writing, path.parent().unwrap_or(path)).await?;
    Ok(writing.commit().await?)
}

/// Tells our database from a new one, from somebody else's, and from a damaged one.
async fn recognise(pool: &SqlitePool, path: &Path) -> Result<(), StoreError> {
    let id: i64 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(pool)
        .await?;
    if id == APPLICATION_ID {
        return Ok(());
    }
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
            .fetch_all(pool)
            .await?;
    let has = |name: &str| tables.iter().any(|table| table == name);
    // A server that was killed in its very first migration leaves only the list of migrations.
    if tables.iter().all(|table| table == "_sqlx_migrations") {
        return Ok(());
    }
    if has("_sqlx_migrations") && has("sessions") {
        return Err(StoreError::Damaged(format!("application id {id:#x}")));
    }
    Err(StoreError::NotOurs(path.to_owned()))
}

async fn integrity(pool: &SqlitePool) -> Result<(), StoreError> {
    let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(3)")
        .fetch_all(pool)
        .await
        .map_err(failed_check)?;
    let orphans: Vec<(String,)> =
        sqlx::query_as("SELECT \"table\" FROM pragma_foreign_key_check LIMIT 1")
            .fetch_all(pool)
            .await
            .map_err(failed_check)?;
    if found != ["ok"] {
        return Err(StoreError::Damaged(found.join("; ")));
    }
    match orphans.first() {
        Some((table,)) => Err(StoreError::Damaged(format!(
            "a row of {table} refers to nothing"
        ))),
        None => Ok(()),
    }
}
