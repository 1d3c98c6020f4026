//! Tells what the other tests counted in this run of `cargo test`. It has no harness of its own,
//! because the output of a passing test is not shown, and it runs last, because its name comes last.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::os::unix::process::parent_id;
use std::process::ExitCode;

use serde_json::Value;

/// Every count, in the order in which they are told.
const COUNTS: &[&str] = &[
    "facts",
    "facts-reference",
    "facts-pairs",
    "raw-values",
    "table-rows",
    "table-cells",
    "lifecycle-cells",
    "freshness-cells",
    "admission-cells",
    "model-one-pull--both-sides-crash",
    "model-one-pull--frames-lost-and-doubled",
    "model-one-switch--stopped",
    "model-two-pulls--frames-doubled",
    "schedules",
    "table-register",
    "vectors",
];

/// Every table whose changes must be noticed.
const TABLES: &[&str] = &[
    "compartments",
    "overlays",
    "ops",
    "gates",
    "lifecycle",
    "ignored",
    "endings",
    "late",
    "freshness",
    "rollout-states",
    "rollout-waits",
    "rollout-verbs",
    "pipelines",
    "update-checks",
    "update-conditions",
    "update-jobs",
    "update-gates",
    "notices",
    "notice-ends",
    "nearness",
    "refusals",
    "unlisted-previous",
    "windows-and-queue",
    "letters",
    "attentions",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|one| one == "--list") {
        println!("summary: test");
        return ExitCode::SUCCESS;
    }
    let told: Vec<(&str, Option<Value>)> = COUNTS.iter().map(|id| (*id, read(id))).collect();
    let scores: Vec<(&str, Option<Value>)> = TABLES
        .iter()
        .map(|table| (*table, read(&format!("mutants-{table}"))))
        .collect();
    let all = || told.iter().chain(&scores);
    let missing: Vec<&str> = all()
        .filter(|one| one.1.is_none())
        .map(|one| one.0)
        .collect();
    let filtered = arguments.iter().any(|one| !one.starts_with("--"));
    if missing.len() == COUNTS.len() + TABLES.len() || (filtered && !missing.is_empty()) {
        println!("\nsummary: only some tests ran, so there is nothing to sum up");
        return ExitCode::SUCCESS;
    }

    println!("\nWhat the tests checked");
    for (_, count) in &told {
        if let Some(text) = count.as_ref().and_then(|count| count["text"].as_str()) {
            println!("  {text}");
        }
    }
    let mut noticed = [(0, 0); 2];
    let mut survivors = Vec::new();
    for (table, score) in &scores {
        let Some(score) = score else { continue };
        let number = |key: &str| score[key].as_u64().unwrap();
        let list =
            |key: &str| -> Vec<String> { serde_json::from_value(score[key].clone()).unwrap() };
        let survive = list("survivors");
        let deleted = survive
            .iter()
            .filter(|one| one.ends_with("deleted"))
            .count() as u64;
        let altered = survive.len() as u64 - deleted;
        let both = [
            (deleted, number("deletions")),
            (altered, number("retargets")),
        ];
        for (sum, (lost, all)) in noticed.iter_mut().zip(both) {
            sum.0 += all - lost;
            sum.1 += all;
        }
        println!(
            "  mutants of {table}: {}/{} deletions, {}/{} retargets noticed",
            both[0].1 - both[0].0,
            both[0].1,
            both[1].1 - both[1].0,
            both[1].1
        );
        survivors.extend(survive);
    }
    for ((noticed, all), what) in noticed.into_iter().zip(["deletions", "retargets"]) {
        let percent = noticed as f64 * 100.0 / all as f64;
        println!("  mutation score: {noticed}/{all} {what} noticed ({percent:.1} %)");
    }
    println!("  survivors: {}", survivors.len());
    for survivor in &survivors {
        println!("    {survivor}");
    }
    if missing.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("  MISSING: nobody counted {}", missing.join(", "));
    ExitCode::FAILURE
}

/// What a test of this run has left.
fn read(id: &str) -> Option<Value> {
    let path = format!("{}/counts/{id}.json", env!("CARGO_TARGET_TMPDIR"));
    let left: Value = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
    (left["run"] == parent_id()).then_some(left)
}
