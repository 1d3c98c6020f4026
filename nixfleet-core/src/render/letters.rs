//! The letters of compact statuses, as a sheet and as data for clients (spec 04).

use serde_json::{Map, Value, json};

use super::sheet::{Sheet, code};
use super::words::wire;
use crate::compartment::ReasonCode;
use crate::desired::RemoteCause;
use crate::op::OPS;
use crate::sync::letters::{self, Letter, Parameter, Place, Source};

pub(super) fn sheet() -> Sheet {
    let row = |kind: &str, name: &str, letter: &Letter| {
        let sources = letter.parameters.iter().map(source_text);
        vec![
            code(&letter.letter.to_string()),
            kind.to_owned(),
            code(name),
            sources.collect::<Vec<_>>().join("; "),
        ]
    };
    let statuses = letters::STATUSES.iter().map(|(status, letter)| {
        let letter = Letter {
            letter: *letter,
            parameters: &[],
        };
        row("status", status.name(), &letter)
    });
    let reasons = ReasonCode::ALL.iter();
    let reasons = reasons.map(|one| row("reason", &wire(one), &letters::reason(*one)));
    let attentions = letters::ATTENTIONS.iter();
    let attentions = attentions.map(|(name, letter)| row("attention", name, letter));
    Sheet {
        id: "letters",
        title: "Letters of compact statuses",
        about: "`[\"web-0001\", \"oddduBJSYp\", 1, 1, 1, 1, 2, 0]`: five statuses, five reasons, `+` \
                if the host is plain green, attentions; then the numbers that these need, in this \
                order. Everything else is looked up where this table says; what cannot be is sent \
                whole. A letter keeps its meaning for ever.",
        columns: &["letter", "kind", "stands for", "parameters"],
        rows: statuses.chain(reasons).chain(attentions).collect(),
    }
}

fn source_text((name, source): &Parameter) -> String {
    let from = match source {
        Source::Told(kind) => format!("told as {}", kind.name()),
        Source::At(places) => {
            let places: Vec<String> = places.iter().map(|place| code(place.path())).collect();
            places.join(", else ")
        }
        Source::IfTold(place) => format!("{} if told so", code(place.path())),
        Source::Before => "as it was".to_owned(),
    };
    format!("{name}: {from}")
}

pub(super) fn json() -> Value {
    let named = |name: Value, letter: &Letter| {
        let parameters: Vec<Value> = letter.parameters.iter().map(source_json).collect();
        let entry = json!({ "code": name, "parameters": parameters });
        (letter.letter.to_string(), entry)
    };
    let reasons = ReasonCode::ALL.iter();
    let reasons = reasons.map(|one| named(json!(one), &letters::reason(*one)));
    let attentions = letters::ATTENTIONS.iter();
    let attentions = attentions.map(|(name, letter)| named(json!(name), letter));
    let statuses = letters::STATUSES.iter();
    let statuses = statuses.map(|(status, letter)| (letter.to_string(), json!(status)));
    json!({
        "statuses": Value::Object(statuses.collect()),
        "reasons": Value::Object(reasons.collect::<Map<_, _>>()),
        "attentions": Value::Object(attentions.collect::<Map<_, _>>()),
        "green": letters::GREEN,
        "numbers": {
            "flag": [false, true],
            "status": letters::STATUSES.map(|(status, _)| status),
            "cause": RemoteCause::ALL,
            "op": OPS.iter().map(|spec| spec.op).collect::<Vec<_>>(),
            "half": letters::HALVES,
        },
        "http_status_from": letters::HTTP_STATUS,
    })
}

fn source_json((name, source): &Parameter) -> Value {
    let paths = |places: &[Place]| places.iter().map(|place| place.path()).collect::<Vec<_>>();
    match source {
        Source::Told(kind) => json!({ "name": name, "told": kind.name() }),
        Source::At(places) => json!({ "name": name, "at": paths(places) }),
        Source::IfTold(place) => json!({ "name": name, "told": "flag", "at": paths(&[*place]) }),
        Source::Before => json!({ "name": name, "before": true }),
    }
}
