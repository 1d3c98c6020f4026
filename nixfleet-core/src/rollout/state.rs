//! A rollout and its hosts: everything that has to survive a restart, and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::table::VISIBLE_BOUND;
use super::world::World;
use crate::host::Actor;
use crate::ids::{CommandId, CommitId, HostId, RolloutId, StorePath};
use crate::lifecycle::Target;
use crate::op::Op;
use crate::time::Timestamp;

/// Where a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutState {
    /// It starts what may start.
    Running,
    /// A person paused it: nothing new starts.
    Paused,
    /// The next wave waits for a person.
    AwaitingApproval,
    /// Hosts are brought back to what they ran before.
    RollingBack,
    /// Every host succeeded.
    Complete,
    /// Some hosts succeeded, and some did not.
    Partial,
    /// It stopped because of failures, or no host succeeded.
    Failed,
    /// A canary or a rollback failed: it never starts anything again.
    Halted,
    /// A person ended it.
    Cancelled,
    /// A rollout of another target took its place.
    Superseded,
}

impl RolloutState {
    /// Whether nothing happens any more, unless a person asks for it.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            RolloutState::Running
            | RolloutState::Paused
            | RolloutState::AwaitingApproval
            | RolloutState::RollingBack => false,
            RolloutState::Complete
            | RolloutState::Partial
            | RolloutState::Failed
            | RolloutState::Halted
            | RolloutState::Cancelled
            | RolloutState::Superseded => true,
        }
    }
}

/// Where a host is in a rollout. The last four are its disposition (law D16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostStage {
    /// It waits; the reason stands beside it.
    Waiting,
    /// A command of the rollout runs on it.
    Running,
    /// Every stage succeeded.
    Done,
    /// A stage failed.
    Failed,
    /// It was left out on the way.
    Skipped,
    /// The rollout ended before its turn, or between two of its stages.
    Cancelled,
}

impl HostStage {
    /// Whether it is a disposition.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            HostStage::Waiting | HostStage::Running => false,
            HostStage::Done | HostStage::Failed | HostStage::Skipped | HostStage::Cancelled => true,
        }
    }
}

/// Why a host waits (spec 05: every wait has an enumerated reason).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitCode {
    /// An earlier wave is not done.
    PreviousWave,
    /// Another host of the wave has not passed the stage before.
    PreviousStage,
    /// The canaries must show good evidence for a while.
    Soaking,
    /// Its maintenance window is closed.
    OutsideWindow,
    /// It is held.
    Held,
    /// Its agent is not connected.
    Offline,
    /// Something else runs on it.
    Busy,
    /// As many hosts as allowed are in flight.
    BudgetFull,
    /// A person paused the rollout.
    Paused,
    /// A person has to approve the wave.
    AwaitingApproval,
    /// The target is quarantined.
    Quarantined,
    /// The desired-state source does not show the target yet.
    DesiredNotVisible,
    /// The remote cannot be read.
    RemoteUnreadable,
    /// Its checkout is not seen to be at the target yet.
    CheckoutNotReady,
    /// Another rollout is at work on it.
    OtherRollout,
    /// The rollout ends as soon as what runs has ended.
    Stopping,
    /// What it runs was not told since its last command: nobody knows whether it has to go back.
    SystemNotSeen,
}

/// Why a host waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// The reason.
    pub code: WaitCode,
    /// What it is about: who holds the host and why, what runs on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Until when, or since when it is away, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Wait {
    /// A reason that needs no more words.
    #[must_use]
    pub const fn plain(code: WaitCode) -> Self {
        Self {
            code,
            subject: None,
            until: None,
        }
    }

    /// A reason that ends at a known moment.
    #[must_use]
    pub const fn until(code: WaitCode, until: Option<Timestamp>) -> Self {
        Self {
            code,
            subject: None,
            until,
        }
    }

    /// A reason about something.
    #[must_use]
    pub fn about(code: WaitCode, subject: impl Into<String>) -> Self {
        Self {
            code,
            subject: Some(subject.into()),
            until: None,
        }
    }
}

/// What a host ran before the rollout changed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its store path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<StorePath>,
    /// The number of its generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The store path that its profile named, if it told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<StorePath>,
}

/// How far bringing a host back has got. At most once per host and rollout (law D14).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolledBack {
    /// To be done.
    Pending,
    /// This command does it.
    Running(CommandId),
    /// Done.
    Done,
    /// It is proven to run what it ran before anyway.
    NotNeeded,
    /// It was tried and did not succeed, and why.
    Failed(String),
    /// It was not tried, because another one failed.
    Abandoned,
    /// Nobody could tell what it runs, so nothing was tried, and why.
    Unproven(String),
    /// There was no way back, so nothing was tried, and why.
    NotPossible(String),
}

impl RolledBack {
    /// Why the host may still run the target, if so.
    #[must_use]
    pub fn why_not_back(&self) -> Option<&str> {
        match self {
            RolledBack::Failed(why) | RolledBack::Unproven(why) | RolledBack::NotPossible(why) => {
                Some(why)
            }
            RolledBack::Abandoned => Some("given up, because another rollback failed"),
            RolledBack::Pending
            | RolledBack::Running(_)
            | RolledBack::Done
            | RolledBack::NotNeeded => None,
        }
    }

    /// Whether nothing was tried, so that a person may ask for it again (law D14).
    #[must_use]
    pub const fn was_not_tried(&self) -> bool {
        match self {
            RolledBack::Abandoned | RolledBack::Unproven(_) | RolledBack::NotPossible(_) => true,
            RolledBack::Pending
            | RolledBack::Running(_)
            | RolledBack::Done
            | RolledBack::NotNeeded
            | RolledBack::Failed(_) => false,
        }
    }
}

/// One host of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRun {
    /// The number of its wave.
    pub wave: usize,
    /// Where it is.
    pub state: HostStage,
    /// Which of the plan's operations is next, or runs.
    pub stage: usize,
    /// The command that runs, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandId>,
    /// How often its failed stage was retried.
    pub attempt: u32,
    /// Since when it waits for its present reason, or runs.
    pub since: Timestamp,
    /// Why it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Wait>,
    /// Since when something of its own keeps it from its next command, whatever it was meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_up_since: Option<Timestamp>,
    /// Why it failed, was skipped or cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What it ran before this rollout first changed its system; none if it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Standing>,
    /// How far bringing it back has got, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<RolledBack>,
}

impl HostRun {
    /// Whether it could be asked to go back to what it ran before: this rollout changed it, and has
    /// not tried that yet.
    #[must_use]
    pub fn can_go_back(&self) -> bool {
        let open = self.rolled_back.as_ref();
        self.before.is_some() && open.is_none_or(RolledBack::was_not_tried)
    }

    /// Whether this rollout changed it, and has not brought it back.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        let back = matches!(
            self.rolled_back,
            Some(RolledBack::Done | RolledBack::NotNeeded)
        );
        self.before.is_some() && !back
    }
}

/// Why a rollout starts nothing more. What runs may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// As many hosts failed as the policy allows.
    Failures,
    /// A canary failed, or did not show good evidence.
    CanaryFailed,
    /// A person cancelled it, or it waited for a person for too long.
    Cancelled,
    /// A rollout of another target takes its place.
    Superseded,
    /// A person wants everything back.
    RollBack,
    /// The desired-state source never showed the target.
    NotVisible,
}

/// The soak of the canaries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Soak {
    /// When it began for the first time.
    pub began: Timestamp,
    /// Since when the evidence is good without a gap.
    pub good_since: Option<Timestamp>,
    /// The last gap.
    pub gap: Option<String>,
}

/// How long a stage took so far, all hosts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTime {
    /// How often.
    pub count: u32,
    /// Milliseconds, all together.
    pub millis: u64,
}

/// A rollout: its plan, and how far it has got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Unique for ever.
    pub id: RolloutId,
    /// Who takes part, in which order.
    pub plan: Plan,
    /// Who asked for it.
    pub actor: Actor,
    /// Why, in the actor's words.
    pub reason: Option<String>,
    /// When it was started.
    pub created: Timestamp,
    /// When it was last started or started again; the older one keeps a host (law D15).
    pub active_since: Timestamp,
    /// Where it is.
    pub state: RolloutState,
    /// Since when.
    pub since: Timestamp,
    /// What every host gets. Pinned once; it never changes after that (law D8).
    pub target: Option<Target>,
    /// The desired commit when it was started, for pipelines that make their own target.
    pub base: Option<CommitId>,
    /// Whether the desired-state source has shown the target.
    pub visible: bool,
    /// Until when it has to.
    pub visible_by: Timestamp,
    /// The number of the wave that is on.
    pub wave: usize,
    /// Waves up to this one are approved.
    pub approved: usize,
    /// The soak of the canaries, while it lasts.
    pub soak: Option<Soak>,
    /// Whether the canaries are through.
    pub soaked: bool,
    /// Why it starts nothing more.
    pub stop: Option<Stop>,
    /// Why, for people.
    pub message: Option<String>,
    /// The rollout that takes its place.
    pub superseded_by: Option<RolloutId>,
    /// Where it ends after rolling back.
    pub after: Option<RolloutState>,
    /// Whether the update is to be reverted in the repository.
    pub revert_wanted: bool,
    /// Whether the forge is still to be asked for that, once the rollout has ended and no other job
    /// is open.
    #[serde(default)]
    pub revert_due: bool,
    /// Whether a person wants everything back as soon as what runs has ended.
    #[serde(default)]
    pub back_wanted: bool,
    /// Whether the target was put in quarantine, because hosts are to go back.
    #[serde(default)]
    pub quarantined: bool,
    /// Its hosts.
    pub hosts: BTreeMap<HostId, HostRun>,
    /// How long each stage took.
    pub times: Vec<StageTime>,
    /// When it wants to be called at the latest.
    pub due: Option<Timestamp>,
}

impl Rollout {
    /// A rollout that has done nothing yet. Call [`Rollout::step`] next.
    #[must_use]
    pub fn new(
        id: RolloutId,
        plan: Plan,
        actor: Actor,
        reason: Option<String>,
        world: &dyn World,
        now: Timestamp,
    ) -> Self {
        let run = |(wave, host): (usize, &HostId)| {
            let run = HostRun {
                wave,
                state: HostStage::Waiting,
                stage: 0,
                command: None,
                attempt: 0,
                since: now,
                wait: None,
                held_up_since: None,
                message: None,
                before: None,
                rolled_back: None,
            };
            (host.clone(), run)
        };
        Self {
            id,
            actor,
            reason,
            created: now,
            active_since: now,
            state: RolloutState::Running,
            since: now,
            target: plan.target,
            base: world.desired().map(|desired| desired.commit),
            visible: false,
            visible_by: now + VISIBLE_BOUND,
            wave: 0,
            approved: 0,
            soak: None,
            soaked: false,
            stop: None,
            message: None,
            superseded_by: None,
            after: None,
            revert_wanted: false,
            revert_due: false,
            back_wanted: false,
            quarantined: false,
            hosts: plan.hosts().map(run).collect(),
            times: vec![StageTime::default(); plan.ops.len()],
            due: None,
            plan,
        }
    }

    /// It was read back after the server was away. What happened meanwhile was not seen: the soak
    /// begins anew, and waits for what comes back by itself do too.
    pub fn resume(&mut self, now: Timestamp) {
        if self.state.is_terminal() {
            return;
        }
        self.visible_by = self.visible_by.max(now + VISIBLE_BOUND);
        self.revert_due |= self.revert_wanted;
        if let Some(soak) = &mut self.soak {
            soak.began = now;
            soak.good_since = None;
            soak.gap = Some("the server was restarted".to_owned());
        }
        for run in self.hosts.values_mut() {
            let code = run.wait.as_ref().map(|wait| wait.code);
            let comes_back = matches!(
                code,
                Some(
                    WaitCode::Offline
                        | WaitCode::RemoteUnreadable
                        | WaitCode::DesiredNotVisible
                        | WaitCode::SystemNotSeen
                )
            );
            if comes_back {
                run.since = now;
            }
        }
    }

    /// The moment at which it wants to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.due.filter(|_| !self.state.is_terminal())
    }

    /// Whether it has ended, and nothing that it wants is still to be done.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.state.is_terminal() && !self.revert_due
    }

    /// Whether it is at work on a host, or will be.
    #[must_use]
    pub fn claims(&self, host: &HostId) -> bool {
        !self.state.is_terminal() && self.hosts.contains_key(host)
    }

    /// The host that a command of this rollout runs on.
    #[must_use]
    pub fn host_of(&self, command: CommandId) -> Option<&HostId> {
        let runs = |run: &HostRun| {
            (run.state == HostStage::Running && run.command == Some(command))
                || run.rolled_back == Some(RolledBack::Running(command))
        };
        self.hosts
            .iter()
            .find(|(_, run)| runs(run))
            .map(|(host, _)| host)
    }

    /// How many hosts run a command of it.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let runs = |run: &&HostRun| {
            run.state == HostStage::Running
                || matches!(run.rolled_back, Some(RolledBack::Running(_)))
        };
        self.hosts.values().filter(runs).count()
    }

    /// How many hosts are in a state.
    #[must_use]
    pub fn count(&self, state: HostStage) -> usize {
        self.hosts.values().filter(|run| run.state == state).count()
    }

    /// The operation that is next on a host, or runs.
    #[must_use]
    pub fn op_of(&self, run: &HostRun) -> Option<Op> {
        self.plan.ops.get(run.stage).copied()
    }

    /// Whether the wave that is on is that of the canaries.
    #[must_use]
    pub fn in_canary_wave(&self) -> bool {
        self.plan
            .waves
            .get(self.wave)
            .is_some_and(|wave| wave.canary)
    }

    pub(super) fn set_state(&mut self, state: RolloutState, now: Timestamp) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
    }

    pub(super) fn wake_at(&mut self, at: Timestamp) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}
