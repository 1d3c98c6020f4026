//! The decision tables made ready for deciding: every row becomes one number.
//!
//! Each value of each fact has a bit. A row applies if the facts have none of the bits that its
//! patterns rule out, so a row costs one comparison whatever the number of its columns.

use crate::compartment::fact::{Fact, FactName};
use crate::compartment::facts::Facts;
use crate::compartment::reason::ReasonCode;
use crate::compartment::rules::TABLES;
use crate::compartment::table::{Pattern, Row, Table};
use crate::compartment::{Compartment, Status};

/// What the table of one compartment decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleHit {
    /// The compartment.
    pub compartment: Compartment,
    /// The row that decided.
    pub rule: &'static str,
    /// Its status, before any overlay.
    pub status: Status,
    /// Why.
    pub reason: ReasonCode,
}

/// Decides all five compartments, before any overlay, from facts alone.
#[must_use]
pub fn rules(facts: &Facts) -> [RuleHit; 5] {
    RULESET.decide(facts)
}

static RULESET: Ruleset = Ruleset::new(&TABLES);

/// The most rows of one table, the last one not included.
const MAX_ROWS: usize = 16;

/// Five tables, ready for deciding.
#[derive(Clone, Debug)]
pub struct Ruleset {
    tables: [Ready; 5],
}

#[derive(Clone, Copy, Debug)]
struct Ready {
    rows: [ReadyRow; MAX_ROWS],
    /// How many of them are in use.
    used: usize,
    otherwise: RuleHit,
}

#[derive(Clone, Copy, Debug)]
struct ReadyRow {
    ruled_out: u128,
    hit: RuleHit,
}

impl Ruleset {
    /// Makes tables ready. Rows beyond the sixteenth of a table are not used: a test sees to it
    /// that there are none.
    #[must_use]
    pub const fn new(tables: &[Table<'_>; 5]) -> Self {
        let [agent, git, lock, system, tests] = tables;
        Self {
            tables: [
                Ready::new(agent),
                Ready::new(git),
                Ready::new(lock),
                Ready::new(system),
                Ready::new(tests),
            ],
        }
    }

    /// Decides all five compartments, before any overlay.
    #[must_use]
    pub fn decide(&self, facts: &Facts) -> [RuleHit; 5] {
        let mut bits = bits_of(facts);
        self.tables.each_ref().map(|table| {
            let hit = table.decide(bits);
            bits |= status_bit(hit.compartment, hit.status);
            hit
        })
    }
}

impl Ready {
    const fn new(table: &Table<'_>) -> Self {
        let otherwise = hit(table, &table.otherwise);
        let unused = ReadyRow {
            ruled_out: u128::MAX,
            hit: otherwise,
        };
        let mut rows = [unused; MAX_ROWS];
        let mut used = 0;
        while used < table.rows.len() && used < MAX_ROWS {
            let row = &table.rows[used];
            rows[used] = ReadyRow {
                ruled_out: ruled_out(table.columns, row.when),
                hit: hit(table, row),
            };
            used += 1;
        }
        Self {
            rows,
            used,
            otherwise,
        }
    }

    fn decide(&self, bits: u128) -> RuleHit {
        let rows = self.rows.iter().take(self.used);
        for row in rows {
            if row.ruled_out & bits == 0 {
                return row.hit;
            }
        }
        self.otherwise
    }
}

const fn hit(table: &Table<'_>, row: &Row) -> RuleHit {
    RuleHit {
        compartment: table.compartment,
        rule: row.id,
        status: row.status,
        reason: row.reason,
    }
}

const fn ruled_out(columns: &[FactName], when: &[Pattern]) -> u128 {
    let mut bits = 0;
    let mut at = 0;
    while at < columns.len() && at < when.len() {
        bits |= match when[at] {
            Pattern::Any => 0,
            Pattern::Is(fact) => column(columns[at]) & !bit(fact),
            Pattern::Not(fact) => bit(fact),
        };
        at += 1;
    }
    bits
}

/// The place of a fact's first value, and how many values it has.
const fn place(name: FactName) -> (u32, u32) {
    match name {
        FactName::Agent => (0, 5),
        FactName::DesiredCommit => (5, 2),
        FactName::DesiredLock => (7, 2),
        FactName::Commit => (9, 7),
        FactName::Tree => (16, 2),
        FactName::Lock => (18, 7),
        FactName::Outcome => (25, 4),
        FactName::Reconcile => (29, 2),
        FactName::Record => (31, 5),
        FactName::Claim => (36, 5),
        FactName::Path => (41, 3),
        FactName::TestsSwitch => (44, 2),
        FactName::Result => (46, 7),
        FactName::Key => (53, 3),
        FactName::GitStatus => (56, 5),
        FactName::LockStatus => (61, 5),
        FactName::SystemStatus => (66, 5),
    }
}

const fn column(name: FactName) -> u128 {
    let (first, values) = place(name);
    ((1 << values) - 1) << first
}

const fn bit(fact: Fact) -> u128 {
    let value = match fact {
        Fact::Agent(value) => value as u32,
        Fact::DesiredCommit(value) | Fact::DesiredLock(value) => value as u32,
        Fact::Commit(value) => value as u32,
        Fact::Tree(value) => value as u32,
        Fact::Lock(value) => value as u32,
        Fact::Outcome(value) => value as u32,
        Fact::Reconcile(value) => value as u32,
        Fact::Record(value) => value as u32,
        Fact::Claim(value) => value as u32,
        Fact::Path(value) => value as u32,
        Fact::TestsSwitch(value) => value as u32,
        Fact::Result(value) => value as u32,
        Fact::Key(value) => value as u32,
        Fact::GitStatus(value) | Fact::LockStatus(value) | Fact::SystemStatus(value) => {
            value as u32
        }
    };
    1 << (place(fact.fact_name()).0 + value)
}

fn bits_of(facts: &Facts) -> u128 {
    bit(Fact::Agent(facts.agent))
        | bit(Fact::DesiredCommit(facts.desired_commit))
        | bit(Fact::DesiredLock(facts.desired_lock))
        | bit(Fact::Commit(facts.commit))
        | bit(Fact::Tree(facts.tree))
        | bit(Fact::Lock(facts.lock))
        | bit(Fact::Outcome(facts.outcome))
        | bit(Fact::Reconcile(facts.reconcile))
        | bit(Fact::Record(facts.record))
        | bit(Fact::Claim(facts.claim))
        | bit(Fact::Path(facts.path))
        | bit(Fact::TestsSwitch(facts.tests_switch))
        | bit(Fact::Result(facts.result))
        | bit(Fact::Key(facts.key))
}

fn status_bit(compartment: Compartment, status: Status) -> u128 {
    match compartment {
        Compartment::Git => bit(Fact::GitStatus(status)),
        Compartment::Lock => bit(Fact::LockStatus(status)),
        Compartment::System => bit(Fact::SystemStatus(status)),
        Compartment::Agent | Compartment::Tests => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_every_fact_has_its_own_bit_and_every_table_fits() {
        let mut seen = 0_u128;
        for table in &TABLES {
            assert!(table.rows.len() <= MAX_ROWS);
            for row in table.all_rows() {
                assert_eq!(row.when.len(), table.columns.len(), "{}", row.id);
                for (pattern, name) in row.when.iter().zip(table.columns) {
                    match pattern {
                        Pattern::Any => {}
                        Pattern::Is(fact) | Pattern::Not(fact) => {
                            assert_eq!(fact.fact_name(), *name, "{}", row.id);
                        }
                    }
                }
            }
            for name in table.columns {
                let values = name.values();
                let all = values.iter().fold(0, |bits, fact| bits | bit(*fact));
                assert_eq!(all & !column(*name), 0);
                assert_eq!(all.count_ones() as usize, values.len());
                seen |= all;
            }
        }
        assert_eq!(seen.count_ones(), 56 + 12);
    }
}
