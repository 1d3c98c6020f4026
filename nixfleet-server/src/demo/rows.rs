//! What the five dots of a host must show in each situation of the story.

use std::fmt;

use nixfleet_core::Status;

/// The statuses of agent, git, lock, system and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row(pub [Status; 5]);

/// Where a host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Situation {
    /// Everything is as it should be.
    Current,
    /// The remote moved.
    Merged,
    /// The checkout followed.
    Pulled,
    /// The system followed.
    Switched,
    /// The remote cannot be read.
    RemoteGone,
    /// The remote cannot be read, and the host never connected.
    RemoteGoneNeverSeen,
    /// A switch failed, after an earlier one that worked.
    SwitchFailed,
    /// Then the remote moved on.
    FailedThenMoved,
    /// Then a pull.
    FailedThenPulled,
    /// Then a switch that worked.
    FailedThenSwitched,
    /// A rollback worked.
    RolledBack,
    /// Added on the page, never connected.
    Announced,
    /// An existing agent that tells no lock hash; nothing was ever deployed through us.
    ExistingNew,
    /// An existing agent after a switch and tests through us.
    ExistingTested,
    /// The tests ran, and there was none.
    NoTests,
    /// An agent that has never pulled.
    FirstContact,
    /// Current, but nothing was ever deployed through us.
    NeverDeployed,
}

struct Line {
    situation: Situation,
    words: &'static str,
    row: Row,
}

const fn line(situation: Situation, words: &'static str, row: [Status; 5]) -> Line {
    Line {
        situation,
        words,
        row: Row(row),
    }
}

use Status::{Error as E, Ok as K, Outdated as O, Unknown as U};

#[rustfmt::skip]
const ROWS: &[Line] = &[
    line(Situation::Current,             "all current, tests passed",                        [K, K, K, K, K]),
    line(Situation::Merged,              "update merged upstream",                           [K, O, O, O, O]),
    line(Situation::Pulled,              "after pull",                                       [K, K, K, O, O]),
    line(Situation::Switched,            "after switch",                                     [K, K, K, K, O]),
    line(Situation::RemoteGone,          "remote unreachable",                               [K, E, E, O, O]),
    line(Situation::RemoteGoneNeverSeen, "remote unreachable, host never seen",              [U, E, E, O, O]),
    line(Situation::SwitchFailed,        "switch failed",                                    [K, K, K, E, O]),
    line(Situation::FailedThenMoved,     "switch failed, then the remote moved on",          [K, O, O, E, O]),
    line(Situation::FailedThenPulled,    "switch failed, then pull",                         [K, K, K, E, O]),
    line(Situation::FailedThenSwitched,  "switch failed, then a switch worked",              [K, K, K, K, O]),
    line(Situation::RolledBack,          "rollback succeeded",                               [K, K, K, O, O]),
    line(Situation::Announced,           "host added, agent never connected",                [U, U, U, U, U]),
    line(Situation::ExistingNew,         "existing agent without lock hash, never deployed", [K, K, U, U, U]),
    line(Situation::ExistingTested,      "existing agent: switched, its tests report a pass", [K, K, K, K, O]),
    line(Situation::NoTests,             "tests run, no script found",                       [K, K, K, K, O]),
    line(Situation::FirstContact,        "agent connected, nothing checked out yet",         [K, U, U, U, U]),
    line(Situation::NeverDeployed,       "current, nothing deployed through us yet",         [K, K, K, U, U]),
];

impl Situation {
    /// The row that must be seen.
    #[must_use]
    pub fn row(self) -> Row {
        self.line().row
    }

    /// The situation in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        self.line().words
    }

    fn line(self) -> &'static Line {
        // Every situation has a line; a test sees to it.
        let found = ROWS.iter().find(|line| line.situation == self);
        found.unwrap_or(&ROWS[0])
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [agent, git, lock, system, tests] = self.0.map(Status::name);
        write!(f, "{agent:8} {git:8} {lock:8} {system:8} {tests}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_situation_has_exactly_one_row() {
        use Situation as S;
        let all = [
            S::Current,
            S::Merged,
            S::Pulled,
            S::Switched,
            S::RemoteGone,
            S::RemoteGoneNeverSeen,
            S::SwitchFailed,
            S::FailedThenMoved,
            S::FailedThenPulled,
            S::FailedThenSwitched,
            S::RolledBack,
            S::Announced,
            S::ExistingNew,
            S::ExistingTested,
            S::NoTests,
            S::FirstContact,
            S::NeverDeployed,
        ];
        assert_eq!(all.len(), ROWS.len());
        for situation in all {
            let lines = ROWS.iter().filter(|line| line.situation == situation);
            assert_eq!(lines.count(), 1, "{situation:?}");
        }
    }
}
