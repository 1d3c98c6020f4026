//! What the checks on a head say together (spec 05, "checks verdict").

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::policy::UpdatePolicy;
use super::pull_request::{Check, CheckState, PrNumber, PullRequest, ReadOrNot};

/// What the required checks say together. The order is that of precedence: the greatest of the
/// required ones is the verdict of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Every required check exists on the current head and succeeded.
    #[serde(rename = "pass")]
    Pass,
    /// Nothing can be said: nothing is required, or a required check is missing, or it ended
    /// without an opinion.
    #[serde(rename = "no_verdict")]
    NoVerdict,
    /// A required check is not done yet.
    #[serde(rename = "pending")]
    Pending,
    /// A required check failed.
    #[serde(rename = "failing")]
    Failing,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Verdict; 4] = [
        Verdict::Pass,
        Verdict::NoVerdict,
        Verdict::Pending,
        Verdict::Failing,
    ];

    /// The stable spelling.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::NoVerdict => "no_verdict",
            Verdict::Pending => "pending",
            Verdict::Failing => "failing",
        }
    }
}

/// What one required check contributes, by its state: only a success is a pass.
pub const CHECK_VERDICTS: [(CheckState, Verdict, &str); 9] = [
    (CheckState::Success, Verdict::Pass, "succeeded"),
    (
        CheckState::Failure,
        Verdict::Failing,
        "failed, timed out or could not start",
    ),
    (
        CheckState::Cancelled,
        Verdict::NoVerdict,
        "was cancelled: run it again",
    ),
    (
        CheckState::Skipped,
        Verdict::NoVerdict,
        "was skipped: it says nothing about this head",
    ),
    (
        CheckState::Neutral,
        Verdict::NoVerdict,
        "ended without an opinion",
    ),
    (
        CheckState::ActionRequired,
        Verdict::Pending,
        "waits for a person",
    ),
    (
        CheckState::Running,
        Verdict::Pending,
        "is queued or running",
    ),
    (
        CheckState::Stale,
        Verdict::NoVerdict,
        "was given up because it got old: run it again",
    ),
    (
        CheckState::Unknown,
        Verdict::NoVerdict,
        "is in a state that this server does not know",
    ),
];

/// What a check that is required and not on the head contributes.
pub const MISSING: (Verdict, &str) = (Verdict::NoVerdict, "is not on this head");

/// What one state contributes, and how it is told.
#[must_use]
pub fn contribution(state: CheckState) -> (Verdict, &'static str) {
    CHECK_VERDICTS
        .iter()
        .find(|(known, ..)| *known == state)
        .map_or(MISSING, |(_, verdict, text)| (*verdict, *text))
}

/// The checks that ran on the update that was merged last; required if none is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// That pull request.
    pub number: PrNumber,
    /// Names of the checks that ran on its head.
    pub names: BTreeSet<String>,
}

impl Baseline {
    /// What ran on the head of a merged pull request. `None` if its checks were not read.
    #[must_use]
    pub fn of(pr: &PullRequest) -> Option<Self> {
        let ran = |check: &&Check| check.commit == pr.head && check.state != CheckState::Skipped;
        let checks = pr.checks.read()?.iter().filter(ran);
        Some(Self {
            number: pr.number,
            names: checks.map(|check| check.name.clone()).collect(),
        })
    }
}

/// The verdict on one head, with everything it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChecksVerdict {
    /// All together.
    pub verdict: Verdict,
    /// Why, in one line; for a pass too.
    pub why: String,
    /// Each required check, and each other one on the head, by name.
    pub checks: Vec<CheckFinding>,
}

/// One check, as far as the verdict goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckFinding {
    /// Its name.
    pub name: String,
    /// Whether the verdict needs it.
    pub required: bool,
    /// Its states on the current head; empty if it is not there.
    pub states: Vec<CheckState>,
    /// What it contributes if it is required.
    pub verdict: Verdict,
    /// The same for people.
    pub text: &'static str,
}

/// What the checks on the current head of a pull request say. A check on another commit, a check
/// that is not required, and labels or texts of the pull request change nothing.
#[must_use]
pub fn verdict(pr: &PullRequest, policy: &UpdatePolicy, last: Option<&Baseline>) -> ChecksVerdict {
    let checks = match &pr.checks {
        ReadOrNot::Read(checks) => checks,
        ReadOrNot::NotRead(why) => {
            return ChecksVerdict {
                verdict: Verdict::NoVerdict,
                why: format!("the checks could not be read: {why}"),
                checks: Vec::new(),
            };
        }
    };
    let configured = &policy.required_checks;
    let required = match last {
        _ if !configured.is_empty() => configured.clone(),
        Some(baseline) => baseline.names.clone(),
        None => BTreeSet::new(),
    };
    let mut by_name: BTreeMap<&str, Vec<CheckState>> = BTreeMap::new();
    for name in &required {
        by_name.insert(name, Vec::new());
    }
    for check in checks.iter().filter(|check| check.commit == pr.head) {
        by_name.entry(&check.name).or_default().push(check.state);
    }
    let found: Vec<CheckFinding> = by_name
        .into_iter()
        .map(|(name, states)| finding(name, states, required.contains(name)))
        .collect();
    let decisive = found
        .iter()
        .filter(|one| one.required)
        .max_by_key(|one| one.verdict);
    let (verdict, why) = match decisive {
        None => (Verdict::NoVerdict, nothing_required(last)),
        Some(one) if one.verdict == Verdict::Pass => (
            Verdict::Pass,
            format!("every required check succeeded ({})", required.len()),
        ),
        Some(one) => (one.verdict, format!("{} {}", one.name, one.text)),
    };
    ChecksVerdict {
        verdict,
        why,
        checks: found,
    }
}

/// One name may stand for several runs, also of different applications: the worst of them counts.
fn finding(name: &str, mut states: Vec<CheckState>, required: bool) -> CheckFinding {
    states.sort_unstable();
    let (verdict, text) = states
        .iter()
        .map(|state| contribution(*state))
        .max_by_key(|(verdict, _)| *verdict)
        .unwrap_or(MISSING);
    CheckFinding {
        name: name.to_owned(),
        required,
        states,
        verdict,
        text,
    }
}

fn nothing_required(last: Option<&Baseline>) -> String {
    match last {
        Some(baseline) => format!(
            "no check ran on the last merged update ({}), so none is required: configure names",
            baseline.number
        ),
        None => "no check is required: configure names, or merge one update by hand, whose checks \
                 are then required"
            .to_owned(),
    }
}
