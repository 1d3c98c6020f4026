//! The store, on real SQLite files.

mod credentials;
mod opening;

use std::path::PathBuf;

use nixfleet_server::store::{DATABASE, DataFolder, Store, StoreError};
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
}
