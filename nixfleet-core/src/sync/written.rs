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
use crate::ids::StateVersion;

pub(super) fn serialize<S: Serializer>(
    changes: &[Change],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    write(changes, |change| change, serializer)
}

/// A message of the server that borrows what it says; only deltas are said in that way.
#[derive(Serialize)]
#[serde(tag = "type", content = "payload", rename_all = "snake_case")]
pub(super) enum Message<'a> {
    Delta(Frame<'a>),
}

/// [`Deltas`](super::Deltas), borrowed.
#[derive(Serialize)]
pub(super) struct Frame<'a> {
    pub(super) first: StateVersion,
    #[serde(serialize_with = "serialize_deltas")]
    pub(super) changes: &'a [Arc<Delta>],
}

fn serialize_deltas<S: Serializer>(
    deltas: &&[Arc<Delta>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    write(deltas, |delta| &delta.change, serializer)
}

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
