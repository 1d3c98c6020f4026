//! The sheets of rollouts: states, reasons to wait, verbs, pipelines.

use serde_json::{Value, json};

use super::sheet::{Sheet, code, codes, yes};
use super::words::{duration, wire};
use crate::rollout::{
    PIPELINES, PipelineRow, STATES, SkipReason, StateRow, VERBS, VerbRow, WAITS, WaitRow,
};

/// Why a host that was asked for does not take part, for people.
const SKIPS: [(SkipReason, &str); 5] = [
    (SkipReason::Held, "it is held"),
    (
        SkipReason::Offline,
        "its agent is not connected, and the policy does not wait",
    ),
    (SkipReason::NeverSeen, "its agent was never connected"),
    (
        SkipReason::AutoUpdateOff,
        "its settings keep automation away, and nobody named it",
    ),
    (
        SkipReason::Removed,
        "it was removed after the plan was confirmed",
    ),
];

pub(super) fn sheets() -> Vec<Sheet> {
    vec![states(), waits(), verbs(), skips(), pipelines()]
}

fn states() -> Sheet {
    let row = |row: &StateRow| {
        vec![
            code(&wire(row.state)),
            yes(row.state.is_terminal()),
            row.meaning.to_owned(),
        ]
    };
    Sheet {
        id: "rollout-states",
        title: "States of a rollout",
        about: "In a terminal state nothing happens any more, unless a person uses a verb.",
        columns: &["state", "terminal", "meaning"],
        rows: STATES.iter().map(row).collect(),
    }
}

fn waits() -> Sheet {
    let row = |row: &WaitRow| {
        vec![
            code(&wire(row.code)),
            row.meaning.to_owned(),
            row.bound.map_or("–".to_owned(), duration),
        ]
    };
    Sheet {
        id: "rollout-waits",
        title: "Why a host of a rollout waits",
        about: "Every host that does not run says one of these. A host that waits longer than the \
                bound is left out, and says so. Where the policy skips hosts that are offline, the \
                bound of that wait is 5 min; where it names a deadline, that counts.",
        columns: &["reason", "meaning", "bound"],
        rows: WAITS.iter().map(row).collect(),
    }
}

fn verbs() -> Sheet {
    let row = |row: &VerbRow| {
        vec![
            code(&wire(row.verb)),
            row.help.to_owned(),
            codes(row.states.iter().map(wire)),
        ]
    };
    Sheet {
        id: "rollout-verbs",
        title: "Verbs of a rollout",
        about: "What a person can do with one, and in which states.",
        columns: &["verb", "what it does", "in states"],
        rows: VERBS.iter().map(row).collect(),
    }
}

fn skips() -> Sheet {
    let row = |(reason, meaning): &(SkipReason, &str)| {
        vec![
            code(&wire(reason)),
            (*meaning).to_owned(),
            yes(reason.on_purpose()),
        ]
    };
    Sheet {
        id: "rollout-skips",
        title: "Why a host takes no part in a rollout",
        about: "Decided when it is planned. A rollout without hosts that are left out on purpose \
                can still be complete.",
        columns: &["reason", "meaning", "on purpose"],
        rows: SKIPS.iter().map(row).collect(),
    }
}

fn pipelines() -> Sheet {
    let row = |row: &PipelineRow| {
        vec![
            code(row.name),
            codes(row.ops.iter().map(|op| op.name())),
            row.help.to_owned(),
        ]
    };
    Sheet {
        id: "pipelines",
        title: "Pipelines",
        about: "Every host passes an operation before any of them starts the next; who does not \
                succeed drops out.",
        columns: &["pipeline", "operations", "what it does"],
        rows: PIPELINES.iter().map(row).collect(),
    }
}

/// The same as JSON.
pub(super) fn json() -> Value {
    json!({
        "states": STATES.iter().map(|row| json!({
            "state": row.state,
            "terminal": row.state.is_terminal(),
            "meaning": row.meaning,
        })).collect::<Vec<_>>(),
        "waits": WAITS.iter().map(|row| json!({
            "code": row.code,
            "meaning": row.meaning,
            "bound_seconds": row.bound.map(|bound| bound.as_secs()),
        })).collect::<Vec<_>>(),
        "verbs": VERBS.iter().map(|row| json!({
            "verb": row.verb,
            "help": row.help,
            "states": row.states,
        })).collect::<Vec<_>>(),
        "skips": SKIPS.iter().map(|(reason, meaning)| json!({
            "reason": reason,
            "meaning": meaning,
            "on_purpose": reason.on_purpose(),
        })).collect::<Vec<_>>(),
        "pipelines": PIPELINES.iter().map(|row| json!({
            "name": row.name,
            "ops": row.ops,
            "help": row.help,
        })).collect::<Vec<_>>(),
    })
}
