//! Spec 01, "Rules", as prose over facts: one function per compartment, read from top to bottom.
//!
//! Deliberately not a table: written from the specification, not from `rules.rs`.

use nixfleet_core::compartment::facts::*;

/// Status and reason code, as they are spelled on the wire.
pub type Verdict = (&'static str, &'static str);

/// The five verdicts before any overlay.
pub fn judge(f: &Facts) -> [Verdict; 5] {
    let git = git(f);
    let lock = lock(f);
    let system = system(f, git.0, lock.0);
    let tests = tests(f, system.0);
    [agent(f), git, lock, system, tests]
}

/// The remote counts as failed for `system` and `tests` as soon as either half is missing.
fn remote_failed(f: &Facts) -> bool {
    f.desired_commit != DesiredFact::Known || f.desired_lock != DesiredFact::Known
}

/// "nothing was ever deployed through us": no deploy-class command is remembered, and the host
/// has no record of a deployment either.
fn never_deployed(f: &Facts) -> bool {
    f.outcome == OutcomeFact::Never && f.record == RecordFact::None
}

fn agent(f: &Facts) -> Verdict {
    // "not reported → unknown · equal → ok · else error (older, newer, or incompatible)"
    if f.agent == AgentFact::NotReported {
        return ("unknown", "agent-not-reported");
    }
    if f.agent == AgentFact::Equal {
        return ("ok", "agent-current");
    }
    let which = if f.agent == AgentFact::Older {
        "agent-older"
    } else if f.agent == AgentFact::Newer {
        "agent-newer"
    } else {
        "agent-incompatible"
    };
    ("error", which)
}

fn git(f: &Facts) -> Verdict {
    // "desired commit unavailable → error"
    if f.desired_commit == DesiredFact::Unavailable {
        return ("error", "desired-commit-unavailable");
    }
    // "not reported → unknown"
    if f.commit == CommitFact::NotReported {
        return ("unknown", "checkout-not-reported");
    }
    // "dirty → outdated"
    if f.tree == TreeFact::Dirty {
        return ("outdated", "checkout-dirty");
    }
    // "match → ok · else outdated (behind by N, ahead, diverged, not on the branch)"
    let words = [
        (CommitFact::Current, "ok", "checkout-current"),
        (CommitFact::Behind, "outdated", "checkout-behind"),
        (CommitFact::Ahead, "outdated", "checkout-ahead"),
        (CommitFact::Diverged, "outdated", "checkout-diverged"),
        (
            CommitFact::NotOnBranch,
            "outdated",
            "checkout-not-on-branch",
        ),
        (CommitFact::Different, "outdated", "checkout-different"),
    ];
    let (_, status, code) = words
        .into_iter()
        .find(|(commit, _, _)| *commit == f.commit)
        .expect("every commit fact has a word");
    (status, code)
}

fn lock(f: &Facts) -> Verdict {
    // "desired hash unavailable → error"
    if f.desired_lock == DesiredFact::Unavailable {
        return ("error", "desired-lock-unavailable");
    }
    // "host reported a commit but has no lock file → outdated (missing) · not reported → unknown ·
    // equal → ok · else outdated"
    if f.lock == LockFact::Missing {
        ("outdated", "lock-missing")
    } else if f.lock == LockFact::NotReported {
        ("unknown", "lock-not-reported")
    } else if f.lock == LockFact::Current {
        ("ok", "lock-current")
    } else if f.lock == LockFact::Behind {
        ("outdated", "lock-behind")
    } else if f.lock == LockFact::Ahead {
        ("outdated", "lock-ahead")
    } else if f.lock == LockFact::NotOnBranch {
        ("outdated", "lock-not-on-branch")
    } else {
        ("outdated", "lock-different")
    }
}

fn system(f: &Facts, git: &str, lock: &str) -> Verdict {
    // "remote failed (either half) → outdated (cannot verify)"
    if remote_failed(f) {
        return ("outdated", "system-unverifiable");
    }
    // "the last deploy-class outcome is failed → error"
    if f.outcome == OutcomeFact::Failed {
        return ("error", "deploy-failed");
    }
    // "git or lock outdated → outdated · git or lock unknown → unknown"
    if git == "outdated" || lock == "outdated" {
        return ("outdated", "checkout-not-current");
    }
    if git == "unknown" || lock == "unknown" {
        return ("unknown", "checkout-not-known");
    }
    assert_eq!((git, lock), ("ok", "ok"), "nothing else is left here");
    // "needs reconciling → outdated"
    if f.reconcile == ReconcileFact::Needed {
        return ("outdated", "needs-reconcile");
    }
    // "running system claims a revision other than deployed.commit (or, without a record, other
    // than the desired one), or the running store path is not the deployed one → outdated"
    if f.claim == ClaimFact::Other {
        return ("outdated", "runs-other-revision");
    }
    // What is no commit is certainly another revision than any commit: "nothing is dirty"
    if f.claim == ClaimFact::NoCommit {
        return ("outdated", "runs-no-commit");
    }
    if f.path == PathFact::Other {
        return ("outdated", "runs-other-path");
    }
    let has_record = f.record != RecordFact::None;
    if has_record {
        // "deployed inputs = checked-out inputs → ok · unknown or different → outdated"
        return if f.record == RecordFact::SameAsCheckout {
            ("ok", "system-current")
        } else if f.record == RecordFact::InputsUnknown {
            ("outdated", "deployed-inputs-unknown")
        } else {
            ("outdated", "deployed-inputs-differ")
        };
    }
    // "or, without a record, the running system claims exactly the desired commit → ok"
    if f.claim == ClaimFact::AsExpected {
        return ("ok", "system-claims-current");
    }
    // "deployed inputs unknown … → outdated · else unknown (nothing deployed through us yet)"
    if f.outcome == OutcomeFact::Never {
        ("unknown", "never-deployed")
    } else {
        ("outdated", "deployment-not-recorded")
    }
}

fn tests(f: &Facts, system: &str) -> Verdict {
    let current = f.key == KeyFact::Current;
    // "remote failed (either half) → outdated · tests switched off for the host → unknown"
    if remote_failed(f) {
        return ("outdated", "tests-unverifiable");
    }
    if f.tests_switch == TestsSwitchFact::Off {
        return ("unknown", "tests-disabled");
    }
    // "failed, or stopped, with the current key → error"
    if current && f.result == ResultFact::Failed {
        return ("error", "tests-failed");
    }
    if current && f.result == ResultFact::Stopped {
        return ("error", "tests-stopped");
    }
    // "never ran, nothing was ever deployed through us, and system is not ok → unknown"
    let never_ran = f.result == ResultFact::Never;
    if never_ran && never_deployed(f) && system != "ok" {
        return ("unknown", "tests-never-deployed");
    }
    // "ran with the current key but executed nothing → outdated (no tests)"
    if current && f.result == ResultFact::Empty {
        return ("outdated", "no-tests");
    }
    // "system not ok → outdated"
    if system != "ok" {
        return ("outdated", "system-not-current");
    }
    // "passed with the current key → ok"; "a pass reported by an existing agent … is therefore
    // outdated (unverified), never ok"
    if current && f.result == ResultFact::Passed {
        return ("ok", "tests-passed");
    }
    if current && f.result == ResultFact::PassedUnverified {
        return ("outdated", "tests-unverified");
    }
    // "else outdated (never run on this revision, or only on an earlier one)"; "void if it changed"
    if never_ran {
        ("outdated", "tests-not-run")
    } else if f.result == ResultFact::Void {
        ("outdated", "tests-void")
    } else {
        ("outdated", "tests-other-revision")
    }
}
