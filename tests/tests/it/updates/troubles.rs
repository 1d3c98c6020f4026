//! The forge is down, slow, lying or counts what it is asked.

use std::time::{Duration, Instant};

use http::Method;
use nixfleet_core::update::JobState;
use nixfleet_tests::fleet::{PATIENCE, good};
use nixfleet_tests::forge::{Cut, Fault, Route, unix_seconds};
use nixfleet_tests::forged::ForgedFleet;
use nixfleet_tests::rows::Situation;
use nixfleet_tests::wait::until;
use serde_json::json;

use crate::fleet::paths;

const WEB: &str = "web-1";

/// What a forge that cannot be believed answers, one after the other.
fn lies() -> Vec<(&'static str, Fault)> {
    vec![
        ("a page for people", Fault::html()),
        ("an empty list", Fault::body("[]")),
        ("no JSON", Fault::body("{\"commit\": ")),
        (
            "half a body",
            Fault::body("{\"name\": \"main\"}").and_cut(Cut::HalfBody),
        ),
        ("401", Fault::bad_credentials()),
        ("503", Fault::status(503, "Service Unavailable")),
        ("a reset", Fault::cut(Cut::Reset)),
        (
            "100 MiB",
            Fault::body("[]").and_cut(Cut::Huge { declared: false }),
        ),
    ]
}

fn every_answer(fleet: &ForgedFleet, fault: &Fault) {
    for route in Route::ALL {
        fleet.forge.fail_always(*route, fault);
    }
}

#[tokio::test]
async fn a_forge_that_is_the_source_makes_git_and_lock_red_while_it_lies() {
    let environment = [("NIXFLEET_REPO", ""), ("NIXFLEET_GITHUB_POLL_TTL", "1s")];
    let mut fleet = ForgedFleet::current(&paths(), &[WEB], &environment).await;
    for (name, fault) in lies() {
        every_answer(&fleet, &fault);
        fleet.settled(Situation::RemoteGone, &[WEB]).await;
        let about = fleet.about(WEB).await;
        for compartment in ["git", "lock"] {
            let told = &about["compartments"][compartment]["message"];
            assert!(told.as_str().is_some_and(|told| !told.is_empty()), "{name}");
        }
        fleet.forge.heal();
        fleet.settled(Situation::Current, &[WEB]).await;
    }
    // The control: what it says when it tells the truth does arrive.
    fleet.forge.open_update_pr(42, "nixpkgs");
    fleet.find(42).await;
    fleet.post("/api/v1/updates/42/merge", json!({})).await;
    fleet.settled(Situation::Merged, &[WEB]).await;
    fleet.end().await;
}

#[tokio::test]
async fn a_forge_that_lies_does_not_touch_a_fleet_that_follows_git() {
    let mut fleet = ForgedFleet::current(&paths(), &[WEB], &[]).await;
    fleet.forge.open_update_pr(42, "nixpkgs");
    let known = fleet.find(42).await;
    for (name, fault) in lies() {
        // An empty list of pull requests is no lie.
        if name == "an empty list" {
            continue;
        }
        every_answer(&fleet, &fault);
        fleet.check().await;
        let why = fleet
            .updates_until(name, |updates| {
                updates.failing.as_ref().map(|it| it.what.clone())
            })
            .await;
        assert!(!why.is_empty(), "{name}");
        fleet.settled(Situation::Current, &[WEB]).await;
        let updates = fleet.updates().await;
        assert_eq!(
            updates.prs[0].head, known.head,
            "{name}: what was known is kept"
        );
        fleet.forge.heal();
        fleet.check().await;
        fleet
            .updates_until("the truth", |updates| {
                updates.failing.is_none().then_some(())
            })
            .await;
    }
    assert_eq!(fleet.merge_calls().len(), 0);
    fleet.end().await;
}

#[tokio::test]
async fn a_forge_that_asks_to_wait_is_not_asked_before() {
    let mut fleet = ForgedFleet::create(&paths(), &[], &[]).await;
    good(fleet.start_server().await);
    fleet.forge.open_update_pr(42, "nixpkgs");
    let reset = unix_seconds() + 6;
    fleet.forge.fail(Route::Pulls, Fault::quota_used_up(reset));
    fleet.check().await;
    let not_before = fleet
        .updates_until("the limit", |updates| updates.failing.as_ref()?.not_before)
        .await;
    let refused = Instant::now();
    let asked = fleet.forge.requests().len();
    assert!(not_before.as_millis() / 1000 >= reset - 2, "{not_before:?}");
    // Whoever asks, and however often.
    for _ in 0..5 {
        fleet
            .ask(Method::POST, "/api/v1/updates/check", &json!({}))
            .await;
    }
    fleet.listed(42, "to be listed in the end", |_| true).await;
    let later = fleet.forge.requests().split_off(asked);
    assert!(!later.is_empty());
    for request in later {
        let waited = request.at.saturating_duration_since(refused);
        assert!(waited >= Duration::from_secs(3), "asked after {waited:?}");
    }
    fleet.end().await;
}

#[tokio::test]
async fn a_merge_with_an_unclear_answer_happens_once() {
    let mut fleet = ForgedFleet::create(&paths(), &[], &[]).await;
    good(fleet.start_server().await);
    let done: [(&str, Fault); 4] = [
        ("502", Fault::status(502, "Bad Gateway").but_done()),
        ("half a body", Fault::cut(Cut::HalfBody)),
        ("a page for people", Fault::html().but_done()),
        ("a reset", Fault::cut(Cut::Reset)),
    ];
    for (number, (name, fault)) in (50..).zip(done) {
        let head = fleet.forge.open_update_pr(number, "nixpkgs");
        fleet.find(number).await;
        let calls = fleet.merge_calls().len();
        fleet.forge.fail(Route::Merge, fault);
        let path = format!("/api/v1/updates/{number}/merge");
        fleet.post(&path, json!({})).await;
        fleet
            .job(number, name, |job| job.state == JobState::Completed)
            .await;
        assert_eq!(fleet.merge_calls().len(), calls + 1, "{name}");
        let state = fleet.forge.state();
        let parents = state.git.parents("main");
        assert_eq!(
            parents.last(),
            Some(&head),
            "{name}: the head that was judged"
        );
    }
    // The same answer to a merge that did not happen: it is read, then called again.
    fleet.forge.open_update_pr(60, "disko");
    fleet.find(60).await;
    let calls = fleet.merge_calls().len();
    fleet
        .forge
        .fail(Route::Merge, Fault::status(502, "Bad Gateway"));
    fleet.post("/api/v1/updates/60/merge", json!({})).await;
    fleet
        .job(60, "the second call", |job| {
            job.state == JobState::Completed
        })
        .await;
    assert_eq!(fleet.merge_calls().len(), calls + 2);
    let unknown = fleet
        .ask(Method::POST, "/api/v1/updates/999/merge", &json!({}))
        .await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.code()),
        (404, "pr-unknown")
    );
    // A second job at the same time is refused.
    fleet.forge.open_update_pr(61, "disko");
    fleet.find(61).await;
    fleet
        .forge
        .fail(Route::Merge, Fault::cut(Cut::StallBeforeHead));
    let calls = fleet.merge_calls().len();
    fleet.post("/api/v1/updates/61/merge", json!({})).await;
    let called = until(
        PATIENCE,
        "the call",
        || (fleet.merge_calls().len() > calls).then_some(()),
        || fleet.last_words(),
    );
    good(called.await);
    let second = fleet
        .ask(Method::POST, "/api/v1/updates/61/merge", &json!({}))
        .await;
    assert_eq!(
        (second.status.as_u16(), second.code()),
        (409, "job-under-way")
    );
    fleet.forge.release();
    fleet
        .job(61, "the late answer", |job| {
            job.state == JobState::Completed
        })
        .await;
    assert_eq!(fleet.merge_calls().len(), calls + 1);
    fleet.end().await;
}
