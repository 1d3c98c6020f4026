//! One difference between two locks, and its one line for people.

use std::fmt;

use super::error::{Shown, ShownValue};
use super::source::{Attribute, Pin};

/// How one input differs. Renders as one line, for example
/// `nixpkgs abc1234 (2026-01-02) → def5678 (2026-02-03)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputChange {
    /// The names from the root to the input: `["home-manager", "nixpkgs"]`.
    pub path: Vec<Box<str>>,
    /// What differs.
    pub change: Change,
}

/// What differs about an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Another revision of the same source.
    Changed {
        /// Before.
        old: Pin,
        /// After.
        new: Pin,
    },
    /// The input is new.
    Added {
        /// Where it leads.
        new: InputTarget,
    },
    /// The input is gone.
    Removed {
        /// Where it led.
        old: InputTarget,
    },
    /// It comes from another source, was asked for differently, or is no longer pinned. Matters
    /// for security: an update never does this by itself.
    RePointed {
        /// Before.
        old: Pin,
        /// After.
        new: Pin,
        /// The fields that say so.
        fields: Vec<FieldChange>,
    },
    /// It follows another input than before, no longer follows one, or now does.
    FollowsChanged {
        /// Before.
        old: InputTarget,
        /// After.
        new: InputTarget,
    },
}

/// [`Change`] without its contents, for filters, counts and messages between programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// Another revision of the same source.
    Changed,
    /// The input is new.
    Added,
    /// The input is gone.
    Removed,
    /// It comes from another source.
    RePointed,
    /// It follows another input.
    FollowsChanged,
}

/// Where an input leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputTarget {
    /// It is locked by itself.
    Locked(Pin),
    /// It follows the input at this path from the root; empty: the flake itself.
    Follows(Vec<Box<str>>),
}

/// One field that differs between two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// Within the node, for example `locked.owner`.
    pub field: Box<str>,
    /// Before; `None` if it was not there.
    pub old: Option<Attribute>,
    /// After; `None` if it is gone.
    pub new: Option<Attribute>,
}

impl InputChange {
    /// Whether the input is one of the flake itself, not of another input.
    #[must_use]
    pub fn is_root_input(&self) -> bool {
        self.path.len() == 1
    }

    /// What differs, without the details.
    #[must_use]
    pub fn kind(&self) -> ChangeKind {
        match self.change {
            Change::Changed { .. } => ChangeKind::Changed,
            Change::Added { .. } => ChangeKind::Added,
            Change::Removed { .. } => ChangeKind::Removed,
            Change::RePointed { .. } => ChangeKind::RePointed,
            Change::FollowsChanged { .. } => ChangeKind::FollowsChanged,
        }
    }

    /// What exactly was used before, where the input was locked by itself.
    #[must_use]
    pub fn old_pin(&self) -> Option<&Pin> {
        match &self.change {
            Change::Changed { old, .. } | Change::RePointed { old, .. } => Some(old),
            Change::Removed { old } | Change::FollowsChanged { old, .. } => old.pin(),
            Change::Added { .. } => None,
        }
    }

    /// What exactly is used now, where the input is locked by itself.
    #[must_use]
    pub fn new_pin(&self) -> Option<&Pin> {
        match &self.change {
            Change::Changed { new, .. } | Change::RePointed { new, .. } => Some(new),
            Change::Added { new } | Change::FollowsChanged { new, .. } => new.pin(),
            Change::Removed { .. } => None,
        }
    }

    /// Whether the revision is the same but its content is said to be another one. No honest
    /// update does that; a package cache could be made to serve content of somebody's choice.
    #[must_use]
    pub fn is_same_revision_with_other_content(&self) -> bool {
        match &self.change {
            Change::Changed { old, new } => {
                old.rev.is_some() && old.rev == new.rev && old.nar_hash != new.nar_hash
            }
            Change::Added { .. }
            | Change::Removed { .. }
            | Change::RePointed { .. }
            | Change::FollowsChanged { .. } => false,
        }
    }

    pub(super) fn is_ordinary_update(&self) -> bool {
        self.kind() == ChangeKind::Changed && !self.is_same_revision_with_other_content()
    }

    /// About how many bytes of text it keeps.
    pub(super) fn size(&self) -> usize {
        let path = |path: &[Box<str>]| path.iter().map(|name| name.len() + 16).sum::<usize>();
        let pin = |pin: &Pin| {
            [&pin.rev, &pin.nar_hash]
                .into_iter()
                .flatten()
                .map(|text| text.len())
                .sum::<usize>()
        };
        let target = |target: &InputTarget| match target {
            InputTarget::Locked(it) => pin(it),
            InputTarget::Follows(names) => path(names),
        };
        let change = match &self.change {
            Change::Changed { old, new } => pin(old) + pin(new),
            Change::Added { new: it } | Change::Removed { old: it } => target(it),
            Change::FollowsChanged { old, new } => target(old) + target(new),
            Change::RePointed { old, new, fields } => {
                pin(old) + pin(new) + fields.iter().map(FieldChange::size).sum::<usize>()
            }
        };
        path(&self.path) + change + 128
    }
}

impl ChangeKind {
    /// Every kind.
    pub const ALL: [ChangeKind; 5] = [
        ChangeKind::Changed,
        ChangeKind::Added,
        ChangeKind::Removed,
        ChangeKind::RePointed,
        ChangeKind::FollowsChanged,
    ];

    /// The stable spelling, for example `re_pointed`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ChangeKind::Changed => "changed",
            ChangeKind::Added => "added",
            ChangeKind::Removed => "removed",
            ChangeKind::RePointed => "re_pointed",
            ChangeKind::FollowsChanged => "follows_changed",
        }
    }
}

impl InputTarget {
    fn pin(&self) -> Option<&Pin> {
        match self {
            InputTarget::Locked(pin) => Some(pin),
            InputTarget::Follows(_) => None,
        }
    }
}

impl FieldChange {
    fn size(&self) -> usize {
        let value = |value: &Option<Attribute>| match value {
            Some(Attribute::Text(text) | Attribute::Other(text)) => text.len(),
            Some(Attribute::Whole(_) | Attribute::Flag(_)) | None => 0,
        };
        self.field.len() + value(&self.old) + value(&self.new) + 64
    }
}

impl fmt::Display for InputChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_path(f, &self.path)?;
        match &self.change {
            Change::Changed { old, .. } if self.is_same_revision_with_other_content() => {
                write!(f, " {old}: same revision, other content")
            }
            Change::Changed { old, new } => write!(f, " {old} → {new}"),
            Change::Added { new } => write!(f, " added: {new}"),
            Change::Removed { old } => write!(f, " removed: {old}"),
            Change::RePointed { old, new, fields } => {
                write!(f, " re-pointed {old} → {new}: ")?;
                for (index, field) in fields.iter().enumerate() {
                    write!(f, "{}{field}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Change::FollowsChanged { old, new } => write!(f, " {old} → {new}"),
        }
    }
}

impl fmt::Display for InputTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InputTarget::Locked(pin) => pin.fmt(f),
            InputTarget::Follows(path) if path.is_empty() => {
                f.write_str("follows the flake itself")
            }
            InputTarget::Follows(path) => {
                f.write_str("follows ")?;
                write_path(f, path)
            }
        }
    }
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: &Option<Attribute>| match value {
            None => "(none)".to_owned(),
            Some(value) => ShownValue(&value.to_string()).to_string(),
        };
        match self.field.split_once('.') {
            Some((source, name)) => write!(f, "{}.{}", Shown(source), Shown(name))?,
            None => Shown(&self.field).fmt(f)?,
        }
        write!(f, " {} → {}", value(&self.old), value(&self.new))
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn write_path(f: &mut fmt::Formatter<'_>, path: &[Box<str>]) -> fmt::Result {
    for (index, name) in path.iter().enumerate() {
        write!(f, "{}{}", if index == 0 { "" } else { "/" }, Shown(name))?;
    }
    Ok(())
}
