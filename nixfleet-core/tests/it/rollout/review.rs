//! Queues, retries and reverts around a rollout that goes back.

use nixfleet_core::fleet::{Dispatch, Reply, Request};
use nixfleet_core::rollout::{
    Ask, Canaries, HostStage, InFlight, Policy, RollBack, RolledBack, RolloutState, Stage, Verb,
    VerbName,
};
use nixfleet_core::{CommandId, Op};

use super::field::{Field, ROLLOUT, host};

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
