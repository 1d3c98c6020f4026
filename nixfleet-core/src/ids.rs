//! Identifiers as types: parsed once at the edge, never re-checked inside.
//!
//! Hashes and commits are fixed-size bytes, so facts can be copied and compared without
//! allocation; text is made only when a person or a peer needs it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not the identifier it should be. Names what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: expected {expected}")]
pub struct IdError {
    /// The kind of identifier, for example `lock hash`.
    pub what: &'static str,
    /// What a valid one looks like.
    pub expected: &'static str,
}

/// No digit.
const NONE: u8 = 0xff;

/// The value of each byte as a hex digit, or [`NONE`].
static DIGITS: [u8; 256] = {
    let mut digits = [NONE; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value] as usize] = value as u8;
        digits[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

fn digit(byte: u8) -> u8 {
    DIGITS.get(usize::from(byte)).copied().unwrap_or(NONE)
}

/// Decodes hex digits into `out`, high nibble first; `None` if any byte is not a hex digit or
/// there are more digits than `out` holds.
fn decode_nibbles(text: &str, out: &mut [u8]) -> Option<()> {
    if text.len() > out.len() * 2 {
        return None;
    }
    let (pairs, last) = text.as_bytes().as_chunks::<2>();
    let mut seen = 0;
    let mut slots = out.iter_mut();
    for (&[high, low], slot) in pairs.iter().zip(&mut slots) {
        let (high, low) = (digit(high), digit(low));
        seen |= high | low;
        *slot = high << 4 | low & 0x0f;
    }
    if let ([last], Some(slot)) = (last, slots.next()) {
        let high = digit(*last);
        seen |= high;
        *slot = high << 4;
    }
    (seen < 16).then_some(())
}

/// Decodes up to 64 hex digits; bytes without digits are 0. `None` if any byte is not a hex digit.
/// All digits are looked at alike, so that a compiler can take many at once.
fn decode_hash(text: &str) -> Option<[u8; 32]> {
    let mut digits = [b'0'; 64];
    digits
        .get_mut(..text.len())?
        .copy_from_slice(text.as_bytes());
    let mut bad = 0;
    for byte in &mut digits {
        let number = byte.wrapping_sub(b'0');
        let letter = (*byte | 0x20).wrapping_sub(b'a');
        bad |= u8::from(number >= 10) & u8::from(letter >= 6);
        *byte = if number < 10 {
            number
        } else {
            letter.wrapping_add(10)
        };
    }
    let mut bytes = [0; 32];
    let (pairs, _) = digits.as_chunks::<2>();
    for (&[high, low], byte) in pairs.iter().zip(&mut bytes) {
        *byte = high << 4 | low;
    }
    (bad == 0).then_some(bytes)
}

/// Hex digits on the stack: no allocation for every hash that is written.
struct HexText {
    digits: [u8; 64],
    used: usize,
}

impl HexText {
    fn of(bytes: &[u8]) -> Self {
        let mut text = Self {
            digits: [b'0'; 64],
            used: bytes.len().min(32) * 2,
        };
        if let (Some(out), Some(bytes)) = (
            text.digits.get_mut(..text.used),
            bytes.get(..32.min(bytes.len())),
        ) {
            // The lengths fit: there are two digits for each byte.
            hex::encode_to_slice(bytes, out).ok();
        }
        text
    }

    fn as_str(&self) -> &str {
        let digits = self.digits.get(..self.used).unwrap_or_default();
        std::str::from_utf8(digits).unwrap_or_default()
    }
}

macro_rules! text_serde {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        text_serde!(read $name);
    };
    // Its digits are a text as it is.
    (hex $name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.digits().as_str())
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.digits().as_str())
            }
        }
        text_serde!(read $name);
    };
    (read $name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

/// The SHA-256 of the bytes of a `flake.lock` (spec 01, compartment `lock`).
///
/// ```
/// use nixfleet_core::{LockHash, lock_hash};
/// let hash = lock_hash(b"");
/// assert_eq!(hash.short(), "e3b0c442");
/// assert_eq!(hash.to_string().parse::<LockHash>().unwrap(), hash);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockHash([u8; 32]);

impl LockHash {
    /// A hash from its 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn digits(&self) -> HexText {
        HexText::of(&self.0)
    }

    /// The first sixteen digits as a number: ordered like the hashes.
    pub(crate) fn head(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// The first eight digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(self.0.get(..4).unwrap_or_default())
    }
}

impl FromStr for LockHash {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bytes = (text.len() == 64).then(|| decode_hash(text)).flatten();
        bytes.map(Self).ok_or(IdError {
            what: "lock hash",
            expected: "64 hex digits (SHA-256)",
        })
    }
}
text_serde!(hex LockHash);

/// A full git commit id: 40 (SHA-1) or 64 (SHA-256) hex digits, kept in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId {
    bytes: [u8; 32],
    long: bool,
}

impl CommitId {
    fn digits(&self) -> HexText {
        let used = if self.long { 32 } else { 20 };
        HexText::of(self.bytes.get(..used).unwrap_or_default())
    }

    /// The first seven digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(7);
        text
    }

    /// The first sixteen digits as a number: ordered like the ids.
    pub(crate) fn head(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.bytes;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// Whether the digits of `prefix` begin this commit id.
    #[must_use]
    pub fn starts_with(&self, prefix: &CommitPrefix) -> bool {
        let whole = usize::from(prefix.digits / 2);
        let same_bytes = self.bytes.get(..whole) == prefix.bytes.get(..whole);
        let odd = prefix.digits % 2 == 1;
        let same_nibble = !odd
            || self.bytes.get(whole).map(|byte| byte >> 4)
                == prefix.bytes.get(whole).map(|byte| byte >> 4);
        same_bytes && same_nibble
    }
}

impl FromStr for CommitId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let long = text.len() == 64;
        let bytes = (long || text.len() == 40)
            .then(|| decode_hash(text))
            .flatten();
        let id = bytes.map(|bytes| Self { bytes, long });
        id.ok_or(IdError {
            what: "commit",
            expected: "40 or 64 hex digits",
        })
    }
}
text_serde!(hex CommitId);

/// An abbreviated commit id of 7 to 63 hex digits (but not 40), as existing agents report it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitPrefix {
    bytes: [u8; 32],
    digits: u8,
}

impl CommitPrefix {
    fn digits(&self) -> HexText {
        let mut text = HexText::of(&self.bytes);
        text.used = self.digits.into();
        text
    }
}

impl FromStr for CommitPrefix {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut bytes = [0; 32];
        let length = text.len();
        if (7..64).contains(&length) && length != 40 && decode_nibbles(text, &mut bytes).is_some() {
            return Ok(Self {
                bytes,
                digits: u8::try_from(length).unwrap_or(0),
            });
        }
        Err(IdError {
            what: "abbreviated commit",
            expected: "7 to 63 hex digits",
        })
    }
}
text_serde!(hex CommitPrefix);

/// A commit as a host reports it: full, or abbreviated by an existing agent (spec 01, Facts).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CommitRef {
    /// All 40 or 64 digits.
    Full(CommitId),
    /// At least seven digits; matches only by the rules of spec 01.
    Abbreviated(CommitPrefix),
}

impl CommitRef {
    /// The full id, unless abbreviated.
    #[must_use]
    pub const fn full(&self) -> Option<CommitId> {
        match self {
            CommitRef::Full(id) => Some(*id),
            CommitRef::Abbreviated(_) => None,
        }
    }

    /// The first seven digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(7);
        text
    }
}

impl From<CommitId> for CommitRef {
    fn from(id: CommitId) -> Self {
        CommitRef::Full(id)
    }
}

impl fmt::Display for CommitRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommitRef::Full(id) => id.fmt(f),
            CommitRef::Abbreviated(prefix) => prefix.fmt(f),
        }
    }
}

impl FromStr for CommitRef {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if let Ok(id) = text.parse() {
            return Ok(CommitRef::Full(id));
        }
        text.parse()
            .map(CommitRef::Abbreviated)
            .map_err(|_| IdError {
                what: "commit",
                expected: "40 or 64 hex digits, or at least 7 of an abbreviated one",
            })
    }
}
impl Serialize for CommitRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            CommitRef::Full(id) => id.serialize(serializer),
            CommitRef::Abbreviated(prefix) => prefix.serialize(serializer),
        }
    }
}
text_serde!(read CommitRef);

macro_rules! uuid {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// An id from the 16 bytes of a UUID.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes of the UUID.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                read_uuid(text).map(Self).ok_or(IdError {
                    what: $what,
                    expected: "a UUID like 01939b0a-7c1e-7000-8000-000000000001",
                })
            }
        }
        text_serde!($name);
    };
}

fn write_uuid(bytes: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let text = hex::encode(bytes);
    for (index, (from, to)) in [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)]
        .into_iter()
        .enumerate()
    {
        if index > 0 {
            f.write_str("-")?;
        }
        f.write_str(text.get(from..to).unwrap_or_default())?;
    }
    Ok(())
}

fn read_uuid(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    let dashes = [8, 13, 18, 23]
        .iter()
        .all(|&at| text.as_bytes().get(at) == Some(&b'-'));
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    if text.len() != 36 || !dashes || digits.len() != 32 {
        return None;
    }
    decode_nibbles(&digits, &mut bytes)?;
    Some(bytes)
}

uuid! {
    /// The unique id of one command: a UUID (version 7, made by the adapter), spec 02 rule 2.
    CommandId, "command id"
}

uuid! {
    /// The unique id of one rollout: a UUID (version 7, made by the adapter).
    RolloutId, "rollout id"
}

/// The id of a plan: the SHA-256 of its canonical JSON (spec 05). A confirmation names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanId([u8; 32]);

impl PlanId {
    /// An id from its 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for PlanId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut bytes = [0; 32];
        if text.len() == 64 && decode_nibbles(text, &mut bytes).is_some() {
            return Ok(Self(bytes));
        }
        Err(IdError {
            what: "plan id",
            expected: "64 hex digits, as the plan tells it",
        })
    }
}
text_serde!(PlanId);

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, $max:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let valid: fn(&str) -> bool = $valid;
                if text.is_empty() || text.len() > $max || !valid(text) {
                    return Err(IdError { what: $what, expected: $expected });
                }
                Ok(Self(text.into()))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        text_serde!(read $name);
    };
}

fn word_characters(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

checked_text! {
    /// The identity of a host: its host name (letters, digits, `.`, `_`, `-`; starts with a letter or digit).
    HostId, "host", "1 to 253 letters, digits, '.', '_' or '-', starting with a letter or digit", 253,
    |text| word_characters(text) && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) && !text.contains("..")
}

checked_text! {
    /// The store path (or, on platform `custom`, any name) of a built or running system.
    StorePath, "store path", "1 to 1024 printable characters", 1024,
    |text| is_plain(text) || text.chars().all(|c| !c.is_control())
}

/// Whether all of it is printable ASCII, as nearly every path is.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| (0x20..0x7f).contains(&byte);
    text.bytes().fold(true, |all, byte| all & plain(byte))
}

impl StorePath {
    /// Whether equal paths mean equal systems: a path in the Nix store. Any other path is only a
    /// name, and may stay the same while what it names changes.
    #[must_use]
    pub fn is_content_addressed(&self) -> bool {
        self.0.starts_with("/nix/store/")
    }
}

checked_text! {
    /// A short opaque token from a peer: an instance id, boot id or machine id hash.
    Token, "token", "1 to 128 letters, digits, '.', '_' or '-'", 128, word_characters
}

/// The strictly rising number of a command within its host (spec 02 rule 3).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The next number.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// One connection of one agent to one server process; numbers are never used twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnectionId(pub u64);

/// The version of the synchronised state: `(epoch, number)`, compared in that order (spec 04).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct StateVersion {
    /// Changes only when continuity is lost (restore from backup).
    pub epoch: u64,
    /// Rises by one with every change.
    pub number: u64,
}

impl StateVersion {
    /// The version after one more change.
    #[must_use]
    pub const fn next(self) -> Self {
        Self {
            epoch: self.epoch,
            number: self.number.saturating_add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_kept_in_lower_case_and_round_trip() {
        let text = "ABCDEF0123456789abcdef0123456789abcdef01";
        let id: CommitId = text.parse().unwrap();
        assert_eq!(id.to_string(), text.to_lowercase());
        assert_eq!(id.short(), "abcdef0");
        let long = "a".repeat(64);
        assert_eq!(long.parse::<CommitId>().unwrap().to_string(), long);
        for bad in ["", "abc", &"g".repeat(40), &"a".repeat(41)] {
            assert!(bad.parse::<CommitId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn prefixes_match_digit_by_digit() {
        let id: CommitId = "abcdef0123456789abcdef0123456789abcdef01".parse().unwrap();
        for (prefix, matches) in [
            ("abcdef0", true),
            ("abcdef01", true),
            ("abcdef1", false),
            ("abcdef02", false),
        ] {
            assert_eq!(
                id.starts_with(&prefix.parse().unwrap()),
                matches,
                "{prefix}"
            );
        }
        assert!("abcdef".parse::<CommitRef>().is_err());
    }

    #[test]
    fn command_ids_are_uuids() {
        let text = "01939b0a-7c1e-7000-8000-0000000000ff";
        assert_eq!(text.parse::<CommandId>().unwrap().to_string(), text);
        for bad in [
            "",
            "01939b0a7c1e700080000000000000ff",
            "01939b0a-7c1e-7000-8000-0000000000fg",
        ] {
            assert!(bad.parse::<CommandId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn host_names_cannot_leave_a_folder_or_become_an_option() {
        for bad in [
            "", "-rf", "../x", "a/b", "a b", ".hidden", "a..b", "ü", "a\n",
        ] {
            assert!(bad.parse::<HostId>().is_err(), "{bad:?}");
        }
        assert_eq!(
            "web-1.example".parse::<HostId>().unwrap().as_str(),
            "web-1.example"
        );
    }
}
