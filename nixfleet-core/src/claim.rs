//! What a running system says it was built from (spec 01, Facts).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{CommitId, CommitRef, IdError};

/// The most characters of a claim that is no commit; longer ones are cut.
const MAX_OTHER: usize = 80;
/// What Nix appends to a commit if the tree had local changes.
const DIRTY: &str = "-dirty";

/// The revision that a running system claims (`configurationRevision`). Every text is one: a claim
/// that names no commit speaks against the system, so it must not get lost.
///
/// ```
/// use nixfleet_core::ClaimedRevision;
/// let read = |text: &str| text.parse::<ClaimedRevision>().unwrap();
/// assert!(read("abc1234").commit().is_some());
/// assert!(read("abc1234-dirty").commit().is_none());
/// assert_eq!(read("abc1234-dirty").base(), read("abc1234").commit());
/// assert_eq!(read("my laptop").to_string(), "my laptop");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ClaimedRevision {
    /// A commit, full or abbreviated.
    Commit(CommitRef),
    /// Local changes on top of a commit: `<commit>-dirty`.
    Dirty(CommitRef),
    /// Anything else; nobody can check it out.
    Other(OtherRevision),
}

/// A claim that is neither a commit nor local changes on top of one; one line, bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherRevision(Arc<str>);

impl OtherRevision {
    /// The text, without control characters and perhaps cut.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ClaimedRevision {
    /// Reads a claim; `None` only for a blank text, which claims nothing.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        if let Ok(commit) = text.parse() {
            return Some(Self::Commit(commit));
        }
        if let Some(Ok(commit)) = text.strip_suffix(DIRTY).map(str::parse) {
            return Some(Self::Dirty(commit));
        }
        Some(Self::Other(OtherRevision(bounded(text).into())))
    }

    /// The commit, if it claims one and nothing else.
    #[must_use]
    pub const fn commit(&self) -> Option<CommitRef> {
        match self {
            Self::Commit(commit) => Some(*commit),
            Self::Dirty(_) | Self::Other(_) => None,
        }
    }

    /// The commit it claims, with or without local changes on top.
    #[must_use]
    pub const fn base(&self) -> Option<CommitRef> {
        match self {
            Self::Commit(commit) | Self::Dirty(commit) => Some(*commit),
            Self::Other(_) => None,
        }
    }
}

/// At most [`MAX_OTHER`] characters. What is replaced or cut leaves a mark that no commit has, so
/// that the text is read back as what it is.
fn bounded(text: &str) -> String {
    let printable = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    let mut kept: String = text.chars().map(printable).take(MAX_OTHER).collect();
    if text.chars().nth(MAX_OTHER).is_some() {
        kept.push('…');
    }
    kept
}

impl fmt::Display for ClaimedRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit(commit) => commit.fmt(f),
            Self::Dirty(commit) => write!(f, "{commit}{DIRTY}"),
            Self::Other(text) => f.write_str(text.as_str()),
        }
    }
}

impl FromStr for ClaimedRevision {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::from_text(text).ok_or(IdError {
            what: "claimed revision",
            expected: "a text that is not blank",
        })
    }
}

impl TryFrom<String> for ClaimedRevision {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<ClaimedRevision> for String {
    fn from(claim: ClaimedRevision) -> Self {
        claim.to_string()
    }
}

impl From<CommitRef> for ClaimedRevision {
    fn from(commit: CommitRef) -> Self {
        Self::Commit(commit)
    }
}

impl From<CommitId> for ClaimedRevision {
    fn from(commit: CommitId) -> Self {
        Self::Commit(commit.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_whole_commit_is_a_commit() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (text, is_commit, has_base) in [
            (commit.to_owned(), true, true),
            (commit.to_uppercase(), true, true),
            (format!(" {commit}\n"), true, true),
            ("0123456".to_owned(), true, true),
            (format!("{commit}-dirty"), false, true),
            ("0123456-dirty".to_owned(), false, true),
            ("012345".to_owned(), false, false),
            ("-dirty".to_owned(), false, false),
            (format!("{commit}-dirty-dirty"), false, false),
            (format!("{commit}+"), false, false),
            (format!("rev {commit}"), false, false),
            ("dirty".to_owned(), false, false),
            // Only what is left of it would be a commit.
            ("a".repeat(65), false, false),
            (format!("{commit}{}", " ".repeat(100) + "x"), false, false),
            (format!("\u{1}{commit}"), false, false),
        ] {
            let claim = ClaimedRevision::from_text(&text).unwrap();
            assert_eq!(claim.commit().is_some(), is_commit, "{text:?}");
            assert_eq!(claim.base().is_some(), has_base, "{text:?}");
        }
        for blank in ["", " ", "\t\n"] {
            assert_eq!(ClaimedRevision::from_text(blank), None);
        }
    }

    proptest! {
        /// It is stored and sent as text, so reading it back must not make it look better.
        #[test]
        fn a_claim_written_and_read_back_is_the_same(
            text in "\\PC{0,100}|.{0,100}|[0-9a-f]{5,90}(-dirty)?|[ \u{0}-\u{20}]{0,2}[0-9a-f]{40}.{0,60}",
        ) {
            let Some(claim) = ClaimedRevision::from_text(&text) else {
                return Ok(());
            };
            let written = claim.to_string();
            prop_assert!(written.chars().count() <= MAX_OTHER + 1);
            prop_assert!(!written.chars().any(char::is_control));
            prop_assert_eq!(written.parse::<ClaimedRevision>().unwrap(), claim.clone());
            let json = serde_json::to_string(&claim).unwrap();
            prop_assert_eq!(serde_json::from_str::<ClaimedRevision>(&json).unwrap(), claim);
        }
    }
}
