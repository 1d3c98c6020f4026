//! Why hosts wait, and for how long.

use super::Offline;
use super::state::{HostStage, Rollout, Stop, Wait, WaitCode};
use super::table::{HOST_PATIENCE, PAUSE_BOUND, RECONNECT_BOUND};
use super::world::World;
use crate::ids::HostId;
use crate::time::Timestamp;

impl Rollout {
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
            | WaitCode::Stopping
            | WaitCode::SystemNotSeen => None,
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

    pub(super) fn mark_all(&mut self, wait: &Wait, now: Timestamp) {
        self.mark(wait, now, |_| true);
    }

    pub(super) fn mark_later_waves(&mut self, wait: Wait, now: Timestamp) {
        let wave = self.wave;
        self.mark(&wait, now, |other| other > wave);
    }

    /// Paused, or before a wave: nothing starts, a person is waited for, within a bound.
    pub(super) fn idle(&mut self, code: WaitCode, world: &dyn World, now: Timestamp) -> bool {
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
        if self.canary_turned_bad(world) {
            return true;
        }
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
}
