//! Scenario transcripts, `tests/golden/scripts/*.txt`: a line that begins with `>` is a verb of a
//! person who writes the script, what is indented below is what the real fleet and the real agents
//! did. `UPDATE_GOLDEN=1` writes it anew; whoever does that reads the difference.

mod existing;
mod lines;
mod machine;
mod remote;
mod stage;
mod tell;
mod verbs;

use std::collections::BTreeSet;

use nixfleet_core::compartment::rules::{OVERLAYS, TABLES};
use nixfleet_core::lifecycle::TABLE;

use crate::goldens::{check, files, read};
use stage::Stage;

const FOLDER: &str = "tests/golden/scripts";

/// Runs a script; what it should look like, and the stage at its end.
fn play(script: &str) -> (String, Stage) {
    let mut stage = Stage::new();
    let mut text = String::new();
    for line in script.lines() {
        if let Some(verb) = line.strip_prefix("> ") {
            text.push_str(line);
            text.push('\n');
            verbs::act(&mut stage, verb);
            for told in stage.out.drain(..) {
                text.push_str(&told);
                text.push('\n');
            }
        } else if !line.starts_with("  ") {
            text.push_str(line);
            text.push('\n');
        }
    }
    (text, stage)
}

/// The scripts, with their paths; texts without verbs are transcripts of other tests.
fn scripts() -> Vec<(String, String)> {
    let paths = files(FOLDER, "txt")
        .into_iter()
        .map(|name| format!("{FOLDER}/{name}"));
    let scripts = paths.map(|path| (path.clone(), read(&path)));
    scripts
        .filter(|(_, script)| script.contains("\n> "))
        .collect()
}

#[test]
fn every_transcript_is_what_happens() {
    let (mut verbs, mut compact, mut whole) = (0, 0, 0);
    let scripts = scripts();
    for (path, script) in &scripts {
        verbs += script.lines().filter(|line| line.starts_with("> ")).count();
        let (text, stage) = play(script);
        check(path, &text);
        if let Some(fleet) = &stage.fleet {
            stage.witness.compare(fleet);
        }
        compact += stage.witness.compact;
        whole += stage.witness.whole;
    }
    println!("transcripts: {} with {verbs} verbs", scripts.len());
    println!("statuses: {compact} in few bytes, {whole} whole");
    assert!(scripts.len() >= 10);
    assert!(whole > 0 && compact > 20 * whole, "{compact} and {whole}");
}

/// Rows that the fleet cannot reach yet; the stories of the lifecycle use them directly.
#[rustfmt::skip]
const NOT_REACHED_YET: &[(&str, &str)] = &[
    ("git-refreshing", "the server reads the remote at once, without a command"),
    ("lock-refreshing", "the server reads the remote at once, without a command"),
    ("lock-updating", "updating inputs on hosts is switched off in this server"),
    ("validated-performs", "the server does its own work at once, without a command"),
    ("server-overdue", "the server does its own work at once, without a command"),
    ("validation-hangs", "preconditions are checked within one call"),
    ("supersede-unsent", "no automation replaces intents yet"),
    ("skip-unsent", "stages over many hosts are not built yet"),
    ("sign-while-away", "a connection begins with a registration, which says more"),
];

#[test]
fn the_transcripts_use_every_row_of_every_table() {
    let mut used = BTreeSet::new();
    for (_, script) in scripts() {
        used.extend(play(&script).1.rows);
    }
    let compartments = TABLES
        .iter()
        .flat_map(|table| table.all_rows().map(|row| row.id));
    let overlays = OVERLAYS.iter().map(|row| row.id);
    let all: Vec<&str> = compartments
        .chain(overlays)
        .chain(TABLE.iter().map(|row| row.id))
        .collect();
    for (row, why) in NOT_REACHED_YET {
        assert!(all.contains(row), "{row} is no row any more");
        assert!(!used.contains(row), "{row} is reached now, although {why}");
    }
    let excused = |row: &&str| NOT_REACHED_YET.iter().any(|(one, _)| one == row);
    let missing: Vec<&str> = all
        .iter()
        .copied()
        .filter(|row| !used.contains(row) && !excused(row))
        .collect();
    println!(
        "transcripts: {} of {} rows used, {} excused",
        all.len() - missing.len() - NOT_REACHED_YET.len(),
        all.len(),
        NOT_REACHED_YET.len()
    );
    assert!(missing.is_empty(), "no transcript uses {missing:?}");
}
