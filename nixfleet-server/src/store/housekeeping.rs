//! What is kept beside the fleet, and for how long.

use std::time::Duration;

use nixfleet_core::{LockHash, Timestamp};

use sqlx::sqlite::SqliteQueryResult;

use super::error::StoreError;
use super::{KEEP_KEYS, Store, rollouts};

/// How long records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Commands that have ended.
    pub commands: Duration,
    /// Events, attempts to deliver notices, and notices that nobody took in all that time: those of
    /// a channel that is not configured any more.
    pub events: Duration,
    /// Rollouts that have ended. What they did on each host stays, as its deploy history.
    pub rollouts: Duration,
    /// The most rollouts that have ended, however young they are.
    pub most_rollouts: usize,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            commands: DAY * 90,
            events: DAY * 30,
            rollouts: DAY * 90,
            most_rollouts: 2_000,
        }
    }
}

impl Store {
    /// Keeps the content of a `flake.lock`; one that is kept already changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be written.
    pub async fn keep_lock(
        &self,
        hash: LockHash,
        content: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM locks WHERE hash = ?")
            .bind(hash.to_string())
            .fetch_optional(self.database.reader())
            .await?;
        if known.is_some() {
            return Ok(());
        }
        let mut writing = self.database.begin().await?;
        sqlx::query("INSERT INTO locks VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(hash.to_string())
            .bind(now.as_millis())
            .bind(content)
            .execute(&mut *writing)
            .await?;
        Ok(writing.commit().await?)
    }

    /// The content of a `flake.lock` that was kept.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be read.
    pub async fn find_lock(&self, hash: LockHash) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT content FROM locks WHERE hash = ?")
                .bind(hash.to_string())
                .fetch_optional(self.database.reader())
                .await?,
        )
    }

    /// Removes what is older than it is to be kept: at most `limit` rows of each kind at a time,
    /// so that nobody waits long. Answers how many were removed; call again until it is none.
    ///
    /// Open commands, the last ended one of each host, the last event (whose number the next one
    /// follows), open rollouts and the last ended ones that the fleet keeps in memory, deploys and
    /// the audit trail are never removed.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be written.
    pub async fn prune(
        &self,
        now: Timestamp,
        keep: Retention,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let mut writing = self.database.begin().await?;
        let commands = sqlx::query(
            "DELETE FROM commands WHERE id IN (
                SELECT id FROM commands
                WHERE open = 0 AND created < ? AND id NOT IN (SELECT command FROM last_ended)
                ORDER BY id LIMIT ?)",
        )
        .bind((now - keep.commands).as_millis())
        .bind(limit)
        .execute(&mut *writing)
        .await?;
        let events = sqlx::query(
            "DELETE FROM events WHERE n IN (
                SELECT n FROM events
                WHERE at < ? AND n < (SELECT max(n) FROM events)
                ORDER BY at LIMIT ?)",
        )
        .bind((now - keep.events).as_millis())
        .bind(limit)
        .execute(&mut *writing)
        .await?;
        let deliveries = sqlx::query(
            "DELETE FROM deliveries WHERE n IN (
                SELECT n FROM deliveries WHERE at < ? ORDER BY at LIMIT ?)",
        )
        .bind((now - keep.events).as_millis())
        .bind(limit)
        .execute(&mut *writing)
        .await?;
        let keys = sqlx::query(
            "DELETE FROM idempotency WHERE (principal, key) IN (
                SELECT principal, key FROM idempotency WHERE at < ? ORDER BY at LIMIT ?)",
        )
        .bind((now - KEEP_KEYS).as_millis())
        .bind(limit)
        .execute(&mut *writing)
        .await?;
        let owed = sqlx::query(
            "DELETE FROM notices_owed WHERE (id, channel) IN (
                SELECT id, channel FROM notices_owed WHERE at < ? ORDER BY at LIMIT ?)",
        )
        .bind((now - keep.events).as_millis())
        .bind(limit)
        .execute(&mut *writing)
        .await?;
        let rollouts = rollouts::prune(&mut writing, now, keep, limit).await?;
        writing.commit().await?;
        let removed = [commands, events, deliveries, keys, owed];
        let removed = removed.iter().map(SqliteQueryResult::rows_affected);
        Ok(removed.sum::<u64>() + rollouts)
    }
}
