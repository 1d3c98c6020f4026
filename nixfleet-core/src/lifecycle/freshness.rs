//! Is the agent that runs after a switch the one it should be? A total table over the three
//! fields an agent reports about its binary, the expected path, and whether an update was due
//! (spec 02, "Freshness verdict").

use serde::{Deserialize, Serialize};

use crate::host::AgentBinary;

/// One field before the start and after the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// Reported both times, and equal.
    Same,
    /// Reported both times, and different.
    Changed,
    /// Not reported before.
    MissingBefore,
    /// Not reported after.
    MissingAfter,
    /// Never reported.
    MissingBoth,
    /// One of the reports says literally `unknown`.
    Unknown,
}

impl Relation {
    /// Every relation.
    pub const ALL: [Relation; 6] = [
        Relation::Same,
        Relation::Changed,
        Relation::MissingBefore,
        Relation::MissingAfter,
        Relation::MissingBoth,
        Relation::Unknown,
    ];

    /// Compares two reports of one field.
    #[must_use]
    pub fn between(before: Option<&str>, after: Option<&str>) -> Self {
        let unknown = |text: Option<&str>| text.is_some_and(|t| t.eq_ignore_ascii_case("unknown"));
        if unknown(before) || unknown(after) {
            return Relation::Unknown;
        }
        match (before, after) {
            (None, None) => Relation::MissingBoth,
            (None, Some(_)) => Relation::MissingBefore,
            (Some(_), None) => Relation::MissingAfter,
            (Some(before), Some(after)) if before == after => Relation::Same,
            (Some(_), Some(_)) => Relation::Changed,
        }
    }
}

/// The running agent's path compared with the one the deployed configuration expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// Equal.
    Match,
    /// Different.
    Mismatch,
    /// The expected or the running path is not known.
    Unknown,
}

impl Expectation {
    /// Every case.
    pub const ALL: [Expectation; 3] = [
        Expectation::Match,
        Expectation::Mismatch,
        Expectation::Unknown,
    ];

    fn of(binary: &AgentBinary) -> Self {
        match (&binary.expected_path, &binary.store_path) {
            (Some(expected), Some(running)) if expected == running => Expectation::Match,
            (Some(_), Some(running)) if running.eq_ignore_ascii_case("unknown") => {
                Expectation::Unknown
            }
            (Some(_), Some(_)) => Expectation::Mismatch,
            (None, _) | (_, None) => Expectation::Unknown,
        }
    }
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Freshness {
    /// It is the expected agent, or it changed.
    Fresh,
    /// Nothing changed, and nothing had to.
    NoneDue,
    /// Not enough data, but no update was due: worth a note, no more.
    NoDataNoneDue,
    /// An update was due and there is not enough data: `PARTIAL` (unverified).
    Unverified,
    /// It is the old one although an update was due, or not the expected one: `STALE_BINARY`.
    Stale,
    /// Its source commit changed, its binary did not: `SUSPICIOUS`.
    Suspicious,
}

/// One cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FreshnessFacts {
    /// The source commit the agent names.
    pub source: Relation,
    /// The store path it runs from.
    pub path: Relation,
    /// The hash of its binary.
    pub hash: Relation,
    /// Against the path the deployed configuration expects.
    pub expected: Expectation,
    /// Whether its version was not the one the server expects.
    pub update_due: bool,
}

impl FreshnessFacts {
    /// Compares the reports before and after an operation.
    #[must_use]
    pub fn compare(before: &AgentBinary, after: &AgentBinary, update_due: bool) -> Self {
        let relation = |field: fn(&AgentBinary) -> Option<&str>| {
            Relation::between(field(before), field(after))
        };
        Self {
            source: relation(|binary| binary.source_commit.as_deref()),
            path: relation(|binary| binary.store_path.as_deref()),
            hash: relation(|binary| binary.binary_hash.as_deref()),
            expected: Expectation::of(after),
            update_due,
        }
    }

    /// The verdict for these facts.
    #[must_use]
    pub const fn verdict(self) -> Freshness {
        use Relation::{Changed, Same};
        match (self.expected, self.path, self.hash, self.source) {
            (Expectation::Match, _, _, _) => Freshness::Fresh,
            (Expectation::Mismatch, _, _, _) => Freshness::Stale,
            (Expectation::Unknown, Changed, _, _) | (Expectation::Unknown, _, Changed, _) => {
                Freshness::Fresh
            }
            (Expectation::Unknown, Same, _, Changed) | (Expectation::Unknown, _, Same, Changed) => {
                Freshness::Suspicious
            }
            (Expectation::Unknown, Same, _, _) | (Expectation::Unknown, _, Same, _) => {
                if self.update_due {
                    Freshness::Stale
                } else {
                    Freshness::NoneDue
                }
            }
            (Expectation::Unknown, _, _, _) => {
                if self.update_due {
                    Freshness::Unverified
                } else {
                    Freshness::NoDataNoneDue
                }
            }
        }
    }
}
