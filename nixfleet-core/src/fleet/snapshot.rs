//! The fleet as it is stored, and read back after a restart.

use crate::desired::RemoteWatch;
use crate::host::{DeployEvidence, Hold, HostIdentity, HostObservation, Presence, TestEvidence};
use crate::ids::{HostId, Sequence, StateVersion};
use crate::lifecycle::Command;
use crate::sync::EventView;
use crate::time::Timestamp;

/// Everything the store keeps of one host. Statuses are not stored: they are computed.
#[derive(Clone, Debug, PartialEq)]
pub struct HostRecord {
    /// Its id.
    pub id: HostId,
    /// What it is.
    pub identity: HostIdentity,
    /// What it last said about itself.
    pub observation: HostObservation,
    /// The last deploy-class command.
    pub deploy: DeployEvidence,
    /// The last test result.
    pub tests: Option<TestEvidence>,
    /// Whether its agent is connected. A restart of the server reads `Online` back as offline
    /// since the last sign of life.
    pub presence: Presence,
    /// The last sequence number given to a command.
    pub last_seq: Sequence,
    /// Whether its tests are switched on.
    pub tests_enabled: bool,
    /// The hold on it.
    pub hold: Option<Hold>,
    /// When it was first known.
    pub added: Timestamp,
}

impl HostRecord {
    /// A host that is known by name only.
    #[must_use]
    pub fn new(id: HostId, now: Timestamp) -> Self {
        Self {
            id,
            identity: HostIdentity::default(),
            observation: HostObservation::default(),
            deploy: DeployEvidence::default(),
            tests: None,
            presence: Presence::NeverSeen,
            last_seq: Sequence(0),
            tests_enabled: true,
            hold: None,
            added: now,
        }
    }
}

/// Everything needed to continue after a restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The version of the synchronised state; a later one than any ever published, or of a new
    /// epoch.
    pub version: StateVersion,
    /// The hosts.
    pub hosts: Vec<HostRecord>,
    /// Every command that has not ended, and the last ended one of each host.
    pub commands: Vec<Command>,
    /// What was known of the remote.
    pub remote: Option<RemoteWatch>,
    /// The most recent events, oldest first.
    pub events: Vec<EventView>,
}
