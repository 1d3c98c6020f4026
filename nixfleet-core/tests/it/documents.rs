//! Documents that speak of the code: what they name must exist.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::goldens::{read, root};

#[test]
fn every_test_that_the_requirements_name_exists() {
    let known = test_names();
    assert!(known.len() > 300, "only {} tests found", known.len());
    let text = read("docs/requirements.md");
    let mut named = 0;
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let mut columns = line.split(" | ");
        let (criterion, held) = (columns.next().unwrap(), columns.next().unwrap_or_default());
        if matches!(
            criterion,
            "| criterion" | "| ---" | "| what it says" | "| phase and criterion"
        ) {
            continue;
        }
        let mut says_how =
            held.contains("ater (") || held.contains("see P") || held.contains(".md");
        for name in held
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| is_test_name(name))
        {
            assert!(
                known.contains(name),
                "no test is called {name}: {criterion}"
            );
            named += 1;
            says_how = true;
        }
        says_how |= held.contains("Replaced") || held.contains("cannot do it yet");
        assert!(says_how, "neither a test nor a reason: {criterion}");
    }
    println!("requirements: {named} tests named");
    assert!(named > 80);
}

fn is_test_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.matches('_').count() >= 2 && text.chars().all(word)
}

/// The functions of every Rust file of the repository.
fn test_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in [
        "nixfleet-core",
        "nixfleet-server",
        "nixfleet-agent",
        "tests",
    ] {
        collect(&root().join(folder), &mut names);
    }
    names
}

fn collect(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if entry.file_type().unwrap().is_dir() {
            if !hidden && entry.file_name() != "target" {
                collect(&path, names);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let functions = text.split("fn ").skip(1);
            names.extend(functions.filter_map(|after| {
                let name = after.split(['(', '<']).next()?;
                is_test_name(name).then(|| name.to_owned())
            }));
        }
    }
}
