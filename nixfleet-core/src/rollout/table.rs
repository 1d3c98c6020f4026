//! The tables of rollouts: states, waits with their bounds, verbs, pipelines. The machine, the
//! page and the documents read them.

use std::time::Duration;

use super::state::{RolloutState, WaitCode};
use super::verb::VerbName;
use crate::op::Op;

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

const fn hours(n: u64) -> Duration {
    minutes(n * 60)
}

const fn days(n: u64) -> Duration {
    hours(n * 24)
}

/// How long a rollout waits for a person, paused or before a wave, until it is cancelled.
pub const PAUSE_BOUND: Duration = days(7);
/// How much longer than its soak the evidence of the canaries may take, gaps included.
pub const SOAK_GAP_BOUND: Duration = hours(24);
/// How long the desired-state source may take to show the target (spec 05, "Merge & Deploy").
pub const VISIBLE_BOUND: Duration = minutes(2);
/// How long reasons of its own may keep a host from its next command, however they take turns.
pub const HOST_PATIENCE: Duration = days(14);
/// How long a host that was left out when offline may be away on the way: its agent restarts.
pub const RECONNECT_BOUND: Duration = minutes(5);

/// One state.
#[derive(Clone, Copy, Debug)]
pub struct StateRow {
    /// The state.
    pub state: RolloutState,
    /// What it means, for people.
    pub meaning: &'static str,
}

/// One reason to wait.
#[derive(Clone, Copy, Debug)]
pub struct WaitRow {
    /// The reason.
    pub code: WaitCode,
    /// What it means, for people.
    pub meaning: &'static str,
    /// How long one host may wait for it until it is left out; none where something else ends it.
    pub bound: Option<Duration>,
}

/// One verb.
#[derive(Clone, Copy, Debug)]
pub struct VerbRow {
    /// The verb.
    pub verb: VerbName,
    /// In which states it can be used.
    pub states: &'static [RolloutState],
    /// What it does, for people.
    pub help: &'static str,
}

/// One pipeline.
#[derive(Clone, Copy, Debug)]
pub struct PipelineRow {
    /// Its name.
    pub name: &'static str,
    /// Its operations on hosts, in order.
    pub ops: &'static [Op],
    /// What it does, for people.
    pub help: &'static str,
}

use RolloutState as S;
use WaitCode as W;

/// Every state, in the order of its declaration.
#[rustfmt::skip]
pub const STATES: &[StateRow] = &[
    StateRow { state: S::Running, meaning: "starts what may start" },
    StateRow { state: S::Paused, meaning: "nothing new starts; what runs ends" },
    StateRow { state: S::AwaitingApproval, meaning: "the next wave waits for a person" },
    StateRow { state: S::RollingBack, meaning: "hosts go back to what they ran before" },
    StateRow { state: S::Complete, meaning: "every host succeeded" },
    StateRow { state: S::Partial, meaning: "some hosts succeeded, some did not" },
    StateRow { state: S::Failed, meaning: "stopped by failures, or no host succeeded" },
    StateRow { state: S::Halted, meaning: "a canary or a rollback failed; nothing of it ever starts again" },
    StateRow { state: S::Cancelled, meaning: "ended by a person" },
    StateRow { state: S::Superseded, meaning: "a rollout of another target took its place" },
];

/// Every reason to wait, in the order of its declaration.
#[rustfmt::skip]
pub const WAITS: &[WaitRow] = &[
    WaitRow { code: W::PreviousWave, meaning: "an earlier wave is not done", bound: None },
    WaitRow { code: W::PreviousStage, meaning: "another host has not passed the stage before", bound: None },
    WaitRow { code: W::Soaking, meaning: "the canaries must show good evidence without a gap", bound: None },
    WaitRow { code: W::OutsideWindow, meaning: "its maintenance window is closed", bound: Some(days(8)) },
    WaitRow { code: W::Held, meaning: "it is held", bound: Some(hours(24)) },
    WaitRow { code: W::Offline, meaning: "its agent is not connected", bound: Some(hours(24)) },
    WaitRow { code: W::Busy, meaning: "something else runs on it", bound: Some(hours(24)) },
    WaitRow { code: W::BudgetFull, meaning: "as many hosts as allowed are in flight", bound: None },
    WaitRow { code: W::Paused, meaning: "a person paused the rollout", bound: None },
    WaitRow { code: W::AwaitingApproval, meaning: "a person has to approve the wave", bound: None },
    WaitRow { code: W::Quarantined, meaning: "the target is quarantined", bound: Some(hours(24)) },
    WaitRow { code: W::DesiredNotVisible, meaning: "the desired-state source does not show the target yet", bound: Some(VISIBLE_BOUND) },
    WaitRow { code: W::RemoteUnreadable, meaning: "the remote cannot be read", bound: Some(hours(24)) },
    WaitRow { code: W::CheckoutNotReady, meaning: "its checkout is not seen to be at the target", bound: Some(minutes(10)) },
    WaitRow { code: W::OtherRollout, meaning: "another rollout is at work on it", bound: Some(days(8)) },
    WaitRow { code: W::Stopping, meaning: "the rollout ends when what runs has ended", bound: None },
    WaitRow { code: W::SystemNotSeen, meaning: "what it runs was not told since its last command", bound: Some(minutes(10)) },
];

/// Every verb, in the order of its declaration.
#[rustfmt::skip]
pub const VERBS: &[VerbRow] = &[
    VerbRow { verb: VerbName::Pause, states: &[S::Running], help: "start nothing new; what runs ends" },
    VerbRow { verb: VerbName::Resume, states: &[S::Paused], help: "go on" },
    VerbRow { verb: VerbName::Cancel, states: &[S::Running, S::Paused, S::AwaitingApproval], help: "end it; what runs ends, nothing else starts" },
    VerbRow { verb: VerbName::RetryFailed, states: &[S::Running, S::Paused, S::Partial, S::Failed], help: "try the failed stage of every failed host again, then go on" },
    VerbRow { verb: VerbName::SkipHost, states: &[S::Running, S::Paused, S::AwaitingApproval], help: "leave a waiting host out; a canary cannot be left out" },
    VerbRow { verb: VerbName::Approve, states: &[S::AwaitingApproval], help: "let the next wave start" },
    VerbRow { verb: VerbName::RollBack, states: &[S::Running, S::Paused, S::AwaitingApproval, S::Complete, S::Partial, S::Failed, S::Halted, S::Cancelled, S::Superseded], help: "bring every host that it changed back to what it ran before" },
];

/// Every pipeline.
#[rustfmt::skip]
pub const PIPELINES: &[PipelineRow] = &[
    PipelineRow { name: "do-all", ops: &[Op::Pull, Op::Switch, Op::Test], help: "pull, switch and test" },
    PipelineRow { name: "merge-deploy", ops: &[Op::Pull, Op::Switch, Op::Test], help: "after the merge of the update: pull, switch and test" },
    PipelineRow { name: "update-agent", ops: &[Op::UpdateInputs, Op::Pull, Op::Switch, Op::Restart], help: "update the inputs on the first host, then pull, switch and restart the agent everywhere" },
    PipelineRow { name: "force-update", ops: &[Op::ForceRebuild, Op::Restart], help: "rebuild from scratch, then restart the agent" },
];

/// The pipeline with this name.
#[must_use]
pub fn pipeline(name: &str) -> Option<&'static PipelineRow> {
    PIPELINES.iter().find(|row| row.name == name)
}

impl WaitCode {
    /// Its row in [`WAITS`].
    #[must_use]
    pub fn row(self) -> &'static WaitRow {
        static FIRST: WaitRow = WAITS[0];
        WAITS.get(self as usize).unwrap_or(&FIRST)
    }
}

impl VerbName {
    /// Its row in [`VERBS`].
    #[must_use]
    pub fn row(self) -> &'static VerbRow {
        static FIRST: VerbRow = VERBS[0];
        VERBS.get(self as usize).unwrap_or(&FIRST)
    }
}

impl RolloutState {
    /// Its row in [`STATES`].
    #[must_use]
    pub fn row(self) -> &'static StateRow {
        static FIRST: StateRow = STATES[0];
        STATES.get(self as usize).unwrap_or(&FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_what_it_is_about() {
        assert!(STATES.iter().all(|row| row.state.row().state == row.state));
        assert!(WAITS.iter().all(|row| row.code.row().code == row.code));
        assert!(VERBS.iter().all(|row| row.verb.row().verb == row.verb));
        assert_eq!((STATES.len(), WAITS.len(), VERBS.len()), (10, 17, 7));
        assert!(
            VERBS
                .iter()
                .all(|row| !row.states.contains(&S::RollingBack))
        );
    }
}
