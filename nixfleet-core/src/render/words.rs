//! How names and values of code are written for people and on the wire.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::admission::Gate;
use crate::compartment::fact::Fact;
use crate::compartment::table::Pattern;
use crate::compartment::{Compartment, Status, Step};
use crate::lifecycle::{LateCase, Phase};
use crate::op::{Goal, Need};

/// The wire spelling of a value of a closed enum.
pub(super) fn wire(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(name)) => name,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// A duration as people write it: `30 s`, `5 min`, `24 h`.
#[must_use]
pub fn duration(value: Duration) -> String {
    let seconds = value.as_secs();
    if value.subsec_millis() > 0 {
        format!("{} ms", value.as_millis())
    } else if seconds >= 7200 && seconds.is_multiple_of(3600) {
        format!("{} h", seconds / 3600)
    } else if seconds >= 60 && seconds.is_multiple_of(60) {
        format!("{} min", seconds / 60)
    } else {
        format!("{seconds} s")
    }
}

/// What a pattern wants of a fact, or `None` if it wants nothing.
pub(super) fn condition(pattern: &Pattern) -> Option<String> {
    let (fact, verb) = match pattern {
        Pattern::Any => return None,
        Pattern::Is(fact) => (fact, "is"),
        Pattern::Not(fact) => (fact, "is not"),
    };
    Some(format!("{} {verb} {}", fact_name(fact), fact.value_name()))
}

fn fact_name(fact: &Fact) -> &'static str {
    fact.fact_name().name()
}

pub(super) fn colour(status: Status) -> &'static str {
    match status {
        Status::Unknown => "gray",
        Status::Ok => "green",
        Status::Outdated => "yellow",
        Status::Error => "red",
        Status::Working => "blue",
    }
}

pub(super) fn status_text(status: Status) -> &'static str {
    match status {
        Status::Unknown => "we have not been told yet",
        Status::Ok => "current against the remote, and proven so",
        Status::Outdated => "something is to be done, or it cannot be verified",
        Status::Error => "a real problem; also when the remote cannot be read",
        Status::Working => "a command is at work",
    }
}

pub(super) fn question(compartment: Compartment) -> &'static str {
    match compartment {
        Compartment::Agent => "Is the agent the version this server expects?",
        Compartment::Git => "Is the host's config checkout at the desired commit?",
        Compartment::Lock => "Is the host's `flake.lock` the desired one, byte for byte?",
        Compartment::System => "Is the running system the desired one?",
        Compartment::Tests => "Does the deployed system work?",
    }
}

/// A step of a remedy, as an order.
pub(super) fn step_text(step: &Step) -> String {
    match step {
        Step::Op(op) => format!("run `{}`", op.name()),
        Step::Manual(manual) => manual.text().to_owned(),
    }
}

/// A precondition in words.
#[must_use]
pub const fn need_text(need: Need) -> &'static str {
    match need {
        Need::Online => "the agent is connected",
        Need::Offline => "the agent is not connected",
        Need::Idle => "no other command is active on the host",
        Need::IdleOrOverride => "no other command is active, unless explicitly overridden",
        Need::SomethingToPull => "git or lock is not `ok`, or the checkout is dirty",
        Need::GitAndLockCurrent => "git and lock are `ok`",
        Need::RemoteReadable => "both halves of the desired state can be read",
        Need::Clean => "the checkout has no local changes",
        Need::TargetKnown => {
            "the host lists the generation to go back to; an existing agent, which lists none, goes back by one when a person asks"
        }
        Need::HostDrivenStrategy => "updating inputs on hosts is switched on",
        Need::Confirmed => "the caller confirmed explicitly",
        Need::SecondFactor => "a second factor was checked, where configured",
        Need::EligiblePr => "the pull request is known and its checks allow it",
    }
}

/// What proves success, in words.
#[must_use]
pub const fn goal_text(goal: Goal) -> &'static str {
    match goal {
        Goal::CommitIsTarget => "the checkout is at the commit pinned at the start",
        Goal::SystemIsNew => "the running system is the one that was built",
        Goal::CommitAndSystem => {
            "the checkout is at the pinned commit, and the running system is the one that was built"
        }
        Goal::TestResult => "there is a test result for the deployed revision",
        Goal::SystemIsRollbackTarget => "the running system is the rollback target",
        Goal::RegisteredAgain => "the agent registered again as a new process",
        Goal::RegisteredAfterBoot => "the agent registered again after a boot",
        Goal::LockChangedAndPushed => "the lock changed and was pushed",
        Goal::AgentFresh => "the agent is the one that the configuration expects",
        Goal::Merged => "the pull request is merged",
        Goal::RevertOpen => "the revert pull request is open",
        Goal::None => "exit 0 is enough",
    }
}

/// A gate in words.
#[must_use]
pub const fn gate_text(gate: Gate) -> &'static str {
    match gate {
        Gate::Right => "the actor has the right",
        Gate::Arguments => "the arguments are valid for the operation",
        Gate::Signature => "a configured signature of the desired commit is valid",
        Gate::Hold => "no hold keeps automations away; a person gives a reason",
        Gate::Quarantine => "no automation deploys a quarantined target",
        Gate::Window => "automations act on hosts only inside their window",
        Gate::NotRestarting => "the agent is not being restarted",
    }
}

/// A late result in words: "the result is …".
pub(super) const fn late_text(case: LateCase) -> &'static str {
    match case {
        LateCase::Again => "the one on record, or an existing agent's second after a stop",
        LateCase::Contradicts => "another one than that on record",
        LateCase::Unnamed => "of an existing agent, and names no command",
        LateCase::Overtaken => "of a command after which another was sent to the host",
        LateCase::NeverSent => "of a command that never left the server",
        LateCase::Tests => "of a test run",
        LateCase::NoDeploy => "of an operation that deploys nothing",
        LateCase::Activated => {
            "exit 0 or \"units failed\", with the agent's record of an activation by this command"
        }
        LateCase::Unproven => "exit 0, without such a record",
        LateCase::Interrupted => "that the agent does not know how it ended",
        LateCase::Stopped => "that it was stopped",
        LateCase::Failed => "any other exit code",
    }
}

/// A phase in words.
#[must_use]
pub const fn phase_text(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "queued: the host is busy, offline, outside its window, or held",
        Phase::Validating => "preconditions are being checked",
        Phase::Blocked => "a precondition failed; nothing was sent",
        Phase::Executing => "sent to the agent",
        Phase::RunningWarning => "past the warning timeout",
        Phase::TimeoutPending => "a deploy past its hard timeout: a person decides",
        Phase::Killing => "SIGTERM was sent; the agent sends SIGKILL after 3 s",
        Phase::Killed => "stopped, and its process group is confirmed empty",
        Phase::AwaitingReconnect => "it took the agent down; what it reports on return decides",
        Phase::Verifying => "waiting for facts reported after the exit",
        Phase::Success => "the goal was seen to be reached",
        Phase::Error => "failed, rejected, could not be sent, or nobody knows how it ended",
        Phase::Partial => "exit 0, but the goal was not reached or could not be verified",
        Phase::Degraded => "switched, but units failed that did not fail before",
        Phase::Timeout => "the agent never came back",
        Phase::StaleBinary => "the agent came back unchanged although an update was due",
        Phase::Suspicious => "the agent's source commit changed, its binary did not",
        Phase::Skipped => "an earlier stage failed, or a person stopped tracking it",
        Phase::Cancelled => "never started: cancelled while queued",
        Phase::Expired => "never started: queued for too long",
        Phase::Superseded => "never started: replaced by a newer intent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_in_the_largest_unit_that_fits() {
        let texts = [0, 5, 60, 90, 3600, 7200, 86_400].map(|s| duration(Duration::from_secs(s)));
        assert_eq!(
            texts,
            ["0 s", "5 s", "1 min", "90 s", "60 min", "2 h", "24 h"]
        );
        assert_eq!(duration(Duration::from_millis(100)), "100 ms");
    }
}
