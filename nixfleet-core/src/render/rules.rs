//! The sheets of the compartments: facts, decision tables, overlays, reasons, remedies,
//! attentions, clicks.

use super::sheet::{Sheet, code, codes, yes};
use super::words::{colour, condition, question, status_text, step_text, wire};
use crate::compartment::remedy::{ManualStep, click_for};
use crate::compartment::render::templates::ATTENTIONS;
use crate::compartment::rules::{OVERLAYS, TABLES};
use crate::compartment::table::{During, Row, Table};
use crate::compartment::{Compartment, ReasonCode, Status, remote_sentence};
use crate::desired::{RemoteCause, Unavailable};

pub(super) const STATUSES: [Status; 5] = [
    Status::Unknown,
    Status::Ok,
    Status::Outdated,
    Status::Error,
    Status::Working,
];

pub(super) fn sheets() -> Vec<Sheet> {
    let mut all = vec![statuses(), facts()];
    all.extend(TABLES.iter().map(table));
    all.extend([
        overlays(),
        reasons(),
        manual_steps(),
        clicks(),
        attentions(),
        causes(),
    ]);
    all
}

fn statuses() -> Sheet {
    let row = |status: Status| {
        vec![
            code(status.name()),
            colour(status).to_owned(),
            status_text(status).to_owned(),
        ]
    };
    Sheet {
        id: "statuses",
        title: "Statuses",
        about: "Every compartment has one of these.",
        columns: &["status", "colour", "meaning"],
        rows: STATUSES.into_iter().map(row).collect(),
    }
}

fn facts() -> Sheet {
    let mut names: Vec<_> = TABLES.iter().flat_map(|table| table.columns).collect();
    names.sort_unstable();
    names.dedup();
    let row = |name: &&crate::compartment::fact::FactName| {
        let values = name.values().into_iter().map(|fact| fact.value_name());
        vec![name.name().to_owned(), codes(values)]
    };
    Sheet {
        id: "facts",
        title: "Facts",
        about: "What the decision tables look at: an observation compared with the desired state. \
                The first value is the one that supports green. The last three are statuses, always \
                those before the overlay.",
        columns: &["fact", "values"],
        rows: names.iter().map(row).collect(),
    }
}

fn table(table: &Table<'_>) -> Sheet {
    let (id, title) = match table.compartment {
        Compartment::Agent => ("agent", "Compartment agent"),
        Compartment::Git => ("git", "Compartment git"),
        Compartment::Lock => ("lock", "Compartment lock"),
        Compartment::System => ("system", "Compartment system"),
        Compartment::Tests => ("tests", "Compartment tests"),
    };
    Sheet {
        id,
        title,
        about: question(table.compartment),
        columns: &["row", "first one that applies", "status", "reason"],
        rows: table.all_rows().map(rule).collect(),
    }
}

fn rule(row: &Row) -> Vec<String> {
    vec![
        code(row.id),
        conditions(row),
        format!("{} ({})", code(row.status.name()), colour(row.status)),
        code(&wire(row.reason)),
    ]
}

/// All that a row wants, in words.
pub(super) fn conditions(row: &Row) -> String {
    let wanted: Vec<String> = row.when.iter().filter_map(condition).collect();
    if wanted.is_empty() {
        "otherwise".to_owned()
    } else {
        wanted.join(" and ")
    }
}

/// Where a reason is given, and as which status.
pub(super) fn places(reason: ReasonCode) -> Vec<(Compartment, Status)> {
    if reason == ReasonCode::Working {
        let shown = |one: &Compartment| OVERLAYS.iter().any(|row| row.compartment == *one);
        let places = Compartment::ALL.into_iter().filter(shown);
        return places.map(|one| (one, Status::Working)).collect();
    }
    let mut places = Vec::new();
    for table in &TABLES {
        for row in table.all_rows().filter(|row| row.reason == reason) {
            let place = (table.compartment, row.status);
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    places
}

pub(super) fn during(during: During) -> &'static str {
    match during {
        During::All => "from its start to the end of its verification",
        During::PullHalf => "while its pull half runs, or it is not known which half does",
        During::SwitchHalf => {
            "while its switch half runs, it is not known which half does, or the agent's return is \
             awaited"
        }
    }
}

fn overlays() -> Sheet {
    let row = |row: &crate::compartment::table::OverlayRow| {
        vec![
            code(row.id),
            code(row.compartment.name()),
            code(row.op.name()),
            during(row.during).to_owned(),
        ]
    };
    Sheet {
        id: "overlays",
        title: "Overlays",
        about: "Which command is shown as `working` where. It is laid over the statuses at the end \
                and never changes what lies below. Operations without a row overlay nothing.",
        columns: &["row", "compartment", "operation", "when"],
        rows: OVERLAYS.iter().map(row).collect(),
    }
}

fn reasons() -> Sheet {
    let row = |reason: &ReasonCode| {
        let places = places(*reason);
        let shown = places
            .iter()
            .map(|(one, status)| format!("{} {}", one.name(), colour(*status)));
        let steps: Vec<String> = reason.remedy().steps.iter().map(step_text).collect();
        vec![
            code(&wire(reason)),
            shown.collect::<Vec<_>>().join(", "),
            reason.template().to_owned(),
            if steps.is_empty() {
                "–".to_owned()
            } else {
                steps.join("; ")
            },
        ]
    };
    Sheet {
        id: "reasons",
        title: "Reasons and remedies",
        about: "Why a compartment is what it is, its short sentence (with placeholders), and what \
                can make it green, in this order.",
        columns: &["reason", "shown at", "sentence", "what can be done"],
        rows: ReasonCode::ALL.iter().map(row).collect(),
    }
}

fn manual_steps() -> Sheet {
    let row = |step: ManualStep| {
        let asks = |reason: &&ReasonCode| {
            let steps = reason.remedy().steps;
            steps.contains(&crate::compartment::Step::Manual(step))
        };
        let reasons = ReasonCode::ALL.iter().filter(asks).map(wire);
        vec![code(&wire(step)), step.text().to_owned(), codes(reasons)]
    };
    Sheet {
        id: "manual-steps",
        title: "Steps that only a person can take",
        about: "And the reasons that ask for them.",
        columns: &["step", "what to do", "asked for by"],
        rows: ManualStep::ALL.into_iter().map(row).collect(),
    }
}

fn clicks() -> Sheet {
    let mut rows = Vec::new();
    for compartment in Compartment::ALL {
        for status in STATUSES {
            for pending in [false, true] {
                let click = click_for(compartment, status, pending);
                if pending && click == click_for(compartment, status, false) {
                    continue;
                }
                let shown = if pending {
                    format!("{}, update pending", code(status.name()))
                } else {
                    code(status.name())
                };
                rows.push(vec![
                    code(compartment.name()),
                    shown,
                    codes(click.offers.iter().map(|op| op.name())),
                    yes(click.stop),
                    yes(click.log),
                ]);
            }
        }
    }
    Sheet {
        id: "clicks",
        title: "Clicks",
        about: "A click on a compartment always opens its details. This is what they offer beside.",
        columns: &["compartment", "status", "offers", "stop", "link to the log"],
        rows,
    }
}

fn attentions() -> Sheet {
    let row = |row: &crate::compartment::render::templates::AttentionTemplate| {
        vec![
            code(row.code),
            row.label.to_owned(),
            row.compartment
                .map_or("the host", Compartment::name)
                .to_owned(),
            row.template.to_owned(),
        ]
    };
    Sheet {
        id: "attentions",
        title: "Attentions",
        about: "What a person should know beside a status, never instead of one.",
        columns: &["attention", "label", "shown at", "sentence"],
        rows: ATTENTIONS.iter().map(row).collect(),
    }
}

fn causes() -> Sheet {
    let row = |cause: RemoteCause| {
        vec![
            code(&cause_name(cause)),
            remote_sentence(&Unavailable::new(cause, "")),
            cause.hint().to_owned(),
        ]
    };
    Sheet {
        id: "remote-causes",
        title: "Why the desired state cannot be known",
        about: "Each of them makes `git` and `lock` red, and `system` and `tests` yellow, for every \
                host; one that concerns only the lock leaves `git` as it is.",
        columns: &["cause", "sentence", "what can be done"],
        rows: RemoteCause::ALL.into_iter().map(row).collect(),
    }
}

/// The name of a cause, without the status of a page.
pub(super) fn cause_name(cause: RemoteCause) -> String {
    match serde_json::to_value(cause) {
        Ok(serde_json::Value::Object(fields)) => fields.keys().cloned().collect(),
        Ok(_) | Err(_) => wire(cause),
    }
}
