//! Rollouts: bringing a set of hosts to one immutable target, in waves (spec 05, "Rollouts").
//!
//! A pure planner and a pure machine. [`plan`] decides once who takes part, in which order;
//! [`Rollout::step`] decides again and again what may start now, and says of every host that does
//! not why it waits. Whether a single command may run, the [`World`] answers: in the fleet that is
//! the ordinary admission, so that no hold, window or right has a second home. The same functions
//! serve the real run, the simulation and the tests.

mod admission;
mod end;
mod plan;
mod policy;
mod rollback;
mod simulate;
mod soak;
mod span;
mod state;
mod step;
mod table;
mod verb;
mod view;
mod wait;
mod wave;
mod world;

pub(crate) use admission::{refused, request_of};
pub use plan::{
    Ask, AskKind, Candidate, ConfirmedHosts, Plan, PlanContext, PlanError, PlannedWave, SkipReason,
    SkippedHost, Targets, plan,
};
pub use policy::{Canaries, InFlight, Offline, OnFailure, Policy, RollBack, Stage};
pub(crate) use simulate::simulate_watched;
pub use simulate::{Foresight, SimulatedEvent, Simulation, SimulationStep, simulate};
pub use span::WaitSpan;
pub(crate) use span::Waits;
pub use state::{
    HostRun, HostStage, RolledBack, Rollout, RolloutState, Standing, Stop, Wait, WaitCode,
};
pub use step::Act;
pub use table::{
    HOST_PATIENCE, PAUSE_BOUND, PIPELINES, PipelineRow, RECONNECT_BOUND, SOAK_GAP_BOUND, STATES,
    StateRow, VERBS, VISIBLE_BOUND, VerbRow, WAITS, WaitRow, pipeline,
};
pub use verb::{Verb, VerbError, VerbName};
pub(crate) use view::word;
pub use view::{RolloutHostView, RolloutTotals, RolloutView};
pub use world::{Ended, Health, May, WayBack, World};

pub use crate::ids::{PlanId, RolloutId};

use sha2::{Digest, Sha256};

use crate::ids::{CommandId, HostId};
use crate::time::Timestamp;

/// The id of a rollout's command: a UUID of version 7 whose time part is `now`, and whose rest is
/// derived from what the command is for. The core has no randomness, and the same step of the same
/// rollout never gets a second id by chance.
#[must_use]
pub fn command_id(
    rollout: RolloutId,
    host: &HostId,
    step: &str,
    attempt: u32,
    now: Timestamp,
) -> CommandId {
    let mut hash = Sha256::new();
    hash.update(rollout.as_bytes());
    hash.update(host.as_str().as_bytes());
    hash.update([0]);
    hash.update(step.as_bytes());
    hash.update([0]);
    hash.update(attempt.to_be_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    for (slot, byte) in bytes.iter_mut().zip(digest) {
        *slot = byte;
    }
    let millis = u64::try_from(now.as_millis()).unwrap_or(0).to_be_bytes();
    for (slot, byte) in bytes.iter_mut().zip(millis.iter().skip(2)) {
        *slot = *byte;
    }
    if let Some(version) = bytes.get_mut(6) {
        *version = (*version & 0x0f) | 0x70;
    }
    if let Some(variant) = bytes.get_mut(8) {
        *variant = (*variant & 0x3f) | 0x80;
    }
    CommandId::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_ids_are_uuids_of_version_7_and_differ_by_what_they_are_for() {
        let rollout = RolloutId::from_bytes([7; 16]);
        let (one, two): (HostId, HostId) = ("one".parse().unwrap(), "two".parse().unwrap());
        let now = Timestamp::from_seconds(1_800_000_000);
        let id = command_id(rollout, &one, "switch", 1, now);
        let text = id.to_string();
        assert_eq!(&text[14..15], "7");
        assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"), "{text}");
        assert_eq!(id, command_id(rollout, &one, "switch", 1, now));
        let others = [
            command_id(rollout, &two, "switch", 1, now),
            command_id(rollout, &one, "pull", 1, now),
            command_id(rollout, &one, "switch", 2, now),
            command_id(RolloutId::from_bytes([8; 16]), &one, "switch", 1, now),
        ];
        assert!(others.iter().all(|other| *other != id));
    }
}
