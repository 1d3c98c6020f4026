//! What a rollout would do: the fleet as it is now, with assumptions about how commands end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Fleet;
use super::world::FleetWorld;
use crate::host::Actor;
use crate::ids::{CommitRef, HostId, RolloutId};
use crate::lifecycle::Target;
use crate::op::Op;
use crate::rollout::{
    Ask, Ended, Foresight, Health, May, PlanError, Rollout, Simulation, Standing, WayBack, World,
    simulate,
};
use crate::time::Timestamp;

/// What is assumed about one operation on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assumption {
    /// On which host.
    pub host: HostId,
    /// Which operation; none is all of them.
    #[serde(default)]
    pub op: Option<Op>,
    /// Whether it fails.
    #[serde(default)]
    pub fails: bool,
    /// How long it takes; none is the usual.
    #[serde(default)]
    pub seconds: Option<u64>,
}

/// What a simulation assumes; what is not said succeeds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Assumptions {
    /// About single hosts.
    pub hosts: Vec<Assumption>,
    /// Whether the target is what is desired by then: for an update that is not merged yet.
    pub merged: bool,
}

impl Assumptions {
    /// How a command on this host ends, and how long it takes.
    pub(crate) fn foresee(&self, host: &HostId, op: Op) -> (Ended, Duration) {
        let about = |one: &&Assumption| one.host == *host && one.op.is_none_or(|own| own == op);
        let assumed = self.hosts.iter().find(about);
        let ended = if assumed.is_some_and(|one| one.fails) {
            Ended::Failed("assumed to fail".to_owned())
        } else {
            Ended::Good
        };
        let seconds = assumed.and_then(|one| one.seconds);
        // Where nobody says, half of the time after which a person is warned.
        let usual = op.spec().warn.unwrap_or(op.spec().hard) / 2;
        (ended, seconds.map_or(usual, Duration::from_secs))
    }
}

impl Fleet {
    /// What a rollout would do from now on, if nothing else happens and commands end as assumed.
    /// Planning, order, waits and windows are those of the real run.
    ///
    /// # Errors
    /// [`PlanError`], if it would not start.
    pub fn simulate(
        &self,
        ask: &Ask,
        assumptions: &Assumptions,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Simulation, PlanError> {
        let plan = self.plan(ask, actor)?;
        let id = RolloutId::from_bytes([0; 16]);
        let mut copy = self.clone();
        copy.clock = copy.clock.max(now);
        let mut world = Assumed {
            class: plan.policy.class,
            fleet: copy,
            id,
            now,
            target: plan.target,
            assumptions,
            reached: BTreeMap::new(),
        };
        let rollout = Rollout::new(id, plan, actor.clone(), None, &world, now);
        Ok(simulate(rollout, &mut world, now))
    }
}

struct Assumed<'a> {
    fleet: Fleet,
    id: RolloutId,
    class: crate::window::ActionClass,
    now: Timestamp,
    target: Option<Target>,
    assumptions: &'a Assumptions,
    reached: BTreeMap<HostId, Op>,
}

impl Assumed<'_> {
    fn real(&self) -> FleetWorld<'_> {
        FleetWorld {
            fleet: &self.fleet,
            id: self.id,
            class: self.class,
            active_since: self.now,
        }
    }
}

impl World for Assumed<'_> {
    fn may(&self, host: &HostId, op: Op, target: Option<&Target>, generation: Option<u64>) -> May {
        self.real().may(host, op, target, generation)
    }

    fn tests_on(&self, host: &HostId) -> bool {
        self.real().tests_on(host)
    }

    /// Nothing happens to a host that succeeded, in a simulation.
    fn health(&self, host: &HostId, target: Option<&Target>, tested: bool) -> Health {
        if self.reached.contains_key(host) {
            return Health::Good;
        }
        self.real().health(host, target, tested)
    }

    fn standing(&self, host: &HostId) -> Standing {
        self.real().standing(host)
    }

    fn way_back(&self, host: &HostId, before: &Standing) -> WayBack {
        match (self.reached.get(host), before.generation) {
            // It has left what it ran before, and can go back to it.
            (Some(op), Some(generation)) if op.is_deploy() || *op == Op::Test => {
                WayBack::Generation(generation)
            }
            (_, _) => self.real().way_back(host, before),
        }
    }

    fn desired(&self) -> Option<Target> {
        if self.assumptions.merged {
            return self.target;
        }
        self.real().desired()
    }

    fn shows(&self, target: &Target) -> bool {
        self.assumptions.merged || self.real().shows(target)
    }
}

impl Foresight for Assumed<'_> {
    fn foresee(&self, host: &HostId, op: Op) -> (Ended, Duration) {
        self.assumptions.foresee(host, op)
    }

    fn begins(&mut self, _host: &HostId, _op: Op) {}

    /// The host now is what the command would have made of it.
    fn ends(&mut self, host: &HostId, op: Op, ended: &Ended) {
        if *ended != Ended::Good {
            return;
        }
        let own = self.fleet.hosts.get_mut(host);
        if let (Op::Pull, Some(target), Some(own)) = (op, self.target, own) {
            let lock = target
                .lock
                .map_or(crate::host::LockReport::NotReported, |lock| {
                    crate::host::LockReport::Hash(lock)
                });
            own.record.observation.repo = Some(crate::host::Repo {
                commit: CommitRef::Full(target.commit),
                lock,
                dirty: false,
            });
        }
        if let Some(own) = self.fleet.hosts.get_mut(host).filter(|_| op.is_deploy()) {
            // What it runs now is none of those that it lists.
            for listed in &mut own.record.observation.generations {
                listed.current = false;
            }
        }
        self.reached.insert(host.clone(), op);
    }

    fn now(&mut self, now: Timestamp) {
        self.now = now;
        self.fleet.clock = self.fleet.clock.max(now);
    }
}
