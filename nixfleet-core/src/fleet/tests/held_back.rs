//! Which commit a person's rollback leaves, where the host does not say it in full.

use super::*;
use crate::desired::RemoteHistory;
use crate::history::CommitHistory;
use crate::host::Hold;
use crate::ids::CommitRef;
use crate::lock::{LockHistory, LockVersion};

fn host() -> HostId {
    HOST.parse().unwrap()
}

/// A host that runs the desired commit 'b', after it ran 'a'.
fn switched() -> World {
    let mut world = current();
    world.remote('b');
    world.run(Op::Pull);
    assert_eq!(world.run(Op::Switch), Phase::Success);
    world
}

fn record(world: &mut World) -> &mut HostRecord {
    &mut world.fleet.hosts.get_mut(&host()).unwrap().record
}

fn says(world: &mut World, commit: Option<&str>) {
    let commit = commit.map(|text| text.parse::<CommitRef>().unwrap());
    let deployed = record(world).observation.deployed.as_mut();
    deployed.unwrap().commit = commit;
}

fn hold(world: &World) -> Option<Hold> {
    world.fleet.host(&host()).unwrap().hold.clone()
}

fn quarantined(world: &World) -> Vec<(CommitId, Option<LockHash>)> {
    let quarantine = world.fleet.quarantine().iter();
    quarantine
        .map(|one| (one.target.commit, one.target.lock))
        .collect()
}

#[test]
fn what_nobody_can_name_is_not_quarantined_and_the_host_is_held_alone() {
    for known_then in [true, false] {
        let mut world = switched();
        says(&mut world, None);
        if !known_then {
            world.cut_remote();
        }
        assert_eq!(world.run(Op::Rollback), Phase::Success);
        assert!(quarantined(&world).is_empty());
        assert_eq!(hold(&world).unwrap().why, "rolled back");
        world.remote('b');
        world.restart_server();
        world.remote('b');
        assert!(hold(&world).is_some(), "nothing newer is desired");
        world.remote('c');
        assert_eq!(hold(&world), None);
        assert!(world.fleet.settings.held_back.is_empty());
    }
}

#[test]
fn an_abbreviated_commit_is_looked_up_among_all_that_are_known() {
    let other: CommitId = format!("{}c", "b".repeat(39)).parse().unwrap();
    let history = |commits: Vec<CommitId>, locks: Vec<CommitId>| {
        let version = |commit| LockVersion {
            commit,
            hash: lock('l'),
            time: Timestamp::EPOCH,
            summary: None,
        };
        Some(Arc::new(RemoteHistory {
            commits: CommitHistory::new(commits),
            locks: LockHistory::new(locks.into_iter().map(version).collect()),
        }))
    };
    let b = commit('b');
    for (history, desired, expected) in [
        (None, 'b', Some((b, Some(lock('b'))))),
        (
            history(vec![commit('c'), b], vec![]),
            'c',
            Some((b, Some(lock('b')))),
        ),
        (
            history(vec![commit('c')], vec![b]),
            'c',
            Some((b, Some(lock('b')))),
        ),
        (history(vec![b, other], vec![]), 'b', None),
        (history(vec![other], vec![b]), 'c', None),
        (None, 'c', None),
    ] {
        let mut world = switched();
        world.remote(desired);
        says(&mut world, Some("bbbbbbb"));
        world.fleet.desired.history = history;
        assert_eq!(world.run(Op::Rollback), Phase::Success);
        assert_eq!(quarantined(&world), Vec::from_iter(expected));
        let why = hold(&world).unwrap().why;
        assert_eq!(why, "rolled back from bbbbbbb");
    }
}

#[test]
fn where_the_record_is_about_another_system_the_list_of_generations_tells() {
    let mut world = switched();
    let running = record(&mut world).observation.system.clone().unwrap().path;
    let record = record(&mut world);
    let deployed = record.observation.deployed.as_mut().unwrap();
    deployed.store_path = "/system/elsewhere".parse().ok();
    for one in &mut record.observation.generations {
        let is_running = one.path == running;
        one.commit = Some(commit(if is_running { 'd' } else { 'a' }).into());
    }
    world.ask(Op::Rollback).unwrap();
    // The agent's own list, told with its result, keeps what it said.
    let told = world
        .fleet
        .hosts
        .get(&host())
        .unwrap()
        .record
        .observation
        .generations
        .clone();
    assert!(
        told.iter()
            .any(|one| one.commit == Some(commit('d').into()))
    );
    let id = world.fleet.hosts.get(&host()).unwrap().open[0];
    let command = &world.fleet.commands[&id];
    assert_eq!(world.fleet.left_by(command), Some(commit('d').into()));
}
