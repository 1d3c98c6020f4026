//! Notices when the database is not the one this folder last had: a restored backup or a copy.
//!
//! Every start writes a new mark into the database and beside it. If they differ at the next
//! start, changes may have been published that the database does not know, so the synchronised
//! state gets a new epoch and every client asks for all of it.

use std::io::Write;
use std::path::Path;

use sqlx::{Sqlite, Transaction};

use super::error::StoreError;

const FILE: &str = "continuity";

/// Compares the marks, begins a new epoch if they differ, and sets new ones.
pub(super) async fn renew(
    writing: &mut Transaction<'static, Sqlite>,
    folder: &Path,
) -> Result<(), StoreError> {
    let beside = std::fs::read_to_string(folder.join(FILE)).unwrap_or_default();
    let mark = uuid::Uuid::new_v4().to_string();
    sqlx::query(
        "UPDATE state_version SET
            epoch = CASE WHEN continuity = ?1 THEN epoch ELSE max(epoch + 1, unixepoch()) END,
            number = CASE WHEN continuity = ?1 THEN number ELSE 0 END,
            continuity = ?2",
    )
    .bind(beside.trim())
    .bind(&mark)
    .execute(&mut **writing)
    .await?;
    // Written before the transaction ends: if only one of the two survives, they differ.
    write_mark(folder, &mark).map_err(|source| StoreError::Folder {
        folder: folder.to_owned(),
        source,
    })
}

fn write_mark(folder: &Path, mark: &str) -> std::io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(mark.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(folder.join(FILE))?;
    Ok(())
}
