//! Vectors of locks: hashes, differences, and bytes that are no lock.
//!
//! Differences and faults were worked out by hand from reading the pairs and the specification, not
//! from what the code says: these files are never written.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use nixfleet_core::wire::lock::{compare, read};
use nixfleet_core::{ChangeKind, LockHasher, lock_hash};
use serde_json::{Map, Value, json};

use super::{Vectors, id, missing};
use crate::goldens::updating;

const HASHES: &str = "lock-hashes";
const DIFFS: &str = "lock-diffs";
const ERRORS: &str = "lock-errors";

/// A text is the bytes themselves; an object may be written as any JSON that means it.
fn bytes(lock: &Value) -> Vec<u8> {
    match lock.as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => serde_json::to_vec(lock).unwrap(),
    }
}

/// Equal, told with the place of the first difference.
fn same(expected: &Value, found: &Value) -> Result<(), String> {
    let differs =
        missing(expected, found, "expected").or_else(|| missing(found, expected, "found"));
    differs.map_or(Ok(()), Err)
}

// ---- hashes ----

/// The bytes of a case: `text`, or `hex` where they are none, as often as `times` says.
fn hashed(case: &Value) -> Vec<u8> {
    let once = match case["text"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => hex::decode(case["hex"].as_str().unwrap()).unwrap(),
    };
    let times = case["times"].as_u64().unwrap_or(1);
    once.repeat(usize::try_from(times).unwrap())
}

fn judge_hash(case: &Value) -> Result<(), String> {
    let bytes = hashed(case);
    same(&case["expected"], &json!({"sha256": lock_hash(&bytes)}))?;
    for size in [1, 7, 63, 64, 65] {
        let mut hasher = LockHasher::new();
        bytes.chunks(size).for_each(|piece| hasher.update(piece));
        same(&case["expected"], &json!({"sha256": hasher.finish()}))?;
    }
    Ok(())
}

/// What the program `sha256sum` says; nothing if there is none.
fn by_program(bytes: &[u8]) -> Option<String> {
    let piped = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match piped {
        Ok(child) => child,
        Err(error) => {
            println!("SKIPPED: sha256sum cannot be run ({error})");
            return None;
        }
    };
    let mut input = child.stdin.take().unwrap();
    // It reads everything before it answers, so this cannot wait for itself.
    input.write_all(bytes).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.split(' ').next().unwrap().to_owned())
}

fn hash_inputs() -> Vec<Value> {
    let mut cases = vec![
        json!({"id": "empty", "text": ""}),
        json!({"id": "abc", "text": "abc"}),
        json!({"id": "two-blocks", "text": "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"}),
        json!({"id": "a-million", "text": "a", "times": 1_000_000}),
        json!({"id": "newline", "text": "\n"}),
        json!({"id": "crlf", "text": "\r\n"}),
        json!({"id": "zero-byte", "hex": "00"}),
        json!({"id": "byte-order-mark", "text": "\u{feff}{}"}),
        json!({"id": "letters-beyond-ascii", "text": "größe → 1"}),
        json!({"id": "not-utf-8", "hex": "fffec328a0a1"}),
        json!({"id": "every-byte", "hex": hex::encode((0..=255_u8).collect::<Vec<_>>())}),
    ];
    // Around the ends of blocks, where the padding changes its shape.
    for length in [
        1, 54, 55, 56, 57, 63, 64, 65, 111, 112, 118, 119, 120, 127, 128, 129, 1000, 4096,
    ] {
        let about = format!("{length}-bytes");
        cases.push(json!({"id": about, "text": "x", "times": length}));
    }
    let diffs = Vectors::read(DIFFS);
    for case in &diffs.cases {
        for side in ["old", "new"] {
            if case[side].is_string() || case["expected"]["result"] == "differ" && side == "new" {
                let text = String::from_utf8(bytes(&case[side])).unwrap();
                cases.push(json!({"id": format!("{} ({side})", id(case)), "text": text}));
            }
        }
    }
    cases
}

#[test]
fn hashes_are_what_the_vectors_and_sha256sum_say() {
    if updating() {
        let mut cases = hash_inputs();
        for case in &mut cases {
            case["expected"] = json!({"sha256": lock_hash(&hashed(case))});
        }
        Vectors::write(HASHES, "lock-hashes", &Map::new(), &cases);
    }
    let file = Vectors::read(HASHES);
    assert!(file.verify(|_, case| judge_hash(case)) >= 40);
    let mut compared = 0;
    for case in &file.cases {
        if let Some(sum) = by_program(&hashed(case)) {
            assert_eq!(case["expected"]["sha256"], json!(sum), "{}", id(case));
            compared += 1;
        }
    }
    println!("vectors: {compared} hashes compared with sha256sum");
    let mut altered = file.cases[1].clone();
    altered["text"] = json!("abd");
    assert!(judge_hash(&altered).is_err(), "positive control");
}

// ---- differences ----

fn judge_diff(case: &Value) -> Result<(), String> {
    let (old, new) = (bytes(&case["old"]), bytes(&case["new"]));
    let report = compare(&old, &new).map_err(|error| error.to_string())?;
    same(&case["expected"], &serde_json::to_value(report).unwrap())
}

#[test]
fn lock_differences_are_what_was_worked_out_by_hand() {
    let file = Vectors::read(DIFFS);
    assert!(file.verify(|_, case| judge_diff(case)) >= 40);
    let mut found = BTreeSet::new();
    for case in &file.cases {
        for change in case["expected"]["changes"].as_array().unwrap() {
            found.insert(change["kind"].as_str().unwrap());
        }
        for node in nodes(&case["new"]) {
            found.extend(node["original"]["type"].as_str());
        }
        found.extend(case["expected"]["result"].as_str());
    }
    let kinds = [
        ChangeKind::Changed,
        ChangeKind::Added,
        ChangeKind::Removed,
        ChangeKind::RePointed,
        ChangeKind::FollowsChanged,
    ];
    for kind in kinds {
        assert!(found.contains(kind.as_str()), "{kind}");
    }
    for kind in "github gitlab sourcehut git hg path tarball file indirect s3".split(' ') {
        assert!(found.contains(kind), "no vector has an input from {kind}");
    }
    for result in ["same-bytes", "same-inputs", "differ"] {
        assert!(found.contains(result), "{result}");
    }
}

fn nodes(lock: &Value) -> impl Iterator<Item = &Value> {
    lock["nodes"].as_object().into_iter().flat_map(Map::values)
}

#[test]
fn an_altered_lock_difference_is_noticed() {
    let file = Vectors::read(DIFFS);
    let mut noticed = 0;
    for case in &file.cases {
        let mut altered = case.clone();
        let flag = &mut altered["expected"]["revisions_only"];
        *flag = json!(!flag.as_bool().unwrap());
        assert!(judge_diff(&altered).unwrap_err().contains("revisions_only"));
        let mut altered = case.clone();
        if altered["expected"]["changes"]
            .as_array_mut()
            .unwrap()
            .pop()
            .is_some()
        {
            assert!(judge_diff(&altered).is_err(), "{}", id(case));
            noticed += 1;
        }
    }
    println!("vectors: {noticed} altered lock differences noticed");
    assert!(noticed >= 40);
}

// ---- faults ----

fn judge_error(case: &Value) -> Result<(), String> {
    let lock = bytes(&case["lock"]);
    let good = br#"{"version": 7, "root": "root", "nodes": {"root": {}}}"#;
    let Err(error) = read(&lock) else {
        return Err("it is a lock".to_owned());
    };
    same_fault(&case["expected"], &error)?;
    for (side, compared) in [("old", compare(&lock, good)), ("new", compare(good, &lock))] {
        let error = compared.map(|_| ()).unwrap_err();
        if error.lock != Some(side) {
            return Err(format!("the {side} lock is not named: {error}"));
        }
        same_fault(&case["expected"], &error)?;
    }
    Ok(())
}

/// Code and place; and the sentence must name the place.
fn same_fault(
    expected: &Value,
    error: &nixfleet_core::wire::lock::LockErrorReport,
) -> Result<(), String> {
    let mut found = serde_json::to_value(error).unwrap();
    for beside in ["lock", "message"] {
        found.as_object_mut().unwrap().remove(beside);
    }
    same(expected, &found)?;
    let path = error.path.as_deref().unwrap_or_default();
    if error.message.starts_with(path) && error.message.contains("expected") {
        Ok(())
    } else {
        Err(format!("the sentence says too little: {error}"))
    }
}

#[test]
fn faults_of_locks_are_what_was_worked_out_by_hand() {
    let file = Vectors::read(ERRORS);
    assert!(file.verify(|_, case| judge_error(case)) >= 40);
    let codes: BTreeSet<&str> = file
        .cases
        .iter()
        .filter_map(|case| case["expected"]["code"].as_str())
        .collect();
    for code in
        "json field duplicate dangling-node dangling-follows follows-cycle cycle-to-root limit"
            .split(' ')
    {
        assert!(codes.contains(code), "no vector has the fault {code}");
    }
    let mut altered = file.cases[0].clone();
    altered["expected"]["code"] = json!("field");
    assert!(judge_error(&altered).is_err(), "positive control");
}
