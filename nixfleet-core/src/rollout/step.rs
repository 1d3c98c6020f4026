//! The machine: what may start now, and why everything else waits.

use super::state::{HostStage, Rollout, RolloutState, Soak, Stop, Wait, WaitCode};
use super::table::{HOST_PATIENCE, PAUSE_BOUND, RECONNECT_BOUND, SOAK_GAP_BOUND};
use super::world::{Ended, Health, May, World};
use super::{Offline, RollBack, RolledBack, command_id};
use crate::ids::{CommandId, HostId};
use crate::op::Op;
use crate::time::Timestamp;
use std::time::Duration;

/// Something that the machine wants done. Whatever it wants is already noted in the rollout, so
/// both have to be stored together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Start a command; [`World::may`] has just said yes.
    Start {
        /// On which host.
        host: HostId,
        /// What.
        op: Op,
        /// Under which id.
        command: CommandId,
        /// The generation to go back to, for a rollback.
        generation: Option<u64>,
    },
    /// Keep automation away from a host.
    Hold {
        /// The host.
        host: HostId,
        /// Why.
        why: String,
    },
    /// Keep automation from deploying the target again.
    Quarantine {
        /// Why.
        why: String,
    },
    /// Revert the update in the repository.
    Revert,
}

/// What became of looking at one host.
enum Look {
    /// It waits, runs or is through; nothing else changed.
    Nothing,
    /// It got on without a command: others may have to be looked at again.
    Moved,
    /// It failed: nothing else may start before that is weighed.
    Failed,
}

impl Rollout {
    /// Looks at everything again: what may start, starts; what does not, says why. Harmless when
    /// nothing has changed. Call it whenever something about its hosts changed, and when it is due.
    pub fn step(&mut self, world: &dyn World, now: Timestamp) -> Vec<Act> {
        let mut acts = Vec::new();
        self.due = None;
        loop {
            let again = match self.state {
                RolloutState::Complete
                | RolloutState::Partial
                | RolloutState::Failed
                | RolloutState::Halted
                | RolloutState::Cancelled
                | RolloutState::Superseded => false,
                RolloutState::RollingBack => self.step_back(world, now, &mut acts),
                RolloutState::Running | RolloutState::Paused | RolloutState::AwaitingApproval
                    if self.stop.is_some() =>
                {
                    self.wind_up(now, &mut acts)
                }
                RolloutState::Running => self.run(world, now, &mut acts),
                RolloutState::Paused => self.idle(WaitCode::Paused, world, now),
                RolloutState::AwaitingApproval => self.idle(WaitCode::AwaitingApproval, world, now),
            };
            if !again {
                return acts;
            }
        }
    }

    /// A command of this rollout ended. Call [`Rollout::step`] next.
    pub fn ended(&mut self, command: CommandId, ended: &Ended, now: Timestamp) -> Vec<Act> {
        let Some(host) = self.host_of(command).cloned() else {
            return Vec::new();
        };
        let back = RolledBack::Running(command);
        if self
            .hosts
            .get(&host)
            .is_some_and(|run| run.rolled_back.as_ref() == Some(&back))
        {
            return self.back_ended(&host, ended, now);
        }
        let ops = self.plan.ops.len();
        let Some(run) = self.hosts.get_mut(&host) else {
            return Vec::new();
        };
        match ended {
            Ended::Good => {
                if let Some(time) = self.times.get_mut(run.stage) {
                    let took = now.since(run.since).as_millis();
                    time.count = time.count.saturating_add(1);
                    time.millis = time.millis.saturating_add(u64::try_from(took).unwrap_or(0));
                }
                run.stage += 1;
                run.attempt = 0;
                run.since = now;
                run.state = if run.stage >= ops {
                    HostStage::Done
                } else {
                    HostStage::Waiting
                };
            }
            Ended::Failed(why) => self.fail(&host, why.clone(), now),
            Ended::Unknown(why) => self.fail(&host, format!("outcome unknown: {why}"), now),
        }
        Vec::new()
    }

    /// Starts what may start in the present wave; goes on to the next one when it is done.
    fn run(&mut self, world: &dyn World, now: Timestamp, acts: &mut Vec<Act>) -> bool {
        if self.stopped_by_the_target(world, now) {
            return self.stop.is_some();
        }
        if self.wave_done() {
            return self.next_wave(world, now);
        }
        if self.start_wave(world, now, acts) {
            return true;
        }
        self.mark_later_waves(Wait::plain(WaitCode::PreviousWave), now);
        false
    }

    /// Before anything starts, the desired-state source must have shown the target once.
    fn stopped_by_the_target(&mut self, world: &dyn World, now: Timestamp) -> bool {
        let Some(target) = self.target.filter(|_| !self.visible) else {
            return false;
        };
        if world.shows(&target) {
            self.visible = true;
            return false;
        }
        let deadline = self.visible_by;
        if now >= deadline {
            self.halt(
                Stop::NotVisible,
                "the desired-state source did not show the target in time; one without history (a \
                 page) shows its newest commit alone: roll out what it shows, or set NIXFLEET_REPO",
            );
            return true;
        }
        self.wake_at(deadline);
        self.mark_all(
            &Wait::until(WaitCode::DesiredNotVisible, Some(deadline)),
            now,
        );
        true
    }

    fn wave_done(&self) -> bool {
        let hosts = self
            .plan
            .waves
            .get(self.wave)
            .map(|wave| wave.hosts.as_slice());
        let done = |host: &HostId| self.hosts.get(host).is_none_or(|run| run.state.is_final());
        hosts.unwrap_or_default().iter().all(done)
    }

    fn next_wave(&mut self, world: &dyn World, now: Timestamp) -> bool {
        if self.superseded_by.is_some() {
            self.halt(
                Stop::Superseded,
                "a rollout of another target took its place",
            );
            return true;
        }
        if self.in_canary_wave() && !self.soaked {
            return self.soak(world, now);
        }
        let next = self.wave + 1;
        if next >= self.plan.waves.len() {
            self.finish(now);
            return true;
        }
        if self.plan.policy.approve_waves && self.approved < next {
            self.set_state(RolloutState::AwaitingApproval, now);
            return true;
        }
        self.wave = next;
        true
    }

    /// Law D2: nobody else starts before every canary has succeeded, and has shown good evidence
    /// without a gap for the whole soak.
    fn soak(&mut self, world: &dyn World, now: Timestamp) -> bool {
        let canaries = self
            .plan
            .waves
            .get(self.wave)
            .map(|wave| wave.hosts.clone());
        let canaries = canaries.unwrap_or_default();
        let done = |host: &HostId| {
            self.hosts
                .get(host)
                .is_some_and(|run| run.state == HostStage::Done)
        };
        if !canaries.iter().all(done) {
            self.halt(Stop::CanaryFailed, "a canary did not succeed");
            return true;
        }
        let length = Duration::from_secs(self.plan.policy.soak_seconds);
        let mut soak = self.soak.take().unwrap_or(Soak {
            began: now,
            good_since: None,
            gap: None,
        });
        let tests = self.plan.ops.contains(&Op::Test);
        let mut gap = None;
        for host in &canaries {
            let tested = tests && world.tests_on(host);
            match world.health(host, self.target.as_ref(), tested) {
                Health::Good => {}
                Health::Gap(why) => gap = Some(format!("{host}: {why}")),
                Health::Bad(why) => {
                    let why = format!("canary {host} shows bad evidence: {why}");
                    if let Some(run) = self.hosts.get_mut(host) {
                        run.state = HostStage::Failed;
                        run.message = Some(why.clone());
                    }
                    self.halt(Stop::CanaryFailed, &why);
                    return true;
                }
            }
        }
        match gap {
            Some(why) => {
                soak.good_since = None;
                soak.gap = Some(why);
            }
            None => soak.good_since = soak.good_since.or(Some(now)),
        }
        let end = soak.good_since.map(|since| since + length);
        if end.is_some_and(|end| now >= end) {
            self.soaked = true;
            return true;
        }
        let last = soak.began + length + SOAK_GAP_BOUND;
        if now >= last {
            self.halt(
                Stop::CanaryFailed,
                "the canaries did not show good evidence without a gap",
            );
            return true;
        }
        self.wake_at(end.unwrap_or(last).min(last));
        let wait = Wait {
            code: WaitCode::Soaking,
            subject: soak.gap.clone().filter(|_| end.is_none()),
            until: end,
        };
        self.soak = Some(soak);
        self.mark_later_waves(wait, now);
        false
    }

    /// Looks at every host of the wave, those that have begun first; true if the rollout has to be
    /// looked at as a whole again.
    fn start_wave(&mut self, world: &dyn World, now: Timestamp, acts: &mut Vec<Act>) -> bool {
        let hosts = self
            .plan
            .waves
            .get(self.wave)
            .map(|wave| wave.hosts.clone());
        let hosts = hosts.unwrap_or_default();
        let mut moved = false;
        for begun in [true, false] {
            for host in &hosts {
                let turn = self
                    .hosts
                    .get(host)
                    .is_some_and(|run| run.state == HostStage::Waiting && (run.stage > 0) == begun);
                if !turn {
                    continue;
                }
                match self.look_at(host, &hosts, world, now, acts) {
                    Look::Nothing => {}
                    Look::Moved => moved = true,
                    Look::Failed => return true,
                }
            }
        }
        moved || self.wave_done()
    }

    fn look_at(
        &mut self,
        host: &HostId,
        wave: &[HostId],
        world: &dyn World,
        now: Timestamp,
        acts: &mut Vec<Act>,
    ) -> Look {
        let mut moved = false;
        loop {
            let Some(run) = self.hosts.get(host) else {
                return Look::Nothing;
            };
            let Some(op) = self.op_of(run) else {
                if let Some(run) = self.hosts.get_mut(host) {
                    run.state = HostStage::Done;
                    run.wait = None;
                }
                return Look::Moved;
            };
            let stage = run.stage;
            if self.plan.policy.barrier && self.somebody_is_before(wave, stage) {
                self.wait(host, Wait::plain(WaitCode::PreviousStage), now);
                return if moved { Look::Moved } else { Look::Nothing };
            }
            if !self.is_meant(host, wave, op, world) {
                self.pass(host);
                moved = true;
                continue;
            }
            if stage > 0 && self.target.is_none() && !self.pin(world) {
                let expired = self.wait(host, Wait::plain(WaitCode::DesiredNotVisible), now);
                return if expired { Look::Failed } else { Look::Nothing };
            }
            match world.may(host, op, self.target.as_ref(), None) {
                May::Already => {
                    self.pass(host);
                    moved = true;
                }
                May::Never(why) => {
                    self.fail(host, why, now);
                    return Look::Failed;
                }
                May::Wait(wait) => {
                    let expired = self.wait(host, wait, now);
                    return if expired || moved {
                        Look::Moved
                    } else {
                        Look::Nothing
                    };
                }
                May::Yes if self.is_full() => {
                    self.wait(host, Wait::plain(WaitCode::BudgetFull), now);
                    return if moved { Look::Moved } else { Look::Nothing };
                }
                May::Yes => {
                    self.start(host, op, world, now, acts);
                    return if moved { Look::Moved } else { Look::Nothing };
                }
            }
        }
    }

    /// Law D5.
    pub(super) fn is_full(&self) -> bool {
        self.in_flight() >= self.plan.policy.max_in_flight.limit(self.hosts.len())
    }

    fn somebody_is_before(&self, wave: &[HostId], stage: usize) -> bool {
        wave.iter().any(|host| {
            let run = self.hosts.get(host);
            run.is_some_and(|run| !run.state.is_final() && run.stage < stage)
        })
    }

    /// Tests run where they are on; the inputs are updated on one host, the first one.
    fn is_meant(&self, host: &HostId, wave: &[HostId], op: Op, world: &dyn World) -> bool {
        if op == Op::UpdateInputs {
            return wave.first() == Some(host);
        }
        op != Op::Test || world.tests_on(host)
    }

    /// A pipeline that made its own target takes what the desired state has become, once.
    fn pin(&mut self, world: &dyn World) -> bool {
        let new = world
            .desired()
            .filter(|desired| Some(desired.commit) != self.base);
        self.target = new.filter(|desired| desired.lock.is_some());
        self.visible = self.target.is_some();
        self.visible
    }

    fn pass(&mut self, host: &HostId) {
        if let Some(run) = self.hosts.get_mut(host) {
            run.stage += 1;
            run.attempt = 0;
        }
    }

    fn start(
        &mut self,
        host: &HostId,
        op: Op,
        world: &dyn World,
        now: Timestamp,
        acts: &mut Vec<Act>,
    ) {
        let id = self.id;
        let Some(run) = self.hosts.get_mut(host) else {
            return;
        };
        let step = format!("{} {}", run.stage, op.name());
        let command = command_id(id, host, &step, run.attempt, now);
        if op.is_deploy() && run.before.is_none() {
            run.before = Some(world.standing(host));
        }
        run.state = HostStage::Running;
        run.held_up_since = None;
        run.command = Some(command);
        run.since = now;
        run.wait = None;
        run.message = None;
        acts.push(Act::Start {
            host: host.clone(),
            op,
            command,
            generation: None,
        });
    }

    pub(super) fn fail(&mut self, host: &HostId, why: String, now: Timestamp) {
        let Some(run) = self.hosts.get_mut(host) else {
            return;
        };
        run.state = HostStage::Failed;
        run.since = now;
        run.wait = None;
        let text = format!("{host}: {why}");
        run.message = Some(why);
        let makes_the_target = self.plan.ops.get(run.stage) == Some(&Op::UpdateInputs);
        let canary = self
            .plan
            .waves
            .get(run.wave)
            .is_some_and(|wave| wave.canary);
        if canary {
            self.halt(Stop::CanaryFailed, &format!("canary {text}"));
        } else if makes_the_target || self.failures() >= self.plan.policy.on_failure.limit() {
            self.halt(Stop::Failures, &text);
        }
    }

    /// How many hosts have failed (law D4).
    pub(super) fn failures(&self) -> u32 {
        u32::try_from(self.count(HostStage::Failed)).unwrap_or(u32::MAX)
    }

    /// Nothing starts any more. The first reason stays, unless a canary gives a stronger one.
    pub(super) fn halt(&mut self, stop: Stop, why: &str) {
        if self.stop.is_none() || (stop == Stop::CanaryFailed && self.stop != Some(stop)) {
            self.stop = Some(stop);
            self.message = Some(why.to_owned());
        }
    }

    /// Notes why a host waits. True if it has waited for that for too long, and is left out.
    pub(super) fn wait(&mut self, host: &HostId, wait: Wait, now: Timestamp) -> bool {
        let offline = self.plan.policy.offline;
        let Some(run) = self.hosts.get_mut(host) else {
            return false;
        };
        if run.wait.as_ref().map(|old| old.code) != Some(wait.code) {
            run.since = now;
        }
        let bound = match (wait.code, offline) {
            (WaitCode::Offline, Offline::Skip) => Some(run.since + RECONNECT_BOUND),
            (WaitCode::Offline, Offline::QueueUntil(until)) => {
                Some(until.max(run.since + RECONNECT_BOUND))
            }
            (code, _) => code.row().bound.map(|bound| run.since + bound),
        };
        // Reasons that take turns must not keep a rollout open for ever (law D18).
        let bound = bound.map(|bound| {
            let patience = *run.held_up_since.get_or_insert(now) + HOST_PATIENCE;
            match offline {
                Offline::QueueUntil(until) => bound.min(patience.max(until)),
                Offline::Skip | Offline::Wait => bound.min(patience),
            }
        });
        let opens = match wait.code {
            WaitCode::OutsideWindow | WaitCode::Held => wait.until,
            WaitCode::PreviousWave
            | WaitCode::PreviousStage
            | WaitCode::Soaking
            | WaitCode::Offline
            | WaitCode::Busy
            | WaitCode::BudgetFull
            | WaitCode::Paused
            | WaitCode::AwaitingApproval
            | WaitCode::Quarantined
            | WaitCode::DesiredNotVisible
            | WaitCode::RemoteUnreadable
            | WaitCode::CheckoutNotReady
            | WaitCode::OtherRollout
            | WaitCode::Stopping => None,
        };
        if bound.is_some_and(|bound| now >= bound) {
            let subject = wait.subject.as_ref().map(|about| format!(": {about}"));
            let meaning = wait.code.row().meaning;
            run.message = Some(format!(
                "waited too long, {meaning}{}",
                subject.unwrap_or_default()
            ));
            run.state = HostStage::Skipped;
            run.wait = None;
            run.since = now;
            if wait.code == WaitCode::DesiredNotVisible {
                self.halt(
                    Stop::NotVisible,
                    "the desired state did not move after its inputs were updated",
                );
            }
            return true;
        }
        run.wait = Some(wait);
        for at in [bound, opens].into_iter().flatten().filter(|at| *at > now) {
            self.wake_at(at);
        }
        false
    }

    fn mark(&mut self, wait: &Wait, now: Timestamp, also: impl Fn(usize) -> bool) {
        for run in self.hosts.values_mut() {
            if run.state == HostStage::Waiting && also(run.wave) && run.wait.as_ref() != Some(wait)
            {
                run.since = now;
                run.wait = Some(wait.clone());
            }
        }
    }

    fn mark_all(&mut self, wait: &Wait, now: Timestamp) {
        self.mark(wait, now, |_| true);
    }

    fn mark_later_waves(&mut self, wait: Wait, now: Timestamp) {
        let wave = self.wave;
        self.mark(&wait, now, |other| other > wave);
    }

    /// Paused, or before a wave: nothing starts, a person is waited for, within a bound.
    fn idle(&mut self, code: WaitCode, world: &dyn World, now: Timestamp) -> bool {
        if self.superseded_by.is_some() && self.in_flight() == 0 {
            self.halt(
                Stop::Superseded,
                "a rollout of another target took its place",
            );
            return true;
        }
        let bound = self.since + PAUSE_BOUND;
        if now >= bound {
            self.halt(Stop::Cancelled, "nobody went on with it for a week");
            return true;
        }
        self.mark_all(&Wait::until(code, Some(bound)), now);
        // The evidence of the canaries is looked at all the while.
        if self.in_canary_wave() && !self.soaked && self.wave_done() && self.soak.is_some() {
            let advanced = self.soak(world, now);
            self.mark_all(&Wait::until(code, Some(bound)), now);
            if advanced && self.stop.is_some() {
                return true;
            }
        }
        self.wake_at(bound);
        false
    }

    /// Stopped: what runs ends, then everything that never started is put down as such.
    fn wind_up(&mut self, now: Timestamp, acts: &mut Vec<Act>) -> bool {
        let Some(stop) = self.stop else { return false };
        if self.in_flight() > 0 {
            self.mark_all(&Wait::plain(WaitCode::Stopping), now);
            return false;
        }
        let why = self.message.as_deref().unwrap_or("it was stopped");
        let no_turn = format!("the rollout ended before its turn: {why}");
        for run in self.hosts.values_mut() {
            if run.state == HostStage::Waiting {
                run.state = HostStage::Cancelled;
                run.message = Some(no_turn.clone());
                run.wait = None;
                run.since = now;
            }
        }
        self.soak = None;
        let end = match stop {
            Stop::Failures | Stop::NotVisible | Stop::RollBack => RolloutState::Failed,
            Stop::CanaryFailed => RolloutState::Halted,
            Stop::Cancelled => RolloutState::Cancelled,
            Stop::Superseded => RolloutState::Superseded,
        };
        let policy = match stop {
            Stop::Failures | Stop::CanaryFailed => self.plan.policy.roll_back,
            Stop::RollBack => RollBack::AllHosts,
            Stop::Cancelled | Stop::Superseded | Stop::NotVisible => RollBack::None,
        };
        if policy == RollBack::AllHostsAndRevert && !self.revert_wanted {
            self.revert_wanted = true;
            acts.push(Act::Revert);
        }
        self.end_or_roll_back(end, policy, now)
    }

    /// Every wave is through.
    fn finish(&mut self, now: Timestamp) {
        let purpose = |skipped: &super::SkippedHost| skipped.reason.on_purpose();
        let whole = self.plan.skipped.iter().all(purpose);
        let done = self.count(HostStage::Done);
        let end = if done == self.hosts.len() && whole {
            RolloutState::Complete
        } else if done == 0 {
            RolloutState::Failed
        } else {
            RolloutState::Partial
        };
        // What the policy puts up with is not brought back everywhere.
        let policy = match self.plan.policy.roll_back {
            RollBack::None => RollBack::None,
            RollBack::FailedHosts | RollBack::AllHosts | RollBack::AllHostsAndRevert => {
                RollBack::FailedHosts
            }
        };
        self.end_or_roll_back(end, policy, now);
    }
}
