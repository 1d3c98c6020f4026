//! Requests under an `Idempotency-Key`: which were carried out, and how they were answered.

use std::time::Duration;

use nixfleet_core::Timestamp;
use sqlx::{FromRow, Sqlite, Transaction};

use super::Store;
use super::error::StoreError;
use super::value::unusable;
use crate::keyed::{KeyedAnswer, KeyedRequest, Known, Taken};

/// How long a key is remembered.
pub const KEEP_KEYS: Duration = Duration::from_secs(24 * 3600);

#[derive(FromRow)]
struct Row {
    request: Vec<u8>,
    at: i64,
    note: Option<String>,
    status: Option<u16>,
    media: Option<String>,
    body: Option<Vec<u8>>,
}

impl Store {
    /// What is known of a key, if it came within the last day.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be read.
    pub async fn find_key(
        &self,
        principal: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<Known>, StoreError> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT request, at, note, status, media, body FROM idempotency
             WHERE principal = ? AND key = ? AND at >= ?",
        )
        .bind(principal)
        .bind(key)
        .bind((now - KEEP_KEYS).as_millis())
        .fetch_optional(self.database.reader())
        .await?;
        row.map(Known::try_from).transpose()
    }

    /// Keeps the answer to a request.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be written.
    pub async fn keep_answer(
        &self,
        request: &KeyedRequest,
        answer: &KeyedAnswer,
    ) -> Result<(), StoreError> {
        let mut writing = self.database.begin().await?;
        sqlx::query(
            "INSERT INTO idempotency VALUES (?1, ?2, ?3, ?4, NULL, ?5, ?6, ?7)
             ON CONFLICT (principal, key) DO UPDATE SET
                note = CASE WHEN request = ?4 THEN note END,
                at = ?3, request = ?4, status = ?5, media = ?6, body = ?7",
        )
        .bind(&request.principal)
        .bind(&request.key)
        .bind(request.at.as_millis())
        .bind(request.request.as_slice())
        .bind(answer.status)
        .bind(&answer.media)
        .bind(answer.body.as_ref())
        .execute(&mut *writing)
        .await?;
        Ok(writing.commit().await?)
    }
}

/// Notes that requests were carried out, in the transaction that carries them out.
pub(super) async fn take(
    writing: &mut Transaction<'static, Sqlite>,
    taken: &[Taken],
) -> Result<(), StoreError> {
    for one in taken {
        sqlx::query("REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?, NULL, NULL, NULL)")
            .bind(&one.request.principal)
            .bind(&one.request.key)
            .bind(one.request.at.as_millis())
            .bind(one.request.request.as_slice())
            .bind(&one.note)
            .execute(&mut **writing)
            .await?;
    }
    Ok(())
}

impl TryFrom<Row> for Known {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let request = row.request.try_into();
        let answer = match (row.status, row.media, row.body) {
            (Some(status), Some(media), Some(body)) => Some(KeyedAnswer {
                status,
                media,
                body: body.into(),
            }),
            (_, _, _) => None,
        };
        Ok(Self {
            request: request.map_err(|_| unusable("a request of another length"))?,
            at: Timestamp::from_millis(row.at),
            note: row.note,
            answer,
        })
    }
}
