//! The sheets of updates: conditions, gates, the verdict on checks, jobs.

use serde_json::{Value, json};

use super::sheet::{Sheet, code};
use super::words::wire;
use crate::update::{
    AUTO_GATES, CHECK_VERDICTS, CONDITIONS, ForPeople, JOB_TABLE, JobState, MISSING,
};

pub(super) fn sheets() -> Vec<Sheet> {
    vec![conditions(), gates(), verdicts(), jobs(), job_states()]
}

const fn people(people: ForPeople) -> &'static str {
    match people {
        ForPeople::Required => "refused",
        ForPeople::Override => "needs a reason",
        ForPeople::Shown => "shown",
    }
}

fn conditions() -> Sheet {
    let row = |spec: &crate::update::ConditionSpec| {
        vec![
            code(spec.code),
            spec.meaning.to_owned(),
            people(spec.people).to_owned(),
        ]
    };
    Sheet {
        id: "update-conditions",
        title: "Conditions of an update",
        about: "An automation merges only if all of them hold. What cannot be told does not hold. \
                Labels and texts of a pull request are not among them. The last column says what \
                one that does not hold means to a person who merges by hand.",
        columns: &["condition", "holds if", "for people"],
        rows: CONDITIONS.iter().map(row).collect(),
    }
}

fn gates() -> Sheet {
    let row = |(_, name, meaning): &(_, &'static str, &'static str)| {
        vec![code(name), (*meaning).to_owned()]
    };
    Sheet {
        id: "update-gates",
        title: "Gates of automatic merges",
        about: "What an automation needs besides. A person is not bound by them.",
        columns: &["gate", "passes if"],
        rows: AUTO_GATES.iter().map(row).collect(),
    }
}

fn verdicts() -> Sheet {
    let states = CHECK_VERDICTS
        .iter()
        .map(|(state, verdict, text)| (wire(*state), *verdict, *text));
    let missing = std::iter::once(("(missing)".to_owned(), MISSING.0, MISSING.1));
    let row = |(state, verdict, text): (String, crate::update::Verdict, &str)| {
        vec![code(&state), code(verdict.code()), text.to_owned()]
    };
    Sheet {
        id: "check-verdicts",
        title: "Verdict on checks",
        about: "What one required check contributes. The verdict of all is the worst: `failing`, \
                then `pending`, then `no_verdict`, then `pass`. Without any required check it is \
                `no_verdict`.",
        columns: &["state", "verdict", "the check"],
        rows: states.chain(missing).map(row).collect(),
    }
}

fn jobs() -> Sheet {
    let row = |row: &crate::update::JobRow| {
        vec![
            code(row.id),
            code(&wire(row.stage)),
            code(row.on.code()),
            code(&wire(row.next)),
            row.why.to_owned(),
        ]
    };
    Sheet {
        id: "merge-jobs",
        title: "Merge jobs",
        about: "What a merge does next. What is not listed does nothing.",
        columns: &["row", "stage", "on", "next", "because"],
        rows: JOB_TABLE.iter().map(row).collect(),
    }
}

fn job_states() -> Sheet {
    let row = |(state, meaning): (JobState, &str)| vec![code(&wire(state)), meaning.to_owned()];
    Sheet {
        id: "job-states",
        title: "States of a job",
        about: "What clients are told of a merge or revert.",
        columns: &["state", "meaning"],
        rows: JobState::ALL.into_iter().map(row).collect(),
    }
}

/// The same for other languages.
pub(super) fn json() -> Value {
    json!({
        "conditions": CONDITIONS.iter().map(|spec| json!({
            "condition": spec.code,
            "meaning": spec.meaning,
            "people": spec.people,
        })).collect::<Vec<_>>(),
        "gates": AUTO_GATES.iter().map(|(_, name, meaning)| json!({
            "gate": name,
            "meaning": meaning,
        })).collect::<Vec<_>>(),
        "checks": CHECK_VERDICTS.iter().map(|(state, verdict, text)| json!({
            "state": state,
            "verdict": verdict,
            "text": text,
        })).collect::<Vec<_>>(),
        "jobs": JOB_TABLE.iter().map(|row| json!({
            "id": row.id,
            "stage": row.stage,
            "on": row.on,
            "next": row.next,
            "why": row.why,
        })).collect::<Vec<_>>(),
    })
}
