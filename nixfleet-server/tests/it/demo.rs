//! The demo as people run it: the program itself, with its own server and agents.

use std::process::{Command, Output};

fn demo(flags: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_nixfleet-server"))
        .args(["demo", "--headless"])
        .args(flags)
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "the demo leaves {left:?}");
    output
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_day_shows_every_expected_row_and_nothing_runs_twice() {
    let output = demo(&[]);
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{out}{err}");
    assert!(out.contains("each exactly once"), "{out}");
    assert!(
        !out.contains('\u{1b}'),
        "no colours where there is no terminal"
    );
}

#[test]
fn a_switch_that_changes_nothing_is_noticed_in_the_row() {
    let output = demo(&["--sabotage", "noop-switch", "--patience", "15s"]);
    let (out, err) = texts(&output);
    assert!(!output.status.success(), "{out}{err}");
    assert!(err.contains("switch on web-1: PARTIAL"), "{err}");
    let differs = "web-1: after switch\n    expected  ok       ok       ok       ok       outdated\n    \
                   HTTP API  ok       ok       ok       outdated outdated";
    assert!(err.contains(differs), "{err}");
    assert!(
        !err.contains("db-1: after switch"),
        "only what is broken: {err}"
    );
}

#[test]
fn a_pull_that_is_left_out_is_noticed_in_the_row() {
    let output = demo(&["--sabotage", "skip-pull", "--patience", "15s"]);
    let (out, err) = texts(&output);
    assert!(!output.status.success(), "{out}{err}");
    let differs = "web-1: after pull\n    expected  ok       ok       ok       outdated outdated\n    \
                   HTTP API  ok       outdated outdated outdated outdated\n    \
                   replica   ok       outdated outdated outdated outdated";
    assert!(err.contains(differs), "{err}");
}
