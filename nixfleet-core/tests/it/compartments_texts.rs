//! Texts, remedies, clicks and wire forms of the compartments.

use std::sync::Arc;

use nixfleet_core::compartment::render::text::MAX_LINE;
use nixfleet_core::compartment::render::{MAX_LINES, attention_text, details, message};
use nixfleet_core::compartment::{Attention, Click, ManualStep, Reason, explain};
use nixfleet_core::desired::{Remote, RemoteCause, RemoteHistory, Unavailable};
use nixfleet_core::host::{Generation, Hold, LockReport, Presence, TestVerdict};
use nixfleet_core::{
    CommitHistory, Compartment, FlakeLock, HostAssessment, LockHistory, LockVersion, Op, Status,
    lock_hash,
};
use proptest::prelude::*;
use serde_json::json;

use super::compartments_world::{NOW, World, commit, lock};

fn text(world: &World, compartment: Compartment) -> String {
    message(&world.of(compartment), &world.situation())
}

fn tooltip(world: &World, compartment: Compartment) -> String {
    let lines = details(&world.of(compartment), &world.situation()).lines;
    lines.join("\n")
}

#[track_caller]
fn tells(text: &str, parts: &[&str]) {
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

// ---- attentions ----

#[test]
fn every_attention_of_the_specification_is_raised_and_told() {
    let mut world = World::current();
    assert_eq!(world.assess().attentions, []);
    world.pending_pr();
    world.switch_fails();
    world.test(TestVerdict::Fail);
    world.observation.system.as_mut().unwrap().reboot_required = true;
    world.observation.failed_units = Some((0..20).map(|n| format!("u{n}.service")).collect());
    world.observation.repo.as_mut().unwrap().dirty = true;
    if let Remote::Verified(snapshot) = &mut world.desired.remote {
        snapshot.rewritten = true;
    }
    world.presence = Presence::Offline { since: NOW };
    world.hold = Some(Hold {
        by: "anna\n".to_owned(),
        why: "disk change".to_owned(),
        until: Some(NOW),
    });
    world.in_grace = true;
    world.quarantined = true;
    world.identity_conflict = true;
    let shown = world.assess();
    let wire = serde_json::to_value(&shown.attentions).unwrap();
    let codes: Vec<&str> = wire
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["code"].as_str().unwrap())
        .collect();
    assert_eq!(
        codes,
        [
            "update-pending",
            "reboot-required",
            "last-deploy-failed",
            "degraded",
            "last-tests-failed",
            "worktree-dirty",
            "remote-rewritten",
            "offline",
            "held",
            "remote-stale",
            "quarantined",
            "identity-conflict",
        ]
    );
    assert_eq!(wire[3]["total"], 20);
    assert_eq!(wire[3]["units"].as_array().unwrap().len(), 16);
    assert_eq!(wire[8]["by"], "anna");
    let back: Vec<Attention> = serde_json::from_value(wire).unwrap();
    assert_eq!(back, shown.attentions);
    for attention in &shown.attentions {
        assert!(!attention_text(attention, &world.situation()).is_empty());
    }
}

#[test]
fn what_is_known_beside_a_failed_remote_stays_visible() {
    let mut world = World::current();
    world.switch_fails();
    world.test(TestVerdict::Fail);
    world.remote_fails(RemoteCause::TimedOut, "");
    assert_eq!(world.row(), "ok error error outdated outdated");
    let attentions = world.assess().attentions;
    assert!(attentions.contains(&Attention::LastDeployFailed));
    assert!(attentions.contains(&Attention::LastTestsFailed { failed: 2 }));
    tells(
        &tooltip(&world, Compartment::System),
        &["the last deploy failed"],
    );
    tells(
        &tooltip(&world, Compartment::Tests),
        &["the last test run failed"],
    );
}

#[test]
fn a_grace_period_keeps_green_and_says_how_old_it_is() {
    let mut world = World::current();
    world.in_grace = true;
    let shown = world.assess();
    assert_eq!(world.row(), "ok ok ok ok ok");
    let stale = Attention::RemoteStale {
        verified_at: Some(NOW),
    };
    assert_eq!(shown.attentions, [stale]);
    for compartment in Compartment::ALL {
        tells(&tooltip(&world, compartment), &["its state of 2026-11-18"]);
    }
}

#[test]
fn a_pending_update_is_never_plain_green() {
    let mut world = World::current();
    assert!(world.assess().counts_as_green());
    world.pending_pr();
    let shown = world.assess();
    assert_eq!(shown.of(Compartment::Lock).status, Status::Ok);
    assert!(shown.is_current() && !shown.counts_as_green());
}

#[test]
fn a19_offline_hosts_keep_their_values_and_do_not_count() {
    let mut world = World::current();
    let online = world.assess();
    world.presence = Presence::Offline { since: NOW };
    let offline = world.assess();
    assert_eq!(online.compartments, offline.compartments);
    assert!(online.is_current() && online.counts_as_green());
    assert!(!offline.is_current() && !offline.counts_as_green());
    tells(
        &tooltip(&world, Compartment::Agent),
        &["offline since 2026-11-18"],
    );
}

// ---- clicks ----

fn offers(shown: &HostAssessment, compartment: Compartment) -> Vec<Op> {
    shown.click(compartment).offers.to_vec()
}

#[test]
fn clicks_do_what_the_specification_says() {
    use Compartment::{Agent, Git, Lock, System, Tests};

    let gray = World::never_seen().assess();
    assert_eq!(offers(&gray, Agent), [Op::CheckVersion]);
    assert_eq!(offers(&gray, Git), [Op::RefreshGit]);
    assert_eq!(offers(&gray, Lock), [Op::RefreshLock]);
    assert_eq!(offers(&gray, System), [Op::RefreshSystem]);
    assert_eq!(offers(&gray, Tests), []);

    let mut world = World::current();
    for compartment in Compartment::ALL {
        assert_eq!(world.assess().click(compartment), Click::default());
    }
    world.pending_pr();
    assert_eq!(offers(&world.assess(), Lock), [Op::MergePr]);

    world.remote_moves('b');
    let yellow = world.assess();
    assert_eq!(offers(&yellow, Git), [Op::Pull]);
    assert_eq!(offers(&yellow, Lock), [Op::Pull]);
    assert_eq!(yellow.click(System), Click::default(), "information only");
    assert_eq!(offers(&yellow, Tests), [Op::Test]);

    world.working(Op::Pull);
    let click = world.assess().click(Git);
    assert!(click.stop && click.offers.is_empty());
    assert!(!world.assess().click(Lock).stop);

    let mut world = World::current();
    world.observation.agent_version = Some("3.0.0".to_owned());
    world.switch_fails();
    world.test(TestVerdict::Fail);
    let red = world.assess();
    assert_eq!(offers(&red, Agent), [Op::PullSwitch]);
    assert_eq!(offers(&red, Tests), [Op::Test, Op::Rollback]);
    let system = red.click(System);
    assert!(
        system.log && system.offers.is_empty(),
        "information only, with the log"
    );

    world.remote_fails(RemoteCause::TimedOut, "");
    assert_eq!(offers(&world.assess(), Git), []);
    assert_eq!(offers(&world.assess(), Lock), []);
}

#[test]
fn every_manual_step_is_an_order_to_a_person() {
    for step in ManualStep::ALL {
        assert!(step.text().len() > 10, "{step:?}");
        let wire = serde_json::to_value(step).unwrap();
        assert_eq!(serde_json::from_value::<ManualStep>(wire).unwrap(), step);
    }
}

// ---- wire forms ----

#[test]
fn reasons_travel_as_a_code_and_its_parameters() {
    let mut world = World::current();
    world.history(&['c', 'b', 'a']);
    world.remote_moves('c');
    let shown = world.assess();
    let wire = serde_json::to_value(shown.of(Compartment::Git)).unwrap();
    assert_eq!(
        wire,
        json!({
            "compartment": "git", "status": "outdated", "base": "outdated",
            "reason": {"code": "checkout-behind", "host": "a".repeat(40),
                "desired": "c".repeat(40), "commits": 2},
            "base_reason": {"code": "checkout-behind", "host": "a".repeat(40),
                "desired": "c".repeat(40), "commits": 2},
        })
    );
    let wire = serde_json::to_value(shown.of(Compartment::Lock).reason).unwrap();
    assert_eq!(
        wire,
        json!({"code": "lock-behind", "host": lock("a"), "desired": lock("c"), "versions": 2})
    );
    world.remote_fails(RemoteCause::HttpStatus(404), "");
    let wire = serde_json::to_value(world.of(Compartment::System).reason).unwrap();
    assert_eq!(
        wire,
        json!({"code": "system-unverifiable", "cause": {"http-status": 404}})
    );
    world.working(Op::PullSwitch);
    let wire = serde_json::to_value(world.of(Compartment::Git).reason).unwrap();
    assert_eq!(
        wire,
        json!({"code": "working", "op": "pull-switch", "half": null, "awaiting_reconnect": false})
    );
}

#[test]
fn a_trace_names_the_rule_the_facts_and_what_would_make_it_green() {
    let mut world = World::current();
    world.switch_fails();
    let trace = serde_json::to_value(explain(&world.situation())).unwrap();
    let system = &trace["compartments"][3];
    assert_eq!(system["rule"], "system-deploy-failed");
    assert_eq!(
        system["looked_at"],
        json!([
            {"fact": "desired commit", "value": "known"},
            {"fact": "desired lock", "value": "known"},
            {"fact": "last deploy", "value": "failed"},
        ])
    );
    assert_eq!(
        system["first_failing"],
        json!({"rule": "system-deploy-failed",
            "is": {"fact": "last deploy", "value": "failed"},
            "should_be": {"fact": "last deploy", "value": "ok"}})
    );
    let tests = &trace["compartments"][4];
    assert_eq!(
        tests["first_failing"]["is"],
        json!({"fact": "system", "value": "error"})
    );
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
