//! What differs between two locks, input by input.
//!
//! Nodes are compared along the paths that lead to them, because the names of nodes are not stable:
//! `nixpkgs_2` of one lock may be `nixpkgs_5` of the next. A node that several inputs share
//! (versions 5 and 6) is compared once, on the shortest path.

use std::collections::{BTreeSet, VecDeque};

use super::change::{Change, FieldChange, InputChange, InputTarget};
use super::compare::{compare_nodes, own_fields, paired};
use super::error::LockParseError;
use super::model::{Edge, FlakeLock, LockNode, Target};
use super::parse::MAX_INPUT_DEPTH;
use super::source::Source;

/// The most inputs that are looked at; real locks have some hundreds.
const MAX_VISITS: usize = 200_000;
/// The most text that a diff keeps, in bytes.
const MAX_TEXT: usize = 4 * 1024 * 1024;

/// What differs between two locks. Empty means: no input differs, and nothing else that is known
/// to have a meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockDiff {
    /// Root inputs and nested ones, sorted by path.
    changes: Vec<InputChange>,
    /// The version of the format, if it differs.
    format: Option<(u8, u8)>,
    /// Fields of the lock itself that differ and are not known to this version.
    fields: Vec<FieldChange>,
    truncated: bool,
}

/// What comparing the bytes of two locks showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockComparison {
    /// The bytes are the same.
    SameBytes,
    /// The bytes differ, but no input does: reformatted, or only the names of nodes changed.
    SameInputs,
    /// Inputs differ.
    Differ(LockDiff),
}

/// One of two locks could not be read, so there is nothing to compare.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockCompareError {
    /// The first one.
    #[error("the old flake.lock cannot be read: {0}")]
    Old(#[source] LockParseError),
    /// The second one.
    #[error("the new flake.lock cannot be read: {0}")]
    New(#[source] LockParseError),
}

/// Compares two locks as bytes, then as inputs.
///
/// # Errors
/// [`LockCompareError`] if the bytes differ and one of them is not a lock.
///
/// ```
/// use nixfleet_core::{LockComparison, lock};
/// let compact = br#"{"version":7,"root":"root","nodes":{"root":{}}}"#;
/// let spaced = br#"{"version": 7, "root": "root", "nodes": {"root": {}}}"#;
/// assert_eq!(lock::compare(compact, compact).unwrap(), LockComparison::SameBytes);
/// assert_eq!(lock::compare(compact, spaced).unwrap(), LockComparison::SameInputs);
/// assert!(lock::compare(compact, b"{").is_err());
/// ```
pub fn compare(old: &[u8], new: &[u8]) -> Result<LockComparison, LockCompareError> {
    if old == new {
        return Ok(LockComparison::SameBytes);
    }
    let old = FlakeLock::parse(old).map_err(LockCompareError::Old)?;
    let new = FlakeLock::parse(new).map_err(LockCompareError::New)?;
    let diff = diff(&old, &new);
    Ok(if diff.is_empty() {
        LockComparison::SameInputs
    } else {
        LockComparison::Differ(diff)
    })
}

/// What differs from `old` to `new`, for root inputs and nested ones.
///
/// ```
/// use nixfleet_core::{FlakeLock, lock};
/// let read = |owner: &str, rev: char, date: u64| {
///     let rev = rev.to_string().repeat(40);
///     FlakeLock::parse(format!(r#"{{"version": 7, "root": "root", "nodes": {{
///         "root": {{"inputs": {{"pkgs": "pkgs"}}}},
///         "pkgs": {{
///             "locked": {{"type": "github", "owner": "{owner}", "repo": "b", "rev": "{rev}", "lastModified": {date}}},
///             "original": {{"type": "github", "owner": "a", "repo": "b"}}
///     }}}}}}"#).as_bytes()).unwrap()
/// };
/// let old = read("a", '1', 1767312000);
/// let update = lock::diff(&old, &read("a", '2', 1770076800));
/// assert_eq!(update.changes()[0].to_string(), "pkgs 1111111 (2026-01-02) → 2222222 (2026-02-03)");
/// assert!(update.revisions_only());
///
/// let moved = lock::diff(&old, &read("x", '2', 1770076800));
/// assert_eq!(
///     moved.changes()[0].to_string(),
///     "pkgs re-pointed 1111111 (2026-01-02) → 2222222 (2026-02-03): locked.owner a → x",
/// );
/// assert!(!moved.revisions_only());
/// ```
#[must_use]
pub fn diff(old: &FlakeLock, new: &FlakeLock) -> LockDiff {
    let mut walk = Walk {
        old,
        new,
        trail: Vec::new(),
        queue: VecDeque::from([Visit::Both(old.root, new.root, None)]),
        seen: BTreeSet::new(),
        visits: 0,
        text: 0,
        result: LockDiff {
            format: (old.version != new.version).then_some((old.version, new.version)),
            fields: own_fields(old, new),
            ..LockDiff::default()
        },
    };
    walk.run();
    let mut result = walk.result;
    result.changes.sort_by(|a, b| a.path.cmp(&b.path));
    result
}

impl LockDiff {
    /// Every input that differs, sorted by path.
    #[must_use]
    pub fn changes(&self) -> &[InputChange] {
        &self.changes
    }

    /// The inputs of the flake itself that differ.
    pub fn root_changes(&self) -> impl Iterator<Item = &InputChange> {
        self.changes.iter().filter(|change| change.is_root_input())
    }

    /// The version of the format before and after, if it differs.
    #[must_use]
    pub fn format(&self) -> Option<(u8, u8)> {
        self.format
    }

    /// Fields of the lock itself that differ and whose meaning is not known.
    #[must_use]
    pub fn fields(&self) -> &[FieldChange] {
        &self.fields
    }

    /// Whether nothing differs. If the bytes do, it was a reformatting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.format.is_none()
            && self.fields.is_empty()
            && !self.truncated
    }

    /// Whether there was more to compare than is kept; then the list is not complete.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Whether this is an ordinary update: every difference is another revision of the same
    /// source. False as soon as an input was added, removed, re-pointed or made to follow another
    /// one, lost its pin, got other content under an unchanged revision, or anything differs that
    /// is not understood. An empty diff is an ordinary update.
    #[must_use]
    pub fn revisions_only(&self) -> bool {
        !self.truncated
            && self.format.is_none()
            && self.fields.is_empty()
            && self.changes.iter().all(InputChange::is_ordinary_update)
    }
}

/// Where the walk goes next. The last value is the path so far, as a position in the trail.
enum Visit {
    Both(usize, usize, Option<usize>),
    OldOnly(usize, Option<usize>),
    NewOnly(usize, Option<usize>),
}

struct Walk<'l> {
    old: &'l FlakeLock,
    new: &'l FlakeLock,
    /// Steps of paths, each with the step before it and the length of the path.
    trail: Vec<(Option<usize>, &'l str, usize)>,
    queue: VecDeque<Visit>,
    seen: BTreeSet<(Option<usize>, Option<usize>)>,
    visits: usize,
    text: usize,
    result: LockDiff,
}

impl<'l> Walk<'l> {
    fn run(&mut self) {
        let (old_nodes, new_nodes) = (&self.old.nodes, &self.new.nodes);
        while let Some(visit) = self.queue.pop_front() {
            let (old, new, path) = match visit {
                Visit::Both(old, new, path) => (old_nodes.get(old), new_nodes.get(new), path),
                Visit::OldOnly(old, path) => (old_nodes.get(old), None, path),
                Visit::NewOnly(new, path) => (None, new_nodes.get(new), path),
            };
            let old = old.map_or(&[][..], |node| &node.inputs);
            let new = new.map_or(&[][..], |node| &node.inputs);
            for (old, new) in paired(old, new, |edge| &edge.name) {
                if self.visits >= MAX_VISITS || self.text >= MAX_TEXT {
                    self.result.truncated = true;
                    return;
                }
                self.visits += 1;
                self.input(old, new, path);
            }
        }
    }

    fn input(&mut self, old: Option<&'l Edge>, new: Option<&'l Edge>, path: Option<usize>) {
        let Some(name) = old.or(new).map(|edge| &*edge.name) else {
            return;
        };
        let length = path
            .and_then(|step| self.trail.get(step))
            .map_or(1, |(_, _, length)| length + 1);
        if length > MAX_INPUT_DEPTH {
            self.result.truncated = true;
            return;
        }
        self.trail.push((path, name, length));
        let here = Some(self.trail.len() - 1);
        match (old.map(|edge| &edge.target), new.map(|edge| &edge.target)) {
            (None, None) => {}
            (None, Some(new)) => {
                let new_target = target(self.new, new);
                self.report(here, Change::Added { new: new_target });
                self.enter(None, Some(new), here);
            }
            (Some(old), None) => {
                let old_target = target(self.old, old);
                self.report(here, Change::Removed { old: old_target });
                self.enter(Some(old), None, here);
            }
            (Some(old @ Target::Node(before)), Some(new @ Target::Node(after))) => {
                let nodes = (self.old.nodes.get(*before), self.new.nodes.get(*after));
                if self.enter(Some(old), Some(new), here)
                    && let (Some(before), Some(after)) = nodes
                    && let Some(change) = compare_nodes(before, after)
                {
                    self.report(here, change);
                }
            }
            (Some(Target::Follows { path: before, .. }), Some(Target::Follows { path, .. }))
                if before == path => {}
            (
                Some(old @ (Target::Node(_) | Target::Follows { .. })),
                Some(new @ (Target::Node(_) | Target::Follows { .. })),
            ) => {
                let (before, after) = (target(self.old, old), target(self.new, new));
                let change = Change::FollowsChanged {
                    old: before,
                    new: after,
                };
                self.report(here, change);
                self.enter(Some(old), None, here);
                self.enter(None, Some(new), here);
            }
        }
    }

    /// Queues the inputs of what is locked here; false if that was done on another path.
    fn enter(&mut self, old: Option<&Target>, new: Option<&Target>, path: Option<usize>) -> bool {
        let own = |target: Option<&Target>| match target {
            Some(Target::Node(node)) => Some(*node),
            Some(Target::Follows { .. }) | None => None,
        };
        let pair = (own(old), own(new));
        let visit = match pair {
            (None, None) => return false,
            (Some(old), None) => Visit::OldOnly(old, path),
            (None, Some(new)) => Visit::NewOnly(new, path),
            (Some(old), Some(new)) => Visit::Both(old, new, path),
        };
        let first = self.seen.insert(pair);
        if first {
            self.queue.push_back(visit);
        }
        first
    }

    fn report(&mut self, step: Option<usize>, change: Change) {
        let mut path = Vec::new();
        let mut next = step;
        while let Some((before, name, _)) = next.and_then(|step| self.trail.get(step)) {
            path.push((*name).into());
            next = *before;
        }
        path.reverse();
        let change = InputChange { path, change };
        self.text += change.size();
        self.result.changes.push(change);
    }
}

fn target(lock: &FlakeLock, target: &Target) -> InputTarget {
    match target {
        Target::Follows { path, .. } => InputTarget::Follows(path.clone()),
        Target::Node(node) => {
            let locked = lock.nodes.get(*node).and_then(LockNode::locked);
            InputTarget::Locked(locked.map(Source::pin).unwrap_or_default())
        }
    }
}
