//! The fleet as rollouts see it: admission answers, with the rollout as the actor.

use super::queue::tests_failed;
use super::{Fleet, Host};
use crate::admission::{Refusal, admit};
use crate::compartment::{Compartment, Status};
use crate::host::{AgentProtocol, DeployOutcome, Presence, TestVerdict};
use crate::ids::{HostId, RolloutId};
use crate::lifecycle::{Command, Ending, Phase, Target};
use crate::op::{Op, OpClass};
use crate::rollout::{
    Ended, Health, May, Rollout, Standing, Wait, WaitCode, WayBack, World, refused, request_of,
};
use crate::window::ActionClass;

/// The fleet as one rollout sees it. The rollout itself may be outside of the fleet meanwhile.
pub(super) struct FleetWorld<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) id: RolloutId,
    pub(super) class: ActionClass,
    pub(super) active_since: crate::time::Timestamp,
}

impl<'a> FleetWorld<'a> {
    pub(super) fn new(fleet: &'a Fleet, rollout: &Rollout) -> Self {
        Self {
            fleet,
            id: rollout.id,
            class: rollout.plan.policy.class,
            active_since: rollout.active_since,
        }
    }

    fn host(&self, host: &HostId) -> Option<&'a Host> {
        self.fleet.hosts.get(host)
    }

    /// The rollout that keeps a host, if it is another one: the one that became active first.
    fn other(&self, host: &HostId) -> Option<RolloutId> {
        let earlier = |one: &&Rollout| {
            one.id != self.id
                && one.claims(host)
                && (one.active_since, one.id) < (self.active_since, self.id)
        };
        self.fleet.rollouts.values().find(earlier).map(|one| one.id)
    }

    /// An agent that cannot be told a commit pulls whatever the branch has become, which must not
    /// be mixed in (law D8).
    fn cannot_pin(&self, host: &Host, op: Op, target: Option<&Target>) -> bool {
        let pulls = matches!(op, Op::Pull | Op::PullSwitch);
        let existing = host.record.identity.protocol == AgentProtocol::Existing;
        let desired = self.desired().map(|desired| desired.commit);
        pulls && existing && desired.is_some() && target.map(|target| target.commit) != desired
    }

    /// Why nobody can tell what a host runs now. What was seen last proves something only of a host
    /// that is connected and idle, and only if it was told after the last start on it had ended.
    fn unproven(&self, host: &Host) -> Option<Wait> {
        match host.record.presence {
            Presence::Online => {}
            Presence::Offline { since } => {
                return Some(Wait::until(WaitCode::Offline, Some(since)));
            }
            Presence::NeverSeen => return Some(Wait::plain(WaitCode::Offline)),
        }
        let mut open = host
            .open
            .iter()
            .filter_map(|id| self.fleet.commands.get(id));
        let active = open.find(|command| command.phase.is_active());
        if let Some(op) = active.map(|command| command.op).or(host.agent_runs) {
            return Some(Wait::about(WaitCode::Busy, op.name()));
        }
        (!host.system_proven).then(|| Wait::plain(WaitCode::SystemNotSeen))
    }

    fn wait(&self, host: &Host, op: Op, refusal: &Refusal) -> May {
        let record = &host.record;
        let class = ActionClass::of(op, self.class);
        let opening = || self.fleet.opening(record, class, self.fleet.clock);
        refused(
            refusal,
            self.fleet.hold_on(record),
            record.presence,
            opening,
        )
    }
}

impl World for FleetWorld<'_> {
    fn may(&self, host: &HostId, op: Op, target: Option<&Target>, generation: Option<u64>) -> May {
        let Some(own) = self.host(host) else {
            return May::Never("the host was removed".to_owned());
        };
        if let Some(other) = self.other(host) {
            return May::Wait(Wait::about(WaitCode::OtherRollout, other.to_string()));
        }
        let request = request_of(self.id, host, op, target, generation);
        match self.fleet.admission_as(&request, self.class, admit) {
            Err(refusal) => self.wait(own, op, &refusal),
            Ok(_) if self.cannot_pin(own, op, target) => May::Never(
                "the branch has moved on, and this agent cannot pull an earlier commit".to_owned(),
            ),
            Ok(_) if op == Op::Switch => {
                let now = self.fleet.assess_against(own, target);
                if now.of(Compartment::System).base == Status::Ok {
                    May::Already
                } else {
                    May::Yes
                }
            }
            Ok(_) => May::Yes,
        }
    }

    fn tests_on(&self, host: &HostId) -> bool {
        let on =
            |host: &Host| host.record.tests_enabled && host.record.settings.tests_after_switch();
        self.host(host).is_some_and(on)
    }

    fn health(&self, host: &HostId, target: Option<&Target>, tested: bool) -> Health {
        let Some(host) = self.host(host) else {
            return Health::Bad("the host was removed".to_owned());
        };
        let record = &host.record;
        match record.deploy.outcome {
            DeployOutcome::Failed => return Health::Bad("its last deploy failed".to_owned()),
            DeployOutcome::Unknown => {
                return Health::Bad("the outcome of its last deploy is unknown".to_owned());
            }
            DeployOutcome::Never | DeployOutcome::Ok => {}
        }
        let failed = |tests: &crate::host::TestEvidence| tests.verdict == TestVerdict::Fail;
        if tested && record.tests.as_ref().is_some_and(failed) {
            return Health::Bad("its tests failed".to_owned());
        }
        if record.presence != Presence::Online {
            return Health::Gap("its agent is not connected".to_owned());
        }
        let now = self.fleet.assess_against(host, target);
        if now.of(Compartment::System).base != Status::Ok {
            return Health::Gap("it is not seen to run the target".to_owned());
        }
        if tested && now.of(Compartment::Tests).base != Status::Ok {
            return Health::Gap("its tests have not passed on the target".to_owned());
        }
        Health::Good
    }

    fn standing(&self, host: &HostId) -> Standing {
        self.host(host).map(standing).unwrap_or_default()
    }

    fn way_back(&self, host: &HostId, before: &Standing) -> WayBack {
        let Some(host) = self.host(host) else {
            return WayBack::Impossible("the host was removed");
        };
        if before.path.is_none() && before.generation.is_none() {
            return WayBack::Impossible("what it ran before is not known");
        }
        if let Some(wait) = self.unproven(host) {
            return WayBack::Unproven(wait);
        }
        let now = standing(host);
        let is_before = |one: &crate::host::Generation| {
            let number = before.generation.is_none_or(|number| number == one.number);
            let path = match (&before.path, &one.path) {
                (Some(before), Some(own)) => before == own,
                (Some(_), None) | (None, Some(_)) => before.generation.is_some(),
                (None, None) => true,
            };
            number && path
        };
        let same_path = before.path.is_some() && before.path == now.path;
        let same_number = before.generation.is_some() && before.generation == now.generation;
        // A switch that failed before it activated anything may have set the profile: the next boot
        // would start what is to be left.
        let system = host.record.observation.system.as_ref();
        let profile_moved = system.is_some_and(|system| {
            system.profile_leads_away_from(before.path.as_ref())
                && before.profile.is_some()
                && system.profile_path != before.profile
        });
        if (same_path && !profile_moved) || (before.path.is_none() && same_number) {
            return WayBack::NotNeeded;
        }
        let mut listed = host.record.observation.generations.iter();
        match listed.find(|one| is_before(one) && (profile_moved || !one.current)) {
            Some(one) => WayBack::Generation(one.number),
            None => WayBack::Impossible("it does not list what it ran before any more"),
        }
    }

    fn desired(&self) -> Option<Target> {
        Target::desired(&self.fleet.desired.remote).filter(|target| target.lock.is_some())
    }

    fn shows(&self, target: &Target) -> bool {
        self.fleet.is_shown(target)
    }
}

fn standing(host: &Host) -> Standing {
    let seen = &host.record.observation;
    let system = seen.system.as_ref();
    let current = seen.generations.iter().find(|one| one.current);
    let number = system.and_then(|system| system.profile_number);
    Standing {
        path: system.and_then(|system| system.path.clone()),
        generation: number.or(current.map(|one| one.number)),
        profile: system.and_then(|system| system.profile_path.clone()),
    }
}

/// How a command ended, for the rollout it belongs to. An agent that is the old one after a switch
/// is no failure where a restart follows.
pub(super) fn ended(command: &Command, restarts_later: bool) -> Ended {
    let told = command.ending_text().unwrap_or_default();
    match (command.phase, &command.ending) {
        (Phase::Success, _) if tests_failed(command) => Ended::Failed("tests failed".to_owned()),
        (Phase::Success, _) => Ended::Good,
        // It is back on what it ran, whatever its units or its agent do there.
        (Phase::Degraded | Phase::StaleBinary | Phase::Suspicious, _)
            if command.op == Op::Rollback =>
        {
            Ended::Good
        }
        (Phase::StaleBinary, _) if restarts_later && command.op.spec().class == OpClass::Deploy => {
            Ended::Good
        }
        (_, Some(Ending::OutcomeUnknown(_) | Ending::Unverified(_) | Ending::NeverReturned)) => {
            Ended::Unknown(told)
        }
        (Phase::Skipped, Some(Ending::StoppedTracking)) => Ended::Unknown(told),
        (_, _) => Ended::Failed(told),
    }
}
