//! `GET /api/v1/tables`: the tables of the core as data, so that clients hold no rules and no
//! sentences of their own.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::HeaderMap;
use nixfleet_core::admission::RefusalCode;
use nixfleet_core::compartment::Step;
use nixfleet_core::compartment::render::templates::{ATTENTIONS, AttentionTemplate};
use nixfleet_core::compartment::rules::{OVERLAYS, TABLES};
use nixfleet_core::compartment::table::{Pattern, Row, Table};
use nixfleet_core::lifecycle::{IGNORED, Row as Transition, TABLE};
use nixfleet_core::op::{Goal, Need, OpClass, Performer};
use nixfleet_core::{Compartment, OPS, Op, Phase, ReasonCode};
use serde::Serialize;
use serde_json::{Value, json};
use warp::Filter;

use super::{Route, answer, get_or_head, idempotency, tagged};
use crate::auth::{Auth, Permission, filters};

/// `GET /api/v1/tables`.
#[must_use]
pub fn routes(auth: &Arc<Auth>) -> Route {
    warp::path!("api" / "v1" / "tables")
        .and(get_or_head())
        .and(filters::require(auth, Permission::Read))
        .and(warp::header::headers_cloned())
        .and_then(|_principal, headers: HeaderMap| async move {
            // Constant data: written once.
            static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
            let written =
                || idempotency::body(&Tables::new()).inspect(|body| _ = DOCUMENT.set(body.clone()));
            let body = DOCUMENT.get().cloned().map_or_else(written, Ok);
            answer(body.map(|body| tagged(&headers, body)))
        })
        .boxed()
}

#[derive(Serialize)]
struct Tables {
    compartments: [Compartment; 5],
    /// Short sentence of each reason, with placeholders.
    reasons: BTreeMap<ReasonCode, &'static str>,
    attentions: &'static [AttentionTemplate],
    ops: Vec<OpRow>,
    phases: Vec<PhaseRow>,
    /// What to do about each reason.
    remedies: BTreeMap<ReasonCode, Vec<Value>>,
    /// The decision tables of the compartments.
    rules: Vec<Value>,
    /// Which operation is shown as `working` where.
    overlays: Vec<Value>,
    /// The transition table of commands, and what deliberately does nothing.
    transitions: Vec<Value>,
    ignored: Vec<Value>,
    refusals: Vec<Value>,
}

/// One operation of the catalogue.
#[derive(Serialize)]
pub(super) struct OpRow {
    op: Op,
    name: &'static str,
    aliases: &'static [&'static str],
    performer: Performer,
    class: OpClass,
    needs: &'static [Need],
    goal: Goal,
    warn_seconds: Option<u64>,
    hard_seconds: u64,
    retry: bool,
    help: &'static str,
    overlay: &'static [Compartment],
}

#[derive(Serialize)]
struct PhaseRow {
    phase: Phase,
    terminal: bool,
    active: bool,
}

impl Tables {
    fn new() -> Self {
        let reasons = ReasonCode::ALL.iter();
        let remedies = ReasonCode::ALL.iter();
        let phases = Phase::ALL.into_iter().map(|phase| PhaseRow {
            phase,
            terminal: phase.is_terminal(),
            active: phase.is_active(),
        });
        Self {
            compartments: Compartment::ALL,
            reasons: reasons.map(|code| (*code, code.template())).collect(),
            attentions: ATTENTIONS,
            ops: ops(),
            phases: phases.collect(),
            remedies: remedies.map(|code| (*code, remedy(*code))).collect(),
            rules: TABLES.iter().map(decision_table).collect(),
            overlays: overlays(),
            transitions: TABLE.iter().map(transition).collect(),
            ignored: IGNORED.iter().map(transition).collect(),
            refusals: RefusalCode::ALL.iter().map(|code| refusal(*code)).collect(),
        }
    }
}

/// The catalogue of operations.
pub(super) fn ops() -> Vec<OpRow> {
    let rows = OPS.iter().map(|spec| OpRow {
        op: spec.op,
        name: spec.name,
        aliases: spec.aliases,
        performer: spec.performer,
        class: spec.class,
        needs: spec.needs,
        goal: spec.goal,
        warn_seconds: spec.warn.map(|warn| warn.as_secs()),
        hard_seconds: spec.hard.as_secs(),
        retry: spec.retry,
        help: spec.help,
        overlay: spec.overlay,
    });
    rows.collect()
}

fn remedy(code: ReasonCode) -> Vec<Value> {
    let steps = code.remedy().steps.iter().map(|step| match step {
        Step::Manual(manual) => json!({ "manual": manual, "text": manual.text() }),
        Step::Op(op) => json!({ "op": op }),
    });
    steps.collect()
}

fn decision_table(table: &Table<'_>) -> Value {
    let columns: Vec<_> = table.columns.iter().map(|column| column.name()).collect();
    let rows: Vec<_> = table.all_rows().map(decision_row).collect();
    json!({ "compartment": table.compartment, "columns": columns, "rows": rows })
}

fn decision_row(row: &Row) -> Value {
    let when = row.when.iter().map(|pattern| match pattern {
        Pattern::Any => "*".to_owned(),
        Pattern::Is(fact) => fact.value_name().to_string(),
        Pattern::Not(fact) => format!("not {}", fact.value_name()),
    });
    json!({
        "id": row.id,
        "when": when.collect::<Vec<_>>(),
        "status": row.status,
        "reason": row.reason,
    })
}

fn overlays() -> Vec<Value> {
    let rows = OVERLAYS
        .iter()
        .map(|row| json!({ "id": row.id, "compartment": row.compartment, "op": row.op }));
    rows.collect()
}

fn transition(row: &Transition) -> Value {
    json!({
        "id": row.id,
        "from": row.from,
        "on": row.on,
        "when": row.when,
        "to": row.to,
        "arm": row.arm,
        "then": row.then,
        "why": row.why,
    })
}

fn refusal(code: RefusalCode) -> Value {
    json!({
        "code": code,
        "help": code.what_would_help(),
        "bypassed_by_force": code.bypassed_by_force(),
        "may_wait": code.may_wait(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_written_under_their_wire_names() {
        let tables = serde_json::to_value(Tables::new()).unwrap();
        assert_eq!(
            tables["reasons"]["checkout-behind"],
            ReasonCode::CheckoutBehind.template()
        );
        assert_eq!(tables["attentions"][0]["code"], "update-pending");
        assert_eq!(tables["ops"][0]["op"], "pull");
        assert_eq!(tables["phases"][0]["phase"], "PENDING");
        assert_eq!(tables["phases"][0]["active"], false);
    }
}
