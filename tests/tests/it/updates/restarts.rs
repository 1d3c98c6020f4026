//! The server is killed in the middle of merges and rollouts.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nixfleet_core::Op;
use nixfleet_core::rollout::{HostStage, RolloutState, RolloutView, WaitCode};
use nixfleet_core::update::JobState;
use nixfleet_tests::fleet::{Fleet, PATIENCE, good};
use nixfleet_tests::forge::{Cut, Fault, Route};
use nixfleet_tests::forged::{ForgedFleet, on};
use nixfleet_tests::host::{Habit, HostCommand};
use nixfleet_tests::rows::Situation;
use nixfleet_tests::wait::until;
use serde_json::json;

use crate::fleet::paths;

const WEB: &str = "web-1";
const DB: &str = "db-1";
const LAB: &str = "lab-1";
const HOSTS: [&str; 3] = [WEB, DB, LAB];

async fn restart(fleet: &mut Fleet) {
    fleet.kill_server();
    good(fleet.start_server().await);
    fleet.all_online().await;
}

/// Bring-up and one rollout, each step once on every host.
fn each_step_once(fleet: &ForgedFleet) {
    for host in HOSTS {
        for op in [Op::Pull, Op::Switch, Op::Test] {
            assert_eq!(fleet.journal(host)[&op], 2, "{host}: {}", op.name());
        }
        assert_eq!(fleet.ran(host, Op::Switch), 2, "{host}");
        assert_eq!(fleet.ran(host, Op::Test), 2, "{host}");
    }
}

/// A `git` that fetches only while a file is away.
struct Gate(PathBuf);

impl Gate {
    fn before_git(fleet: &mut ForgedFleet) -> Self {
        let folder = fleet.folder().join("gated");
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("closed");
        let path = std::env::var("PATH").unwrap();
        let git = std::env::split_paths(&path)
            .map(|folder| folder.join("git"))
            .find(|git| git.is_file())
            .unwrap();
        let script = format!(
            "#!/bin/sh\ncase \" $* \" in *' fetch '*) while [ -e '{}' ]; do sleep 0.02; done;; esac\n\
             exec '{}' \"$@\"\n",
            file.display(),
            git.display()
        );
        write_program(&folder.join("git"), &script);
        let value = format!("{}:{path}", folder.display());
        let environment = &mut fleet.setup().agent_environment;
        environment.push(("PATH".to_owned(), value));
        Self(file)
    }

    fn close(&self) {
        std::fs::write(&self.0, "").unwrap();
    }

    fn open(&self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn write_program(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_merge_whose_answer_never_came_is_not_repeated_and_its_rollout_follows() {
    let mut fleet = ForgedFleet::current(&paths(), &HOSTS, &[]).await;
    fleet.forge.open_update_pr(42, "nixpkgs");
    fleet.find(42).await;
    // Carried out, but the answer is held back.
    fleet
        .forge
        .fail(Route::Merge, Fault::cut(Cut::StallBeforeHead));
    let before = fleet.main();
    let rollout = fleet.merge_and_deploy(42, json!({})).await;
    let called = until(
        PATIENCE,
        "the merge call",
        || (!fleet.merge_calls().is_empty()).then_some(()),
        || fleet.last_words(),
    );
    good(called.await);
    let merged = fleet.main();
    assert_ne!(merged, before, "the forge did it");
    restart(&mut fleet).await;
    fleet.rollout_is(rollout, RolloutState::Complete).await;
    fleet
        .job(42, "the end", |job| job.state == JobState::Completed)
        .await;
    fleet.settled(Situation::Current, &HOSTS).await;
    assert_eq!(fleet.merge_calls().len(), 1);
    assert_eq!(fleet.main(), merged);
    each_step_once(&fleet);
    fleet.end().await;
}

#[tokio::test]
async fn a_server_killed_during_pulls_and_switches_repeats_none_and_keeps_the_barrier() {
    let mut fleet = ForgedFleet::create(&paths(), &HOSTS, &[]).await;
    let gate = Gate::before_git(&mut fleet);
    fleet.start().await;
    fleet.bring_up(&HOSTS).await;
    fleet.forge.open_update_pr(42, "nixpkgs");
    fleet.find(42).await;

    gate.close();
    for host in HOSTS {
        fleet.tell(host, HostCommand::Switch, Habit::Waits);
    }
    let rollout = fleet.merge_and_deploy(42, json!({})).await;
    let pulling = |view: &RolloutView| {
        let mut hosts = view.hosts.iter();
        hosts.all(|one| one.stage == Some(Op::Pull) && one.state == HostStage::Running)
    };
    fleet.rollout_until(rollout, "pulls", pulling).await;
    let begun = until(
        PATIENCE,
        "the agents to set about it",
        || {
            let mut hosts = HOSTS.iter();
            let all = hosts.all(|host| fleet.journal(host)[&Op::Pull] == 2);
            all.then_some(())
        },
        || fleet.last_words(),
    );
    good(begun.await);
    restart(&mut fleet).await;
    fleet
        .rollout_until(rollout, "the same pulls", pulling)
        .await;
    for host in HOSTS {
        assert_eq!(fleet.ran(host, Op::Switch), 1, "no barrier was skipped");
    }
    gate.open();

    for host in HOSTS {
        fleet.until_ran(host, Op::Switch, 2).await;
    }
    restart(&mut fleet).await;
    let switching = |view: &RolloutView| {
        let mut hosts = view.hosts.iter();
        hosts.all(|one| one.stage == Some(Op::Switch) && one.state == HostStage::Running)
    };
    fleet
        .rollout_until(rollout, "the same switches", switching)
        .await;
    for host in HOSTS {
        fleet.tell(host, HostCommand::Switch, Habit::Works);
    }
    fleet.rollout_is(rollout, RolloutState::Complete).await;
    fleet.settled(Situation::Current, &HOSTS).await;
    assert_eq!(fleet.merge_calls().len(), 1);
    each_step_once(&fleet);
    fleet.end().await;
}

#[tokio::test]
async fn a_server_killed_between_waves_skips_neither_soak_nor_approval() {
    let mut fleet = ForgedFleet::current(&paths(), &HOSTS, &[]).await;
    good(fleet.upstream.update(&["nixpkgs"]));
    fleet.settled(Situation::Merged, &HOSTS).await;
    for (host, priority) in [(DB, 1), (WEB, 2)] {
        let path = format!("/api/v1/hosts/{host}/settings");
        let settings = json!({ "priority": priority });
        fleet.granted(http::Method::PUT, &path, settings).await;
    }
    let policy = json!({ "canaries": { "hosts": [LAB] }, "soak_seconds": 3600,
                         "approve_waves": true });
    let rollout = fleet.roll_out(json!({ "policy": policy })).await;
    let soaks = fleet.waits(rollout, DB, WaitCode::Soaking).await;
    let until_then = soaks.wait.unwrap().until;
    restart(&mut fleet).await;
    // The gap while everybody was away may move the end of the soak, never its beginning back.
    let soaks = fleet.waits(rollout, DB, WaitCode::Soaking).await;
    assert!(soaks.wait.unwrap().until >= until_then);
    for host in [DB, WEB] {
        assert_eq!(fleet.journal(host)[&Op::Pull], 1, "only the bring-up");
    }
    fleet.verb(rollout, "cancel").await;
    fleet.rollout_is(rollout, RolloutState::Cancelled).await;

    let policy = json!({ "canaries": { "hosts": [DB] }, "soak_seconds": 1,
                         "approve_waves": true });
    let rollout = fleet
        .roll_out(json!({ "policy": policy, "hosts": [DB, WEB] }))
        .await;
    fleet
        .rollout_is(rollout, RolloutState::AwaitingApproval)
        .await;
    restart(&mut fleet).await;
    let view = fleet
        .rollout_is(rollout, RolloutState::AwaitingApproval)
        .await;
    assert_eq!(on(&view, DB).state, HostStage::Done);
    assert_eq!(fleet.journal(WEB)[&Op::Pull], 1, "only the bring-up");
    fleet.verb(rollout, "approve").await;
    fleet.rollout_is(rollout, RolloutState::Complete).await;
    fleet.settled(Situation::Current, &HOSTS).await;
    each_step_once(&fleet);
    fleet.end().await;
}

#[tokio::test]
async fn a_server_killed_again_and_again_gets_there_all_the_same() {
    let mut fleet = ForgedFleet::current(&paths(), &HOSTS, &[]).await;
    fleet.forge.open_update_pr(42, "nixpkgs");
    fleet.find(42).await;
    let body = json!({ "policy": { "max_in_flight": { "count": 1 } } });
    let rollout = fleet.merge_and_deploy(42, body).await;
    let steps = |fleet: &ForgedFleet| -> usize {
        let hosts = HOSTS.iter();
        hosts
            .map(|host| fleet.journal(host).values().sum::<usize>())
            .sum()
    };
    let mut kills = 0;
    loop {
        let before = steps(&fleet);
        let goes_on = until(
            PATIENCE,
            "another step, or the end",
            || {
                let seen = fleet.seen();
                let view = seen.state().rollouts.get(&rollout);
                let ended = view.is_some_and(|view| view.state.is_terminal());
                (ended || steps(&fleet) > before).then_some(ended)
            },
            || fleet.last_words(),
        );
        if good(goes_on.await) {
            break;
        }
        fleet.kill_server();
        good(fleet.start_server().await);
        kills += 1;
    }
    assert!(kills >= 5, "{kills} kills");
    fleet.rollout_is(rollout, RolloutState::Complete).await;
    fleet.settled(Situation::Current, &HOSTS).await;
    assert_eq!(fleet.merge_calls().len(), 1);
    each_step_once(&fleet);
    fleet.end().await;
}
