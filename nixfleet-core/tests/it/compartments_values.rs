//! The compartments from raw values, beside an independent reference over plain text.

use nixfleet_core::compartment::facts::{Facts, ResultFact};
use nixfleet_core::compartment::render::{details, message};
use nixfleet_core::compartment::{Situation, explain};
use nixfleet_core::desired::{Remote, RemoteCause, Unavailable};
use nixfleet_core::host::{
    DeployOutcome, Deployed, LockReport, Presence, Repo, RunningSystem, TestEvidence, TestKey,
    TestVerdict,
};
use nixfleet_core::{ClaimedRevision, CommitHistory, CommitRef, Op, Status, assess};
use proptest::prelude::*;

use super::compartments_space::consistent;
use super::compartments_world::{NOW, World, abbreviated, commit, lock, path};
use super::reference::compartments_text as reference;

fn statuses(situation: &Situation<'_>) -> [&'static str; 5] {
    assess(situation).base_statuses().map(Status::name)
}

/// What must hold of any situation at all.
pub fn check(situation: &Situation<'_>) {
    let shown = assess(situation);
    let base = shown.base_statuses();
    assert_eq!(
        base.map(Status::name),
        reference::judge(situation),
        "the reference disagrees: {situation:#?}"
    );
    assert!(consistent(&Facts::compare(situation)), "{situation:#?}");
    let [_, git, lock, system, tests] = base;
    if system == Status::Ok {
        // A1 over raw values.
        let repo = situation.observation.repo.unwrap();
        let wanted = situation.desired.remote.lock().unwrap();
        assert_eq!(repo.lock, LockReport::Hash(wanted));
        assert!(!repo.dirty && !situation.deploy.needs_reconcile);
        assert_ne!(situation.deploy.outcome, DeployOutcome::Failed);
        if let Some(record) = &situation.observation.deployed {
            assert!(record.clean);
            assert_eq!(record.lock, Some(wanted));
        }
        assert_eq!((git, lock), (Status::Ok, Status::Ok));
        let running = situation.observation.system.as_ref();
        if let Some(claim) = running.and_then(|system| system.configuration_revision.as_ref()) {
            let claim = claim.to_string();
            let wanted = situation.desired.remote.commit().unwrap().to_string();
            assert!(claim.len() >= 7 && wanted.starts_with(&claim), "{claim}");
        }
    }
    if tests == Status::Ok {
        // A14 and A15 over raw values.
        let run = situation.tests.unwrap();
        assert_eq!(system, Status::Ok);
        assert!(run.ran >= 1 && run.failed.is_empty() && run.per_script);
        assert_eq!(run.verdict, TestVerdict::Pass);
        assert_eq!(
            run.key.as_ref().unwrap().lock,
            situation.desired.remote.lock().unwrap()
        );
    }
}

// ---- every combination of a few values of everything ----

fn remotes() -> Vec<Remote> {
    let whole = World::never_seen().desired.remote;
    let gone = || Unavailable::new(RemoteCause::LockMissing, "");
    let half = |commit: bool| {
        let mut remote = whole.clone();
        if let Remote::Verified(snapshot) = &mut remote {
            if commit {
                snapshot.commit = Err(gone());
            } else {
                snapshot.lock = Err(gone());
            }
        }
        remote
    };
    let failed = Remote::Failed {
        why: Unavailable::new(RemoteCause::TimedOut, "10 s"),
        since: NOW,
        last_good: None,
    };
    vec![whole.clone(), half(true), half(false), failed]
}

fn repos() -> Vec<Option<Repo>> {
    let commits: [CommitRef; 5] = [
        commit('a').into(),
        abbreviated(commit('a')),
        commit('b').into(),
        abbreviated(commit('b')),
        commit('c').into(),
    ];
    let locks = [
        LockReport::NotReported,
        LockReport::Missing,
        LockReport::Hash(lock("a")),
        LockReport::Hash(lock("b")),
    ];
    let mut found = vec![None];
    for commit in commits {
        for lock in locks {
            for dirty in [false, true] {
                found.push(Some(Repo {
                    commit,
                    lock,
                    dirty,
                }));
            }
        }
    }
    found
}

fn records() -> Vec<Option<Deployed>> {
    let commits: [Option<CommitRef>; 4] = [
        None,
        Some(commit('a').into()),
        Some(abbreviated(commit('a'))),
        Some(commit('b').into()),
    ];
    let mut found = vec![None];
    for commit in commits {
        for lock in [None, Some(lock("a")), Some(lock("b"))] {
            for store_path in [None, Some(path("p"))] {
                for (clean, inferred) in [(true, false), (false, false), (true, true)] {
                    found.push(Some(Deployed {
                        commit,
                        lock,
                        store_path: store_path.clone(),
                        clean,
                        command: None,
                        inferred,
                    }));
                }
            }
        }
    }
    found
}

fn claimed(text: &str) -> Option<ClaimedRevision> {
    ClaimedRevision::from_text(text)
}

fn systems() -> Vec<RunningSystem> {
    let claims: [Option<ClaimedRevision>; 8] = [
        None,
        Some(commit('a').into()),
        Some(abbreviated(commit('a')).into()),
        Some(commit('b').into()),
        claimed(&format!("{}-dirty", commit('a'))),
        claimed("aaaaaaa-dirty"),
        // Too few digits for an abbreviation of the desired commit, and no digits at all.
        claimed("aaa"),
        claimed("a laptop"),
    ];
    let mut found = Vec::new();
    for configuration_revision in claims {
        for path in [None, Some(path("p")), Some(path("q"))] {
            found.push(RunningSystem {
                path,
                configuration_revision: configuration_revision.clone(),
                ..RunningSystem::default()
            });
        }
    }
    found
}

fn runs() -> Vec<Option<TestEvidence>> {
    let key = |commit: CommitRef, on: &str| {
        Some(TestKey {
            commit,
            lock: lock("a"),
            store_path: Some(path(on)),
        })
    };
    let keys = [
        None,
        key(commit('a').into(), "p"),
        key(abbreviated(commit('a')), "p"),
        key(commit('b').into(), "p"),
        key(commit('a').into(), "q"),
        Some(TestKey {
            commit: commit('a').into(),
            lock: lock("a"),
            store_path: None,
        }),
    ];
    let failed = || vec!["web".to_owned()];
    let results = [
        (TestVerdict::Pass, true, 3, Vec::new()),
        (TestVerdict::Pass, false, 3, Vec::new()),
        (TestVerdict::Pass, true, 0, Vec::new()),
        (TestVerdict::Pass, true, 3, failed()),
        (TestVerdict::Fail, true, 3, failed()),
        (TestVerdict::Stopped, true, 1, Vec::new()),
        (TestVerdict::Empty, true, 0, Vec::new()),
        (TestVerdict::Void, true, 3, Vec::new()),
    ];
    let mut found = vec![None];
    for key in keys {
        for (verdict, per_script, ran, failed) in results.clone() {
            found.push(Some(TestEvidence {
                key: key.clone(),
                verdict,
                per_script,
                ran,
                failed,
                skipped: 0,
                at: NOW,
            }));
        }
    }
    found
}

const OUTCOMES: [(DeployOutcome, bool); 5] = [
    (DeployOutcome::Never, false),
    (DeployOutcome::Ok, false),
    (DeployOutcome::Failed, false),
    (DeployOutcome::Unknown, true),
    (DeployOutcome::Unknown, false),
];

/// No history; a history with both commits; one in which the short form of the desired commit is
/// ambiguous.
fn give_history(world: &mut World, kind: usize) {
    world.desired.history = None;
    if kind > 0 {
        world.history(&['a', 'b']);
    }
    if kind > 1 {
        let twin = format!("{}0", "a".repeat(39)).parse().unwrap();
        let mut history = (**world.desired.history.as_ref().unwrap()).clone();
        history.commits = CommitHistory::new(vec![commit('a'), commit('b'), twin]);
        world.desired.history = Some(history.into());
    }
}

#[test]
fn every_combination_of_raw_values_agrees_with_the_reference_over_text() {
    let mut count = 0_u64;
    let mut world = World::never_seen();
    world.connect();
    for kind in 0..3 {
        give_history(&mut world, kind);
        for remote in remotes() {
            world.desired.remote = remote;
            for repo in repos() {
                world.observation.repo = repo;
                for record in records() {
                    world.observation.deployed = record;
                    for system in systems() {
                        world.observation.system = Some(system);
                        // Five outcomes in turn: neither factor above is a multiple of five.
                        let (outcome, reconcile) = OUTCOMES[count as usize % 5];
                        world.deploy.outcome = outcome;
                        world.deploy.needs_reconcile = reconcile;
                        check(&world.situation());
                        count += 1;
                    }
                }
            }
        }
    }
    let text = format!("raw values: {count} situations of checkout and deployment");
    crate::counts::counted("raw-values", &text);
}

#[test]
fn every_combination_of_test_evidence_agrees_with_the_reference_over_text() {
    let mut count = 0_u64;
    let mut world = World::current();
    for kind in 0..3 {
        give_history(&mut world, kind);
        for remote in remotes() {
            world.desired.remote = remote;
            for record in records() {
                world.observation.deployed = record;
                for system in systems() {
                    world.observation.system = Some(system);
                    for run in runs() {
                        world.tests = run;
                        world.tests_enabled = !count.is_multiple_of(7);
                        let (outcome, reconcile) = OUTCOMES[count as usize % 5];
                        world.deploy.outcome = outcome;
                        world.deploy.needs_reconcile = reconcile;
                        check(&world.situation());
                        count += 1;
                    }
                }
            }
        }
    }
    println!("raw values of tests and deployment: {count} situations");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// A15: whatever an agent claims about its run.
    #[test]
    fn a15_tests_ok_implies_at_least_one_ran_and_none_failed(
        verdict in prop::sample::select(vec![
            TestVerdict::Pass, TestVerdict::Fail, TestVerdict::Stopped, TestVerdict::Empty,
            TestVerdict::Void,
        ]),
        ran in prop::sample::select(vec![0_u32, 1, 7, u32::MAX]),
        failed in prop::collection::vec(".{0,5}", 0..3),
        per_script: bool,
    ) {
        let mut world = World::current();
        let run = world.tests.as_mut().unwrap();
        (run.verdict, run.ran, run.per_script) = (verdict, ran, per_script);
        run.failed = failed.clone();
        check(&world.situation());
        let ok = world.assess().statuses()[4] == Status::Ok;
        let proof = verdict == TestVerdict::Pass && ran >= 1 && failed.is_empty() && per_script;
        prop_assert_eq!(ok, proof);
        let fact = Facts::compare(&world.situation()).result;
        prop_assert!(fact == ResultFact::Passed || !ok);
    }

    /// A16: versions of any shape.
    #[test]
    fn a16_agent_ok_iff_the_normalised_version_is_the_expected_one(
        reported in "v?[0-9]{1,2}(\\.[0-9]{1,2}){0,3}(-[a-z0-9.]{1,6})?(\\+[a-z0-9]{1,4})?|.{0,12}",
        expected in "v?4\\.[0-2]\\.[0-2](\\+[a-z]{1,3})?",
    ) {
        let mut world = World::current();
        world.observation.agent_version = Some(reported.clone());
        world.desired.agent_version = expected.clone();
        let status = world.assess().statuses()[0];
        prop_assert_eq!(status.name(), reference::judge(&world.situation())[0]);
        world.observation.agent_version = Some(expected);
        prop_assert_eq!(world.assess().statuses()[0], Status::Ok, "positive control");
    }
}

// ---- determinism and hostile sizes ----

/// One line per situation of a fixed walk: the assessment and the trace as JSON, and the texts.
fn transcript() -> String {
    let mut world = World::never_seen();
    let mut lines = String::new();
    let walk = "cpsPmpxqstFfmpkRTrdb";
    for verb in walk.chars() {
        match verb {
            'c' => world.connect(),
            'p' => world.pull(),
            's' => world.switch_ok(),
            'P' => world.test(TestVerdict::Pass),
            'F' => world.test(TestVerdict::Fail),
            't' => world.test(TestVerdict::Stopped),
            'm' => world.remote_moves('b'),
            'x' => world.switch_fails(),
            'q' => world.pending_pr(),
            'f' => world.remote_fails(RemoteCause::HttpStatus(503), "busy"),
            'k' => world.switch_outcome_unknown(),
            'R' => world.working(Op::PullSwitch),
            'T' => world.tests_enabled = !world.tests_enabled,
            'r' => world.remote_moves('c'),
            'd' => world.presence = Presence::Offline { since: NOW },
            _ => world.history(&['c', 'b', 'a']),
        }
        let situation = world.situation();
        let shown = world.assess();
        lines += &serde_json::to_string(&shown).unwrap();
        lines += &serde_json::to_string(&explain(&situation)).unwrap();
        for one in &shown.compartments {
            lines += &message(one, &situation);
            lines += &details(one, &situation).lines.join("\n");
        }
        lines.push('\n');
    }
    lines
}

#[test]
fn a07_two_processes_give_the_same_bytes() {
    let digest = nixfleet_core::lock_hash(transcript().as_bytes()).to_string();
    println!("transcript digest {digest} end");
    if std::env::var_os("NIXFLEET_ONLY_DIGEST").is_some() {
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "compartments_values::a07_two_processes_give_the_same_bytes",
            "--exact",
            "--nocapture",
        ])
        .env("NIXFLEET_ONLY_DIGEST", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains(&format!("transcript digest {digest} end")),
        "{said}"
    );
}

#[test]
fn a07_ten_mebibytes_of_text_are_judged_and_shown_on_a_line() {
    let huge = "v4.0.0\u{202e}\n\u{1b}[31m".repeat(10 * 1024 * 1024 / 16);
    let mut world = World::current();
    world.observation.agent_version = Some(huge.clone());
    world.observation.failed_units = Some(vec![huge.clone()]);
    world.deploy.outcome = DeployOutcome::Failed;
    world.deploy.detail = Some(huge);
    let shown = world.assess();
    let row = shown.statuses().map(Status::name);
    assert_eq!(row, ["error", "ok", "ok", "error", "outdated"]);
    for one in &shown.compartments {
        for line in details(one, &world.situation()).lines {
            assert!(line.chars().count() <= 320);
            assert!(!line.chars().any(char::is_control));
        }
    }
    assert_eq!(
        statuses(&world.situation()),
        reference::judge(&world.situation())
    );
}
