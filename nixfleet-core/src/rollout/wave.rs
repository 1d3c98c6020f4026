//! One wave: which of its hosts start what, and what follows from a failure.

use super::command_id;
use super::state::{HostStage, Rollout, Stop, Wait, WaitCode};
use super::step::Act;
use super::world::{May, World};
use crate::ids::HostId;
use crate::op::Op;
use crate::time::Timestamp;

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
    /// Looks at every host of the wave, those that have begun first; true if the rollout has to be
    /// looked at as a whole again.
    pub(super) fn start_wave(
        &mut self,
        world: &dyn World,
        now: Timestamp,
        acts: &mut Vec<Act>,
    ) -> bool {
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
}
