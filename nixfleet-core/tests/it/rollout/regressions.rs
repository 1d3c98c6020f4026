//! What once went wrong after restarts, between jobs, in queues and at the ends of things.

use std::time::Duration;

use nixfleet_core::admission::RefusalCode;
use nixfleet_core::fleet::{Dispatch, KEPT_ROLLOUTS, Reply, Request};
use nixfleet_core::host::{Actor, Hold};
use nixfleet_core::rollout::{
    Ask, AskKind, HostStage, InFlight, Offline, Policy, RollBack, RolloutState, Stage, Targets,
    Verb, WaitCode,
};
use nixfleet_core::update::{Deploy, JobState, PrNumber, UpdatePolicy};
use nixfleet_core::window::{Window, Zone};
use nixfleet_core::{Op, RolloutId, Timestamp};

use super::field::{Field, ROLLOUT, host};
use super::play::{Flags, Hosts, Play, START, name};
use crate::update::pull_requests::policy;

const HOUR: Duration = Duration::from_secs(3600);
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

fn merge(field: &mut Field, deploy: Option<Deploy>) -> Reply {
    field.ask(Request::MergePr {
        number: PrNumber(42),
        head: None,
        override_reason: None,
        deploy: deploy.map(Box::new),
        confirm: None,
    })
}

fn deploy(field: &Field) -> Deploy {
    Deploy {
        rollout: ROLLOUT,
        hosts: field.everybody(),
        policy: Deploy::default_policy(),
    }
}

fn held_by(who: &str, until: Option<Timestamp>) -> Hold {
    Hold {
        by: who.into(),
        why: "disk".into(),
        until,
    }
}

#[test]
fn automatic_merges_that_are_switched_off_while_a_job_is_stored_are_not_made() {
    for on in [true, false] {
        let mut field = Field::with_forge(1, None, policy());
        field.mute.insert(PrNumber(42));
        field.run_for(3700);
        assert_eq!(job(&field).0, JobState::Merging, "it is being read");
        field.mute.clear();
        if !on {
            field.updates = Some(by_hand());
        }
        field.crash();
        field.run_for(600);
        let merges = usize::from(on);
        assert_eq!(field.merged.len(), merges, "{:?}", job(&field));
        if !on {
            let (state, message) = job(&field);
            assert_eq!(state, JobState::Failed);
            assert!(message.contains("switched off"), "{message}");
        }
    }
}

#[test]
fn the_branch_gets_its_time_to_show_a_merge_after_a_restart() {
    let mut field = Field::with_forge(1, None, by_hand());
    let deploy = deploy(&field);
    merge(&mut field, Some(deploy));
    field.run_for(100);
    assert_eq!(job(&field).0, JobState::Merging);
    // The server is away for longer than the branch may take.
    field.now = field.now + HOUR;
    field.crash();
    assert_eq!(job(&field).0, JobState::Merging, "nobody looked meanwhile");
    field.run_for(60);
    field.remote(2);
    field.finish(1);
    assert_eq!(field.state(), RolloutState::Complete);
    assert_eq!(job(&field).0, JobState::Completed);
}

fn stages() -> Policy {
    Policy {
        stages: vec![Stage::Pull, Stage::Switch],
        ..Policy::default()
    }
}

/// Stored, read back much later, and looked at.
fn away_for(play: &mut Play, time: Duration) {
    let text = serde_json::to_string(&play.rollout).unwrap();
    play.rollout = serde_json::from_str(&text).unwrap();
    play.now = play.now + time;
    play.rollout.resume(play.now);
    play.step();
}

#[test]
fn d02_a_soak_that_was_interrupted_by_a_restart_begins_anew() {
    let hosts = Hosts::of(&[Flags::of(1), Flags::default()]);
    let plan = hosts.plan(&stages(), &[]).unwrap();
    let mut play = Play::new(hosts, plan, &[]);
    play.step();
    while play.rollout.soak.is_none() {
        play.advance();
    }
    away_for(&mut play, HOUR * 48);
    assert_eq!(
        play.rollout.state,
        RolloutState::Running,
        "nothing was seen"
    );
    let back = play.now;
    assert_eq!(play.sent_to(&name(1)), 0);
    play.run();
    assert_eq!(play.rollout.state, RolloutState::Complete);
    let other = play.sent.iter().find(|sent| sent.host == name(1)).unwrap();
    assert_eq!(other.at, back + Duration::from_secs(600));
}

#[test]
fn the_desired_state_gets_its_time_to_move_after_a_restart() {
    let hosts = Hosts::of(&[Flags::default(); 2]);
    let ask = Ask {
        hosts: Targets::List((0..2).map(name).collect()),
        kind: AskKind::Pipeline("update-agent".into()),
        ..Ask::default()
    };
    let plan = hosts.plan_ask(&ask, &[]).unwrap();
    let mut play = Play::new(hosts, plan, &[]);
    play.step();
    play.advance();
    let code = |play: &Play| {
        play.rollout.hosts[&name(0)]
            .wait
            .as_ref()
            .map(|one| one.code)
    };
    assert_eq!(code(&play), Some(WaitCode::DesiredNotVisible));
    away_for(&mut play, HOUR);
    assert_eq!(code(&play), Some(WaitCode::DesiredNotVisible));
    assert_eq!(play.rollout.state, RolloutState::Running);
    play.run();
    assert_eq!(play.rollout.state, RolloutState::Failed, "it never moved");
}

#[test]
fn who_is_queued_until_a_moment_has_time_to_return_after_a_restart() {
    let hosts = Hosts::of(&[Flags::default(), Flags::of(4)]);
    let policy = Policy {
        offline: Offline::QueueUntil(START + HOUR),
        ..stages()
    };
    let plan = hosts.plan(&policy, &[]).unwrap();
    let mut play = Play::new(hosts, plan, &[]);
    play.step();
    let code = |play: &Play| {
        play.rollout.hosts[&name(1)]
            .wait
            .as_ref()
            .map(|one| one.code)
    };
    assert_eq!(code(&play), Some(WaitCode::Offline));
    let mut late = play.clone();
    away_for(&mut play, HOUR * 2);
    assert_eq!(
        code(&play),
        Some(WaitCode::Offline),
        "its agent may be about to return"
    );
    play.hosts.all.get_mut(&name(1)).unwrap().flags.offline = false;
    play.step();
    assert_eq!(play.sent_to(&name(1)), 1);
    away_for(&mut late, HOUR * 2);
    late.run();
    let run = &late.rollout.hosts[&name(1)];
    assert_eq!(run.state, HostStage::Skipped, "positive control: {run:?}");
}

#[test]
fn d09_a_queued_command_crosses_no_hold_that_was_placed_later() {
    let mut field = Field::new(1);
    field.remote(2);
    field.go_away(0);
    // With a reason, so that nothing but the hold stands in its way.
    let id = nixfleet_core::CommandId::from_bytes([200; 16]);
    let mut dispatch = Dispatch::new(Op::Pull, vec![(host(0), id)]);
    (dispatch.queue, dispatch.reason) = (true, Some("urgent".into()));
    field.ask(Request::Dispatch(dispatch));
    field.ask(Request::Hold {
        host: host(0),
        hold: held_by("ann", None),
    });
    field.away.clear();
    field.run_for(600);
    assert!(field.spawned.is_empty(), "{:?}", field.spawned);
    field.crash();
    field.run_for(600);
    assert!(field.spawned.is_empty(), "nor after a restart");
    field.ask(Request::Release { host: host(0) });
    field.run_for(120);
    assert_eq!(field.sequence(), [(host(0), Op::Pull)], "positive control");
}

#[test]
fn b21_a_host_that_something_still_claims_is_not_removed() {
    let busy = |field: &mut Field, word: &str| {
        let refusal = field.remove(0).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::Busy, "{refusal:?}");
        assert!(refusal.sentence().contains(word), "{}", refusal.sentence());
        assert!(field.fleet.host(&host(0)).is_some());
    };
    // A command that is under way.
    let mut field = Field::new(1);
    field.remote(2);
    field.dispatch(Op::Pull, 0, false).unwrap();
    field.go_away(0);
    busy(&mut field, "pull");

    // A command that waits.
    let mut field = Field::new(1);
    field.remote(2);
    field.go_away(0);
    field.dispatch(Op::Pull, 0, true).unwrap();
    busy(&mut field, "pull");

    // A rollout that waits for it.
    let mut field = Field::new(1);
    field.remote(2);
    field.go_away(0);
    let ask = Ask {
        hosts: field.everybody(),
        policy: Policy {
            offline: Offline::Wait,
            ..stages()
        },
        ..Ask::default()
    };
    field.start(ROLLOUT, ask);
    busy(&mut field, &ROLLOUT.to_string());
    field.verb(Verb::Cancel);
    assert!(field.remove(0).is_ok(), "positive control");
    assert!(field.fleet.host(&host(0)).is_none());
}

/// Two rollouts of one target roll back; the quarantine names the first of them only.
#[test]
fn a_newer_commit_ends_the_holds_of_every_rollout_of_the_old_target() {
    for forgotten in [false, true] {
        let mut field = Field::new(2);
        field.remote(2);
        for (index, id) in [(0, ROLLOUT), (1, OTHER)] {
            field.fails.insert((index, Op::Test));
            let ask = Ask {
                hosts: Targets::List(vec![host(index)]),
                policy: Policy {
                    roll_back: RollBack::FailedHosts,
                    ..Policy::default()
                },
                ..Ask::default()
            };
            assert!(matches!(field.start(id, ask), Reply::RolloutStarted(_)));
        }
        field.run_for(600);
        assert_eq!(field.fleet.quarantine().len(), 1);
        let held = |field: &Field, index| field.fleet.host(&host(index)).unwrap().hold.is_some();
        assert!((0..2).all(|index| held(&field, index)));
        if forgotten {
            field.stored.rollouts.clear();
        }
        field.crash();
        field.run_for(120);
        assert!((0..2).all(|index| held(&field, index)), "the same commit");
        field.remote(3);
        assert!(
            (0..2).all(|index| !held(&field, index)),
            "forgotten: {forgotten}"
        );
    }
}

/// The server stops between the end of a rollout and the job's hearing of it.
#[test]
fn a_job_learns_of_a_rollout_that_ended_while_nobody_listened() {
    for fails in [false, true] {
        let mut field = Field::with_forge(1, None, by_hand());
        let deploy = deploy(&field);
        merge(&mut field, Some(deploy));
        field.remote(2);
        field.run_for(30);
        let open = field.stored.updates.clone();
        assert_eq!(job(&field).0, JobState::Switching);
        if fails {
            field.fails.insert((0, Op::Switch));
        }
        field.finish(1);
        field.stored.updates = open;
        field.crash();
        let (state, message) = job(&field);
        let expected = if fails {
            JobState::Failed
        } else {
            JobState::Completed
        };
        assert_eq!(state, expected, "{message}");
    }
}

#[test]
fn of_ended_rollouts_the_last_are_kept_and_every_open_one() {
    let mut field = Field::new(2);
    field.remote(2);
    let one = |index: usize| Ask {
        hosts: Targets::List(vec![host(index)]),
        policy: stages(),
        ..Ask::default()
    };
    field.start(ROLLOUT, one(1));
    field.verb(Verb::Pause);
    for n in 0..KEPT_ROLLOUTS + 5 {
        let id = RolloutId::from_bytes([u8::try_from(n).unwrap() + 20; 16]);
        assert!(matches!(field.start(id, one(0)), Reply::RolloutStarted(_)));
        field.run_for(120);
    }
    let open = |one: &&nixfleet_core::rollout::Rollout| !one.state.is_terminal();
    assert_eq!(field.fleet.rollouts().filter(open).count(), 1);
    assert_eq!(field.fleet.rollouts().count(), KEPT_ROLLOUTS + 1);
    let oldest = RolloutId::from_bytes([20; 16]);
    assert!(
        field.fleet.rollout(oldest).is_none(),
        "the oldest went first"
    );
}

#[test]
fn a_merge_of_the_current_update_is_not_mistaken_for_an_open_job_of_another() {
    let mut field = Field::with_forge(1, None, by_hand());
    field.mute.insert(PrNumber(42));
    merge(&mut field, None);
    assert!(
        field.dispatch(Op::MergePr, 0, false).is_ok(),
        "asked for already"
    );
    field.second = true;
    field.ask(Request::CheckUpdates);
    let current = field.fleet.updates().unwrap().current().unwrap().pr.number;
    assert_eq!(current, PrNumber(43));
    let refusal = field.dispatch(Op::MergePr, 0, false).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::PrNotEligible);
    assert!(refusal.sentence().contains("42"), "{}", refusal.sentence());
}

#[test]
fn d07_a_window_whose_zone_is_not_known_lets_nothing_through() {
    for known in [true, false] {
        let mut field = Field::new(2);
        field.remote(2);
        let text = r#"{"id":"day","selector":"host-1","zone":"UTC","effect":"allow","from":"06:00","to":"20:00"}"#;
        let window: Window = serde_json::from_str(text).unwrap();
        let set = Request::SetWindow {
            window: Box::new(window),
            zone: Zone::utc(),
        };
        assert_eq!(field.ask(set), Reply::Done);
        if !known {
            field.stored.settings.zones.clear();
        }
        field.crash();
        field.run_for(120);
        let ask = Ask {
            hosts: field.everybody(),
            policy: Policy {
                max_in_flight: InFlight::Count(2),
                ..stages()
            },
            ..Ask::default()
        };
        field.start(ROLLOUT, ask);
        field.run_for(1800);
        let ran = field.sequence().iter().any(|(own, _)| *own == host(1));
        assert_eq!(ran, known);
        if !known {
            let wait = field.rollout().hosts[&host(1)].wait.clone().unwrap();
            assert_eq!((wait.code, wait.until), (WaitCode::OutsideWindow, None));
        }
    }
}

#[test]
fn the_end_of_a_hold_is_on_record() {
    let mut field = Field::new(1);
    let until = field.now + Duration::from_secs(60);
    field.ask(Request::Hold {
        host: host(0),
        hold: held_by("ann", Some(until)),
    });
    field.run_for(59);
    assert!(field.audit.iter().all(|row| row.action != "release"));
    field.run_for(2);
    assert_eq!(field.fleet.host(&host(0)).unwrap().hold, None);
    let row = field
        .audit
        .iter()
        .find(|row| row.action == "release")
        .unwrap();
    assert_eq!((row.host.clone(), row.at), (Some(host(0)), until));
    assert_eq!(row.actor, Actor::Automation("end of the hold".into()));
    assert!(row.before.as_ref().unwrap().contains("ann"), "{row:?}");
    assert_eq!(row.after.as_deref(), Some("null"));
}

/// What an earlier version stored knows nothing of what was added since.
#[test]
fn what_an_earlier_version_stored_is_read() {
    let mut field = Field::with_forge(2, None, by_hand());
    let deploy = deploy(&field);
    merge(&mut field, Some(deploy));
    field.remote(2);
    field.run_for(30);
    let rollout = field.rollout();
    let mut old = serde_json::to_value(rollout).unwrap();
    for name in ["revert_due", "back_wanted", "quarantined"] {
        assert!(
            old.as_object_mut().unwrap().remove(name).is_some(),
            "{name}"
        );
    }
    let read: nixfleet_core::rollout::Rollout = serde_json::from_value(old).unwrap();
    assert_eq!(read, *rollout);

    let confirmed = r#"{"hosts":["a"],"left_out":[]}"#;
    let confirmed: nixfleet_core::rollout::ConfirmedHosts =
        serde_json::from_str(confirmed).unwrap();
    assert!(confirmed.canaries.is_empty());
    let settings = serde_json::to_value(&field.stored.settings).unwrap();
    assert!(
        settings.get("held_back").is_none(),
        "only where there are some"
    );
    let settings: nixfleet_core::fleet::FleetSettings = serde_json::from_value(settings).unwrap();
    assert_eq!(settings, field.stored.settings);
}
