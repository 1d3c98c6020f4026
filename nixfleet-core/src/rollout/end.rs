//! How a rollout stops and ends.

use super::RollBack;
use super::state::{HostStage, Rollout, RolloutState, Stop, Wait, WaitCode};
use super::step::Act;
use crate::time::Timestamp;

impl Rollout {
    /// Nothing starts any more. The first reason stays, unless a canary gives a stronger one.
    pub(super) fn halt(&mut self, stop: Stop, why: &str) {
        if self.stop.is_none() || (stop == Stop::CanaryFailed && self.stop != Some(stop)) {
            self.stop = Some(stop);
            self.message = Some(why.to_owned());
        }
    }

    /// Stopped: what runs ends, then everything that never started is put down as such.
    pub(super) fn wind_up(&mut self, now: Timestamp, acts: &mut Vec<Act>) -> bool {
        let Some(stop) = self.stop else { return false };
        if self.back_wanted && self.can_roll_back() {
            self.quarantine_target(acts);
        }
        if self.in_flight() > 0 {
            self.mark_all(&Wait::plain(WaitCode::Stopping), now);
            return false;
        }
        let why = self.message.as_deref().unwrap_or("it was stopped");
        for run in self.hosts.values_mut() {
            if run.state == HostStage::Waiting {
                let begun = run.command.and(self.plan.ops.get(run.stage));
                let missed = begun.map_or("turn", |op| op.name());
                run.state = HostStage::Cancelled;
                run.message = Some(format!("the rollout ended before its {missed}: {why}"));
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
            // A person who wants everything back gets it, whatever stopped it.
            Stop::Failures | Stop::CanaryFailed if self.back_wanted => {
                self.plan.policy.roll_back.at_least_all()
            }
            Stop::Failures | Stop::CanaryFailed => self.plan.policy.roll_back,
            Stop::RollBack => RollBack::AllHosts,
            Stop::Cancelled | Stop::Superseded | Stop::NotVisible => RollBack::None,
        };
        self.back_wanted = false;
        if policy == RollBack::AllHostsAndRevert && !self.revert_wanted {
            self.revert_wanted = true;
            self.revert_due = true;
            acts.push(Act::Revert);
        }
        self.end_or_roll_back(end, policy, now)
    }

    /// Every wave is through.
    pub(super) fn finish(&mut self, now: Timestamp) {
        let purpose = |skipped: &super::SkippedHost| skipped.reason.on_purpose();
        let whole = self.plan.skipped.iter().all(purpose);
        // What was brought back does not run the target, whatever it did before.
        let stays =
            |run: &&super::HostRun| run.state == HostStage::Done && run.rolled_back.is_none();
        let done = self.hosts.values().filter(stays).count();
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
