//! How commands end, and how that is told.

use super::*;
use crate::host::HostIdentity;
use crate::report::{AgentReport, InputsUpdate, PushedUpdate};
use crate::wire::{agent_message, decode_agent_frame};

#[test]
fn c04_results_are_reported_until_confirmed() {
    let mut core = ready();
    let _ = command(&mut core, "pull", 1, 1, at(1));
    let _ = core.handle(AgentInput::Disconnected, at(1));
    let done = finish(
        &mut core,
        1,
        JobExit::Code(0),
        seen('a', "/x"),
        seen('b', "/x"),
    );
    let journaled =
        |e: &AgentEffect| matches!(e, AgentEffect::Journal(JournalEntry::Finished { .. }));
    assert!(
        done.iter().any(journaled) && sent(&done).is_empty(),
        "{done:?}"
    );
    let effects = registered(&mut core, at(10));
    let AgentFrame::Register(register) = sent(&effects)[0] else {
        panic!()
    };
    assert_eq!(register.results.len(), 1);
    let resent = core.handle_timeout(at(60));
    assert_eq!(status(&resent), register.results[0]);
    let confirm = ServerFrame::Confirm(Confirm {
        command_id: id(1).to_string(),
        server_time: None,
    });
    let _ = core.handle(told(confirm, 99), at(61));
    assert!(core.journal().unconfirmed().is_empty());
    assert!(
        !sent(&core.handle_timeout(at(200)))
            .iter()
            .any(|frame| matches!(frame, AgentFrame::Status(_)))
    );
}

/// A test run that passed, on a host without a deployment record whose system claims its revision.
fn tested(change: impl FnOnce(&mut JobReport)) -> TestReport {
    let mut core = ready();
    let _ = command(&mut core, "test", 1, 1, at(1));
    let mut now = seen('a', "/nix/store/a");
    now.system.configuration_revision = now.repo.map(|repo| repo.commit.into());
    let mut report = JobReport {
        at_start: Some(Sighting::from(&now)),
        at_end: Some(Sighting::from(&now)),
        tests: vec![TestOutcome {
            name: "one.sh".into(),
            passed: Some(true),
        }],
        ..JobReport::bare(JobExit::Code(0), now)
    };
    change(&mut report);
    let report = Box::new(report);
    let command = id(1);
    status(&core.handle(AgentInput::JobFinished { command, report }, at(2)))
        .tests
        .unwrap()
}

#[test]
fn a_test_run_counts_only_if_what_was_seen_when_it_began_is_what_is_there_now() {
    assert_eq!(tested(|_| {}).verdict, "pass", "positive control");
    type Change = fn(&mut JobReport);
    let changes: [(&str, Change); 6] = [
        ("nobody looked when it began", |r| r.at_start = None),
        ("nobody looked when it ended", |r| r.at_end = None),
        ("another system ran at first", |r| {
            r.at_start.as_mut().unwrap().system = "/nix/store/b".parse().ok();
        }),
        ("another system ran at the end", |r| {
            r.at_end.as_mut().unwrap().system = "/nix/store/b".parse().ok();
        }),
        ("the checkout changed", |r| {
            r.at_end.as_mut().unwrap().repo.as_mut().unwrap().dirty = true;
        }),
        ("a name, which may have claimed anything at first", |r| {
            let name = "/srv/app".parse().ok();
            r.at_start.as_mut().unwrap().system.clone_from(&name);
            r.at_end.as_mut().unwrap().system.clone_from(&name);
            r.after.system.path = name;
        }),
    ];
    for (what, change) in changes {
        assert_eq!(tested(change).verdict, "void", "{what}");
    }
}

#[test]
fn what_a_supervisor_wrote_down_is_an_exit_a_signal_or_nothing_run() {
    let recorded = |change: fn(&mut RecordedExit)| {
        let mut recorded = RecordedExit {
            code: 137,
            signal: Some(9),
            started: true,
            problem: Some("why".into()),
            ..RecordedExit::default()
        };
        change(&mut recorded);
        JobExit::from(recorded)
    };
    assert_eq!(recorded(|_| {}), JobExit::Signal(9));
    assert_eq!(recorded(|r| r.signal = None), JobExit::Code(137));
    assert_eq!(recorded(|r| r.timed_out = true), JobExit::Code(137));
    let nothing = JobExit::NotStarted("why".into());
    assert_eq!(recorded(|r| r.started = false), nothing);
    let stopped_first = recorded(|r| {
        r.started = false;
        r.stopped = true;
        r.signal = None;
    });
    assert_eq!(stopped_first, JobExit::Code(137));
}

#[test]
fn c04_a_result_that_the_registration_could_not_hold_follows_it_at_once() {
    // (ends before the registration, the server is ours, the frames after `registered`)
    for (early, ours, status_follows) in [
        (true, true, false),
        (false, true, true),
        (true, false, true),
        (false, false, true),
    ] {
        let mut core = ready();
        let _ = command(&mut core, "pull", 1, 1, at(1));
        let _ = core.handle(AgentInput::Disconnected, at(1));
        let end = |core: &mut AgentCore| {
            let seen = seen('a', "/x");
            finish(core, 1, JobExit::Code(0), seen.clone(), seen)
        };
        if early {
            assert!(sent(&end(&mut core)).is_empty());
        }
        let register = core.handle(AgentInput::Connected(seen('a', "/x")), at(9));
        let AgentFrame::Register(register) = sent(&register)[0] else {
            panic!()
        };
        assert_eq!(register.results.len(), usize::from(early));
        if !early {
            assert!(sent(&end(&mut core)).is_empty());
        }
        let frame = ServerFrame::Registered(Registered {
            protocol: ours.then_some(PROTOCOL_VERSION),
            ..Registered::default()
        });
        let effects = core.handle(told(frame, 98), at(9));
        let frames = sent(&effects);
        assert!(matches!(frames.last(), Some(AgentFrame::Heartbeat(_))));
        let follows = matches!(frames[0], AgentFrame::Status(_));
        assert_eq!(follows, status_follows, "early {early}, ours {ours}");
        assert_eq!(core.journal().unconfirmed().is_empty(), !ours);
    }
}

#[test]
fn what_an_update_of_inputs_did_reaches_the_server_word_for_word() {
    let lock = |text: &[u8]| Some(crate::lock::lock_hash(text));
    let pushed = PushedUpdate {
        commit: "b".repeat(40).parse().unwrap(),
        branch: "main".to_owned(),
    };
    for (lock_after, pushed) in [(lock(b"new"), Some(pushed)), (lock(b"old"), None)] {
        let update = InputsUpdate {
            base: "a".repeat(40).parse().unwrap(),
            lock_before: lock(b"old"),
            lock_after,
            pushed,
        };
        let mut core = ready();
        let _ = command(&mut core, "update-inputs", 1, 1, at(1));
        let report = JobReport {
            update: Some(update.clone()),
            ..JobReport::bare(JobExit::Code(0), seen('b', "/x"))
        };
        let finished = AgentInput::JobFinished {
            command: id(1),
            report: Box::new(report),
        };
        let told = AgentFrame::Status(Box::new(status(&core.handle(finished, at(2)))));
        let text = serde_json::to_string(&told).unwrap();
        let read = decode_agent_frame(&text).unwrap();
        let said = agent_message(read, &HostIdentity::default());
        let Ok(Some(AgentReport::Result(result))) = said else {
            panic!("{text}")
        };
        assert_eq!(result.update, Some(update));
    }
}
