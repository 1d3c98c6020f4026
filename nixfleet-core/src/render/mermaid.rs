//! Diagrams in the language of Mermaid.

use std::collections::BTreeMap;

use super::lifecycle::target;
use super::rules::conditions;
use super::words::{question, wire};
use crate::compartment::Compartment;
use crate::compartment::fact::FactName;
use crate::compartment::rules::TABLES;
use crate::lifecycle::{Phase, TABLE};

/// The lifecycle of a command: one arrow per pair of phases, with the rows that lead along it.
#[must_use]
pub fn lifecycle_diagram() -> String {
    let mut arrows: BTreeMap<(Phase, Phase), Vec<&str>> = BTreeMap::new();
    for row in TABLE {
        for from in row.from {
            let to = target(row, *from);
            if to != *from {
                arrows.entry((*from, to)).or_default().push(row.id);
            }
        }
    }
    let mut text = String::from("stateDiagram-v2\n    [*] --> PENDING\n");
    for ((from, to), rows) in arrows {
        text.push_str(&format!(
            "    {} --> {}: {}\n",
            wire(from),
            wire(to),
            rows.join(", ")
        ));
    }
    for phase in Phase::ALL.into_iter().filter(|phase| phase.is_terminal()) {
        text.push_str(&format!("    {} --> [*]\n", wire(phase)));
    }
    text
}

/// The decision table of a compartment as a flow: its questions, one after the other.
#[must_use]
pub fn compartment_flow(compartment: Compartment) -> String {
    let mut text = String::from("flowchart TD\n");
    let Some(table) = TABLES.iter().find(|one| one.compartment == compartment) else {
        return text;
    };
    text.push_str(&format!(
        "    start([\"{}\"]) --> q0\n",
        question(compartment)
    ));
    for (at, row) in table.all_rows().enumerate() {
        let status = row.status.name();
        let answer = format!("a{at}[\"{status}<br/>{}\"]:::{status}", wire(row.reason));
        if at < table.rows.len() {
            text.push_str(&format!("    q{at}{{\"{}?\"}}\n", conditions(row)));
            text.push_str(&format!("    q{at} -->|yes| {answer}\n"));
            text.push_str(&format!("    q{at} -->|no| q{}\n", at + 1));
        } else {
            text.push_str(&format!("    q{at}((\"otherwise\")) --> {answer}\n"));
        }
    }
    text.push_str(COLOURS);
    text
}

/// Which compartment looks at the status of which.
#[must_use]
pub fn decision_order() -> String {
    let mut text = String::from("flowchart LR\n");
    for table in &TABLES {
        let to = table.compartment.name();
        text.push_str(&format!("    {to}[\"{to}\"]\n"));
        for column in table.columns {
            let from = match column {
                FactName::GitStatus | FactName::LockStatus | FactName::SystemStatus => {
                    column.name()
                }
                FactName::Agent
                | FactName::DesiredCommit
                | FactName::DesiredLock
                | FactName::Commit
                | FactName::Tree
                | FactName::Lock
                | FactName::Outcome
                | FactName::Reconcile
                | FactName::Record
                | FactName::Claim
                | FactName::Path
                | FactName::TestsSwitch
                | FactName::Result
                | FactName::Key => continue,
            };
            text.push_str(&format!("    {from} --> {to}\n"));
        }
    }
    text
}

const COLOURS: &str = "    classDef unknown fill:#d0d4da,color:#1b1f24
    classDef ok fill:#9be9a8,color:#1b1f24
    classDef outdated fill:#ffe08a,color:#1b1f24
    classDef error fill:#ffb3ad,color:#1b1f24
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_that_moves_a_command_is_on_an_arrow() {
        let diagram = lifecycle_diagram();
        for row in TABLE {
            let moves = row.from.iter().any(|from| target(row, *from) != *from);
            let named = diagram
                .lines()
                .any(|line| line.split([' ', ',']).any(|word| word == row.id));
            assert_eq!(moves, named, "{}", row.id);
        }
    }

    #[test]
    fn every_row_of_a_compartment_is_an_answer_and_no_text_breaks_its_quotes() {
        for table in &TABLES {
            let flow = compartment_flow(table.compartment);
            let answers = flow.lines().filter(|line| line.contains(":::")).count();
            assert_eq!(answers, table.all_rows().count());
            for line in flow.lines() {
                assert_eq!(line.matches('"').count() % 2, 0, "{line}");
                assert!(!line.contains(":::working"), "{line}");
            }
        }
        let order = decision_order();
        assert!(order.contains("git --> system") && order.contains("system --> tests"));
    }
}
