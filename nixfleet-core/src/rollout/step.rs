//! The machine: what may start now, and why everything else waits.

use super::RolledBack;
use super::state::{HostStage, Rollout, RolloutState, Stop, Wait, WaitCode};
use super::world::{Ended, World};
use crate::ids::{CommandId, HostId};
use crate::op::Op;
use crate::time::Timestamp;

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
        if self.canary_turned_bad(world) {
            return true;
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

    pub(super) fn wave_done(&self) -> bool {
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
}
