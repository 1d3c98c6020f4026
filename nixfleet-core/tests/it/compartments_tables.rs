//! The tables of the compartments beside an independent reference: closed world, mutants, and
//! explanations.

use std::collections::{BTreeMap, BTreeSet};

use crate::counts::{Score, counted};
use nixfleet_core::Status;
use nixfleet_core::compartment::explain::explain_facts;
use nixfleet_core::compartment::facts::Facts;
use nixfleet_core::compartment::rules::TABLES;
use nixfleet_core::compartment::ruleset::{RuleHit, Ruleset};
use nixfleet_core::compartment::table::{Decided, Row, Table};
use nixfleet_core::compartment::{ReasonCode, rules};

use super::compartments_space::{BEST, all, small};
use super::reference::compartments as reference;

use Status::{Error, Ok, Outdated, Unknown};

fn code_name(code: ReasonCode) -> String {
    let text = serde_json::to_string(&code).unwrap();
    text.trim_matches('"').to_owned()
}

#[test]
fn every_combination_of_facts_agrees_with_the_reference() {
    let codes: Vec<(ReasonCode, String)> = ReasonCode::ALL
        .iter()
        .map(|code| (*code, code_name(*code)))
        .collect();
    for (facts, _) in all() {
        let hits = rules(facts);
        let expected = reference::judge(facts);
        for (hit, (status, code)) in hits.iter().zip(expected) {
            let spelled = &codes[hit.reason as usize];
            assert_eq!(spelled.0, hit.reason);
            assert_eq!(
                (hit.status.name(), spelled.1.as_str()),
                (status, code),
                "{} of {facts:?}",
                hit.rule
            );
        }
    }
    let count = all().len();
    let text = format!("reference: {count} combinations of facts, five verdicts each");
    counted("facts-reference", &text);
}

#[test]
fn a20_every_reason_belongs_to_one_compartment_and_status() {
    let mut owners = BTreeMap::new();
    for table in &TABLES {
        for row in table.all_rows() {
            let owner = (table.compartment, row.status);
            let before = owners.insert(row.reason, owner);
            assert!(
                before.is_none_or(|before| before == owner),
                "{:?}",
                row.reason
            );
        }
    }
    for code in ReasonCode::ALL {
        let overlay_only = *code == ReasonCode::Working;
        assert_eq!(owners.contains_key(code), !overlay_only, "{code:?}");
    }
}

#[test]
fn closed_world_every_row_decides_something_and_the_tables_have_no_other() {
    let mut hit = BTreeSet::new();
    for (facts, _) in all() {
        for one in rules(facts) {
            hit.insert((one.rule, one.status));
        }
    }
    let mut rows = BTreeSet::new();
    for table in &TABLES {
        for row in table.all_rows() {
            assert!(rows.insert((row.id, row.status)), "{} twice", row.id);
        }
    }
    assert_eq!(hit, rows, "unreachable rows on the right");
    let cells: usize = TABLES
        .iter()
        .map(|table| (table.rows.len() + 1) * table.columns.len())
        .sum();
    let text = format!(
        "compartments: {} rows with {cells} cells, each row decides something",
        rows.len()
    );
    counted("table-cells", &text);
}

// ---- mutants of the tables ----

fn differs(tables: &[Table<'_>; 5], space: &[(Facts, [RuleHit; 5])]) -> bool {
    let mutant = Ruleset::new(tables);
    space.iter().any(|(facts, expected)| {
        let hits = mutant.decide(facts);
        let answers = |hits: [RuleHit; 5]| hits.map(|hit| (hit.status, hit.reason));
        answers(hits) != answers(*expected)
    })
}

/// Facts with what the reference, not the table, says about them.
fn judged_by_the_reference() -> Vec<(Facts, [RuleHit; 5])> {
    let code = |name: &str| -> ReasonCode { serde_json::from_value(name.into()).unwrap() };
    let status = |name: &str| -> Status { serde_json::from_value(name.into()).unwrap() };
    let mut names = BTreeMap::new();
    let mut judged = Vec::new();
    for facts in small() {
        let verdicts = reference::judge(&facts);
        let mut hits = rules(&facts);
        for (hit, (status_name, code_name)) in hits.iter_mut().zip(verdicts) {
            let parsed = names
                .entry((status_name, code_name))
                .or_insert_with(|| (status(status_name), code(code_name)));
            (hit.status, hit.reason) = *parsed;
        }
        judged.push((facts, hits));
    }
    judged
}

fn with_rows<'a>(table: usize, rows: &'a [Row]) -> [Table<'a>; 5] {
    let mut tables: [Table<'a>; 5] = TABLES;
    tables[table].rows = rows;
    tables
}

#[test]
fn every_deleted_or_retargeted_row_is_caught_by_the_reference() {
    let space = judged_by_the_reference();
    assert!(!differs(&TABLES, &space), "positive control: no mutant");
    let mut score = Score::default();
    for (index, table) in TABLES.iter().enumerate() {
        for at in 0..table.rows.len() {
            let mut rows = table.rows.to_vec();
            let row = rows.remove(at);
            let noticed = differs(&with_rows(index, &rows), &space);
            score.deleted(noticed, || row.id.to_owned());
            for status in [Ok, Outdated, Error, Unknown] {
                if status != row.status {
                    let mut rows = table.rows.to_vec();
                    rows[at].status = status;
                    let noticed = differs(&with_rows(index, &rows), &space);
                    score.retargeted(noticed, || format!("{} retargeted to {status:?}", row.id));
                }
            }
        }
        for status in [Ok, Outdated, Error, Unknown] {
            let otherwise = table.otherwise;
            if status != otherwise.status {
                let mut tables = TABLES;
                tables[index].otherwise.status = status;
                let noticed = differs(&tables, &space);
                score.retargeted(noticed, || {
                    format!("{} retargeted to {status:?}", otherwise.id)
                });
            }
        }
    }
    score.done("compartments");
}

// ---- explanations ----

#[test]
fn the_colour_can_be_recomputed_from_the_trace_alone() {
    let space = small();
    for facts in &space {
        let trace = explain_facts(facts);
        let statuses = rules(facts).map(|hit| hit.status);
        assert_eq!(trace.recompute(), Some(statuses), "{facts:?}");
        for (one, hit) in trace.compartments.iter().zip(rules(facts)) {
            assert_eq!((one.rule, one.reason), (hit.rule, hit.reason));
            assert_eq!(one.green_when.is_empty(), hit.status == Ok, "{one:?}");
            assert_eq!(one.first_failing, one.green_when.first().copied());
        }
    }
    println!("explanations: {} combinations of facts", space.len());
}

#[test]
fn a_trace_without_its_facts_recomputes_nothing() {
    let mut trace = explain_facts(&BEST);
    trace.compartments[3].looked_at.clear();
    assert_eq!(trace.recompute(), None);
}

#[test]
fn what_would_make_it_green_makes_it_green() {
    for facts in small().iter().step_by(7) {
        let [_, git, lock, system, _] = rules(facts).map(|hit| hit.status);
        let decided = Decided { git, lock, system };
        for (table, mut one) in TABLES.iter().zip(explain_facts(facts).compartments) {
            let wishes = one.green_when.iter().map(|wish| wish.should_be);
            let others = table.columns.iter().map(|name| facts.get(*name, &decided));
            // The first fact of a name counts, so a granted wish hides the fact as it is.
            one.looked_at = wishes.chain(others).collect();
            assert_eq!(one.recompute(), Some(Ok), "{:?}", one.green_when);
        }
    }
}

#[test]
fn every_yellow_has_an_action_or_a_named_manual_step_and_every_green_has_none() {
    for table in &TABLES {
        for row in table.all_rows() {
            let steps = row.reason.remedy().steps;
            assert_eq!(steps.is_empty(), row.status == Ok, "{}", row.id);
        }
    }
}
