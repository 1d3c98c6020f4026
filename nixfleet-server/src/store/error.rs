//! Why the store could not do something.

use std::path::PathBuf;

/// Why the store could not do something; each text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the data folder.
    #[error("{} is in use by {holder}: stop it, or choose another data folder", .folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// What is known of the other process.
        holder: String,
    },
    /// The data folder cannot be made or used.
    #[error("the data folder {} cannot be used: {source}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is a database of some other program.
    #[error("{} is not a database of NixFleet: move it away", .0.display())]
    NotOurs(PathBuf),
    /// The database was written by a newer server.
    #[error(
        "the database has schema version {found}, this server knows up to {known}: run the newer \
         server, or restore a backup from before the upgrade"
    )]
    Newer {
        /// The version of the database.
        found: i64,
        /// The newest version this server knows.
        known: i64,
    },
    /// A migration failed; nothing of it was applied.
    #[error("the database could not be migrated: {0}")]
    Migration(String),
    /// The database is damaged, so nothing is written.
    #[error("the database is damaged ({0}): restore it from a backup")]
    Damaged(String),
    /// A rule of the database refused a change: nothing of the batch was written.
    #[error("the database refused a change: {0}")]
    Constraint(String),
    /// A stored value is not what it should be.
    #[error("the database holds an unusable value: {0}")]
    Unusable(String),
    /// The database could not be read or written.
    #[error("the database failed: {0}")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnNotFound(_) = error
        {
            return StoreError::Damaged(error.to_string());
        }
        let Some(database) = error.as_database_error() else {
            return StoreError::Database(error);
        };
        let code = database.code().unwrap_or_default();
        let code = code.parse::<i32>().unwrap_or(0);
        match code & 0xff {
            SQLITE_CORRUPT | SQLITE_NOTADB => StoreError::Damaged(database.message().to_owned()),
            SQLITE_CONSTRAINT => StoreError::Constraint(database.message().to_owned()),
            _ if code == SQLITE_IOERR_SHORT_READ => {
                StoreError::Damaged(database.message().to_owned())
            }
            _ => StoreError::Database(error),
        }
    }
}

/// Why a check could not even be carried out. Its statements are right, so an objection to them is
/// one to a schema that is no longer ours.
pub(super) fn failed_check(error: sqlx::Error) -> StoreError {
    let objection = error
        .as_database_error()
        .filter(|database| database.code().is_some_and(|code| code == SQLITE_ERROR));
    match objection {
        Some(database) => StoreError::Damaged(database.message().to_owned()),
        None => StoreError::from(error),
    }
}

const SQLITE_ERROR: &str = "1";
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_CONSTRAINT: i32 = 19;
const SQLITE_NOTADB: i32 = 26;
/// The file is shorter than it says it is.
const SQLITE_IOERR_SHORT_READ: i32 = 522;
