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
    /// For each row the bits that must not be there. No facts have none of all bits, so rows that
    /// are not in use never apply.
    ruled_out: [u128; MAX_ROWS],
    /// What each row decides; behind the last one in use, what the table decides otherwise.
    hits: [RuleHit; MAX_ROWS + 1],
    /// How many of them are in use.
    used: usize,
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
        let [agent, git, lock, system, tests] = &self.tables;
        let mut bits = bits_of(facts);
        let agent = *agent.decide(bits);
        let git = *git.decide(bits);
        bits |= bit(Fact::GitStatus(git.status));
        let lock = *lock.decide(bits);
        bits |= bit(Fact::LockStatus(lock.status));
        let system = *system.decide(bits);
        bits |= bit(Fact::SystemStatus(system.status));
        let tests = *tests.decide(bits);
        [agent, git, lock, system, tests]
    }
}

impl Ready {
    const fn new(table: &Table<'_>) -> Self {
        let mut ready = Self {
            ruled_out: [u128::MAX; MAX_ROWS],
            hits: [hit(table, &table.otherwise); MAX_ROWS + 1],
            used: 0,
        };
        while ready.used < table.rows.len() && ready.used < MAX_ROWS {
            let row = &table.rows[ready.used];
            ready.ruled_out[ready.used] = ruled_out(table.columns, row.when);
            ready.hits[ready.used] = hit(table, row);
            ready.used += 1;
        }
        ready
    }

    /// The first row that applies. All rows are tried, because that is quicker than guessing where
    /// to stop.
    fn decide(&self, bits: u128) -> &RuleHit {
        let mut applies = 1_u32 << self.used;
        for (row, ruled_out) in self.ruled_out.iter().take(self.used).enumerate() {
            applies |= u32::from(ruled_out & bits == 0) << row;
        }
        let first = applies.trailing_zeros() as usize;
        self.hits.get(first).unwrap_or(&self.hits[MAX_ROWS])
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
    // The facts alone fit in half of the bits.
    let bit = |name: FactName, value: u32| 1_u64 << (place(name).0 + value);
    let bits = bit(FactName::Agent, facts.agent as u32)
        | bit(FactName::DesiredCommit, facts.desired_commit as u32)
        | bit(FactName::DesiredLock, facts.desired_lock as u32)
        | bit(FactName::Commit, facts.commit as u32)
        | bit(FactName::Tree, facts.tree as u32)
        | bit(FactName::Lock, facts.lock as u32)
        | bit(FactName::Outcome, facts.outcome as u32)
        | bit(FactName::Reconcile, facts.reconcile as u32)
        | bit(FactName::Record, facts.record as u32)
        | bit(FactName::Claim, facts.claim as u32)
        | bit(FactName::Path, facts.path as u32)
        | bit(FactName::TestsSwitch, facts.tests_switch as u32)
        | bit(FactName::Result, facts.result as u32)
        | bit(FactName::Key, facts.key as u32);
    bits.into()
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
