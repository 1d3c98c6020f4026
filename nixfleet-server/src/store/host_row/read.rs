//! A row back into a host.

use nixfleet_core::fleet::HostRecord;
use nixfleet_core::host::{
    AgentBinary, DeployEvidence, Deployed, Hold, HostIdentity, HostObservation, LockReport,
    Presence, Repo, RunningSystem, TestEvidence, TestKey,
};
use nixfleet_core::{LockHash, Sequence, Timestamp};
use serde::de::DeserializeOwned;

use super::{HostRow, MISSING};
use crate::store::error::StoreError;
use crate::store::value::{
    command, count, from_json, from_word, json, maybe, parsed, sum, unusable,
};

impl TryFrom<HostRow> for HostRecord {
    type Error = StoreError;

    fn try_from(row: HostRow) -> Result<Self, StoreError> {
        if row.sum != sum(json(&row)?.as_bytes()) {
            return Err(unusable(format!("the sum of host {} is wrong", row.id)));
        }
        Ok(HostRecord {
            id: parsed(&row.id)?,
            added: Timestamp::from_millis(row.added),
            last_seq: Sequence(count(row.last_seq)?),
            last_ended: command(row.last_ended.as_deref())?,
            tests_enabled: row.tests_enabled,
            presence: row.presence(),
            deploy: row.deploy()?,
            tests: row.tests()?,
            hold: row.hold(),
            settings: or_default(row.settings.as_deref())?,
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
                profile_path: maybe(self.profile_path.as_deref())?,
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
        let key = match (&self.test_commit, &self.test_lock) {
            (Some(commit), Some(lock)) => Some(TestKey {
                commit: parsed(commit)?,
                lock: parsed(lock)?,
                store_path: maybe(self.test_path.as_deref())?,
            }),
            (_, _) => None,
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
            update_policy: or_default(self.update_policy.as_deref())?,
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

fn or_default<T: DeserializeOwned + Default>(text: Option<&str>) -> Result<T, StoreError> {
    text.map_or_else(|| Ok(T::default()), from_json)
}

fn lock_report(text: Option<&str>) -> Result<LockReport, StoreError> {
    match text {
        None => Ok(LockReport::NotReported),
        Some(MISSING) => Ok(LockReport::Missing),
        Some(hash) => Ok(LockReport::Hash(parsed::<LockHash>(hash)?)),
    }
}
