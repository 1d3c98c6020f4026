//! Going back: each host at most once, to what it ran before (laws D13 and D14).

use super::state::{HostStage, RolledBack, Rollout, RolloutState, Wait};
use super::step::Act;
use super::world::{Ended, May, WayBack, World};
use super::{HostRun, RollBack, command_id};
use crate::ids::HostId;
use crate::op::Op;
use crate::time::Timestamp;

/// The name of the step in the ids of commands.
const STEP: &str = "rollback";

/// How many hosts the message of a halted rollout names.
const NAMED: usize = 10;

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
            if wanted && run.can_go_back() {
                run.rolled_back = Some(RolledBack::Pending);
                run.since = now;
                run.held_up_since = None;
                run.wait = None;
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

    /// A person has rolled a host back that was done: it does not run the target any more.
    pub fn was_rolled_back(&mut self, host: &HostId) {
        if let Some(run) = self.hosts.get_mut(host)
            && run.state == HostStage::Done
            && run.rolled_back.is_none()
        {
            run.rolled_back = Some(RolledBack::Done);
        }
    }

    /// Whether a host could be brought back that was not yet.
    #[must_use]
    pub fn can_roll_back(&self) -> bool {
        self.hosts.values().any(HostRun::can_go_back)
    }

    /// No automation deploys the target again, whatever becomes of the rollbacks: also where every
    /// host is lost, or turns out not to need one.
    pub(super) fn quarantine_target(&mut self, acts: &mut Vec<Act>) {
        if !self.quarantined {
            self.quarantined = true;
            acts.push(Act::Quarantine { why: self.why() });
        }
    }

    pub(super) fn step_back(
        &mut self,
        world: &dyn World,
        now: Timestamp,
        acts: &mut Vec<Act>,
    ) -> bool {
        self.quarantine_target(acts);
        let pending = |run: &HostRun| run.rolled_back == Some(RolledBack::Pending);
        let hosts = self.hosts.iter().filter(|(_, run)| pending(run));
        let hosts: Vec<HostId> = hosts.map(|(host, _)| host.clone()).collect();
        // One that was tried and failed stops the others: something is wrong that a person has to
        // see. That a host cannot be tried says nothing about them.
        let failed = self.a_rollback_failed();
        for host in &hosts {
            if failed {
                self.set_back(host, RolledBack::Abandoned, now);
            } else {
                self.bring_back(host, world, now, acts);
            }
        }
        if self.hosts.values().any(pending) || self.in_flight() > 0 {
            return false;
        }
        let end = self.after.take().unwrap_or(RolloutState::Failed);
        let end = match self.not_brought_back() {
            Some(who) => {
                self.message = Some(who);
                RolloutState::Halted
            }
            None => end,
        };
        self.set_state(end, now);
        self.due = None;
        false
    }

    /// Whether one failed since hosts are being brought back; earlier ones a person has seen.
    fn a_rollback_failed(&self) -> bool {
        let failed = |run: &HostRun| {
            matches!(run.rolled_back, Some(RolledBack::Failed(_))) && run.since >= self.since
        };
        self.hosts.values().any(failed)
    }

    /// The hosts that may still run the target although they were to go back, and why.
    fn not_brought_back(&self) -> Option<String> {
        let mut told: Vec<String> = Vec::new();
        for (host, run) in &self.hosts {
            if let Some(why) = run.rolled_back.as_ref().and_then(RolledBack::why_not_back) {
                told.push(format!("{host} ({why})"));
            }
        }
        let more = told.len().saturating_sub(NAMED);
        told.truncate(NAMED);
        let text = format!("not brought back: {}", told.join(", "));
        match (told.is_empty(), more) {
            (true, _) => None,
            (false, 0) => Some(text),
            (false, more) => Some(format!("{text}, and {more} more")),
        }
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
                return self.set_back(host, RolledBack::NotPossible(why.to_owned()), now);
            }
            WayBack::Unproven(wait) => {
                if let Some(why) = self.wait_to_go_back(host, wait, now) {
                    let why = format!("what it runs could not be proven: {why}");
                    self.set_back(host, RolledBack::Unproven(why), now);
                }
                return;
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
                acts.push(Act::Start {
                    host: host.clone(),
                    op: Op::Rollback,
                    command,
                    generation: Some(generation),
                });
            }
            // Said of evidence that has just been found fresh.
            May::Already => self.set_back(host, RolledBack::NotNeeded, now),
            May::Never(why) => self.set_back(host, RolledBack::NotPossible(why), now),
            // Who holds a host wants it left alone, and the others must not wait for that to end.
            May::Wait(wait) if wait.code == super::WaitCode::Held => {
                let by = wait.subject.map(|by| format!(" ({by})"));
                let why = format!("it is held{}", by.unwrap_or_default());
                self.set_back(host, RolledBack::NotPossible(why), now);
            }
            May::Wait(wait) => {
                if let Some(why) = self.wait_to_go_back(host, wait, now) {
                    self.set_back(host, RolledBack::NotPossible(why), now);
                }
            }
        }
    }

    /// Notes why a host waits. What it waited for, if it was for too long; its disposition was
    /// settled before, so only the way back is given up.
    fn wait_to_go_back(&mut self, host: &HostId, wait: Wait, now: Timestamp) -> Option<String> {
        let run = self.hosts.get(host)?;
        let (state, message) = (run.state, run.message.clone());
        if !self.wait(host, wait, now) {
            return None;
        }
        let run = self.hosts.get_mut(host)?;
        run.state = state;
        std::mem::replace(&mut run.message, message)
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
