//! How changes are written. A change is an object with one name. Compact statuses are entries of
//! an array, and those that follow one another share it: `{"status_updated": [[…], […]]}` is as
//! many changes as it has entries.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Change, CompactStatus, StatusUpdate};

pub(super) fn serialize<S: Serializer>(
    changes: &[Change],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let runs = || changes.chunk_by(|one, next| compact(one).is_some() && compact(next).is_some());
    let mut written = serializer.serialize_seq(Some(runs().count()))?;
    for run in runs() {
        if let [change] = run {
            written.serialize_element(change)?;
        } else {
            let status_updated = run.iter().filter_map(compact).collect();
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
