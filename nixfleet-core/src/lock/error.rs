//! What can be wrong with a `flake.lock`, and where.

use std::fmt;

use super::parse::MAX_LOCK_BYTES;

/// Why bytes are not a `flake.lock` that can be read. Every message names the place and what was
/// expected there.
///
/// ```
/// use nixfleet_core::FlakeLock;
/// let error = FlakeLock::parse(br#"{"version": 4}"#).unwrap_err();
/// assert_eq!(error.to_string(), "version: expected 5, 6 or 7, found 4");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockParseError {
    /// There are more bytes than any lock needs.
    #[error("expected at most {MAX_LOCK_BYTES} bytes, found {size}")]
    TooLarge {
        /// How many there are.
        size: usize,
    },
    /// The bytes are not JSON, or nested too deeply, or too many values.
    #[error("expected JSON: {0}")]
    Json(String),
    /// A field is missing or not what it must be.
    #[error("{path}: expected {expected}, found {found}")]
    Field {
        /// Where, for example `nodes.nixpkgs.locked.rev`.
        path: String,
        /// What belongs there.
        expected: String,
        /// What is there; `nothing` if the field is missing.
        found: String,
    },
    /// A key is given twice; readers disagree about which of them counts.
    #[error("{path}: expected once, found twice")]
    Duplicate {
        /// Where.
        path: String,
    },
    /// An input names a node that does not exist.
    #[error("{path}: expected the name of a node, but there is no node {node}")]
    DanglingNode {
        /// The input.
        path: String,
        /// The name that leads nowhere.
        node: String,
    },
    /// An input follows an input that does not exist.
    #[error("{path}: expected to follow an input, but {follows} has no input {missing}")]
    DanglingFollows {
        /// The input.
        path: String,
        /// The part of the path that exists; `the root` if none of it does.
        follows: String,
        /// The first name that does not.
        missing: String,
    },
    /// Following an input leads back to itself.
    #[error("{path}: expected to follow another input, but it leads back to itself")]
    FollowsCycle {
        /// The input.
        path: String,
    },
    /// An input names the root node, which is never an input.
    #[error("{path}: expected an input, found the root node")]
    CycleToRoot {
        /// The input.
        path: String,
    },
    /// Something is larger than any real lock needs.
    #[error("{path}: expected {limit}")]
    Limit {
        /// Where.
        path: String,
        /// What is allowed.
        limit: String,
    },
}

/// Where in the lock, as a chain on the stack: text is made only for an error.
#[derive(Clone, Copy)]
pub(super) struct At<'p> {
    pub(super) parent: Option<&'p At<'p>>,
    pub(super) name: &'p str,
}

impl<'p> At<'p> {
    pub(super) const TOP: At<'static> = At {
        parent: None,
        name: "",
    };

    pub(super) fn to<'c>(&'c self, name: &'c str) -> At<'c>
    where
        'p: 'c,
    {
        At {
            parent: Some(self),
            name,
        }
    }

    pub(super) fn path(&self) -> String {
        self.to_string()
    }

    pub(super) fn field(&self, expected: &str, found: impl fmt::Display) -> LockParseError {
        LockParseError::Field {
            path: self.path(),
            expected: expected.to_owned(),
            found: found.to_string(),
        }
    }

    pub(super) fn limit(&self, limit: String) -> LockParseError {
        LockParseError::Limit {
            path: self.path(),
            limit,
        }
    }

    pub(super) fn dangling_node(&self, node: &str) -> LockParseError {
        LockParseError::DanglingNode {
            path: self.path(),
            node: Shown(node).to_string(),
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parent {
            None => f.write_str("the lock"),
            Some(parent) if parent.parent.is_none() => Shown(self.name).fmt(f),
            Some(parent) => write!(f, "{parent}.{}", Shown(self.name)),
        }
    }
}

/// A name from a lock, made safe and short enough for a message: a plain word as it is, anything
/// else quoted and escaped.
pub(super) struct Shown<'s>(pub(super) &'s str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0, |c| {
            c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
        })
    }
}

/// The same for a value, which may also contain the signs of URLs and hashes.
pub(super) struct ShownValue<'s>(pub(super) &'s str);

impl fmt::Display for ShownValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0, |c| c.is_ascii_graphic() && c != '"')
    }
}

/// The longest text from a lock that a message repeats, in characters.
const SHOWN: usize = 80;

fn show(f: &mut fmt::Formatter<'_>, text: &str, plain: impl Fn(char) -> bool) -> fmt::Result {
    let short: String = text.chars().take(SHOWN).collect();
    if !short.is_empty() && short.chars().all(plain) {
        f.write_str(&short)?;
    } else {
        fmt::Debug::fmt(&short, f)?;
    }
    if short.len() < text.len() {
        f.write_str("…")?;
    }
    Ok(())
}
