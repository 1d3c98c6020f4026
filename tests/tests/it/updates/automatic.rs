//! Automatic merges: the benign update goes through by itself, a hostile one never does.

use nixfleet_core::Op;
use nixfleet_core::rollout::RolloutState;
use nixfleet_core::update::{Condition, Finding, JobState, PrView};
use nixfleet_tests::fleet::{PATIENCE, good};
use nixfleet_tests::forge::{Cut, FakeCheck, Fault, Route};
use nixfleet_tests::forged::ForgedFleet;
use nixfleet_tests::rows::Situation;
use nixfleet_tests::wait::until;
use serde_json::{Value, json};

use crate::fleet::paths;

const WEB: &str = "web-1";
const DB: &str = "db-1";
const AUTO: [(&str, &str); 2] = [
    ("NIXFLEET_AUTO_MERGE", "true"),
    ("NIXFLEET_AUTO_MERGE_DELAY", "1s"),
];

fn fails(pr: &PrView, condition: Condition) -> bool {
    let mut all = pr.conditions.iter();
    let found = all.find(|one| one.condition == condition);
    found.is_some_and(|one| matches!(one.finding, Finding::Fail(_) | Finding::CannotTell(_)))
}

/// Opens the benign update with this number and makes it hostile. Answers its head.
fn hostile(fleet: &ForgedFleet, number: u64, condition: Condition) -> String {
    let head = fleet.forge.open_update_pr(number, "nixpkgs");
    let mut state = fleet.forge.state();
    let reference = format!("refs/heads/update/{number}");
    let success = vec![FakeCheck::Run(
        "build".to_owned(),
        "completed",
        Some("success"),
    )];
    match condition {
        Condition::HeadRepo => {
            let fork = format!("refs/pull/{number}/head");
            state.git.run(&["update-ref", &fork, &head]).unwrap();
            state.pulls.get_mut(&number).unwrap().head_repo = Some("evil/fleet".to_owned());
            head
        }
        Condition::Author => {
            state.pulls.get_mut(&number).unwrap().author = "github-actions".to_owned();
            head
        }
        Condition::Files => {
            let files: [(&str, Option<&[u8]>); 1] = [("flake.nix", Some(b"{ }\n"))];
            let head = state.commit_to(&reference, &head, &files, "and more");
            state.checks.insert(head.clone(), success);
            head
        }
        Condition::LockChange => {
            let lock = state.git.file(&head, "flake.lock").unwrap();
            let mut lock: Value = serde_json::from_slice(&lock).unwrap();
            for part in ["locked", "original"] {
                lock["nodes"]["nixpkgs"][part]["owner"] = json!("evil");
            }
            let text = format!("{lock:#}\n").into_bytes();
            let files: [(&str, Option<&[u8]>); 1] = [("flake.lock", Some(&text))];
            let head = state.commit_to(&reference, &head, &files, "flake.lock: Update");
            state.checks.insert(head.clone(), success);
            head
        }
        Condition::Checks => {
            state.checks.remove(&head);
            head
        }
        Condition::NotDraft => {
            state.pulls.get_mut(&number).unwrap().draft = true;
            head
        }
        Condition::Open
        | Condition::Base
        | Condition::Age
        | Condition::HeadUnchanged
        | Condition::Mergeable => panic!("{condition:?} has no fixture here"),
    }
}

#[tokio::test]
async fn hostile_updates_are_refused_with_a_reason_and_the_benign_one_is_merged_and_deployed() {
    let mut fleet = ForgedFleet::current(&paths(), &[WEB, DB], &AUTO).await;
    let before = fleet.main();
    let conditions = [
        Condition::HeadRepo,
        Condition::Author,
        Condition::Files,
        Condition::LockChange,
        Condition::Checks,
        Condition::NotDraft,
    ];
    for (number, condition) in (101..).zip(conditions) {
        hostile(&fleet, number, condition);
        fleet.check().await;
        let broken = |pr: &PrView| {
            !pr.eligible
                && fails(pr, condition)
                && !fails(pr, Condition::Age)
                && !fails(pr, Condition::HeadUnchanged)
        };
        let what = format!("to be ripe, and refused: {condition:?}");
        fleet.listed(number, &what, broken).await;
        // It is told once, with the reason, when nothing but a change could help.
        let told = fleet
            .live_until("the refusal to be told", |seen| {
                let mut events = seen.state().events.values();
                let named = format!("#{number} ");
                events
                    .find(|one| one.code == "auto-merge-refused" && one.text.contains(&named))
                    .map(|one| one.text.clone())
            })
            .await;
        assert!(!good(told).is_empty());
        let updates = fleet.updates().await;
        let gates = serde_json::to_value(&updates.auto.gates).unwrap();
        let mut gates = gates.as_array().unwrap().iter();
        let gate = gates.find(|one| one["gate"] == "conditions").unwrap();
        assert_eq!(gate["finding"], "fail", "{condition:?}: {gate}");
        assert_eq!(fleet.merge_calls().len(), 0, "{condition:?}");
        fleet.forge.state().pulls.get_mut(&number).unwrap().open = false;
    }
    assert_eq!(fleet.main(), before);

    // The one that they were derived from.
    let head = fleet.forge.open_update_pr(110, "nixpkgs");
    fleet.check().await;
    let job = fleet
        .job(110, "its rollout", |job| job.rollout.is_some())
        .await;
    fleet
        .rollout_is(job.rollout.unwrap(), RolloutState::Complete)
        .await;
    let merges = fleet.merge_calls();
    assert_eq!(merges.len(), 1);
    assert_eq!(merges[0].request.json()["sha"], head);
    fleet.settled(Situation::Current, &[WEB, DB]).await;
    assert_ne!(fleet.main(), before);
    assert_eq!(fleet.ran(WEB, Op::Switch), 2);
    fleet.end().await;
}

#[tokio::test]
async fn a_head_that_moves_after_it_was_judged_is_not_merged() {
    let mut fleet = ForgedFleet::create(&paths(), &[], &AUTO).await;
    good(fleet.start_server().await);
    let before = fleet.main();
    let judged = fleet.forge.open_update_pr(42, "nixpkgs");
    // The head moves between the last reading and the call: the forge compares it.
    let moved = Fault::status(
        409,
        "Head branch was modified. Review and try the merge again.",
    );
    fleet
        .forge
        .fail(Route::Merge, moved.and_cut(Cut::StallBeforeHead));
    let read = fleet.forge.requests_to(Route::Pull).len();
    fleet.check().await;
    let called = until(
        PATIENCE,
        "the call",
        || (fleet.merge_calls().len() == 1).then_some(()),
        || fleet.last_words(),
    );
    good(called.await);
    assert!(
        fleet.forge.requests_to(Route::Pull).len() > read,
        "a fresh reading"
    );
    assert_eq!(fleet.merge_calls()[0].request.json()["sha"], judged);
    let pushed = {
        let state = fleet.forge.state();
        let files: [(&str, Option<&[u8]>); 1] = [("flake.nix", Some(b"{ }\n"))];
        state.commit_to("refs/heads/update/42", &judged, &files, "and more")
    };
    fleet.forge.release();
    let job = fleet
        .job(42, "the refusal", |job| job.state == JobState::Failed)
        .await;
    assert!(
        job.message.contains("head") || job.message.contains("merge"),
        "{job:?}"
    );
    assert_eq!(fleet.main(), before);
    fleet.check().await;
    fleet
        .listed(42, "with its new head", |pr| {
            pr.head.to_string() == pushed
                && fails(pr, Condition::Files)
                && !fails(pr, Condition::Age)
        })
        .await;
    assert_eq!(fleet.merge_calls().len(), 1);

    // Back where it was, it is merged.
    fleet.forge.state().pulls.get_mut(&42).unwrap().open = false;
    let head = fleet.forge.open_update_pr(43, "nixpkgs");
    fleet.check().await;
    let merged = until(
        PATIENCE,
        "the merge",
        || (fleet.main() != before).then_some(()),
        || fleet.last_words(),
    );
    good(merged.await);
    let calls = fleet.merge_calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].request.json()["sha"], head);
    fleet.end().await;
}
