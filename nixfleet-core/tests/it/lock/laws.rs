//! Properties of parsing and comparing, over generated and damaged locks.

use std::collections::BTreeSet;

use nixfleet_core::lock::{self, LockDiff};
use nixfleet_core::{
    ChangeKind, FlakeLock, LockParseError, SummaryChange, diff_summaries, lock_hash,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::generate::{Lock, lock as any_lock};

fn parse(lock: &Lock) -> FlakeLock {
    FlakeLock::parse(&lock.bytes()).unwrap()
}

fn paths(diff: &LockDiff, kind: ChangeKind) -> BTreeSet<Vec<Box<str>>> {
    let changes = diff.changes().iter();
    changes
        .filter(|change| change.kind() == kind)
        .map(|change| change.path.clone())
        .collect()
}

/// Reads it, and if that works compares it with everything; errors must stay readable.
fn survives(bytes: &[u8], other: &FlakeLock) -> bool {
    let parsed = FlakeLock::parse(bytes);
    assert_eq!(parsed, FlakeLock::parse(bytes));
    let _ = lock_hash(bytes);
    match parsed {
        Ok(lock) => {
            assert!(lock::diff(&lock, &lock).is_empty());
            assert!(diff_summaries(&lock.summary(), &lock.summary()).is_empty());
            for change in lock::diff(other, &lock).changes() {
                assert!(!change.to_string().contains('\n'));
            }
            let _ = diff_summaries(&other.summary(), &lock.summary());
            true
        }
        Err(error) => {
            let message = error.to_string();
            assert!(!message.is_empty() && message.len() < 4096, "{message}");
            assert!(!message.contains('\n'), "{message}");
            false
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec!["root", "in0", "in1", "github", "path"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{0,6}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// Replaces, or without a replacement removes, one value somewhere in the tree.
fn damage(json: &mut Value, places: &[Index], replacement: Option<Value>) {
    let Some((place, deeper)) = places.split_first() else {
        *json = replacement.unwrap_or_default();
        return;
    };
    match json {
        Value::Object(object) if !object.is_empty() => {
            let key = object
                .keys()
                .nth(place.index(object.len()))
                .unwrap()
                .clone();
            if deeper.is_empty() && replacement.is_none() {
                object.remove(&key);
            } else {
                damage(object.get_mut(&key).unwrap(), deeper, replacement);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let place = place.index(items.len());
            damage(&mut items[place], deeper, replacement);
        }
        Value::Object(_)
        | Value::Array(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => *json = replacement.unwrap_or_default(),
    }
}

/// Where `path` leads, decided by walking the JSON without remembering anything: an independent
/// reading. At most 14 inputs with two names each: what takes more than 2^14 steps, or is more
/// than 14 levels deep, goes round in circles.
fn naive(
    json: &Value,
    path: &[Value],
    depth: u32,
    patience: &mut u32,
) -> Result<String, &'static str> {
    let deeper = depth.checked_sub(1).ok_or("cycle")?;
    let mut node = json["root"].as_str().unwrap().to_owned();
    for name in path {
        *patience = patience.checked_sub(1).ok_or("cycle")?;
        let input = &json["nodes"][&node]["inputs"][name.as_str().unwrap()];
        node = match input {
            Value::String(next) => next.clone(),
            Value::Array(path) => naive(json, path, deeper, patience)?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                return Err("dangling");
            }
        };
    }
    Ok(node)
}

proptest! {
    #[test]
    fn parse_never_panics_on_arbitrary_bytes(bytes in vec(any::<u8>(), 0..200), lock in any_lock()) {
        survives(&bytes, &parse(&lock));
    }

    #[test]
    fn parse_never_panics_on_arbitrary_json(json in any_json(), lock in any_lock()) {
        survives(json.to_string().as_bytes(), &parse(&lock));
    }

    #[test]
    fn parse_never_panics_on_damaged_bytes(
        lock in any_lock(),
        hits in vec((any::<Index>(), any::<u8>(), 0..3_u8), 1..6),
    ) {
        let mut bytes = lock.bytes();
        for (place, byte, how) in hits {
            let place = place.index(bytes.len());
            match how {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => bytes.truncate(place.max(1)),
            }
        }
        survives(&bytes, &parse(&lock));
    }

    #[test]
    fn parse_never_panics_on_damaged_json(
        lock in any_lock(),
        hits in vec((vec(any::<Index>(), 1..7), prop::option::of(any_json())), 1..4),
    ) {
        let mut json = lock.json(&Lock::name);
        for (places, replacement) in hits {
            damage(&mut json, &places, replacement);
        }
        survives(json.to_string().as_bytes(), &parse(&lock));
    }

    #[test]
    fn every_generated_lock_is_read(lock in any_lock()) {
        prop_assert!(survives(&lock.bytes(), &parse(&lock)));
        let parsed = parse(&lock);
        for number in 0..lock.inputs.len() {
            let path = lock.path(number);
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let found = parsed.input(&path).unwrap();
            prop_assert_eq!(found.node.name(), Lock::name(number));
            prop_assert_eq!(found.node.is_flake(), lock.inputs[number].flake);
            prop_assert_eq!(found.node.locked().unwrap().last_modified(), Some(lock.inputs[number].date.into()));
        }
    }

    #[test]
    fn the_names_of_nodes_and_the_layout_make_no_difference(lock in any_lock()) {
        let renamed = lock.json(&|number| format!("other_{}", 1000 - number));
        let pretty = serde_json::to_vec_pretty(&renamed).unwrap();
        let diff = lock::diff(&parse(&lock), &FlakeLock::parse(&pretty).unwrap());
        prop_assert!(diff.is_empty() && diff.revisions_only(), "{:?}", diff);
    }

    #[test]
    fn added_and_removed_are_symmetric(old in any_lock(), new in any_lock()) {
        let (old, new) = (parse(&old), parse(&new));
        let (forth, back) = (lock::diff(&old, &new), lock::diff(&new, &old));
        prop_assert_eq!(forth.changes().len(), back.changes().len());
        prop_assert_eq!(paths(&forth, ChangeKind::Added), paths(&back, ChangeKind::Removed));
        prop_assert_eq!(paths(&forth, ChangeKind::Removed), paths(&back, ChangeKind::Added));
        for kind in [ChangeKind::Changed, ChangeKind::FollowsChanged] {
            prop_assert_eq!(paths(&forth, kind), paths(&back, kind));
        }
    }

    #[test]
    fn an_update_changes_exactly_the_updated_inputs(
        old in any_lock(),
        updated in vec(any::<bool>(), 10),
        moved in prop::option::of(any::<Index>()),
    ) {
        let mut new = old.clone();
        let mut expected = BTreeSet::new();
        for (number, input) in new.inputs.iter_mut().enumerate() {
            if updated[number] {
                input.rev = input.rev.wrapping_add(1);
                expected.insert(old.path(number).into_iter().map(Box::from).collect::<Vec<_>>());
            }
        }
        let diff = lock::diff(&parse(&old), &parse(&new));
        prop_assert_eq!(paths(&diff, ChangeKind::Changed), expected.clone());
        prop_assert_eq!(diff.changes().len(), expected.len());
        prop_assert!(diff.revisions_only());

        let summaries = diff_summaries(&parse(&old).summary(), &parse(&new).summary());
        let in_summaries: BTreeSet<&str> = summaries.iter().map(SummaryChange::name).collect();
        let parsed = parse(&new);
        let direct: BTreeSet<&str> = parsed
            .root_inputs()
            .filter(|input| {
                let number = input.node.name().strip_prefix("in");
                number.is_some_and(|number| updated[number.parse::<usize>().unwrap()])
            })
            .map(|input| input.name)
            .collect();
        prop_assert_eq!(in_summaries, direct);

        // The control: one input that comes from elsewhere spoils it.
        if let (Some(moved), false) = (moved, new.inputs.is_empty()) {
            let moved = moved.index(new.inputs.len());
            new.inputs[moved].owner = "elsewhere";
            let diff = lock::diff(&parse(&old), &parse(&new));
            prop_assert!(!diff.revisions_only());
            let path: Vec<Box<str>> = old.path(moved).into_iter().map(Box::from).collect();
            prop_assert_eq!(paths(&diff, ChangeKind::RePointed), BTreeSet::from([path]));
        }
    }

    #[test]
    fn follows_lead_where_an_independent_reading_says(
        size in 1..5_usize,
        edges in vec((0..5_usize, 0..4_u8, prop::option::of(0..5_usize), vec(0..4_u8, 0..3)), 0..14),
    ) {
        let source = json!({"type": "path", "path": "/x"});
        let mut nodes = json!({"root": {"inputs": {}}});
        for number in 1..=size {
            nodes[format!("n{number}")] = json!({"inputs": {}, "locked": source, "original": source});
        }
        for (owner, name, node, path) in edges {
            let owner = match owner % (size + 1) { 0 => "root".to_owned(), n => format!("n{n}") };
            let path: Vec<_> = path.iter().map(|name| format!("i{name}")).collect();
            nodes[owner]["inputs"][format!("i{name}")] = match node {
                Some(node) => json!(format!("n{}", node % size + 1)),
                None => json!(path),
            };
        }
        let json = json!({"version": 6, "root": "root", "nodes": nodes});
        let parsed = FlakeLock::parse(json.to_string().as_bytes());
        let mut faults = BTreeSet::new();
        for (owner, node) in json["nodes"].as_object().unwrap() {
            for (name, input) in node["inputs"].as_object().unwrap() {
                let Value::Array(path) = input else { continue };
                match (naive(&json, path, 20, &mut 50_000), &parsed) {
                    (Ok(expected), Ok(lock)) => {
                        let owner = lock.nodes().iter().find(|node| node.name() == owner).unwrap();
                        let found = lock.inputs_of(owner).find(|input| input.name == name).unwrap();
                        prop_assert_eq!(found.node.name(), expected);
                    }
                    (Ok(_), Err(_)) => {}
                    (Err(fault), _) => { faults.insert(fault); }
                }
            }
        }
        match parsed {
            Ok(_) => prop_assert!(faults.is_empty()),
            Err(LockParseError::FollowsCycle { .. }) => prop_assert!(faults.contains("cycle")),
            Err(LockParseError::DanglingFollows { .. }) => prop_assert!(faults.contains("dangling")),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
