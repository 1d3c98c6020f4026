//! How changes are written. A change is an object with one name. Compact statuses are entries of
//! an array, and those that follow one another share it: `{"status_updated": [[…], […]]}` is as
//! many changes as it has entries.

use std::fmt;
use std::sync::Arc;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Change, CompactStatus, Delta, StatusUpdate};

pub(super) fn serialize<S: Serializer>(
    changes: &[Change],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    write(changes, |change| change, serializer)
}

/// Changes as serde writes them.
fn write<T, S: Serializer>(
    entries: &[T],
    change: impl Fn(&T) -> &Change,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let is_compact = |entry: &T| compact(change(entry)).is_some();
    let mut written = serializer.serialize_seq(None)?;
    for run in entries.chunk_by(|one, next| is_compact(one) && is_compact(next)) {
        if let [one] = run {
            written.serialize_element(change(one))?;
        } else {
            let status_updated = run.iter().filter_map(|one| compact(change(one))).collect();
            written.serialize_element(&Run { status_updated })?;
        }
    }
    written.end()
}

/// The same as a whole frame, straight into a buffer: what is around changes costs next to nothing.
/// A test compares both.
pub(super) fn frame(out: &mut Vec<u8>, deltas: &[Arc<Delta>]) -> serde_json::Result<()> {
    let Some(first) = deltas.first() else {
        return Ok(());
    };
    out.extend_from_slice(br#"{"type":"delta","payload":{"first":{"epoch":"#);
    serde_json::to_writer(&mut *out, &first.version.epoch)?;
    out.extend_from_slice(br#","number":"#);
    serde_json::to_writer(&mut *out, &first.version.number)?;
    out.extend_from_slice(br#"},"changes":["#);
    let mut in_run = false;
    for (at, delta) in deltas.iter().enumerate() {
        let entry = compact(&delta.change);
        if in_run && entry.is_none() {
            out.extend_from_slice(b"]}");
        }
        if at > 0 {
            out.push(b',');
        }
        match entry {
            Some(status) => {
                if !in_run {
                    out.extend_from_slice(br#"{"status_updated":["#);
                }
                status.write(out)?;
            }
            None => serde_json::to_writer(&mut *out, &delta.change)?,
        }
        in_run = entry.is_some();
    }
    out.extend_from_slice(if in_run { b"]}]}}" } else { b"]}}" });
    Ok(())
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Change>, D::Error> {
    let written: Vec<Written> = Vec::deserialize(deserializer)?;
    let mut changes = Vec::with_capacity(written.len());
    for one in written {
        match one {
            Written::Run { status_updated } => {
                let entries = status_updated.into_iter().map(Box::new);
                changes
                    .extend(entries.map(|one| Change::StatusUpdated(StatusUpdate::Compact(one))));
            }
            Written::One(change) => changes.push(*change),
        }
    }
    Ok(changes)
}

#[derive(Serialize)]
struct Run<'a> {
    status_updated: Vec<&'a CompactStatus>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Run { status_updated: Vec<CompactStatus> },
    One(Box<Change>),
}

fn compact(change: &Change) -> Option<&CompactStatus> {
    if let Change::StatusUpdated(StatusUpdate::Compact(status)) = change {
        Some(status)
    } else {
        None
    }
}

impl Serialize for StatusUpdate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            StatusUpdate::Compact(status) => [status].serialize(serializer),
            StatusUpdate::Whole(status) => status.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for StatusUpdate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = StatusUpdate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("statuses as an object, or one compact entry in an array")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Box::deserialize(MapAccessDeserializer::new(map)).map(StatusUpdate::Whole)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                let [one] = <[_; 1]>::deserialize(SeqAccessDeserializer::new(seq))?;
                Ok(StatusUpdate::Compact(one))
            }
        }

        deserializer.deserialize_any(Either)
    }
}
