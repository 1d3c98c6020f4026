//! A host as a row: facts as columns, only lists as JSON.

use std::fmt::Display;
use std::str::FromStr;

use nixfleet_core::fleet::HostRecord;
use nixfleet_core::host::{
    AgentBinary, DeployEvidence, Deployed, Hold, HostIdentity, HostObservation, LockReport,
    Presence, Repo, RunningSystem, TestEvidence, TestKey,
};
use nixfleet_core::{CommandId, LockHash, Sequence, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::{FromRow, Sqlite, Transaction};

use super::error::StoreError;

const MISSING: &str = "missing";

#[derive(FromRow)]
pub(super) struct HostRow {
    id: String,
    added: i64,
    last_seq: i64,
    tests_enabled: bool,
    host_type: Option<String>,
    os_version: Option<String>,
    nixpkgs_version: Option<String>,
    theme_color: Option<String>,
    location: Option<String>,
    device_type: Option<String>,
    repo_url: Option<String>,
    repo_dir: Option<String>,
    heartbeat_interval: Option<i64>,
    protocol: String,
    capabilities: String,
    instance_id: Option<String>,
    boot_id: Option<String>,
    machine_id_hash: Option<String>,
    agent_version: Option<String>,
    agent_commit: Option<String>,
    agent_path: Option<String>,
    agent_hash: Option<String>,
    agent_expected: Option<String>,
    repo_commit: Option<String>,
    repo_lock: Option<String>,
    repo_dirty: Option<bool>,
    repo_error: Option<String>,
    deployed_commit: Option<String>,
    deployed_lock: Option<String>,
    deployed_path: Option<String>,
    deployed_clean: Option<bool>,
    deployed_command: Option<Vec<u8>>,
    deployed_inferred: Option<bool>,
    system_path: Option<String>,
    system_revision: Option<String>,
    profile_number: Option<i64>,
    booted_path: Option<String>,
    reboot_required: Option<bool>,
    failed_units: Option<String>,
    generations: String,
    deploy_outcome: String,
    deploy_command: Option<Vec<u8>>,
    deploy_seq: i64,
    needs_reconcile: bool,
    deploy_at: Option<i64>,
    deploy_detail: Option<String>,
    test_commit: Option<String>,
    test_lock: Option<String>,
    test_path: Option<String>,
    test_verdict: Option<String>,
    test_per_script: Option<bool>,
    test_ran: Option<i64>,
    test_failed: Option<String>,
    test_skipped: Option<i64>,
    test_at: Option<i64>,
    held_by: Option<String>,
    held_why: Option<String>,
    held_until: Option<i64>,
    /// From the table of presence: absent for a host that was never seen.
    online: Option<bool>,
    last_seen: Option<i64>,
}

/// Writes a host in place of the one with the same id.
pub(super) async fn write(
    writing: &mut Transaction<'static, Sqlite>,
    host: &HostRecord,
) -> Result<(), StoreError> {
    let HostRecord {
        id,
        identity,
        observation,
        deploy,
        tests,
        // In a table of its own.
        presence: _,
        last_seq,
        tests_enabled,
        hold,
        added,
    } = host;
    let repo = observation.repo.as_ref();
    let deployed = observation.deployed.as_ref();
    let system = observation.system.as_ref();
    let tested = tests.as_ref();
    let key = tested.and_then(|tests| tests.key.as_ref());
    #[rustfmt::skip]
    sqlx::query(
        "REPLACE INTO hosts VALUES (
            ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
            ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id.as_str())
    .bind(added.as_millis())
    .bind(number(last_seq.0))
    .bind(tests_enabled)
    .bind(identity.host_type.as_deref())
    .bind(identity.os_version.as_deref())
    .bind(identity.nixpkgs_version.as_deref())
    .bind(identity.theme_color.as_deref())
    .bind(identity.location.as_deref())
    .bind(identity.device_type.as_deref())
    .bind(identity.repo_url.as_deref())
    .bind(identity.repo_dir.as_deref())
    .bind(identity.heartbeat_interval)
    .bind(word(&identity.protocol)?)
    .bind(json(&identity.capabilities)?)
    .bind(identity.instance_id.as_ref().map(|token| token.as_str()))
    .bind(identity.boot_id.as_ref().map(|token| token.as_str()))
    .bind(identity.machine_id_hash.as_ref().map(|token| token.as_str()))
    .bind(observation.agent_version.as_deref())
    .bind(observation.binary.source_commit.as_deref())
    .bind(observation.binary.store_path.as_deref())
    .bind(observation.binary.binary_hash.as_deref())
    .bind(observation.binary.expected_path.as_deref())
    .bind(repo.map(|repo| repo.commit.to_string()))
    .bind(repo.and_then(|repo| lock_text(repo.lock)))
    .bind(repo.map(|repo| repo.dirty))
    .bind(observation.repo_error.as_deref())
    .bind(deployed.and_then(|deployed| text(deployed.commit)))
    .bind(deployed.and_then(|deployed| text(deployed.lock)))
    .bind(deployed.and_then(|deployed| text(deployed.store_path.as_ref())))
    .bind(deployed.map(|deployed| deployed.clean))
    .bind(deployed.and_then(|deployed| bytes(deployed.command)))
    .bind(deployed.map(|deployed| deployed.inferred))
    .bind(system.and_then(|system| text(system.path.as_ref())))
    .bind(system.and_then(|system| text(system.configuration_revision)))
    .bind(system.and_then(|system| system.profile_number.map(number)))
    .bind(system.and_then(|system| text(system.booted_path.as_ref())))
    .bind(system.map(|system| system.reboot_required))
    .bind(observation.failed_units.as_ref().map(json).transpose()?)
    .bind(json(&observation.generations)?)
    .bind(word(&deploy.outcome)?)
    .bind(bytes(deploy.command))
    .bind(number(deploy.seq.0))
    .bind(deploy.needs_reconcile)
    .bind(deploy.at.map(Timestamp::as_millis))
    .bind(deploy.detail.as_deref())
    .bind(key.map(|key| key.commit.to_string()))
    .bind(key.map(|key| key.lock.to_string()))
    .bind(key.map(|key| key.store_path.to_string()))
    .bind(tested.map(|tests| word(&tests.verdict)).transpose()?)
    .bind(tested.map(|tests| tests.per_script))
    .bind(tested.map(|tests| tests.ran))
    .bind(tested.map(|tests| json(&tests.failed)).transpose()?)
    .bind(tested.map(|tests| tests.skipped))
    .bind(tested.map(|tests| tests.at.as_millis()))
    .bind(hold.as_ref().map(|hold| hold.by.as_str()))
    .bind(hold.as_ref().map(|hold| hold.why.as_str()))
    .bind(hold.as_ref().and_then(|hold| hold.until.map(Timestamp::as_millis)))
    .execute(&mut **writing)
    .await?;
    Ok(())
}

impl TryFrom<HostRow> for HostRecord {
    type Error = StoreError;

    fn try_from(row: HostRow) -> Result<Self, StoreError> {
        Ok(HostRecord {
            id: parsed(&row.id)?,
            added: Timestamp::from_millis(row.added),
            last_seq: Sequence(count(row.last_seq)?),
            tests_enabled: row.tests_enabled,
            presence: row.presence(),
            deploy: row.deploy()?,
            tests: row.tests()?,
            hold: row.hold(),
            observation: row.observation()?,
            identity: row.into_identity()?,
        })
    }
}

impl HostRow {
    /// Nobody is connected to a server that has just started.
    fn presence(&self) -> Presence {
        match (self.online, self.last_seen) {
            (Some(_), Some(since)) => Presence::Offline {
                since: Timestamp::from_millis(since),
            },
            (_, _) => Presence::NeverSeen,
        }
    }

    fn observation(&self) -> Result<HostObservation, StoreError> {
        let repo = match (&self.repo_commit, self.repo_dirty) {
            (Some(commit), Some(dirty)) => Some(Repo {
                commit: parsed(commit)?,
                lock: lock_report(self.repo_lock.as_deref())?,
                dirty,
            }),
            (_, _) => None,
        };
        let deployed = match (self.deployed_clean, self.deployed_inferred) {
            (Some(clean), Some(inferred)) => Some(Deployed {
                commit: maybe(self.deployed_commit.as_deref())?,
                lock: maybe(self.deployed_lock.as_deref())?,
                store_path: maybe(self.deployed_path.as_deref())?,
                clean,
                command: command(self.deployed_command.as_deref())?,
                inferred,
            }),
            (_, _) => None,
        };
        let system = match self.reboot_required {
            Some(reboot_required) => Some(RunningSystem {
                path: maybe(self.system_path.as_deref())?,
                configuration_revision: maybe(self.system_revision.as_deref())?,
                profile_number: self.profile_number.map(count).transpose()?,
                booted_path: maybe(self.booted_path.as_deref())?,
                reboot_required,
            }),
            None => None,
        };
        Ok(HostObservation {
            agent_version: self.agent_version.clone(),
            repo,
            deployed,
            system,
            binary: AgentBinary {
                source_commit: self.agent_commit.clone(),
                store_path: self.agent_path.clone(),
                binary_hash: self.agent_hash.clone(),
                expected_path: self.agent_expected.clone(),
            },
            failed_units: self.failed_units.as_deref().map(from_json).transpose()?,
            repo_error: self.repo_error.clone(),
            generations: from_json(&self.generations)?,
        })
    }

    fn deploy(&self) -> Result<DeployEvidence, StoreError> {
        Ok(DeployEvidence {
            outcome: from_word(&self.deploy_outcome)?,
            command: command(self.deploy_command.as_deref())?,
            seq: Sequence(count(self.deploy_seq)?),
            needs_reconcile: self.needs_reconcile,
            at: self.deploy_at.map(Timestamp::from_millis),
            detail: self.deploy_detail.clone(),
        })
    }

    fn tests(&self) -> Result<Option<TestEvidence>, StoreError> {
        let (Some(verdict), Some(at)) = (&self.test_verdict, self.test_at) else {
            return Ok(None);
        };
        let key = match (&self.test_commit, &self.test_lock, &self.test_path) {
            (Some(commit), Some(lock), Some(path)) => Some(TestKey {
                commit: parsed(commit)?,
                lock: parsed(lock)?,
                store_path: parsed(path)?,
            }),
            (_, _, _) => None,
        };
        let small = |value: Option<i64>| u32::try_from(value.unwrap_or(0)).map_err(unusable);
        Ok(Some(TestEvidence {
            key,
            verdict: from_word(verdict)?,
            per_script: self.test_per_script.unwrap_or(false),
            ran: small(self.test_ran)?,
            failed: from_json(self.test_failed.as_deref().unwrap_or("[]"))?,
            skipped: small(self.test_skipped)?,
            at: Timestamp::from_millis(at),
        }))
    }

    fn hold(&self) -> Option<Hold> {
        Some(Hold {
            by: self.held_by.clone()?,
            why: self.held_why.clone()?,
            until: self.held_until.map(Timestamp::from_millis),
        })
    }

    fn into_identity(self) -> Result<HostIdentity, StoreError> {
        let interval = self.heartbeat_interval.map(u32::try_from).transpose();
        Ok(HostIdentity {
            heartbeat_interval: interval.map_err(unusable)?,
            protocol: from_word(&self.protocol)?,
            capabilities: from_json(&self.capabilities)?,
            instance_id: maybe(self.instance_id.as_deref())?,
            boot_id: maybe(self.boot_id.as_deref())?,
            machine_id_hash: maybe(self.machine_id_hash.as_deref())?,
            host_type: self.host_type,
            os_version: self.os_version,
            nixpkgs_version: self.nixpkgs_version,
            theme_color: self.theme_color,
            location: self.location,
            device_type: self.device_type,
            repo_url: self.repo_url,
            repo_dir: self.repo_dir,
        })
    }
}

/// The wire spelling of a closed enum, without quotes.
pub(super) fn word(value: &impl Serialize) -> Result<String, StoreError> {
    match serde_json::to_value(value).map_err(unusable)? {
        Value::String(text) => Ok(text),
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_)) => Err(unusable(format!("{other} is not a word"))),
    }
}

pub(super) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(unusable)
}

pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(unusable)
}

/// SQLite has no unsigned numbers; ours never come near the limit.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn count(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(unusable)
}

pub(super) fn text(value: Option<impl Display>) -> Option<String> {
    value.map(|value| value.to_string())
}

pub(super) fn bytes(id: Option<CommandId>) -> Option<Vec<u8>> {
    id.map(|id| id.as_bytes().to_vec())
}

pub(super) fn unusable(why: impl Display) -> StoreError {
    StoreError::Unusable(why.to_string())
}

pub(super) fn from_word<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_value(Value::String(text.to_owned())).map_err(unusable)
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(unusable)
}

pub(super) fn maybe<T: FromStr<Err: Display>>(text: Option<&str>) -> Result<Option<T>, StoreError> {
    text.map(parsed).transpose()
}

pub(super) fn command(bytes: Option<&[u8]>) -> Result<Option<CommandId>, StoreError> {
    let id = bytes.map(<[u8; 16]>::try_from).transpose();
    Ok(id.map_err(unusable)?.map(CommandId::from_bytes))
}

fn lock_text(lock: LockReport) -> Option<String> {
    match lock {
        LockReport::NotReported => None,
        LockReport::Missing => Some(MISSING.to_owned()),
        LockReport::Hash(hash) => Some(hash.to_string()),
    }
}

fn lock_report(text: Option<&str>) -> Result<LockReport, StoreError> {
    match text {
        None => Ok(LockReport::NotReported),
        Some(MISSING) => Ok(LockReport::Missing),
        Some(hash) => Ok(LockReport::Hash(parsed::<LockHash>(hash)?)),
    }
}
