//! State sync with browsers and other clients: a numbered log of changes, and the client's half
//! of the protocol (spec 04, "Sync protocol").

mod compact;
mod part;
mod replica;
mod state;
mod view;
mod written;

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use compact::{CompactStatus, table as letters};
pub use part::{write_parts, write_whole};
pub use replica::{Replica, ReplicaStep};
pub use state::{KEPT_EVENTS, KEPT_ROLLOUTS, NotHere, SyncState};
pub use view::{
    Change, CommandView, DeployedView, DesiredView, EventView, HostView, ProgressView, RemoteView,
    StatusUpdate, StatusView, TestsView,
};

use crate::ids::StateVersion;

/// How many deltas are kept for clients that come back.
pub const KEPT_DELTAS: usize = 1024;
/// How many hosts travel in one part of a full state.
pub const HOSTS_PER_PART: usize = 64;

/// One numbered change: one entity's whole new value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// The version after the change.
    pub version: StateVersion,
    /// The change.
    pub change: Change,
}

/// What a client that has a version needs to catch up.
#[derive(Clone, Debug, PartialEq)]
pub enum CatchUp {
    /// Exactly the deltas after its version; may be empty.
    Deltas(Vec<Arc<Delta>>),
    /// Everything: its version is too old or of another epoch.
    Full,
}

/// The state as clients see it, its version, and the most recent changes. Version and state change
/// together, in [`SyncLog::publish`] and nowhere else.
#[derive(Clone, Debug)]
pub struct SyncLog {
    version: StateVersion,
    state: SyncState,
    recent: VecDeque<Arc<Delta>>,
}

impl SyncLog {
    /// A log that starts at a version with a state.
    #[must_use]
    pub fn new(version: StateVersion, state: SyncState) -> Self {
        Self {
            version,
            state,
            recent: VecDeque::new(),
        }
    }

    /// Records a change; `None` if it changes nothing, and then the version stays.
    ///
    /// Statuses go out in few bytes if, and only if, a client that has the state just before gets
    /// exactly these statuses from them.
    pub fn publish(&mut self, change: Change) -> Option<Arc<Delta>> {
        let change = match change {
            Change::StatusUpdated(StatusUpdate::Whole(view)) => {
                Change::StatusUpdated(self.state.put_status(view)?)
            }
            other @ (Change::HostAdded(_)
            | Change::HostUpdated(_)
            | Change::StatusUpdated(StatusUpdate::Compact(_))
            | Change::HostRemoved(_)
            | Change::CommandStarted(_)
            | Change::CommandProgress(_)
            | Change::CommandFinished(_)
            | Change::UpdatePrChanged(_)
            | Change::DesiredChanged(_)
            | Change::Event(_)
            | Change::RolloutUpdated(_)
            | Change::UpdatesChanged(_)) => {
                self.state.apply(&other).unwrap_or(false).then_some(other)?
            }
        };
        self.version = self.version.next();
        let delta = Arc::new(Delta {
            version: self.version,
            change,
        });
        self.recent.push_back(delta.clone());
        if self.recent.len() > KEPT_DELTAS {
            self.recent.pop_front();
        }
        Some(delta)
    }

    /// The current version.
    #[must_use]
    pub fn version(&self) -> StateVersion {
        self.version
    }

    /// The current state.
    #[must_use]
    pub fn state(&self) -> &SyncState {
        &self.state
    }

    /// What a client at `from` needs.
    #[must_use]
    pub fn catch_up(&self, from: StateVersion) -> CatchUp {
        if from.epoch != self.version.epoch || from.number > self.version.number {
            return CatchUp::Full;
        }
        let missing = self.version.number - from.number;
        match usize::try_from(missing)
            .ok()
            .and_then(|n| self.recent.len().checked_sub(n))
        {
            Some(skip) => CatchUp::Deltas(self.recent.iter().skip(skip).cloned().collect()),
            None => CatchUp::Full,
        }
    }
}

/// What the server sends to a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload", rename_all = "snake_case")]
pub enum ServerMessage {
    /// One part of the full state, on connect.
    Init(Box<FullState>),
    /// Consecutive changes.
    Delta(Deltas),
    /// The beacon: the current version, behind the deltas on the same channel.
    Sync {
        /// The current version.
        version: StateVersion,
    },
    /// One part of the full state, as the answer to `get_state` or after a client fell behind.
    FullState(Box<FullState>),
    /// Unversioned: load and last sign of life of some hosts.
    Telemetry(Vec<Telemetry>),
}

/// What a client sends to the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload", rename_all = "snake_case")]
pub enum ClientMessage {
    /// Send me the full state.
    GetState,
}

/// Consecutive changes of one tick: the first has version `first`, each next one more. On the
/// wire, compact statuses that follow one another stand in one array, under one name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deltas {
    /// Version of the first change.
    pub first: StateVersion,
    /// The changes.
    #[serde(with = "written")]
    pub changes: Vec<Change>,
}

/// One part of a full state. All parts of one state carry the same version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FullState {
    /// Version of the state.
    pub version: StateVersion,
    /// Number of this part, from 0.
    pub part: u32,
    /// Number of parts, at least 1.
    pub parts: u32,
    /// This part's entities.
    pub state: SyncState,
}

/// Load and last sign of life of one host; outside the versioned state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Telemetry {
    /// The host.
    pub id: crate::ids::HostId,
    /// Last sign of life.
    pub last_seen: crate::time::Timestamp,
    /// Load, where reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<crate::wire::agent::Metrics>,
}

/// A full state in parts of about [`HOSTS_PER_PART`] hosts.
#[must_use]
pub fn parts(version: StateVersion, state: &SyncState) -> Vec<FullState> {
    let pieces = state.split(HOSTS_PER_PART);
    let parts = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
    let numbered = pieces.into_iter().zip(0u32..);
    numbered
        .map(|(state, part)| FullState {
            version,
            part,
            parts,
            state,
        })
        .collect()
}

/// Consecutive deltas as one message; `None` for an empty slice.
#[must_use]
pub fn frame(deltas: &[Arc<Delta>]) -> Option<ServerMessage> {
    let first = deltas.first()?.version;
    let changes = deltas.iter().map(|delta| delta.change.clone()).collect();
    Some(ServerMessage::Delta(Deltas { first, changes }))
}

/// Writes the frame of consecutive deltas as JSON: the same as [`frame`], without copying what is
/// in them. Nothing is written if there are none.
///
/// # Errors
/// What serde says, if one of them cannot be written.
pub fn write_frame(out: &mut Vec<u8>, deltas: &[Arc<Delta>]) -> serde_json::Result<()> {
    written::frame(out, deltas)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn a_frame_is_written_as_if_it_had_been_copied() {
        let mut log = SyncLog::new(StateVersion::default(), SyncState::default());
        let event = |n| EventView {
            n,
            at: Timestamp::EPOCH,
            host: None,
            code: "test".to_owned(),
            text: format!("event {n}"),
        };
        let compact = Change::StatusUpdated(StatusUpdate::Compact(Box::new(CompactStatus {
            id: "web-1".parse().unwrap(),
            letters: "ooooo".to_owned(),
            numbers: vec![1],
        })));
        let mut deltas: Vec<_> = [1, 2]
            .map(event)
            .map(Change::Event)
            .into_iter()
            .filter_map(|one| log.publish(one))
            .collect();
        for number in 3..6 {
            let version = StateVersion { epoch: 0, number };
            let change = compact.clone();
            deltas.push(Arc::new(Delta { version, change }));
        }
        // What no server writes is written as serde writes it, too.
        let odd = Change::StatusUpdated(StatusUpdate::Compact(Box::new(CompactStatus {
            id: "web-1".parse().unwrap(),
            letters: "o\"\\ \u{7}é".to_owned(),
            numbers: vec![i64::MIN, 0, i64::MAX],
        })));
        let versions = 6..;
        let event = Change::Event(event(3));
        for (number, change) in versions.zip([event.clone(), odd, compact, event]) {
            let version = StateVersion { epoch: 0, number };
            deltas.push(Arc::new(Delta { version, change }));
        }
        let all = 0..=deltas.len();
        let runs = all.clone().flat_map(|from| {
            let deltas = &deltas;
            all.clone().filter_map(move |to| deltas.get(from..to))
        });
        for run in runs {
            let mut out = Vec::new();
            write_frame(&mut out, run).unwrap();
            let copied = frame(run).map(|message| serde_json::to_vec(&message).unwrap());
            assert_eq!(out, copied.unwrap_or_default());
        }
    }
}
