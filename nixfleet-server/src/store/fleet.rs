//! The fleet in the store: batches of records in, a snapshot out.

use std::collections::BTreeMap;

use nixfleet_core::desired::RemoteWatch;
use nixfleet_core::fleet::{FleetSettings, HostRecord, Record, Snapshot};
use nixfleet_core::lifecycle::Command;
use nixfleet_core::rollout::Rollout;
use nixfleet_core::sync::EventView;
use nixfleet_core::update::{MergedUpdate, StoredUpdates, UpdateState};
use nixfleet_core::{HostId, StateVersion, Timestamp};
use serde::de::DeserializeOwned;
use sqlx::FromRow;

use super::error::StoreError;
use super::host_row::HostRow;
use super::value::{count, from_json, sum, unusable};
use super::write::write_record;
use super::{Condition, Store, keyed, notices, rollouts, updates};
use crate::keyed::Taken;
use crate::notify::Owed;

/// How many events a snapshot holds.
const EVENTS: i64 = 1000;

impl Store {
    /// Writes all records, or none of them, in one transaction. They are on the disk when this
    /// returns.
    ///
    /// # Errors
    /// [`StoreError::Constraint`] if a rule of the database refused a record, for example a second
    /// active command on a host; [`StoreError::Damaged`] if the database may not be written.
    pub async fn commit(&self, batch: &[Record]) -> Result<(), StoreError> {
        self.commit_all(batch, &[], &[]).await
    }

    /// The same, together with notices that people are to get because of it.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn commit_and_owe(&self, batch: &[Record], owed: &[Owed]) -> Result<(), StoreError> {
        self.commit_all(batch, owed, &[]).await
    }

    /// The same, together with the keyed requests that it carries out.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn commit_all(
        &self,
        batch: &[Record],
        owed: &[Owed],
        taken: &[Taken],
    ) -> Result<(), StoreError> {
        let outcome = self.write_batch(batch, owed, taken).await;
        if let Err(error) = &outcome {
            self.database.record_damage(error);
        }
        outcome
    }

    async fn write_batch(
        &self,
        batch: &[Record],
        owed: &[Owed],
        taken: &[Taken],
    ) -> Result<(), StoreError> {
        let mut writing = self.database.begin().await?;
        rollouts::release_hosts(&mut writing, batch).await?;
        for record in in_writing_order(batch) {
            write_record(&mut writing, record).await?;
        }
        notices::owe(&mut writing, owed).await?;
        keyed::take(&mut writing, taken).await?;
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
            (Err(_), Condition::Damaged(_)) => Ok(Snapshot::default()),
            (Err(error @ StoreError::Damaged(_)), Condition::Sound) => {
                self.database.record_damage(&error);
                Ok(Snapshot::default())
            }
            (Err(error), Condition::Sound) => Err(error),
        }
    }

    async fn read_snapshot(&self) -> Result<Snapshot, StoreError> {
        let mut reading = self.database.reader().begin().await?;
        let version: (i64, i64) = sqlx::query_as("SELECT epoch, number FROM state_version")
            .fetch_one(&mut *reading)
            .await?;
        let hosts: Vec<HostRow> = sqlx::query_as(
            "SELECT hosts.*, online, last_seen, command AS last_ended FROM hosts
             LEFT JOIN presence ON presence.host = id
             LEFT JOIN last_ended ON last_ended.host = id ORDER BY id",
        )
        .fetch_all(&mut *reading)
        .await?;
        let commands: Vec<Body> = sqlx::query_as(
            "SELECT body, sum FROM (
                SELECT id, body, sum FROM commands WHERE open = 1
                UNION ALL
                SELECT id, body, sum FROM last_ended JOIN commands ON id = command
             ) ORDER BY id",
        )
        .fetch_all(&mut *reading)
        .await?;
        let remote: Option<Body> = sqlx::query_as("SELECT body, sum FROM remote")
            .fetch_optional(&mut *reading)
            .await?;
        let mut events: Vec<EventRow> =
            sqlx::query_as("SELECT * FROM events ORDER BY n DESC LIMIT ?")
                .bind(EVENTS)
                .fetch_all(&mut *reading)
                .await?;
        events.reverse();
        let rollouts = rollouts::read(&mut reading).await?;
        let (state, merged, settings) = updates::read(&mut reading).await?;
        Ok(Snapshot {
            version: StateVersion {
                epoch: count(version.0)?,
                number: count(version.1)?,
            },
            hosts: self.understood(hosts.into_iter().map(HostRecord::try_from)),
            commands: self.understood(commands.iter().map(Body::read::<Command>)),
            remote: self
                .understood(remote.iter().map(Body::read::<RemoteWatch>))
                .pop(),
            events: self.understood(events.into_iter().map(EventView::try_from)),
            rollouts: self.understood(rollouts.iter().map(Body::read::<Rollout>)),
            settings: self
                .understood(settings.iter().map(Body::read::<FleetSettings>))
                .pop()
                .unwrap_or_default(),
            updates: StoredUpdates {
                state: self
                    .understood(state.iter().map(Body::read::<UpdateState>))
                    .pop(),
                merged: self.understood(merged.iter().map(Body::read::<MergedUpdate>)),
            },
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
}

/// A record that is kept whole, as JSON.
#[derive(FromRow)]
pub(super) struct Body {
    body: String,
    sum: Vec<u8>,
}

impl Body {
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        if self.sum != sum(self.body.as_bytes()) {
            return Err(unusable("the sum of a record is wrong"));
        }
        from_json(&self.body)
    }
}

#[derive(FromRow)]
pub(super) struct EventRow {
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

/// Commands that leave a lane go before those that enter one, which the rule "one active command in
/// a lane" demands of every single statement; hosts, which name commands, go after both. Of several
/// records of one command or rollout only the last counts: an earlier one must never be written over
/// a later one.
fn in_writing_order(batch: &[Record]) -> impl Iterator<Item = &Record> {
    let mut last_commands = BTreeMap::new();
    for (index, record) in batch.iter().enumerate() {
        if let Record::Command(command) = record {
            last_commands.insert(command.id, index);
        }
    }
    let last_rollouts = rollouts::last_of_each(batch);
    let mut leaving = Vec::new();
    let mut entering = Vec::new();
    let mut others = Vec::new();
    for (index, record) in batch.iter().enumerate() {
        match record {
            Record::Command(command) if last_commands.get(&command.id) != Some(&index) => {}
            Record::Command(command) if command.phase.is_active() => entering.push(record),
            Record::Command(_) => leaving.push(record),
            Record::Rollout(rollout) if last_rollouts.get(&rollout.id) != Some(&index) => {}
            Record::Rollout(_)
            | Record::Host(_)
            | Record::HostRemoved(_)
            | Record::Remote(_)
            | Record::Event(_)
            | Record::Audit(_)
            | Record::Version(_)
            | Record::Settings(_)
            | Record::Update(_) => others.push(record),
        }
    }
    leaving.into_iter().chain(entering).chain(others)
}
