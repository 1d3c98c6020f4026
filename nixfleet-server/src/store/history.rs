//! The past, in pages: newest first, each page beginning where the one before ended.

use nixfleet_core::host::{Actor, DeployOutcome};
use nixfleet_core::lifecycle::{Command, Target};
use nixfleet_core::sync::EventView;
use nixfleet_core::{CommandId, CommitRef, HostId, LockHash, Sequence, StorePath, Timestamp};
use sqlx::FromRow;

use super::Store;
use super::error::StoreError;
use super::fleet::EventRow;
use super::value::{command, count, from_json, from_word, maybe, number, unusable};

/// What became of one deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployEntry {
    /// The command that did it.
    pub command: CommandId,
    /// Its number within the host.
    pub seq: Sequence,
    /// How it ended.
    pub outcome: DeployOutcome,
    /// When that was learnt.
    pub at: Timestamp,
    /// The commit that was built, where recorded.
    pub commit: Option<CommitRef>,
    /// The lock that was built, where recorded.
    pub lock: Option<LockHash>,
    /// The activated store path, where recorded.
    pub store_path: Option<StorePath>,
    /// One line on how it ended.
    pub detail: Option<String>,
    /// What was done, where recorded.
    pub op: Option<String>,
    /// Who asked for it, where recorded.
    pub actor: Option<Actor>,
    /// When the command was made, where recorded.
    pub started: Option<Timestamp>,
    /// What it was to bring, where recorded.
    pub target: Option<Target>,
    /// The number of the generation that came of it, where recorded.
    pub generation: Option<u64>,
    /// The update whose merge it was.
    pub pr: Option<u64>,
}

impl Store {
    /// A command, whatever became of it.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be read.
    pub async fn find_command(&self, id: CommandId) -> Result<Option<Command>, StoreError> {
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM commands WHERE id = ?")
            .bind(id.as_bytes().as_slice())
            .fetch_optional(self.database.reader())
            .await?;
        body.as_deref().map(from_json).transpose()
    }

    /// Commands, of one host or of all, that were made before the command `before`.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be read.
    pub async fn commands_before(
        &self,
        host: Option<&HostId>,
        before: Option<CommandId>,
        limit: u32,
    ) -> Result<Vec<Command>, StoreError> {
        let end = before.unwrap_or(CommandId::from_bytes([0xff; 16]));
        let query = match host {
            Some(host) => sqlx::query_scalar(
                "SELECT body FROM commands WHERE id < ? AND host = ? ORDER BY id DESC LIMIT ?",
            )
            .bind(end.as_bytes().as_slice())
            .bind(host.as_str()),
            None => sqlx::query_scalar(
                "SELECT body FROM commands WHERE id < ? ORDER BY id DESC LIMIT ?",
            )
            .bind(end.as_bytes().as_slice()),
        };
        let bodies: Vec<String> = query.bind(limit).fetch_all(self.database.reader()).await?;
        bodies.iter().map(|body| from_json(body)).collect()
    }

    /// Events, of one host or of all, with a smaller number than `before`.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be read.
    pub async fn events_before(
        &self,
        host: Option<&HostId>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<EventView>, StoreError> {
        let end = before.map_or(i64::MAX, number);
        let query = match host {
            Some(host) => sqlx::query_as(
                "SELECT * FROM events WHERE n < ? AND host = ? ORDER BY n DESC LIMIT ?",
            )
            .bind(end)
            .bind(host.as_str()),
            None => {
                sqlx::query_as("SELECT * FROM events WHERE n < ? ORDER BY n DESC LIMIT ?").bind(end)
            }
        };
        let rows: Vec<EventRow> = query.bind(limit).fetch_all(self.database.reader()).await?;
        rows.into_iter().map(EventView::try_from).collect()
    }

    /// The last deploys of a host.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be read.
    pub async fn deploys(&self, host: &HostId, limit: u32) -> Result<Vec<DeployEntry>, StoreError> {
        let rows: Vec<DeployRow> = sqlx::query_as(
            "SELECT deploys.*, (
                SELECT number FROM merged_updates
                WHERE merged_updates.commit_id
                    = coalesce(deploys.target_commit, deploys.commit_id) LIMIT 1) AS pr
             FROM deploys WHERE host = ? ORDER BY at DESC, command DESC LIMIT ?",
        )
        .bind(host.as_str())
        .bind(limit)
        .fetch_all(self.database.reader())
        .await?;
        rows.into_iter().map(DeployEntry::try_from).collect()
    }
}

#[derive(FromRow)]
struct DeployRow {
    command: Vec<u8>,
    seq: i64,
    outcome: String,
    at: i64,
    commit_id: Option<String>,
    lock: Option<String>,
    store_path: Option<String>,
    detail: Option<String>,
    op: Option<String>,
    actor_kind: Option<String>,
    actor: Option<String>,
    started: Option<i64>,
    target_commit: Option<String>,
    target_lock: Option<String>,
    generation: Option<i64>,
    pr: Option<i64>,
}

impl TryFrom<DeployRow> for DeployEntry {
    type Error = StoreError;
    fn try_from(row: DeployRow) -> Result<Self, StoreError> {
        let id = command(Some(&row.command))?;
        Ok(Self {
            command: id.ok_or_else(|| unusable("a deploy without a command"))?,
            seq: Sequence(count(row.seq)?),
            outcome: from_word(&row.outcome)?,
            at: Timestamp::from_millis(row.at),
            commit: maybe(row.commit_id.as_deref())?,
            lock: maybe(row.lock.as_deref())?,
            store_path: maybe(row.store_path.as_deref())?,
            detail: row.detail,
            op: row.op,
            actor: match (row.actor_kind.as_deref(), row.actor) {
                (Some("person"), Some(name)) => Some(Actor::Person(name)),
                (Some(_), Some(name)) => Some(Actor::Automation(name)),
                (_, _) => None,
            },
            started: row.started.map(Timestamp::from_millis),
            target: match maybe(row.target_commit.as_deref())? {
                Some(commit) => Some(Target {
                    commit,
                    lock: maybe(row.target_lock.as_deref())?,
                }),
                None => None,
            },
            generation: row.generation.map(count).transpose()?,
            pr: row.pr.map(count).transpose()?,
        })
    }
}
