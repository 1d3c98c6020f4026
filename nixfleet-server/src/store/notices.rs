//! What people are still to be told, and what came of every attempt to tell them.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use nixfleet_core::Timestamp;
use nixfleet_core::notice::Notice;
use serde::Serialize;
use sqlx::{FromRow, Sqlite, Transaction};

use super::Store;
use super::error::StoreError;
use super::value::{from_json, json};
use crate::notify::{Attempt, DeliveryLog, Outcome, Owed};

/// Writes what is owed, in the transaction of what it tells.
pub(super) async fn owe(
    writing: &mut Transaction<'static, Sqlite>,
    owed: &[Owed],
) -> Result<(), StoreError> {
    for one in owed {
        sqlx::query("INSERT INTO notices_owed VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(&one.id)
            .bind(&one.channel)
            .bind(one.notice.at.as_millis())
            .bind(one.attempts)
            .bind(json(&one.notice)?)
            .execute(&mut **writing)
            .await?;
    }
    Ok(())
}

/// One attempt to deliver a notice, as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct DeliveryEntry {
    /// Its number; rises with every attempt.
    pub id: i64,
    /// When it ended, in milliseconds since 1970.
    pub at: i64,
    /// The id of the notice, the same at every attempt.
    pub notice: String,
    /// The kind of the notice.
    pub kind: String,
    /// Its key.
    pub key: String,
    /// Its title.
    pub title: String,
    /// To whom.
    pub channel: String,
    /// The how many-th attempt it was, from 1.
    pub attempt: i64,
    /// `delivered`, `retrying` or `failed`.
    pub state: String,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

#[derive(FromRow)]
struct OwedRow {
    id: String,
    channel: String,
    attempts: u32,
    body: String,
}

fn readable(rows: Vec<OwedRow>) -> Vec<Owed> {
    let owed = rows.into_iter().filter_map(|row| {
        Some(Owed {
            notice: from_json::<Notice>(&row.body).ok()?,
            channel: row.channel,
            id: row.id,
            attempts: row.attempts,
        })
    });
    owed.collect()
}

impl Store {
    /// What was not delivered yet, the oldest first. A notice that cannot be read any more is left
    /// out: it is for people, nothing is decided by it.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be read.
    pub async fn owed_notices(&self) -> Result<Vec<Owed>, StoreError> {
        let rows: Vec<OwedRow> = sqlx::query_as(
            "SELECT id, channel, attempts, body FROM notices_owed ORDER BY at, id LIMIT 1000",
        )
        .fetch_all(self.database.reader())
        .await?;
        Ok(readable(rows))
    }

    /// The same for one channel: what is owed to one that nobody has any more is not in its way.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be read.
    pub async fn owed_to(&self, channel: &str, most: u32) -> Result<Vec<Owed>, StoreError> {
        let rows: Vec<OwedRow> = sqlx::query_as(
            "SELECT id, channel, attempts, body FROM notices_owed WHERE channel = ?
             ORDER BY at, id LIMIT ?",
        )
        .bind(channel)
        .bind(most)
        .fetch_all(self.database.reader())
        .await?;
        Ok(readable(rows))
    }

    /// Attempts to deliver notices, the newest first, older than the attempt `before`.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be read.
    pub async fn deliveries(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<DeliveryEntry>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT n AS id, at, notice, kind, key, title, channel, attempt, why AS error, next,
                CASE outcome WHEN 'delivered' THEN 'delivered' WHEN 'failed' THEN 'retrying'
                    ELSE 'failed' END AS state
             FROM deliveries WHERE n < ? ORDER BY n DESC LIMIT ?",
        )
        .bind(before.unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(self.database.reader())
        .await?)
    }

    async fn record_attempt(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let (outcome, why, next) = match &attempt.outcome {
            Outcome::Delivered => ("delivered", None, None),
            Outcome::Failed { why, next } => ("failed", Some(why), Some(*next)),
            Outcome::GivenUp { why } => ("given-up", Some(why), None),
        };
        let mut writing = self.database.begin().await?;
        sqlx::query(
            "INSERT INTO deliveries
                (at, notice, kind, key, title, channel, attempt, outcome, why, next)
             VALUES (?1, ?2, ?3, ?4,
                coalesce((SELECT json_extract(body, '$.title') FROM notices_owed
                    WHERE id = ?2 AND channel = ?5), ''),
                ?5, ?6, ?7, ?8, ?9)",
        )
        .bind(attempt.at.as_millis())
        .bind(&attempt.id)
        .bind(attempt.kind.code())
        .bind(&attempt.key)
        .bind(attempt.channel)
        .bind(attempt.number)
        .bind(outcome)
        .bind(why)
        .bind(next.map(Timestamp::as_millis))
        .execute(&mut *writing)
        .await?;
        let statement = match attempt.outcome {
            Outcome::Failed { .. } => {
                "UPDATE notices_owed SET attempts = ?3 WHERE id = ?1 AND channel = ?2"
            }
            Outcome::Delivered | Outcome::GivenUp { .. } => {
                "DELETE FROM notices_owed WHERE id = ?1 AND channel = ?2 AND ?3 > 0"
            }
        };
        sqlx::query(statement)
            .bind(&attempt.id)
            .bind(attempt.channel)
            .bind(attempt.number)
            .execute(&mut *writing)
            .await?;
        Ok(writing.commit().await?)
    }
}

impl DeliveryLog for Store {
    fn record(&self, attempt: Attempt) -> BoxFuture<'_, ()> {
        async move {
            if let Err(error) = self.record_attempt(&attempt).await {
                tracing::warn!(%error, key = attempt.key, "an attempt to deliver is not recorded");
            }
        }
        .boxed()
    }

    fn owed(&self, channel: &'static str, most: usize) -> BoxFuture<'_, Option<Vec<Owed>>> {
        async move {
            let most = u32::try_from(most).unwrap_or(u32::MAX);
            let read = self.owed_to(channel, most).await;
            read.inspect_err(|error| {
                tracing::warn!(%error, channel, "what is still to be told cannot be read");
            })
            .ok()
        }
        .boxed()
    }
}
