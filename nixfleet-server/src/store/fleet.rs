//! The fleet in the store: batches of records in, a snapshot out.

use std::time::Duration;

use nixfleet_core::desired::{Remote, RemoteWatch};
use nixfleet_core::fleet::{HostRecord, Record, Snapshot};
use nixfleet_core::host::{DeployOutcome, Presence};
use nixfleet_core::lifecycle::Command;
use nixfleet_core::sync::EventView;
use nixfleet_core::{HostId, LockHash, StateVersion, Timestamp};
use sqlx::{FromRow, Sqlite, Transaction};

use super::error::StoreError;
use super::host_row::{self, HostRow, bytes, count, from_json, json, number, text, unusable, word};
use super::{Store, audit};

/// How many events a snapshot holds.
const EVENTS: i64 = 1000;

type Writing = Transaction<'static, Sqlite>;

impl Store {
    /// Writes all records, or none of them, in one transaction. They are on the disk when this
    /// returns.
    ///
    /// # Errors
    /// [`StoreError::Constraint`] if a rule of the database refused a record, for example a second
    /// active command on a host; [`StoreError::Damaged`] if the database may not be written.
    pub async fn commit(&self, batch: &[Record]) -> Result<(), StoreError> {
        let outcome = self.write_batch(batch).await;
        if let Err(error) = &outcome {
            self.database.record_damage(error);
        }
        outcome
    }

    async fn write_batch(&self, batch: &[Record]) -> Result<(), StoreError> {
        let mut writing = self.database.begin().await?;
        // Commands that leave a lane go before those that enter one.
        let enters = |record: &Record| match record {
            Record::Command(command) => command.phase.is_active(),
            Record::Host(_)
            | Record::HostRemoved(_)
            | Record::Remote(_)
            | Record::Event(_)
            | Record::Audit(_)
            | Record::Version(_) => false,
        };
        for record in batch.iter().filter(|record| !enters(record)) {
            write_record(&mut writing, record).await?;
        }
        for record in batch.iter().filter(|record| enters(record)) {
            write_record(&mut writing, record).await?;
        }
        Ok(writing.commit().await?)
    }

    /// Everything needed to continue after a restart.
    ///
    /// A value that cannot be understood is damage: it is left out, and from then on
    /// [`Store::condition`] says so. From a damaged database as much is read as possible.
    ///
    /// # Errors
    /// [`StoreError`] if a sound database cannot be read.
    pub async fn load(&self) -> Result<Snapshot, StoreError> {
        let reading = self.read_snapshot().await;
        match (reading, self.condition()) {
            (Ok(snapshot), _) => Ok(snapshot),
            (Err(_), super::Condition::Damaged(_)) => Ok(Snapshot::default()),
            (Err(error @ StoreError::Damaged(_)), super::Condition::Sound) => {
                self.database.record_damage(&error);
                Ok(Snapshot::default())
            }
            (Err(error), super::Condition::Sound) => Err(error),
        }
    }

    async fn read_snapshot(&self) -> Result<Snapshot, StoreError> {
        let mut reading = self.database.reader().begin().await?;
        let version: (i64, i64) = sqlx::query_as("SELECT epoch, number FROM state_version")
            .fetch_one(&mut *reading)
            .await?;
        let hosts: Vec<HostRow> = sqlx::query_as(
            "SELECT hosts.*, online, last_seen FROM hosts LEFT JOIN presence ON host = id ORDER BY id",
        )
        .fetch_all(&mut *reading)
        .await?;
        let commands: Vec<String> = sqlx::query_scalar(
            "SELECT body FROM (
                SELECT id, body FROM commands WHERE open = 1
                UNION ALL
                SELECT id, body FROM last_ended JOIN commands ON id = command
             ) ORDER BY id",
        )
        .fetch_all(&mut *reading)
        .await?;
        let remote: Option<String> = sqlx::query_scalar("SELECT body FROM remote")
            .fetch_optional(&mut *reading)
            .await?;
        let mut events: Vec<EventRow> =
            sqlx::query_as("SELECT * FROM events ORDER BY n DESC LIMIT ?")
                .bind(EVENTS)
                .fetch_all(&mut *reading)
                .await?;
        events.reverse();
        Ok(Snapshot {
            version: StateVersion {
                epoch: count(version.0)?,
                number: count(version.1)?,
            },
            hosts: self.understood(hosts.into_iter().map(HostRecord::try_from)),
            commands: self.understood(commands.iter().map(|body| from_json::<Command>(body))),
            remote: self
                .understood(remote.iter().map(|body| from_json::<RemoteWatch>(body)))
                .pop(),
            events: self.understood(events.into_iter().map(EventView::try_from)),
        })
    }

    /// What can be understood; anything else is damage.
    fn understood<T>(&self, values: impl Iterator<Item = Result<T, StoreError>>) -> Vec<T> {
        let keep = |value: Result<T, StoreError>| {
            value
                .map_err(|error| {
                    let damage = StoreError::Damaged(error.to_string());
                    self.database.record_damage(&damage);
                })
                .ok()
        };
        values.filter_map(keep).collect()
    }

    /// Records when connected hosts were last heard of. Called every half minute or so, for all
    /// of them at once, because a heartbeat alone writes nothing.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be written.
    pub async fn record_presence(&self, seen: &[(HostId, Timestamp)]) -> Result<(), StoreError> {
        if seen.is_empty() {
            return Ok(());
        }
        let mut writing = self.database.begin().await?;
        for (host, at) in seen {
            sqlx::query(
                "UPDATE presence SET last_seen = ?2 WHERE host = ?1 AND online = 1 AND last_seen < ?2",
            )
            .bind(host.as_str())
            .bind(at.as_millis())
            .execute(&mut *writing)
            .await?;
        }
        Ok(writing.commit().await?)
    }

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
    /// follows) and the audit trail are never removed.
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
        writing.commit().await?;
        Ok(commands.rows_affected() + events.rows_affected())
    }
}

/// How long records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Commands that have ended.
    pub commands: Duration,
    /// Events.
    pub events: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            commands: DAY * 90,
            events: DAY * 30,
        }
    }
}

#[derive(FromRow)]
struct EventRow {
    n: i64,
    at: i64,
    host: Option<String>,
    code: String,
    text: String,
}

impl TryFrom<EventRow> for EventView {
    type Error = StoreError;
    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        Ok(Self {
            n: count(row.n)?,
            at: Timestamp::from_millis(row.at),
            host: row
                .host
                .map(|host| host.parse().map_err(unusable))
                .transpose()?,
            code: row.code,
            text: row.text,
        })
    }
}

async fn write_record(writing: &mut Writing, record: &Record) -> Result<(), StoreError> {
    match record {
        Record::Host(host) => write_host(writing, host).await,
        Record::HostRemoved(host) => remove_host(writing, host).await,
        Record::Command(command) => write_command(writing, command).await,
        Record::Remote(watch) => write_remote(writing, watch).await,
        Record::Event(event) => write_event(writing, event).await,
        Record::Audit(record) => audit::append(writing, record).await,
        Record::Version(version) => write_version(writing, *version).await,
    }
}

async fn write_host(writing: &mut Writing, host: &HostRecord) -> Result<(), StoreError> {
    host_row::write(writing, host).await?;
    let (online, since) = match host.presence {
        Presence::NeverSeen => (None, None),
        Presence::Online => (Some(true), None),
        Presence::Offline { since } => (Some(false), Some(since)),
    };
    if let Some(online) = online {
        // Without a moment of its own, going online is as old as the host until presence is
        // recorded.
        let known = since.unwrap_or(host.added).as_millis();
        sqlx::query(
            "INSERT INTO presence VALUES (?1, ?2, ?3)
             ON CONFLICT (host) DO UPDATE SET online = ?2, last_seen = max(last_seen, ?3)",
        )
        .bind(host.id.as_str())
        .bind(online)
        .bind(known)
        .execute(&mut **writing)
        .await?;
    }
    write_deploy(writing, host).await?;
    write_test_result(writing, host).await
}

/// The history of deploys: what became of the last one, under its command.
async fn write_deploy(writing: &mut Writing, host: &HostRecord) -> Result<(), StoreError> {
    let deploy = &host.deploy;
    let (Some(command), Some(at)) = (deploy.command, deploy.at) else {
        return Ok(());
    };
    if deploy.outcome == DeployOutcome::Never {
        return Ok(());
    }
    let record = host.observation.deployed.as_ref();
    let built = record.filter(|deployed| deployed.command == Some(command));
    sqlx::query(
        "INSERT INTO deploys VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (command) DO UPDATE SET
            outcome = ?4, at = ?5, detail = ?9, commit_id = coalesce(?6, commit_id),
            lock = coalesce(?7, lock), store_path = coalesce(?8, store_path)",
    )
    .bind(bytes(Some(command)))
    .bind(host.id.as_str())
    .bind(number(deploy.seq.0))
    .bind(word(&deploy.outcome)?)
    .bind(at.as_millis())
    .bind(text(built.and_then(|deployed| deployed.commit)))
    .bind(text(built.and_then(|deployed| deployed.lock)))
    .bind(text(
        built.and_then(|deployed| deployed.store_path.as_ref()),
    ))
    .bind(deploy.detail.as_deref())
    .execute(&mut **writing)
    .await?;
    Ok(())
}

async fn write_test_result(writing: &mut Writing, host: &HostRecord) -> Result<(), StoreError> {
    let Some(tests) = &host.tests else {
        return Ok(());
    };
    let key = tests.key.as_ref();
    sqlx::query(
        "INSERT INTO test_results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(host.id.as_str())
    .bind(tests.at.as_millis())
    .bind(word(&tests.verdict)?)
    .bind(text(key.map(|key| key.commit)))
    .bind(text(key.map(|key| key.lock)))
    .bind(text(key.map(|key| &key.store_path)))
    .bind(tests.ran)
    .bind(json(&tests.failed)?)
    .bind(tests.skipped)
    .execute(&mut **writing)
    .await?;
    Ok(())
}

/// Its commands, deploys and test results stay as history; what would be read at the next start
/// does not.
async fn remove_host(writing: &mut Writing, host: &HostId) -> Result<(), StoreError> {
    for statement in [
        "DELETE FROM hosts WHERE id = ?",
        "DELETE FROM presence WHERE host = ?",
        "DELETE FROM last_ended WHERE host = ?",
    ] {
        sqlx::query(statement)
            .bind(host.as_str())
            .execute(&mut **writing)
            .await?;
    }
    Ok(())
}

async fn write_command(writing: &mut Writing, command: &Command) -> Result<(), StoreError> {
    let open = !command.phase.is_terminal();
    sqlx::query(
        "INSERT INTO commands VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (id) DO UPDATE SET
            lane = ?3, seq = ?4, phase = ?6, open = ?7, active = ?8, body = ?10",
    )
    .bind(command.id.as_bytes().as_slice())
    .bind(command.host.as_str())
    .bind(word(&command.lane)?)
    .bind(number(command.seq.0))
    .bind(word(&command.op)?)
    .bind(word(&command.phase)?)
    .bind(open)
    .bind(command.phase.is_active())
    .bind(command.created.as_millis())
    .bind(json(command)?)
    .execute(&mut **writing)
    .await?;
    if open {
        return Ok(());
    }
    // Ids rise with time, so the greatest is the last.
    sqlx::query(
        "INSERT INTO last_ended VALUES (?1, ?2)
         ON CONFLICT (host) DO UPDATE SET command = ?2 WHERE command < ?2",
    )
    .bind(command.host.as_str())
    .bind(command.id.as_bytes().as_slice())
    .execute(&mut **writing)
    .await?;
    Ok(())
}

async fn write_remote(writing: &mut Writing, watch: &RemoteWatch) -> Result<(), StoreError> {
    sqlx::query("REPLACE INTO remote VALUES (1, ?)")
        .bind(json(watch)?)
        .execute(&mut **writing)
        .await?;
    let Remote::Verified(snapshot) = watch.remote() else {
        return Ok(());
    };
    let (Ok(commit), Ok(lock), Some(at)) = (&snapshot.commit, &snapshot.lock, watch.verified_at())
    else {
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO desired_history (at, commit_id, lock, subject)
         SELECT ?1, ?2, ?3, ?4
         WHERE NOT EXISTS (
            SELECT 1 FROM (SELECT commit_id, lock FROM desired_history ORDER BY n DESC LIMIT 1)
            WHERE commit_id = ?2 AND lock = ?3)",
    )
    .bind(at.as_millis())
    .bind(commit.to_string())
    .bind(lock.to_string())
    .bind(snapshot.subject.as_deref())
    .execute(&mut **writing)
    .await?;
    Ok(())
}

async fn write_event(writing: &mut Writing, event: &EventView) -> Result<(), StoreError> {
    sqlx::query("REPLACE INTO events VALUES (?, ?, ?, ?, ?)")
        .bind(number(event.n))
        .bind(event.at.as_millis())
        .bind(event.host.as_ref().map(HostId::as_str))
        .bind(&event.code)
        .bind(&event.text)
        .execute(&mut **writing)
        .await?;
    Ok(())
}

/// Versions only rise, whatever order batches come in.
async fn write_version(writing: &mut Writing, version: StateVersion) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE state_version SET epoch = ?1, number = ?2 WHERE (epoch, number) < (?1, ?2)",
    )
    .bind(number(version.epoch))
    .bind(number(version.number))
    .execute(&mut **writing)
    .await?;
    Ok(())
}
