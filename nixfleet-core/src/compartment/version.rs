//! Comparing the version an agent reports with the one this server expects.

use std::cmp::Ordering;

/// How a reported version relates to the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionRelation {
    /// The same after normalisation.
    Equal,
    /// Before the expected one.
    Older,
    /// After the expected one.
    Newer,
    /// Not the same, and there is no order between them.
    Incomparable,
}

/// The version without surrounding space, one leading `v` and build metadata.
///
/// ```
/// use nixfleet_core::compartment::version::normalise;
/// assert_eq!(normalise("v4.0.0+linux"), "4.0.0");
/// ```
#[must_use]
pub fn normalise(version: &str) -> &str {
    let version = version.trim();
    let version = version.strip_prefix('v').unwrap_or(version);
    version.split('+').next().unwrap_or(version)
}

/// Compares two versions after [`normalise`]; the order is the precedence of semantic versions,
/// for any number of numeric parts.
///
/// ```
/// use nixfleet_core::compartment::version::{VersionRelation, relation};
/// assert_eq!(relation("v4.0.0", "4.0.0"), VersionRelation::Equal);
/// assert_eq!(relation("3.9.1", "4.0.0"), VersionRelation::Older);
/// assert_eq!(relation("4.0.0", "4.0.0-rc.1"), VersionRelation::Newer);
/// assert_eq!(relation("unstable", "4.0.0"), VersionRelation::Incomparable);
/// ```
#[must_use]
pub fn relation(reported: &str, expected: &str) -> VersionRelation {
    // Nothing is dropped from the front of a digit, so something is left.
    if reported == expected && reported.starts_with(|first: char| first.is_ascii_digit()) {
        return VersionRelation::Equal;
    }
    let (reported, expected) = (normalise(reported), normalise(expected));
    if reported == expected && !reported.is_empty() {
        return VersionRelation::Equal;
    }
    let (Some(left), Some(right)) = (Parsed::new(reported), Parsed::new(expected)) else {
        return VersionRelation::Incomparable;
    };
    match left.precedence(&right) {
        Ordering::Less => VersionRelation::Older,
        Ordering::Greater => VersionRelation::Newer,
        // The same version in two spellings ("4.0" and "4.0.0"): not equal, but not ordered.
        Ordering::Equal => VersionRelation::Incomparable,
    }
}

struct Parsed<'a> {
    numbers: Vec<u64>,
    pre_release: Vec<&'a str>,
}

impl<'a> Parsed<'a> {
    fn new(version: &'a str) -> Option<Self> {
        if version.len() > 256 {
            return None;
        }
        let (core, pre_release) = match version.split_once('-') {
            Some((core, tail)) => (core, tail.split('.').collect()),
            None => (version, Vec::new()),
        };
        let numbers = core.split('.').map(number).collect::<Option<Vec<u64>>>()?;
        Some(Self {
            numbers,
            pre_release,
        })
    }

    fn precedence(&self, other: &Self) -> Ordering {
        let length = self.numbers.len().max(other.numbers.len());
        let part = |numbers: &[u64], at: usize| numbers.get(at).copied().unwrap_or(0);
        for at in 0..length {
            let order = part(&self.numbers, at).cmp(&part(&other.numbers, at));
            if order.is_ne() {
                return order;
            }
        }
        match (self.pre_release.is_empty(), other.pre_release.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => pre_release_order(&self.pre_release, &other.pre_release),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn pre_release_order(left: &[&str], right: &[&str]) -> Ordering {
    for (one, other) in left.iter().zip(right) {
        let order = match (number(one), number(other)) {
            (Some(one), Some(other)) => one.cmp(&other),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => one.cmp(other),
        };
        if order.is_ne() {
            return order;
        }
    }
    left.len().cmp(&right.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_leading_v_and_the_build_metadata_are_dropped() {
        for (reported, expected, relates) in [
            ("4.0.0", "v4.0.0", VersionRelation::Equal),
            ("4.0.0+a", "4.0.0+b", VersionRelation::Equal),
            ("vv4.0.0", "4.0.0", VersionRelation::Incomparable),
            ("", "", VersionRelation::Incomparable),
            ("4.0", "4.0.0", VersionRelation::Incomparable),
            ("4.0.0-dirty", "4.0.0", VersionRelation::Older),
            ("4.0.0-rc.2", "4.0.0-rc.10", VersionRelation::Older),
            ("4.0.0-rc.1.1", "4.0.0-rc.1", VersionRelation::Newer),
            ("4.0.0-1", "4.0.0-rc", VersionRelation::Older),
            ("4.10.0", "4.9.0", VersionRelation::Newer),
            (
                "99999999999999999999.0",
                "4.0.0",
                VersionRelation::Incomparable,
            ),
        ] {
            assert_eq!(
                relation(reported, expected),
                relates,
                "{reported} {expected}"
            );
        }
    }
}
