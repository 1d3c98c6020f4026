//! What differs between two nodes, field by field.
//!
//! Closed towards the unknown: only what an ordinary update is known to change counts as another
//! revision, every other difference as another source.

use super::change::{Change, FieldChange};
use super::model::{FlakeLock, LockNode};
use super::source::{Attribute, Source, is_pin, is_revision};

/// How the node of an input differs; `None` if it does not.
pub(super) fn compare_nodes(old: &LockNode, new: &LockNode) -> Option<Change> {
    let mut locked = Vec::new();
    sources("locked", old.locked(), new.locked(), &mut locked);
    let (updates, mut fields): (Vec<_>, Vec<_>) = locked.into_iter().partition(is_update);
    sources("original", old.original(), new.original(), &mut fields);
    let flake = |node: &LockNode| Some(Attribute::Flag(node.is_flake));
    push("flake", flake(old), flake(new), &mut fields);
    let parent = |node: &LockNode| {
        let path = node.parent.as_ref()?;
        Some(Attribute::Other(format!("{path:?}").into()))
    };
    push("parent", parent(old), parent(new), &mut fields);
    unknown(&old.other, &new.other, &mut fields);
    let pin = |node: &LockNode| node.locked().map(Source::pin).unwrap_or_default();
    if !fields.is_empty() {
        return Some(Change::RePointed {
            old: pin(old),
            new: pin(new),
            fields,
        });
    }
    (!updates.is_empty()).then(|| Change::Changed {
        old: pin(old),
        new: pin(new),
    })
}

/// Whether a difference within `locked` is what an ordinary update does.
fn is_update(change: &FieldChange) -> bool {
    let name = change.field.strip_prefix("locked.").unwrap_or_default();
    is_revision(name) && !(is_pin(name) && change.new.is_none())
}

fn sources(prefix: &str, old: Option<&Source>, new: Option<&Source>, to: &mut Vec<FieldChange>) {
    let kind = |source: Option<&Source>| Some(Attribute::Text(source?.kind().as_str().into()));
    push(&format!("{prefix}.type"), kind(old), kind(new), to);
    let old: Vec<_> = old.into_iter().flat_map(Source::attributes).collect();
    let new: Vec<_> = new.into_iter().flat_map(Source::attributes).collect();
    for (old, new) in paired(&old, &new, |(name, _)| name) {
        let values = (old.map(|(_, value)| *value), new.map(|(_, value)| *value));
        if values.0 != values.1
            && let Some((name, _)) = old.or(new)
        {
            let field = format!("{prefix}.{name}");
            push(&field, values.0.cloned(), values.1.cloned(), to);
        }
    }
}

/// Fields of the lock itself that differ and are not known to this version.
pub(super) fn own_fields(old: &FlakeLock, new: &FlakeLock) -> Vec<FieldChange> {
    let mut fields = Vec::new();
    unknown(&old.other, &new.other, &mut fields);
    if let (Some(old), Some(new)) = (old.nodes.get(old.root), new.nodes.get(new.root)) {
        unknown(&old.other, &new.other, &mut fields);
    }
    fields
}

type Fields = [(Box<str>, Attribute)];

fn unknown(old: &Fields, new: &Fields, to: &mut Vec<FieldChange>) {
    for (old, new) in paired(old, new, |(name, _)| name) {
        if let Some((name, _)) = old.or(new) {
            let value = |field: Option<&(Box<str>, Attribute)>| field.map(|(_, it)| it.clone());
            push(name, value(old), value(new), to);
        }
    }
}

fn push(field: &str, old: Option<Attribute>, new: Option<Attribute>, to: &mut Vec<FieldChange>) {
    if old != new {
        to.push(FieldChange {
            field: field.into(),
            old,
            new,
        });
    }
}

/// Pairs the items of two lists that are sorted by the same key.
pub(super) fn paired<'i, T>(
    old: &'i [T],
    new: &'i [T],
    key: impl for<'k> Fn(&'k T) -> &'k str,
) -> impl Iterator<Item = (Option<&'i T>, Option<&'i T>)> {
    let mut old = old.iter().peekable();
    let mut new = new.iter().peekable();
    std::iter::from_fn(move || {
        let (take_old, take_new) = match (old.peek(), new.peek()) {
            (None, None) => return None,
            (Some(_), None) => (true, false),
            (None, Some(_)) => (false, true),
            (Some(before), Some(after)) => {
                let (before, after) = (key(before), key(after));
                (before <= after, before >= after)
            }
        };
        let before = if take_old { old.next() } else { None };
        let after = if take_new { new.next() } else { None };
        Some((before, after))
    })
}
