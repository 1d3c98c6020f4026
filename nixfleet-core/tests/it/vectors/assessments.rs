//! Vectors of assessments: a host, what is desired of it, and the five answers.

use std::collections::BTreeSet;

use nixfleet_core::Compartment;
use nixfleet_core::compartment::ReasonCode;
use nixfleet_core::compartment::facts::Facts;
use nixfleet_core::compartment::rules::{OVERLAYS, TABLES};
use nixfleet_core::wire::situation::{OwnedSituation, SituationFacts};
use serde_json::{Map, Value, json};

use super::hosts::{any_host, desired_states, lock_contents};
use super::{Vectors, facts, missing};
use crate::compartments_world::World;
use crate::goldens::updating;
use crate::goldens_compartments::SITUATIONS;
use crate::reference::{compartments, compartments_text, situations};
use crate::simulation::rng::Rng;

const NAMED: &str = "assessments-named";
/// Two files, because one would be large.
const GENERATED: [&str; 2] = ["assessments-generated-1", "assessments-generated-2"];
/// How many generated cases there are.
const CASES: usize = 1_100;

// ---- judging ----

/// The situation of a case; a desired state may be named instead of told.
fn situation_of(file: &Vectors, case: &Value) -> Result<OwnedSituation, String> {
    let facts: SituationFacts =
        serde_json::from_value(resolved(file, case)).map_err(|error| error.to_string())?;
    facts.try_into().map_err(|error| format!("{error}"))
}

fn resolved(file: &Vectors, case: &Value) -> Value {
    let mut input = case["input"].clone();
    if let Some(name) = input["desired"].as_str() {
        input["desired"] = file.shared["desired"][name].clone();
    }
    input
}

/// What the production code says, in the shape of `expected`.
fn answer(situation: &OwnedSituation) -> Value {
    let mut report = serde_json::to_value(situation.report()).unwrap();
    let rows = situation.explain().compartments.map(|one| one.rule);
    report["rules"] = json!(rows);
    report
}

fn judge(file: &Vectors, case: &Value) -> Result<(), String> {
    let situation = situation_of(file, case)?;
    if let Some(wrong) = missing(&case["expected"], &answer(&situation), "expected") {
        return Err(wrong);
    }
    by_reference(file, case, &situation)
}

/// The same by the references, which know nothing of the tables: statuses from raw values,
/// reasons from facts, and from the JSON alone overlays, attentions and what a message must tell.
fn by_reference(file: &Vectors, case: &Value, situation: &OwnedSituation) -> Result<(), String> {
    let base = compartments_text::judge(&situation.as_situation());
    let verdicts = compartments::judge(&Facts::compare(&situation.as_situation()));
    let input = resolved(file, case);
    let covered = situations::working(&input);
    let expected = &case["expected"];
    for (index, name) in Compartment::ALL.map(Compartment::name).iter().enumerate() {
        let told = &expected["compartments"][name];
        let (status, reason) = if covered.contains(name) {
            ("working", "working")
        } else {
            assert_eq!(verdicts[index].0, base[index], "the references disagree");
            verdicts[index]
        };
        if (told["status"].as_str(), told["reason"].as_str()) != (Some(status), Some(reason)) {
            return Err(format!(
                "{name}: the reference says {status} ({reason}), not {told}"
            ));
        }
        let message = told["message"].as_str().unwrap_or_default();
        if let Some(part) = situations::must_tell(name, reason, &input)
            .into_iter()
            .find(|part| !message.contains(part))
        {
            return Err(format!("{name}: {part:?} is missing in {message:?}"));
        }
    }
    let codes = expected["attentions"].as_array().into_iter().flatten();
    let codes: Vec<&str> = codes.filter_map(|one| one["code"].as_str()).collect();
    let wanted = situations::attentions(&input);
    if codes != wanted {
        return Err(format!(
            "the reference says the attentions {wanted:?}, not {codes:?}"
        ));
    }
    Ok(())
}

// ---- making ----

/// Three fields of each compartment; the named cases have the rest as well.
fn case(id: &str, input: &SituationFacts, desired: Option<&str>, whole: bool) -> Value {
    let situation = OwnedSituation::try_from(input.clone()).unwrap();
    let mut expected = answer(&situation);
    if !whole {
        for name in Compartment::ALL.map(Compartment::name) {
            let one = expected["compartments"][name].as_object_mut().unwrap();
            one.retain(|key, _| ["status", "reason", "message"].contains(&key.as_str()));
        }
    }
    let mut input = serde_json::to_value(input).unwrap();
    if let Some(name) = desired {
        input["desired"] = json!(name);
    }
    json!({ "id": id, "input": input, "expected": expected })
}

/// What is read back of facts must be the world they were written from.
fn reads_back(world: &World, facts: &SituationFacts) -> OwnedSituation {
    let read = OwnedSituation::try_from(facts.clone()).unwrap();
    assert_eq!(read.observation, world.observation);
    assert_eq!(read.desired, world.desired);
    assert_eq!(read.deploy, world.deploy);
    assert_eq!(read.tests, world.tests);
    assert_eq!(
        format!("{:?}", read.as_situation()),
        format!("{:?}", world.situation())
    );
    read
}

fn named() -> Vec<Value> {
    let cases = SITUATIONS.iter().map(|(name, world)| {
        let world = world();
        let facts = facts::situation(&world);
        reads_back(&world, &facts);
        case(name, &facts, None, true)
    });
    cases.chain([known_contents()]).collect()
}

/// A branch with a merge, whose locks are known with their contents: the tooltip tells inputs.
fn known_contents() -> Value {
    let mut facts = facts::situation(&World::current());
    facts.desired = lock_contents(&mut facts.host.facts);
    case(
        "a merge behind, contents of the locks known",
        &facts,
        None,
        true,
    )
}

/// What makes a case worth keeping: rows, overlays, attentions, and the shape of its messages.
fn signature(answer: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::from([answer["rules"].to_string()]);
    for name in Compartment::ALL.map(Compartment::name) {
        let one = &answer["compartments"][name];
        let words = one["message"].as_str().unwrap().split(' ');
        let shape = words.map(|word| match word.chars().any(|c| c.is_ascii_digit()) {
            true => "#",
            false => word,
        });
        let shape = shape.collect::<Vec<_>>().join(" ");
        found.insert(format!("{name} {} {shape}", one["status"]));
    }
    for attention in answer["attentions"].as_array().unwrap() {
        found.insert(format!(
            "{} beside {}",
            attention["code"], answer["rules"][3]
        ));
    }
    found
}

fn generated() -> (Map<String, Value>, Vec<Value>) {
    let states = desired_states();
    let names: Vec<&String> = states.keys().collect();
    let usual = [
        "a",
        "b",
        "a with history",
        "b with history",
        "c with history",
    ];
    let mut rng = Rng::new(0x6e69_7866_6c65_6574);
    let (mut known, mut cases) = (BTreeSet::new(), Vec::new());
    let mut tries = 0_u32;
    while cases.len() < CASES {
        tries += 1;
        assert!(
            tries < 2_000_000,
            "only {} cases are worth keeping",
            cases.len()
        );
        let name = if rng.one_in(4) {
            (*rng.pick(&names)).as_str()
        } else {
            rng.pick(&usual)
        };
        let mut world = World::never_seen();
        if !rng.one_in(40) {
            any_host(&mut rng, &mut world);
        }
        let written = SituationFacts {
            desired: states[name].clone(),
            ..facts::situation(&world)
        };
        let situation = OwnedSituation::try_from(written.clone()).unwrap();
        let new = signature(&answer(&situation));
        if new.is_subset(&known) {
            continue;
        }
        known.extend(new);
        world.desired = situation.desired;
        world.in_grace = written.desired.in_grace;
        reads_back(&world, &written);
        let id = format!("g{:04}", cases.len());
        cases.push(case(&id, &written, Some(name), false));
    }
    println!(
        "vectors: {} of {tries} random situations were worth keeping",
        cases.len()
    );
    let states = serde_json::to_value(&states).unwrap();
    (Map::from_iter([("desired".to_owned(), states)]), cases)
}

// ---- tests ----

#[test]
fn assessments_are_what_the_vectors_say() {
    if updating() {
        let (shared, cases) = generated();
        for (name, cases) in GENERATED.into_iter().zip(cases.chunks(CASES / 2)) {
            Vectors::write(name, "assessments", &shared, cases);
        }
        Vectors::write(NAMED, "assessments", &Map::new(), &named());
    }
    let [first, second] = GENERATED.map(Vectors::read);
    let files = [Vectors::read(NAMED), first, second];
    let count: usize = files.iter().map(|file| file.verify(judge)).sum();
    assert!(count >= 1_000);
    let rows: BTreeSet<String> = texts(&files, |case| {
        let rules = case["expected"]["rules"].as_array().unwrap();
        rules.iter().map(text).collect()
    });
    for table in &TABLES {
        for row in table.all_rows() {
            assert!(rows.contains(row.id), "no vector uses the row {}", row.id);
        }
    }
    let overlaid: BTreeSet<String> = files
        .iter()
        .flat_map(|file| {
            file.cases
                .iter()
                .map(move |case| situation_of(file, case).unwrap())
        })
        .flat_map(|situation| situation.explain().compartments)
        .filter_map(|one| one.working.map(|(row, _)| row.to_owned()))
        .collect();
    for row in OVERLAYS {
        assert!(
            overlaid.contains(row.id),
            "no vector uses the overlay {}",
            row.id
        );
    }
    let reasons = texts(&files, |case| {
        let all = case["expected"]["compartments"]
            .as_object()
            .unwrap()
            .values();
        all.map(|one| text(&one["reason"])).collect()
    });
    for reason in ReasonCode::ALL {
        let reason = text(&serde_json::to_value(reason).unwrap());
        assert!(
            reasons.contains(&reason),
            "no vector has the reason {reason}"
        );
    }
    let attentions = texts(&files, |case| {
        let all = case["expected"]["attentions"].as_array().unwrap();
        all.iter().map(|one| text(&one["code"])).collect()
    });
    assert_eq!(attentions.len(), 12, "{attentions:?}");
    println!(
        "vectors: {} rows, {} overlays, {} reasons, {} attentions",
        rows.len(),
        overlaid.len(),
        reasons.len(),
        attentions.len()
    );
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn texts(files: &[Vectors], of: impl Fn(&Value) -> Vec<String>) -> BTreeSet<String> {
    files
        .iter()
        .flat_map(|file| &file.cases)
        .flat_map(of)
        .collect()
}

#[test]
fn a_history_with_contents_and_merges_is_read_as_it_is_written() {
    let file = Vectors::read(NAMED);
    let told = |case: &&Value| case["id"].as_str().unwrap().starts_with("a merge behind");
    let case = file.cases.iter().find(told).unwrap();
    let shown = &case["expected"]["compartments"];
    let lock = shown["lock"]["details"].to_string();
    assert!(
        lock.contains("nixpkgs 1111111 (2025-10-09) → 2222222 (2025-11-13)"),
        "{lock}"
    );
    let git = shown["git"]["message"].as_str().unwrap();
    assert!(git.starts_with("2 commits behind"), "{git}");
}

#[test]
fn an_altered_assessment_is_noticed_by_the_code_and_by_the_reference() {
    let file = Vectors::read(GENERATED[0]);
    let mut noticed = 0;
    for case in file.cases.iter().step_by(25) {
        let situation = situation_of(&file, case).unwrap();
        for name in Compartment::ALL.map(Compartment::name) {
            let mut altered = case.clone();
            let status = &mut altered["expected"]["compartments"][name]["status"];
            *status = json!(if *status == "ok" { "outdated" } else { "ok" });
            assert!(judge(&file, &altered).unwrap_err().contains(name));
            assert!(
                by_reference(&file, &altered, &situation)
                    .unwrap_err()
                    .contains(name)
            );
            noticed += 1;
        }
        let mut altered = case.clone();
        altered["expected"]["compartments"]["git"]["message"] = json!("all is well");
        assert!(judge(&file, &altered).unwrap_err().contains("all is well"));
        let mut altered = case.clone();
        altered["expected"]["attentions"] = json!([{"code": "no-such"}]);
        assert!(
            by_reference(&file, &altered, &situation)
                .unwrap_err()
                .contains("attentions")
        );
    }
    println!("vectors: {noticed} altered assessments noticed");
    assert!(noticed >= 100);
}

#[test]
fn what_cannot_be_read_names_its_field() {
    let digits = "a".repeat(40);
    let cases = [
        (json!({"host": {"lock_hash": "12"}}), "lock_hash"),
        (json!({"host": {"repo": {"commit": "main"}}}), "repo.commit"),
        (json!({"host": {"instance_id": "a b"}}), "instance_id"),
        (json!({"desired": {"commit": "abc1234"}}), "desired.commit"),
        (
            json!({"desired": {"lock_hash": digits}}),
            "desired.lock_hash",
        ),
        (
            json!({"desired": {"history": {"commits": ["x"]}}}),
            "desired.history.commits",
        ),
        (json!({"deploy": {"command_id": "7"}}), "deploy.command_id"),
        (
            json!({"tests": {"verdict": "pass", "key": {"commit": "", "lock_hash": ""}}}),
            "tests.key.commit",
        ),
        (json!({"tests": {"verdict": "splendid"}}), "splendid"),
        (json!({"presence": "asleep"}), "asleep"),
        (json!({"working": {"op": "rm"}}), "rm"),
    ];
    for (input, field) in cases {
        let facts: Result<SituationFacts, _> = serde_json::from_value(input);
        let error = match facts {
            Err(error) => error.to_string(),
            Ok(facts) => OwnedSituation::try_from(facts).unwrap_err().to_string(),
        };
        assert!(error.contains(field), "{field} is missing in: {error}");
    }
    let silent = OwnedSituation::try_from(SituationFacts::default()).unwrap();
    let row = silent.report().statuses().join(" ");
    assert_eq!(row, "unknown error error outdated outdated");
}
