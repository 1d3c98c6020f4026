//! `GET /api/v1/tables`: the tables of the core as data, so that clients hold no rules and no
//! sentences of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use nixfleet_core::compartment::render::templates::{ATTENTIONS, AttentionTemplate};
use nixfleet_core::{Compartment, OPS, Op, Phase, ReasonCode};
use serde::Serialize;
use warp::Filter;

use super::{Route, get_or_head, json};
use crate::auth::{Auth, Permission, filters};

/// `GET /api/v1/tables`.
#[must_use]
pub fn routes(auth: &Arc<Auth>) -> Route {
    warp::path!("api" / "v1" / "tables")
        .and(get_or_head())
        .and(filters::require(auth, Permission::Read))
        .map(|_principal| json(StatusCode::OK, &Tables::new()))
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
}

#[derive(Serialize)]
struct OpRow {
    op: Op,
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
        let ops = OPS.iter().map(|spec| OpRow {
            op: spec.op,
            help: spec.help,
            overlay: spec.overlay,
        });
        let phases = Phase::ALL.into_iter().map(|phase| PhaseRow {
            phase,
            terminal: phase.is_terminal(),
            active: phase.is_active(),
        });
        Self {
            compartments: Compartment::ALL,
            reasons: reasons.map(|code| (*code, code.template())).collect(),
            attentions: ATTENTIONS,
            ops: ops.collect(),
            phases: phases.collect(),
        }
    }
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
