//! Rollouts in the real fleet.

use std::time::Duration;

use nixfleet_core::fleet::{Assumption, Assumptions, Reply, Request};
use nixfleet_core::host::{Actor, Hold, HostSettings};
use nixfleet_core::lifecycle::Phase;
use nixfleet_core::notice::NoticeKind;
use nixfleet_core::rollout::{
    Ask, AskKind, HostStage, InFlight, Offline, PlanError, Policy, RollBack, RolledBack,
    RolloutState, SimulatedEvent, Verb, WaitCode,
};
use nixfleet_core::window::{Window, Zone};
use nixfleet_core::{HostId, Op, RolloutId, Timestamp};

use super::field::{Field, ROLLOUT, host, takes, target};
use crate::simulation::machine::commit;

fn ask(field: &Field, policy: Policy) -> Ask {
    Ask {
        hosts: field.everybody(),
        policy,
        ..Ask::default()
    }
}

fn set(field: &mut Field, index: usize, settings: HostSettings) {
    let settings = Box::new(settings);
    let host = host(index);
    assert_eq!(
        field.ask(Request::SetHostSettings { host, settings }),
        Reply::Done
    );
}

fn canary(field: &mut Field, index: usize) {
    set(
        field,
        index,
        HostSettings {
            canary: Some(true),
            ..HostSettings::default()
        },
    );
}

fn one_by_one() -> Policy {
    Policy {
        max_in_flight: InFlight::Count(1),
        ..Policy::default()
    }
}

fn wait_of(field: &Field, index: usize) -> Option<WaitCode> {
    let run = &field.rollout().hosts[&host(index)];
    run.wait.as_ref().map(|wait| wait.code)
}

const STAGES: [Op; 3] = [Op::Pull, Op::Switch, Op::Test];

fn all_stages(order: &[usize]) -> Vec<(HostId, Op)> {
    let each = |index: &usize| STAGES.map(|op| (host(*index), op));
    order.iter().flat_map(each).collect()
}

#[test]
fn d02_d06_d08_d17_d19_a_rollout_goes_in_waves_on_one_pinned_target() {
    let mut field = Field::new(4);
    canary(&mut field, 2);
    for (index, priority) in [(1, 10), (3, 20)] {
        let priority = Some(priority);
        set(
            &mut field,
            index,
            HostSettings {
                priority,
                ..HostSettings::default()
            },
        );
    }
    let server = HostSettings {
        runs_server: true,
        priority: Some(1),
        ..HostSettings::default()
    };
    set(&mut field, 0, server);
    field.remote(2);
    let reply = field.start(ROLLOUT, ask(&field, one_by_one()));
    assert!(matches!(reply, Reply::RolloutStarted(_)), "{reply:?}");
    field.run_for(30);
    // The branch moves on in the middle: nobody gets any of it.
    field.remote(3);
    field.finish(2);
    field.check();
    assert_eq!(field.state(), RolloutState::Complete);
    assert_eq!(field.sequence(), all_stages(&[2, 1, 3, 0]));
    let canary_end = field
        .frames
        .iter()
        .filter(|(_, host, ..)| *host == super::field::host(2));
    let canary_end = canary_end.map(|(at, ..)| *at).max().unwrap() + takes(Op::Test);
    let first_other = field
        .spawned
        .iter()
        .find(|(_, own, ..)| *own != host(2))
        .unwrap()
        .0;
    assert!(first_other >= canary_end + Duration::from_secs(600));
    for (_, host, op, id, sent_target) in &field.frames {
        if *op != Op::Test {
            assert_eq!(*sent_target, Some(target(2)), "law D8: {host} {op:?}");
        }
        let accepted = field
            .audit
            .iter()
            .any(|row| row.command == Some(*id) && row.actor == Actor::rollout(ROLLOUT));
        assert!(
            accepted,
            "law D17: every command is that of the rollout, and audited"
        );
    }
    assert!(field.machines.iter().all(|machine| machine.checkout == 2));
    let kinds: Vec<NoticeKind> = field.notices.iter().map(|notice| notice.kind).collect();
    assert_eq!(
        kinds,
        [NoticeKind::RolloutStarted, NoticeKind::RolloutFinished]
    );
    let view = &field.replica.state().rollouts[&ROLLOUT];
    assert_eq!((view.totals.done, view.totals.targets), (4, 4));
}

#[test]
fn simulate_and_the_real_run_give_the_same_sequence() {
    for (fails, policy) in [
        (None, one_by_one()),
        (
            None,
            Policy {
                barrier: true,
                ..Policy::default()
            },
        ),
        (Some((1, Op::Switch)), one_by_one()),
        (Some((0, Op::Test)), Policy::default()),
        (
            Some((2, Op::Pull)),
            Policy {
                max_in_flight: InFlight::Percent(50),
                ..Policy::default()
            },
        ),
        (
            Some((2, Op::Switch)),
            Policy {
                roll_back: RollBack::AllHosts,
                ..one_by_one()
            },
        ),
    ] {
        let mut field = Field::new(4);
        canary(&mut field, 0);
        field.remote(2);
        let rolls_back = policy.roll_back != RollBack::None;
        let ask = ask(&field, policy);
        let mut assumptions = Assumptions::default();
        for index in 0..4 {
            for op in STAGES.into_iter().chain([Op::Rollback]) {
                assumptions.hosts.push(Assumption {
                    host: host(index),
                    op: Some(op),
                    fails: fails == Some((index, op)),
                    seconds: Some(takes(op).as_secs()),
                });
            }
        }
        let actor = Actor::Person("admin".into());
        let before = field.fleet.version();
        let told = field
            .fleet
            .simulate(&ask, &assumptions, &actor, field.now)
            .unwrap();
        assert!(told.complete);
        assert_eq!(
            field.fleet.version(),
            before,
            "a simulation changes nothing"
        );
        let foreseen: Vec<(Timestamp, HostId, Op)> = told
            .steps
            .iter()
            .filter_map(|step| match &step.event {
                SimulatedEvent::Starts { host, op } => Some((step.at, host.clone(), *op)),
                SimulatedEvent::Ends { .. }
                | SimulatedEvent::Held { .. }
                | SimulatedEvent::Quarantined
                | SimulatedEvent::Enters(_) => None,
            })
            .collect();
        field.fails.extend(fails);
        field.start(ROLLOUT, ask);
        field.finish(2);
        let real: Vec<(Timestamp, HostId, Op)> = field
            .spawned
            .iter()
            .map(|(at, host, op, _)| (*at, host.clone(), *op))
            .collect();
        assert_eq!(foreseen, real);
        assert_eq!(told.end.state, field.state());
        let backs = real.iter().filter(|(_, _, op)| *op == Op::Rollback).count();
        let expected = if rolls_back { 2 } else { 0 };
        assert_eq!(backs, expected);
    }
}

#[test]
fn failed_tests_roll_back_hold_and_quarantine_until_a_newer_commit() {
    let mut field = Field::new(3);
    field.remote(2);
    let before = field.machines[1].system.clone();
    field.fails.insert((1, Op::Test));
    let policy = Policy {
        roll_back: RollBack::FailedHosts,
        ..one_by_one()
    };
    field.start(ROLLOUT, ask(&field, policy.clone()));
    field.finish(2);
    field.check();
    assert_eq!(field.state(), RolloutState::Failed);
    let run = &field.rollout().hosts[&host(1)];
    assert_eq!(
        (run.state, &run.rolled_back),
        (HostStage::Failed, &Some(RolledBack::Done))
    );
    assert_eq!(field.machines[1].system, before);
    assert_eq!(field.machines[2].checkout, 1, "nobody after the failure");
    let hold = field.fleet.host(&host(1)).unwrap().hold.clone().unwrap();
    assert_eq!(hold.by, format!("rollout {ROLLOUT}"));
    assert_eq!(field.fleet.quarantine()[0].target, target(2));
    let report = field.fleet.report(&host(1)).unwrap();
    let codes = serde_json::to_string(&report.attentions).unwrap();
    assert!(
        codes.contains("quarantined") && codes.contains("held"),
        "{codes}"
    );
    let kinds: Vec<NoticeKind> = field.notices.iter().map(|notice| notice.kind).collect();
    for kind in [
        NoticeKind::TestsFailed,
        NoticeKind::RolledBack,
        NoticeKind::RolloutStopped,
    ] {
        assert!(kinds.contains(&kind), "{kind:?} of {kinds:?}");
    }
    for action in ["quarantine", "hold"] {
        let row = field.audit.iter().find(|row| row.action == action).unwrap();
        assert!(row.before.is_some() && row.after.is_some() && row.reason.is_some());
    }

    // No automation deploys it again, not even after a restart.
    field.crash();
    field.run_for(120);
    let again = RolloutId::from_bytes([10; 16]);
    let reply = field.start(again, ask(&field, policy.clone()));
    assert!(
        matches!(reply, Reply::NotPlanned(PlanError::Quarantined(_))),
        "{reply:?}"
    );

    // A newer commit lifts it, also the hold that the rollback placed.
    field.fails.clear();
    field.remote(3);
    assert_eq!(field.fleet.host(&host(1)).unwrap().hold, None);
    let reply = field.start(again, ask(&field, policy));
    assert!(matches!(reply, Reply::RolloutStarted(_)), "{reply:?}");
    field.run_for(3600);
    assert_eq!(
        field.fleet.rollout(again).unwrap().state,
        RolloutState::Complete
    );
    assert!(field.machines.iter().all(|machine| machine.checkout == 3));
}

#[test]
fn a_person_lifts_a_quarantine() {
    let mut field = Field::new(2);
    field.remote(2);
    field.fails.insert((0, Op::Test));
    let policy = Policy {
        roll_back: RollBack::AllHosts,
        ..one_by_one()
    };
    field.start(ROLLOUT, ask(&field, policy));
    field.finish(2);
    let lift = |number| Request::LiftQuarantine {
        commit: commit(number),
        reason: "it was the network".into(),
    };
    assert_eq!(field.ask(lift(7)), Reply::NotQuarantined(commit(7)));
    assert_eq!(field.ask(lift(2)), Reply::Done);
    assert!(field.fleet.quarantine().is_empty());
    assert_eq!(field.ask(Request::Release { host: host(0) }), Reply::Done);
    field.fails.clear();
    let again = RolloutId::from_bytes([10; 16]);
    field.start(again, ask(&field, one_by_one()));
    field.run_for(3600);
    assert_eq!(
        field.fleet.rollout(again).unwrap().state,
        RolloutState::Complete
    );
}

#[test]
fn d03_a_failed_canary_reaches_no_other_host_and_the_roll_back_is_offered() {
    let mut field = Field::new(3);
    canary(&mut field, 1);
    field.remote(2);
    field.fails.insert((1, Op::Switch));
    field.start(ROLLOUT, ask(&field, Policy::default()));
    field.finish(2);
    assert_eq!(field.state(), RolloutState::Halted);
    assert!(field.spawned.iter().all(|(_, own, ..)| *own == host(1)));
    let spawned = field.spawned.len();
    field.fails.clear();
    field.run_for(24 * 3600);
    assert_eq!(field.spawned.len(), spawned, "ever");
    assert!(matches!(
        field.verb(Verb::RetryFailed),
        Reply::VerbRefused(_)
    ));
    assert_eq!(field.verb(Verb::RollBack), Reply::Done);
    field.run_for(600);
    let run = &field.rollout().hosts[&host(1)];
    assert_eq!(
        run.rolled_back,
        Some(RolledBack::NotNeeded),
        "its system never changed"
    );
}

#[test]
fn d01_a_hold_placed_on_the_way_keeps_the_host_out_until_it_is_released() {
    let mut field = Field::new(3);
    field.remote(2);
    field.start(ROLLOUT, ask(&field, one_by_one()));
    let hold = Hold {
        by: "admin".into(),
        why: "disk".into(),
        until: None,
    };
    field.ask(Request::Hold {
        host: host(1),
        hold,
    });
    field.run_for(3600);
    assert!(field.spawned.iter().all(|(_, own, ..)| *own != host(1)));
    assert_eq!(wait_of(&field, 1), Some(WaitCode::Held));
    let wait = field.rollout().hosts[&host(1)].wait.clone().unwrap();
    assert_eq!(wait.subject.as_deref(), Some("by admin, disk"));
    field.ask(Request::Release { host: host(1) });
    field.finish(1);
    assert_eq!(field.state(), RolloutState::Complete, "positive control");
    field.check();
}

#[test]
fn d07_nothing_starts_outside_a_window_and_the_opening_starts_it_by_itself() {
    let mut field = Field::new(2);
    field.remote(2);
    // 2027-01-15 is a Friday; the field begins at 08:00 UTC.
    let text = r#"{"id":"night","selector":"host-1","zone":"UTC","effect":"allow","from":"10:00","to":"10:01"}"#;
    let window: Window = serde_json::from_str(text).unwrap();
    let set = Request::SetWindow {
        window: Box::new(window),
        zone: Zone::utc(),
    };
    assert_eq!(field.ask(set.clone()), Reply::Done);
    field.start(ROLLOUT, ask(&field, one_by_one()));
    field.run_for(1800);
    assert_eq!(wait_of(&field, 1), Some(WaitCode::OutsideWindow));
    let opens = field.rollout().hosts[&host(1)]
        .wait
        .clone()
        .unwrap()
        .until
        .unwrap();
    assert_eq!(opens.to_string(), "2027-01-15T10:00:00Z");
    field.run_until(opens + Duration::from_secs(300));
    let to = |field: &Field| -> Vec<(Timestamp, Op)> {
        let own = field.spawned.iter().filter(|(_, own, ..)| *own == host(1));
        own.map(|(at, _, op, _)| (*at, *op)).collect()
    };
    assert_eq!(
        to(&field),
        [
            (opens, Op::Pull),
            (opens + Duration::from_secs(20), Op::Switch)
        ]
    );
    assert_eq!(
        wait_of(&field, 1),
        Some(WaitCode::OutsideWindow),
        "it closed before the tests"
    );
    // What a window is about, a person is not bound by; and without it the rest starts at once.
    let unknown = Request::RemoveWindow { id: "day".into() };
    assert_eq!(field.ask(unknown), Reply::UnknownWindow("day".into()));
    field.ask(Request::RemoveWindow { id: "night".into() });
    field.finish(1);
    assert_eq!(field.state(), RolloutState::Complete);
    let row = field
        .audit
        .iter()
        .find(|row| row.action == "window.set")
        .unwrap();
    assert!(row.after.as_ref().unwrap().contains("10:00"));
}

#[test]
fn a_pipeline_drops_who_fails_and_goes_on_with_the_others() {
    let mut field = Field::new(3);
    field.remote(2);
    field.fails.insert((0, Op::Switch));
    let pipeline = Ask {
        kind: AskKind::Pipeline("do-all".into()),
        ..ask(&field, Policy::default())
    };
    field.start(ROLLOUT, pipeline.clone());
    let second = field.start(RolloutId::from_bytes([10; 16]), pipeline);
    let occupied = Reply::NotPlanned(PlanError::Occupied {
        rollout: ROLLOUT,
        host: host(0),
    });
    assert_eq!(second, occupied, "law D15");
    field.finish(2);
    assert_eq!(field.state(), RolloutState::Partial);
    let ops: Vec<Op> = field.sequence().into_iter().map(|(_, op)| op).collect();
    use Op::{Pull, Switch, Test};
    assert_eq!(ops, [Pull, Pull, Pull, Switch, Switch, Switch, Test, Test]);
}

#[test]
fn d15_a_newer_target_supersedes_at_a_wave_boundary_and_no_host_is_in_both() {
    let mut field = Field::new(3);
    for (index, priority) in [(0, 1), (1, 2), (2, 3)] {
        let priority = Some(priority);
        set(
            &mut field,
            index,
            HostSettings {
                priority,
                ..HostSettings::default()
            },
        );
    }
    field.remote(2);
    field.start(ROLLOUT, ask(&field, one_by_one()));
    field.run_for(30);
    field.remote(3);
    let newer = RolloutId::from_bytes([10; 16]);
    assert!(matches!(
        field.start(newer, ask(&field, one_by_one())),
        Reply::RolloutStarted(_)
    ));
    let first = field.fleet.rollout(newer).unwrap().hosts[&host(0)]
        .wait
        .clone()
        .unwrap();
    assert_eq!(first.code, WaitCode::OtherRollout);
    field.run_for(3600);
    assert_eq!(field.state(), RolloutState::Superseded);
    assert_eq!(
        field.fleet.rollout(newer).unwrap().state,
        RolloutState::Complete
    );
    assert_eq!(
        field.sequence(),
        [all_stages(&[0]), all_stages(&[0, 1, 2])].concat()
    );
    assert!(field.machines.iter().all(|machine| machine.checkout == 3));
    field.check();
}

#[test]
fn an_offline_host_is_skipped_or_waited_for_as_the_policy_says() {
    for (offline, state) in [
        (Offline::Skip, RolloutState::Partial),
        (Offline::Wait, RolloutState::Complete),
    ] {
        let mut field = Field::new(2);
        field.go_away(1);
        field.remote(2);
        field.start(
            ROLLOUT,
            ask(
                &field,
                Policy {
                    offline,
                    ..one_by_one()
                },
            ),
        );
        field.run_for(1800);
        assert!(field.spawned.iter().all(|(_, own, ..)| *own == host(0)));
        field.away.clear();
        field.run_for(1800);
        assert_eq!(field.state(), state);
        let totals = field.rollout().totals();
        assert_eq!((totals.targets, totals.done + totals.skipped), (2, 2));
    }
}

#[test]
fn the_plan_that_was_confirmed_is_the_one_that_runs() {
    let mut field = Field::new(2);
    field.remote(2);
    let ask = ask(&field, one_by_one());
    let actor = Actor::Person("admin".into());
    let confirm = Some(field.fleet.plan(&ask, &actor).unwrap().id);
    let start = |ask: &Ask| Request::StartRollout {
        id: ROLLOUT,
        ask: Box::new(ask.clone()),
        confirm,
        reason: None,
    };
    let hold = Hold {
        by: "admin".into(),
        why: "disk".into(),
        until: None,
    };
    field.ask(Request::Hold {
        host: host(1),
        hold,
    });
    let reply = field.ask(start(&ask));
    let Reply::PlanChanged(changed) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(changed.skipped.len(), 1);
    assert!(field.fleet.rollout(ROLLOUT).is_none());
    field.ask(Request::Release { host: host(1) });
    assert!(matches!(field.ask(start(&ask)), Reply::RolloutStarted(_)));
    assert!(
        matches!(field.ask(start(&ask)), Reply::RolloutStarted(_)),
        "twice is once"
    );
    assert_eq!(field.fleet.rollouts().count(), 1);
    let unknown = Request::Rollout {
        id: RolloutId::from_bytes([1; 16]),
        verb: Verb::Pause,
    };
    assert!(matches!(field.ask(unknown), Reply::UnknownRollout(_)));
}

#[test]
fn settings_are_checked_audited_and_change_nothing_when_they_are_bad() {
    let mut field = Field::new(1);
    let bad = HostSettings {
        tags: vec!["a b".into()],
        ..HostSettings::default()
    };
    let request = |settings: &HostSettings| Request::SetHostSettings {
        host: host(0),
        settings: Box::new(settings.clone()),
    };
    assert!(matches!(field.ask(request(&bad)), Reply::BadSettings(why) if why.starts_with("tags")));
    assert!(field.audit.is_empty());
    let good = HostSettings {
        priority: Some(7),
        ..HostSettings::default()
    };
    assert_eq!(field.ask(request(&good)), Reply::Done);
    let row = &field.audit[0];
    assert!(
        row.before.as_ref().unwrap().contains(r#""priority":null"#),
        "{row:?}"
    );
    assert!(row.after.as_ref().unwrap().contains(r#""priority":7"#));
    assert_eq!(field.stored.hosts[0].settings, good);
}

#[test]
fn tests_follow_a_persons_switch_by_themselves_where_they_are_on() {
    for (on, enabled) in [(true, true), (false, true), (true, false)] {
        let mut field = Field::with(1, None, true);
        let tests_after_switch = Some(on);
        set(
            &mut field,
            0,
            HostSettings {
                tests_after_switch,
                ..HostSettings::default()
            },
        );
        field.ask(Request::SetTests {
            host: host(0),
            enabled,
        });
        field.remote(2);
        field.fails.insert((0, Op::Test));
        field.dispatch(Op::Pull, 0, false).unwrap();
        field.run_for(30);
        field.dispatch(Op::Switch, 0, false).unwrap();
        field.run_for(120);
        let ops: Vec<Op> = field.sequence().into_iter().map(|(_, op)| op).collect();
        if !(on && enabled) {
            assert_eq!(ops, [Op::Pull, Op::Switch]);
            continue;
        }
        assert_eq!(ops, STAGES);
        let kinds: Vec<NoticeKind> = field.notices.iter().map(|notice| notice.kind).collect();
        assert_eq!(kinds, [NoticeKind::TestsFailed]);
        let report = field.fleet.report(&host(0)).unwrap();
        let codes = serde_json::to_string(&report.attentions).unwrap();
        assert!(codes.contains("last-tests-failed"), "{codes}");
        assert!(report.command.unwrap().actor.is_automation());
    }
}

/// How many commands ended as replaced by a newer intent.
fn superseded(field: &Field) -> usize {
    let events = field.replica.state().events.values();
    let told = |event: &&nixfleet_core::sync::EventView| {
        event.code == "command-not-started" && event.text.ends_with("replaced by a newer command")
    };
    events.filter(told).count()
}

#[test]
fn d09_d10_the_queue_holds_one_intent_of_a_class_and_drains_once_in_order() {
    let mut field = Field::new(1);
    field.remote(2);
    field.go_away(0);
    let test = field.dispatch(Op::Test, 0, true).unwrap();
    let switch = field.dispatch(Op::Switch, 0, true).unwrap();
    let first = field.dispatch(Op::Pull, 0, true).unwrap();
    let second = field.dispatch(Op::Pull, 0, true).unwrap();
    let view = |field: &Field, id| field.replica.state().commands.get(&id).map(|c| c.phase);
    assert_eq!((view(&field, first), superseded(&field)), (None, 1));
    assert!(
        [test, switch, second]
            .iter()
            .all(|id| view(&field, *id) == Some(Phase::Pending))
    );
    field.crash();
    field.away.clear();
    field.run_for(600);
    assert_eq!(field.sequence(), all_stages(&[0]));
    for _ in 0..3 {
        field.go_away(0);
        field.away.clear();
        field.run_for(200);
    }
    assert_eq!(field.spawned.len(), 3, "drained once");
    let ids: Vec<_> = field.spawned.iter().map(|(.., id)| *id).collect();
    assert_eq!(ids, [second, switch, test]);
}

#[test]
fn d09_what_is_not_wanted_any_more_is_superseded_on_waking_up() {
    let mut field = Field::new(1);
    field.remote(2);
    field.go_away(0);
    let pull = field.dispatch(Op::Pull, 0, true).unwrap();
    field.remote(1);
    field.away.clear();
    field.run_for(200);
    assert_eq!(superseded(&field), 1, "it is current already");
    assert!(!field.replica.state().commands.contains_key(&pull));
    assert!(field.spawned.is_empty());
    field.go_away(0);
    field.remote(2);
    field.dispatch(Op::Pull, 0, true).unwrap();
    field.away.clear();
    field.run_for(200);
    assert_eq!(field.sequence(), [(host(0), Op::Pull)], "positive control");
}
