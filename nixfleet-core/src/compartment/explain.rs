//! Why a colour is what it is: which facts were looked at, which row decided, what would make it
//! green. The colour can be recomputed from the trace alone.

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::compartment::fact::{Fact, FactName};
use crate::compartment::facts::Facts;
use crate::compartment::rules::TABLES;
use crate::compartment::table::{Decided, Pattern, Row, Table, decide, overlay};
use crate::compartment::{Compartment, ReasonCode, Situation, Status, Working};
use crate::time::Timestamp;

/// Why the five colours of a host are what they are.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Trace {
    /// One trace per compartment, in the order of [`Compartment::ALL`].
    pub compartments: [CompartmentTrace; 5],
    /// When the desired state was last verified.
    pub verified_at: Option<Timestamp>,
}

/// Why one colour is what it is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CompartmentTrace {
    /// The compartment.
    pub compartment: Compartment,
    /// The row that decided.
    pub rule: &'static str,
    /// Its status, before any overlay.
    pub status: Status,
    /// Its reason.
    pub reason: ReasonCode,
    /// The facts the table looked at, in order; nothing else can have mattered.
    pub looked_at: Vec<Fact>,
    /// The premise that keeps it from being green, if it is not.
    pub first_failing: Option<Wish>,
    /// Everything that has to change for green, in order; empty if it is green.
    pub green_when: Vec<Wish>,
    /// The active command, if it is shown here, with the row of the overlay.
    pub working: Option<(&'static str, Working)>,
}

/// One fact that has to change for green.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Wish {
    /// The row that stands in the way.
    pub rule: &'static str,
    /// The fact as it is.
    pub is: Fact,
    /// The fact as it should be.
    pub should_be: Fact,
}

impl Serialize for Fact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Fact", 2)?;
        object.serialize_field("fact", self.fact_name().name())?;
        object.serialize_field("value", self.value_name())?;
        object.end()
    }
}

/// Explains the five colours of a host.
#[must_use]
pub fn explain(situation: &Situation<'_>) -> Trace {
    let mut trace = explain_facts(&Facts::compare(situation));
    for one in &mut trace.compartments {
        let row = overlay(one.compartment, situation.working);
        one.working = row.map(|(row, working)| (row.id, working));
    }
    trace.verified_at = situation.desired.verified_at;
    trace
}

/// The same from facts alone: no overlay.
#[must_use]
pub fn explain_facts(facts: &Facts) -> Trace {
    let mut decided = Decided::default();
    let compartments = TABLES.each_ref().map(|table| {
        let trace = explain_one(table, facts, &decided);
        decided.note(table.compartment, trace.status);
        trace
    });
    Trace {
        compartments,
        verified_at: None,
    }
}

impl Trace {
    /// The five colours as shown, from nothing but the facts and overlays in this trace; `None` if
    /// it does not hold what is needed.
    #[must_use]
    pub fn recompute(&self) -> Option<[Status; 5]> {
        let mut statuses = [Status::Unknown; 5];
        for (slot, one) in statuses.iter_mut().zip(&self.compartments) {
            *slot = one.recompute()?;
        }
        Some(statuses)
    }
}

impl CompartmentTrace {
    /// The colour as shown, from nothing but this trace.
    #[must_use]
    pub fn recompute(&self) -> Option<Status> {
        if let Some((_, working)) = self.working
            && overlay(self.compartment, Some(working)).is_some()
        {
            return Some(Status::Working);
        }
        let table = TABLES
            .iter()
            .find(|one| one.compartment == self.compartment)?;
        let look = |name: FactName| {
            let mut seen = self.looked_at.iter().copied();
            seen.find(|fact| fact.fact_name() == name)
        };
        decide(table, look).map(|row| row.status)
    }
}

fn explain_one(table: &Table<'_>, facts: &Facts, decided: &Decided) -> CompartmentTrace {
    let mut looked_at: Vec<Fact> = Vec::new();
    let row = decide(table, |name| {
        let fact = facts.get(name, decided);
        if !looked_at.contains(&fact) {
            looked_at.push(fact);
        }
        Some(fact)
    });
    let row = row.unwrap_or(&table.otherwise);
    let green_when = green_when(table, facts, decided);
    CompartmentTrace {
        compartment: table.compartment,
        rule: row.id,
        status: row.status,
        reason: row.reason,
        looked_at,
        first_failing: green_when.first().copied(),
        green_when,
        working: None,
    }
}

/// Changes one fact after the other to the value that supports green, each time the first one that
/// the deciding row stands on, until the table says `ok`.
fn green_when(table: &Table<'_>, facts: &Facts, decided: &Decided) -> Vec<Wish> {
    let mut wishes: Vec<Wish> = Vec::new();
    while wishes.len() <= table.columns.len() {
        let look = |name: FactName| {
            let mut changed = wishes.iter().map(|wish| wish.should_be);
            let changed = changed.find(|fact| fact.fact_name() == name);
            changed.unwrap_or_else(|| facts.get(name, decided))
        };
        let row = decide(table, |name| Some(look(name))).unwrap_or(&table.otherwise);
        if row.status == Status::Ok {
            break;
        }
        let Some((is, should_be)) = obstacle(table, row, look) else {
            break;
        };
        wishes.push(Wish {
            rule: row.id,
            is,
            should_be,
        });
    }
    wishes
}

/// The fact to change so that `row` no longer decides: the first one it stands on whose supporting
/// value it would not accept or, if it stands on none, the first one that the green row misses.
fn obstacle(table: &Table<'_>, row: &Row, look: impl Fn(FactName) -> Fact) -> Option<(Fact, Fact)> {
    let pairs = |row: &Row| row.when.iter().zip(table.columns).collect::<Vec<_>>();
    for (pattern, name) in pairs(row) {
        let best = *name.values().first()?;
        if *pattern != Pattern::Any && !pattern.holds(best) {
            return Some((look(*name), best));
        }
    }
    let green = table.all_rows().find(|row| row.status == Status::Ok)?;
    for (pattern, name) in pairs(green) {
        let (is, best) = (look(*name), *name.values().first()?);
        if !pattern.holds(is) {
            return Some((is, best));
        }
    }
    None
}
