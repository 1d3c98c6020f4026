//! Who starts when: canaries, holds, windows, pauses, and what is never deployed again.

use http::Method;
use nixfleet_core::rollout::{HostStage, RolloutState, SkipReason, VerbName, WaitCode};
use nixfleet_core::{Op, Timestamp};
use nixfleet_tests::fleet::good;
use nixfleet_tests::forge::unix_seconds;
use nixfleet_tests::forged::{ForgedFleet, on};
use nixfleet_tests::host::{Habit, HostCommand};
use nixfleet_tests::rows::Situation;
use serde_json::{Value, json};

use crate::fleet::paths;

const WEB: &str = "web-1";
const DB: &str = "db-1";
const LAB: &str = "lab-1";
const HOSTS: [&str; 3] = [WEB, DB, LAB];
const DAY: i64 = 86_400;

/// A fleet that is one commit behind.
async fn behind() -> ForgedFleet {
    let mut fleet = ForgedFleet::current(&paths(), &HOSTS, &[]).await;
    good(fleet.upstream.update(&["nixpkgs"]));
    fleet.settled(Situation::Merged, &HOSTS).await;
    fleet
}

fn canary(soak_seconds: u64) -> Value {
    json!({ "policy": { "canaries": { "hosts": [LAB] }, "soak_seconds": soak_seconds } })
}

#[tokio::test]
async fn a_failed_canary_reaches_no_other_host_and_a_good_one_lets_them_start() {
    let mut fleet = behind().await;
    fleet.tell(LAB, HostCommand::Switch, Habit::Fails);
    let rollout = fleet.roll_out(canary(1)).await;
    let view = fleet.rollout_is(rollout, RolloutState::Halted).await;
    assert_eq!(on(&view, LAB).state, HostStage::Failed);
    assert!(on(&view, LAB).canary);
    for host in [WEB, DB] {
        assert_eq!(on(&view, host).state, HostStage::Cancelled);
        assert_eq!(fleet.journal(host)[&Op::Pull], 1, "only the bring-up");
    }
    for verb in ["resume", "approve", "retry-failed"] {
        let path = format!("/api/v1/rollouts/{rollout}/{verb}");
        let answer = fleet.ask(Method::POST, &path, &json!({})).await;
        assert_eq!(answer.code(), "verb_refused", "{verb}: {}", answer.body);
    }
    fleet.settled(Situation::Merged, &[WEB, DB]).await;

    fleet.tell(LAB, HostCommand::Switch, Habit::Works);
    let rollout = fleet.roll_out(canary(1)).await;
    fleet.rollout_is(rollout, RolloutState::Complete).await;
    fleet.settled(Situation::Current, &HOSTS).await;
    for host in [WEB, DB] {
        assert_eq!(fleet.journal(host)[&Op::Pull], 2);
        assert_eq!(fleet.ran(host, Op::Switch), 2);
    }
    fleet.end().await;
}

#[tokio::test]
async fn a_held_host_gets_nothing_until_it_is_released() {
    let mut fleet = behind().await;
    fleet.tell(LAB, HostCommand::Switch, Habit::Waits);
    let rollout = fleet.roll_out(canary(0)).await;
    fleet.until_ran(LAB, Op::Switch, 2).await;
    fleet.waits(rollout, DB, WaitCode::PreviousWave).await;
    let hold = json!({ "why": "the disk is being replaced" });
    fleet.post(&format!("/api/v1/hosts/{DB}/hold"), hold).await;
    fleet.tell(LAB, HostCommand::Switch, Habit::Works);
    let wait = fleet.waits(rollout, DB, WaitCode::Held).await.wait.unwrap();
    assert!(wait.subject.unwrap().contains("the disk is being replaced"));
    fleet
        .rollout_until(rollout, "the others", |view| view.totals.done == 2)
        .await;
    assert_eq!(fleet.journal(DB)[&Op::Pull], 1, "only the bring-up");
    // Another plan leaves it out, and says so.
    let plan = fleet
        .ask(Method::POST, "/api/v1/simulate", &json!({ "hosts": HOSTS }))
        .await;
    assert!(
        plan.body.to_string().contains("\"held\""),
        "{:#}",
        plan.body
    );

    fleet
        .post(&format!("/api/v1/hosts/{DB}/release"), json!({}))
        .await;
    fleet.rollout_is(rollout, RolloutState::Complete).await;
    assert_eq!(fleet.ran(DB, Op::Switch), 2);
    fleet.settled(Situation::Current, &HOSTS).await;

    // Held from the beginning: it is not part of the plan, and that is complete, too.
    good(fleet.upstream.update(&["disko"]));
    fleet.settled(Situation::Merged, &HOSTS).await;
    let hold = json!({ "why": "still not well" });
    fleet.post(&format!("/api/v1/hosts/{DB}/hold"), hold).await;
    let rollout = fleet.roll_out(json!({ "hosts": HOSTS })).await;
    let view = fleet.rollout_is(rollout, RolloutState::Complete).await;
    assert_eq!(on(&view, DB).skipped, Some(SkipReason::Held));
    assert!(
        on(&view, DB)
            .message
            .as_ref()
            .unwrap()
            .contains("still not well")
    );
    fleet.settled(Situation::Merged, &[DB]).await;
    assert_eq!(fleet.ran(DB, Op::Switch), 2);
    fleet.end().await;
}

#[tokio::test]
async fn a_closed_window_starts_nothing_and_an_opened_one_does_by_itself() {
    let mut fleet = behind().await;
    // Open on one day only, three days from now.
    let names = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"];
    let day = usize::try_from((unix_seconds() / DAY + 3).rem_euclid(7)).unwrap();
    let window = |days: Value| {
        json!({ "selector": DB, "zone": "UTC", "effect": "allow", "days": days,
                "from": "00:00", "to": "24:00" })
    };
    let path = "/api/v1/windows/database";
    fleet
        .granted(Method::PUT, path, window(json!([names[day]])))
        .await;
    let rollout = fleet.roll_out(json!({})).await;
    let wait = fleet.waits(rollout, DB, WaitCode::OutsideWindow).await.wait;
    let opens = wait.unwrap().until.unwrap();
    let ahead = opens.as_millis() / 1000 - unix_seconds();
    assert!((DAY..=3 * DAY).contains(&ahead), "{ahead} s");
    assert_eq!(opens.as_millis() / 1000 % DAY, 0, "at midnight UTC");
    fleet
        .rollout_until(rollout, "the others", |view| view.totals.done == 2)
        .await;
    fleet.waits(rollout, DB, WaitCode::OutsideWindow).await;
    assert_eq!(fleet.journal(DB)[&Op::Pull], 1, "only the bring-up");
    // A person may, at any time.
    let listed: Value = fleet.get("/api/v1/windows").await;
    assert_eq!(listed["windows"][0]["open"], false, "{listed:#}");

    fleet.granted(Method::PUT, path, window(json!([]))).await;
    fleet.rollout_is(rollout, RolloutState::Complete).await;
    assert_eq!(fleet.ran(DB, Op::Switch), 2);
    fleet.settled(Situation::Current, &HOSTS).await;
    // What cannot be understood is named, and nothing of it is kept.
    let mut bad = window(json!([]));
    bad["zone"] = json!("Europe/Atlantis");
    let answer = fleet.ask(Method::PUT, "/api/v1/windows/other", &bad).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (422, "bad_zone"));
    let listed: Value = fleet.get("/api/v1/windows").await;
    assert_eq!(listed["windows"].as_array().unwrap().len(), 1);
    fleet.end().await;
}

#[tokio::test]
async fn a_pause_stops_new_starts_at_once_and_resume_goes_on() {
    let mut fleet = behind().await;
    fleet.tell(DB, HostCommand::Switch, Habit::Waits);
    let body = json!({ "policy": { "max_in_flight": { "count": 1 } } });
    let rollout = fleet.roll_out(body).await;
    fleet.until_ran(DB, Op::Switch, 2).await;
    let paused = fleet.verb(rollout, "pause").await;
    assert_eq!(paused["state"], "paused", "{paused:#}");
    // What runs goes on to its end, and then not even its own next stage starts.
    fleet.tell(DB, HostCommand::Switch, Habit::Works);
    fleet.settled(Situation::Switched, &[DB]).await;
    for host in HOSTS {
        fleet.waits(rollout, host, WaitCode::Paused).await;
    }
    assert_eq!(fleet.ran(DB, Op::Test), 1);
    for host in [WEB, LAB] {
        assert_eq!(fleet.journal(host)[&Op::Pull], 1, "only the bring-up");
    }
    // A pause survives a restart.
    fleet.kill_server();
    good(fleet.start_server().await);
    fleet.all_online().await;
    let view = fleet.rollout_is(rollout, RolloutState::Paused).await;
    assert!(view.offers.contains(&VerbName::Resume));
    assert_eq!(fleet.ran(DB, Op::Test), 1);

    fleet.verb(rollout, "resume").await;
    fleet.rollout_is(rollout, RolloutState::Complete).await;
    fleet.settled(Situation::Current, &HOSTS).await;
    for host in HOSTS {
        assert_eq!(fleet.ran(host, Op::Switch), 2);
        assert_eq!(fleet.ran(host, Op::Test), 2);
    }
    fleet.end().await;
}

#[tokio::test]
async fn what_was_rolled_back_is_not_deployed_again_by_any_automation() {
    let environment = [
        ("NIXFLEET_AUTO_MERGE", "true"),
        ("NIXFLEET_AUTO_MERGE_DELAY", "1s"),
    ];
    let mut fleet = ForgedFleet::current(&paths(), &HOSTS, &environment).await;
    let old_lock = lock_of(&fleet, "main");
    fleet.tell(LAB, HostCommand::Switch, Habit::Fails);
    fleet.forge.open_update_pr(42, "nixpkgs");
    fleet.check().await;
    let job = fleet
        .job(42, "its rollout", |job| job.rollout.is_some())
        .await;
    let rollout = job.rollout.unwrap();
    fleet.rollout_is(rollout, RolloutState::Failed).await;
    let bad = fleet.main();
    let bad_lock = lock_of(&fleet, "main");
    fleet.verb(rollout, "roll-back").await;
    fleet
        .rollout_until(rollout, "the rollback", |view| {
            view.state.is_terminal() && on(view, DB).rolled_back.is_some()
        })
        .await;
    for host in [DB, WEB] {
        assert_eq!(fleet.ran(host, Op::Rollback), 1);
        fleet.settled(Situation::RolledBack, &[host]).await;
        let about = fleet.about(host).await;
        assert!(
            about["attentions"].to_string().contains("held"),
            "{about:#}"
        );
    }
    let known: Value = fleet.get("/api/v1/quarantine").await;
    assert_eq!(
        known["quarantine"][0]["target"]["commit"],
        bad.to_string(),
        "{known:#}"
    );
    let answer = fleet
        .ask(Method::POST, "/api/v1/rollouts/plan", &json!({}))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (409, "quarantined")
    );

    // Somebody takes it back in the repository, and the robot proposes the same lock again.
    fleet.commit("flake.lock", &old_lock);
    fleet.tell(LAB, HostCommand::Switch, Habit::Works);
    let merges = fleet.merge_calls().len();
    {
        let mut state = fleet.forge.state();
        let main = state.git.head("main").unwrap();
        let files: [(&str, Option<&[u8]>); 1] = [("flake.lock", Some(&bad_lock))];
        let head = state.commit_to("refs/heads/update/43", &main, &files, "flake.lock: Update");
        let pull = state.robot_pull(43, "update/43");
        state.pulls.insert(43, pull);
        let check =
            nixfleet_tests::forge::FakeCheck::Run("build".to_owned(), "completed", Some("success"));
        state.checks.insert(head, vec![check]);
    }
    fleet.check().await;
    fleet
        .listed(43, "to meet every condition", |pr| pr.eligible)
        .await;
    let why = fleet
        .updates_until("the gate of the quarantine", |updates| {
            let gate = serde_json::to_value(&updates.auto.gates).ok()?;
            let mut gates = gate.as_array()?.iter();
            let found = gates.find(|one| one["gate"] == "quarantine")?;
            (found["finding"] == "fail").then(|| found["why"].to_string())
        })
        .await;
    assert!(why.contains("quarantined"), "{why}");
    let told = fleet
        .live_until("the refusal to be told", |seen| {
            let mut events = seen.state().events.values();
            let refused = events.find(|one| one.code == "auto-merge-refused")?;
            Some(refused.text.clone())
        })
        .await;
    assert!(good(told).contains("quarantined"));
    assert_eq!(fleet.merge_calls().len(), merges);

    // A newer update is another target.
    fleet.forge.open_update_pr(44, "disko");
    fleet.check().await;
    let job = fleet
        .job(44, "its rollout", |job| job.rollout.is_some())
        .await;
    fleet
        .rollout_is(job.rollout.unwrap(), RolloutState::Complete)
        .await;
    fleet.settled(Situation::Current, &HOSTS).await;
    assert_eq!(fleet.merge_calls().len(), merges + 1);
    assert_ne!(fleet.main(), bad);
    let now = Timestamp::from_millis(unix_seconds() * 1000);
    assert!(job.created <= now);
    fleet.end().await;
}

fn lock_of(fleet: &ForgedFleet, name: &str) -> Vec<u8> {
    let state = fleet.forge.state();
    state.git.file(name, "flake.lock").unwrap()
}
