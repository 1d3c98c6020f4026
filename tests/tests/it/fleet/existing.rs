//! An agent of an existing installation: no ids, seven digits, results told apart by name.

use std::collections::BTreeMap;

use nixfleet_core::{Op, Phase, Status};
use nixfleet_tests::existing::{ExistingAgent, ExistingSetup};
use nixfleet_tests::fleet::{Fleet, PATIENCE, good, told};
use nixfleet_tests::rows::{Row, Situation};
use nixfleet_tests::wait::until;

use super::paths;

const ATTIC: &str = "attic-1";

async fn with_existing() -> (Fleet, ExistingAgent) {
    let mut fleet = Fleet::create(Fleet::setup(&paths(), &["web-1"]));
    good(fleet.start_server().await);
    let setup = ExistingSetup {
        origin: good(fleet.api()).origin().to_owned(),
        token: fleet.agent_token().to_owned(),
        hostname: ATTIC.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        remote: fleet.upstream.remote().clone(),
    };
    let agent = good(ExistingAgent::start(setup));
    (fleet, agent)
}

#[tokio::test]
async fn it_registers_reports_and_executes() {
    let (mut fleet, agent) = with_existing().await;
    fleet.settled(Situation::ExistingNew, &[ATTIC]).await;
    let about = fleet.about(ATTIC).await;
    assert_eq!(about["location"], "attic", "{about:#}");
    agent.tell_lock_hash();
    fleet.settled(Situation::NeverDeployed, &[ATTIC]).await;

    good(fleet.upstream.update(&["nixpkgs"]));
    let (git, never) = (Status::Outdated, Status::Unknown);
    let merged = Row([Status::Ok, git, git, git, never]);
    fleet
        .shows(&BTreeMap::from([(ATTIC.to_owned(), merged)]))
        .await;
    fleet.run(Op::Pull, &[ATTIC]).await;
    fleet.run(Op::Switch, &[ATTIC]).await;
    fleet.settled(Situation::Switched, &[ATTIC]).await;
    fleet.run(Op::Test, &[ATTIC]).await;
    fleet.settled(Situation::ExistingTested, &[ATTIC]).await;
    let about = fleet.about(ATTIC).await;
    let reason = &about["compartments"]["tests"]["reason"];
    assert_eq!(
        reason, "tests-unverified",
        "a pass it tells is only its word: {about:#}"
    );
    assert_eq!(agent.executed(), ["pull", "switch", "test"]);

    // That they failed is believed.
    agent.fail(Some("test"));
    let failing = fleet.begin(Op::Test, &[ATTIC]).await;
    fleet.finished(&failing).await;
    let ok = Status::Ok;
    let failed = Row([ok, ok, ok, ok, Status::Error]);
    fleet
        .shows(&BTreeMap::from([(ATTIC.to_owned(), failed)]))
        .await;
    fleet.end().await;
}

#[tokio::test]
async fn a_stop_ends_its_command_and_the_second_result_changes_nothing() {
    let (mut fleet, agent) = with_existing().await;
    agent.tell_lock_hash();
    fleet.settled(Situation::NeverDeployed, &[ATTIC]).await;
    agent.wait_in_commands(true);
    let test = fleet.begin(Op::Test, &[ATTIC]).await;
    let running = until(PATIENCE, "the test to run", || agent.running(), String::new);
    assert_eq!(good(running.await), "test");
    good(good(fleet.api()).stop(ATTIC).await);
    let ended = fleet.finished(&test).await.remove(0);
    assert_eq!(ended.phase, Phase::Killed, "{}", told(&ended));
    agent.wait_in_commands(false);
    // The next command of the same name is a new one: neither result of the first ends it.
    fleet.run(Op::Switch, &[ATTIC]).await;
    fleet.run(Op::Test, &[ATTIC]).await;
    assert_eq!(agent.executed(), ["test", "switch", "test"]);
    fleet.end().await;
}

#[tokio::test]
async fn a_restart_of_the_server_sends_nothing_again() {
    let (mut fleet, agent) = with_existing().await;
    agent.tell_lock_hash();
    fleet.settled(Situation::NeverDeployed, &[ATTIC]).await;
    agent.wait_in_commands(true);
    let switch = fleet.begin(Op::Switch, &[ATTIC]).await;
    let running = until(
        PATIENCE,
        "the switch to run",
        || agent.running(),
        String::new,
    );
    good(running.await);
    fleet.kill_server();
    good(fleet.start_server().await);
    fleet.online(ATTIC).await;
    agent.wait_in_commands(false);
    let ended = fleet.finished(&switch).await.remove(0);
    assert!(ended.phase.is_terminal(), "{}", told(&ended));
    assert_eq!(agent.executed(), ["switch"]);
    fleet.run(Op::Switch, &[ATTIC]).await;
    assert_eq!(agent.executed(), ["switch", "switch"], "positive control");
    fleet.end().await;
}
