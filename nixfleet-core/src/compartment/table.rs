//! How a decision table is read: per compartment an ordered list of rows, the first one whose
//! patterns all hold decides.

use crate::compartment::fact::{Fact, FactName};
use crate::compartment::reason::ReasonCode;
use crate::compartment::rules::OVERLAYS;
use crate::compartment::{Compartment, PullSwitchHalf, Status, Working};
use crate::op::Op;

/// What one row wants of one fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Every value will do.
    Any,
    /// Exactly this value.
    Is(Fact),
    /// Every value but this one.
    Not(Fact),
}

impl Pattern {
    /// Whether this value will do.
    #[must_use]
    pub fn holds(&self, fact: Fact) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Is(wanted) => *wanted == fact,
            Pattern::Not(unwanted) => *unwanted != fact,
        }
    }
}

/// One row of a decision table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Stable name, found in traces, documents and tests.
    pub id: &'static str,
    /// One pattern per column of the table.
    pub when: &'static [Pattern],
    /// What the row decides.
    pub status: Status,
    /// Why.
    pub reason: ReasonCode,
}

/// The decision table of one compartment.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// Which compartment it decides.
    pub compartment: Compartment,
    /// The facts it looks at, in this order.
    pub columns: &'static [FactName],
    /// The rows; the first one that applies wins.
    pub rows: &'a [Row],
    /// The row for everything else: a table has an answer to every combination of facts.
    pub otherwise: Row,
}

impl Table<'_> {
    /// Every row, the last one included.
    pub fn all_rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().chain([&self.otherwise])
    }
}

/// One row of the overlay: which operation is shown as `working` where.
#[derive(Clone, Copy, Debug)]
pub struct OverlayRow {
    /// Stable name.
    pub id: &'static str,
    /// Where it is shown.
    pub compartment: Compartment,
    /// The operation.
    pub op: Op,
    /// When.
    pub during: During,
}

/// In which part of an operation an overlay row applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum During {
    /// From its start to the end of its verification.
    All,
    /// While the half that pulls is running, or while it is not known which half is.
    PullHalf,
    /// While the half that switches is running, or while it is not known which half is, and
    /// while the return of the agent is awaited.
    SwitchHalf,
}

impl During {
    /// Whether the command is in this part.
    #[must_use]
    pub fn covers(self, working: Working) -> bool {
        match self {
            During::All => true,
            During::PullHalf => {
                working.half != Some(PullSwitchHalf::Switch) && !working.awaiting_reconnect
            }
            During::SwitchHalf => {
                working.half != Some(PullSwitchHalf::Pull) || working.awaiting_reconnect
            }
        }
    }
}

/// The overlay row that applies to a compartment, if a command is at work there.
#[must_use]
pub fn overlay(
    compartment: Compartment,
    working: Option<Working>,
) -> Option<(&'static OverlayRow, Working)> {
    let working = working?;
    let row = OVERLAYS.iter().find(|row| {
        row.compartment == compartment && row.op == working.op && row.during.covers(working)
    })?;
    Some((row, working))
}

/// Reads one table with a way to look at facts, one after the other; `None` if a fact it needs
/// cannot be looked at. The slow way, for traces: [`Ruleset`](super::ruleset::Ruleset) is fast.
pub(super) fn decide<'t>(
    table: &'t Table<'_>,
    mut look: impl FnMut(FactName) -> Option<Fact>,
) -> Option<&'t Row> {
    'rows: for row in table.rows {
        for (pattern, name) in row.when.iter().zip(table.columns) {
            if *pattern != Pattern::Any && !pattern.holds(look(*name)?) {
                continue 'rows;
            }
        }
        return Some(row);
    }
    Some(&table.otherwise)
}

/// The statuses decided so far: the tables of later compartments look at those of earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Status of `git`, before any overlay.
    pub git: Status,
    /// Status of `lock`, before any overlay.
    pub lock: Status,
    /// Status of `system`, before any overlay.
    pub system: Status,
}

impl Default for Decided {
    fn default() -> Self {
        Self {
            git: Status::Unknown,
            lock: Status::Unknown,
            system: Status::Unknown,
        }
    }
}

impl Decided {
    pub(super) fn note(&mut self, compartment: Compartment, status: Status) {
        match compartment {
            Compartment::Git => self.git = status,
            Compartment::Lock => self.lock = status,
            Compartment::System => self.system = status,
            Compartment::Agent | Compartment::Tests => {}
        }
    }
}
