//! Which hosts are meant: a short text over names, tags, places and kinds of hosts (spec 05,
//! "Rollouts" and "Holds").
//!
//! Terms are separated by commas. A host is selected if one of the plain terms matches and none of
//! those with a leading `!` does. Only-negative selectors mean "all but".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most characters of a selector.
pub const MAX_SELECTOR: usize = 1024;

/// What a selector looks at.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostLabels<'a> {
    /// The host's name.
    pub name: &'a str,
    /// Its tags.
    pub tags: &'a [String],
    /// Where it stands.
    pub location: Option<&'a str>,
    /// What it is (`server`, `desktop`, …).
    pub device_type: Option<&'a str>,
    /// Its operating system (`nixos`, `macos`, …).
    pub host_type: Option<&'a str>,
}

/// A set of hosts, by name, tag, place or kind.
///
/// ```
/// use nixfleet_core::selector::{HostLabels, Selector};
/// let web: Selector = "web-*, !web-9".parse().unwrap();
/// let named = |name| HostLabels { name, ..HostLabels::default() };
/// assert!(web.matches(&named("web-1")) && !web.matches(&named("web-9")));
/// assert_eq!(web.to_string(), "web-*,!web-9");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Term {
    excludes: bool,
    what: What,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum What {
    Name,
    Tag,
    Location,
    DeviceType,
    HostType,
}

/// Prefixes of terms; a term with none of them is a name.
const PREFIXES: [(&str, What); 4] = [
    ("@", What::Tag),
    ("location:", What::Location),
    ("type:", What::DeviceType),
    ("os:", What::HostType),
];

/// A text is not a selector; names the term.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{term:?} is no selector term: {why}")]
pub struct SelectorError {
    /// The term, as it was written.
    pub term: String,
    /// What is wrong, and what would be right.
    pub why: &'static str,
}

impl Selector {
    /// Every host.
    #[must_use]
    pub fn all() -> Self {
        let everything = Term {
            excludes: false,
            what: What::Name,
            value: "*".to_owned(),
        };
        Self {
            terms: vec![everything],
        }
    }

    /// The hosts that it names one by one: somebody who names a host means one that exists.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let named = |term: &&Term| term.what == What::Name && !term.value.contains('*');
        self.terms
            .iter()
            .filter(named)
            .map(|term| term.value.as_str())
    }

    /// Whether a host is selected.
    #[must_use]
    pub fn matches(&self, host: &HostLabels<'_>) -> bool {
        let only_negative = self.terms.iter().all(|term| term.excludes);
        let wanted = |term: &Term| !term.excludes && term.matches(host);
        let unwanted = |term: &Term| term.excludes && term.matches(host);
        (only_negative || self.terms.iter().any(wanted)) && !self.terms.iter().any(unwanted)
    }
}

impl Term {
    fn matches(&self, host: &HostLabels<'_>) -> bool {
        match self.what {
            What::Name => glob(self.value.as_bytes(), host.name.as_bytes()),
            What::Tag => host.tags.iter().any(|tag| self.same(Some(tag))),
            What::Location => self.same(host.location),
            What::DeviceType => self.same(host.device_type),
            What::HostType => self.same(host.host_type),
        }
    }

    fn same(&self, found: Option<&str>) -> bool {
        found.is_some_and(|found| glob(self.value.as_bytes(), found.as_bytes()))
    }
}

/// Whether a pattern with `*` (any text) matches the whole text, without regard to the case of
/// ASCII letters.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match (pattern.get(p), text.get(t)) {
            (Some(b'*'), _) => {
                star = Some((p, t));
                p += 1;
            }
            (Some(own), Some(other)) if own.eq_ignore_ascii_case(other) => {
                p += 1;
                t += 1;
            }
            (_, _) => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            }
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'*')
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let bad = |term: &str, why| SelectorError {
            term: term.chars().take(80).collect(),
            why,
        };
        if text.len() > MAX_SELECTOR {
            return Err(bad(text, "a selector has at most 1024 characters"));
        }
        let mut terms = Vec::new();
        for written in text.split(',') {
            let term = written.trim();
            let (excludes, rest) = match term.strip_prefix('!') {
                Some(rest) => (true, rest.trim_start()),
                None => (false, term),
            };
            let found = PREFIXES
                .iter()
                .find_map(|(prefix, what)| Some((rest.strip_prefix(prefix)?, *what)));
            let (value, what) = found.unwrap_or((rest, What::Name));
            if value.is_empty() {
                return Err(bad(
                    term,
                    "write a host name, @tag, location:…, type:…, os:… or *",
                ));
            }
            if !value.bytes().all(is_plain) {
                return Err(bad(term, "use letters, digits, '.', '_', '-' and '*' only"));
            }
            terms.push(Term {
                excludes,
                what,
                value: value.to_owned(),
            });
        }
        Ok(Self { terms })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            let prefix = PREFIXES.iter().find(|(_, what)| *what == term.what);
            let prefix = prefix.map_or("", |(prefix, _)| prefix);
            let not = if term.excludes { "!" } else { "" };
            write!(f, "{not}{prefix}{}", term.value)?;
        }
        Ok(())
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels<'a>(name: &'a str, tags: &'a [String]) -> HostLabels<'a> {
        HostLabels {
            name,
            tags,
            location: Some("home"),
            device_type: Some("server"),
            host_type: Some("nixos"),
        }
    }

    #[test]
    fn terms_select_and_exclude() {
        let tags = ["db".to_owned(), "eu".to_owned()];
        let host = labels("web-1.example", &tags);
        for (text, selected) in [
            ("*", true),
            ("web-*", true),
            ("*.example", true),
            ("*b*1*e", true),
            ("web", false),
            ("WEB-1.example", true),
            ("@db", true),
            ("@d", false),
            ("location:home", true),
            ("location:cloud", false),
            ("type:server", true),
            ("os:nixos", true),
            ("os:macos,type:server", true),
            ("*,!@eu", false),
            ("!@eu", false),
            ("!@us", true),
            ("!@us,!location:cloud", true),
            ("db-*,!@us", false),
        ] {
            let selector: Selector = text.parse().unwrap();
            assert_eq!(selector.matches(&host), selected, "{text}");
            assert_eq!(selector.to_string().parse(), Ok(selector), "{text}");
        }
        assert!(Selector::all().matches(&labels("x", &[])));
    }

    #[test]
    fn names_are_what_stands_for_one_host() {
        let selector: Selector = "web-*,db-1,!db-2,@eu,os:nixos".parse().unwrap();
        assert_eq!(selector.names().collect::<Vec<_>>(), ["db-1", "db-2"]);
    }

    #[test]
    fn a_bad_term_is_named() {
        for (text, term) in [
            ("", ""),
            ("web,,db", ""),
            ("web, a b", "a b"),
            ("!", "!"),
            ("@", "@"),
            ("kind:x", "kind:x"),
            ("ü", "ü"),
            ("$(x)", "$(x)"),
        ] {
            let error = text.parse::<Selector>().unwrap_err();
            assert_eq!(error.term, term, "{text}");
        }
        assert!("x,".repeat(1000).parse::<Selector>().is_err());
        let error = serde_json::from_str::<Selector>("\"a b\"").unwrap_err();
        assert!(error.to_string().contains("a b"));
    }
}
