//! What a pull request does to the lock, read once from the bytes.

use serde::{Deserialize, Serialize};

use super::compare_link::compare_link;
use super::pull_request::{PullRequest, ReadOrNot};
use crate::compartment::render::text::clean;
use crate::ids::LockHash;
use crate::lock::{Change, ChangeKind, FlakeLock, InputChange, LockDiff, Pin, diff, lock_hash};
use crate::time::Timestamp;

/// The most inputs that are kept of one difference.
pub const MAX_MOVES: usize = 100;
/// The most characters of one line.
const MAX_TEXT: usize = 200;

/// What a pull request does to the lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockFacts {
    /// The bytes are not known; why.
    NotRead(String),
    /// One of the two is not a lock; why.
    Unreadable(String),
    /// Both were read and compared.
    Compared(Box<LockMove>),
}

/// From one lock to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockMove {
    /// Hash of the lock at the merge base.
    pub base: LockHash,
    /// Hash of the lock at the head.
    pub head: LockHash,
    /// What is not an ordinary update, one line each; empty if it only changes revisions.
    pub forbidden: Vec<String>,
    /// Inputs that differ, sorted by path; at most [`MAX_MOVES`].
    pub inputs: Vec<InputMove>,
    /// How many more differ.
    pub more: usize,
}

/// How one input moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputMove {
    /// The names from the root: `home-manager/nixpkgs`.
    pub input: String,
    /// `changed`, `added`, `removed`, `re_pointed` or `follows_changed`.
    pub kind: String,
    /// Before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<PinView>,
    /// After.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<PinView>,
    /// Where people can read what changed in it, on a known forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<String>,
    /// The same as one line: `nixpkgs abc1234 (2026-01-02) → def5678 (2026-02-03)`.
    pub text: String,
    /// Whether it moves although the title names other inputs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unexpected: bool,
}

/// A revision for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinView {
    /// Seven digits of the revision, or the start of the hash of the content.
    pub short: String,
    /// When the content was last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

impl LockFacts {
    /// Reads and compares the locks of a pull request.
    #[must_use]
    pub fn of(pr: &PullRequest) -> Self {
        let (base, head) = match &pr.locks {
            ReadOrNot::NotRead(why) => return LockFacts::NotRead(clean(why, MAX_TEXT)),
            ReadOrNot::Read(locks) => locks,
        };
        let unreadable = |which: &str, error: crate::lock::LockParseError| {
            let why = format!("the {which} flake.lock cannot be read: {error}");
            LockFacts::Unreadable(clean(&why, MAX_TEXT))
        };
        let old = match FlakeLock::parse(base) {
            Ok(lock) => lock,
            Err(error) => return unreadable("old", error),
        };
        let new = match FlakeLock::parse(head) {
            Ok(lock) => lock,
            Err(error) => return unreadable("new", error),
        };
        let diff = diff(&old, &new);
        let expected = Expected::of(&pr.title, &old, &new);
        let changes = diff.changes();
        let read = |change: &InputChange| input_move(change, &old, &new, &expected);
        LockFacts::Compared(Box::new(LockMove {
            base: lock_hash(base),
            head: lock_hash(head),
            forbidden: forbidden(&diff),
            inputs: changes.iter().take(MAX_MOVES).map(read).collect(),
            more: changes.len().saturating_sub(MAX_MOVES),
        }))
    }

    /// What was compared.
    #[must_use]
    pub fn compared(&self) -> Option<&LockMove> {
        match self {
            LockFacts::Compared(compared) => Some(compared),
            LockFacts::NotRead(_) | LockFacts::Unreadable(_) => None,
        }
    }
}

/// Why a difference is not an ordinary update; empty exactly if it is one.
fn forbidden(diff: &LockDiff) -> Vec<String> {
    if diff.revisions_only() {
        return Vec::new();
    }
    let unusual = |change: &&InputChange| {
        change.kind() != ChangeKind::Changed || change.is_same_revision_with_other_content()
    };
    let mut lines: Vec<String> = diff
        .changes()
        .iter()
        .filter(unusual)
        .take(MAX_MOVES)
        .map(|change| clean(&change.to_string(), MAX_TEXT))
        .collect();
    if let Some((old, new)) = diff.format() {
        lines.push(format!("the version of the format {old} → {new}"));
    }
    let fields = diff.fields().iter().take(MAX_MOVES);
    lines.extend(fields.map(|field| clean(&format!("unknown field {field}"), MAX_TEXT)));
    if diff.is_truncated() || lines.is_empty() {
        lines.push("there is more to compare than can be compared".to_owned());
    }
    lines
}

fn input_move(
    change: &InputChange,
    old: &FlakeLock,
    new: &FlakeLock,
    expected: &Expected,
) -> InputMove {
    let path: Vec<&str> = change.path.iter().map(AsRef::as_ref).collect();
    let source = |lock| FlakeLock::input(lock, &path).and_then(|input| input.node.locked());
    let compare = match &change.change {
        Change::Changed { .. } => source(old).zip(source(new)),
        Change::Added { .. }
        | Change::Removed { .. }
        | Change::RePointed { .. }
        | Change::FollowsChanged { .. } => None,
    };
    InputMove {
        input: clean(&path.join("/"), MAX_TEXT),
        kind: change.kind().as_str().to_owned(),
        old: change.old_pin().map(pin_view),
        new: change.new_pin().map(pin_view),
        compare: compare.and_then(|(old, new)| compare_link(old, new)),
        text: clean(&change.to_string(), MAX_TEXT),
        unexpected: path.first().is_some_and(|root| expected.excludes(root)),
    }
}

fn pin_view(pin: &Pin) -> PinView {
    let seconds = |date: u64| Timestamp::from_seconds(i64::try_from(date).unwrap_or(i64::MAX));
    PinView {
        short: clean(pin.short(), 20),
        at: pin.last_modified.map(seconds),
    }
}

/// The inputs of the flake that a title names; if it names none, it says nothing about any.
struct Expected(Vec<String>);

impl Expected {
    fn of(title: &str, old: &FlakeLock, new: &FlakeLock) -> Self {
        let mut words: Vec<String> = title
            .split(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_')))
            .map(str::to_lowercase)
            .collect();
        words.sort_unstable();
        let roots = old.root_inputs().chain(new.root_inputs());
        let mut named: Vec<String> = roots
            .map(|input| input.name.to_lowercase())
            .filter(|name| words.binary_search(name).is_ok())
            .collect();
        named.sort_unstable();
        Self(named)
    }

    fn excludes(&self, root: &str) -> bool {
        !self.0.is_empty() && self.0.binary_search(&root.to_lowercase()).is_err()
    }
}
