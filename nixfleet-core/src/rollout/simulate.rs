//! What a rollout would do: the same machine on a copy, with assumptions in place of hosts.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::span::{WaitSpan, Waits};
use super::state::{Rollout, RolloutState};
use super::step::Act;
use super::view::RolloutView;
use super::world::{Ended, World};
use crate::ids::{CommandId, HostId};
use crate::op::Op;
use crate::time::Timestamp;

/// The most events of one simulation; a rollout ends within its bounds long before.
pub const MAX_EVENTS: usize = 100_000;

/// The most times in a row that a simulation looks at a rollout and nothing happens. A host whose
/// agent is away and whose window opens and closes begins its wait anew each time.
const MAX_IDLE: usize = 10_000;

/// A world that can be told how a simulated command ended, and what time it is.
pub trait Foresight: World {
    /// How a command on this host will end, and how long it takes.
    fn foresee(&self, host: &HostId, op: Op) -> (Ended, Duration);
    /// A command started.
    fn begins(&mut self, host: &HostId, op: Op);
    /// A command ended.
    fn ends(&mut self, host: &HostId, op: Op, ended: &Ended);
    /// It is now this moment.
    fn now(&mut self, now: Timestamp);
}

/// Something that happens in a simulation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SimulatedEvent {
    /// A command starts.
    Starts {
        /// On which host.
        host: HostId,
        /// What.
        op: Op,
    },
    /// A command ends.
    Ends {
        /// On which host.
        host: HostId,
        /// What.
        op: Op,
        /// Whether it reaches its goal.
        good: bool,
    },
    /// A host is held.
    Held {
        /// The host.
        host: HostId,
    },
    /// The target is quarantined.
    Quarantined,
    /// The rollout enters a state.
    Enters(RolloutState),
}

/// One event and when it happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimulationStep {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: SimulatedEvent,
}

/// What a rollout would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Simulation {
    /// Everything that happens, in order.
    pub steps: Vec<SimulationStep>,
    /// Why hosts wait meanwhile, in the order in which the waits begin.
    pub waits: Vec<WaitSpan>,
    /// The rollout at its end.
    pub end: RolloutView,
    /// Whether it ended, or had to be broken off.
    pub complete: bool,
}

/// Runs a rollout to its end in the assumed world, without a person. Commands that end at the same
/// moment end in the order in which they started.
#[must_use]
pub fn simulate(rollout: Rollout, world: &mut impl Foresight, start: Timestamp) -> Simulation {
    let mut waits = Waits::default();
    let told = simulate_watched(rollout, world, start, |rollout, now| {
        waits.look_at(rollout, now);
    });
    Simulation {
        waits: waits.over(),
        ..told
    }
}

/// The same without the waits, for somebody who looks at the rollout each time it has been looked
/// at.
pub(crate) fn simulate_watched(
    mut rollout: Rollout,
    world: &mut impl Foresight,
    start: Timestamp,
    mut watch: impl FnMut(&Rollout, Timestamp),
) -> Simulation {
    let mut now = start;
    let mut steps = Vec::new();
    let mut running: BTreeMap<(Timestamp, usize), (HostId, Op, CommandId, Ended)> = BTreeMap::new();
    let mut started = 0;
    let mut state = None;
    let mut idle = 0;
    while steps.len() < MAX_EVENTS && idle < MAX_IDLE {
        let before = steps.len();
        world.now(now);
        let mut acts = Vec::new();
        while let Some(((at, n), (host, op, command, ended))) = running
            .first_key_value()
            .filter(|((at, _), _)| *at <= now)
            .map(|(k, v)| (*k, v.clone()))
        {
            running.remove(&(at, n));
            world.ends(&host, op, &ended);
            let good = ended == Ended::Good;
            steps.push(SimulationStep {
                at: now,
                event: SimulatedEvent::Ends { host, op, good },
            });
            acts.extend(rollout.ended(command, &ended, now));
            acts.extend(rollout.step(world, now));
            watch(&rollout, now);
            begin(
                &mut acts,
                &mut steps,
                &mut running,
                &mut started,
                world,
                now,
            );
        }
        acts.extend(rollout.step(world, now));
        watch(&rollout, now);
        begin(
            &mut acts,
            &mut steps,
            &mut running,
            &mut started,
            world,
            now,
        );
        if state != Some(rollout.state) {
            state = Some(rollout.state);
            steps.push(SimulationStep {
                at: now,
                event: SimulatedEvent::Enters(rollout.state),
            });
        }
        if rollout.state.is_terminal() {
            break;
        }
        let next = running.first_key_value().map(|((at, _), _)| *at);
        let Some(next) = [next, rollout.poll_timeout()].into_iter().flatten().min() else {
            break;
        };
        now = now.max(next);
        idle = if steps.len() == before { idle + 1 } else { 0 };
    }
    Simulation {
        steps,
        waits: Vec::new(),
        complete: rollout.state.is_terminal(),
        end: rollout.view(),
    }
}

fn begin(
    acts: &mut Vec<Act>,
    steps: &mut Vec<SimulationStep>,
    running: &mut BTreeMap<(Timestamp, usize), (HostId, Op, CommandId, Ended)>,
    started: &mut usize,
    world: &mut impl Foresight,
    now: Timestamp,
) {
    for act in acts.drain(..) {
        let event = match act {
            Act::Start {
                host, op, command, ..
            } => {
                world.begins(&host, op);
                let (ended, takes) = world.foresee(&host, op);
                running.insert((now + takes, *started), (host.clone(), op, command, ended));
                *started += 1;
                SimulatedEvent::Starts { host, op }
            }
            Act::Hold { host, .. } => SimulatedEvent::Held { host },
            Act::Quarantine { .. } => SimulatedEvent::Quarantined,
            Act::Revert => continue,
        };
        steps.push(SimulationStep { at: now, event });
    }
}
