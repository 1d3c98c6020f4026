//! Law E2 as one table: under which conditions an update may be merged, and what each of them says
//! about one pull request.

use serde::{Deserialize, Serialize};

use super::checks::{Baseline, ChecksVerdict, Verdict, verdict};
use super::lock_facts::LockFacts;
use super::policy::UpdatePolicy;
use super::pull_request::{Mergeable, PrState, PullRequest, ReadOrNot};
use crate::compartment::render::text::clean;
use crate::render::duration;
use crate::time::Timestamp;

/// The one file that an update changes.
pub const LOCK_FILE: &str = "flake.lock";

/// What a condition says about one pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "finding", content = "why")]
pub enum Finding {
    /// It holds.
    Pass(String),
    /// It does not hold.
    Fail(String),
    /// What it needs to know is not known; counts as not holding.
    CannotTell(String),
}

impl Finding {
    /// Whether it holds.
    #[must_use]
    pub const fn is_pass(&self) -> bool {
        matches!(self, Finding::Pass(_))
    }

    /// Why.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Finding::Pass(why) | Finding::Fail(why) | Finding::CannotTell(why) => why,
        }
    }
}

/// What a condition that does not hold means to a person who merges by hand. Automations need all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForPeople {
    /// The merge is refused.
    Required,
    /// The merge is refused unless the person gives a reason, which is audited.
    Override,
    /// It is shown, no more.
    Shown,
}

macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $people:ident, $meaning:literal, $judge:path;)+) => {
        /// One condition of law E2. The spelling is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Condition {
            $($(#[$doc])* #[serde(rename = $code)] $name,)+
        }

        /// Law E2. In this order they are judged, shown and named in refusals.
        pub const CONDITIONS: &[ConditionSpec] = &[
            $(ConditionSpec {
                condition: Condition::$name,
                code: $code,
                people: ForPeople::$people,
                meaning: $meaning,
                judge: $judge,
            },)+
        ];
    };
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct ConditionSpec {
    /// Which.
    pub condition: Condition,
    /// The stable spelling.
    pub code: &'static str,
    /// What it means to people who merge by hand.
    pub people: ForPeople,
    /// When it holds.
    pub meaning: &'static str,
    judge: fn(&Subject<'_>) -> Finding,
}

conditions! {
    /// It can still be merged.
    Open = "open", Required, "the pull request is open", open;
    /// It is not a draft.
    NotDraft = "not-draft", Required, "it is not a draft", not_draft;
    /// It is about the configured branch.
    Base = "base", Required, "it would change the tracked branch of the configured repository", base;
    /// It comes from the same repository.
    HeadRepo = "head-repo", Override, "its branch is in the same repository, not in a fork", head_repo;
    /// Somebody known made it.
    Author = "author", Shown, "its author is in the list of allowed authors", author;
    /// It changes the lock and nothing else.
    Files = "files", Override, "it modifies exactly the file `flake.lock`, without renaming or adding anything", files;
    /// It changes revisions and nothing else.
    LockChange = "lock-change", Override, "its lock differs in revisions only: no input is added, removed, re-pointed or follows another, and nothing unknown differs", lock_change;
    /// The checks passed.
    Checks = "checks", Override, "every required check succeeded on its current head", checks;
    /// It is old enough.
    Age = "age", Shown, "it has been open for the configured delay", age;
    /// Its head is old enough.
    HeadUnchanged = "head-unchanged", Shown, "its head has not changed for the configured delay", head_unchanged;
    /// The forge could merge it.
    Mergeable = "mergeable", Required, "the forge could merge it now", mergeable;
}

/// What the conditions look at.
struct Subject<'a> {
    pr: &'a PullRequest,
    lock: &'a LockFacts,
    policy: &'a UpdatePolicy,
    checks: &'a ChecksVerdict,
    head_since: Timestamp,
    now: Timestamp,
}

/// What every condition says about one pull request, and the verdict on its checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// In the order of [`CONDITIONS`].
    pub findings: Vec<(Condition, Finding)>,
    /// The checks.
    pub checks: ChecksVerdict,
    /// From when on the conditions that only need time hold.
    pub ripe_at: Timestamp,
}

/// Judges a pull request. `head_since` is since when this server has seen its current head.
#[must_use]
pub fn judge(
    pr: &PullRequest,
    lock: &LockFacts,
    policy: &UpdatePolicy,
    last: Option<&Baseline>,
    head_since: Timestamp,
    now: Timestamp,
) -> Judgement {
    let checks = verdict(pr, policy, last);
    let subject = Subject {
        pr,
        lock,
        policy,
        checks: &checks,
        head_since,
        now,
    };
    let findings = CONDITIONS
        .iter()
        .map(|spec| (spec.condition, (spec.judge)(&subject)))
        .collect();
    Judgement {
        findings,
        ripe_at: pr.created_at.max(head_since) + policy.delay,
        checks,
    }
}

impl Condition {
    /// Its row.
    #[must_use]
    pub fn spec(self) -> Option<&'static ConditionSpec> {
        CONDITIONS.iter().find(|spec| spec.condition == self)
    }

    /// The stable spelling.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.spec().map_or("", |spec| spec.code)
    }

    /// Whether it comes to hold by itself, as time passes.
    #[must_use]
    pub const fn is_about_time(self) -> bool {
        match self {
            Condition::Age | Condition::HeadUnchanged => true,
            Condition::Open
            | Condition::NotDraft
            | Condition::Base
            | Condition::HeadRepo
            | Condition::Author
            | Condition::Files
            | Condition::LockChange
            | Condition::Checks
            | Condition::Mergeable => false,
        }
    }
}

impl Judgement {
    /// Whether an automation may merge it, as far as the pull request itself goes (law E2).
    #[must_use]
    pub fn is_eligible(&self) -> bool {
        self.findings.len() == CONDITIONS.len() && self.broken().next().is_none()
    }

    /// The conditions that do not hold, in order.
    pub fn broken(&self) -> impl Iterator<Item = &(Condition, Finding)> {
        self.findings
            .iter()
            .filter(|(_, finding)| !finding.is_pass())
    }

    /// The conditions that stop a person: those that are required, and unless the person gives a
    /// reason those that need one. A forge that has not worked out whether it can merge is asked.
    pub fn stopping_people(&self, reason: bool) -> impl Iterator<Item = &(Condition, Finding)> {
        self.broken().filter(move |(condition, finding)| {
            match condition
                .spec()
                .map_or(ForPeople::Required, |spec| spec.people)
            {
                ForPeople::Required => matches!(finding, Finding::Fail(_)),
                ForPeople::Override => !reason,
                ForPeople::Shown => false,
            }
        })
    }
}

fn open(subject: &Subject<'_>) -> Finding {
    match subject.pr.state {
        PrState::Open => Finding::Pass("it is open".to_owned()),
        PrState::Closed => Finding::Fail("it was closed".to_owned()),
        PrState::Merged { .. } => Finding::Fail("it is merged".to_owned()),
    }
}

fn not_draft(subject: &Subject<'_>) -> Finding {
    if subject.pr.draft {
        Finding::Fail("it is a draft".to_owned())
    } else {
        Finding::Pass("it is ready for review".to_owned())
    }
}

fn base(subject: &Subject<'_>) -> Finding {
    let (pr, policy) = (subject.pr, subject.policy);
    let told = clean(&format!("{} of {}", pr.base_branch, pr.base_repo), 160);
    // Names of repositories do not differ in case alone, names of branches do.
    if pr.base_repo.eq_ignore_ascii_case(&policy.repo) && pr.base_branch == policy.branch {
        Finding::Pass(format!("it would change {told}"))
    } else {
        let wanted = format!("{} of {}", policy.branch, policy.repo);
        Finding::Fail(format!("it would change {told}, not {wanted}"))
    }
}

fn head_repo(subject: &Subject<'_>) -> Finding {
    match subject.pr.head_repo.as_deref() {
        None => Finding::Fail("the repository of its branch was deleted".to_owned()),
        Some(head) if head == subject.pr.base_repo => {
            Finding::Pass("its branch is in the same repository".to_owned())
        }
        Some(head) => Finding::Fail(format!("its branch is in the fork {}", clean(head, 100))),
    }
}

fn author(subject: &Subject<'_>) -> Finding {
    let name = clean(&subject.pr.author, 60);
    if subject.policy.authors.contains(&subject.pr.author) {
        Finding::Pass(format!("{name} is an allowed author"))
    } else if subject.policy.authors.is_empty() {
        Finding::Fail(format!("no author is allowed yet: allow {name:?}"))
    } else {
        Finding::Fail(format!("{name:?} is not an allowed author"))
    }
}

fn files(subject: &Subject<'_>) -> Finding {
    let files = match &subject.pr.files {
        ReadOrNot::Read(files) => files,
        ReadOrNot::NotRead(why) => {
            let why = clean(why, 120);
            return Finding::CannotTell(format!("its files could not be read: {why}"));
        }
    };
    match files.as_slice() {
        [] => Finding::Fail("it changes no file".to_owned()),
        [file] if file.path == LOCK_FILE && file.previous_path.is_some() => {
            Finding::Fail("another file was renamed to flake.lock".to_owned())
        }
        [file] if file.path == LOCK_FILE && !file.modified => {
            Finding::Fail("flake.lock is not modified but added, removed or replaced".to_owned())
        }
        [file] if file.path == LOCK_FILE => Finding::Pass("it changes flake.lock only".to_owned()),
        [file] => Finding::Fail(format!("it changes {:?}", clean(&file.path, 80))),
        several => {
            let other = several.iter().find(|file| file.path != LOCK_FILE);
            let other = other.map_or(LOCK_FILE, |file| &file.path);
            let count = several.len();
            let other = clean(other, 80);
            Finding::Fail(format!("it changes {count} files, among them {other:?}"))
        }
    }
}

fn lock_change(subject: &Subject<'_>) -> Finding {
    match subject.lock {
        LockFacts::NotRead(why) => {
            Finding::CannotTell(format!("its flake.lock could not be fetched: {why}"))
        }
        LockFacts::Unreadable(why) => Finding::Fail(why.clone()),
        LockFacts::Compared(compared) => match compared.forbidden.as_slice() {
            [] => {
                let count = compared.inputs.len().saturating_add(compared.more);
                Finding::Pass(format!(
                    "{count} {} another revision, nothing else differs",
                    if count == 1 {
                        "input gets"
                    } else {
                        "inputs get"
                    }
                ))
            }
            [first, more @ ..] => {
                let more = match more.len() {
                    0 => String::new(),
                    more => format!(" (and {more} more)"),
                };
                Finding::Fail(format!("{first}{more}"))
            }
        },
    }
}

fn checks(subject: &Subject<'_>) -> Finding {
    let why = clean(&subject.checks.why, 200);
    match subject.checks.verdict {
        Verdict::Pass => Finding::Pass(why),
        Verdict::Failing | Verdict::Pending => Finding::Fail(why),
        Verdict::NoVerdict => Finding::CannotTell(why),
    }
}

fn age(subject: &Subject<'_>) -> Finding {
    waited("open", subject.pr.created_at, subject)
}

fn head_unchanged(subject: &Subject<'_>) -> Finding {
    waited("unchanged", subject.head_since, subject)
}

fn waited(what: &str, since: Timestamp, subject: &Subject<'_>) -> Finding {
    let delay = subject.policy.delay;
    let due = since + delay;
    if subject.now >= due {
        Finding::Pass(format!("it has been {what} since {since}"))
    } else {
        let delay = duration(delay);
        Finding::Fail(format!("it must be {what} for {delay}: until {due}"))
    }
}

fn mergeable(subject: &Subject<'_>) -> Finding {
    match subject.pr.mergeable {
        Mergeable::Yes => Finding::Pass("the forge could merge it".to_owned()),
        Mergeable::No => Finding::Fail(
            "the forge cannot merge it: conflicts, or a rule of the repository".to_owned(),
        ),
        Mergeable::NotComputed => {
            Finding::CannotTell("the forge has not worked out yet whether it can".to_owned())
        }
    }
}
