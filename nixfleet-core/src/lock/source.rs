//! Where an input comes from: the attributes of `locked` and `original`, of every fetcher.

use std::borrow::Cow;
use std::fmt;

use super::error::ShownValue;
use crate::time::Timestamp;

/// The fetcher of an input (`type`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InputKind {
    /// A repository on GitHub (or on a GitHub Enterprise `host`).
    Github,
    /// A repository on a GitLab.
    Gitlab,
    /// A repository on SourceHut.
    Sourcehut,
    /// Any git repository, by URL.
    Git,
    /// Any Mercurial repository, by URL (`hg`).
    Mercurial,
    /// A directory, by absolute or relative path.
    Path,
    /// An archive, by URL.
    Tarball,
    /// A single file, by URL.
    File,
    /// A name in the flake registry; normal in `original`, unusual in `locked`.
    Indirect,
    /// A fetcher this version does not know.
    Other(Box<str>),
}

/// What is known about the fetchers: spelling, and what the lock of one must contain.
/// The columns are kind, `type`, required in `locked`, required in `original`.
const KINDS: [(InputKind, &str, &[&str], &[&str]); 9] = [
    (InputKind::Github, "github", FORGE_LOCKED, FORGE),
    (InputKind::Gitlab, "gitlab", FORGE_LOCKED, FORGE),
    (InputKind::Sourcehut, "sourcehut", FORGE_LOCKED, FORGE),
    (InputKind::Git, "git", &["url"], &["url"]),
    (InputKind::Mercurial, "hg", &["url"], &["url"]),
    (InputKind::Path, "path", &["path"], &["path"]),
    (InputKind::Tarball, "tarball", &["url"], &["url"]),
    (InputKind::File, "file", &["url"], &["url"]),
    (InputKind::Indirect, "indirect", &["id"], &["id"]),
];
const FORGE: &[&str] = &["owner", "repo"];
const FORGE_LOCKED: &[&str] = &["owner", "repo", "rev"];

/// Attributes that are text wherever a known fetcher gives them.
const TEXT: [&str; 10] = [
    "dir", "host", "id", "narHash", "owner", "path", "ref", "repo", "rev", "url",
];
/// Attributes that are whole numbers.
const WHOLE: [&str; 2] = ["lastModified", "revCount"];
/// Attributes of `locked` that an ordinary update changes. Anything else says where from.
const REVISION: [&str; 5] = ["lastModified", "narHash", "rev", "revCount", "treeHash"];
/// Attributes of `locked` without which the content is no longer pinned.
const PINS: [&str; 2] = ["narHash", "rev"];

/// The value of one attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// A text.
    Text(Box<str>),
    /// A whole number from 0.
    Whole(u64),
    /// `true` or `false`.
    Flag(bool),
    /// Anything else, as JSON: no fetcher known today writes it.
    Other(Box<str>),
}

/// One `locked` or `original`: where an input comes from, and for `locked` exactly what.
///
/// ```
/// use nixfleet_core::FlakeLock;
/// let lock = FlakeLock::parse(br#"{"version": 7, "root": "root", "nodes": {
///     "root": {"inputs": {"pkgs": "pkgs"}},
///     "pkgs": {
///         "locked": {"type": "github", "owner": "a", "repo": "b", "lastModified": 1767312000,
///                    "rev": "1111111111111111111111111111111111111111"},
///         "original": {"type": "github", "owner": "a", "repo": "b", "ref": "stable"}
/// }}}"#).unwrap();
/// let node = lock.input(&["pkgs"]).unwrap().node;
/// let locked = node.locked().unwrap();
/// assert_eq!(locked.to_string(), "github:a/b");
/// assert_eq!(locked.pin().to_string(), "1111111 (2026-01-02)");
/// assert_eq!(node.original().unwrap().reference(), Some("stable"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    kind: InputKind,
    /// Everything but `type`, sorted by name.
    attributes: Vec<(Cow<'static, str>, Attribute)>,
}

/// Exactly what of an input is used. Renders as `abc1234 (2026-01-02)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin {
    /// The full revision, where the fetcher has revisions.
    pub rev: Option<Box<str>>,
    /// The hash of the content.
    pub nar_hash: Option<Box<str>>,
    /// When the content was last changed, in seconds since the Unix epoch.
    pub last_modified: Option<u64>,
}

impl InputKind {
    /// The spelling in a lock, for example `hg`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            InputKind::Other(name) => name,
            InputKind::Github
            | InputKind::Gitlab
            | InputKind::Sourcehut
            | InputKind::Git
            | InputKind::Mercurial
            | InputKind::Path
            | InputKind::Tarball
            | InputKind::File
            | InputKind::Indirect => KINDS
                .iter()
                .find(|(kind, ..)| kind == self)
                .map_or("", |(_, name, ..)| name),
        }
    }

    pub(super) fn named(name: &str) -> Self {
        KINDS
            .iter()
            .find(|(_, known, ..)| *known == name)
            .map_or_else(|| InputKind::Other(name.into()), |(kind, ..)| kind.clone())
    }

    /// The attributes that must be there; none for an unknown fetcher.
    pub(super) fn required(&self, locked: bool) -> &'static [&'static str] {
        KINDS.iter().find(|(kind, ..)| kind == self).map_or(
            &[],
            |(_, _, in_locked, in_original)| {
                if locked { in_locked } else { in_original }
            },
        )
    }

    /// What a known fetcher writes for this attribute, if it is one of the known ones.
    pub(super) fn expected(&self, attribute: &str) -> Option<Expected> {
        if matches!(self, InputKind::Other(_)) {
            None
        } else if TEXT.contains(&attribute) {
            Some(Expected::Text)
        } else if WHOLE.contains(&attribute) {
            Some(Expected::Whole)
        } else {
            None
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Text,
    Whole,
}

impl Source {
    pub(super) fn new(
        kind: InputKind,
        mut attributes: Vec<(Cow<'static, str>, Attribute)>,
    ) -> Self {
        attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self { kind, attributes }
    }

    /// The fetcher.
    #[must_use]
    pub fn kind(&self) -> &InputKind {
        &self.kind
    }

    /// Every attribute but `type`, sorted by name.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &Attribute)> {
        self.attributes.iter().map(|(name, value)| (&**name, value))
    }

    /// One attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes()
            .find_map(|(candidate, value)| (candidate == name).then_some(value))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.attribute(name).and_then(Attribute::as_text)
    }

    /// The owner of the repository on its forge.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.text("owner")
    }

    /// The repository on its forge.
    #[must_use]
    pub fn repo(&self) -> Option<&str> {
        self.text("repo")
    }

    /// The forge, where it is not the usual one of the fetcher.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.text("host")
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.text("url")
    }

    /// The branch or tag (`ref`).
    #[must_use]
    pub fn reference(&self) -> Option<&str> {
        self.text("ref")
    }

    /// The full revision.
    #[must_use]
    pub fn rev(&self) -> Option<&str> {
        self.text("rev")
    }

    /// The first seven digits of the revision, for people.
    #[must_use]
    pub fn short_rev(&self) -> Option<&str> {
        self.rev().map(|rev| rev.get(..7).unwrap_or(rev))
    }

    /// The hash of the content.
    #[must_use]
    pub fn nar_hash(&self) -> Option<&str> {
        self.text("narHash")
    }

    /// When the content was last changed, in seconds since the Unix epoch.
    #[must_use]
    pub fn last_modified(&self) -> Option<u64> {
        self.attribute("lastModified").and_then(Attribute::as_whole)
    }

    /// Exactly what is used: revision, hash and date.
    #[must_use]
    pub fn pin(&self) -> Pin {
        Pin {
            rev: self.rev().map(Into::into),
            nar_hash: self.nar_hash().map(Into::into),
            last_modified: self.last_modified(),
        }
    }
}

/// Like a flake reference without revision: `github:NixOS/nixpkgs/nixos-unstable`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        f.write_str(":")?;
        let place = self.url().or_else(|| self.text("path"));
        if let Some(place) = place.or_else(|| self.text("id")) {
            f.write_str(place)?;
        } else if let (Some(owner), Some(repo)) = (self.owner(), self.repo()) {
            write!(f, "{owner}/{repo}")?;
        }
        if let Some(reference) = self.reference() {
            write!(f, "/{reference}")?;
        }
        if let Some(host) = self.host() {
            write!(f, "?host={host}")?;
        }
        Ok(())
    }
}

impl Attribute {
    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Attribute::Text(text) => Some(text),
            Attribute::Whole(_) | Attribute::Flag(_) | Attribute::Other(_) => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn as_whole(&self) -> Option<u64> {
        match self {
            Attribute::Whole(number) => Some(*number),
            Attribute::Text(_) | Attribute::Flag(_) | Attribute::Other(_) => None,
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attribute::Text(text) | Attribute::Other(text) => f.write_str(text),
            Attribute::Whole(number) => number.fmt(f),
            Attribute::Flag(flag) => flag.fmt(f),
        }
    }
}

impl Pin {
    /// Seven digits of the revision; without one, the start of the hash of the content.
    #[must_use]
    pub fn short(&self) -> &str {
        match (&self.rev, &self.nar_hash) {
            (Some(rev), _) => rev.get(..7).unwrap_or(rev),
            (None, Some(hash)) => hash.get(..14).unwrap_or(hash),
            (None, None) => "unpinned",
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pin(f, self.short(), self.last_modified)
    }
}

/// `abc1234 (2026-01-02)`.
pub(super) fn write_pin(
    f: &mut fmt::Formatter<'_>,
    short: &str,
    last_modified: Option<u64>,
) -> fmt::Result {
    write!(f, "{}", ShownValue(short))?;
    match last_modified {
        Some(seconds) => {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            write!(f, " ({})", Timestamp::from_seconds(seconds).date())
        }
        None => Ok(()),
    }
}

/// Whether an ordinary update changes this attribute of `locked`.
pub(super) fn is_revision(attribute: &str) -> bool {
    REVISION.contains(&attribute)
}

/// Whether losing this attribute of `locked` leaves the content unpinned.
pub(super) fn is_pin(attribute: &str) -> bool {
    PINS.contains(&attribute)
}

/// The name of an attribute, without an allocation for the usual ones.
pub(super) fn attribute_name(name: &str) -> Cow<'static, str> {
    TEXT.iter()
        .chain(&WHOLE)
        .find(|known| **known == name)
        .map_or_else(
            || Cow::Owned(name.to_owned()),
            |known| Cow::Borrowed(*known),
        )
}
