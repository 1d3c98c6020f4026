//! Queues, retries and reverts around a rollout that goes back.

use std::time::Duration;

use nixfleet_core::fleet::{Dispatch, Reply, Request};
use nixfleet_core::lifecycle::Phase;
use nixfleet_core::rollout::{
    Ask, Canaries, HostStage, InFlight, Policy, RollBack, RolledBack, RolloutState, Stage, Verb,
    VerbName,
};
use nixfleet_core::update::{Deploy, JobState, PrNumber, UpdatePolicy};
use nixfleet_core::{CommandId, Op};

use super::field::{Field, ROLLOUT, host};
use super::play::{Flags, Hosts, Outcome, Play, name};

fn start(field: &mut Field, policy: Policy) {
    let ask = Ask {
        hosts: field.everybody(),
        policy,
        ..Ask::default()
    };
    let reply = field.start(ROLLOUT, ask);
    assert!(matches!(reply, Reply::RolloutStarted(_)), "{reply:?}");
}

fn policy(roll_back: RollBack) -> Policy {
    Policy {
        roll_back,
        stages: vec![Stage::Pull, Stage::Switch],
        max_in_flight: InFlight::Count(2),
        ..Policy::default()
    }
}

fn switches(field: &Field, index: usize) -> usize {
    let all = field.sequence().into_iter();
    all.filter(|one| *one == (host(index), Op::Switch)).count()
}

/// What waits behind the rollback of a rollout waits for the hold that follows it, too.
#[test]
fn d09_a_queued_command_does_not_slip_between_a_rollback_and_its_hold() {
    let mut field = Field::new(2);
    field.remote(2);
    field.fails.insert((1, Op::Switch));
    start(&mut field, policy(RollBack::AllHosts));
    field.run_until_it(7200, |field| {
        let back = &field.rollout().hosts[&host(0)].rolled_back;
        matches!(back, Some(RolledBack::Running(_)))
    });
    let before = switches(&field, 0);
    assert_eq!(before, 1, "it was switched by the rollout");
    let mut dispatch = Dispatch::new(
        Op::PullSwitch,
        vec![(host(0), CommandId::from_bytes([201; 16]))],
    );
    dispatch.queue = true;
    let Reply::Dispatched(outcomes) = field.ask(Request::Dispatch(dispatch)) else {
        panic!("a dispatch is answered as one")
    };
    assert!(outcomes[0].outcome.is_ok(), "{outcomes:?}");
    field.finish(1);
    field.run_for(600);
    let ran = |field: &Field| {
        let all = field.sequence().into_iter();
        all.filter(|one| *one == (host(0), Op::PullSwitch)).count()
    };
    assert!(field.fleet.host(&host(0)).unwrap().hold.is_some());
    assert_eq!(ran(&field), 0, "the host is held");
    // Positive control: it runs once the hold is gone.
    assert_eq!(field.ask(Request::Release { host: host(0) }), Reply::Done);
    field.run_for(1200);
    assert_eq!(ran(&field), 1);
    field.check();
}

/// A canary that was brought back has shown nothing.
#[test]
fn d02_nothing_is_tried_again_behind_a_canary_that_was_brought_back() {
    let mut field = Field::new(2);
    field.remote(2);
    field.fails.insert((1, Op::Pull));
    let with_canary = Policy {
        canaries: Canaries::Hosts(vec![host(0)]),
        ..policy(RollBack::AllHosts)
    };
    start(&mut field, with_canary);
    field.finish(3);
    assert_eq!(field.state(), RolloutState::Failed);
    let canary = &field.rollout().hosts[&host(0)];
    assert_eq!(canary.rolled_back, Some(RolledBack::Done));
    field.fails.clear();
    assert!(!field.rollout().offers().contains(&VerbName::RetryFailed));
    let reply = field.verb(Verb::RetryFailed);
    assert!(
        matches!(&reply, Reply::VerbRefused(why) if why.to_string().contains("host-0")),
        "{reply:?}"
    );
    assert_eq!(field.state(), RolloutState::Failed);

    // Positive control: where nothing was brought back, the failed host is tried again.
    let mut field = Field::new(2);
    field.remote(2);
    field.fails.insert((1, Op::Pull));
    let with_canary = Policy {
        canaries: Canaries::Hosts(vec![host(0)]),
        ..policy(RollBack::None)
    };
    start(&mut field, with_canary);
    field.finish(3);
    field.fails.clear();
    assert_eq!(field.verb(Verb::RetryFailed), Reply::Done);
    field.finish(3);
    assert_eq!(field.state(), RolloutState::Complete);
}

/// What was brought back does not count as done.
#[test]
fn a_rollout_of_which_a_host_was_brought_back_is_never_complete() {
    let mut field = Field::new(2);
    field.remote(2);
    field.fails.insert((1, Op::Pull));
    start(&mut field, policy(RollBack::AllHosts));
    field.finish(3);
    assert_eq!(
        field.rollout().hosts[&host(0)].rolled_back,
        Some(RolledBack::Done)
    );
    field.fails.clear();
    let lift = Request::LiftQuarantine {
        commit: super::field::target(2).commit,
        reason: "it was the network".into(),
    };
    field.ask(lift);
    assert_eq!(field.verb(Verb::RetryFailed), Reply::Done);
    field.finish(3);
    assert_eq!(field.rollout().hosts[&host(1)].state, HostStage::Done);
    assert_eq!(field.state(), RolloutState::Partial);
}

fn play(policy: &Policy, outcomes: &[Outcome]) -> Play {
    let hosts = Hosts::of(&[Flags::default(), Flags::default()]);
    let plan = hosts.plan(policy, &[]).unwrap();
    Play::new(hosts, plan, outcomes)
}

/// A person who wants everything back does not unwant the revert that the policy asks for.
#[test]
fn a_revert_that_the_policy_wants_survives_a_persons_roll_back() {
    for person in [false, true] {
        let outcomes = [Outcome::Timeout, Outcome::Fail];
        let mut play = play(&policy(RollBack::AllHostsAndRevert), &outcomes);
        play.step();
        while play.rollout.stop.is_none() {
            assert!(play.advance());
        }
        assert!(!play.rollout.state.is_terminal(), "one is in flight");
        if person {
            play.rollout.apply(&Verb::RollBack, play.now).unwrap();
        }
        play.run();
        assert_eq!(play.rollout.state, RolloutState::Failed);
        assert!(play.rollout.revert_wanted, "by a person: {person}");
    }
}

/// What a host has waited before is over with a new try.
#[test]
fn a_host_that_is_tried_again_has_all_its_patience() {
    let mut play = play(&policy(RollBack::None), &[Outcome::Fail, Outcome::Ok]);
    play.hosts.all.get_mut(&name(1)).unwrap().flags.closed = true;
    play.step();
    play.run();
    assert_eq!(play.rollout.state, RolloutState::Failed);
    let other = &play.rollout.hosts[&name(1)];
    assert_eq!(other.state, HostStage::Cancelled);
    assert!(other.held_up_since.is_some(), "control: it has waited");
    play.now = play.now + Duration::from_secs(20 * 86_400);
    play.outcomes = Vec::new();
    play.rollout.apply(&Verb::RetryFailed, play.now).unwrap();
    play.step();
    let other = &play.rollout.hosts[&name(1)];
    assert_eq!(other.state, HostStage::Waiting, "{other:?}");
    // Positive control: it starts once its window opens.
    play.hosts.all.get_mut(&name(1)).unwrap().flags.closed = false;
    play.run();
    assert_eq!(play.rollout.state, RolloutState::Complete);
}

/// The update turned out to be good: nothing reverts it, neither now nor after a restart.
#[test]
fn what_a_failure_wanted_reverted_is_not_reverted_after_a_retry_that_went_well() {
    let by_hand = UpdatePolicy {
        auto_merge: false,
        ..crate::update::pull_requests::policy()
    };
    for again in [false, true] {
        let mut field = Field::with_forge(2, None, by_hand.clone());
        field.fails.insert((1, Op::Pull));
        let deploy = Deploy {
            rollout: ROLLOUT,
            hosts: field.everybody(),
            policy: Policy {
                max_in_flight: InFlight::Count(1),
                ..policy(RollBack::AllHostsAndRevert)
            },
        };
        // The first to pull fails, so that nothing was changed anywhere.
        field.fails.insert((0, Op::Pull));
        field.ask(Request::MergePr {
            number: PrNumber(42),
            head: None,
            override_reason: None,
            deploy: Some(Box::new(deploy)),
            confirm: None,
        });
        field.run_for(5);
        field.remote(2);
        // The forge is away when the revert is asked for, and nobody knows what became of it.
        field.mute.insert(PrNumber(42));
        field.finish(2);
        assert!(field.rollout().revert_wanted);
        field.run_for(3 * 3600);
        assert_eq!(field.reverted.len(), 0);
        let job = field.fleet.updates_view().unwrap().job.unwrap();
        assert_ne!(job.state, JobState::Merging, "{job:?}");
        field.mute.clear();
        field.fails.clear();
        if again {
            assert_eq!(field.verb(Verb::RetryFailed), Reply::Done);
            field.run_for(5);
            field.crash();
            field.finish(3);
            assert_eq!(field.state(), RolloutState::Complete);
            field.crash();
            field.run_for(3600);
            assert_eq!(field.reverted.len(), 0, "the update is good");
        }
        assert_eq!(field.rollout().revert_wanted, !again);
    }
}

/// How a rollback ended that nobody saw is not known, so the host is held.
#[test]
fn a_persons_rollback_that_nobody_saw_end_holds_the_host() {
    let mut field = Field::new(1);
    field.remote(2);
    for op in [Op::Pull, Op::Switch] {
        field.dispatch(op, 0, false).unwrap();
        field.run_for(120);
    }
    field.dispatch(Op::Rollback, 0, false).unwrap();
    field.run_for(5);
    assert_eq!(field.fleet.host(&host(0)).unwrap().hold, None, "control");
    field.go_away(0);
    field.run_until_it(4 * 3600, |field| {
        field.fleet.host(&host(0)).unwrap().hold.is_some()
    });
    assert!(!field.fleet.quarantine().is_empty());
}

/// Units that fail on the old system do not leave the others on the bad one.
#[test]
fn d14_a_rollback_that_leaves_units_failed_is_one_that_went_back() {
    let mut field = Field::new(3);
    field.remote(2);
    field.fails.insert((2, Op::Switch));
    field.degrades.insert((0, Op::Rollback));
    start(&mut field, policy(RollBack::AllHosts));
    field.finish(3);
    let back = |index| field.rollout().hosts[&host(index)].rolled_back.clone();
    assert_eq!(back(0), Some(RolledBack::Done));
    assert_eq!(back(1), Some(RolledBack::Done));
    assert_eq!(field.state(), RolloutState::Failed, "not halted");
    assert!(field.fleet.host(&host(0)).unwrap().hold.is_some());
    let told = field.rollout().hosts[&host(0)].command.unwrap();
    let phase = field.fleet.command(told).unwrap().phase;
    assert_eq!(phase, Phase::Degraded, "control");
}

/// Who has pulled had a turn: what it missed is named.
#[test]
fn a_host_that_is_cancelled_between_two_stages_is_told_which_one_it_missed() {
    for (canaries, missed) in [(Canaries::None, "switch"), (Canaries::Count(1), "turn")] {
        let mut field = Field::new(3);
        field.remote(2);
        field.fails.insert((0, Op::Switch));
        let policy = Policy {
            canaries,
            barrier: true,
            max_in_flight: InFlight::Count(1),
            ..policy(RollBack::None)
        };
        start(&mut field, policy);
        field.run_until_it(7200, |field| field.rollout().state.is_terminal());
        let run = &field.rollout().hosts[&host(2)];
        assert_eq!(run.state, HostStage::Cancelled, "{run:?}");
        let told = run.message.clone().unwrap();
        let wanted = format!("the rollout ended before its {missed}: ");
        assert!(told.starts_with(&wanted), "{told}");
    }
}
