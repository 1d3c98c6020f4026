//! Rollouts in the store.
//!
//! Several may wait for one host, because the next one waits for the end of the one before; that
//! only one acts on it is a rule of the database (law D15).

use std::collections::BTreeMap;

use nixfleet_core::fleet::{KEPT_ROLLOUTS, Record};
use nixfleet_core::rollout::{HostRun, HostStage, RolledBack, Rollout};
use nixfleet_core::{RolloutId, Timestamp};
use sqlx::{Sqlite, Transaction};

use super::Store;
use super::error::StoreError;
use super::fleet::Body;
use super::housekeeping::Retention;
use super::value::{json, sum, word};

type Writing = Transaction<'static, Sqlite>;

/// Every rollout of a batch lets go of its hosts before any takes one, whatever their order.
pub(super) async fn release_hosts(
    writing: &mut Writing,
    batch: &[Record],
) -> Result<(), StoreError> {
    for id in last_of_each(batch).keys() {
        sqlx::query("DELETE FROM rollout_hosts WHERE rollout = ?")
            .bind(id.as_bytes().as_slice())
            .execute(&mut **writing)
            .await?;
    }
    Ok(())
}

/// Of several records of one rollout only the last counts; its place in the batch.
pub(super) fn last_of_each(batch: &[Record]) -> BTreeMap<RolloutId, usize> {
    let mut last = BTreeMap::new();
    for (index, record) in batch.iter().enumerate() {
        if let Record::Rollout(rollout) = record {
            last.insert(rollout.id, index);
        }
    }
    last
}

/// Writes a rollout in place of the one with the same id.
pub(super) async fn write(writing: &mut Writing, rollout: &Rollout) -> Result<(), StoreError> {
    let open = !rollout.is_over();
    let body = json(rollout)?;
    sqlx::query(
        "INSERT INTO rollouts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (id) DO UPDATE SET open = ?2, state = ?3, since = ?4, body = ?6, sum = ?7",
    )
    .bind(rollout.id.as_bytes().as_slice())
    .bind(open)
    .bind(word(&rollout.state)?)
    .bind(rollout.since.as_millis())
    .bind(rollout.created.as_millis())
    .bind(&body)
    .bind(sum(body.as_bytes()))
    .execute(&mut **writing)
    .await?;
    if rollout.state.is_terminal() {
        return Ok(());
    }
    for (host, run) in &rollout.hosts {
        sqlx::query("INSERT INTO rollout_hosts VALUES (?, ?, ?)")
            .bind(rollout.id.as_bytes().as_slice())
            .bind(host.as_str())
            .bind(acts(run))
            .execute(&mut **writing)
            .await?;
    }
    Ok(())
}

/// Whether a command of the rollout runs on the host.
fn acts(run: &HostRun) -> bool {
    run.state == HostStage::Running || matches!(run.rolled_back, Some(RolledBack::Running(_)))
}

/// Every rollout that is not over: an open one, or one whose revert is still to be made; and the last
/// that are. Older ones first.
pub(super) async fn read(reading: &mut sqlx::SqliteConnection) -> Result<Vec<Body>, StoreError> {
    let kept = i64::try_from(KEPT_ROLLOUTS).unwrap_or(i64::MAX);
    Ok(sqlx::query_as(
        "SELECT body, sum FROM (
            SELECT id, created, body, sum FROM rollouts WHERE open = 1
            UNION ALL
            SELECT * FROM (
                SELECT id, created, body, sum FROM rollouts WHERE open = 0
                ORDER BY since DESC, id DESC LIMIT ?)
         ) ORDER BY created, id",
    )
    .bind(kept)
    .fetch_all(reading)
    .await?)
}

/// Removes ended rollouts that are too old or too many, the oldest first; never one that the fleet
/// would read back (see [`read`]). Answers how many.
pub(super) async fn prune(
    writing: &mut Writing,
    now: Timestamp,
    keep: Retention,
    limit: u32,
) -> Result<u64, StoreError> {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let done = sqlx::query(
        "DELETE FROM rollouts WHERE id IN (
            SELECT id FROM (
                SELECT id, since, row_number() OVER (ORDER BY since DESC, id DESC) AS place
                FROM rollouts WHERE open = 0)
            WHERE place > ?1 AND (since < ?2 OR place > ?3)
            ORDER BY place DESC LIMIT ?4)",
    )
    .bind(count(KEPT_ROLLOUTS))
    .bind((now - keep.rollouts).as_millis())
    .bind(count(keep.most_rollouts))
    .bind(limit)
    .execute(&mut **writing)
    .await?;
    Ok(done.rows_affected())
}

impl Store {
    /// A rollout, also one that ended long ago.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be read.
    pub async fn find_rollout(&self, id: RolloutId) -> Result<Option<Rollout>, StoreError> {
        let body: Option<Body> = sqlx::query_as("SELECT body, sum FROM rollouts WHERE id = ?")
            .bind(id.as_bytes().as_slice())
            .fetch_optional(self.database.reader())
            .await?;
        body.as_ref().map(Body::read).transpose()
    }

    /// Rollouts that were made before the rollout `before`, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be read.
    pub async fn rollouts_before(
        &self,
        before: Option<RolloutId>,
        limit: u32,
    ) -> Result<Vec<Rollout>, StoreError> {
        let bodies: Vec<Body> = sqlx::query_as(
            "SELECT body, sum FROM rollouts
             WHERE ?1 IS NULL
                OR (created, id) < (SELECT created, id FROM rollouts WHERE id = ?1)
             ORDER BY created DESC, id DESC LIMIT ?2",
        )
        .bind(before.map(|id| id.as_bytes().to_vec()))
        .bind(limit)
        .fetch_all(self.database.reader())
        .await?;
        bodies.iter().map(Body::read).collect()
    }
}
