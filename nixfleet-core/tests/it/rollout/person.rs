//! A person's rollback of one host, outside of rollouts.

use nixfleet_core::fleet::{Dispatch, Reply, Request};
use nixfleet_core::host::Hold;
use nixfleet_core::rollout::{Ask, PlanError, Policy, SkipReason};
use nixfleet_core::{Op, RolloutId};

use super::field::{Field, ROLLOUT, host, target};

/// A host that was switched to the second commit, and then rolled back by a person.
fn rolled_back() -> Field {
    let mut field = Field::new(2);
    field.remote(2);
    for op in [Op::Pull, Op::Switch] {
        field.dispatch(op, 0, false).unwrap();
        field.run_for(120);
    }
    field.dispatch(Op::Rollback, 0, false).unwrap();
    field.run_for(120);
    field
}

fn hold(field: &Field, index: usize) -> Option<Hold> {
    field.fleet.host(&host(index)).unwrap().hold.clone()
}

#[test]
fn a_persons_rollback_holds_the_host_and_quarantines_what_it_ran() {
    let mut field = rolled_back();
    assert!(
        field.machines[0].system.as_str().ends_with("-1"),
        "it went back"
    );
    let placed = hold(&field, 0).expect("a rollback holds the host by itself");
    assert_eq!((placed.by.as_str(), placed.until), ("admin", None));
    assert!(placed.why.contains(&target(2).commit.short()), "{placed:?}");
    assert_eq!(hold(&field, 1), None);
    assert_eq!(field.fleet.quarantine()[0].target, target(2));
    let row = field.audit.iter().find(|row| row.action == "hold").unwrap();
    assert_eq!(row.host, Some(host(0)));
    assert!(row.before.is_some() && row.after.is_some() && row.reason.is_some());

    // No automation deploys it again; a person does, with a reason.
    let ask = Ask {
        hosts: field.everybody(),
        policy: Policy::default(),
        ..Ask::default()
    };
    let reply = field.start(ROLLOUT, ask);
    assert!(
        matches!(reply, Reply::NotPlanned(PlanError::Quarantined(_))),
        "{reply:?}"
    );
    assert!(field.dispatch(Op::Switch, 0, false).is_err());
    let mut dispatch = Dispatch::new(
        Op::Switch,
        vec![(host(0), nixfleet_core::CommandId::from_bytes([200; 16]))],
    );
    dispatch.reason = Some("it was the network".into());
    let Reply::Dispatched(outcomes) = field.ask(Request::Dispatch(dispatch)) else {
        panic!("a dispatch is answered as one")
    };
    assert!(outcomes[0].outcome.is_ok(), "{outcomes:?}");
}

#[test]
fn a_newer_commit_ends_that_hold_and_no_hold_of_a_person() {
    let mut field = rolled_back();
    let by_hand = Hold {
        by: "admin".into(),
        why: "disk".into(),
        until: None,
    };
    field.ask(Request::Hold {
        host: host(1),
        hold: by_hand.clone(),
    });
    field.crash();
    field.run_for(120);
    assert!(hold(&field, 0).is_some(), "the same commit, read again");
    field.remote(3);
    assert_eq!(hold(&field, 0), None);
    assert_eq!(hold(&field, 1), Some(by_hand));
    let ended = field.audit.iter().filter(|row| row.action == "release");
    assert_eq!(ended.count(), 1);
    let ask = Ask {
        hosts: field.everybody(),
        policy: Policy::default(),
        ..Ask::default()
    };
    let reply = field.start(RolloutId::from_bytes([10; 16]), ask);
    let Reply::RolloutStarted(plan) = reply else {
        panic!("{reply:?}")
    };
    let left_out: Vec<_> = plan
        .skipped
        .iter()
        .map(|one| (&one.host, one.reason))
        .collect();
    assert_eq!(left_out, [(&host(1), SkipReason::Held)]);
}

#[test]
fn a_hold_that_replaces_it_is_the_persons_own() {
    let mut field = rolled_back();
    let own = Hold {
        by: "admin".into(),
        why: "I am still looking at it".into(),
        until: None,
    };
    field.ask(Request::Hold {
        host: host(0),
        hold: own.clone(),
    });
    field.remote(3);
    assert_eq!(hold(&field, 0), Some(own));

    // A person lifts it like any other.
    let mut field = rolled_back();
    assert_eq!(field.ask(Request::Release { host: host(0) }), Reply::Done);
    assert_eq!(hold(&field, 0), None);
    assert_eq!(field.fleet.quarantine().len(), 1, "which is another matter");
}

#[test]
fn a_hold_that_was_there_before_stays() {
    let mut field = Field::new(1);
    field.remote(2);
    for op in [Op::Pull, Op::Switch] {
        field.dispatch(op, 0, false).unwrap();
        field.run_for(120);
    }
    let own = Hold {
        by: "ann".into(),
        why: "disk".into(),
        until: None,
    };
    field.ask(Request::Hold {
        host: host(0),
        hold: own.clone(),
    });
    let mut dispatch = Dispatch::new(
        Op::Rollback,
        vec![(host(0), nixfleet_core::CommandId::from_bytes([200; 16]))],
    );
    dispatch.reason = Some("it does not boot".into());
    field.ask(Request::Dispatch(dispatch));
    field.run_for(120);
    assert_eq!(hold(&field, 0), Some(own.clone()));
    assert_eq!(field.fleet.quarantine()[0].target, target(2));
    field.remote(3);
    assert_eq!(hold(&field, 0), Some(own), "it was never the rollback's");
}

#[test]
fn a_rollback_that_failed_holds_and_quarantines_nothing() {
    let mut field = Field::new(1);
    field.remote(2);
    for op in [Op::Pull, Op::Switch] {
        field.dispatch(op, 0, false).unwrap();
        field.run_for(120);
    }
    field.fails.insert((0, Op::Rollback));
    field.dispatch(Op::Rollback, 0, false).unwrap();
    field.run_for(120);
    assert_eq!(hold(&field, 0), None);
    assert!(field.fleet.quarantine().is_empty());
}

#[test]
fn after_failed_tests_it_is_the_same() {
    let mut field = Field::with(1, None, true);
    field.remote(2);
    field.fails.insert((0, Op::Test));
    for op in [Op::Pull, Op::Switch] {
        field.dispatch(op, 0, false).unwrap();
        field.run_for(120);
    }
    let tests = field.spawned.iter().filter(|(_, _, op, _)| *op == Op::Test);
    assert_eq!(tests.count(), 1);
    field.dispatch(Op::Rollback, 0, false).unwrap();
    field.run_for(300);
    assert_eq!(hold(&field, 0).unwrap().by, "admin");
    assert_eq!(field.fleet.quarantine()[0].target, target(2));
    let tests = field.spawned.iter().filter(|(_, _, op, _)| *op == Op::Test);
    assert_eq!(
        tests.count(),
        1,
        "law D1: a held host gets no automatic test"
    );
}
