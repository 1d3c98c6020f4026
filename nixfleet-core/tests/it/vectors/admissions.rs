//! Vectors of admission, written by hand: who may do what to which host, and what stands in the way.

use std::collections::BTreeSet;

use nixfleet_core::admission::{RefusalCode, Request};
use nixfleet_core::wire::admission::{ConditionFacts, OwnedConditions, RequestFacts};
use serde_json::{Value, json};

use super::{Vectors, missing};

const FILE: &str = "admissions";

/// A case names one of the hosts that the file describes; its own conditions come on top.
fn conditions(file: &Vectors, case: &Value) -> Value {
    let host = case["host"].as_str().unwrap();
    let mut conditions = file.shared["hosts"][host].clone();
    for (key, value) in case["conditions"].as_object().into_iter().flatten() {
        conditions[key] = value.clone();
    }
    conditions
}

fn judge(file: &Vectors, case: &Value) -> Result<(), String> {
    let request: RequestFacts =
        serde_json::from_value(case["request"].clone()).map_err(|error| error.to_string())?;
    let conditions: ConditionFacts =
        serde_json::from_value(conditions(file, case)).map_err(|error| error.to_string())?;
    let request = Request::try_from(request).map_err(|error| error.to_string())?;
    let conditions = OwnedConditions::try_from(conditions).map_err(|error| error.to_string())?;
    let report = serde_json::to_value(conditions.report(&request)).unwrap();
    missing(&case["expected"], &report, "expected").map_or(Ok(()), Err)
}

/// A vector, ready to be judged by other lists of gates and needs.
pub struct Case {
    pub request: Request,
    pub conditions: OwnedConditions,
    /// Codes of the refusals, in order.
    pub expected: Vec<String>,
}

/// All of them.
pub fn cases() -> Vec<Case> {
    let file = Vectors::read(FILE);
    let read = |case: &Value| {
        let request: RequestFacts = serde_json::from_value(case["request"].clone()).unwrap();
        let facts: ConditionFacts = serde_json::from_value(conditions(&file, case)).unwrap();
        Case {
            request: request.try_into().unwrap(),
            conditions: facts.try_into().unwrap(),
            expected: codes(case).map(str::to_owned).collect(),
        }
    };
    file.cases.iter().map(read).collect()
}

fn codes(case: &Value) -> impl Iterator<Item = &str> {
    let refusals = case["expected"]["refusals"].as_array().unwrap();
    refusals
        .iter()
        .map(|refusal| refusal["code"].as_str().unwrap())
}

#[test]
fn admissions_are_what_was_worked_out_by_hand() {
    let file = Vectors::read(FILE);
    assert!(file.verify(judge) >= 40);
    let found: BTreeSet<&str> = file.cases.iter().flat_map(codes).collect();
    // These three are said by servers, not by the rules about hosts.
    let of_servers = [
        RefusalCode::StoreDamaged,
        RefusalCode::NotSupported,
        RefusalCode::ValidationTimedOut,
    ];
    for code in RefusalCode::ALL
        .iter()
        .filter(|code| !of_servers.contains(code))
    {
        assert!(
            found.contains(code.code()),
            "no vector is refused as {}",
            code.code()
        );
    }
    for case in &file.cases {
        let mut altered = case.clone();
        let admitted = &mut altered["expected"]["admitted"];
        *admitted = json!(!admitted.as_bool().unwrap());
        assert!(judge(&file, &altered).unwrap_err().contains("admitted"));
    }
}
