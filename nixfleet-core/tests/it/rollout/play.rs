//! A small world for the pure machine: hosts with flags, and a clock that jumps to what is next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nixfleet_core::host::{Actor, Hold, Presence};
use nixfleet_core::lifecycle::Target;
use nixfleet_core::rollout::{
    Act, Ask, Candidate, Ended, Health, May, Plan, PlanContext, PlanError, Policy, Rollout,
    Standing, Targets, Wait, WaitCode, WayBack, World, plan,
};
use nixfleet_core::selector::HostLabels;
use nixfleet_core::{CommandId, HostId, Op, RolloutId, Timestamp, lock_hash};

pub const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// What is true of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flags {
    pub canary: bool,
    pub held: bool,
    pub offline: bool,
    pub closed: bool,
}

impl Flags {
    pub fn of(bits: u8) -> Self {
        Self {
            canary: bits & 1 != 0,
            held: bits & 2 != 0,
            offline: bits & 4 != 0,
            closed: bits & 8 != 0,
        }
    }
}

/// How the switch of a host ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    Ok,
    Fail,
    Timeout,
    Lost,
}

pub const OUTCOMES: [Outcome; 4] = [Outcome::Ok, Outcome::Fail, Outcome::Timeout, Outcome::Lost];

pub fn target() -> Target {
    Target {
        commit: "b".repeat(40).parse().unwrap(),
        lock: Some(lock_hash(b"b")),
    }
}

pub fn name(index: usize) -> HostId {
    format!("host-{index}").parse().unwrap()
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    pub flags: Flags,
    pub busy: bool,
    pub current: bool,
    /// Whether its canary evidence is good, once it runs the target.
    pub ill: bool,
    pub tests_off: bool,
    /// It does not list what it ran before.
    pub no_way_back: bool,
}

/// Hosts and what the source shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    pub all: BTreeMap<HostId, Host>,
    pub invisible: bool,
    pub quarantined: bool,
}

impl Hosts {
    pub fn of(flags: &[Flags]) -> Self {
        let hosts = flags.iter().enumerate().map(|(index, flags)| {
            let host = Host {
                flags: *flags,
                ..Host::default()
            };
            (name(index), host)
        });
        Self {
            all: hosts.collect(),
            ..Self::default()
        }
    }

    pub fn plan(&self, policy: &Policy, priorities: &[i64]) -> Result<Plan, PlanError> {
        self.plan_ask(
            &Ask {
                hosts: Targets::List(self.all.keys().cloned().collect()),
                policy: policy.clone(),
                ..Ask::default()
            },
            priorities,
        )
    }

    pub fn plan_ask(&self, ask: &Ask, priorities: &[i64]) -> Result<Plan, PlanError> {
        let hold = hold();
        let candidates = self
            .all
            .iter()
            .enumerate()
            .map(|(index, (id, host))| Candidate {
                host: id,
                labels: HostLabels {
                    name: id.as_str(),
                    ..HostLabels::default()
                },
                presence: if host.flags.offline {
                    Presence::Offline { since: START }
                } else {
                    Presence::Online
                },
                hold: host.flags.held.then_some(&hold),
                auto_update: true,
                priority: priorities.get(index).copied().unwrap_or(100),
                canary: host.flags.canary,
                runs_server: false,
            });
        let actor = Actor::Person("admin".into());
        let context = PlanContext {
            target_to_come: false,
            returning_since: None,
            hosts: candidates.collect(),
            desired: Some(target()),
            actor: &actor,
            quarantined: None,
        };
        plan(ask, &context)
    }
}

pub fn hold() -> Hold {
    Hold {
        by: "admin".into(),
        why: "disk".into(),
        until: None,
    }
}

impl World for Hosts {
    fn may(&self, host: &HostId, op: Op, _: Option<&Target>, _: Option<u64>) -> May {
        let host = &self.all[host];
        let rollback = op == Op::Rollback;
        let code = if host.flags.held {
            WaitCode::Held
        } else if host.flags.closed && !rollback {
            WaitCode::OutsideWindow
        } else if host.flags.offline {
            WaitCode::Offline
        } else if host.busy {
            WaitCode::Busy
        } else if self.quarantined && !rollback {
            WaitCode::Quarantined
        } else if op == Op::Pull && host.current {
            return May::Already;
        } else {
            return May::Yes;
        };
        May::Wait(Wait::plain(code))
    }

    fn tests_on(&self, host: &HostId) -> bool {
        !self.all[host].tests_off
    }

    fn health(&self, host: &HostId, _: Option<&Target>, _: bool) -> Health {
        let host = &self.all[host];
        if host.ill {
            Health::Bad("a unit failed".into())
        } else if host.flags.offline {
            Health::Gap("away".into())
        } else {
            Health::Good
        }
    }

    fn standing(&self, _: &HostId) -> Standing {
        Standing {
            path: None,
            generation: Some(7),
            profile: None,
        }
    }

    fn way_back(&self, host: &HostId, before: &Standing) -> WayBack {
        if self.all[host].no_way_back {
            return WayBack::Impossible("it does not list what it ran before any more");
        }
        before
            .generation
            .map_or(WayBack::Impossible("not known"), WayBack::Generation)
    }

    fn desired(&self) -> Option<Target> {
        Some(target())
    }

    fn shows(&self, _: &Target) -> bool {
        !self.invisible
    }
}

/// A command that the machine started.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sent {
    pub at: Timestamp,
    pub host: HostId,
    pub op: Op,
    pub command: CommandId,
}

/// One run of a rollout.
#[derive(Clone, Debug)]
pub struct Play {
    pub hosts: Hosts,
    pub outcomes: Vec<Outcome>,
    /// How rollbacks end.
    pub rollbacks: Outcome,
    pub rollout: Rollout,
    pub now: Timestamp,
    pub sent: Vec<Sent>,
    pub ended: Vec<(Timestamp, HostId, Op, bool)>,
    pub held: BTreeSet<HostId>,
    pub quarantined: bool,
    pub most_in_flight: usize,
    running: Vec<(Timestamp, CommandId, HostId, Op)>,
}

impl Play {
    pub fn new(hosts: Hosts, plan: Plan, outcomes: &[Outcome]) -> Self {
        let actor = Actor::Person("admin".into());
        let id = RolloutId::from_bytes([7; 16]);
        Self {
            rollout: Rollout::new(id, plan, actor, None, &hosts, START),
            hosts,
            outcomes: outcomes.to_vec(),
            rollbacks: Outcome::Ok,
            now: START,
            sent: Vec::new(),
            ended: Vec::new(),
            held: BTreeSet::new(),
            quarantined: false,
            most_in_flight: 0,
            running: Vec::new(),
        }
    }

    pub fn outcome(&self, host: &HostId, op: Op) -> Outcome {
        if op == Op::Rollback {
            return self.rollbacks;
        }
        if op != Op::Switch {
            return Outcome::Ok;
        }
        let index = self.hosts.all.keys().position(|own| own == host).unwrap();
        self.outcomes.get(index).copied().unwrap_or(Outcome::Ok)
    }

    pub fn take(&mut self, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Start {
                    host, op, command, ..
                } => {
                    let takes = match self.outcome(&host, op) {
                        Outcome::Ok => 60,
                        Outcome::Fail => 90,
                        Outcome::Timeout => 1800,
                        Outcome::Lost => 70,
                    };
                    let end = self.now + Duration::from_secs(takes);
                    self.running.push((end, command, host.clone(), op));
                    self.sent.push(Sent {
                        at: self.now,
                        host,
                        op,
                        command,
                    });
                }
                Act::Hold { host, .. } => {
                    self.held.insert(host.clone());
                    self.hosts.all.get_mut(&host).unwrap().flags.held = true;
                }
                Act::Quarantine { .. } => {
                    self.quarantined = true;
                    self.hosts.quarantined = true;
                }
                Act::Revert => {}
            }
        }
        self.most_in_flight = self.most_in_flight.max(self.running.len());
    }

    pub fn step(&mut self) {
        let acts = self.rollout.step(&self.hosts, self.now);
        self.take(acts);
    }

    /// The next thing that happens: commands end, or a moment comes. False if nothing does.
    pub fn advance(&mut self) -> bool {
        let end = self.running.iter().map(|(at, ..)| *at).min();
        let Some(next) = [end, self.rollout.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
        else {
            return false;
        };
        self.now = self.now.max(next);
        while let Some(index) = self.running.iter().position(|(at, ..)| *at <= self.now) {
            let (_, command, host, op) = self.running.remove(index);
            self.end(command, &host, op);
        }
        self.step();
        true
    }

    fn end(&mut self, command: CommandId, host: &HostId, op: Op) {
        let ended = match self.outcome(host, op) {
            Outcome::Ok => Ended::Good,
            Outcome::Fail => Ended::Failed("exit code 1".into()),
            Outcome::Timeout => Ended::Unknown("hard timeout".into()),
            Outcome::Lost => Ended::Unknown("never acknowledged".into()),
        };
        self.ended
            .push((self.now, host.clone(), op, ended == Ended::Good));
        let acts = self.rollout.ended(command, &ended, self.now);
        self.take(acts);
    }

    pub fn run(&mut self) {
        self.step();
        for _ in 0..400 {
            if self.rollout.state.is_terminal() {
                return;
            }
            assert!(self.advance(), "stuck: {:#?}", self.rollout);
        }
        panic!("does not end: {:#?}", self.rollout);
    }

    pub fn sent_to(&self, host: &HostId) -> usize {
        self.sent.iter().filter(|sent| sent.host == *host).count()
    }
}
