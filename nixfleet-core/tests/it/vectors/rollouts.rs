//! Vectors of rollouts without a fleet. Those marked `by_hand` were worked out from the
//! specification before any code had answered them; `UPDATE_GOLDEN=1` writes the others anew.

use std::collections::BTreeSet;

use nixfleet_core::wire::WireError;
use nixfleet_core::wire::rollout::{RolloutError, RolloutFacts};
use serde_json::{Value, json};

use super::{Vectors, missing};
use crate::goldens::updating;

const FILE: &str = "rollouts";

fn error(error: &RolloutError) -> Value {
    let (code, place) = match error {
        RolloutError::Wire(WireError::Json(_)) => ("malformed", ""),
        RolloutError::Wire(WireError::Type { field, .. }) => ("malformed", field.as_str()),
        RolloutError::Wire(WireError::Field { field, .. }) => ("field", *field),
        RolloutError::Field { field, .. } => ("field", field.as_str()),
        RolloutError::NotPlanned(why) => (why.code(), ""),
    };
    json!({"error": {"code": code, "place": place}})
}

/// The facts of a case stand over those of its fleet.
fn answer(file: &Vectors, case: &Value) -> Value {
    let mut facts = file.shared["fleets"][case["fleet"].as_str().unwrap()].clone();
    for (key, value) in case["facts"].as_object().into_iter().flatten() {
        facts[key] = value.clone();
    }
    let read = RolloutFacts::read(&facts.to_string()).map_err(RolloutError::from);
    let told = match case["question"].as_str().unwrap() {
        "plan" => read
            .and_then(RolloutFacts::plan)
            .map(|plan| json!({"plan": plan})),
        "simulate" => read
            .and_then(RolloutFacts::simulate)
            .map(|report| json!({"simulation": report})),
        other => panic!("{other} is no question"),
    };
    told.unwrap_or_else(|why| error(&why))
}

fn judge(file: &Vectors, case: &Value) -> Result<(), String> {
    missing(&case["expected"], &answer(file, case), "expected").map_or(Ok(()), Err)
}

/// The part of an answer that a case expects.
fn essence(mut answer: Value) -> Value {
    if let Some(plan) = answer["plan"].as_object_mut() {
        plan.retain(|key, _| matches!(key.as_str(), "id" | "target" | "ops" | "waves" | "skipped"));
        return answer;
    }
    if let Some(report) = answer["simulation"].as_object_mut() {
        let plan = json!({"id": report["plan"]["id"], "waves": report["plan"]["waves"]});
        report.insert("plan".to_owned(), plan);
        let end = &report["end"];
        let keys = ["host", "state", "message", "rolled_back", "skipped"];
        let hosts = end["hosts"].as_array().unwrap().iter().map(|host| {
            let kept = keys
                .iter()
                .filter_map(|key| Some((*key, host.get(key)?.clone())));
            kept.map(|(key, one)| (key.to_owned(), one)).collect()
        });
        let hosts: Vec<Value> = hosts.map(Value::Object).collect();
        let end = json!({"state": end["state"], "totals": end["totals"], "hosts": hosts});
        report.insert("end".to_owned(), end);
    }
    answer
}

#[test]
fn rollouts_are_what_the_vectors_say() {
    let mut file = Vectors::read(FILE);
    if updating() {
        let answers: Vec<Value> = file.cases.iter().map(|case| answer(&file, case)).collect();
        for (case, answer) in file.cases.iter_mut().zip(answers) {
            if case["by_hand"] != true {
                case["expected"] = essence(answer);
            }
        }
        let mut shared = file.shared.clone();
        shared.remove("kind");
        Vectors::write(FILE, FILE, &shared, &file.cases);
    }
    assert!(file.verify(judge) >= 60);
    let by_hand = file.cases.iter().filter(|case| case["by_hand"] == true);
    let by_hand: Vec<&Value> = by_hand.collect();
    assert!(by_hand.len() >= 10);
    // An alteration of any of those is noticed.
    for case in by_hand {
        let mut altered = case.clone();
        let expected = altered["expected"].as_object_mut().unwrap();
        for answer in expected.values_mut() {
            let key = answer.as_object().unwrap().keys().next().unwrap().clone();
            answer[key] = json!("altered");
        }
        assert!(judge(&file, &altered).is_err());
    }
    let ends = |case: &Value| {
        case["expected"]["simulation"]["end"]["state"]
            .as_str()
            .map(str::to_owned)
    };
    let ends: BTreeSet<String> = file.cases.iter().filter_map(ends).collect();
    for state in ["complete", "partial", "failed", "halted", "cancelled"] {
        assert!(ends.contains(state), "no vector ends {state}");
    }
}
