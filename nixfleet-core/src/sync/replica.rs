//! The client's half of the sync protocol: apply what fits, ask once for everything else.

use super::{Deltas, FullState, ServerMessage, SyncState};
use crate::ids::StateVersion;

/// A copy of the state, kept current by messages of the server.
///
/// Loss, duplication and reordering never corrupt it: a change is applied only if it is exactly
/// the next one, and refers to nothing that is missing here; otherwise the full state is asked for.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    state: SyncState,
    version: Option<StateVersion>,
    staging: Option<Staging>,
    asked: bool,
}

#[derive(Clone, Debug)]
struct Staging {
    version: StateVersion,
    next: u32,
    state: SyncState,
}

/// What a message led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaStep {
    /// The state changed.
    Changed,
    /// Nothing to do.
    Unchanged,
    /// Send `get_state` to the server.
    AskForState,
}

impl Replica {
    /// A copy that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The state as far as it is known.
    #[must_use]
    pub fn state(&self) -> &SyncState {
        &self.state
    }

    /// Its version; `None` before the first full state.
    #[must_use]
    pub fn version(&self) -> Option<StateVersion> {
        self.version
    }

    /// Takes in a message.
    pub fn apply(&mut self, message: ServerMessage) -> ReplicaStep {
        match message {
            ServerMessage::Init(part) | ServerMessage::FullState(part) => self.part(*part),
            ServerMessage::Delta(deltas) => self.deltas(deltas),
            ServerMessage::Sync { version } => self.beacon(version),
            ServerMessage::Telemetry(_) => ReplicaStep::Unchanged,
        }
    }

    fn part(&mut self, part: FullState) -> ReplicaStep {
        if part.part == 0 {
            self.staging = Some(Staging {
                version: part.version,
                next: 0,
                state: SyncState::default(),
            });
        }
        let fits = |staging: &Staging| staging.version == part.version && staging.next == part.part;
        let Some(mut staging) = self.staging.take().filter(fits) else {
            return self.ask();
        };
        staging.state.merge(part.state);
        staging.next = staging.next.saturating_add(1);
        if staging.next < part.parts {
            self.staging = Some(staging);
            return ReplicaStep::Unchanged;
        }
        self.asked = false;
        if self
            .version
            .is_some_and(|own| own.epoch == staging.version.epoch && own > staging.version)
        {
            return ReplicaStep::Unchanged;
        }
        self.version = Some(staging.version);
        self.state = staging.state;
        ReplicaStep::Changed
    }

    fn deltas(&mut self, deltas: Deltas) -> ReplicaStep {
        let mut version = deltas.first;
        let mut step = ReplicaStep::Unchanged;
        for change in deltas.changes {
            let Some(own) = self.version.filter(|own| own.epoch == version.epoch) else {
                return self.ask();
            };
            if version == own.next() {
                if self.state.apply(&change).is_err() {
                    return self.ask();
                }
                self.version = Some(version);
                step = ReplicaStep::Changed;
            } else if version > own {
                return self.ask();
            }
            version = version.next();
        }
        step
    }

    fn beacon(&mut self, version: StateVersion) -> ReplicaStep {
        if self.version == Some(version) {
            return ReplicaStep::Unchanged;
        }
        // An earlier question may have been lost: a beacon is the moment to ask again.
        self.asked = false;
        self.ask()
    }

    fn ask(&mut self) -> ReplicaStep {
        if self.asked {
            return ReplicaStep::Unchanged;
        }
        self.asked = true;
        ReplicaStep::AskForState
    }
}
