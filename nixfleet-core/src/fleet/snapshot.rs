//! The fleet as it is stored, and read back after a restart.

use std::collections::BTreeSet;

use super::Record;
use super::settings::FleetSettings;
use crate::desired::RemoteWatch;
use crate::host::{
    DeployEvidence, Hold, HostIdentity, HostObservation, HostSettings, Presence, TestEvidence,
};
use crate::ids::{CommandId, HostId, Sequence, StateVersion};
use crate::lifecycle::Command;
use crate::rollout::Rollout;
use crate::sync::EventView;
use crate::time::Timestamp;
use crate::update::StoredUpdates;

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
    /// The ended command that its row shows; see [`Command::is_shown_instead_of`].
    pub last_ended: Option<CommandId>,
    /// Whether its tests are switched on.
    pub tests_enabled: bool,
    /// The hold on it.
    pub hold: Option<Hold>,
    /// When it was first known.
    pub added: Timestamp,
    /// How automation treats it.
    pub settings: HostSettings,
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
            last_ended: None,
            tests_enabled: true,
            hold: None,
            added: now,
            settings: HostSettings::default(),
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
    /// Every command that has not ended, and those that hosts name as their last ended one.
    pub commands: Vec<Command>,
    /// What was known of the remote.
    pub remote: Option<RemoteWatch>,
    /// The most recent events, oldest first.
    pub events: Vec<EventView>,
    /// Every rollout that has not ended, and the last [`KEPT_ROLLOUTS`] that have.
    pub rollouts: Vec<Rollout>,
    /// The settings of the fleet as a whole.
    pub settings: FleetSettings,
    /// What was known of updates.
    pub updates: StoredUpdates,
}

/// How many ended rollouts the fleet keeps in memory.
pub const KEPT_ROLLOUTS: usize = 50;

/// Leaves out the oldest ended rollouts beyond [`KEPT_ROLLOUTS`].
pub(super) fn prune_rollouts(rollouts: &mut Vec<Rollout>) {
    let ended = rollouts.iter().filter(|one| one.is_over());
    let mut ended: Vec<_> = ended.map(|one| (one.since, one.id)).collect();
    ended.sort_unstable();
    let surplus = ended.len().saturating_sub(KEPT_ROLLOUTS);
    ended.truncate(surplus);
    rollouts.retain(|one| !ended.contains(&(one.since, one.id)));
}

impl Snapshot {
    /// Takes in what one call of the fleet wants stored: what a store reads back after it has
    /// committed these records. (A store may keep more for other purposes, such as history.)
    pub fn commit(&mut self, batch: impl IntoIterator<Item = Record>) {
        for record in batch {
            match record {
                Record::Host(host) => {
                    self.hosts.retain(|own| own.id != host.id);
                    self.hosts.push(host);
                }
                Record::HostRemoved(id) => self.hosts.retain(|own| own.id != id),
                Record::Command(command) => {
                    self.commands.retain(|own| own.id != command.id);
                    self.commands.push(command);
                }
                Record::Remote(watch) => self.remote = Some(watch),
                Record::Event(event) => self.events.push(event),
                Record::Version(version) => self.version = version,
                Record::Audit(_) => {}
                Record::Rollout(rollout) => {
                    self.rollouts.retain(|own| own.id != rollout.id);
                    self.rollouts.push(*rollout);
                }
                Record::Settings(settings) => self.settings = *settings,
                Record::Update(record) => self.updates.commit(record),
            }
        }
        prune_rollouts(&mut self.rollouts);
        let named: BTreeSet<CommandId> = self
            .hosts
            .iter()
            .filter_map(|host| host.last_ended)
            .collect();
        self.commands
            .retain(|command| !command.phase.is_terminal() || named.contains(&command.id));
        let surplus = self.events.len().saturating_sub(crate::sync::KEPT_EVENTS);
        self.events.drain(..surplus);
    }
}
