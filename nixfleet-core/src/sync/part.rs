//! Full states, written part by part from the state itself: nothing of it is copied first.

use std::collections::{BTreeMap, btree_map};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{CommandView, DesiredView, EventView, HOSTS_PER_PART, HostView, StatusView, SyncState};
use crate::desired::PendingPr;
use crate::ids::{CommandId, HostId, RolloutId, StateVersion};
use crate::rollout::RolloutView;
use crate::update::UpdatesView;

/// Writes a full state in parts of about [`HOSTS_PER_PART`] hosts, each a [`FullState`] as JSON: the
/// same as [`parts`](super::parts), without copying what is in them.
///
/// # Errors
/// What serde says, if something cannot be written.
///
/// [`FullState`]: super::FullState
pub fn write_parts(version: StateVersion, state: &SyncState) -> serde_json::Result<Vec<String>> {
    write_by(HOSTS_PER_PART, version, state)
}

/// Writes a full state as the only part of itself.
///
/// # Errors
/// What serde says, if something cannot be written.
pub fn write_whole(version: StateVersion, state: &SyncState) -> serde_json::Result<String> {
    let parts = write_by(state.hosts.len().max(1), version, state)?;
    Ok(parts.into_iter().next().unwrap_or_default())
}

fn write_by(
    size: usize,
    version: StateVersion,
    state: &SyncState,
) -> serde_json::Result<Vec<String>> {
    let count = state.hosts.len().div_ceil(size).max(1);
    let parts = u32::try_from(count).unwrap_or(u32::MAX);
    let mut hosts = state.hosts.iter();
    let mut statuses = state.statuses.iter().peekable();
    let mut written = Vec::with_capacity(count);
    // Each part is copied out of one buffer, so that it takes no more room than it needs.
    let mut buffer = Vec::new();
    for (part, _) in (0u32..).zip(0..count) {
        let of_part: Vec<(&HostId, &HostView)> = hosts.by_ref().take(size).collect();
        let of_hosts = statuses_of(&of_part, &mut statuses);
        let part = Part {
            version,
            part,
            parts,
            state: PartOfState {
                rest: (part == 0).then_some(state),
                hosts: &of_part,
                statuses: &of_hosts,
            },
        };
        buffer.clear();
        serde_json::to_writer(&mut buffer, &part)?;
        let text = std::str::from_utf8(&buffer).map_err(serde::ser::Error::custom)?;
        written.push(text.to_owned());
    }
    Ok(written)
}

type Statuses<'a> = std::iter::Peekable<btree_map::Iter<'a, HostId, StatusView>>;

/// The statuses of these hosts. Both are in the order of ids.
fn statuses_of<'a>(
    hosts: &[(&HostId, &HostView)],
    statuses: &mut Statuses<'a>,
) -> Vec<(&'a HostId, &'a StatusView)> {
    let mut found = Vec::with_capacity(hosts.len());
    for (id, _) in hosts {
        while statuses.next_if(|(of, _)| of < id).is_some() {}
        found.extend(statuses.next_if(|(of, _)| of == id));
    }
    found
}

/// [`FullState`](super::FullState), borrowed.
#[derive(Serialize)]
struct Part<'a> {
    version: StateVersion,
    part: u32,
    parts: u32,
    state: PartOfState<'a>,
}

/// [`SyncState`] with some of its hosts. What is not about hosts stands in the first part.
struct PartOfState<'a> {
    rest: Option<&'a SyncState>,
    hosts: &'a [(&'a HostId, &'a HostView)],
    statuses: &'a [(&'a HostId, &'a StatusView)],
}

impl Serialize for PartOfState<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rest = self.rest;
        Borrowed {
            desired: rest.and_then(|state| state.desired.as_ref()),
            update_pr: rest.and_then(|state| state.update_pr.as_ref()),
            hosts: Entries(self.hosts),
            statuses: Entries(self.statuses),
            commands: rest
                .map(|state| &state.commands)
                .filter(|all| !all.is_empty()),
            events: rest
                .map(|state| &state.events)
                .filter(|all| !all.is_empty()),
            rollouts: rest
                .map(|state| &state.rollouts)
                .filter(|all| !all.is_empty()),
            updates: rest.and_then(|state| state.updates.as_deref()),
        }
        .serialize(serializer)
    }
}

/// The fields of [`SyncState`], in its order.
#[derive(Serialize)]
struct Borrowed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    desired: Option<&'a DesiredView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_pr: Option<&'a PendingPr>,
    #[serde(skip_serializing_if = "Entries::is_empty")]
    hosts: Entries<'a, HostView>,
    #[serde(skip_serializing_if = "Entries::is_empty")]
    statuses: Entries<'a, StatusView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commands: Option<&'a BTreeMap<CommandId, CommandView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<&'a BTreeMap<u64, EventView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollouts: Option<&'a BTreeMap<RolloutId, RolloutView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updates: Option<&'a UpdatesView>,
}

/// Some entries of a map.
struct Entries<'a, T>(&'a [(&'a HostId, &'a T)]);

impl<T> Entries<'_, T> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for Entries<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (id, value) in self.0 {
            map.serialize_entry(id, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Fleet, FleetConfig, Input, Request, RequestId, Snapshot};
    use crate::host::Actor;
    use crate::sync::{FullState, parts};
    use crate::time::Timestamp;

    fn fleet_of(hosts: usize) -> Fleet {
        let config = FleetConfig {
            server_version: "4.0.0".to_owned(),
            agent_version: "4.0.0".to_owned(),
            remote: crate::desired::RemotePolicy {
                ttl: std::time::Duration::from_secs(5),
                grace: std::time::Duration::ZERO,
            },
            remote_configured: true,
            store_intact: true,
            tests_after_switch: false,
            offline_notice: None,
            host_driven: false,
            updates: None,
        };
        let now = Timestamp::EPOCH;
        let (mut fleet, _) = Fleet::restore(config, Snapshot::default(), now);
        for number in 0..hosts {
            let request = Input::Request {
                id: RequestId(number as u64),
                actor: Actor::Person("admin".to_owned()),
                request: Request::AddHost {
                    host: format!("web-{number}").parse().unwrap(),
                },
            };
            let _ = fleet.handle(request, now);
        }
        fleet
    }

    #[test]
    fn parts_are_written_as_if_they_had_been_copied() {
        for hosts in [0, 1, 63, 64, 65, 130] {
            let fleet = fleet_of(hosts);
            let (version, full) = (fleet.version(), fleet.sync().state());
            assert_eq!(full.hosts.len(), hosts, "positive control");
            let mut without_statuses = full.clone();
            let mut others = full.statuses.keys().step_by(3);
            without_statuses
                .statuses
                .retain(|id, _| others.next() != Some(id));
            for state in [full, &without_statuses, &SyncState::default()] {
                let copied = parts(version, state);
                let copied = copied
                    .iter()
                    .map(|part| serde_json::to_string(part).unwrap());
                assert_eq!(
                    write_parts(version, state).unwrap(),
                    copied.collect::<Vec<_>>()
                );
                let whole = FullState {
                    version,
                    part: 0,
                    parts: 1,
                    state: state.clone(),
                };
                let whole = serde_json::to_string(&whole).unwrap();
                assert_eq!(write_whole(version, state).unwrap(), whole);
            }
        }
    }
}
