//! What a person can do with a rollout.

use serde::{Deserialize, Serialize};

use super::RollBack;
use super::state::{HostStage, Rollout, RolloutState, Stop};
use super::table::VERBS;
use super::view::word;
use crate::ids::{HostId, RolloutId};
use crate::time::Timestamp;

/// What a person wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Start nothing new.
    Pause,
    /// Go on.
    Resume,
    /// End it.
    Cancel,
    /// Try what failed again.
    RetryFailed,
    /// Leave a host out.
    SkipHost(HostId),
    /// Let the next wave start.
    Approve,
    /// Bring everything back.
    RollBack,
}

/// The name of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerbName {
    /// [`Verb::Pause`].
    Pause,
    /// [`Verb::Resume`].
    Resume,
    /// [`Verb::Cancel`].
    Cancel,
    /// [`Verb::RetryFailed`].
    RetryFailed,
    /// [`Verb::SkipHost`].
    SkipHost,
    /// [`Verb::Approve`].
    Approve,
    /// [`Verb::RollBack`].
    RollBack,
}

impl Verb {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> VerbName {
        match self {
            Verb::Pause => VerbName::Pause,
            Verb::Resume => VerbName::Resume,
            Verb::Cancel => VerbName::Cancel,
            Verb::RetryFailed => VerbName::RetryFailed,
            Verb::SkipHost(_) => VerbName::SkipHost,
            Verb::Approve => VerbName::Approve,
            Verb::RollBack => VerbName::RollBack,
        }
    }
}

/// A verb cannot be used now; says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerbError {
    /// The rollout is in another state.
    #[error("the rollout is {state}: {verb} cannot be used now", state = word(.0), verb = word(.1))]
    State(RolloutState, VerbName),
    /// It is about to end anyway.
    #[error("the rollout is ending already: {0}")]
    Ending(String),
    /// The host is not part of it.
    #[error("host {0} takes no part in this rollout")]
    UnknownHost(HostId),
    /// The host does not wait.
    #[error("host {0} is {state}: only a waiting host can be left out", state = word(.1))]
    NotWaiting(HostId, HostStage),
    /// Canaries vouch for the others.
    #[error("host {0} is a canary, and the others rely on it: cancel, and start again without it")]
    Canary(HostId),
    /// A canary was brought back, so nothing has shown that the target is good.
    #[error(
        "canary {0} was rolled back and vouches for nobody any more: start a new rollout instead of \
         trying this one again"
    )]
    CanaryBroughtBack(HostId),
    /// There is nothing to try again.
    #[error("no host failed that could be tried again")]
    NothingFailed,
    /// There is nothing to bring back.
    #[error("this rollout has changed no host that could still be rolled back")]
    NothingChanged,
    /// A later rollout of another target is the last word on a host.
    #[error(
        "rollout {rollout} has brought something else to {host} since: roll that one back first, or \
         start a new rollout"
    )]
    Overtaken {
        /// The later one.
        rollout: RolloutId,
        /// A host of both.
        host: HostId,
    },
}

impl Rollout {
    /// The verbs that can be used now.
    #[must_use]
    pub fn offers(&self) -> Vec<VerbName> {
        let offered = |verb: VerbName| {
            verb.row().states.contains(&self.state)
                && match verb {
                    VerbName::Pause | VerbName::Resume | VerbName::Cancel | VerbName::Approve => {
                        self.stop.is_none()
                    }
                    VerbName::SkipHost => {
                        self.stop.is_none()
                            && self.hosts.keys().any(|host| self.can_skip(host).is_ok())
                    }
                    VerbName::RetryFailed => self.can_retry(),
                    VerbName::RollBack => self.can_roll_back(),
                }
        };
        VERBS
            .iter()
            .map(|row| row.verb)
            .filter(|verb| offered(*verb))
            .collect()
    }

    /// Does what a person wants. Call [`Rollout::step`] next.
    ///
    /// # Errors
    /// [`VerbError`]; then nothing was changed.
    pub fn apply(&mut self, verb: &Verb, now: Timestamp) -> Result<(), VerbError> {
        let name = verb.name();
        if !name.row().states.contains(&self.state) {
            return Err(VerbError::State(self.state, name));
        }
        let ending = !self.state.is_terminal() && self.stop.is_some();
        match verb {
            Verb::RollBack => self.roll_back(now),
            Verb::Pause
            | Verb::Resume
            | Verb::Cancel
            | Verb::RetryFailed
            | Verb::SkipHost(_)
            | Verb::Approve
                if ending =>
            {
                Err(VerbError::Ending(self.message.clone().unwrap_or_default()))
            }
            Verb::Pause => {
                self.set_state(RolloutState::Paused, now);
                Ok(())
            }
            Verb::Resume => {
                self.set_state(RolloutState::Running, now);
                Ok(())
            }
            Verb::Cancel => {
                self.halt(Stop::Cancelled, "cancelled by a person");
                Ok(())
            }
            Verb::RetryFailed => self.retry(now),
            Verb::SkipHost(host) => {
                self.can_skip(host)?;
                if let Some(run) = self.hosts.get_mut(host) {
                    run.state = HostStage::Skipped;
                    run.message = Some("left out by a person".to_owned());
                    run.wait = None;
                    run.since = now;
                }
                Ok(())
            }
            Verb::Approve => {
                self.approved = self.wave + 1;
                self.set_state(RolloutState::Running, now);
                Ok(())
            }
        }
    }

    fn can_skip(&self, host: &HostId) -> Result<(), VerbError> {
        let run = self
            .hosts
            .get(host)
            .ok_or_else(|| VerbError::UnknownHost(host.clone()))?;
        if run.state != HostStage::Waiting {
            return Err(VerbError::NotWaiting(host.clone(), run.state));
        }
        if self
            .plan
            .waves
            .get(run.wave)
            .is_some_and(|wave| wave.canary)
        {
            return Err(VerbError::Canary(host.clone()));
        }
        Ok(())
    }

    fn can_retry(&self) -> bool {
        let again =
            |run: &super::HostRun| run.state == HostStage::Failed && run.rolled_back.is_none();
        let canary_failed = self.stop == Some(Stop::CanaryFailed);
        let ending = !self.state.is_terminal() && self.stop.is_some();
        let vouched = self.canary_brought_back().is_none();
        !canary_failed && !ending && vouched && self.hosts.values().any(again)
    }

    /// A canary that does not run the target any more: it vouches for nobody.
    fn canary_brought_back(&self) -> Option<&HostId> {
        let canary = |wave: usize| self.plan.waves.get(wave).is_some_and(|wave| wave.canary);
        let mut hosts = self.hosts.iter();
        let back = hosts.find(|(_, run)| canary(run.wave) && run.rolled_back.is_some());
        back.map(|(host, _)| host)
    }

    /// Failed hosts try their failed stage again, under a new command; hosts that had no turn
    /// because of the failures get one.
    fn retry(&mut self, now: Timestamp) -> Result<(), VerbError> {
        if let Some(host) = self.canary_brought_back() {
            return Err(VerbError::CanaryBroughtBack(host.clone()));
        }
        if !self.can_retry() {
            return Err(VerbError::NothingFailed);
        }
        let stopped = self.state.is_terminal();
        for run in self.hosts.values_mut() {
            match run.state {
                HostStage::Failed if run.rolled_back.is_none() => run.attempt += 1,
                HostStage::Cancelled if stopped => {}
                HostStage::Failed
                | HostStage::Cancelled
                | HostStage::Waiting
                | HostStage::Running
                | HostStage::Done
                | HostStage::Skipped => continue,
            }
            run.state = HostStage::Waiting;
            run.message = None;
            run.since = now;
            run.held_up_since = None;
        }
        let waiting = self.hosts.values().filter(|run| !run.state.is_final());
        self.wave = waiting.map(|run| run.wave).min().unwrap_or(self.wave);
        if stopped {
            self.stop = None;
            self.message = None;
            self.active_since = now;
            // What the failure asked for is not wanted of what goes well after all.
            self.revert_wanted = false;
            self.revert_due = false;
            self.set_state(RolloutState::Running, now);
        }
        Ok(())
    }

    fn roll_back(&mut self, now: Timestamp) -> Result<(), VerbError> {
        if !self.can_roll_back() {
            return Err(VerbError::NothingChanged);
        }
        self.quarantined = false;
        if !self.state.is_terminal() {
            // What failed stays the reason, with all that the policy wants; what runs ends first.
            self.back_wanted = true;
            if !matches!(self.stop, Some(Stop::CanaryFailed | Stop::Failures)) {
                self.stop = Some(Stop::RollBack);
                self.message = Some("rolled back by a person".to_owned());
            }
            return Ok(());
        }
        let end = match self.state {
            RolloutState::Halted => RolloutState::Halted,
            RolloutState::Running
            | RolloutState::Paused
            | RolloutState::AwaitingApproval
            | RolloutState::RollingBack
            | RolloutState::Complete
            | RolloutState::Partial
            | RolloutState::Failed
            | RolloutState::Cancelled
            | RolloutState::Superseded => RolloutState::Failed,
        };
        // What was said of a rollback that is asked for again would not be true for long.
        let again = self.hosts.values().any(|run| run.rolled_back.is_some());
        self.message = self
            .message
            .take()
            .filter(|_| !again)
            .or(Some("rolled back by a person".to_owned()));
        self.active_since = now;
        self.end_or_roll_back(end, RollBack::AllHosts, now);
        Ok(())
    }
}
