//! The store, on real SQLite files.

mod audit;
mod continuity;
mod credentials;
mod damage;
mod day;
mod fleet;
mod hosts;
mod keys;
mod merging;
mod opening;
mod updates;

use std::path::PathBuf;

use nixfleet_server::store::{DATABASE, DataFolder, Store, StoreError};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

/// A data folder that outlives the stores opened in it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn database(&self) -> PathBuf {
        self.0.path().join(DATABASE)
    }

    async fn try_open(&self) -> Result<Store, StoreError> {
        Store::open(DataFolder::take(self.0.path())?).await
    }

    async fn open(&self) -> Store {
        self.try_open().await.unwrap()
    }

    /// A connection beside the store's own.
    async fn raw(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new()
            .filename(self.database())
            .create_if_missing(true);
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    /// Runs one statement beside the store.
    async fn execute(&self, statement: &'static str) {
        let mut raw = self.raw().await;
        sqlx::query(statement).execute(&mut raw).await.unwrap();
        raw.close().await.unwrap();
    }
}
