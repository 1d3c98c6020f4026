//! Bounds, distances and limits, each by example.

use std::time::Duration;

use nixfleet_core::host::AgentProtocol;
use nixfleet_core::lifecycle::{Phase, Step, timing};
use nixfleet_core::report::ResultKind;
use nixfleet_core::{OPS, Op, Timestamp};

use super::play::{Play, Word};
use super::world::{World, start_time};

#[test]
fn b05_the_bound_of_every_operation() {
    for spec in OPS {
        let bound = timing::bound(spec.op);
        println!("B({}) = {} min", spec.name, bound.as_secs() / 60);
        assert!(bound > spec.hard && bound < Duration::from_secs(60 * 60 * 60));
    }
}

#[test]
fn b06_extensions_are_bounded_and_only_for_what_is_overdue() {
    let overdue = || {
        let mut play = Play::sent(World::new(Op::Switch, AgentProtocol::Commands));
        play.play(&[Word::Accepted, Word::Wait(600)]);
        assert_eq!(play.command.phase, Phase::RunningWarning);
        play
    };
    let mut play = overdue();
    let before = play.command.clone();
    for refused in [0, 241] {
        play.one(&Word::Extend(refused));
        assert_eq!(play.command, before, "{refused} minutes");
    }
    play.one(&Word::Extend(240));
    assert_eq!(play.command.phase, Phase::Executing);
    let hard = start_time() + Duration::from_secs(30 * 60 + 240 * 60);
    assert_eq!(play.command.hard_at, Some(hard));
    play.one(&Word::Wait(5 * 60 * 60));
    assert_eq!(play.command.phase, Phase::TimeoutPending);
    let before = play.command.clone();
    play.one(&Word::Extend(1));
    assert_eq!(play.command, before, "the four hours are used up");

    let mut late = overdue();
    late.one(&Word::Wait(3600));
    assert_eq!(late.command.phase, Phase::TimeoutPending);
    late.one(&Word::Extend(10));
    assert_eq!(late.command.phase, Phase::Executing);
    assert_eq!(
        late.command.warn_at,
        Some(late.now + Duration::from_secs(300)),
        "the warning comes again half way"
    );
}

#[test]
fn b11_a_rejection_ends_it_in_the_same_step_and_names_what_runs() {
    let mut play = Play::sent(World::new(Op::Switch, AgentProtocol::Commands));
    play.one(&Word::Foreign(Box::new(Word::Rejected)));
    assert_eq!(play.command.phase, Phase::Executing);
    assert_eq!(play.one(&Word::Rejected), [Step::Finished]);
    assert!(play.command.ending.unwrap().text().contains("test"));
}

#[test]
fn b15_stop_and_kill_are_no_operations() {
    for name in ["stop", "kill"] {
        assert_eq!(Op::named(name), None);
    }
}

#[test]
fn resends_come_at_5_10_and_15_seconds_and_the_end_10_seconds_after_the_lease() {
    let mut play = Play::sent(World::new(Op::Pull, AgentProtocol::Commands));
    let mut moments = Vec::new();
    while let Some(deadline) = play.command.poll_timeout() {
        moments.push(deadline.at.since(start_time()).as_secs());
        let _ = play.command.handle_timeout(deadline.at);
    }
    assert_eq!(moments, [5, 10, 15, 70]);
    assert_eq!(play.command.phase, Phase::Error);
}

#[test]
fn a_stalled_server_does_not_resend_in_a_burst() {
    let mut play = Play::sent(World::new(Op::Pull, AgentProtocol::Commands));
    let steps = play.one(&Word::Wait(20));
    assert_eq!(steps, [Step::SendCommand { resend: true }]);
    let next = play.command.poll_timeout().unwrap().at;
    assert_eq!(next, start_time() + Duration::from_secs(25));
}

#[test]
fn due_deadlines_fire_before_the_event() {
    let mut play = Play::sent(World::new(Op::Switch, AgentProtocol::Commands));
    play.play(&[Word::Accepted]);
    play.now = start_time() + Duration::from_secs(2000);
    play.one(&Word::Exit(ResultKind::Error, 1));
    assert_eq!(
        play.rows[2..],
        ["sign-of-life", "warning", "deploy-overdue", "failed"]
    );
}

#[test]
fn the_numbers_are_those_of_the_specification() {
    let seconds = [
        (timing::QUEUE, 24 * 3600),
        (timing::VALIDATION, 5),
        (timing::LEASE, 60),
        (timing::SKEW, 5),
        (timing::RESEND, 5),
        (timing::DECISION, 24 * 3600),
        (timing::KILL_CONNECTED, 40),
        (timing::KILL_AWAY, 600),
        (timing::RECONNECT, 300),
        (timing::REBOOT, 900),
        (timing::VERIFICATION, 300),
        (timing::RESTART_GRACE, 120),
        (timing::MAX_EXTENSION, 4 * 3600),
    ];
    for (number, expected) in seconds {
        assert_eq!(number, Duration::from_secs(expected));
    }
    assert_eq!(timing::MAX_RESENDS, 3);
    assert!(Timestamp::EPOCH < start_time());
}
