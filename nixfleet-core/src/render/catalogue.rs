//! The sheets of operations and admission.

use super::sheet::{Sheet, code, codes, yes};
use super::words::{duration, gate_text, goal_text, need_text, wire};
use crate::admission::{GATES, Gate, RefusalCode};
use crate::op::{Goal, Need, OPS, OpSpec};

pub(super) fn sheets() -> Vec<Sheet> {
    vec![ops(), gates(), needs(), refusals(), goals()]
}

fn ops() -> Sheet {
    let row = |spec: &OpSpec| {
        vec![
            code(spec.name),
            spec.help.to_owned(),
            wire(spec.performer),
            wire(spec.class),
            codes(spec.needs.iter().map(wire)),
            code(&wire(spec.goal)),
            spec.warn.map_or("–".to_owned(), duration),
            duration(spec.hard),
            yes(spec.retry),
            codes(spec.overlay.iter().map(|one| one.name())),
            codes(spec.aliases),
        ]
    };
    Sheet {
        id: "ops",
        title: "Operations",
        about: "Needs are checked in this order, after the gates. Retry means that a new command \
                may be started after a terminal phase; one command is never run again.",
        columns: &[
            "operation",
            "what it does",
            "by",
            "class",
            "needs",
            "goal",
            "warning",
            "hard",
            "retry",
            "shown as working",
            "aliases",
        ],
        rows: OPS.iter().map(row).collect(),
    }
}

fn gates() -> Sheet {
    let row = |gate: &Gate| vec![code(&wire(gate)), gate_text(*gate).to_owned()];
    Sheet {
        id: "gates",
        title: "Gates",
        about: "Rules of admission for every operation, checked before its own needs, in this order.",
        columns: &["gate", "passes if"],
        rows: GATES.iter().map(row).collect(),
    }
}

/// Every need that an operation has.
pub(super) fn all_needs() -> Vec<Need> {
    let mut all: Vec<Need> = OPS.iter().flat_map(|spec| spec.needs).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Every goal that an operation has, in the order of the operations.
pub(super) fn all_goals() -> Vec<Goal> {
    let mut all: Vec<Goal> = Vec::new();
    for spec in OPS {
        if !all.contains(&spec.goal) {
            all.push(spec.goal);
        }
    }
    all
}

fn needs() -> Sheet {
    let row = |need: Need| {
        let ops = OPS.iter().filter(|spec| spec.needs.contains(&need));
        vec![
            code(&wire(need)),
            need_text(need).to_owned(),
            codes(ops.map(|spec| spec.name)),
        ]
    };
    Sheet {
        id: "needs",
        title: "Needs",
        about: "Preconditions of single operations.",
        columns: &["need", "met if", "operations"],
        rows: all_needs().into_iter().map(row).collect(),
    }
}

fn refusals() -> Sheet {
    let row = |refusal: &RefusalCode| {
        vec![
            code(refusal.code()),
            refusal.template().replace("; {}", ": …"),
            refusal.what_would_help().to_owned(),
            yes(refusal.bypassed_by_force()),
            yes(refusal.may_wait()),
        ]
    };
    Sheet {
        id: "refusals",
        title: "Refusals",
        about: "Every rule that can say no. The codes are stable.",
        columns: &[
            "code",
            "sentence",
            "what would help",
            "force bypasses",
            "may wait in the queue",
        ],
        rows: RefusalCode::ALL.iter().map(row).collect(),
    }
}

fn goals() -> Sheet {
    let row = |goal: Goal| {
        let ops = OPS.iter().filter(|spec| spec.goal == goal);
        vec![
            code(&wire(goal)),
            goal_text(goal).to_owned(),
            codes(ops.map(|spec| spec.name)),
        ]
    };
    Sheet {
        id: "goals",
        title: "Goals",
        about: "What must be seen, in facts reported after the exit, for SUCCESS.",
        columns: &["goal", "reached if", "operations"],
        rows: all_goals().into_iter().map(row).collect(),
    }
}
