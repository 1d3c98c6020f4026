//! Updates and the settings of the fleet in the store.

use nixfleet_core::fleet::FleetSettings;
use nixfleet_core::update::{MAX_MERGED, MergedUpdate, UpdateRecord};
use nixfleet_core::{HostId, Timestamp};
use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::Store;
use super::error::StoreError;
use super::fleet::Body;
use super::value::{json, number, parsed, sum, text};

type Writing = Transaction<'static, Sqlite>;

/// Writes a row about updates in place of the one with the same key.
pub(super) async fn write(writing: &mut Writing, record: &UpdateRecord) -> Result<(), StoreError> {
    match record {
        UpdateRecord::State(state) => {
            let body = json(state)?;
            sqlx::query("REPLACE INTO updates VALUES (1, ?, ?)")
                .bind(&body)
                .bind(sum(body.as_bytes()))
                .execute(&mut **writing)
                .await?;
        }
        UpdateRecord::Merged(merged) => {
            let body = json(merged)?;
            sqlx::query("REPLACE INTO merged_updates VALUES (?, ?, ?, ?, ?, ?)")
                .bind(&merged.repo)
                .bind(number(merged.number.0))
                .bind(merged.at.as_millis())
                .bind(text(merged.commit))
                .bind(&body)
                .bind(sum(body.as_bytes()))
                .execute(&mut **writing)
                .await?;
        }
    }
    Ok(())
}

/// Writes the settings of the fleet.
pub(super) async fn write_settings(
    writing: &mut Writing,
    settings: &FleetSettings,
) -> Result<(), StoreError> {
    let body = json(settings)?;
    sqlx::query("REPLACE INTO fleet_settings VALUES (1, ?, ?)")
        .bind(&body)
        .bind(sum(body.as_bytes()))
        .execute(&mut **writing)
        .await?;
    Ok(())
}

/// What is known of updates, the last merged ones, and the settings of the fleet.
pub(super) async fn read(
    reading: &mut SqliteConnection,
) -> Result<(Option<Body>, Vec<Body>, Option<Body>), StoreError> {
    let state = sqlx::query_as("SELECT body, sum FROM updates")
        .fetch_optional(&mut *reading)
        .await?;
    let merged = sqlx::query_as("SELECT body, sum FROM merged_updates ORDER BY at DESC LIMIT ?")
        .bind(i64::try_from(MAX_MERGED).unwrap_or(i64::MAX))
        .fetch_all(&mut *reading)
        .await?;
    let settings = sqlx::query_as("SELECT body, sum FROM fleet_settings")
        .fetch_optional(&mut *reading)
        .await?;
    Ok((state, merged, settings))
}

/// When a host first ran an update, or something younger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The host.
    pub host: HostId,
    /// When.
    pub at: Timestamp,
}

impl Store {
    /// Merged updates of a repository that are older than `before`, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be read.
    pub async fn merged_before(
        &self,
        repo: &str,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<MergedUpdate>, StoreError> {
        let bodies: Vec<Body> = sqlx::query_as(
            "SELECT body, sum FROM merged_updates WHERE repo = ? AND at < ?
             ORDER BY at DESC, number DESC LIMIT ?",
        )
        .bind(repo)
        .bind(before.map_or(i64::MAX, Timestamp::as_millis))
        .bind(limit)
        .fetch_all(self.database.reader())
        .await?;
        bodies.iter().map(Body::read).collect()
    }

    /// When each host first ran what was merged: the commit, or one that was desired after it.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be read.
    pub async fn arrivals(&self, merged: &MergedUpdate) -> Result<Vec<Arrival>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "WITH first AS (
                SELECT min(n) AS n FROM desired_history WHERE commit_id = ?1 OR at >= ?2)
             SELECT host, min(at) FROM deploys
             WHERE outcome = 'ok' AND at >= ?2 AND (
                commit_id = ?1 OR commit_id IN (
                    SELECT commit_id FROM desired_history
                    WHERE n >= (SELECT n FROM first)))
             GROUP BY host ORDER BY 2, host",
        )
        .bind(text(merged.commit))
        .bind(merged.at.as_millis())
        .fetch_all(self.database.reader())
        .await?;
        let arrival = |(host, at): (String, i64)| {
            Ok(Arrival {
                host: parsed(&host)?,
                at: Timestamp::from_millis(at),
            })
        };
        rows.into_iter().map(arrival).collect()
    }
}
