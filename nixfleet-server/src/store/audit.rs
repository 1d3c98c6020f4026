//! The audit trail: rows that are only ever added, each sealed by a digest over the one before, so
//! that an edited, removed or reordered row is found.

use nixfleet_core::fleet::AuditRecord;
use nixfleet_core::host::Actor;
use nixfleet_core::{HostId, Timestamp};
use sha2::{Digest, Sha256};
use sqlx::{FromRow, Sqlite, Transaction};

use super::Store;
use super::error::StoreError;
use super::value::{command, maybe};

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

/// A row of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number: one more than that of the row before it.
    pub n: i64,
    /// What it says.
    pub record: AuditRecord,
}

/// Which rows of the audit trail are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only about this host.
    pub host: Option<HostId>,
    /// Only what this person or automation did.
    pub actor: Option<String>,
    /// Only this action; one that ends with `.` or `*` is any that begins so.
    pub action: Option<String>,
}

impl AuditFilter {
    /// What `action` looks for: the text to be equal to, or the one to begin with.
    fn action(&self) -> (Option<&str>, Option<&str>) {
        let Some(action) = self.action.as_deref() else {
            return (None, None);
        };
        match action.strip_suffix('*') {
            Some(begin) => (None, Some(begin)),
            None if action.ends_with('.') => (None, Some(action)),
            None => (Some(action), None),
        }
    }
}

impl Store {
    /// The rows with a number below `before`, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be read.
    pub async fn audit_before(
        &self,
        before: Option<i64>,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let (action, begin) = filter.action();
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT * FROM audit
             WHERE n < ?1 AND (?2 IS NULL OR host = ?2) AND (?3 IS NULL OR actor = ?3)
                AND (?4 IS NULL OR action = ?4)
                AND (?5 IS NULL OR substr(action, 1, length(?5)) = ?5)
             ORDER BY n DESC LIMIT ?6",
        )
        .bind(before.unwrap_or(i64::MAX))
        .bind(filter.host.as_ref().map(HostId::as_str))
        .bind(filter.actor.as_deref())
        .bind(action)
        .bind(begin)
        .bind(limit)
        .fetch_all(self.database.reader())
        .await?;
        rows.into_iter().map(AuditEntry::try_from).collect()
    }

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

impl TryFrom<Row> for AuditEntry {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let actor = match row.actor_kind.as_str() {
            "person" => Actor::Person(row.actor),
            _ => Actor::Automation(row.actor),
        };
        Ok(Self {
            n: row.n,
            record: AuditRecord {
                at: Timestamp::from_millis(row.at),
                actor,
                action: row.action,
                host: maybe(row.host.as_deref())?,
                command: command(row.command.as_deref())?,
                reason: row.reason,
                outcome: row.outcome,
                before: row.value_before,
                after: row.value_after,
                peer: row.peer,
            },
        })
    }
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
