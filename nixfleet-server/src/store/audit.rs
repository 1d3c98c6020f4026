//! The audit trail: rows that are only ever added, each sealed by a digest over the one before, so
//! that an edited, removed or reordered row is found.

use nixfleet_core::fleet::AuditRecord;
use nixfleet_core::host::Actor;
use sha2::{Digest, Sha256};
use sqlx::{FromRow, Sqlite, Transaction};

use super::Store;
use super::error::StoreError;

/// What [`Store::verify_audit`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditVerdict {
    /// Every row is as it was written; how many there are.
    Intact(u64),
    /// The row with this number, or one right before it, is not.
    Broken(i64),
}

#[derive(FromRow)]
struct Row {
    n: i64,
    at: i64,
    actor_kind: String,
    actor: String,
    action: String,
    host: Option<String>,
    command: Option<Vec<u8>>,
    reason: Option<String>,
    outcome: String,
    digest: Vec<u8>,
    value_before: Option<String>,
    value_after: Option<String>,
    peer: Option<String>,
}

impl Store {
    /// Checks the whole audit trail against its digests.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn verify_audit(&self) -> Result<AuditVerdict, StoreError> {
        let (mut last, mut digest) = (0, Vec::new());
        loop {
            let rows: Vec<Row> =
                sqlx::query_as("SELECT * FROM audit WHERE n > ? ORDER BY n LIMIT 1000")
                    .bind(last)
                    .fetch_all(self.database.reader())
                    .await?;
            if rows.is_empty() {
                return self.audit_end(last, &digest).await;
            }
            for row in rows {
                if row.n != last + 1 || row.digest != row.sealed(&digest) {
                    return Ok(AuditVerdict::Broken(row.n));
                }
                (last, digest) = (row.n, row.digest);
            }
        }
    }

    /// The end of the chain is kept apart, so that missing rows at the end are noticed.
    async fn audit_end(&self, last: i64, digest: &[u8]) -> Result<AuditVerdict, StoreError> {
        let end: Option<String> =
            sqlx::query_scalar("SELECT value FROM settings WHERE name = 'audit-end'")
                .fetch_optional(self.database.reader())
                .await?;
        let complete = match end {
            Some(text) => text == end_text(last, digest),
            None => last == 0,
        };
        if !complete {
            return Ok(AuditVerdict::Broken(last + 1));
        }
        Ok(AuditVerdict::Intact(u64::try_from(last).unwrap_or(0)))
    }
}

/// Adds a row at the end of the trail.
pub(super) async fn append(
    writing: &mut Transaction<'static, Sqlite>,
    record: &AuditRecord,
) -> Result<(), StoreError> {
    let last: Option<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT n, digest FROM audit ORDER BY n DESC LIMIT 1")
            .fetch_optional(&mut **writing)
            .await?;
    let (last, before) = last.unwrap_or_default();
    let (kind, actor) = actor_columns(&record.actor);
    let mut row = Row {
        n: last + 1,
        at: record.at.as_millis(),
        actor_kind: kind.to_owned(),
        actor: actor.to_owned(),
        action: record.action.clone(),
        host: record.host.as_ref().map(ToString::to_string),
        command: record.command.map(|id| id.as_bytes().to_vec()),
        reason: record.reason.clone(),
        outcome: record.outcome.clone(),
        digest: Vec::new(),
        value_before: record.before.clone(),
        value_after: record.after.clone(),
        peer: record.peer.clone(),
    };
    row.digest = row.sealed(&before);
    let end = end_text(row.n, &row.digest);
    sqlx::query("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(row.n)
        .bind(row.at)
        .bind(row.actor_kind)
        .bind(row.actor)
        .bind(row.action)
        .bind(row.host)
        .bind(row.command)
        .bind(row.reason)
        .bind(row.outcome)
        .bind(row.digest)
        .bind(row.value_before)
        .bind(row.value_after)
        .bind(row.peer)
        .execute(&mut **writing)
        .await?;
    sqlx::query("REPLACE INTO settings VALUES ('audit-end', ?)")
        .bind(end)
        .execute(&mut **writing)
        .await?;
    Ok(())
}

/// An actor in two columns: its kind and its name.
pub(super) fn actor_columns(actor: &Actor) -> (&'static str, &str) {
    match actor {
        Actor::Person(name) => ("person", name),
        Actor::Automation(name) => ("automation", name),
    }
}

fn end_text(last: i64, digest: &[u8]) -> String {
    format!("{last} {}", hex::encode(digest))
}

impl Row {
    /// The digest over the one before and every field, each with its length, so that no two
    /// different rows are fed in as the same bytes. Fields that older rows do not have count only
    /// in rows that have one of them.
    fn sealed(&self, before: &[u8]) -> Vec<u8> {
        let (n, at) = (self.n.to_be_bytes(), self.at.to_be_bytes());
        let fields: [Option<&[u8]>; 10] = [
            Some(before),
            Some(&n),
            Some(&at),
            Some(self.actor_kind.as_bytes()),
            Some(self.actor.as_bytes()),
            Some(self.action.as_bytes()),
            self.host.as_deref().map(str::as_bytes),
            self.command.as_deref(),
            self.reason.as_deref().map(str::as_bytes),
            Some(self.outcome.as_bytes()),
        ];
        let younger = [&self.value_before, &self.value_after, &self.peer];
        let has_younger = younger.iter().any(|field| field.is_some());
        let younger = younger
            .into_iter()
            .filter(|_| has_younger)
            .map(|field| field.as_deref().map(str::as_bytes));
        let mut digest = Sha256::new();
        for field in fields.into_iter().chain(younger) {
            let length = field.map_or(u64::MAX, |bytes| bytes.len() as u64);
            digest.update(length.to_be_bytes());
            digest.update(field.unwrap_or_default());
        }
        digest.finalize().to_vec()
    }
}
