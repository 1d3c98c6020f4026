//! The few facts about the root inputs of a lock that are worth keeping for every old version.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};

use super::error::Shown;
use super::model::{FlakeLock, LockedInput};
use super::source::{Attribute, Source, is_revision, write_pin};

/// The root inputs of one version of a lock: about a hundred bytes for each. Share it in an `Arc`.
///
/// ```
/// use nixfleet_core::{FlakeLock, diff_summaries};
/// let lock = |rev: char, date: u64| {
///     let rev = rev.to_string().repeat(40);
///     FlakeLock::parse(format!(r#"{{"version": 7, "root": "root", "nodes": {{
///         "root": {{"inputs": {{"pkgs": "pkgs"}}}},
///         "pkgs": {{
///             "locked": {{"type": "github", "owner": "a", "repo": "b", "rev": "{rev}", "lastModified": {date}}},
///             "original": {{"type": "github", "owner": "a", "repo": "b"}}
///     }}}}}}"#).as_bytes()).unwrap().summary()
/// };
/// let changes = diff_summaries(&lock('a', 1767312000), &lock('b', 1770076800));
/// assert_eq!(changes[0].to_string(), "pkgs aaaaaaa (2026-01-02) → bbbbbbb (2026-02-03)");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockSummary {
    /// Sorted by name.
    inputs: Box<[InputSummary]>,
}

/// One root input in a [`LockSummary`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputSummary {
    name: Box<str>,
    pin: ShortPin,
    /// Digest of where the input comes from.
    place: u64,
    /// Digest of what exactly is used of it.
    revision: u64,
}

/// A revision cut for people, with its date. Renders as `abc1234 (2026-01-02)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortPin {
    /// The first seven digits of the revision; without one, the start of the hash of the content.
    pub short: Box<str>,
    /// When the content was last changed, in seconds since the Unix epoch.
    pub last_modified: Option<u64>,
}

/// How one root input differs between two summaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SummaryChange {
    /// Another revision of the same source.
    Changed {
        /// The input.
        name: Box<str>,
        /// Before.
        old: ShortPin,
        /// After.
        new: ShortPin,
    },
    /// Another source.
    RePointed {
        /// The input.
        name: Box<str>,
        /// Before.
        old: ShortPin,
        /// After.
        new: ShortPin,
    },
    /// The input is new.
    Added {
        /// The input.
        name: Box<str>,
        /// What it is locked to.
        new: ShortPin,
    },
    /// The input is gone.
    Removed {
        /// The input.
        name: Box<str>,
        /// What it was locked to.
        old: ShortPin,
    },
}

impl LockSummary {
    /// The root inputs, sorted by name.
    #[must_use]
    pub fn inputs(&self) -> &[InputSummary] {
        &self.inputs
    }
}

impl InputSummary {
    /// The name the flake gives the input.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Revision and date, for people.
    #[must_use]
    pub fn pin(&self) -> &ShortPin {
        &self.pin
    }
}

impl SummaryChange {
    /// The input.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            SummaryChange::Changed { name, .. }
            | SummaryChange::RePointed { name, .. }
            | SummaryChange::Added { name, .. }
            | SummaryChange::Removed { name, .. } => name,
        }
    }
}

impl FlakeLock {
    /// The facts about the root inputs that are kept for old versions of a lock.
    #[must_use]
    pub fn summary(&self) -> LockSummary {
        LockSummary {
            inputs: self.root_inputs().map(|input| summarise(&input)).collect(),
        }
    }
}

/// How the root inputs differ, sorted by name; empty if they do not.
#[must_use]
pub fn diff_summaries(old: &LockSummary, new: &LockSummary) -> Vec<SummaryChange> {
    let mut pairs: BTreeMap<&str, (Option<&InputSummary>, Option<&InputSummary>)> = BTreeMap::new();
    for input in &old.inputs {
        pairs.entry(&input.name).or_default().0 = Some(input);
    }
    for input in &new.inputs {
        pairs.entry(&input.name).or_default().1 = Some(input);
    }
    pairs
        .into_iter()
        .filter_map(|(name, pair)| change(name, pair))
        .collect()
}

fn change(
    name: &str,
    pair: (Option<&InputSummary>, Option<&InputSummary>),
) -> Option<SummaryChange> {
    let name = name.into();
    match pair {
        (None, None) => None,
        (None, Some(new)) => Some(SummaryChange::Added {
            name,
            new: new.pin.clone(),
        }),
        (Some(old), None) => Some(SummaryChange::Removed {
            name,
            old: old.pin.clone(),
        }),
        (Some(old), Some(new)) if old.place != new.place => Some(SummaryChange::RePointed {
            name,
            old: old.pin.clone(),
            new: new.pin.clone(),
        }),
        (Some(old), Some(new)) if old.revision != new.revision => Some(SummaryChange::Changed {
            name,
            old: old.pin.clone(),
            new: new.pin.clone(),
        }),
        (Some(_), Some(_)) => None,
    }
}

fn summarise(input: &LockedInput<'_>) -> InputSummary {
    let mut place = Fingerprint::default();
    let mut revision = Fingerprint::default();
    place.flag(input.node.is_flake());
    for name in input.follows.into_iter().flatten() {
        place.text(name);
    }
    let locked = input.node.locked();
    for (name, value) in locked.into_iter().flat_map(Source::attributes) {
        if is_revision(name) {
            revision.attribute(name, value);
        } else {
            place.attribute(name, value);
        }
    }
    for source in locked.into_iter().chain(input.node.original()) {
        place.text(source.kind().as_str());
    }
    for (name, value) in input
        .node
        .original()
        .into_iter()
        .flat_map(Source::attributes)
    {
        place.text("original");
        place.attribute(name, value);
    }
    let pin = locked.map(Source::pin).unwrap_or_default();
    InputSummary {
        name: input.name.into(),
        pin: ShortPin {
            short: pin.short().into(),
            last_modified: pin.last_modified,
        },
        place: place.finish(),
        revision: revision.finish(),
    }
}

/// A digest of texts in which every text has a length, so that no two lists of texts run together.
#[derive(Default)]
struct Fingerprint(Sha256);

impl Fingerprint {
    fn text(&mut self, text: &str) {
        self.0
            .update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
        self.0.update(text);
    }

    fn flag(&mut self, flag: bool) {
        self.0.update([u8::from(flag)]);
    }

    fn attribute(&mut self, name: &str, value: &Attribute) {
        self.text(name);
        self.text(&value.to_string());
    }

    fn finish(self) -> u64 {
        let digest: [u8; 32] = self.0.finalize().into();
        digest
            .into_iter()
            .take(8)
            .fold(0, |number, byte| number << 8 | u64::from(byte))
    }
}

impl fmt::Display for ShortPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pin(f, &self.short, self.last_modified)
    }
}

impl fmt::Display for SummaryChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Shown(self.name()))?;
        match self {
            SummaryChange::Changed { old, new, .. } => write!(f, " {old} → {new}"),
            SummaryChange::RePointed { old, new, .. } => write!(f, " re-pointed {old} → {new}"),
            SummaryChange::Added { new, .. } => write!(f, " added: {new}"),
            SummaryChange::Removed { old, .. } => write!(f, " removed: {old}"),
        }
    }
}
