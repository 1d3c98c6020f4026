//! Going back: each host at most once, to what it ran before (laws D13 and D14).

use super::state::{HostStage, RolledBack, Rollout, RolloutState, Wait};
use super::step::Act;
use super::world::{Ended, May, WayBack, World};
use super::{RollBack, command_id};
use crate::ids::HostId;
use crate::op::Op;
use crate::time::Timestamp;

/// The name of the step in the ids of commands.
const STEP: &str = "rollback";

impl Rollout {
    /// Ends, or brings hosts back first. True: look at it again.
    pub(super) fn end_or_roll_back(
        &mut self,
        end: RolloutState,
        policy: RollBack,
        now: Timestamp,
    ) -> bool {
        let mut any = false;
        for run in self.hosts.values_mut() {
            let wanted = match policy {
                RollBack::None => false,
                RollBack::FailedHosts => run.state == HostStage::Failed,
                RollBack::AllHosts | RollBack::AllHostsAndRevert => true,
            };
            if wanted && run.before.is_some() && run.rolled_back.is_none() {
                run.rolled_back = Some(RolledBack::Pending);
                run.since = now;
                any = true;
            }
        }
        if any {
            self.after = Some(end);
            self.set_state(RolloutState::RollingBack, now);
        } else {
            self.set_state(end, now);
            self.due = None;
        }
        any
    }

    /// Whether a host could be brought back that was not yet.
    #[must_use]
    pub fn can_roll_back(&self) -> bool {
        let able = |run: &super::HostRun| run.before.is_some() && run.rolled_back.is_none();
        self.hosts.values().any(able)
    }

    pub(super) fn step_back(
        &mut self,
        world: &dyn World,
        now: Timestamp,
        acts: &mut Vec<Act>,
    ) -> bool {
        let pending = |run: &super::HostRun| run.rolled_back == Some(RolledBack::Pending);
        let hosts = self.hosts.iter().filter(|(_, run)| pending(run));
        let hosts: Vec<HostId> = hosts.map(|(host, _)| host.clone()).collect();
        for host in &hosts {
            // A failed one stops the others: something is wrong that a person has to see.
            if self.a_rollback_failed() {
                self.set_back(host, RolledBack::Abandoned, now);
            } else {
                self.bring_back(host, world, now, acts);
            }
        }
        if self.hosts.values().any(pending) || self.in_flight() > 0 {
            // One that failed at once gives up those that were looked at before it.
            return self.a_rollback_failed() && self.hosts.values().any(pending);
        }
        let end = self.after.take().unwrap_or(RolloutState::Failed);
        let end = if self.a_rollback_failed() {
            self.message = Some("a rollback failed".to_owned());
            RolloutState::Halted
        } else {
            end
        };
        self.set_state(end, now);
        self.due = None;
        false
    }

    fn a_rollback_failed(&self) -> bool {
        let failed = |run: &super::HostRun| matches!(run.rolled_back, Some(RolledBack::Failed(_)));
        self.hosts.values().any(failed)
    }

    fn bring_back(
        &mut self,
        host: &HostId,
        world: &dyn World,
        now: Timestamp,
        acts: &mut Vec<Act>,
    ) {
        let before = self.hosts.get(host).and_then(|run| run.before.clone());
        let before = before.unwrap_or_default();
        let generation = match world.way_back(host, &before) {
            WayBack::NotNeeded => return self.set_back(host, RolledBack::NotNeeded, now),
            WayBack::Impossible(why) => {
                return self.set_back(host, RolledBack::Failed(why.to_owned()), now);
            }
            WayBack::Generation(generation) => generation,
        };
        match world.may(host, Op::Rollback, self.target.as_ref(), Some(generation)) {
            May::Yes if self.is_full() => {
                self.wait(host, Wait::plain(super::WaitCode::BudgetFull), now);
            }
            May::Yes => {
                let command = command_id(self.id, host, STEP, 0, now);
                self.set_back(host, RolledBack::Running(command), now);
                if !acts.iter().any(|act| matches!(act, Act::Quarantine { .. })) {
                    acts.push(Act::Quarantine { why: self.why() });
                }
                acts.push(Act::Start {
                    host: host.clone(),
                    op: Op::Rollback,
                    command,
                    generation: Some(generation),
                });
            }
            May::Already => self.set_back(host, RolledBack::NotNeeded, now),
            May::Never(why) => self.set_back(host, RolledBack::Failed(why), now),
            May::Wait(wait) => {
                let state = self.hosts.get(host).map(|run| run.state);
                let message = self.hosts.get(host).and_then(|run| run.message.clone());
                if self.wait(host, wait, now) {
                    // Its disposition was settled before; only the way back is given up.
                    let why = self.hosts.get(host).and_then(|run| run.message.clone());
                    if let (Some(run), Some(state)) = (self.hosts.get_mut(host), state) {
                        run.state = state;
                        run.message = message;
                    }
                    let why = why.unwrap_or_default();
                    self.set_back(host, RolledBack::Failed(why), now);
                }
            }
        }
    }

    fn set_back(&mut self, host: &HostId, back: RolledBack, now: Timestamp) {
        if let Some(run) = self.hosts.get_mut(host) {
            if let RolledBack::Running(command) = back {
                run.command = Some(command);
            }
            run.rolled_back = Some(back);
            run.wait = None;
            run.since = now;
        }
    }

    pub(super) fn back_ended(&mut self, host: &HostId, ended: &Ended, now: Timestamp) -> Vec<Act> {
        match ended {
            Ended::Good => {
                self.set_back(host, RolledBack::Done, now);
                vec![Act::Hold {
                    host: host.clone(),
                    why: self.why(),
                }]
            }
            Ended::Failed(why) => {
                self.set_back(host, RolledBack::Failed(why.clone()), now);
                Vec::new()
            }
            Ended::Unknown(why) => {
                let why = format!("outcome unknown: {why}");
                self.set_back(host, RolledBack::Failed(why), now);
                Vec::new()
            }
        }
    }

    fn why(&self) -> String {
        let target = self.target.map(|target| target.commit.short());
        let target = target.unwrap_or_default();
        match &self.message {
            Some(message) => format!("rolled back from {target}: {message}"),
            None => format!("rolled back from {target}"),
        }
    }
}
