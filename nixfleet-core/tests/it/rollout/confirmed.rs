//! What was confirmed or wanted, and the world changed before it could start.

use nixfleet_core::fleet::{Reply, Request};
use nixfleet_core::rollout::{
    Ask, AskKind, HostStage, InFlight, Policy, RollBack, RolloutState, Stage, Verb,
};
use nixfleet_core::update::{Deploy, JobState, PrNumber, UpdatePolicy};
use nixfleet_core::{Op, RolloutId};

use super::field::{Field, ROLLOUT, host, target};
use crate::update::pull_requests::policy;

const OTHER: RolloutId = RolloutId::from_bytes([10; 16]);

fn by_hand() -> UpdatePolicy {
    UpdatePolicy {
        auto_merge: false,
        ..policy()
    }
}

fn job(field: &Field) -> (JobState, String) {
    let job = field.fleet.updates_view().unwrap().job.unwrap();
    (job.state, job.message)
}

fn merge(field: &mut Field, number: u64, deploy: Option<Deploy>) {
    let reply = field.ask(Request::MergePr {
        number: PrNumber(number),
        head: None,
        override_reason: None,
        deploy: deploy.map(Box::new),
        confirm: None,
    });
    assert!(matches!(reply, Reply::JobStarted { .. }), "{reply:?}");
}

fn deploy(field: &Field) -> Deploy {
    Deploy {
        rollout: ROLLOUT,
        hosts: field.everybody(),
        policy: Deploy::default_policy(),
    }
}

/// A rollout of a merged update fails and wants the update reverted, while the forge is slow about
/// another one.
#[test]
fn e09_a_revert_that_a_rollout_wants_waits_for_the_open_job_also_over_a_restart() {
    for crash in [false, true] {
        let mut field = Field::with_forge(2, None, by_hand());
        merge(&mut field, 42, None);
        field.remote(2);
        assert_eq!(field.merged.len(), 1);
        field.fails.insert((1, Op::Switch));
        let ask = Ask {
            hosts: field.everybody(),
            policy: Policy {
                roll_back: RollBack::AllHostsAndRevert,
                stages: vec![Stage::Pull, Stage::Switch],
                max_in_flight: InFlight::Count(1),
                ..Policy::default()
            },
            ..Ask::default()
        };
        field.start(ROLLOUT, ask);
        field.second = true;
        field.mute.insert(PrNumber(43));
        field.ask(Request::CheckUpdates);
        merge(&mut field, 43, None);
        field.finish(1);
        assert_eq!(field.state(), RolloutState::Failed);
        assert_eq!(job(&field).0, JobState::Merging, "still open");
        field.run_for(60);
        assert!(field.reverted.is_empty(), "one job at a time");
        if crash {
            field.crash();
        }
        field.run_for(3600);
        assert_eq!(field.reverted.len(), 1, "kept until the job was over");
        let view = field.fleet.updates_view().unwrap();
        let update = view.merged.iter().find(|one| one.number == PrNumber(42));
        assert!(update.unwrap().revert.is_some());
        field.run_for(3600);
        field.crash();
        field.run_for(3600);
        assert_eq!(field.reverted.len(), 1, "and asked for once");
    }
}

/// The automation does not merge what it could not roll out; it says why, and merges once it can.
#[test]
fn an_automatic_merge_waits_until_its_rollout_can_start() {
    let mut field = Field::with_forge(2, None, policy());
    let pipeline = Ask {
        hosts: field.everybody(),
        kind: AskKind::Pipeline("do-all".into()),
        ..Ask::default()
    };
    assert!(matches!(
        field.start(ROLLOUT, pipeline),
        Reply::RolloutStarted(_)
    ));
    assert_eq!(field.verb(Verb::Pause), Reply::Done);
    field.run_for(2 * 3600);
    assert!(field.merged.is_empty(), "{:?}", job(&field));
    let told = serde_json::to_string(&field.fleet.updates_view().unwrap().auto).unwrap();
    assert!(told.contains(&ROLLOUT.to_string()), "{told}");
    assert_eq!(field.verb(Verb::Cancel), Reply::Done);
    field.run_for(60);
    assert_eq!(field.merged.len(), 1, "positive control: the way is free");
    field.remote(2);
    field.run_for(3600);
    let (state, message) = job(&field);
    assert_eq!(state, JobState::Completed, "{message}");
}

/// Between its first look and its own reading of the pull request something gets in the way.
#[test]
fn an_automatic_merge_that_has_begun_is_not_made_when_its_rollout_cannot_start_any_more() {
    let mut field = Field::with_forge(2, None, policy());
    field.mute.insert(PrNumber(42));
    field.run_for(3700);
    assert_eq!(job(&field).0, JobState::Merging, "it is being read");
    let pipeline = Ask {
        hosts: field.everybody(),
        kind: AskKind::Pipeline("do-all".into()),
        ..Ask::default()
    };
    field.start(ROLLOUT, pipeline);
    field.verb(Verb::Pause);
    field.mute.clear();
    field.run_for(1200);
    assert!(field.merged.is_empty());
    let (state, message) = job(&field);
    assert_eq!(state, JobState::Failed);
    assert!(message.contains(&ROLLOUT.to_string()), "{message}");
}

#[test]
fn a_confirmed_host_that_was_removed_is_named_and_the_others_go_on() {
    let mut field = Field::with_forge(3, None, by_hand());
    let deploy = deploy(&field);
    merge(&mut field, 42, Some(deploy));
    field.go_away(1);
    field.remove(1).unwrap();
    field.remote(2);
    field.finish(1);
    let view = field.fleet.sync().state().rollouts[&ROLLOUT].clone();
    let left_out = view.hosts.iter().find(|one| one.host == host(1)).unwrap();
    let reason = serde_json::to_value(left_out.skipped).unwrap();
    assert_eq!(
        (left_out.state, reason),
        (HostStage::Skipped, "removed".into())
    );
    assert_eq!((view.totals.done, view.totals.targets), (2, 3));
    let (state, message) = job(&field);
    assert_eq!(state, JobState::Completed, "{message}");
    assert!(field.sequence().iter().all(|(own, _)| *own != host(1)));
}

#[test]
fn d02_nothing_goes_on_when_the_only_confirmed_canary_was_removed() {
    for canaries in [1, 2] {
        let mut field = Field::with_forge(3, None, by_hand());
        for index in 0..canaries {
            field.mark_as_canary(index);
        }
        let deploy = deploy(&field);
        merge(&mut field, 42, Some(deploy));
        field.go_away(0);
        field.remove(0).unwrap();
        field.remote(2);
        field.run_for(3600);
        let (state, message) = job(&field);
        if canaries == 1 {
            assert_eq!(state, JobState::Failed, "{message}");
            assert!(
                message.contains("canary") && message.contains("host-0"),
                "{message}"
            );
            assert!(field.sequence().is_empty());
        } else {
            assert_eq!(state, JobState::Completed, "{message}");
        }
    }
}

/// A rollout of the second commit that fails on one host of two.
fn failed() -> Field {
    let mut field = Field::new(2);
    field.remote(2);
    field.fails.insert((1, Op::Switch));
    start(&mut field, ROLLOUT);
    field.finish(1);
    field.fails.clear();
    assert_eq!(field.state(), RolloutState::Failed);
    field
}

fn start(field: &mut Field, id: RolloutId) {
    let ask = Ask {
        hosts: field.everybody(),
        policy: Policy {
            stages: vec![Stage::Pull, Stage::Switch],
            max_in_flight: InFlight::Count(1),
            ..Policy::default()
        },
        ..Ask::default()
    };
    let reply = field.start(id, ask);
    assert!(matches!(reply, Reply::RolloutStarted(_)), "{reply:?}");
}

#[test]
fn d08_a_rollout_whose_target_was_overtaken_neither_retries_nor_rolls_back() {
    for verb in [Verb::RetryFailed, Verb::RollBack] {
        let mut field = failed();
        assert_eq!(field.verb(verb.clone()), Reply::Done, "positive control");

        let mut field = failed();
        field.remote(3);
        start(&mut field, OTHER);
        field.run_for(30);
        let reply = field.verb(verb.clone());
        let Reply::VerbRefused(why) = reply else {
            panic!("{verb:?} while the newer one runs: {reply:?}")
        };
        assert!(why.to_string().contains(&OTHER.to_string()), "{why}");
        field.run_for(1800);
        assert_eq!(
            field.fleet.rollout(OTHER).unwrap().state,
            RolloutState::Complete
        );
        field.crash();
        field.run_for(120);
        let spawned = field.spawned.len();
        let reply = field.verb(verb.clone());
        let Reply::VerbRefused(why) = reply else {
            panic!("{verb:?} after the newer one: {reply:?}")
        };
        assert!(why.to_string().contains(&OTHER.to_string()), "{why}");
        field.run_for(1800);
        assert_eq!(field.spawned.len(), spawned);
        assert!(field.machines.iter().all(|machine| machine.checkout == 3));
        assert!(
            field.audit.iter().any(|row| row.outcome == "refused"),
            "and it is on record"
        );

        // What brought the newer one back makes the older one the last word again.
        assert_eq!(field.verb_on(OTHER, Verb::RollBack), Reply::Done);
        field.run_for(600);
        for index in 0..2 {
            field.ask(Request::Release { host: host(index) });
        }
        assert_eq!(field.verb(verb.clone()), Reply::Done, "{verb:?}");
    }
}

#[test]
fn a_rollout_of_other_hosts_or_of_the_same_target_overtakes_nothing() {
    let mut field = failed();
    start(&mut field, OTHER);
    field.run_for(1800);
    assert_eq!(field.fleet.rollout(OTHER).unwrap().target, Some(target(2)));
    assert_eq!(field.verb(Verb::RetryFailed), Reply::Done);
    field.finish(1);
    assert_eq!(field.state(), RolloutState::Complete);
}
