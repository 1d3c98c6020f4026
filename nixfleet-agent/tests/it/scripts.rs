//! The tests of a host.

use nixfleet_agent::exec::{Run, TestOutcome, TestVerdict};

use crate::support::{Outcome, Place, finish, script, until};

async fn run(place: &Place, limit_ms: u64) -> Outcome {
    let mut stage = place.stage("test", "");
    stage.run = Run::TestScripts {
        folder: place.path("tests"),
        limit_ms,
    };
    place.run(vec![stage]).await
}

#[tokio::test]
async fn reg13_an_earlier_failure_is_not_hidden_by_a_later_pass() {
    let place = Place::new();
    script(&place.path("tests/10-a.sh"), "echo a; exit 4", 0o755);
    script(&place.path("tests/20-b.sh"), "echo b", 0o755);
    script(&place.path("tests/90-skip.sh"), "echo never", 0o644);
    script(&place.path("tests/notes.txt"), "echo never", 0o755);
    let done = run(&place, 60_000).await;
    let tests = done.exit().tests.clone().unwrap();
    let outcomes: Vec<_> = tests
        .results
        .iter()
        .map(|r| (r.name.as_str(), r.outcome, r.code))
        .collect();
    assert_eq!(
        outcomes,
        [
            ("10-a.sh", TestOutcome::Failed, 4),
            ("20-b.sh", TestOutcome::Passed, 0),
            ("90-skip.sh", TestOutcome::Skipped, 0),
        ]
    );
    assert_eq!(tests.verdict(), TestVerdict::Fail);
    assert_eq!(tests.failed().collect::<Vec<_>>(), ["10-a.sh"]);
    assert_eq!((done.exit().code, tests.ran()), (1, 2));
    assert_eq!(done.texts(), ["a", "b"]);
}

#[tokio::test]
async fn all_that_run_must_pass() {
    let place = Place::new();
    script(&place.path("tests/a.sh"), "true", 0o755);
    script(&place.path("tests/b.sh"), "true", 0o755);
    let done = run(&place, 60_000).await;
    let tests = done.exit().tests.clone().unwrap();
    assert_eq!((done.exit().code, tests.verdict()), (0, TestVerdict::Pass));
}

#[tokio::test]
async fn a15_nothing_executed_is_no_pass() {
    let place = Place::new();
    let done = run(&place, 60_000).await;
    assert_eq!(
        done.exit().tests.clone().unwrap().verdict(),
        TestVerdict::Empty
    );
    script(&place.path("tests/a.sh"), "true", 0o644);
    let done = run(&place, 60_000).await;
    let tests = done.exit().tests.clone().unwrap();
    assert_eq!(tests.verdict(), TestVerdict::Empty);
    assert_eq!(tests.skipped().collect::<Vec<_>>(), ["a.sh"]);
}

#[tokio::test]
async fn a_test_beyond_its_limit_fails_and_the_others_still_run() {
    let place = Place::new();
    script(&place.path("tests/a.sh"), "sleep 600", 0o755);
    script(&place.path("tests/b.sh"), "exit 0", 0o755);
    let done = run(&place, 1500).await;
    let tests = done.exit().tests.clone().unwrap();
    assert_eq!(tests.results[0].outcome, TestOutcome::TimedOut);
    assert_eq!(tests.results[1].outcome, TestOutcome::Passed);
    assert_eq!(tests.verdict(), TestVerdict::Fail);
}

#[tokio::test]
async fn a_configured_command_is_one_test() {
    let place = Place::new();
    let path = place.path("check me");
    script(&path, "exit 2", 0o755);
    let mut stage = place.stage("test", "");
    stage.run = Run::TestCommand {
        argv: vec![path.display().to_string()],
        limit_ms: 60_000,
    };
    let done = place.run(vec![stage]).await;
    let tests = done.exit().tests.clone().unwrap();
    assert_eq!(tests.failed().collect::<Vec<_>>(), ["check me"]);
    assert_eq!(done.exit().code, 1);
}

#[tokio::test]
async fn stopped_tests_are_aborted_and_the_rest_does_not_run() {
    let place = Place::new();
    let ready = place.path("ready");
    let text = format!("echo > {}; sleep 600", ready.display());
    script(&place.path("tests/a.sh"), &text, 0o755);
    script(
        &place.path("tests/b.sh"),
        &format!("echo > {}", place.path("b").display()),
        0o755,
    );
    let mut stage = place.stage("test", "");
    stage.run = Run::TestScripts {
        folder: place.path("tests"),
        limit_ms: 60_000,
    };
    let mut job = place
        .launcher
        .launch(&place.spec(vec![stage]))
        .await
        .unwrap();
    until("the first test runs", || ready.exists()).await;
    job.terminate().unwrap();
    let done = finish(&mut job).await;
    let tests = done.exit().tests.clone().unwrap();
    assert_eq!(tests.verdict(), TestVerdict::Aborted);
    assert!(done.exit().stopped && !place.path("b").exists());
}
