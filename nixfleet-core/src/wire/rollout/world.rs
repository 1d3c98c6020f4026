//! The hosts of a [`RolloutFacts`] as a simulated rollout sees them. Nothing is decided here: what
//! stands in the way of a command, admission says, as in a fleet.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{HostFacts, RolloutFacts};
use crate::admission::{Check, Conditions, PrState, WindowState, admit};
use crate::compartment::Status;
use crate::desired::{Remote, RemoteCause, Snapshot, Unavailable};
use crate::host::{AgentProtocol, Generation, HostIdentity, HostObservation};
use crate::ids::{HostId, RolloutId};
use crate::lifecycle::Target;
use crate::op::Op;
use crate::rollout::{
    Ended, Foresight, Health, May, Plan, Standing, WayBack, World, refused, request_of,
};
use crate::time::Timestamp;
use crate::window::{ActionClass, Opening, Window, Zone, opening};

/// The generation that every host runs before, and can go back to.
const BEFORE: u64 = 1;

/// The hosts of a [`RolloutFacts`], and what became of them so far.
pub(super) struct PlainWorld<'a> {
    facts: &'a RolloutFacts,
    hosts: BTreeMap<&'a HostId, PlainHost<'a>>,
    windows: Vec<(&'a Window, &'a Zone)>,
    id: RolloutId,
    class: ActionClass,
    /// Whether the rollout itself brings checkouts to the target; if not, they are there.
    pulls: bool,
    desired: Option<Target>,
    remote: Remote,
    identity: HostIdentity,
    observation: HostObservation,
    now: Timestamp,
}

struct PlainHost<'a> {
    facts: &'a HostFacts,
    /// Whether its checkout is at the target.
    pulled: bool,
    /// Whether it left what it ran before.
    changed: bool,
}

impl<'a> PlainWorld<'a> {
    pub(super) fn new(facts: &'a RolloutFacts, plan: &Plan, id: RolloutId) -> Self {
        let host = |facts: &'a HostFacts| {
            let host = PlainHost {
                facts,
                pulled: false,
                changed: false,
            };
            (&facts.host, host)
        };
        let zoned = |window: &'a Window| {
            let zone = facts.zones.iter().find(|zone| zone.name == window.zone)?;
            Some((window, zone))
        };
        let generation = |number| Generation {
            number,
            path: None,
            commit: None,
            created: None,
            current: number != BEFORE,
        };
        let desired = facts.desired.or(plan.target);
        Self {
            facts,
            hosts: facts.hosts.iter().map(host).collect(),
            windows: facts.windows.iter().filter_map(zoned).collect(),
            id,
            class: plan.policy.class,
            pulls: plan
                .ops
                .iter()
                .any(|op| matches!(op, Op::Pull | Op::PullSwitch)),
            desired,
            remote: remote(desired),
            identity: HostIdentity {
                protocol: AgentProtocol::Commands,
                ..HostIdentity::default()
            },
            observation: HostObservation {
                generations: vec![generation(BEFORE + 1), generation(BEFORE)],
                ..HostObservation::default()
            },
            now: facts.start,
        }
    }

    fn opening(&self, host: &HostFacts, op: Op) -> Opening {
        let class = ActionClass::of(op, self.class);
        let windows = self.windows.iter().copied();
        opening(windows, &host.labels(), class, self.now)
    }

    fn conditions<'s>(&'s self, host: &PlainHost<'s>, opening: Opening) -> Conditions<'s> {
        let checkout = if host.pulled || !self.pulls {
            Status::Ok
        } else {
            Status::Outdated
        };
        Conditions {
            presence: host.facts.presence,
            identity: &self.identity,
            observation: &self.observation,
            active: None,
            restarting: None,
            agent: Status::Ok,
            git: checkout,
            lock: checkout,
            remote: &self.remote,
            test_key: None,
            hold: host.facts.hold.as_ref(),
            quarantined: false,
            signature: Check::NotRequired,
            window: match opening {
                Opening::Open => WindowState::Open,
                Opening::Closed(opens) => WindowState::Closed { opens },
            },
            host_driven: true,
            pr: &PrState::NotKnown,
        }
    }
}

fn remote(desired: Option<Target>) -> Remote {
    let unknown = || Unavailable::new(RemoteCause::NotConfigured, "");
    Remote::Verified(Snapshot {
        commit: desired.map(|target| target.commit).ok_or_else(unknown),
        lock: desired.and_then(|target| target.lock).ok_or_else(unknown),
        subject: None,
        commit_time: None,
        branch: None,
        rewritten: false,
    })
}

impl World for PlainWorld<'_> {
    fn may(&self, host: &HostId, op: Op, target: Option<&Target>, generation: Option<u64>) -> May {
        let Some(own) = self.hosts.get(host) else {
            return May::Never("the host was removed".to_owned());
        };
        let opening = self.opening(own.facts, op);
        let request = request_of(self.id, host, op, target, generation);
        match admit(&request, &self.conditions(own, opening)) {
            Ok(_) => May::Yes,
            Err(refusal) => refused(
                &refusal,
                own.facts.hold.as_ref(),
                own.facts.presence,
                || opening,
            ),
        }
    }

    fn tests_on(&self, host: &HostId) -> bool {
        let host = self.hosts.get(host);
        host.is_some_and(|host| host.facts.settings.tests_after_switch())
    }

    /// Nothing happens to a host that succeeded, in a simulation.
    fn health(&self, _host: &HostId, _target: Option<&Target>, _tested: bool) -> Health {
        Health::Good
    }

    fn standing(&self, _host: &HostId) -> Standing {
        Standing {
            path: None,
            generation: Some(BEFORE),
            profile: None,
        }
    }

    fn way_back(&self, host: &HostId, _before: &Standing) -> WayBack {
        match self.hosts.get(host) {
            Some(host) if host.changed => WayBack::Generation(BEFORE),
            Some(_) | None => WayBack::NotNeeded,
        }
    }

    fn desired(&self) -> Option<Target> {
        self.desired.filter(|target| target.lock.is_some())
    }

    fn shows(&self, _target: &Target) -> bool {
        true
    }
}

impl Foresight for PlainWorld<'_> {
    fn foresee(&self, host: &HostId, op: Op) -> (Ended, Duration) {
        self.facts.assumptions.foresee(host, op)
    }

    fn begins(&mut self, _host: &HostId, _op: Op) {}

    /// The host now is what the command would have made of it.
    fn ends(&mut self, host: &HostId, op: Op, ended: &Ended) {
        let Some(own) = self.hosts.get_mut(host).filter(|_| *ended == Ended::Good) else {
            return;
        };
        own.pulled |= matches!(op, Op::Pull | Op::PullSwitch);
        own.changed = (own.changed || op.is_deploy()) && op != Op::Rollback;
        if op == Op::UpdateInputs && self.facts.updated.is_some() {
            self.desired = self.facts.updated;
            self.remote = remote(self.desired);
        }
    }

    fn now(&mut self, now: Timestamp) {
        self.now = now;
    }
}
