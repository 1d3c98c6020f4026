//! Statuses in few bytes: a moved target changes every host at once, and must not cost more than
//! 80 bytes a host (spec 04).
//!
//! An entry is `["web-0001", "oddduBJSYp", 1, 1, …]`: the host; five letters for the statuses and
//! five for the reasons, both in the order of the compartments, then `+` if the host counts as
//! plain green, then one letter for each attention; then the numbers that these need, in the order
//! of the letters. Everything else is looked up where [`table`] says: in the host, in the desired
//! state, in the pull request, or in the statuses that are replaced.
//!
//! What cannot be looked up travels whole: see [`SyncLog::publish`](super::SyncLog::publish).

mod attention;
mod lookup;
pub mod table;

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{StatusView, SyncState};
use crate::compartment::{Reason, Status};
use crate::ids::HostId;
use lookup::Numbers;
pub(super) use lookup::World;

/// The statuses of a host in few bytes, to be filled in from the state that a client has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactStatus {
    /// The host.
    pub id: HostId,
    /// Statuses, reasons and attentions, one letter each.
    pub letters: String,
    /// The numbers that these need.
    pub numbers: Vec<i64>,
}

impl CompactStatus {
    /// The statuses without what can be looked up.
    #[must_use]
    pub fn of(view: &StatusView) -> Self {
        let mut letters = String::with_capacity(12);
        let mut numbers = Vec::new();
        letters.extend(view.s.iter().map(|status| lookup::status_letter(*status)));
        for reason in &view.r {
            letters.push(lookup::tell(reason, &mut numbers));
        }
        if view.g {
            letters.push(table::GREEN);
        }
        for one in &view.a {
            letters.push(attention::tell(one, &mut numbers));
        }
        Self {
            id: view.id.clone(),
            letters,
            numbers,
        }
    }

    /// The whole statuses, filled in from the state just before this change; `None` if something
    /// is not there, or means nothing here.
    #[must_use]
    pub fn whole(&self, state: &SyncState) -> Option<StatusView> {
        self.whole_in(&World::of(&self.id, state)?)
    }

    pub(super) fn whole_in(&self, world: &World<'_>) -> Option<StatusView> {
        let before = world.before;
        let mut letters = self.letters.chars();
        let mut numbers: Numbers<'_> = self.numbers.iter().copied();

        let mut s = [Status::Unknown; 5];
        for slot in &mut s {
            *slot = lookup::status(letters.next()?)?;
        }
        let mut r = [Reason::AgentNotReported; 5];
        for (index, slot) in r.iter_mut().enumerate() {
            let before = before.and_then(|view| view.r.get(index));
            *slot = lookup::reason(letters.next()?, &mut numbers, world, before)?;
        }
        let g = letters.as_str().starts_with(table::GREEN);
        let attentions = letters.skip(usize::from(g));
        let read = |letter| attention::read(letter, &mut numbers, world);
        let a = attentions.map(read).collect::<Option<Vec<_>>>()?;
        numbers.next().is_none().then(|| StatusView {
            id: self.id.clone(),
            s,
            r,
            a,
            g,
        })
    }
}

impl CompactStatus {
    /// Writes it as JSON, as serde does.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        out.push(b'[');
        write_text(out, self.id.as_str())?;
        out.push(b',');
        write_text(out, &self.letters)?;
        for number in &self.numbers {
            out.push(b',');
            serde_json::to_writer(&mut *out, number)?;
        }
        out.push(b']');
        Ok(())
    }
}

/// Ids and letters need no escape: they are what they are between quotes.
fn write_text(out: &mut Vec<u8>, text: &str) -> serde_json::Result<()> {
    let plain = |byte: u8| byte.is_ascii_graphic() & (byte != b'"') & (byte != b'\\');
    if !text.bytes().fold(true, |all, byte| all & plain(byte)) {
        return serde_json::to_writer(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
    Ok(())
}

impl Serialize for CompactStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entry = serializer.serialize_seq(Some(2 + self.numbers.len()))?;
        entry.serialize_element(&self.id)?;
        entry.serialize_element(&self.letters)?;
        for number in &self.numbers {
            entry.serialize_element(number)?;
        }
        entry.end()
    }
}

impl<'de> Deserialize<'de> for CompactStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;

        impl<'de> Visitor<'de> for Entry {
            type Value = CompactStatus;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("compact statuses: a host, letters, and numbers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entry: A) -> Result<Self::Value, A::Error> {
                let missing = |position| A::Error::invalid_length(position, &self);
                let id = entry.next_element()?.ok_or_else(|| missing(0))?;
                let letters = entry.next_element()?.ok_or_else(|| missing(1))?;
                let mut numbers = Vec::new();
                while let Some(number) = entry.next_element()? {
                    numbers.push(number);
                }
                Ok(CompactStatus {
                    id,
                    letters,
                    numbers,
                })
            }
        }

        deserializer.deserialize_seq(Entry)
    }
}
