//! A rollout as clients see it.

use serde::{Deserialize, Serialize};

use super::SkipReason;
use super::plan::AskKind;
use super::state::{HostStage, RolledBack, Rollout, RolloutState, Wait};
use super::verb::VerbName;
use crate::host::Actor;
use crate::ids::{CommandId, HostId, PlanId, RolloutId};
use crate::lifecycle::Target;
use crate::op::Op;
use crate::time::Timestamp;

/// A rollout as clients see it. The names of the fields are part of the protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutView {
    /// Its id.
    pub id: RolloutId,
    /// What kind of job.
    pub kind: AskKind,
    /// Who asked for it.
    pub actor: Actor,
    /// Where it is.
    pub state: RolloutState,
    /// Why it stopped or ended as it did; what it was asked for, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was started.
    pub created: Timestamp,
    /// Since when it is in its state.
    pub since: Timestamp,
    /// What every host gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The id of its plan.
    pub plan: PlanId,
    /// The number of the wave that is on, from 0.
    pub wave: usize,
    /// The number of waves.
    pub waves: usize,
    /// Hosts by disposition.
    pub totals: RolloutTotals,
    /// The earliest operation that a host of this wave has not passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_now: Option<Op>,
    /// About how much longer it takes, if nothing waits, by what stages took so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_seconds: Option<u64>,
    /// Its hosts in order, and those that were asked for and left out.
    pub hosts: Vec<RolloutHostView>,
    /// The verbs that can be used now.
    pub offers: Vec<VerbName>,
}

/// Hosts by disposition: `targets` is the sum of `done`, `failed`, `skipped` and `cancelled` when
/// the rollout has ended (law D16).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutTotals {
    /// Hosts that were asked for.
    pub targets: usize,
    /// Hosts on which every stage succeeded.
    pub done: usize,
    /// Hosts on which one failed.
    pub failed: usize,
    /// Hosts that were left out, from the beginning or on the way.
    pub skipped: usize,
    /// Hosts before whose turn, or between two of whose stages, it ended.
    pub cancelled: usize,
    /// Hosts that run a command of it.
    pub in_flight: usize,
}

/// One host of a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutHostView {
    /// The host.
    pub host: HostId,
    /// The number of its wave; none if it was left out from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<usize>,
    /// Whether it is a canary.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canary: bool,
    /// The operation that runs or is next; none when it is through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Op>,
    /// Where it is.
    pub state: HostStage,
    /// Why it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Wait>,
    /// The command that runs, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandId>,
    /// Why it failed, was skipped or cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How far bringing it back has got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<RolledBack>,
    /// Why it was left out from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<SkipReason>,
}

impl Rollout {
    /// Hosts by disposition.
    #[must_use]
    pub fn totals(&self) -> RolloutTotals {
        let left_out = self.plan.skipped.len();
        RolloutTotals {
            targets: self.hosts.len() + left_out,
            done: self.count(HostStage::Done),
            failed: self.count(HostStage::Failed),
            skipped: self.count(HostStage::Skipped) + left_out,
            cancelled: self.count(HostStage::Cancelled),
            in_flight: self.in_flight(),
        }
    }

    /// As clients see it.
    #[must_use]
    pub fn view(&self) -> RolloutView {
        let in_order = self.plan.hosts().filter_map(|(wave, host)| {
            let run = self.hosts.get(host)?;
            Some(RolloutHostView {
                host: host.clone(),
                wave: Some(wave),
                canary: self.plan.waves.get(wave).is_some_and(|wave| wave.canary),
                stage: self.op_of(run),
                state: run.state,
                wait: run.wait.clone(),
                command: run.command,
                message: run.message.clone(),
                rolled_back: run.rolled_back.clone(),
                skipped: None,
            })
        });
        let left_out = self.plan.skipped.iter().map(|skipped| RolloutHostView {
            host: skipped.host.clone(),
            wave: None,
            canary: false,
            stage: None,
            state: HostStage::Skipped,
            wait: None,
            command: None,
            message: skipped.subject.clone(),
            rolled_back: None,
            skipped: Some(skipped.reason),
        });
        let in_wave = self.hosts.values().filter(|run| run.wave == self.wave);
        let open = in_wave.filter(|run| !run.state.is_final());
        let stage_now = open.map(|run| run.stage).min();
        RolloutView {
            id: self.id,
            kind: self.plan.kind.clone(),
            actor: self.actor.clone(),
            state: self.state,
            reason: self.message.clone().or_else(|| self.reason.clone()),
            created: self.created,
            since: self.since,
            target: self.target,
            plan: self.plan.id,
            wave: self.wave,
            waves: self.plan.waves.len(),
            totals: self.totals(),
            stage_now: stage_now.and_then(|stage| self.plan.ops.get(stage).copied()),
            estimate_seconds: self.estimate(),
            hosts: in_order.chain(left_out).collect(),
            offers: self.offers(),
        }
    }

    /// What is left, by what stages took on average; none before every one that is left was seen.
    fn estimate(&self) -> Option<u64> {
        if self.state.is_terminal() {
            return None;
        }
        let mut millis: u64 = 0;
        let open = self.hosts.values().filter(|run| !run.state.is_final());
        for run in open {
            for time in self.times.iter().skip(run.stage) {
                millis = millis.saturating_add(time.millis.checked_div(u64::from(time.count))?);
            }
        }
        let limit = self.plan.policy.max_in_flight.limit(self.hosts.len());
        let widest = self.plan.waves.iter().map(|wave| wave.hosts.len()).max();
        let side_by_side = u64::try_from(limit.min(widest.unwrap_or(1)).max(1)).unwrap_or(1);
        Some(millis / side_by_side / 1000)
    }
}

/// The wire spelling of a value without fields, for sentences.
pub(crate) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}
