//! Canaries that are away or turn bad late, hosts that a person holds or brings back meanwhile, and
//! plans that are not what they say.

use nixfleet_core::fleet::{Reply, Request};
use nixfleet_core::host::Hold;
use nixfleet_core::lifecycle::Target;
use nixfleet_core::rollout::{
    Ask, AskKind, Canaries, InFlight, PlanError, Policy, RollBack, RolledBack, RolloutState, Stage,
    Targets, Verb,
};
use nixfleet_core::window::ActionClass;
use nixfleet_core::{Op, RolloutId, lock_hash};

use super::field::{Field, ROLLOUT, host, target};

fn policy() -> Policy {
    Policy {
        stages: vec![Stage::Pull, Stage::Switch],
        soak_seconds: 60,
        ..Policy::default()
    }
}

fn ask(policy: Policy) -> Ask {
    Ask {
        policy,
        ..Ask::default()
    }
}

fn begin(field: &mut Field, policy: Policy) {
    let reply = field.start(ROLLOUT, ask(policy));
    assert!(matches!(reply, Reply::RolloutStarted(_)), "{reply:?}");
}

fn hold(field: &mut Field, index: usize) {
    field.ask(Request::Hold {
        host: host(index),
        hold: Hold {
            by: "admin".into(),
            why: "disk".into(),
            until: None,
        },
    });
}

fn started(field: &Field, index: usize, op: Op) -> bool {
    field.sequence().contains(&(host(index), op))
}

#[test]
fn d02_nothing_is_planned_for_everybody_while_the_only_marked_canary_is_away() {
    let mut field = Field::new(3);
    field.remote(2);
    field.mark_as_canary(0);
    field.go_away(0);
    field.run_for(60);
    let reply = field.start(ROLLOUT, ask(policy()));
    let Reply::NotPlanned(PlanError::NoCanary(why)) = &reply else {
        panic!("{reply:?}")
    };
    assert!(why.contains("host-0"), "{why}");
    assert_eq!(field.sequence(), []);
    // A second canary vouches for the others; nobody who is asked for by name needs one elsewhere.
    field.mark_as_canary(1);
    begin(&mut field, policy());
    field.finish(2);
    assert!(started(&field, 2, Op::Switch));
    let mut field = Field::new(3);
    field.remote(2);
    field.mark_as_canary(0);
    field.go_away(0);
    field.run_for(60);
    let named = Ask {
        hosts: Targets::List(vec![host(1), host(2)]),
        ..ask(policy())
    };
    assert!(matches!(
        field.start(ROLLOUT, named),
        Reply::RolloutStarted(_)
    ));
}

#[test]
fn d14_a_held_host_is_not_brought_back_and_keeps_nobody_else_waiting() {
    let mut field = Field::new(2);
    field.remote(2);
    field.fails.insert((1, Op::Switch));
    begin(
        &mut field,
        Policy {
            canaries: Canaries::Count(1),
            roll_back: RollBack::AllHosts,
            ..policy()
        },
    );
    field.run_until_it(7200, |field| field.rollout().soaked);
    hold(&mut field, 0);
    field.finish(2);
    assert_eq!(field.state(), RolloutState::Halted);
    let back = field.rollout().hosts[&host(0)].rolled_back.clone();
    let Some(RolledBack::NotPossible(why)) = back else {
        panic!("{back:?}")
    };
    assert!(why.contains("held") && why.contains("disk"), "{why}");
    assert!(!started(&field, 0, Op::Rollback));
    // Once it is released, a person may ask for it.
    field.ask(Request::Release { host: host(0) });
    assert_eq!(field.verb(Verb::RollBack), Reply::Done);
    field.finish(2);
    assert!(started(&field, 0, Op::Rollback));
}

#[test]
fn d03_a_canary_that_turns_bad_after_its_soak_stops_everything() {
    for bad in [false, true] {
        let mut field = Field::with(3, None, true);
        field.remote(2);
        let with_tests = Policy {
            stages: vec![Stage::Pull, Stage::Switch, Stage::Test],
            canaries: Canaries::Count(1),
            approve_waves: true,
            ..policy()
        };
        begin(&mut field, with_tests);
        field.run_until_it(7200, |field| {
            field.state() == RolloutState::AwaitingApproval
        });
        if bad {
            field.fails.insert((0, Op::Test));
        }
        field.dispatch(Op::Test, 0, false).unwrap();
        field.run_for(300);
        if bad {
            assert_eq!(field.state(), RolloutState::Halted);
        } else {
            assert_eq!(field.verb(Verb::Approve), Reply::Done);
            field.finish(2);
            assert_eq!(field.state(), RolloutState::Complete);
        }
        assert_eq!(started(&field, 2, Op::Switch), !bad);
    }
}

#[test]
fn d16_a_rollout_is_not_complete_when_a_person_brought_a_host_back_meanwhile() {
    for back in [false, true] {
        let mut field = Field::new(3);
        field.remote(2);
        begin(
            &mut field,
            Policy {
                max_in_flight: InFlight::Count(1),
                ..policy()
            },
        );
        field.run_until_it(7200, |field| started(field, 1, Op::Switch));
        if back {
            field.dispatch(Op::Rollback, 0, false).unwrap();
            field.run_for(300);
            let held = field.fleet.quarantine().first().cloned().unwrap();
            assert_eq!(held.target, target(2));
            field.ask(Request::LiftQuarantine {
                commit: held.target.commit,
                reason: "it was the network".into(),
            });
        }
        field.finish(400);
        let own = &field.rollout().hosts[&host(0)];
        assert_eq!(own.rolled_back.is_some(), back, "{own:?}");
        let wanted = if back {
            RolloutState::Partial
        } else {
            RolloutState::Complete
        };
        assert_eq!(field.state(), wanted);
    }
}

#[test]
fn a_plan_takes_no_class_of_other_actions_no_foreign_lock_and_no_endless_pipeline() {
    let mut field = Field::new(2);
    field.remote(2);
    let mut number = 50;
    let mut refused = |field: &mut Field, ask: Ask| {
        number += 1;
        let reply = field.start(RolloutId::from_bytes([number; 16]), ask);
        if let Reply::NotPlanned(why) = &reply {
            return Some(why.code());
        }
        assert!(matches!(reply, Reply::RolloutStarted(_)), "{reply:?}");
        None
    };
    for class in ActionClass::ALL {
        let with_class = |class| ask(Policy { class, ..policy() });
        if !class.is_of_updates() {
            let code = refused(&mut field, with_class(class));
            assert_eq!(code, Some("bad-policy"), "{class:?}");
        }
    }
    let foreign = Target {
        lock: Some(lock_hash(b"foreign")),
        ..target(2)
    };
    let with_target = |target| Ask {
        target: Some(target),
        ..ask(policy())
    };
    let code = refused(&mut field, with_target(foreign));
    assert_eq!(code, Some("foreign-lock"));
    let pipeline = |count| Ask {
        kind: AskKind::Pipeline("checks".into()),
        ops: vec![Op::Pull; count],
        ..ask(Policy::default())
    };
    assert_eq!(refused(&mut field, pipeline(33)), Some("bad-policy"));
    field.run_for(300);
    assert_eq!(field.sequence(), [], "nothing was half-started");
    // Positive controls.
    for ask in [
        ask(Policy {
            class: ActionClass::Security,
            ..policy()
        }),
        with_target(target(2)),
        pipeline(32),
    ] {
        let mut field = Field::new(2);
        field.remote(2);
        assert_eq!(refused(&mut field, ask), None);
    }
}
