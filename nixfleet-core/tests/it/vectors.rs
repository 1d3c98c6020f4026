//! Conformance vectors, `tests/golden/vectors/*.json`: inputs and expected answers as JSON, for
//! every implementation and every binding; the README beside them describes each field.
//!
//! An ordinary run judges what stands in the files, by the production code and by the slow
//! references. `UPDATE_GOLDEN=1` writes the generated ones anew, from a fixed seed; the lock
//! differences were worked out by hand and are never written.

pub mod admissions;
mod assessments;
mod facts;
mod hosts;
mod lifecycles;
mod locks;
mod rollouts;
mod rules;
mod worlds;

use crate::counts::counted;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::goldens::{check, files, read, updating};

pub const FOLDER: &str = "tests/golden/vectors";
/// Rises when a field changes its meaning or vanishes; new fields and new cases do not change it.
const FORMAT: u64 = 1;
/// Larger files are a burden for those who only want to read some of it.
const MAX_BYTES: usize = 1_500_000;

/// A file of vectors: its kind, what its cases share, and the cases.
pub struct Vectors {
    pub name: &'static str,
    pub shared: Map<String, Value>,
    pub cases: Vec<Value>,
}

impl Vectors {
    pub fn read(name: &'static str) -> Self {
        let text = read(&format!("{FOLDER}/{name}.json"));
        assert!(text.len() <= MAX_BYTES, "{name}: {} bytes", text.len());
        let mut file: Map<String, Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(file.remove("format"), Some(FORMAT.into()), "{name}");
        let Some(Value::Array(cases)) = file.remove("cases") else {
            panic!("{name} has no cases");
        };
        let mut ids: Vec<&str> = cases.iter().map(id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), cases.len(), "{name}: an id is used twice");
        Self {
            name,
            shared: file,
            cases,
        }
    }

    /// Writes the file, one case a line. Only if goldens are to be rewritten.
    pub fn write(name: &str, kind: &str, shared: &Map<String, Value>, cases: &[Value]) {
        assert!(updating());
        let mut text = format!("{{\"format\":{FORMAT},\"kind\":\"{kind}\",\n");
        for (key, value) in shared {
            if let Value::Object(entries) = value {
                let lines = entries
                    .iter()
                    .map(|(name, it)| format!("{}:{it}", quoted(name)));
                let lines = lines.collect::<Vec<_>>().join(",\n");
                writeln!(text, "{}:{{\n{lines}\n}},", quoted(key)).unwrap();
            } else {
                writeln!(text, "{}:{value},", quoted(key)).unwrap();
            }
        }
        let lines = cases.iter().map(line).collect::<Vec<_>>().join(",\n");
        writeln!(text, "\"cases\":[\n{lines}\n]}}").unwrap();
        check(&format!("{FOLDER}/{name}.json"), &text);
    }

    /// Judges every case; tells the first that is wrong.
    pub fn verify(&self, judge: impl Fn(&Self, &Value) -> Result<(), String>) -> usize {
        for case in &self.cases {
            if let Err(wrong) = judge(self, case) {
                panic!(
                    "{}, case {}: {wrong}\nIf the change is meant, run the test again with \
                     UPDATE_GOLDEN=1 and review the difference.",
                    self.name,
                    id(case)
                );
            }
        }
        println!("vectors: {} {}", self.cases.len(), self.name);
        self.cases.len()
    }
}

pub fn id(case: &Value) -> &str {
    case["id"].as_str().expect("a case has an id")
}

fn quoted(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// One line: the id first, what is expected last.
fn line(case: &Value) -> String {
    let fields = case.as_object().unwrap();
    let rank = |key: &str| match key {
        "id" => 0,
        "expected" => 2,
        _ => 1,
    };
    let mut keys: Vec<&String> = fields.keys().collect();
    keys.sort_by_key(|key| (rank(key), key.to_owned()));
    let fields = keys
        .iter()
        .map(|key| format!("{}:{}", quoted(key), fields[*key]));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

/// Where `found` lacks something of `expected`; fields that are not expected may be there.
pub fn missing(expected: &Value, found: &Value, at: &str) -> Option<String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            expected.iter().find_map(|(key, one)| {
                let other = found.get(key).unwrap_or(&Value::Null);
                missing(one, other, &format!("{at}.{key}"))
            })
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            let mut pairs = expected.iter().zip(found).enumerate();
            pairs.find_map(|(index, (one, other))| missing(one, other, &format!("{at}.{index}")))
        }
        (expected, found) => {
            (expected != found).then(|| format!("{at}: expected {expected}, found {found}"))
        }
    }
}

#[test]
fn what_is_missing_is_told_with_its_place() {
    use serde_json::json;
    let (expected, found) = (
        json!({"a": [{"b": 1}]}),
        json!({"a": [{"b": 1, "c": 2}], "d": 3}),
    );
    assert_eq!(missing(&expected, &found, "it"), None);
    let told = missing(&found, &expected, "it").unwrap();
    assert_eq!(told, "it.a.0.c: expected 2, found null");
    assert!(missing(&json!([1]), &json!([1, 2]), "it").is_some());
}

#[test]
fn every_file_of_vectors_is_described_and_there_are_enough_cases() {
    let about = read(&format!("{FOLDER}/README.md"));
    let mut count = 0;
    for name in files(FOLDER, "json") {
        assert!(
            about.contains(&format!("`{name}`")),
            "the README is silent on {name}"
        );
        let file: Value = serde_json::from_str(&read(&format!("{FOLDER}/{name}"))).unwrap();
        let cases = file["cases"].as_array().unwrap().len();
        println!("vectors: {cases} cases in {name}");
        count += cases;
    }
    counted(
        "vectors",
        &format!("vectors: {count} cases for other languages"),
    );
    assert!(count >= 2000, "only {count} cases");
}
