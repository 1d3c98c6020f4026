//! Spec 01, "Expected rows", through real observations and desired states.

use nixfleet_core::compartment::facts::{CommitFact, Facts};
use nixfleet_core::desired::{Remote, RemoteCause, Unavailable};
use nixfleet_core::host::{DeployOutcome, LockReport, RunningSystem, TestVerdict};
use nixfleet_core::{ClaimedRevision, Status};

use super::compartments_world::{World, abbreviated, commit, lock, path};
use super::reference;

#[track_caller]
fn shows(world: &World, row: &str) {
    assert_eq!(world.row(), row);
    let plain = reference::compartments_text::judge(&world.situation());
    assert_eq!(plain.join(" "), row, "the reference disagrees");
}

#[test]
fn all_current_and_tests_passed() {
    shows(&World::current(), "ok ok ok ok ok");
}

#[test]
fn from_a_merged_update_to_green_again() {
    let mut world = World::current();
    world.remote_moves('b');
    shows(&world, "ok outdated outdated outdated outdated");
    world.pull();
    shows(&world, "ok ok ok outdated outdated");
    world.switch_ok();
    shows(&world, "ok ok ok ok outdated");
    world.test(TestVerdict::Pass);
    shows(&world, "ok ok ok ok ok");
}

#[test]
fn remote_unreachable_is_red_whatever_else_is_known() {
    let mut world = World::current();
    world.remote_fails(RemoteCause::Unreachable, "no route to host");
    shows(&world, "ok error error outdated outdated");
    let mut never = World::never_seen();
    never.remote_fails(RemoteCause::NotReadYet, "");
    shows(&never, "unknown error error outdated outdated");
}

#[test]
fn a_failed_switch_stays_red_until_a_deploy_succeeds() {
    let mut world = World::current();
    world.remote_moves('b');
    world.pull();
    world.switch_fails();
    shows(&world, "ok ok ok error outdated");
    world.remote_moves('c');
    shows(&world, "ok outdated outdated error outdated");
    world.pull();
    shows(&world, "ok ok ok error outdated");
    world.switch_ok();
    shows(&world, "ok ok ok ok outdated");
}

#[test]
fn a_successful_rollback_is_yellow() {
    let mut world = World::current();
    let before = world.observation.deployed.clone().unwrap();
    world.remote_moves('b');
    world.pull();
    world.switch_ok();
    world.test(TestVerdict::Fail);
    shows(&world, "ok ok ok ok error");
    world.activate("old", before.commit.unwrap(), before.lock);
    shows(&world, "ok ok ok outdated outdated");
}

#[test]
fn a_host_added_on_the_page_is_gray() {
    shows(
        &World::never_seen(),
        "unknown unknown unknown unknown unknown",
    );
}

fn existing() -> World {
    let mut world = World::never_seen();
    world.existing = true;
    world.connect();
    world.pull();
    world
}

#[test]
fn an_existing_agent_without_lock_hash_is_gray_below_git() {
    let mut world = existing();
    world.observation.repo.as_mut().unwrap().lock = LockReport::NotReported;
    shows(&world, "ok ok unknown unknown unknown");
}

#[test]
fn a_pass_reported_by_an_existing_agent_is_yellow_and_its_failure_is_red() {
    let mut world = existing();
    shows(&world, "ok ok ok unknown unknown");
    world.switch_ok();
    shows(&world, "ok ok ok ok outdated");
    world.test(TestVerdict::Pass);
    shows(&world, "ok ok ok ok outdated");
    world.test(TestVerdict::Fail);
    shows(&world, "ok ok ok ok error");
}

#[test]
fn tests_run_but_no_script_found() {
    let mut world = World::current();
    world.test(TestVerdict::Empty);
    shows(&world, "ok ok ok ok outdated");
}

#[test]
fn stopped_operations() {
    let mut world = World::current();
    world.switch_fails();
    world.deploy.detail = Some("stopped by user".to_owned());
    shows(&world, "ok ok ok error outdated");
    let mut world = World::current();
    world.test(TestVerdict::Stopped);
    shows(&world, "ok ok ok ok error");
    world.test(TestVerdict::Void);
    shows(&world, "ok ok ok ok outdated");
}

#[test]
fn only_one_half_of_the_remote_missing() {
    let gone = || Unavailable::new(RemoteCause::LockMissing, "");
    let mut world = World::current();
    if let Remote::Verified(snapshot) = &mut world.desired.remote {
        snapshot.lock = Err(gone());
    }
    shows(&world, "ok ok error outdated outdated");
    let mut world = World::current();
    if let Remote::Verified(snapshot) = &mut world.desired.remote {
        snapshot.commit = Err(gone());
    }
    shows(&world, "ok error ok outdated outdated");
}

#[test]
fn a_checkout_without_lock_file_is_outdated() {
    let mut world = World::current();
    world.observation.repo.as_mut().unwrap().lock = LockReport::Missing;
    shows(&world, "ok ok outdated outdated outdated");
}

#[test]
fn local_changes_are_yellow_even_at_the_desired_commit() {
    let mut world = World::current();
    world.observation.repo.as_mut().unwrap().dirty = true;
    shows(&world, "ok outdated ok outdated outdated");
}

#[test]
fn switched_by_hand_or_booted_into_an_old_generation() {
    let mut world = World::current();
    world
        .observation
        .system
        .as_mut()
        .unwrap()
        .configuration_revision = Some(commit('9').into());
    shows(&world, "ok ok ok outdated outdated");
    let mut world = World::current();
    world.observation.system.as_mut().unwrap().path = Some(path("other"));
    shows(&world, "ok ok ok outdated outdated");
}

/// Once the name of what runs is gone, nobody knows that the deployed system still runs.
#[test]
fn a09_a_running_path_that_is_no_longer_seen_turns_nothing_green() {
    let mut world = World::current();
    shows(&world, "ok ok ok ok ok");
    world.observation.system.as_mut().unwrap().path = None;
    shows(&world, "ok ok ok outdated outdated");
    world.observation.system = None;
    shows(&world, "ok ok ok outdated outdated");
    // Positive control: a host whose record never named one is judged by the record alone.
    world.observation.deployed.as_mut().unwrap().store_path = None;
    world.tests = None;
    shows(&world, "ok ok ok ok outdated");
}

/// A claim that is no commit was dropped where it came in, so that the record alone decided: green.
#[test]
fn a_running_system_that_claims_no_commit_is_never_green() {
    let dirty = format!("{}-dirty", commit('a'));
    for claim in [dirty.as_str(), "aaaaaaa-dirty", "dirty", "unknown", "a"] {
        let claim: ClaimedRevision = claim.parse().unwrap();
        let mut world = World::current();
        let system = world.observation.system.as_mut().unwrap();
        system.configuration_revision = Some(claim.clone());
        shows(&world, "ok ok ok outdated outdated");
        // Neither an unknown store path nor a missing record makes it look better.
        world.observation.system.as_mut().unwrap().path = None;
        shows(&world, "ok ok ok outdated outdated");
        world.observation.deployed = None;
        shows(&world, "ok ok ok outdated outdated");
        // Positive control: without the claim the record decides.
        let mut world = World::current();
        let system = world.observation.system.as_mut().unwrap();
        system.configuration_revision = None;
        world.tests = None;
        shows(&world, "ok ok ok ok outdated");
        // Never deployed here, and it says itself that it is not the desired commit.
        let mut world = World::never_seen();
        world.connect();
        world.pull();
        let system = world.observation.system.as_mut().unwrap();
        system.configuration_revision = Some(claim);
        shows(&world, "ok ok ok outdated unknown");
        world.remote_fails(RemoteCause::TimedOut, "10 s");
        shows(&world, "ok error error outdated outdated");
    }
}

#[test]
fn without_a_record_the_claim_of_the_running_system_decides() {
    let mut world = World::never_seen();
    world.connect();
    world.pull();
    shows(&world, "ok ok ok unknown unknown");
    let claims = |digit| RunningSystem {
        path: Some(path("hand-made")),
        configuration_revision: Some(commit(digit).into()),
        ..RunningSystem::default()
    };
    world.observation.system = Some(claims('9'));
    shows(&world, "ok ok ok outdated unknown");
    world.observation.system = Some(claims('a'));
    shows(&world, "ok ok ok ok outdated");
    world.remote_moves('b');
    shows(&world, "ok outdated outdated outdated unknown");
}

#[test]
fn without_a_record_tests_count_for_the_claimed_commit_and_desired_lock() {
    let mut world = World::current();
    world.observation.deployed = None;
    shows(&world, "ok ok ok ok ok");
    let key = world.tests.as_mut().unwrap().key.as_mut().unwrap();
    key.lock = lock("another");
    shows(&world, "ok ok ok ok outdated");
}

#[test]
fn a_deployment_that_nobody_recorded_is_yellow_not_gray() {
    let mut world = existing();
    world.deploy.outcome = DeployOutcome::Ok;
    shows(&world, "ok ok ok outdated outdated");
}

#[test]
fn an_unknown_outcome_is_yellow_until_it_is_settled() {
    let mut world = World::current();
    world.switch_outcome_unknown();
    shows(&world, "ok ok ok outdated outdated");
    world.deploy.needs_reconcile = false;
    shows(&world, "ok ok ok ok ok");
}

#[test]
fn a_deploy_from_a_dirty_or_changing_tree_is_yellow() {
    let mut world = World::current();
    world.observation.deployed.as_mut().unwrap().clean = false;
    shows(&world, "ok ok ok outdated outdated");
    let mut world = World::current();
    world.observation.deployed.as_mut().unwrap().commit = None;
    shows(&world, "ok ok ok outdated outdated");
}

#[test]
fn tests_switched_off_are_gray() {
    let mut world = World::current();
    world.tests_enabled = false;
    shows(&world, "ok ok ok ok unknown");
}

#[test]
fn abbreviated_commits_match_only_where_that_is_certain() {
    let mut world = existing();
    shows(&world, "ok ok ok unknown unknown");
    // With a history, exactly one commit may begin with these digits.
    world.history(&['a', 'b']);
    shows(&world, "ok ok ok unknown unknown");
    let twin = format!("{}{}", "a".repeat(39), "0").parse().unwrap();
    let mut history = (**world.desired.history.as_ref().unwrap()).clone();
    history.commits = nixfleet_core::CommitHistory::new(vec![commit('a'), twin]);
    world.desired.history = Some(std::sync::Arc::new(history));
    shows(&world, "ok outdated ok outdated unknown");
    let repo = world.observation.repo.as_mut().unwrap();
    repo.commit = format!("{}{}", "a".repeat(38), "aa").parse().unwrap();
    shows(&world, "ok ok ok unknown unknown");
}

#[test]
fn the_place_of_a_commit_on_the_branch_is_told() {
    let mut world = World::current();
    world.history(&['d', 'c', 'b', 'a']);
    let fact = |world: &World| Facts::compare(&world.situation()).commit;
    assert_eq!(fact(&world), CommitFact::Current);
    world.remote_moves('c');
    assert_eq!(fact(&world), CommitFact::Behind);
    world.observation.repo.as_mut().unwrap().commit = commit('d').into();
    assert_eq!(fact(&world), CommitFact::Ahead);
    world.observation.repo.as_mut().unwrap().commit = commit('9').into();
    assert_eq!(fact(&world), CommitFact::NotOnBranch);
    world.observation.repo.as_mut().unwrap().commit = abbreviated(commit('b'));
    assert_eq!(fact(&world), CommitFact::Behind);
    world.remote_moves('7');
    assert_eq!(fact(&world), CommitFact::Different);
}

#[test]
fn an_agent_of_another_version_is_red() {
    for (version, status) in [
        ("v4.0.0+linux", Status::Ok),
        ("3.9.9", Status::Error),
        ("4.0.1", Status::Error),
        ("unstable", Status::Error),
        ("", Status::Error),
    ] {
        let mut world = World::current();
        world.observation.agent_version = Some(version.to_owned());
        assert_eq!(world.assess().statuses()[0], status, "{version}");
    }
}
