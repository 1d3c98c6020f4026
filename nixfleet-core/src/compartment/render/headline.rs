//! The first line: what a reason says in one sentence.

use crate::compartment::render::text::{
    cause, clean, commit, counted, full, hash, moment, subject,
};
use crate::compartment::version::normalise;
use crate::compartment::{PullSwitchHalf, Reason, ReasonCode, Situation};
use crate::desired::RemoteCause;
use crate::host::Presence;
use crate::ids::{CommitRef, LockHash};

/// The sentence for a reason.
pub(super) fn of(reason: &Reason, situation: &Situation<'_>) -> String {
    match *reason {
        Reason::AgentNotReported
        | Reason::AgentCurrent
        | Reason::AgentOlder
        | Reason::AgentNewer
        | Reason::AgentIncompatible => agent(reason.code(), situation),

        Reason::DesiredCommitUnavailable { cause } => remote("desired commit not known", cause),
        Reason::CheckoutNotReported => match &situation.observation.repo_error {
            Some(error) => format!("the checkout could not be read: {}", clean(error, 200)),
            None => "the host has not reported its checkout".to_owned(),
        },
        Reason::CheckoutDirty { host } => {
            format!("local changes in the checkout at {}", commit(host))
        }
        Reason::CheckoutCurrent {
            desired,
            abbreviated,
        } => {
            let note = if abbreviated {
                " (the agent reports an abbreviated commit)"
            } else {
                ""
            };
            format!("at {}{}{note}", full(desired), subject(situation))
        }
        Reason::CheckoutBehind {
            host,
            desired,
            commits,
        } => {
            let way = way(host, &full(desired), situation);
            format!("{} behind: {way}", counted(commits, "commit"))
        }
        Reason::CheckoutAhead {
            host,
            desired,
            commits,
        } => {
            let way = way(host, &full(desired), situation);
            format!("{} ahead: {way}", counted(commits, "commit"))
        }
        Reason::CheckoutDiverged {
            host,
            desired,
            ahead,
            behind,
        } => {
            let way = way(host, &full(desired), situation);
            format!("diverged, {ahead} ahead and {behind} behind: {way}")
        }
        Reason::CheckoutNotOnBranch { host, desired } => {
            let way = way(host, &full(desired), situation);
            format!("not on the tracked branch: {way}")
        }
        Reason::CheckoutDifferent { host, desired } => {
            let way = way(host, &full(desired), situation);
            format!("not the desired commit: {way}")
        }

        Reason::DesiredLockUnavailable { cause } => remote("desired flake.lock not known", cause),
        Reason::LockMissing => format!(
            "the checkout has no flake.lock: Latest: {}, Host: none",
            hash(situation.desired.remote.lock().ok())
        ),
        Reason::LockNotReported => "the host has not reported its flake.lock".to_owned(),
        Reason::LockCurrent { desired } => format!("flake.lock is current: {}", hash(desired)),
        Reason::LockBehind {
            host,
            desired,
            versions,
        } => {
            let pair = locks(host, desired);
            format!("outdated by {}: {pair}", counted(versions, "commit"))
        }
        Reason::LockAhead { host, desired } => {
            format!("newer than the desired lock: {}", locks(host, desired))
        }
        Reason::LockNotOnBranch { host, desired } => {
            format!("no version of the branch: {}", locks(host, desired))
        }
        Reason::LockDifferent { host, desired } => {
            format!("not the desired lock: {}", locks(host, desired))
        }

        Reason::SystemUnverifiable { cause } => remote("system cannot be verified", cause),
        Reason::DeployFailed { at, .. } => {
            let when = at.map_or_else(String::new, |at| format!(" ({})", moment(at)));
            format!("the last deploy failed{when}{}", ending(situation))
        }
        Reason::CheckoutNotCurrent { git, lock } => format!(
            "the checkout is not current ({}), so the system is not",
            halves(git, lock)
        ),
        Reason::CheckoutNotKnown { git, lock } => format!(
            "the checkout is not known ({}), so the system is not",
            halves(git, lock)
        ),
        Reason::NeedsReconcile { .. } => format!(
            "the outcome of the last deploy is not known{}",
            ending(situation)
        ),
        Reason::RunsOtherRevision { running, expected } => format!(
            "the running system claims {}, not {}: switched by hand, or booted into another generation",
            commit(running),
            commit(expected)
        ),
        Reason::RunsNoCommit { base: Some(base) } => format!(
            "the running system says it was built from local changes on top of {}",
            base.short()
        ),
        Reason::RunsNoCommit { base: None } => format!(
            "the running system claims the revision “{}”, which is no commit",
            claimed(situation)
        ),
        Reason::RunsOtherPath => {
            "the running system is not, or cannot be seen to be, the deployed one: switched by hand, or booted into another generation"
                .to_owned()
        }
        Reason::SystemCurrent { commit: deployed } => {
            format!("runs the desired {}", commit(deployed))
        }
        Reason::SystemClaimsCurrent { commit: claimed } => format!(
            "the running system says it is the desired {}",
            commit(claimed)
        ),
        Reason::DeployedInputsUnknown { unclean: true } => {
            "built from a checkout with local changes, or one that changed during the build".to_owned()
        }
        Reason::DeployedInputsUnknown { unclean: false } => {
            "it is not known from which commit or lock the system was built".to_owned()
        }
        Reason::DeployedInputsDiffer { deployed, host } => {
            if deployed == host {
                format!("built from {} with another flake.lock", commit(deployed))
            } else {
                format!("built from {}, checked out is {}", commit(deployed), commit(host))
            }
        }
        Reason::DeploymentNotRecorded => "the host keeps no record of what was deployed".to_owned(),
        Reason::NeverDeployed => "nothing was deployed here yet".to_owned(),

        Reason::TestsUnverifiable { cause } => remote("test results cannot be judged", cause),
        Reason::TestsDisabled => "tests are switched off for this host".to_owned(),
        Reason::TestsFailed {
            commit: tested,
            ran,
            failed,
        } => {
            let passed = ran.saturating_sub(failed);
            let on = commit(tested);
            if ran == 0 {
                format!("tests failed on {on}")
            } else if failed == 0 {
                format!("tests failed on {on} ({ran} executed)")
            } else {
                format!("{passed}/{ran} tests passed on {on}, {failed} failed")
            }
        }
        Reason::TestsStopped { commit: tested, ran } => {
            let after = match ran {
                0 => String::new(),
                ran => format!(" after {}", counted(ran, "test")),
            };
            format!("tests stopped by user or time limit on {}{after}", commit(tested))
        }
        Reason::TestsNeverDeployed => "nothing was deployed here yet, so nothing was tested".to_owned(),
        Reason::NoTests { commit: tested } => format!("no tests found on {}", commit(tested)),
        Reason::SystemNotCurrent { system, passed_for } => {
            let system = system.name();
            match passed_for {
                Some(_) => format!("system is {system}; tests passed for {}", commit(passed_for)),
                None => format!("system is {system}, so its tests do not count"),
            }
        }
        Reason::TestsPassed { commit: tested, ran } => {
            format!("{ran}/{ran} tests passed on {}", commit(tested))
        }
        Reason::TestsUnverified { commit: tested, .. } => format!(
            "reported as passed on {}, but the agent counts only its last script",
            commit(tested)
        ),
        Reason::TestsNotRun { commit: deployed } => match deployed {
            Some(_) => format!("not run on {} yet", commit(deployed)),
            None => "not run yet".to_owned(),
        },
        Reason::TestsVoid => "the system changed during the test run: the result is void".to_owned(),
        Reason::TestsOtherRevision {
            tested,
            commit: deployed,
            passed,
        } => {
            let result = if passed { "passed for" } else { "last run on" };
            match tested {
                Some(_) => format!("not run on {}; {result} {}", commit(deployed), commit(tested)),
                None => format!("not run on {}; the last result names no revision", commit(deployed)),
            }
        }

        Reason::Working {
            op,
            half,
            awaiting_reconnect,
        } => {
            let half = match half {
                Some(PullSwitchHalf::Pull) => " (pulling)",
                Some(PullSwitchHalf::Switch) => " (switching)",
                None => "",
            };
            if awaiting_reconnect {
                format!("{}: waiting for the agent to come back", op.name())
            } else {
                format!("{}{half} is running", op.name())
            }
        }
    }
}

fn agent(code: ReasonCode, situation: &Situation<'_>) -> String {
    let reported = situation.observation.agent_version.as_deref();
    let reported = clean(normalise(reported.unwrap_or("?")), 40);
    let expected = clean(normalise(&situation.desired.agent_version), 40);
    if code == ReasonCode::AgentCurrent {
        format!("agent {reported}, as expected")
    } else if code == ReasonCode::AgentOlder {
        format!("agent {reported} is older than the expected {expected}: pull + switch")
    } else if code == ReasonCode::AgentNewer {
        format!("agent {reported} is newer than the expected {expected}: upgrade the server")
    } else if code == ReasonCode::AgentIncompatible {
        format!("agent “{reported}” is not the expected {expected}: pull + switch")
    } else if situation.presence == Presence::NeverSeen {
        format!("the agent never connected (expected: {expected})")
    } else {
        format!("the agent has not reported its version (expected: {expected})")
    }
}

fn remote(what: &str, why: RemoteCause) -> String {
    format!("{what}: {}: {}", cause(why), why.hint())
}

fn way(host: Option<CommitRef>, desired: &str, situation: &Situation<'_>) -> String {
    format!("{} → {desired}{}", commit(host), subject(situation))
}

fn locks(host: Option<LockHash>, desired: Option<LockHash>) -> String {
    format!("Latest: {}, Host: {}", hash(desired), hash(host))
}

fn halves(git: bool, lock: bool) -> &'static str {
    match (git, lock) {
        (true, true) => "git and lock",
        (true, false) => "git",
        (false, _) => "lock",
    }
}

/// The revision that the running system claims, as it is.
fn claimed(situation: &Situation<'_>) -> String {
    let running = situation.observation.system.as_ref();
    let claim = running.and_then(|system| system.configuration_revision.as_ref());
    claim.map_or_else(|| "?".to_owned(), |claim| clean(&claim.to_string(), 80))
}

/// How the last deploy ended, with a colon before it, or nothing.
fn ending(situation: &Situation<'_>) -> String {
    match situation.deploy.detail.as_deref() {
        Some(detail) if !detail.trim().is_empty() => format!(": {}", clean(detail, 160)),
        Some(_) | None => String::new(),
    }
}
