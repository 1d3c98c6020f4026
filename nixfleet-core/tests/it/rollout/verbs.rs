//! Verbs, waits that end, soaks with gaps, order of the server's host, ids of plans.

use std::time::Duration;

use nixfleet_core::rollout::{
    Ask, AskKind, Canaries, HOST_PATIENCE, HostStage, InFlight, OnFailure, PlanError, Policy,
    RolloutState, Stage, Targets, Verb, VerbError, VerbName, WaitCode,
};
use nixfleet_core::{HostId, Op};

use super::play::{Flags, Hosts, Outcome, Play, START, name};

fn policy() -> Policy {
    Policy {
        stages: vec![Stage::Pull, Stage::Switch],
        max_in_flight: InFlight::Count(1),
        ..Policy::default()
    }
}

fn play(flags: &[u8], policy: &Policy, outcomes: &[Outcome]) -> Play {
    let flags: Vec<Flags> = flags.iter().map(|bits| Flags::of(*bits)).collect();
    let hosts = Hosts::of(&flags);
    let plan = hosts.plan(policy, &[]).unwrap();
    Play::new(hosts, plan, outcomes)
}

fn wait_of(play: &Play, index: usize) -> Option<WaitCode> {
    let run = &play.rollout.hosts[&name(index)];
    run.wait.as_ref().map(|wait| wait.code)
}

#[test]
fn d11_after_cancel_no_command_is_emitted_at_whatever_step() {
    let mut seen = 0;
    for steps in 0..8 {
        let mut play = play(&[1, 0, 0], &policy(), &[]);
        play.step();
        for _ in 0..steps {
            play.advance();
        }
        if play.rollout.state.is_terminal() {
            continue;
        }
        let sent = play.sent.len();
        play.rollout.apply(&Verb::Cancel, play.now).unwrap();
        play.run();
        assert_eq!(play.sent.len(), sent);
        assert_eq!(play.rollout.state, RolloutState::Cancelled);
        let again = play.rollout.apply(&Verb::Resume, play.now);
        assert!(matches!(again, Err(VerbError::State(..))));
        seen += 1;
    }
    assert!(seen >= 5);
}

#[test]
fn a_pause_stops_new_starts_at_once_and_resume_goes_on() {
    let mut play = play(&[0, 0, 0], &policy(), &[]);
    play.step();
    let sent = play.sent.len();
    play.rollout.apply(&Verb::Pause, play.now).unwrap();
    play.step();
    assert!(play.advance(), "what runs ends");
    assert_eq!(
        (play.sent.len(), wait_of(&play, 1)),
        (sent, Some(WaitCode::Paused))
    );
    assert_eq!(
        play.rollout.offers(),
        [VerbName::Resume, VerbName::Cancel, VerbName::SkipHost]
    );
    play.rollout.apply(&Verb::Resume, play.now).unwrap();
    play.run();
    assert_eq!(play.rollout.state, RolloutState::Complete);
    assert_eq!(play.sent.len(), 6, "positive control");
}

/// A reason to wait, and what switches it on or off.
type Cause = (WaitCode, fn(&mut Hosts, bool));

#[test]
fn whatever_keeps_a_host_waiting_it_starts_once_that_is_over() {
    let set: [Cause; 5] = [
        (WaitCode::Held, |hosts, on| {
            hosts.all.get_mut(&name(1)).unwrap().flags.held = on
        }),
        (WaitCode::OutsideWindow, |hosts, on| {
            hosts.all.get_mut(&name(1)).unwrap().flags.closed = on;
        }),
        (WaitCode::Offline, |hosts, on| {
            hosts.all.get_mut(&name(1)).unwrap().flags.offline = on
        }),
        (WaitCode::Busy, |hosts, on| {
            hosts.all.get_mut(&name(1)).unwrap().busy = on
        }),
        (WaitCode::Quarantined, |hosts, on| hosts.quarantined = on),
    ];
    for (code, switch) in set {
        let mut play = play(
            &[0, 0],
            &Policy {
                max_in_flight: InFlight::Count(9),
                ..policy()
            },
            &[],
        );
        switch(&mut play.hosts, true);
        play.step();
        play.now = play.now + Duration::from_secs(1);
        play.step();
        assert_eq!(wait_of(&play, 1), Some(code));
        assert_eq!(play.sent_to(&name(1)), 0, "{code:?}");
        switch(&mut play.hosts, false);
        play.step();
        assert_eq!(play.sent_to(&name(1)), 1, "positive control: {code:?}");
        play.run();
        assert_eq!(play.rollout.state, RolloutState::Complete);
    }
}

#[test]
fn every_reason_to_wait_that_the_machine_makes_itself_is_told() {
    let mut play = play(&[1, 0, 0], &policy(), &[]);
    play.hosts.invisible = true;
    play.step();
    assert_eq!(wait_of(&play, 0), Some(WaitCode::DesiredNotVisible));
    play.hosts.invisible = false;
    play.step();
    assert_eq!(wait_of(&play, 1), Some(WaitCode::PreviousWave));
    play.advance();
    play.advance();
    let soaking = play.rollout.hosts[&name(1)].wait.clone().unwrap();
    assert_eq!(soaking.code, WaitCode::Soaking);
    assert_eq!(soaking.until, Some(play.now + Duration::from_secs(600)));
    play.advance();
    assert_eq!(play.sent_to(&name(1)), 1);
    assert_eq!(wait_of(&play, 2), Some(WaitCode::BudgetFull));
}

#[test]
fn a_target_that_is_never_shown_starts_nothing() {
    let mut play = play(&[0, 0], &policy(), &[]);
    play.hosts.invisible = true;
    play.run();
    assert_eq!(play.rollout.state, RolloutState::Failed);
    assert_eq!(
        (play.sent.len(), play.now),
        (0, START + Duration::from_secs(120))
    );
}

#[test]
fn d02_a_gap_starts_the_soak_anew_and_bad_evidence_halts() {
    let canary = name(0);
    for (second, ill) in [(300, false), (300, true)] {
        let mut play = play(&[1, 0], &policy(), &[]);
        play.step();
        play.advance();
        play.advance();
        let soaking = play.now;
        play.now = soaking + Duration::from_secs(second);
        let host = play.hosts.all.get_mut(&canary).unwrap();
        (host.ill, host.flags.offline) = (ill, !ill);
        play.step();
        if ill {
            assert_eq!(play.rollout.state, RolloutState::Halted);
            assert_eq!(play.sent_to(&name(1)), 0);
            continue;
        }
        play.now = play.now + Duration::from_secs(100);
        play.hosts.all.get_mut(&canary).unwrap().flags.offline = false;
        play.step();
        play.run();
        let other = play.sent.iter().find(|sent| sent.host == name(1)).unwrap();
        assert_eq!(other.at, soaking + Duration::from_secs(second + 100 + 600));
    }
}

#[test]
fn failed_hosts_are_retried_under_new_commands_and_the_rest_gets_its_turn() {
    let mut play = play(
        &[0, 0, 0],
        &policy(),
        &[Outcome::Ok, Outcome::Fail, Outcome::Ok],
    );
    play.run();
    assert_eq!(play.rollout.state, RolloutState::Failed);
    assert_eq!(play.rollout.hosts[&name(2)].state, HostStage::Cancelled);
    assert!(play.rollout.offers().contains(&VerbName::RetryFailed));
    play.outcomes = vec![Outcome::Ok; 3];
    play.rollout.apply(&Verb::RetryFailed, play.now).unwrap();
    play.run();
    assert_eq!(play.rollout.state, RolloutState::Complete);
    let switches: Vec<_> = play
        .sent
        .iter()
        .filter(|sent| sent.host == name(1) && sent.op == Op::Switch)
        .collect();
    assert_eq!(switches.len(), 2);
    assert_ne!(switches[0].command, switches[1].command);
}

#[test]
fn d03_a_halted_rollout_can_only_be_rolled_back() {
    let mut play = play(&[1, 0, 0], &policy(), &[Outcome::Lost]);
    play.run();
    assert_eq!(play.rollout.state, RolloutState::Halted);
    assert_eq!(play.rollout.offers(), [VerbName::RollBack]);
    for verb in [
        Verb::RetryFailed,
        Verb::Resume,
        Verb::Approve,
        Verb::SkipHost(name(1)),
    ] {
        assert!(play.rollout.apply(&verb, play.now).is_err(), "{verb:?}");
    }
    play.rollout.apply(&Verb::RollBack, play.now).unwrap();
    play.run();
    assert_eq!(play.rollout.state, RolloutState::Halted);
    assert!(play.sent.iter().all(|sent| sent.host == name(0)));
    assert_eq!(play.sent.last().unwrap().op, Op::Rollback);
    assert!(matches!(
        play.rollout.apply(&Verb::RollBack, play.now),
        Err(VerbError::NothingChanged)
    ));
}

#[test]
fn waves_wait_for_approval_and_hosts_can_be_left_out_but_no_canary() {
    let policy = Policy {
        approve_waves: true,
        ..policy()
    };
    let mut play = play(&[1, 0, 0], &policy, &[]);
    play.step();
    assert_eq!(
        play.rollout.apply(&Verb::SkipHost(name(1)), play.now),
        Ok(())
    );
    let nobody: HostId = "nobody".parse().unwrap();
    let skip = |play: &mut Play, host| play.rollout.apply(&Verb::SkipHost(host), play.now);
    assert!(matches!(
        skip(&mut play, nobody),
        Err(VerbError::UnknownHost(_))
    ));
    assert!(matches!(
        skip(&mut play, name(0)),
        Err(VerbError::NotWaiting(..))
    ));
    while play.rollout.state == RolloutState::Running {
        play.advance();
    }
    assert_eq!(play.rollout.state, RolloutState::AwaitingApproval);
    assert_eq!(wait_of(&play, 2), Some(WaitCode::AwaitingApproval));
    assert_eq!(play.sent_to(&name(2)), 0);
    play.rollout.apply(&Verb::Approve, play.now).unwrap();
    play.run();
    assert_eq!(play.rollout.state, RolloutState::Partial);
    assert_eq!((play.sent_to(&name(1)), play.sent_to(&name(2))), (0, 2));
}

#[test]
fn nobody_waits_for_a_person_for_ever() {
    let mut play = play(&[0], &policy(), &[]);
    play.step();
    play.rollout.apply(&Verb::Pause, play.now).unwrap();
    play.run();
    assert_eq!(play.rollout.state, RolloutState::Cancelled);
    assert!(play.now >= START + Duration::from_secs(7 * 24 * 3600));
}

#[test]
fn a_barrier_holds_every_host_at_a_stage_until_all_have_passed_it() {
    let hosts = Hosts::of(&[Flags::default(); 3]);
    let ask = Ask {
        hosts: Targets::List((0..3).map(name).collect()),
        kind: AskKind::Pipeline("do-all".into()),
        ..Ask::default()
    };
    let plan = hosts.plan_ask(&ask, &[3, 1, 2]).unwrap();
    assert_eq!(plan.waves.len(), 1);
    assert_eq!(plan.waves[0].hosts, [name(1), name(2), name(0)]);
    let mut play = Play::new(hosts, plan, &[Outcome::Ok, Outcome::Fail, Outcome::Ok]);
    play.hosts.all.get_mut(&name(2)).unwrap().tests_off = true;
    play.run();
    assert_eq!(play.rollout.state, RolloutState::Partial);
    let ops: Vec<Op> = play.sent.iter().map(|sent| sent.op).collect();
    assert!(ops.is_sorted_by_key(|op| {
        [Op::Pull, Op::Switch, Op::Test]
            .iter()
            .position(|o| o == op)
    }));
    let tested: Vec<&HostId> = play
        .sent
        .iter()
        .filter(|sent| sent.op == Op::Test)
        .map(|sent| &sent.host)
        .collect();
    assert_eq!(
        tested,
        [&name(0)],
        "who failed drops out, whose tests are off is through"
    );
}

#[test]
fn d04_failures_up_to_the_limit_are_put_up_with() {
    for (limit, state, switched) in [(1, RolloutState::Failed, 2), (2, RolloutState::Partial, 4)] {
        let policy = Policy {
            on_failure: OnFailure::ContinueUpTo(limit),
            ..policy()
        };
        let outcomes = [Outcome::Fail, Outcome::Lost, Outcome::Ok, Outcome::Ok];
        let mut play = play(&[0, 0, 0, 0], &policy, &outcomes);
        play.run();
        let switches = play
            .sent
            .iter()
            .filter(|sent| sent.op == Op::Switch)
            .count();
        assert_eq!((play.rollout.state, switches), (state, switched));
    }
}

#[test]
fn canaries_are_fewer_than_all_and_bad_policies_are_named() {
    let hosts = Hosts::of(&[Flags::default(); 2]);
    let ask = |policy: Policy| hosts.plan(&policy, &[]);
    let with = |canaries| Policy {
        canaries,
        ..policy()
    };
    assert_eq!(ask(with(Canaries::Count(2))), Err(PlanError::OnlyCanaries));
    assert!(matches!(
        ask(with(Canaries::Count(0))),
        Err(PlanError::Policy(_))
    ));
    assert!(matches!(
        ask(with(Canaries::Hosts(vec![]))),
        Err(PlanError::Policy(_))
    ));
    let one = ask(with(Canaries::Count(1))).unwrap();
    assert_eq!((one.waves[0].canary, one.waves[0].hosts.len()), (true, 1));
    for stages in [
        vec![],
        vec![Stage::Switch, Stage::Pull],
        vec![Stage::Pull, Stage::Pull],
    ] {
        let policy = Policy { stages, ..policy() };
        assert!(matches!(ask(policy), Err(PlanError::Policy(_))));
    }
    assert!(serde_json::from_str::<Policy>(r#"{"soak":1}"#).is_err());
    assert_eq!(
        serde_json::from_str::<Policy>("{}").unwrap(),
        Policy::default()
    );
    let text = r#"{"hosts":{"selector":"web-*"},"policy":{"canaries":{"count":1},"max_in_flight":{"percent":25},"on_failure":{"continue_up_to":2},"roll_back":"failed-hosts"}}"#;
    let ask: Ask = serde_json::from_str(text).unwrap();
    assert_eq!(ask.policy.max_in_flight.limit(10), 2);
    assert_eq!(ask.policy.max_in_flight.limit(3), 1, "at least one");
}

/// A crash between any two steps: what is read back goes on as if nothing had been, except that a
/// soak begins anew.
#[test]
fn d12_a_stored_rollout_goes_on_where_it_was() {
    let reference = {
        let mut play = play(&[1, 0, 0], &policy(), &[]);
        play.run();
        play
    };
    let order = |play: &Play| -> Vec<(HostId, Op)> {
        play.sent
            .iter()
            .map(|sent| (sent.host.clone(), sent.op))
            .collect()
    };
    let mut crashes = 0;
    for at in 0..20 {
        let mut play = play(&[1, 0, 0], &policy(), &[]);
        play.step();
        for _ in 0..at {
            play.advance();
        }
        if play.rollout.state.is_terminal() {
            break;
        }
        let text = serde_json::to_string(&play.rollout).unwrap();
        play.rollout = serde_json::from_str(&text).unwrap();
        play.rollout.resume(play.now);
        play.step();
        play.run();
        assert_eq!(order(&play), order(&reference), "crash after {at} steps");
        assert_eq!(play.rollout.state, RolloutState::Complete);
        crashes += 1;
    }
    assert!(crashes > 5);
}

/// Each reason is over before its own bound, and another one takes its place: together they are
/// still bounded (law D18).
#[test]
fn d18_reasons_that_take_turns_keep_a_host_waiting_for_a_bounded_time() {
    const HALF_A_DAY: Duration = Duration::from_secs(12 * 3600);
    let mut play = play(&[0], &policy(), &[]);
    let began = play.now;
    let mut held = true;
    while !play.rollout.state.is_terminal() {
        let waited = play.now.since(began);
        assert!(waited <= HOST_PATIENCE + HALF_A_DAY, "it waits for ever");
        let flags = &mut play.hosts.all.get_mut(&name(0)).unwrap().flags;
        (flags.held, flags.closed) = (held, !held);
        held = !held;
        play.step();
        play.now = play.now + HALF_A_DAY;
    }
    let waited = play.now.since(began);
    assert!(waited >= HOST_PATIENCE, "given up too soon: {waited:?}");
    assert_eq!(play.sent_to(&name(0)), 0);
}
