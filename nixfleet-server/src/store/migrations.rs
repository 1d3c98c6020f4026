//! The schema, version by version: forward only, each in one transaction.

use std::cmp::Ordering;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{SqlSafeStr, SqlitePool};

use super::error::StoreError;

/// Every version of the schema. Released ones are never edited, only added to.
#[rustfmt::skip]
const VERSIONS: &[(i64, &str, &str)] = &[
    (1, "credentials", include_str!("../../migrations/sqlite/0001_credentials.sql")),
    (2, "fleet", include_str!("../../migrations/sqlite/0002_fleet.sql")),
    (3, "updates", include_str!("../../migrations/sqlite/0003_updates.sql")),
    (4, "forge", include_str!("../../migrations/sqlite/0004_forge.sql")),
    (5, "idempotency", include_str!("../../migrations/sqlite/0005_idempotency.sql")),
    (6, "profile", include_str!("../../migrations/sqlite/0006_profile.sql")),
];

/// Brings the schema to the newest version.
pub(super) async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    migrator().run(pool).await.map_err(|error| {
        if let MigrateError::VersionMissing(found) = error {
            let known = newest();
            return StoreError::Newer { found, known };
        }
        if let MigrateError::VersionMismatch(version) = error {
            let what = format!("version {version} is not the one that was released");
            return StoreError::Migration(what);
        }
        if let MigrateError::Execute(error) = error {
            return StoreError::from(error);
        }
        StoreError::Migration(error.to_string())
    })
}

/// Refuses a schema that is not the newest one.
pub(super) async fn require_newest(pool: &SqlitePool) -> Result<(), StoreError> {
    let found: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(pool)
        .await?;
    let (found, known) = (found.unwrap_or(0), newest());
    match found.cmp(&known) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(StoreError::Newer { found, known }),
        Ordering::Less => Err(StoreError::Migration(format!(
            "the running server uses schema version {found}, this program {known}: use the same \
             version for both"
        ))),
    }
}

fn newest() -> i64 {
    VERSIONS
        .iter()
        .map(|(version, _, _)| *version)
        .max()
        .unwrap_or(0)
}

fn migrator() -> Migrator {
    let migrations = VERSIONS
        .iter()
        .map(|&(version, name, sql)| {
            let sql = sql.into_sql_str();
            Migration::new(version, name.into(), MigrationType::Simple, sql, false)
        })
        .collect();
    Migrator::with_migrations(migrations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_consecutive() {
        let numbers: Vec<i64> = VERSIONS.iter().map(|(version, _, _)| *version).collect();
        let expected: Vec<i64> = (1..=newest()).collect();
        assert_eq!(numbers, expected);
    }
}
