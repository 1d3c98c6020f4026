//! Texts of the compartments: what each tooltip must tell, and hostile text of peers.

use std::sync::Arc;

use nixfleet_core::compartment::Reason;
use nixfleet_core::compartment::render::text::MAX_LINE;
use nixfleet_core::compartment::render::{MAX_LINES, attention_text, details, message};
use nixfleet_core::desired::{Remote, RemoteCause, RemoteHistory, Unavailable};
use nixfleet_core::host::{Generation, Hold, LockReport, TestVerdict};
use nixfleet_core::{
    Attention, CommitHistory, Compartment, FlakeLock, HostAssessment, LockHistory, LockVersion, Op,
    lock_hash,
};
use proptest::prelude::*;
use serde_json::json;

use super::compartments_world::{NOW, World, commit};

pub fn text(world: &World, compartment: Compartment) -> String {
    message(&world.of(compartment), &world.situation())
}

pub fn tooltip(world: &World, compartment: Compartment) -> String {
    let lines = details(&world.of(compartment), &world.situation()).lines;
    lines.join("\n")
}

#[track_caller]
pub fn tells(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

#[test]
fn agent_tells_both_versions_and_what_to_do() {
    let mut world = World::current();
    world.observation.agent_version = Some("v3.9.1".to_owned());
    tells(
        &text(&world, Compartment::Agent),
        &["3.9.1", "older", "4.0.0", "pull + switch"],
    );
    let tip = tooltip(&world, Compartment::Agent);
    tells(&tip, &["run pull-switch", "macOS", "restart the agent"]);
    world.observation.agent_version = Some("5.0.0".to_owned());
    tells(&text(&world, Compartment::Agent), &["newer", "4.0.0"]);
    world.observation.agent_version = Some("main".to_owned());
    tells(&text(&world, Compartment::Agent), &["main", "4.0.0"]);
    tells(
        &text(&World::never_seen(), Compartment::Agent),
        &["never connected"],
    );
}

#[test]
fn git_tells_both_commits_the_subject_and_how_far_behind() {
    let mut world = World::current();
    world.history(&['d', 'c', 'b', 'a']);
    world.remote_moves('d');
    tells(
        &text(&world, Compartment::Git),
        &["aaaaaaa → ddddddd", "“update nixpkgs”", "3 commits behind"],
    );
    tells(&tooltip(&world, Compartment::Git), &["to do: run pull"]);
    world.remote_moves('b');
    tells(&text(&world, Compartment::Git), &["1 commit behind"]);
    world.observation.repo.as_mut().unwrap().dirty = true;
    let tip = tooltip(&world, Compartment::Git);
    tells(
        &tip,
        &["local changes", "bbbbbbb", "discard the local changes"],
    );
}

fn flake_lock(rev: char, modified: u64) -> Vec<u8> {
    let rev = rev.to_string().repeat(40);
    json!({"version": 7, "root": "root", "nodes": {
        "root": {"inputs": {"nixpkgs": "nixpkgs", "home": "home"}},
        "nixpkgs": {
            "locked": {"type": "github", "owner": "NixOS", "repo": "nixpkgs", "rev": rev,
                "lastModified": modified},
            "original": {"type": "github", "owner": "NixOS", "repo": "nixpkgs"}},
        "home": {
            "locked": {"type": "github", "owner": "n", "repo": "h", "rev": "9".repeat(40),
                "lastModified": 1_700_000_000},
            "original": {"type": "github", "owner": "n", "repo": "h"}}}})
    .to_string()
    .into_bytes()
}

/// A branch with two versions of the lock, and a host that has the older one.
fn outdated_lock() -> World {
    let (old, new) = (
        flake_lock('1', 1_760_000_000),
        flake_lock('2', 1_763_000_000),
    );
    let version = |digit: char, bytes: &[u8]| LockVersion {
        commit: commit(digit),
        hash: lock_hash(bytes),
        time: NOW,
        summary: Some(Arc::new(FlakeLock::parse(bytes).unwrap().summary())),
    };
    let mut world = World::current();
    world.desired.history = Some(Arc::new(RemoteHistory {
        commits: CommitHistory::new(vec![commit('b'), commit('a')]),
        locks: LockHistory::new(vec![version('b', &new), version('a', &old)]),
    }));
    world.remote_moves('b');
    if let Remote::Verified(snapshot) = &mut world.desired.remote {
        snapshot.lock = Ok(lock_hash(&new));
    }
    world.observation.repo.as_mut().unwrap().lock = LockReport::Hash(lock_hash(&old));
    world
}

#[test]
fn lock_tells_how_far_behind_both_hashes_and_which_inputs_differ() {
    let mut world = outdated_lock();
    let latest = world.desired.remote.lock().unwrap().short();
    let host = world.observation.repo.unwrap().lock.hash().unwrap().short();
    let pair = format!("Latest: {latest}, Host: {host}");
    tells(
        &text(&world, Compartment::Lock),
        &["outdated by 1 commit", &pair],
    );
    let tip = tooltip(&world, Compartment::Lock);
    tells(
        &tip,
        &["nixpkgs 1111111 (2025-10-09) → 2222222 (2025-11-13)"],
    );
    assert!(
        !tip.contains("home"),
        "inputs that do not differ are not told:\n{tip}"
    );

    world.pending_pr();
    tells(
        &tooltip(&world, Compartment::Lock),
        &[
            "Update PR pending: nixpkgs abc1234 → def5678",
            "Merge PR #42 to update",
        ],
    );
}

#[test]
fn system_tells_why_it_is_yellow_or_red() {
    let mut world = World::current();
    world.remote_moves('b');
    tells(
        &text(&world, Compartment::System),
        &["not current", "git and lock"],
    );
    world.pull();
    tells(
        &text(&world, Compartment::System),
        &["built from aaaaaaa", "bbbbbbb"],
    );
    world.switch_fails();
    tells(
        &text(&world, Compartment::System),
        &["last deploy failed", "exit code 1"],
    );
    world.deploy.detail = Some("stopped by user".to_owned());
    tells(&text(&world, Compartment::System), &["stopped by user"]);
    let mut world = World::current();
    world
        .observation
        .system
        .as_mut()
        .unwrap()
        .configuration_revision = Some(commit('9').into());
    tells(
        &text(&world, Compartment::System),
        &["9999999", "aaaaaaa", "by hand"],
    );
    for (claim, told) in [
        ("bbbbbbb-dirty", "local changes on top of bbbbbbb"),
        ("my\u{202e} laptop", "“my laptop”, which is no commit"),
    ] {
        let mut other = World::current();
        let system = other.observation.system.as_mut().unwrap();
        system.configuration_revision = Some(claim.parse().unwrap());
        tells(&text(&other, Compartment::System), &[told]);
        tells(
            &tooltip(&other, Compartment::System),
            &["to do: run switch", "system.configurationRevision"],
        );
    }
    tells(
        &tooltip(&world, Compartment::System),
        &["to do: run switch"],
    );
}

#[test]
fn tests_tell_passed_and_executed_which_failed_and_on_which_revision() {
    let mut world = World::current();
    tells(&text(&world, Compartment::Tests), &["10/10", "aaaaaaa"]);
    world.test(TestVerdict::Fail);
    world.observation.generations = vec![
        generation(42, 'a', true),
        generation(41, '7', false),
        generation(40, '6', false),
    ];
    tells(
        &text(&world, Compartment::Tests),
        &["8/10 tests passed on aaaaaaa", "2 failed"],
    );
    tells(
        &tooltip(&world, Compartment::Tests),
        &[
            "failed: web",
            "failed: mail",
            "roll back to: generation 41 (7777777, 2026-11-18)",
        ],
    );
    let mut world = World::current();
    world.remote_moves('b');
    tells(&text(&world, Compartment::Tests), &["passed for aaaaaaa"]);
    world.pull();
    world.switch_ok();
    tells(
        &text(&world, Compartment::Tests),
        &["not run on bbbbbbb", "passed for aaaaaaa"],
    );
}

#[test]
fn of_an_existing_agent_no_count_of_tests_is_told() {
    let switched = || {
        let mut world = World::never_seen();
        world.existing = true;
        world.connect();
        world.pull();
        world.switch_ok();
        world
    };
    for (verdict, told) in [
        (TestVerdict::Pass, "reported as passed on aaaaaaa"),
        (TestVerdict::Fail, "tests failed on aaaaaaa"),
        (
            TestVerdict::Stopped,
            "tests stopped by user or time limit on aaaaaaa",
        ),
    ] {
        let mut world = switched();
        world.test(verdict);
        tells(&text(&world, Compartment::Tests), &[told]);
        let mut said = tooltip(&world, Compartment::Tests);
        let situation = world.situation();
        let shown = world.assess();
        let tests = shown.of(Compartment::Tests);
        said += &tests.reason.short();
        for attention in &shown.attentions {
            said += &format!(
                "\n{}\n{}",
                attention.short(),
                attention_text(attention, &situation)
            );
        }
        // Also what is told of it later.
        world.remote_moves('b');
        world.pull();
        world.switch_ok();
        said += &tooltip(&world, Compartment::Tests);
        for count in [
            "0 failed",
            "0 tests",
            "0/0",
            "0 executed",
            "(0",
            "1/1",
            "1 executed",
        ] {
            assert!(!said.contains(count), "“{count}” in\n{said}");
        }
        let failed = verdict != TestVerdict::Pass;
        assert_eq!(said.contains("the last test run failed"), failed, "{said}");
    }
    // Positive control: our agent counts.
    let mut world = World::current();
    world.test(TestVerdict::Fail);
    tells(&text(&world, Compartment::Tests), &["8/10", "2 failed"]);
    let attention = Attention::LastTestsFailed { failed: 2 };
    let told = attention_text(&attention, &world.situation());
    assert_eq!(told, "the last test run failed (2 failed tests)");
}

fn generation(number: u64, digit: char, current: bool) -> Generation {
    Generation {
        number,
        path: None,
        commit: Some(commit(digit).into()),
        created: Some(NOW),
        current,
    }
}

#[test]
fn a_remote_error_tells_its_cause_and_how_to_fix_it() {
    let causes = [
        RemoteCause::NotConfigured,
        RemoteCause::NotReadYet,
        RemoteCause::Unreachable,
        RemoteCause::TimedOut,
        RemoteCause::AccessDenied,
        RemoteCause::NotFound,
        RemoteCause::BranchMissing,
        RemoteCause::HttpStatus(503),
        RemoteCause::Malformed,
        RemoteCause::FieldMissing,
        RemoteCause::LockMissing,
        RemoteCause::Expired,
        RemoteCause::StoreDamaged,
        RemoteCause::GitMissing,
    ];
    for cause in causes {
        let mut world = World::current();
        world.remote_fails(cause, "lockHash");
        let red = [Compartment::Git, Compartment::Lock];
        let yellow = [Compartment::System, Compartment::Tests];
        for compartment in red.into_iter().chain(yellow) {
            tells(&text(&world, compartment), &[cause.hint()]);
            let tip = tooltip(&world, compartment);
            tells(
                &tip,
                &[
                    "cause: ",
                    "lockHash",
                    "how to fix: ",
                    cause.hint(),
                    "since: ",
                ],
            );
        }
    }
    let mut world = World::current();
    world.remote_fails(RemoteCause::HttpStatus(503), "");
    tells(&text(&world, Compartment::Git), &["HTTP status 503"]);
}

#[test]
fn a_running_command_tells_what_runs_and_what_lies_below() {
    let mut world = World::current();
    world.remote_moves('b');
    world.working(Op::Pull);
    tells(&text(&world, Compartment::Git), &["pull is running"]);
    tells(&tooltip(&world, Compartment::Git), &["below: ", "stop"]);
}

// ---- hostile text ----

fn nasty() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "(\\PC|\\pC|\n|\r|\t|\u{1b}|\u{0}|\u{202e}|\u{2028}){0,60}",
        Just("\u{1b}]0;title\u{7}\r\n".repeat(400)),
        Just("\u{202e}<script>alert(1)</script>\u{200b}".repeat(30)),
        Just(String::new()),
    ]
}

fn harmless(line: &str) {
    assert!(line.chars().count() <= MAX_LINE, "too long: {line:?}");
    assert!(!line.is_empty());
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
    };
    assert!(!line.chars().any(hidden), "{line:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn hostile_text_of_peers_never_breaks_a_line(
        texts in prop::collection::vec(nasty(), 12),
        state in 0_usize..7,
    ) {
        let mut texts = texts.into_iter();
        let mut text = move || texts.next().unwrap_or_default();
        let mut world = World::current();
        world.observation.agent_version = Some(text());
        world.desired.agent_version = text();
        world.observation.repo_error = Some(text());
        world.deploy.detail = Some(text());
        world.observation.failed_units = Some(vec![text(), text()]);
        world.test(TestVerdict::Fail);
        world.tests.as_mut().unwrap().failed = vec![text(); 30];
        world.pending_pr();
        let pending = world.desired.pending_pr.as_mut().unwrap();
        pending.title = text();
        pending.changes = vec![text(); 5];
        world.hold = Some(Hold { by: text(), why: text(), until: Some(NOW) });
        let hostile = text();
        match state {
            0 => world.remote_moves('b'),
            1 => world.switch_fails(),
            2 => world.switch_outcome_unknown(),
            3 => world.observation.repo = None,
            4 => world.remote_fails(RemoteCause::Malformed, &hostile),
            5 => world.pending_pr(),
            _ => {}
        }
        if let Remote::Verified(snapshot) = &mut world.desired.remote {
            snapshot.subject = Some(hostile.clone());
        }
        if let Remote::Failed { why, .. } = &mut world.desired.remote {
            // As if it had not come through `Unavailable::new`.
            *why = Unavailable { cause: RemoteCause::Malformed, detail: hostile };
        }
        let shown = world.assess();
        let wire = serde_json::to_string(&shown).unwrap();
        let back: HostAssessment = serde_json::from_str(&wire).unwrap();
        prop_assert_eq!(&back, &shown);
        for one in &shown.compartments {
            harmless(&message(one, &world.situation()));
            let tooltip = details(one, &world.situation());
            prop_assert!(tooltip.lines.len() <= MAX_LINES);
            tooltip.lines.iter().for_each(|line| harmless(line));
            let code = serde_json::to_value(one.reason.code()).unwrap();
            let reason: serde_json::Value = serde_json::to_value(one.reason).unwrap();
            prop_assert_eq!(&reason["code"], &code);
            let again: Reason = serde_json::from_value(reason).unwrap();
            prop_assert_eq!(again, one.reason);
        }
    }
}
