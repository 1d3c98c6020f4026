//! From an open pull request to hosts that run it, and what happens when a host fails or is away.

use nixfleet_core::rollout::{HostStage, RolloutState, SkipReason, VerbName};
use nixfleet_core::update::{JobState, Verdict};
use nixfleet_core::{Op, Status};
use nixfleet_tests::fleet::good;
use nixfleet_tests::forge::Route;
use nixfleet_tests::forged::{ForgedFleet, on};
use nixfleet_tests::host::{Habit, HostCommand};
use nixfleet_tests::rows::Situation;
use serde_json::{Value, json};

use crate::browser::Person;
use crate::fleet::paths;

const WEB: &str = "web-1";
const DB: &str = "db-1";
const LAB: &str = "lab-1";
const HOSTS: [&str; 3] = [WEB, DB, LAB];
const GREEN: &str = "ok ok ok ok ok";

fn lock_dot(host: &str) -> String {
    format!("[data-host=\"{host}\"] [data-compartment=lock]")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_found_merged_and_rolled_out_while_a_person_watches() {
    let Some(mut person) = Person::at("the update workflow on the page").await else {
        return;
    };
    let mut fleet = ForgedFleet::current(&paths(), &HOSTS, &[]).await;
    person.logs_in(&fleet).await;
    for host in HOSTS {
        person.sees_row(host, GREEN).await;
    }
    let pending = "document.querySelectorAll('.dot[data-pending=yes]').length";
    person.waits_for(&format!("{pending} === 0")).await;
    let before = fleet.main();

    let head = fleet.forge.open_update_pr(42, "nixpkgs");
    person.presses("a[href='#updates']").await;
    person
        .waits_for("document.querySelector('#updates [data-act=check]')")
        .await;
    person.presses("#updates [data-act=check]").await;
    let pr = fleet.listed(42, "to be listed", |_| true).await;
    assert_eq!(pr.head.to_string(), head);
    assert_eq!(pr.verdict, Verdict::Pass);
    assert_eq!(pr.inputs.len(), 1);

    // Every lock has it beside its status, over HTTP and on the page.
    for host in HOSTS {
        let about = fleet
            .until_told(host, "the pending update", |about| {
                about["attentions"].to_string().contains("update-pending")
            })
            .await;
        let lock = &about["compartments"]["lock"];
        assert_eq!(lock["status"], "ok", "{about:#}");
        let said = about["attentions"].to_string();
        assert!(said.contains("42"), "{about:#}");
        assert!(lock.to_string().contains("#42"), "{about:#}");
    }
    person.presses("a[href='#fleet']").await;
    let glows = format!(
        "{pending} === 3 && [...document.querySelectorAll('.dot[data-pending=yes]')].every((dot) => \
         dot.dataset.compartment === 'lock' && dot.dataset.status === 'ok' \
         && dot.querySelector('.shape').dataset.shape === 'pending' \
         && getComputedStyle(dot.querySelector('.shape')).filter.includes('drop-shadow') \
         && dot.getAttribute('aria-label').startsWith('Lock: ok, update pending') \
         && dot.getAttribute('aria-label').includes('Update PR pending: nixpkgs '))"
    );
    person.waits_for(&glows).await;
    // It is never counted as plain green.
    person.reads("#total-attentions", "3 hosts").await;
    person
        .waits_for("document.querySelector('#view-fleet').checkVisibility()")
        .await;
    person.browser.hover(&lock_dot(WEB)).await.unwrap();
    person
        .reads("#tooltip", "Update PR pending: nixpkgs ")
        .await;
    person.reads("#tooltip", "Merge PR #42").await;
    person.opens(WEB, "lock").await;
    person.reads("#details-status", "update pending").await;
    person
        .waits_for("document.querySelector('#details-actions [data-op=merge-pr]')")
        .await;
    person.browser.press("Escape").await.unwrap();
    person
        .waits_for("!document.querySelector('#details').open")
        .await;

    // Merge & Deploy shows its plan first, and does exactly that.
    person.presses("a[href='#updates']").await;
    person.presses("#updates .menu summary").await;
    person
        .presses("#updates [data-act='merge-and-deploy']")
        .await;
    person
        .waits_for("document.querySelector('#sheet [data-act=plan]')")
        .await;
    person.presses("#sheet [data-act=plan]").await;
    person
        .waits_for("document.querySelector('#sheet .plan-id')")
        .await;
    for host in HOSTS {
        person.reads("#sheet .waves", host).await;
    }
    assert_eq!(
        fleet.merge_calls().len(),
        0,
        "nothing before the confirmation"
    );
    for host in HOSTS {
        fleet.tell(host, HostCommand::Switch, Habit::Waits);
    }
    person.presses("#sheet [data-act=go]").await;

    let job = fleet
        .job(42, "the switches", |job| job.state == JobState::Switching)
        .await;
    let rollout = job.rollout.unwrap();
    let merges = fleet.merge_calls();
    assert_eq!(merges.len(), 1);
    assert_eq!(merges[0].request.json()["sha"], head, "law E1");
    let merged = fleet.main();
    assert_ne!(merged, before);
    // The barrier: every host has pulled before the first one switches.
    for host in HOSTS {
        fleet.until_ran(host, Op::Switch, 2).await;
        let row = fleet.about(host).await;
        assert_eq!(row["compartments"]["git"]["status"], "ok", "{row:#}");
    }
    let view = fleet
        .rollout_until(rollout, "the target", |view| view.target.is_some())
        .await;
    assert_eq!(
        view.target.unwrap().commit,
        merged,
        "exactly the merge commit"
    );
    person
        .waits_for("document.querySelector('.job')?.dataset.state === 'switching'")
        .await;
    person.reads(".job-progress", "0/3 hosts").await;
    for host in HOSTS {
        fleet.tell(host, HostCommand::Test, Habit::Waits);
        fleet.tell(host, HostCommand::Switch, Habit::Works);
    }
    person.reads(".job", "test running: 3").await;
    for (done, host) in (1..).zip(HOSTS) {
        fleet.tell(host, HostCommand::Test, Habit::Works);
        person
            .reads(".job-progress", &format!("{done}/3 hosts"))
            .await;
    }
    person
        .waits_for("document.querySelector('.job')?.dataset.state === 'completed'")
        .await;
    let view = fleet.rollout_is(rollout, RolloutState::Complete).await;
    assert_eq!((view.totals.targets, view.totals.done), (3, 3));
    fleet
        .job(42, "the end", |job| job.state == JobState::Completed)
        .await;
    fleet.settled(Situation::Current, &HOSTS).await;
    for host in HOSTS {
        assert_eq!(fleet.ran(host, Op::Switch), 2, "bring-up and rollout");
        assert_eq!(fleet.ran(host, Op::Test), 2);
        let journal = fleet.journal(host);
        assert_eq!(journal[&Op::Pull], 2, "{journal:?}");
        let about = fleet.about(host).await;
        assert!(!about["attentions"].to_string().contains("update-pending"));
    }
    person.presses("a[href='#fleet']").await;
    for host in HOSTS {
        person.sees_row(host, GREEN).await;
    }
    person.waits_for(&format!("{pending} === 0")).await;
    person.had_no_trouble().await;
    assert_eq!(fleet.merge_calls().len(), 1);
    let history: Value = fleet.get("/api/v1/updates/history").await;
    assert_eq!(history["merged"][0]["number"], 42, "{history:#}");
    assert_eq!(history["merged"][0]["hosts"].as_array().unwrap().len(), 3);
    let compat: Value = fleet.get("/api/flake-updates/status").await;
    assert!(compat.to_string().contains("completed"), "{compat:#}");
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_switch_stops_the_rollout_and_offers_every_way_back() {
    let Some(mut person) = Person::at("a failed deploy on the page").await else {
        return;
    };
    let mut fleet = ForgedFleet::current(&paths(), &HOSTS, &[]).await;
    let old = fleet.main();
    person.logs_in(&fleet).await;
    fleet.forge.open_update_pr(42, "nixpkgs");
    fleet.find(42).await;
    fleet.tell(DB, HostCommand::Switch, Habit::Fails);
    // One at a time, db-1 first: lab-1 and web-1 would follow.
    let body = json!({ "policy": { "max_in_flight": { "count": 1 } } });
    let rollout = fleet.merge_and_deploy(42, body).await;
    let view = fleet.rollout_is(rollout, RolloutState::Failed).await;
    assert_eq!(on(&view, DB).state, HostStage::Failed);
    for host in [LAB, WEB] {
        assert_eq!(on(&view, host).state, HostStage::Cancelled);
        assert_eq!(fleet.ran(host, Op::Switch), 1, "{host}: only the bring-up");
    }
    assert!(view.offers.contains(&VerbName::RollBack), "{view:#?}");
    let job = fleet
        .job(42, "the end", |job| job.state == JobState::Failed)
        .await;
    assert_eq!(job.rollout, Some(rollout));
    fleet.until_status(DB, 3, Status::Error).await;

    // What the rollback of the host would bring back is told before anybody confirms it.
    let known: Value = fleet.get(&format!("/api/v1/hosts/{DB}/generations")).await;
    let generations = known["generations"].as_array().unwrap();
    assert!(
        generations
            .iter()
            .any(|one| one["commit"] == old.to_string()),
        "{known:#}"
    );
    person.presses("a[href='#updates']").await;
    person
        .waits_for("document.querySelector('.job')?.dataset.state === 'failed'")
        .await;
    person.reads(".job", DB).await;
    person
        .waits_for("document.querySelector('.job [data-act=verb][data-verb=roll-back]')")
        .await;
    person
        .waits_for("document.querySelector('#updates [data-act=revert]')")
        .await;
    person.had_no_trouble().await;

    // The revert is a pull request, once.
    person.presses("#updates [data-act=revert]").await;
    person
        .waits_for("document.querySelector('#sheet [data-act=revert]')")
        .await;
    person.presses("#sheet [data-act=revert]").await;
    let revert = fleet
        .updates_until("the revert", |updates| {
            let merged = updates.merged.iter().find(|one| one.number.0 == 42)?;
            merged.revert.clone()
        })
        .await;
    let number = revert.number.unwrap();
    {
        let state = fleet.forge.state();
        let pull = &state.pulls[&number.0];
        assert!(pull.open);
        let head = pull.head(&state.repo, &state.git).unwrap();
        let reverted = state.git.file(&head, "flake.lock");
        assert_eq!(reverted, state.git.file(&old.to_string(), "flake.lock"));
    }
    let again = fleet
        .ask(
            http::Method::POST,
            "/api/v1/updates/42/revert",
            &json!({ "kind": "pull-request" }),
        )
        .await;
    assert_eq!(
        (again.status.as_u16(), again.code()),
        (409, "already-reverted")
    );
    assert_eq!(fleet.forge.requests_to(Route::NewPull).len(), 1);
    assert_eq!(fleet.merge_calls().len(), 1);

    // Positive control: the host was healthy, and the others do start once they are asked again.
    fleet.tell(DB, HostCommand::Switch, Habit::Works);
    let again = fleet.roll_out(json!({})).await;
    fleet.rollout_is(again, RolloutState::Complete).await;
    fleet.settled(Situation::Current, &HOSTS).await;
    assert_eq!(fleet.ran(WEB, Op::Switch), 2);
    fleet.end().await;
}

#[tokio::test]
async fn a_host_that_is_away_is_left_out_and_named_while_the_others_are_done() {
    let mut fleet = ForgedFleet::current(&paths(), &HOSTS, &[]).await;
    fleet.forge.open_update_pr(42, "nixpkgs");
    fleet.find(42).await;
    fleet.lose_agent(LAB).await;
    let body = json!({ "hosts": HOSTS });
    let plan = fleet.post("/api/v1/updates/42/plan", body.clone()).await;
    assert_eq!(plan["skipped"][0]["host"], LAB, "{plan:#}");
    assert_eq!(plan["skipped"][0]["reason"], "offline", "{plan:#}");
    let rollout = fleet.merge_and_deploy(42, body).await;
    let view = fleet.rollout_is(rollout, RolloutState::Partial).await;
    assert_eq!(view.totals.targets, 3);
    assert_eq!((view.totals.done, view.totals.skipped), (2, 1));
    let left_out = on(&view, LAB);
    assert_eq!(left_out.skipped, Some(SkipReason::Offline));
    assert!(left_out.message.is_some(), "since when: {left_out:?}");
    for host in [WEB, DB] {
        assert_eq!(on(&view, host).state, HostStage::Done);
    }
    fleet.settled(Situation::Current, &[WEB, DB]).await;
    assert_eq!(fleet.ran(LAB, Op::Switch), 1, "only the bring-up");
    // Once it is back it can have it, too.
    good(fleet.start_agent(LAB));
    fleet.online(LAB).await;
    let later = fleet.roll_out(json!({ "hosts": [LAB] })).await;
    fleet.rollout_is(later, RolloutState::Complete).await;
    fleet.settled(Situation::Current, &HOSTS).await;
    assert_eq!(fleet.ran(LAB, Op::Switch), 2);
    fleet.end().await;
}
