//! Going back when not everything is known: hosts that were lost, that are busy, that cannot.

use std::time::Duration;

use nixfleet_core::fleet::Reply;
use nixfleet_core::notice::NoticeKind;
use nixfleet_core::rollout::{
    Ask, HostStage, InFlight, PlanError, Policy, RollBack, RolledBack, RolloutState, Stage, Verb,
    WaitCode,
};
use nixfleet_core::{HostId, Op, RolloutId};

use super::field::{Field, ROLLOUT, host, target};
use super::play::{Flags, Hosts, Outcome, Play, name};

fn back(roll_back: RollBack) -> Policy {
    Policy {
        roll_back,
        stages: vec![Stage::Pull, Stage::Switch],
        max_in_flight: InFlight::Count(1),
        ..Policy::default()
    }
}

fn start(field: &mut Field, roll_back: RollBack) {
    let ask = Ask {
        hosts: field.everybody(),
        policy: back(roll_back),
        ..Ask::default()
    };
    let reply = field.start(ROLLOUT, ask);
    assert!(matches!(reply, Reply::RolloutStarted(_)), "{reply:?}");
}

/// How far bringing a host back has got, as its stored code.
fn code(field: &Field, index: usize) -> String {
    let Some(back) = &field.rollout().hosts[&host(index)].rolled_back else {
        return String::new();
    };
    let stored = serde_json::to_value(back).unwrap();
    let with_words = stored.as_object().and_then(|object| object.keys().next());
    let plain = stored.as_str().map(str::to_owned);
    plain.or(with_words.cloned()).unwrap()
}

fn wait_of(field: &Field, index: usize) -> Option<WaitCode> {
    let run = &field.rollout().hosts[&host(index)];
    run.wait.as_ref().map(|wait| wait.code)
}

fn ran(field: &Field, op: Op) -> Vec<HostId> {
    let own = field.sequence().into_iter().filter(|(_, own)| *own == op);
    own.map(|(host, _)| host).collect()
}

/// The last host of two is lost in the middle of its switch.
fn lost_in_the_switch(hosts: usize) -> Field {
    let mut field = Field::new(hosts);
    field.remote(2);
    start(&mut field, RollBack::AllHosts);
    let last = host(1);
    field.run_until_it(600, |field| ran(field, Op::Switch).contains(&last));
    field.run_for(5);
    field.go_away(1);
    field.run_until_it(7200, |field| field.state() == RolloutState::RollingBack);
    field
}

#[test]
fn d14_a_host_that_was_lost_in_its_switch_is_brought_back_when_it_returns() {
    for crash in [false, true] {
        let mut field = lost_in_the_switch(2);
        let history = &field.machines[1].history;
        let before = history[history.len() - 2].clone();
        assert_ne!(field.machines[1].system, before, "it runs the target");
        assert_eq!(code(&field, 1), "pending", "what was last seen is no proof");
        assert_eq!(wait_of(&field, 1), Some(WaitCode::Offline));
        let wait = field.rollout().hosts[&host(1)].wait.clone().unwrap();
        assert!(wait.until.is_some(), "since when it is away");
        if crash {
            field.crash();
        }
        field.away.clear();
        field.finish(1);
        assert_eq!(code(&field, 1), "done");
        assert_eq!(field.machines[1].system, before);
        assert_eq!(field.state(), RolloutState::Failed);
        field.check();
    }
}

#[test]
fn d14_a_host_that_stays_away_is_never_called_not_needed() {
    let mut field = lost_in_the_switch(3);
    field.finish(2);
    assert_eq!(code(&field, 1), "unproven");
    assert_eq!(code(&field, 0), "done", "the others go back all the same");
    assert_eq!(field.state(), RolloutState::Halted);
    let message = field.rollout().message.clone().unwrap();
    assert!(message.contains("host-1"), "{message}");
    assert!(!message.contains("host-0"), "{message}");
    assert!(
        field
            .notices
            .iter()
            .any(|notice| notice.kind == NoticeKind::HostFailed
                && notice.title.contains("host-1")
                && notice.title.contains("rolled back")),
        "{:#?}",
        field.notices
    );
    // Nothing was tried on it, so a person may ask for it once it is back.
    field.away.clear();
    field.run_for(600);
    assert_eq!(field.verb(Verb::RollBack), Reply::Done);
    field.finish(1);
    assert_eq!(code(&field, 1), "done");
    assert_eq!(ran(&field, Op::Rollback), [host(0), host(1)]);
    assert_eq!(field.state(), RolloutState::Halted, "it stays what it was");
}

#[test]
fn d14_a_host_whose_agent_still_runs_the_switch_is_waited_for() {
    let mut field = Field::new(1);
    field.remote(2);
    let before = field.machines[0].system.clone();
    field
        .slow
        .insert((0, Op::Switch), Duration::from_secs(2400));
    start(&mut field, RollBack::AllHosts);
    field.run_until_it(7200, |field| {
        field.rollout().hosts[&host(0)].state == HostStage::Failed
    });
    field.run_for(120);
    assert_eq!(code(&field, 0), "pending", "its switch is not over");
    assert_eq!(wait_of(&field, 0), Some(WaitCode::Busy));
    field.finish(2);
    assert_eq!(code(&field, 0), "done");
    assert_eq!(field.machines[0].system, before);
    assert_eq!(field.machines[0].builds, 2, "the switch had gone through");
}

#[test]
fn what_failed_without_changing_anything_needs_no_way_back() {
    let mut field = Field::new(1);
    field.remote(2);
    field.fails.insert((0, Op::Switch));
    start(&mut field, RollBack::AllHosts);
    field.finish(1);
    assert_eq!(code(&field, 0), "not-needed", "positive control");
    assert!(ran(&field, Op::Rollback).is_empty());
    assert_eq!(field.state(), RolloutState::Failed);
}

#[test]
fn the_target_is_quarantined_as_soon_as_hosts_are_to_go_back() {
    // Nobody can be reached.
    let mut field = Field::new(2);
    field.remote(2);
    start(&mut field, RollBack::AllHosts);
    field.run_until_it(600, |field| !ran(field, Op::Switch).is_empty());
    field.go_away(0);
    field.go_away(1);
    field.run_until_it(7200, |field| field.state() == RolloutState::RollingBack);
    let known: Vec<_> = field
        .fleet
        .quarantine()
        .iter()
        .map(|one| one.target)
        .collect();
    assert_eq!(known, [target(2)], "before any rollback starts");
    assert!(ran(&field, Op::Rollback).is_empty());
    field.crash();
    field.finish(2);
    assert_eq!(field.fleet.quarantine().len(), 1);

    // Nothing had changed, by policy and by a person's word.
    for by_policy in [true, false] {
        let mut field = Field::new(1);
        field.remote(2);
        field.fails.insert((0, Op::Switch));
        start(
            &mut field,
            if by_policy {
                RollBack::FailedHosts
            } else {
                RollBack::None
            },
        );
        field.finish(1);
        if !by_policy {
            assert!(field.fleet.quarantine().is_empty(), "nobody asked for it");
            assert_eq!(field.verb(Verb::RollBack), Reply::Done);
        }
        assert_eq!(code(&field, 0), "not-needed");
        assert_eq!(field.fleet.quarantine()[0].target, target(2));
        let again = Ask {
            hosts: field.everybody(),
            policy: back(RollBack::None),
            ..Ask::default()
        };
        let reply = field.start(RolloutId::from_bytes([10; 16]), again);
        assert!(
            matches!(reply, Reply::NotPlanned(PlanError::Quarantined(_))),
            "{reply:?}"
        );
    }
}

#[test]
fn a_person_who_wants_everything_back_quarantines_the_target_at_once() {
    let mut field = Field::new(2);
    field.remote(2);
    start(&mut field, RollBack::None);
    field.run_until_it(600, |field| ran(field, Op::Switch).contains(&host(1)));
    assert_eq!(field.verb(Verb::RollBack), Reply::Done);
    assert_eq!(field.state(), RolloutState::Running, "what runs ends first");
    assert_eq!(field.fleet.quarantine()[0].target, target(2));
    field.finish(1);
    assert_eq!(field.state(), RolloutState::Failed);
    assert_eq!(ran(&field, Op::Rollback).len(), 2);
}

fn play(outcomes: &[Outcome]) -> Play {
    let hosts = Hosts::of(&[Flags::default(); 3]);
    let plan = hosts.plan(&back(RollBack::AllHosts), &[]).unwrap();
    Play::new(hosts, plan, outcomes)
}

#[test]
fn d13_a_host_without_a_way_back_stops_no_other_and_is_named() {
    for without in 0..3 {
        let mut play = play(&[Outcome::Ok, Outcome::Ok, Outcome::Fail]);
        play.hosts.all.get_mut(&name(without)).unwrap().no_way_back = true;
        play.run();
        let back: Vec<&HostId> = play
            .sent
            .iter()
            .filter(|sent| sent.op == Op::Rollback)
            .map(|sent| &sent.host)
            .collect();
        let others: Vec<HostId> = (0..3).filter(|n| *n != without).map(name).collect();
        assert_eq!(back, others.iter().collect::<Vec<_>>());
        assert_eq!(play.rollout.state, RolloutState::Halted);
        let message = play.rollout.message.clone().unwrap();
        for index in 0..3 {
            let named = message.contains(name(index).as_str());
            assert_eq!(named, index == without, "{message}");
        }
        assert!(play.quarantined);
    }
}

#[test]
fn d14_a_rollback_that_was_tried_and_failed_stops_the_others() {
    let mut play = play(&[Outcome::Ok, Outcome::Ok, Outcome::Fail]);
    play.rollbacks = Outcome::Fail;
    play.run();
    let back = play.sent.iter().filter(|sent| sent.op == Op::Rollback);
    assert_eq!(back.count(), 1);
    assert_eq!(play.rollout.state, RolloutState::Halted);
    let given_up = play.rollout.hosts.values();
    let given_up = given_up.filter(|run| run.rolled_back == Some(RolledBack::Abandoned));
    assert_eq!(given_up.count(), 2);
    let message = play.rollout.message.clone().unwrap();
    assert!(
        (0..3).all(|index| message.contains(name(index).as_str())),
        "{message}"
    );
}

#[test]
fn a_person_gets_everything_back_also_where_a_canary_has_failed_meanwhile() {
    let hosts = Hosts::of(&[Flags::of(1), Flags::of(1), Flags::default()]);
    let policy = Policy {
        max_in_flight: InFlight::Count(2),
        ..back(RollBack::None)
    };
    let plan = hosts.plan(&policy, &[]).unwrap();
    let mut play = Play::new(hosts, plan, &[Outcome::Fail, Outcome::Timeout, Outcome::Ok]);
    play.step();
    while play.rollout.stop.is_none() {
        play.advance();
    }
    assert_eq!(
        play.rollout.in_flight(),
        1,
        "the other canary still switches"
    );
    play.rollout.apply(&Verb::RollBack, play.now).unwrap();
    play.run();
    let back = play.sent.iter().filter(|sent| sent.op == Op::Rollback);
    let back: Vec<&HostId> = back.map(|sent| &sent.host).collect();
    assert_eq!(back, [&name(0), &name(1)]);
    assert_eq!(play.rollout.state, RolloutState::Halted);
    assert!(play.quarantined);
}
