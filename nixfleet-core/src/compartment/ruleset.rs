//! The decision tables made ready for deciding: every row of every table is one bit of one number.
//!
//! Each value of each fact permits some rows. The rows that apply are those that every fact
//! permits, so deciding costs one look-up a fact, whatever the number of rows; the first row of a
//! table that applies is its lowest bit.

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

/// The same without the names of rows: statuses and reasons.
#[inline]
pub(super) fn statuses(facts: &Facts) -> ([Status; 5], [ReasonCode; 5]) {
    let [agent, git, lock, system, tests] = RULESET.rows(facts);
    let status = |row: usize| RULESET.hits[row % MAX_ROWS].status;
    let reason = |row: usize| RULESET.hits[row % MAX_ROWS].reason;
    (
        [
            status(agent),
            status(git),
            status(lock),
            status(system),
            status(tests),
        ],
        [
            reason(agent),
            reason(git),
            reason(lock),
            reason(system),
            reason(tests),
        ],
    )
}

static RULESET: Ruleset = Ruleset::new(&TABLES);

/// The most rows of all tables together.
const MAX_ROWS: usize = 64;

/// Places for values of facts: more than there are, so that none has to be checked.
const PLACES: usize = 128;

/// Five tables, ready for deciding.
#[derive(Clone, Debug)]
pub struct Ruleset {
    /// For each value of each fact the rows that it permits.
    permits: [u64; PLACES],
    /// For each row the rows of later tables that the status it decides permits.
    then_permits: [u64; MAX_ROWS],
    /// What each row decides.
    hits: [RuleHit; MAX_ROWS],
    /// For each table its rows, the one for everything else included.
    rows_of: [u64; 5],
}

impl Ruleset {
    /// Makes tables ready. Rows for which there is no bit left are not used: a test sees to it
    /// that there are none. Each table keeps its answer to everything else.
    #[must_use]
    pub const fn new(tables: &[Table<'_>; 5]) -> Self {
        let mut ready = Self {
            permits: [u64::MAX; PLACES],
            then_permits: [u64::MAX; MAX_ROWS],
            hits: [hit(&tables[0], &tables[0].otherwise); MAX_ROWS],
            rows_of: [0; 5],
        };
        let (mut at, mut next) = (0, 0);
        while at < tables.len() {
            let table = &tables[at];
            let mut row = 0;
            while row < table.rows.len() && next + (tables.len() - at) < MAX_ROWS {
                ready.add(at, next, table, &table.rows[row]);
                row += 1;
                next += 1;
            }
            ready.add(at, next, table, &table.otherwise);
            next += 1;
            at += 1;
        }
        let mut row = 0;
        while row < MAX_ROWS {
            if let Some(fact) = status_fact(&ready.hits[row]) {
                ready.then_permits[row] = ready.permits[value_at(fact)];
            }
            row += 1;
        }
        ready
    }

    const fn add(&mut self, table_at: usize, bit: usize, table: &Table<'_>, row: &Row) {
        self.rows_of[table_at] |= 1 << bit;
        self.hits[bit] = hit(table, row);
        let ruled_out = ruled_out(table.columns, row.when);
        let mut place = 0;
        while place < PLACES {
            if ruled_out >> place & 1 == 1 {
                self.permits[place] &= !(1 << bit);
            }
            place += 1;
        }
    }

    /// Decides all five compartments, before any overlay.
    #[must_use]
    pub fn decide(&self, facts: &Facts) -> [RuleHit; 5] {
        self.rows(facts).map(|row| self.hits[row % MAX_ROWS])
    }

    /// The row of each table that decides.
    #[inline]
    fn rows(&self, facts: &Facts) -> [usize; 5] {
        let [agents, gits, locks, systems, tests] = self.rows_of;
        let rows = self.permitted(facts);
        let agent = first(rows & agents);
        let git = first(rows & gits);
        let rows = rows & self.then_permits[git];
        let lock = first(rows & locks);
        let rows = rows & self.then_permits[lock];
        let system = first(rows & systems);
        let rows = rows & self.then_permits[system];
        let tests = first(rows & tests);
        [agent, git, lock, system, tests]
    }

    /// The rows that the facts of a host permit.
    fn permitted(&self, facts: &Facts) -> u64 {
        let by =
            |name: FactName, value: usize| self.permits[(place(name).0 as usize + value) % PLACES];
        by(FactName::Agent, facts.agent as usize)
            & by(FactName::DesiredCommit, facts.desired_commit as usize)
            & by(FactName::DesiredLock, facts.desired_lock as usize)
            & by(FactName::Commit, facts.commit as usize)
            & by(FactName::Tree, facts.tree as usize)
            & by(FactName::Lock, facts.lock as usize)
            & by(FactName::Outcome, facts.outcome as usize)
            & by(FactName::Reconcile, facts.reconcile as usize)
            & by(FactName::Record, facts.record as usize)
            & by(FactName::Claim, facts.claim as usize)
            & by(FactName::Path, facts.path as usize)
            & by(FactName::TestsSwitch, facts.tests_switch as usize)
            & by(FactName::Result, facts.result as usize)
            & by(FactName::Key, facts.key as usize)
    }
}

/// The number of the lowest bit. Every table has a row that everything permits.
fn first(rows: u64) -> usize {
    rows.trailing_zeros() as usize % MAX_ROWS
}

/// What later tables see of a row that decided.
const fn status_fact(hit: &RuleHit) -> Option<Fact> {
    match hit.compartment {
        Compartment::Git => Some(Fact::GitStatus(hit.status)),
        Compartment::Lock => Some(Fact::LockStatus(hit.status)),
        Compartment::System => Some(Fact::SystemStatus(hit.status)),
        Compartment::Agent | Compartment::Tests => None,
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
    1 << value_at(fact)
}

/// The place of a value.
const fn value_at(fact: Fact) -> usize {
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
    (place(fact.fact_name()).0 + value) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_every_fact_has_its_own_bit_and_every_table_fits() {
        let mut seen = 0_u128;
        let rows: usize = TABLES.iter().map(|table| table.all_rows().count()).sum();
        assert!(rows <= MAX_ROWS, "{rows}");
        assert_eq!(
            RULESET
                .rows_of
                .iter()
                .fold(0, |all, one| all | one)
                .count_ones() as usize,
            rows
        );
        for table in &TABLES {
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
