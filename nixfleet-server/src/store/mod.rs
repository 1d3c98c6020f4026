//! What the server remembers over a restart, in SQLite (spec 04, "Store").
//!
//! One writer, several readers; every batch of changes is one transaction that is on the disk
//! before anybody is told of it. A damaged database is opened for reading only, and says so.

mod audit;
mod continuity;
mod credentials;
mod error;
mod fleet;
mod folder;
mod forge;
mod history;
mod host_row;
mod housekeeping;
mod keyed;
mod migrations;
mod notices;
mod rollouts;
mod sqlite;
mod updates;
mod value;
mod write;

use std::path::Path;
use std::sync::Arc;

pub use audit::{AuditEntry, AuditFilter, AuditVerdict};
pub use error::StoreError;
pub use folder::DataFolder;
pub use history::DeployEntry;
pub use housekeeping::Retention;
pub use keyed::KEEP_KEYS;
pub use notices::DeliveryEntry;
pub use sqlite::Condition;
pub use updates::Arrival;

use sqlite::Database;

/// Name of the database in the data folder.
pub const DATABASE: &str = "nixfleet.db";

/// The store of one server; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    database: Arc<Database>,
}

impl Store {
    /// Opens the database in `folder`, creating or migrating it if need be.
    ///
    /// A damaged database is not an error: it is opened for reading, and
    /// [`Store::condition`] tells. Then nothing it says may be believed, and nothing can be written.
    ///
    /// # Errors
    /// [`StoreError`] if there is no usable database at all: not ours, of a newer version, or not
    /// readable.
    pub async fn open(folder: DataFolder) -> Result<Self, StoreError> {
        Ok(Self {
            database: Arc::new(Database::open(folder).await?),
        })
    }

    /// Opens the database in `folder` for a short while, also when a server is using it: for
    /// command-line tools that handle credentials. A running server sees the change at once.
    ///
    /// # Errors
    /// [`StoreError`] as for [`Store::open`], or if the running server is of another version.
    pub async fn open_beside(folder: &Path) -> Result<Self, StoreError> {
        match DataFolder::take(folder) {
            Ok(folder) => Self::open(folder).await,
            Err(StoreError::InUse { .. }) => Ok(Self {
                database: Arc::new(Database::open_beside(folder).await?),
            }),
            Err(error) => Err(error),
        }
    }

    /// Whether the database may be believed.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.database.condition()
    }

    /// Checks the whole database, however long that takes. At the start a large one is checked
    /// only in part; this is for the background. From the moment damage is found, nothing is written.
    pub async fn check(&self) -> Condition {
        self.database.check_everything().await
    }

    /// Copies the database, as it is at one moment, into a new file.
    ///
    /// # Errors
    /// [`StoreError`] if the file exists or cannot be written.
    pub async fn back_up(&self, target: &Path) -> Result<(), StoreError> {
        self.database.back_up(target).await
    }

    /// Waits for running transactions and closes the database.
    pub async fn close(&self) {
        self.database.close().await;
    }
}
