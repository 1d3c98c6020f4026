//! The soak of the canaries (law D2).

use std::time::Duration;

use super::state::{HostStage, Rollout, Soak, Stop, Wait, WaitCode};
use super::table::SOAK_GAP_BOUND;
use super::world::{Health, World};
use crate::ids::HostId;
use crate::op::Op;
use crate::time::Timestamp;

impl Rollout {
    /// Law D2: nobody else starts before every canary has succeeded, and has shown good evidence
    /// without a gap for the whole soak.
    pub(super) fn soak(&mut self, world: &dyn World, now: Timestamp) -> bool {
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
                    self.canary_is_bad(host, &why);
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

    /// Whether a canary shows bad evidence although its soak is over: nobody else starts on the
    /// strength of it.
    pub(super) fn canary_turned_bad(&mut self, world: &dyn World) -> bool {
        if !self.soaked {
            return false;
        }
        let tests = self.plan.ops.contains(&Op::Test);
        let canaries = self.plan.waves.iter().filter(|wave| wave.canary);
        let bad = canaries.flat_map(|wave| &wave.hosts).find_map(|host| {
            let run = self.hosts.get(host)?;
            if run.state != HostStage::Done || run.rolled_back.is_some() {
                return None;
            }
            let tested = tests && world.tests_on(host);
            match world.health(host, self.target.as_ref(), tested) {
                Health::Bad(why) => Some((host.clone(), why)),
                Health::Good | Health::Gap(_) => None,
            }
        });
        let Some((host, why)) = bad else {
            return false;
        };
        self.canary_is_bad(&host, &why);
        true
    }

    fn canary_is_bad(&mut self, host: &HostId, why: &str) {
        let why = format!("canary {host} shows bad evidence: {why}");
        if let Some(run) = self.hosts.get_mut(host) {
            run.state = HostStage::Failed;
            run.message = Some(why.clone());
        }
        self.halt(Stop::CanaryFailed, &why);
    }
}
