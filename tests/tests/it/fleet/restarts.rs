//! Server and agents are killed and started again.

use nixfleet_core::{Op, Phase, Status};
use nixfleet_tests::fleet::{Fleet, good, told};
use nixfleet_tests::host::{Habit, HostCommand};
use nixfleet_tests::rows::Situation;

use super::paths;

const WEB: &str = "web-1";
const DB: &str = "db-1";
/// Place of `system` in a row.
const SYSTEM: usize = 3;

/// One of the two is killed while this switch is executed, and started again.
async fn in_the_middle_of_a_switch(kill: impl FnOnce(&mut Fleet)) -> Fleet {
    let mut fleet = Fleet::current(&paths(), &[WEB, DB]).await;
    good(fleet.upstream.update(&["nixpkgs"]));
    fleet.settled(Situation::Merged, &[WEB, DB]).await;
    fleet.run(Op::Pull, &[WEB, DB]).await;
    fleet.settled(Situation::Pulled, &[WEB, DB]).await;

    fleet.tell(WEB, HostCommand::Switch, Habit::Waits);
    let switch = fleet.begin(Op::Switch, &[WEB]).await;
    fleet.until_executing(WEB, switch[0]).await;
    fleet.until_status(WEB, SYSTEM, Status::Working).await;
    let before = fleet.rows().await;
    kill(&mut fleet);
    if fleet.server().is_none() {
        good(fleet.start_server().await);
    }
    if fleet.agent(WEB).is_none() {
        good(fleet.start_agent(WEB));
    }
    fleet.all_online().await;
    fleet.until_status(WEB, SYSTEM, Status::Working).await;
    assert_eq!(fleet.rows().await, before);

    fleet.tell(WEB, HostCommand::Switch, Habit::Works);
    let ended = fleet.finished(&switch).await.remove(0);
    assert_eq!(ended.phase, Phase::Success, "{}", told(&ended));
    fleet.settled(Situation::Switched, &[WEB]).await;
    fleet.settled(Situation::Pulled, &[DB]).await;
    fleet.ran_once();
    // The count would show a second run: one more command is one more execution.
    let count = fleet.executions(WEB).len();
    fleet.run(Op::Test, &[WEB]).await;
    assert_eq!(fleet.executions(WEB).len(), count + 1);
    fleet.settled(Situation::Current, &[WEB]).await;
    fleet.ran_once();
    fleet
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_a_command_resumes_it() {
    let fleet = in_the_middle_of_a_switch(|fleet| fleet.kill_server()).await;
    fleet.end().await;
}

#[tokio::test]
async fn an_agent_killed_in_the_middle_of_a_command_finds_it_again() {
    let fleet = in_the_middle_of_a_switch(|fleet| fleet.kill_agent(WEB)).await;
    fleet.end().await;
}

#[tokio::test]
async fn both_killed_in_the_middle_of_a_command_settle_it_together() {
    let fleet = in_the_middle_of_a_switch(|fleet| {
        fleet.kill_server();
        fleet.kill_agent(WEB);
    })
    .await;
    fleet.end().await;
}

#[tokio::test]
async fn a_command_that_ends_while_the_server_is_away_is_settled_by_the_agents_record() {
    let mut fleet = Fleet::current(&paths(), &[WEB]).await;
    good(fleet.upstream.update(&["nixpkgs"]));
    fleet.settled(Situation::Merged, &[WEB]).await;
    fleet.run(Op::Pull, &[WEB]).await;
    fleet.tell(WEB, HostCommand::Switch, Habit::Waits);
    let switch = fleet.begin(Op::Switch, &[WEB]).await;
    fleet.until_executing(WEB, switch[0]).await;
    let before = good(good(fleet.host(WEB)).running());
    fleet.kill_server();
    fleet.tell(WEB, HostCommand::Switch, Habit::Works);
    let moved = nixfleet_tests::wait::until(
        nixfleet_tests::fleet::PATIENCE,
        "the system to move",
        || (good(good(fleet.host(WEB)).running()) != before).then_some(()),
        String::new,
    );
    good(moved.await);
    good(fleet.start_server().await);
    let ended = fleet.finished(&switch).await.remove(0);
    assert_eq!(ended.phase, Phase::Success, "{}", told(&ended));
    fleet.settled(Situation::Switched, &[WEB]).await;
    fleet.ran_once();
    fleet.end().await;
}

#[tokio::test]
async fn after_a_restart_of_everything_the_rows_are_the_same() {
    let hosts = [WEB, DB];
    let mut fleet = Fleet::current(&paths(), &hosts).await;
    good(good(fleet.api()).add_host("spare-1").await);
    good(fleet.upstream.update(&["disko"]));
    fleet.settled(Situation::Merged, &hosts).await;
    fleet.run(Op::Pull, &hosts).await;
    fleet.run(Op::Switch, &[WEB]).await;
    fleet.run(Op::Test, &[WEB]).await;
    fleet.tell(DB, HostCommand::Switch, Habit::Fails);
    let failing = fleet.begin(Op::Switch, &[DB]).await;
    assert_eq!(fleet.finished(&failing).await[0].phase, Phase::Error);
    fleet.settled(Situation::Current, &[WEB]).await;
    fleet.settled(Situation::SwitchFailed, &[DB]).await;
    fleet.settled(Situation::Announced, &["spare-1"]).await;

    let rows = fleet.rows().await;
    assert_eq!(rows.len(), 3);
    for politely in [true, false] {
        if politely {
            good(fleet.stop_server().await);
            good(fleet.stop_agent(WEB).await);
            good(fleet.stop_agent(DB).await);
        } else {
            fleet.kill_server();
            fleet.kill_agent(WEB);
            fleet.kill_agent(DB);
        }
        // Before any agent is back: what is known is known.
        good(fleet.start_server().await);
        fleet.shows(&rows).await;
        good(fleet.start_agents());
        fleet.all_online().await;
        fleet.shows(&rows).await;
        fleet.ran_once();
    }
    good(fleet.upstream.remote().cut());
    fleet.settled(Situation::RemoteGone, &[WEB]).await;
    good(fleet.stop_server().await);
    good(fleet.start_server().await);
    fleet.settled(Situation::RemoteGone, &[WEB]).await;
    fleet
        .settled(Situation::RemoteGoneNeverSeen, &["spare-1"])
        .await;
    fleet.end().await;
}

#[tokio::test]
async fn a_stopped_switch_is_red_and_its_processes_are_gone() {
    let mut fleet = Fleet::current(&paths(), &[WEB]).await;
    good(fleet.upstream.update(&["nixpkgs"]));
    fleet.settled(Situation::Merged, &[WEB]).await;
    fleet.run(Op::Pull, &[WEB]).await;
    fleet.tell(WEB, HostCommand::Switch, Habit::Waits);
    let switch = fleet.begin(Op::Switch, &[WEB]).await;
    fleet.until_executing(WEB, switch[0]).await;
    let before = good(good(fleet.host(WEB)).running());
    good(good(fleet.api()).stop(WEB).await);
    let ended = fleet.finished(&switch).await.remove(0);
    assert_eq!(ended.phase, Phase::Killed, "{}", told(&ended));
    fleet.settled(Situation::SwitchFailed, &[WEB]).await;
    // Had it survived, it would now go on and move the system.
    fleet.tell(WEB, HostCommand::Switch, Habit::Works);
    fleet.run(Op::Test, &[WEB]).await;
    assert_eq!(good(good(fleet.host(WEB)).running()), before);
    fleet.run(Op::Switch, &[WEB]).await;
    assert_ne!(good(good(fleet.host(WEB)).running()), before);
    fleet.ran_once();
    fleet.end().await;
}
