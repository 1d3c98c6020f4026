//! The conformance vectors of `tests/golden/vectors` through Rust, C and Python: every answer is what
//! is expected, and the three give it byte for byte.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::c::{Program, build};
use crate::surface::{Answer, Other, Rust, Surface};
use crate::{package, repository, skip};

fn file(name: &str) -> Value {
    let path = repository().join(format!("tests/golden/vectors/{name}.json"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    match value.as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => serde_json::to_vec(value).unwrap(),
    }
}

/// Where `found` lacks something of `expected`.
fn missing(expected: &Value, found: &Value, at: &str) -> Result<(), String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            expected.iter().try_for_each(|(key, one)| {
                missing(
                    one,
                    found.get(key).unwrap_or(&Value::Null),
                    &format!("{at}.{key}"),
                )
            })
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            let mut pairs = expected.iter().zip(found).enumerate();
            pairs
                .try_for_each(|(index, (one, other))| missing(one, other, &format!("{at}.{index}")))
        }
        (expected, found) if expected == found => Ok(()),
        (expected, found) => Err(format!("{at}: expected {expected}, found {found}")),
    }
}

fn equal(expected: &Value, found: &Value) -> Result<(), String> {
    missing(expected, found, "expected")?;
    missing(found, expected, "found")
}

/// Everything one surface answered to a case, to be compared with the others.
type Told = Vec<Vec<u8>>;

/// Asks, and keeps the answer.
fn ask(to: &mut dyn Surface, told: &mut Told, letter: char, arguments: &[&[u8]]) -> Answer {
    let answer = to.ask(letter, arguments);
    told.push(match &answer {
        Ok(text) => text.clone(),
        Err(failed) => format!("{failed:?}").into_bytes(),
    });
    answer
}

fn parsed(answer: Answer) -> Result<Value, String> {
    let text = answer.map_err(|failed| format!("{failed:?}"))?;
    serde_json::from_slice(&text).map_err(|error| error.to_string())
}

// ---- one judge for each kind of file ----

fn assessment(
    to: &mut dyn Surface,
    told: &mut Told,
    file: &Value,
    case: &Value,
) -> Result<(), String> {
    let mut input = case["input"].clone();
    if let Some(name) = input["desired"].as_str() {
        input["desired"] = file["desired"][name].clone();
    }
    let input = serde_json::to_vec(&input).unwrap();
    let mut found = parsed(ask(to, told, 'a', &[&input]))?;
    let trace = parsed(ask(to, told, 'e', &[&input]))?;
    let rules = trace["compartments"].as_array().unwrap().iter();
    found["rules"] = rules.map(|one| one["rule"].clone()).collect();
    missing(&case["expected"], &found, "expected")?;
    // The five bytes of the hot call say the same.
    let names = ["unknown", "ok", "outdated", "error", "working"];
    let dots = ask(to, told, 'f', &[&input]).map_err(|failed| format!("{failed:?}"))?;
    for (dot, name) in dots.iter().zip(["agent", "git", "lock", "system", "tests"]) {
        let expected = &case["expected"]["compartments"][name]["status"];
        if *expected != names[usize::from(*dot)] {
            return Err(format!("{name}: expected {expected}, found the byte {dot}"));
        }
    }
    Ok(())
}

fn hash(to: &mut dyn Surface, told: &mut Told, _: &Value, case: &Value) -> Result<(), String> {
    let once = match case["text"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => {
            let hex = case["hex"].as_str().unwrap();
            let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (0..hex.len()).step_by(2).map(digits).collect()
        }
    };
    let times = case["times"].as_u64().unwrap_or(1);
    let all = once.repeat(usize::try_from(times).unwrap());
    for letter in ['h', 'i'] {
        let hash = ask(to, told, letter, &[&all]).map_err(|failed| format!("{failed:?}"))?;
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        equal(&case["expected"], &json!({"sha256": hex}))?;
    }
    Ok(())
}

fn diff(to: &mut dyn Surface, told: &mut Told, _: &Value, case: &Value) -> Result<(), String> {
    let (old, new) = (bytes(&case["old"]), bytes(&case["new"]));
    equal(
        &case["expected"],
        &parsed(ask(to, told, 'd', &[&old, &new]))?,
    )
}

fn fault(to: &mut dyn Surface, told: &mut Told, _: &Value, case: &Value) -> Result<(), String> {
    let lock = bytes(&case["lock"]);
    let Err(failed) = ask(to, told, 'r', &[&lock]) else {
        return Err("it is a lock".to_owned());
    };
    let mut found = json!({"code": failed.code});
    if !failed.place.is_empty() {
        found["path"] = json!(failed.place);
    }
    equal(&case["expected"], &found)
}

fn admission(
    to: &mut dyn Surface,
    told: &mut Told,
    file: &Value,
    case: &Value,
) -> Result<(), String> {
    let mut conditions = file["hosts"][case["host"].as_str().unwrap()].clone();
    for (key, value) in case["conditions"].as_object().into_iter().flatten() {
        conditions[key] = value.clone();
    }
    let request = serde_json::to_vec(&case["request"]).unwrap();
    let conditions = serde_json::to_vec(&conditions).unwrap();
    let found = parsed(ask(to, told, 'x', &[&request, &conditions]))?;
    missing(&case["expected"], &found, "expected")
}

/// The facts of a case stand over those of its fleet.
fn rollout(
    to: &mut dyn Surface,
    told: &mut Told,
    file: &Value,
    case: &Value,
) -> Result<(), String> {
    let mut facts = file["fleets"][case["fleet"].as_str().unwrap()].clone();
    for (key, value) in case["facts"].as_object().into_iter().flatten() {
        facts[key] = value.clone();
    }
    let facts = serde_json::to_vec(&facts).unwrap();
    let (letter, name) = match case["question"].as_str().unwrap() {
        "plan" => ('o', "plan"),
        "simulate" => ('s', "simulation"),
        other => return Err(format!("{other} is no question")),
    };
    let found = match ask(to, told, letter, &[&facts]) {
        Ok(text) => {
            let text: Value = serde_json::from_slice(&text).unwrap();
            json!({name: text})
        }
        Err(failed) => json!({"error": {"code": failed.code, "place": failed.place}}),
    };
    missing(&case["expected"], &found, "expected")
}

fn lifecycle(
    to: &mut dyn Surface,
    told: &mut Told,
    file: &Value,
    case: &Value,
) -> Result<(), String> {
    let world = &file["worlds"][case["world"].as_str().unwrap()];
    let start = serde_json::to_vec(&world["start"]).unwrap();
    ask(to, told, 'n', &[&start, b"0"]).map_err(|failed| format!("{failed:?}"))?;
    let found = play(to, told, world, case);
    ask(to, told, 'z', &[]).map_err(|failed| format!("{failed:?}"))?;
    equal(&case["expected"], &found?)
}

/// Deadlines fire at their moments; then the event; then what it made due at once.
fn play(
    to: &mut dyn Surface,
    told: &mut Told,
    world: &Value,
    case: &Value,
) -> Result<Value, String> {
    let mut found = Vec::new();
    let mut down = false;
    for step in case["steps"].as_array().unwrap() {
        let (at, name) = (step[0].as_i64().unwrap(), step[1].as_str().unwrap());
        let mut done = Vec::new();
        if !down {
            pass(to, told, at, &mut done)?;
        }
        down = name == "down";
        if !down && name != "tick" {
            let event = serde_json::to_vec(&world["events"][name]).unwrap();
            let now = at.to_string();
            done.push(parsed(ask(to, told, 'v', &[&event, now.as_bytes()]))?);
        }
        if !down {
            pass(to, told, at, &mut done)?;
        }
        // A call at any other time does nothing: it only tells where the command is.
        let mut last = parsed(ask(to, told, 't', &[b"0"]))?;
        for field in ["effects", "rows"] {
            let all = done
                .iter()
                .flat_map(|one| one[field].as_array().into_iter().flatten());
            let all: Vec<Value> = all.cloned().collect();
            if !all.is_empty() {
                last[field] = Value::Array(all);
            }
        }
        found.push(last);
    }
    Ok(Value::Array(found))
}

fn pass(
    to: &mut dyn Surface,
    told: &mut Told,
    now: i64,
    done: &mut Vec<Value>,
) -> Result<(), String> {
    loop {
        let due = ask(to, told, 'p', &[]).map_err(|failed| format!("{failed:?}"))?;
        let due = String::from_utf8(due).unwrap();
        if due.parse::<i64>().is_ok_and(|at| at <= now) {
            done.push(parsed(ask(to, told, 't', &[due.as_bytes()]))?);
        } else {
            return Ok(());
        }
    }
}

type Judge = fn(&mut dyn Surface, &mut Told, &Value, &Value) -> Result<(), String>;

const FILES: [(&str, Judge); 10] = [
    ("assessments-named", assessment),
    ("assessments-generated-1", assessment),
    ("assessments-generated-2", assessment),
    ("lifecycles", lifecycle),
    ("lifecycles-existing", lifecycle),
    ("lock-hashes", hash),
    ("lock-diffs", diff),
    ("lock-errors", fault),
    ("admissions", admission),
    ("rollouts", rollout),
];

/// All answers of one surface to all cases; the number of cases is printed.
fn judge_all(to: &mut dyn Surface) -> Told {
    let (mut told, mut cases) = (Told::new(), 0);
    for (name, judge) in FILES {
        let file = file(name);
        for case in file["cases"].as_array().unwrap() {
            if let Err(wrong) = judge(to, &mut told, &file, case) {
                panic!("{} in {name}, case {}: {wrong}", to.name(), case["id"]);
            }
            cases += 1;
        }
    }
    println!(
        "vectors: {cases} cases, {} answers through {}",
        told.len(),
        to.name()
    );
    assert!(cases >= 2000, "only {cases} cases");
    told
}

/// One altered vector of each file must be noticed; as many as there are files are.
fn altered_are_noticed(to: &mut dyn Surface) {
    let mut noticed = 0;
    for (name, judge) in FILES {
        let file = file(name);
        let case = &file["cases"][0];
        judge(to, &mut Told::new(), &file, case).unwrap();
        let mut altered = case.clone();
        spoil(&mut altered["expected"]);
        let wrong = judge(to, &mut Told::new(), &file, &altered);
        assert!(
            wrong.is_err(),
            "{}: an altered case of {name} passes",
            to.name()
        );
        noticed += 1;
    }
    println!(
        "vectors: {noticed} altered ones noticed through {}",
        to.name()
    );
}

/// Changes the first text or flag.
fn spoil(value: &mut Value) -> bool {
    match value {
        Value::String(text) => {
            text.push('!');
            true
        }
        Value::Bool(flag) => {
            *flag = !*flag;
            true
        }
        Value::Object(fields) => fields.values_mut().any(spoil),
        Value::Array(all) => all.iter_mut().any(spoil),
        Value::Null | Value::Number(_) => false,
    }
}

fn c() -> Option<(Program, Other)> {
    let program = build("tests/c/driver.c", &[])?;
    let surface = Other::start("C", &mut program.command());
    Some((program, surface))
}

/// An interpreter that has the package.
pub fn python() -> Option<Command> {
    let Some(python) = std::env::var_os("NIXFLEET_PYTHON") else {
        skip("NIXFLEET_PYTHON names no interpreter with the package; nixfleet-ffi/check makes one");
        return None;
    };
    Some(Command::new(python))
}

#[test]
fn i2_rust_and_c_give_equal_answers_to_every_vector() {
    let rust = judge_all(&mut Rust::default());
    altered_are_noticed(&mut Rust::default());
    let Some((_program, mut c)) = c() else { return };
    assert!(judge_all(&mut c) == rust, "C and Rust differ");
    altered_are_noticed(&mut c);
}

#[test]
fn i2_python_gives_the_answers_of_rust_to_every_vector() {
    let Some(mut python) = python() else { return };
    let driver = package().join("python/tests/driver.py");
    let mut python = Other::start("Python", python.arg(driver));
    assert!(
        judge_all(&mut python) == judge_all(&mut Rust::default()),
        "Python and Rust differ"
    );
    altered_are_noticed(&mut python);
}

#[test]
fn many_hosts_in_one_call_are_assessed_like_each_alone() {
    let Some((_program, mut c)) = c() else { return };
    let file = file("assessments-named");
    let inputs = file["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| case["input"].clone());
    let inputs: Vec<Value> = inputs.collect();
    let many = parsed(c.ask('m', &[&serde_json::to_vec(&inputs).unwrap()])).unwrap();
    assert!(inputs.len() > 30);
    assert_eq!(many.as_array().unwrap().len(), inputs.len());
    for (input, found) in inputs.iter().zip(many.as_array().unwrap()) {
        let alone = parsed(c.ask('a', &[&serde_json::to_vec(input).unwrap()])).unwrap();
        assert_eq!(&alone, found);
    }
    let spoilt = json!([inputs[0], {"host": {"repo": {"commit": "none"}}}, inputs[1]]);
    let told = parsed(c.ask('m', &[&serde_json::to_vec(&spoilt).unwrap()])).unwrap();
    assert_eq!(told[1]["error"]["code"], "field");
    assert_eq!([&told[0], &told[2]], [&many[0], &many[1]]);
}
