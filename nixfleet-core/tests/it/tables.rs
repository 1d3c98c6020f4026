//! The rendered tables: current, complete, and equal to what decides.

use std::collections::BTreeSet;

use crate::counts::counted;
use nixfleet_core::compartment::rules::{OVERLAYS, TABLES};
use nixfleet_core::lifecycle::{IGNORED, LATE, TABLE};
use nixfleet_core::render::{self, NUMBERS, sheets, tables_json, tables_markdown};
use nixfleet_core::{Compartment, OPS, ReasonCode};
use serde_json::Value;

use crate::goldens::{check, read};

#[test]
fn tables_md_is_current() {
    check("nixfleet-core/TABLES.md", &tables_markdown());
}

#[test]
fn the_tables_as_json_are_current() {
    let mut text = serde_json::to_string_pretty(&tables_json()).unwrap();
    text.push('\n');
    check("tests/golden/tables/tables.json", &text);
}

#[test]
fn the_diagrams_are_current() {
    check(
        "tests/golden/tables/lifecycle.mmd",
        &render::lifecycle_diagram(),
    );
    for compartment in Compartment::ALL {
        check(
            &format!("tests/golden/tables/{}.mmd", compartment.name()),
            &render::compartment_flow(compartment),
        );
    }
}

/// Every row of every table has its line in TABLES.md and its object in the JSON.
#[test]
fn no_row_is_missing_from_what_is_rendered() {
    let markdown = tables_markdown();
    let json = tables_json().to_string();
    let mut ids: Vec<&str> = TABLES
        .iter()
        .flat_map(|table| table.all_rows().map(|row| row.id))
        .collect();
    ids.extend(OVERLAYS.iter().map(|row| row.id));
    ids.extend(TABLE.iter().chain(IGNORED).map(|row| row.id));
    ids.extend(LATE.iter().map(|row| row.id));
    let count = ids.len();
    assert_eq!(
        ids.iter().collect::<BTreeSet<_>>().len(),
        count,
        "ids are unique"
    );
    for id in ids {
        assert!(markdown.contains(&format!("\n| `{id}` |")), "{id}");
        assert!(json.contains(&format!("\"id\":\"{id}\"")), "{id}");
    }
    for spec in OPS {
        assert!(markdown.contains(&format!("\n| `{}` | {}", spec.name, spec.help)));
    }
    counted("table-rows", &format!("tables: {count} rows rendered"));
}

#[test]
fn every_sheet_is_rectangular_and_says_something_in_every_row() {
    let mut ids = BTreeSet::new();
    for sheet in sheets() {
        assert!(ids.insert(sheet.id), "{} twice", sheet.id);
        assert!(
            !sheet.rows.is_empty() && !sheet.about.is_empty(),
            "{}",
            sheet.id
        );
        assert_eq!(render::sheet(sheet.id).as_ref(), Some(&sheet));
        for row in &sheet.rows {
            assert_eq!(row.len(), sheet.columns.len(), "{}: {row:?}", sheet.id);
            assert!(
                !row[0].is_empty() && !row[0].contains("``"),
                "{}: {row:?}",
                sheet.id
            );
        }
    }
    assert!(render::sheet("no-such-sheet").is_none());
}

/// What clients rely on: see `GET /api/v1/tables`.
#[test]
fn the_json_has_a_sentence_a_place_and_a_remedy_for_every_reason() {
    let tables = tables_json();
    for reason in ReasonCode::ALL {
        let name = serde_json::to_value(reason).unwrap();
        let name = name.as_str().unwrap();
        assert!(tables["reasons"][name].is_string(), "{name}");
        let places = tables["reason_places"][name].as_array().unwrap();
        assert!(!places.is_empty(), "{name} is given nowhere");
        let steps = tables["remedies"][name].as_array().unwrap();
        for step in steps {
            let known = match (&step["op"], &step["manual"]) {
                (Value::String(op), Value::Null) => OPS.iter().any(|spec| spec.name == op),
                (Value::Null, Value::String(manual)) => tables["manual_steps"][manual].is_string(),
                (_, _) => false,
            };
            assert!(known, "{name}: {step}");
        }
        let needs_action = places
            .iter()
            .any(|place| place["status"] == "outdated" || place["status"] == "error");
        assert!(
            !needs_action || !steps.is_empty(),
            "{name} leaves a person alone"
        );
    }
    assert_eq!(tables["clicks"].as_array().unwrap().len(), 5 * 5 * 2);
    assert_eq!(tables["ops"].as_array().unwrap().len(), OPS.len());
}

/// Names that rows, operations and remedies use are explained in the same document.
#[test]
fn every_name_that_a_table_uses_is_explained_beside_it() {
    let tables = tables_json();
    for op in tables["ops"].as_array().unwrap() {
        for need in op["needs"].as_array().unwrap() {
            assert!(
                tables["needs"][need.as_str().unwrap()].is_string(),
                "{need}"
            );
        }
        assert!(tables["goals"][op["goal"].as_str().unwrap()].is_string());
    }
    for row in tables["transitions"].as_array().unwrap() {
        for kind in row["on"].as_array().unwrap() {
            let known = tables["circumstances"][kind.as_str().unwrap()].as_array();
            let known = known.unwrap_or_else(|| panic!("{kind}"));
            let when = row["when"].as_array().unwrap();
            assert!(
                when.is_empty() || when.iter().any(|one| known.contains(one)),
                "{row}"
            );
        }
    }
    for (compartment, rules) in tables["rules"].as_object().unwrap() {
        for row in rules["rows"].as_array().unwrap() {
            assert!(tables["reasons"][row["reason"].as_str().unwrap()].is_string());
            for (fact, wanted) in row["when"].as_object().unwrap() {
                let values = rules["facts"].as_array().unwrap().iter();
                let of_fact = values.filter(|one| one["fact"] == fact.as_str());
                let value = if wanted["is"].is_null() {
                    &wanted["not"]
                } else {
                    &wanted["is"]
                };
                assert!(
                    of_fact
                        .flat_map(|one| one["values"].as_array().unwrap())
                        .any(|one| one == value),
                    "{compartment}: {fact} {wanted}"
                );
            }
        }
    }
}

/// A bound that is declared and not listed would be missing from the documents.
#[test]
fn every_bound_in_time_of_the_lifecycle_is_in_the_list_of_numbers() {
    let source = read("nixfleet-core/src/lifecycle/timing.rs");
    let declared = source
        .lines()
        .filter_map(|line| line.strip_prefix("pub const "))
        .filter_map(|line| line.split_once(": Duration"))
        .map(|(name, _)| name.to_ascii_lowercase().replace('_', "-"));
    let listed: BTreeSet<&str> = NUMBERS
        .iter()
        .filter(|number| number.area == "lifecycle")
        .map(|number| number.name)
        .collect();
    let mut count = 0;
    for name in declared {
        assert!(listed.contains(name.as_str()), "{name}");
        count += 1;
    }
    assert_eq!(count, listed.len());
}
