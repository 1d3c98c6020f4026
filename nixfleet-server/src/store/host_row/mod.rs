//! A host as a row: facts as columns, only lists as JSON.

mod read;

use nixfleet_core::Timestamp;
use nixfleet_core::fleet::HostRecord;
use nixfleet_core::host::LockReport;
use serde::Serialize;
use sqlx::{FromRow, Sqlite, Transaction};

use super::error::StoreError;
use super::value::{bytes, json, number, sum, text, word};

const MISSING: &str = "missing";

/// The fields are those of the table, in its order; serialised, they are what the sum is about.
#[derive(FromRow, Serialize)]
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
    #[serde(skip)]
    sum: Vec<u8>,
    /// Younger than the sums of older rows, which therefore must not notice what is not set; a damaged
    /// database of an older version is read without these columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[sqlx(default)]
    settings: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[sqlx(default)]
    update_policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[sqlx(default)]
    profile_path: Option<String>,
    /// From the table of presence: absent for a host that was never seen.
    #[serde(skip)]
    online: Option<bool>,
    #[serde(skip)]
    last_seen: Option<i64>,
    /// From a table of its own.
    #[serde(skip)]
    last_ended: Option<Vec<u8>>,
}

/// Writes a host in place of the one with the same id.
pub(super) async fn write(
    writing: &mut Transaction<'static, Sqlite>,
    host: &HostRecord,
) -> Result<(), StoreError> {
    let row = HostRow::try_from(host)?;
    sqlx::query(
        "REPLACE INTO hosts VALUES (
            ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
            ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(row.id)
    .bind(row.added)
    .bind(row.last_seq)
    .bind(row.tests_enabled)
    .bind(row.host_type)
    .bind(row.os_version)
    .bind(row.nixpkgs_version)
    .bind(row.theme_color)
    .bind(row.location)
    .bind(row.device_type)
    .bind(row.repo_url)
    .bind(row.repo_dir)
    .bind(row.heartbeat_interval)
    .bind(row.protocol)
    .bind(row.capabilities)
    .bind(row.instance_id)
    .bind(row.boot_id)
    .bind(row.machine_id_hash)
    .bind(row.agent_version)
    .bind(row.agent_commit)
    .bind(row.agent_path)
    .bind(row.agent_hash)
    .bind(row.agent_expected)
    .bind(row.repo_commit)
    .bind(row.repo_lock)
    .bind(row.repo_dirty)
    .bind(row.repo_error)
    .bind(row.deployed_commit)
    .bind(row.deployed_lock)
    .bind(row.deployed_path)
    .bind(row.deployed_clean)
    .bind(row.deployed_command)
    .bind(row.deployed_inferred)
    .bind(row.system_path)
    .bind(row.system_revision)
    .bind(row.profile_number)
    .bind(row.booted_path)
    .bind(row.reboot_required)
    .bind(row.failed_units)
    .bind(row.generations)
    .bind(row.deploy_outcome)
    .bind(row.deploy_command)
    .bind(row.deploy_seq)
    .bind(row.needs_reconcile)
    .bind(row.deploy_at)
    .bind(row.deploy_detail)
    .bind(row.test_commit)
    .bind(row.test_lock)
    .bind(row.test_path)
    .bind(row.test_verdict)
    .bind(row.test_per_script)
    .bind(row.test_ran)
    .bind(row.test_failed)
    .bind(row.test_skipped)
    .bind(row.test_at)
    .bind(row.held_by)
    .bind(row.held_why)
    .bind(row.held_until)
    .bind(row.sum)
    .bind(row.settings)
    .bind(row.update_policy)
    .bind(row.profile_path)
    .execute(&mut **writing)
    .await?;
    Ok(())
}

impl TryFrom<&HostRecord> for HostRow {
    type Error = StoreError;

    fn try_from(host: &HostRecord) -> Result<Self, StoreError> {
        let HostRecord {
            id,
            identity,
            observation,
            deploy,
            tests,
            // In a table of its own.
            presence: _,
            last_seq,
            // In a table of its own.
            last_ended: _,
            tests_enabled,
            hold,
            added,
            settings,
        } = host;
        let repo = observation.repo.as_ref();
        let deployed = observation.deployed.as_ref();
        let system = observation.system.as_ref();
        let tested = tests.as_ref();
        let key = tested.and_then(|tests| tests.key.as_ref());
        let mut row = Self {
            id: id.to_string(),
            added: added.as_millis(),
            last_seq: number(last_seq.0),
            tests_enabled: *tests_enabled,
            host_type: identity.host_type.clone(),
            os_version: identity.os_version.clone(),
            nixpkgs_version: identity.nixpkgs_version.clone(),
            theme_color: identity.theme_color.clone(),
            location: identity.location.clone(),
            device_type: identity.device_type.clone(),
            repo_url: identity.repo_url.clone(),
            repo_dir: identity.repo_dir.clone(),
            heartbeat_interval: identity.heartbeat_interval.map(i64::from),
            protocol: word(&identity.protocol)?,
            capabilities: json(&identity.capabilities)?,
            instance_id: identity.instance_id.as_ref().map(ToString::to_string),
            boot_id: identity.boot_id.as_ref().map(ToString::to_string),
            machine_id_hash: identity.machine_id_hash.as_ref().map(ToString::to_string),
            agent_version: observation.agent_version.clone(),
            agent_commit: observation.binary.source_commit.clone(),
            agent_path: observation.binary.store_path.clone(),
            agent_hash: observation.binary.binary_hash.clone(),
            agent_expected: observation.binary.expected_path.clone(),
            repo_commit: repo.map(|repo| repo.commit.to_string()),
            repo_lock: repo.and_then(|repo| lock_text(repo.lock)),
            repo_dirty: repo.map(|repo| repo.dirty),
            repo_error: observation.repo_error.clone(),
            deployed_commit: deployed.and_then(|deployed| text(deployed.commit)),
            deployed_lock: deployed.and_then(|deployed| text(deployed.lock)),
            deployed_path: deployed.and_then(|deployed| text(deployed.store_path.as_ref())),
            deployed_clean: deployed.map(|deployed| deployed.clean),
            deployed_command: deployed.and_then(|deployed| bytes(deployed.command)),
            deployed_inferred: deployed.map(|deployed| deployed.inferred),
            system_path: system.and_then(|system| text(system.path.as_ref())),
            system_revision: system.and_then(|system| text(system.configuration_revision.as_ref())),
            profile_number: system.and_then(|system| system.profile_number.map(number)),
            profile_path: system.and_then(|system| text(system.profile_path.as_ref())),
            booted_path: system.and_then(|system| text(system.booted_path.as_ref())),
            reboot_required: system.map(|system| system.reboot_required),
            failed_units: observation.failed_units.as_ref().map(json).transpose()?,
            generations: json(&observation.generations)?,
            deploy_outcome: word(&deploy.outcome)?,
            deploy_command: bytes(deploy.command),
            deploy_seq: number(deploy.seq.0),
            needs_reconcile: deploy.needs_reconcile,
            deploy_at: deploy.at.map(Timestamp::as_millis),
            deploy_detail: deploy.detail.clone(),
            test_commit: key.map(|key| key.commit.to_string()),
            test_lock: key.map(|key| key.lock.to_string()),
            test_path: key.and_then(|key| text(key.store_path.as_ref())),
            test_verdict: tested.map(|tests| word(&tests.verdict)).transpose()?,
            test_per_script: tested.map(|tests| tests.per_script),
            test_ran: tested.map(|tests| i64::from(tests.ran)),
            test_failed: tested.map(|tests| json(&tests.failed)).transpose()?,
            test_skipped: tested.map(|tests| i64::from(tests.skipped)),
            test_at: tested.map(|tests| tests.at.as_millis()),
            held_by: hold.as_ref().map(|hold| hold.by.clone()),
            held_why: hold.as_ref().map(|hold| hold.why.clone()),
            held_until: hold
                .as_ref()
                .and_then(|hold| hold.until.map(Timestamp::as_millis)),
            sum: Vec::new(),
            settings: unless_default(settings)?,
            update_policy: unless_default(&identity.update_policy)?,
            // In a table of their own.
            online: None,
            last_seen: None,
            last_ended: None,
        };
        row.sum = sum(json(&row)?.as_bytes());
        Ok(row)
    }
}

fn unless_default<T: Serialize + Default + PartialEq>(
    value: &T,
) -> Result<Option<String>, StoreError> {
    let is_set = *value != T::default();
    is_set.then(|| json(value)).transpose()
}

fn lock_text(lock: LockReport) -> Option<String> {
    match lock {
        LockReport::NotReported => None,
        LockReport::Missing => Some(MISSING.to_owned()),
        LockReport::Hash(hash) => Some(hash.to_string()),
    }
}
