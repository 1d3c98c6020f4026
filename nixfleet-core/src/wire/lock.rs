//! Locks and their differences as JSON: what callers in other languages get (spec 05, "Lock
//! truth"). Only written, never read.
//!
//! ```
//! use nixfleet_core::wire::lock::compare;
//! let old = br#"{"version": 7, "root": "root", "nodes": {"root": {}}}"#;
//! let new = br#"{"version":7,"root":"root","nodes":{"root":{}}}"#;
//! let report = serde_json::to_value(compare(old, new).unwrap()).unwrap();
//! assert_eq!(report["result"], "same-inputs");
//! let error = compare(b"{}", new).unwrap_err();
//! assert_eq!(error.to_string(), "old lock: version: expected 5, 6 or 7, found nothing");
//! ```

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use crate::ids::LockHash;
use crate::lock::{
    self, Attribute, Change, ChangeKind, FieldChange, FlakeLock, InputChange, InputTarget,
    LockCompareError, LockComparison, LockDiff, LockParseError, LockedInput, Pin, lock_hash,
};

/// One lock: its hash, and what it pins the inputs of the flake to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LockReport {
    /// SHA-256 of its bytes.
    pub lock_hash: LockHash,
    /// Version of the format: 5, 6 or 7.
    pub version: u8,
    /// How many nodes it has, the root included.
    pub nodes: usize,
    /// The inputs of the flake itself, sorted by name.
    pub inputs: Vec<InputReport>,
}

/// One input of the flake itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InputReport {
    /// The name the flake gives it.
    pub name: String,
    /// The input it follows, as a path from the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follows: Option<Vec<String>>,
    /// The key of the node it leads to.
    pub node: String,
    /// Whether it is a flake.
    pub flake: bool,
    /// Where it comes from, like a flake reference without revision; missing for the flake itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What exactly is used.
    #[serde(flatten)]
    pub pin: PinReport,
}

/// What exactly of an input is used.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PinReport {
    /// The full revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rev: Option<String>,
    /// The hash of the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nar_hash: Option<String>,
    /// When the content was last changed, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<u64>,
}

/// Where an input leads.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TargetReport {
    /// It follows the input at this path from the root.
    Follows {
        /// The path; empty for the flake itself.
        follows: Vec<String>,
    },
    /// It is locked by itself.
    Locked(PinReport),
}

/// What comparing two locks showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComparisonResult {
    /// The bytes are the same.
    SameBytes,
    /// The bytes differ, no input does.
    SameInputs,
    /// Inputs differ, or the format, or something that is not understood.
    Differ,
}

/// What differs between two locks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LockDiffReport {
    /// In one word.
    pub result: ComparisonResult,
    /// Whether it is an ordinary update: every difference is another revision of the same source.
    pub revisions_only: bool,
    /// The version of the format before and after, if it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<(u8, u8)>,
    /// The inputs that differ, root inputs and nested ones, sorted by path.
    pub changes: Vec<ChangeReport>,
    /// Fields of the lock itself that differ and whose meaning is not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldReport>,
    /// Whether there was more to compare than is listed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// How one input differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChangeReport {
    /// The names from the root to the input.
    pub path: Vec<String>,
    /// In what way: `changed`, `added`, `removed`, `re_pointed`, `follows_changed`.
    pub kind: &'static str,
    /// Where it led before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<TargetReport>,
    /// Where it leads now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<TargetReport>,
    /// For `re_pointed`: the fields that say so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldReport>,
    /// The same as one line for people.
    pub text: String,
}

/// One field that differs. A text, a number and a flag are written as such, anything else as
/// `{"json": "…"}`; a field that is not there is missing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldReport {
    /// Within the node, for example `locked.owner`.
    pub field: String,
    /// Before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// After.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
}

/// Bytes that are no lock: a stable code, the place, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockErrorReport {
    /// Which of two locks, `old` or `new`, where two were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<&'static str>,
    /// What kind of fault.
    pub code: &'static str,
    /// Where, for example `nodes.nixpkgs.locked.rev`; missing for a fault of the whole text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What is wrong and what was expected.
    pub message: String,
}

/// Reads one lock.
///
/// # Errors
/// [`LockErrorReport`] if the bytes are not a lock.
pub fn read(bytes: &[u8]) -> Result<LockReport, LockErrorReport> {
    let lock = FlakeLock::parse(bytes).map_err(|error| LockErrorReport::new(None, &error))?;
    Ok(LockReport {
        lock_hash: lock_hash(bytes),
        version: lock.version(),
        nodes: lock.nodes().len(),
        inputs: lock.root_inputs().map(input).collect(),
    })
}

/// Compares two locks as bytes, then as inputs.
///
/// # Errors
/// [`LockErrorReport`] if the bytes differ and one of them is not a lock.
pub fn compare(old: &[u8], new: &[u8]) -> Result<LockDiffReport, LockErrorReport> {
    let (result, diff) = match lock::compare(old, new).map_err(LockErrorReport::from)? {
        LockComparison::SameBytes => (ComparisonResult::SameBytes, LockDiff::default()),
        LockComparison::SameInputs => (ComparisonResult::SameInputs, LockDiff::default()),
        LockComparison::Differ(diff) => (ComparisonResult::Differ, diff),
    };
    Ok(LockDiffReport {
        result,
        revisions_only: diff.revisions_only(),
        format: diff.format(),
        changes: diff.changes().iter().map(change).collect(),
        fields: diff.fields().iter().map(field).collect(),
        truncated: diff.is_truncated(),
    })
}

impl LockErrorReport {
    fn new(lock: Option<&'static str>, error: &LockParseError) -> Self {
        use LockParseError as E;
        let (code, path) = match error {
            E::TooLarge { .. } => ("too-large", None),
            E::Json(_) => ("json", None),
            E::Field { path, .. } => ("field", Some(path)),
            E::Duplicate { path } => ("duplicate", Some(path)),
            E::DanglingNode { path, .. } => ("dangling-node", Some(path)),
            E::DanglingFollows { path, .. } => ("dangling-follows", Some(path)),
            E::FollowsCycle { path } => ("follows-cycle", Some(path)),
            E::CycleToRoot { path } => ("cycle-to-root", Some(path)),
            E::Limit { path, .. } => ("limit", Some(path)),
        };
        Self {
            lock,
            code,
            path: path.cloned(),
            message: error.to_string(),
        }
    }
}

impl From<LockCompareError> for LockErrorReport {
    fn from(error: LockCompareError) -> Self {
        match error {
            LockCompareError::Old(error) => Self::new(Some("old"), &error),
            LockCompareError::New(error) => Self::new(Some("new"), &error),
        }
    }
}

impl fmt::Display for LockErrorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(lock) = self.lock {
            write!(f, "{lock} lock: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for LockErrorReport {}

fn input(input: LockedInput<'_>) -> InputReport {
    let locked = input.node.locked();
    InputReport {
        name: input.name.to_owned(),
        follows: input.follows.map(texts),
        node: input.node.name().to_owned(),
        flake: input.node.is_flake(),
        source: locked.map(ToString::to_string),
        pin: locked.map(|source| pin(&source.pin())).unwrap_or_default(),
    }
}

fn texts(path: &[Box<str>]) -> Vec<String> {
    path.iter().map(|name| (**name).to_owned()).collect()
}

fn pin(pin: &Pin) -> PinReport {
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    PinReport {
        rev: text(&pin.rev),
        nar_hash: text(&pin.nar_hash),
        last_modified: pin.last_modified,
    }
}

fn target(target: &InputTarget) -> TargetReport {
    match target {
        InputTarget::Locked(locked) => TargetReport::Locked(pin(locked)),
        InputTarget::Follows(path) => TargetReport::Follows {
            follows: texts(path),
        },
    }
}

fn change(change: &InputChange) -> ChangeReport {
    let locked = |it: &Pin| Some(TargetReport::Locked(pin(it)));
    let (old, new, fields) = match &change.change {
        Change::Changed { old, new } => (locked(old), locked(new), &[][..]),
        Change::RePointed { old, new, fields } => (locked(old), locked(new), &fields[..]),
        Change::Added { new } => (None, Some(target(new)), &[][..]),
        Change::Removed { old } => (Some(target(old)), None, &[][..]),
        Change::FollowsChanged { old, new } => (Some(target(old)), Some(target(new)), &[][..]),
    };
    ChangeReport {
        path: texts(&change.path),
        kind: ChangeKind::as_str(change.kind()),
        old,
        new,
        fields: fields.iter().map(field).collect(),
        text: change.to_string(),
    }
}

fn field(change: &FieldChange) -> FieldReport {
    FieldReport {
        field: change.field.to_string(),
        old: change.old.as_ref().map(value),
        new: change.new.as_ref().map(value),
    }
}

fn value(attribute: &Attribute) -> Value {
    match attribute {
        Attribute::Text(text) => json!(text),
        Attribute::Whole(number) => json!(number),
        Attribute::Flag(flag) => json!(flag),
        Attribute::Other(text) => json!({ "json": text }),
    }
}
