//! Every table as one JSON value: what `GET /api/v1/tables` serves, and what other languages read.

use serde_json::{Map, Value, json};

use super::catalogue::{all_goals, all_needs};
use super::lifecycle::{GAPS, UNKNOWN, UNVERIFIED, freshness_lines};
use super::numbers::NUMBERS;
use super::rules::{STATUSES, cause_name, places};
use super::words::{
    colour, gate_text, goal_text, late_text, need_text, phase_text, question, status_text, wire,
};
use crate::admission::{GATES, RefusalCode};
use crate::compartment::remedy::{ManualStep, click_for};
use crate::compartment::render::templates::ATTENTIONS;
use crate::compartment::rules::{OVERLAYS, TABLES};
use crate::compartment::table::{During, Pattern, Table};
use crate::compartment::{Compartment, ReasonCode, Step, remote_sentence};
use crate::desired::{RemoteCause, Unavailable};
use crate::lifecycle::{ENDINGS, EventKind, IGNORED, LATE, Phase, Row, TABLE, To, guards};
use crate::op::OPS;

/// Rises when a field changes its meaning or vanishes; new fields do not change it.
const FORMAT: u32 = 1;

/// Every table. Objects are keyed by stable names; the order of arrays means something.
#[must_use]
pub fn tables_json() -> Value {
    json!({
        "format": FORMAT,
        "compartments": Compartment::ALL,
        "questions": by_name(Compartment::ALL, |one| (one.name().to_owned(), json!(question(one)))),
        "statuses": STATUSES.map(|status| json!({
            "status": status,
            "colour": colour(status),
            "meaning": status_text(status),
        })),
        "reasons": reasons(|reason| json!(reason.template())),
        "reason_places": reasons(|reason| json!(places(reason)
            .into_iter()
            .map(|(compartment, status)| json!({ "compartment": compartment, "status": status }))
            .collect::<Vec<_>>())),
        "remedies": reasons(|reason| json!(reason.remedy().steps.iter().map(step).collect::<Vec<_>>())),
        "manual_steps": by_name(ManualStep::ALL, |step| (wire(step), json!(step.text()))),
        "clicks": clicks(),
        "attentions": ATTENTIONS,
        "remote_causes": by_name(RemoteCause::ALL, |cause| (cause_name(cause), json!({
            "sentence": remote_sentence(&Unavailable::new(cause, "")),
            "hint": cause.hint(),
        }))),
        "compact": super::letters::json(),
        "rollouts": super::rollouts::json(),
        "rules": by_name(&TABLES, |table| (table.compartment.name().to_owned(), rules(table))),
        "overlays": OVERLAYS.iter().map(|row| json!({
            "id": row.id,
            "compartment": row.compartment,
            "op": row.op,
            "during": match row.during {
                During::All => "all",
                During::PullHalf => "pull-half",
                During::SwitchHalf => "switch-half",
            },
        })).collect::<Vec<_>>(),
        "ops": ops_json(),
        "gates": GATES.iter().map(|gate| json!({ "gate": gate, "passes_if": gate_text(*gate) })).collect::<Vec<_>>(),
        "needs": by_name(all_needs(), |need| (wire(need), json!(need_text(need)))),
        "goals": by_name(all_goals(), |goal| (wire(goal), json!(goal_text(goal)))),
        "refusals": by_name(RefusalCode::ALL, |refusal| (refusal.code().to_owned(), json!({
            "sentence": refusal.template(),
            "help": refusal.what_would_help(),
            "bypassed_by_force": refusal.bypassed_by_force(),
            "may_wait": refusal.may_wait(),
        }))),
        "phases": Phase::ALL.map(|phase| json!({
            "phase": phase,
            "terminal": phase.is_terminal(),
            "active": phase.is_active(),
            "meaning": phase_text(phase),
        })),
        "transitions": TABLE.iter().map(transition).collect::<Vec<_>>(),
        "ignored": IGNORED.iter().map(transition).collect::<Vec<_>>(),
        "circumstances": by_name(EventKind::ALL, |kind| (wire(kind), json!(guards(kind)))),
        "endings": ENDINGS.iter().map(|spec| json!({
            "ending": spec.ending,
            "phase": spec.phase,
            "pull_only": spec.pull_only.deploy,
            "touched": spec.touched.deploy,
            "activated": spec.activated.deploy,
            "reconcile": {
                "pull_only": spec.pull_only.reconcile,
                "touched": spec.touched.reconcile,
                "activated": spec.activated.reconcile,
            },
        })).collect::<Vec<_>>(),
        "late": LATE.iter().map(|row| json!({
            "id": row.id,
            "case": row.case,
            "meaning": late_text(row.case),
            "settles": row.settles,
            "noted": row.noted,
            "why": row.why,
        })).collect::<Vec<_>>(),
        "ending_causes": {
            "outcome-unknown": by_name(UNKNOWN, |cause| (wire(cause), json!(cause.text()))),
            "unverified": by_name(UNVERIFIED, |cause| (wire(cause), json!(cause.text()))),
            "goal-not-reached": by_name(GAPS, |gap| (wire(gap), json!(gap.text()))),
        },
        "freshness": freshness_lines().into_iter().map(|([expected, path, hash, source], not_due, due)| json!({
            "expected": expected,
            "path": path,
            "hash": hash,
            "source": source,
            "no_update_due": not_due,
            "update_due": due,
        })).collect::<Vec<_>>(),
        "numbers": NUMBERS.iter().map(|number| json!({
            "area": number.area,
            "name": number.name,
            "ms": millis(number.value),
            "meaning": number.meaning,
        })).collect::<Vec<_>>(),
    })
}

fn by_name<T>(items: impl IntoIterator<Item = T>, entry: impl Fn(T) -> (String, Value)) -> Value {
    Value::Object(items.into_iter().map(entry).collect::<Map<_, _>>())
}

fn reasons(value: impl Fn(ReasonCode) -> Value) -> Value {
    by_name(ReasonCode::ALL, |reason| (wire(reason), value(*reason)))
}

fn step(step: &Step) -> Value {
    match step {
        Step::Op(op) => json!({ "op": op }),
        Step::Manual(manual) => json!({ "manual": manual }),
    }
}

fn clicks() -> Value {
    let mut clicks = Vec::new();
    for compartment in Compartment::ALL {
        for status in STATUSES {
            for update_pending in [false, true] {
                let click = click_for(compartment, status, update_pending);
                clicks.push(json!({
                    "compartment": compartment,
                    "status": status,
                    "update_pending": update_pending,
                    "offers": click.offers,
                    "stop": click.stop,
                    "log": click.log,
                }));
            }
        }
    }
    Value::Array(clicks)
}

/// A decision table: every row with what it wants of each fact it looks at.
fn rules(table: &Table<'_>) -> Value {
    let wanted = |pattern: &Pattern| match pattern {
        Pattern::Any => None,
        Pattern::Is(fact) => Some((fact.fact_name(), json!({ "is": fact.value_name() }))),
        Pattern::Not(fact) => Some((fact.fact_name(), json!({ "not": fact.value_name() }))),
    };
    let rows = table.all_rows().map(|row| {
        let when = row.when.iter().filter_map(wanted);
        json!({
            "id": row.id,
            "when": by_name(when, |(name, value)| (name.name().to_owned(), value)),
            "status": row.status,
            "reason": row.reason,
        })
    });
    let facts = table.columns.iter().map(|name| {
        let values = name.values().into_iter().map(|fact| fact.value_name());
        json!({ "fact": name.name(), "values": values.collect::<Vec<_>>() })
    });
    json!({
        "facts": facts.collect::<Vec<_>>(),
        "rows": rows.collect::<Vec<_>>(),
    })
}

/// The catalogue of operations.
#[must_use]
pub fn ops_json() -> Value {
    let ops = OPS.iter().map(|spec| {
        json!({
            "op": spec.op,
            "name": spec.name,
            "aliases": spec.aliases,
            "help": spec.help,
            "performer": spec.performer,
            "class": spec.class,
            "needs": spec.needs,
            "goal": spec.goal,
            "warn_seconds": spec.warn.map(|warn| warn.as_secs()),
            "hard_seconds": spec.hard.as_secs(),
            "retry": spec.retry,
            "overlay": spec.overlay,
        })
    });
    Value::Array(ops.collect())
}

fn transition(row: &Row) -> Value {
    let to = match row.to {
        To::Stay => json!({ "stay": true }),
        To::Go(phase) => json!({ "phase": phase }),
        To::End(ending) => json!({ "phase": ending.spec().phase, "ending": ending }),
        To::Unknown(cause) => {
            json!({ "phase": Phase::Error, "ending": "outcome-unknown", "cause": cause })
        }
        To::Unverified(cause) => {
            json!({ "phase": Phase::Partial, "ending": "unverified", "cause": cause })
        }
    };
    json!({
        "id": row.id,
        "from": row.from,
        "on": row.on,
        "when": row.when,
        "to": to,
        "deadline": row.arm,
        "does": row.then,
        "why": row.why,
    })
}

fn millis(value: std::time::Duration) -> u64 {
    u64::try_from(value.as_millis()).unwrap_or(u64::MAX)
}
