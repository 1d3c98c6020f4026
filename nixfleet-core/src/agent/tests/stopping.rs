//! Stops, and machines that are to reboot.

use super::*;

#[test]
fn stopping_escalates_from_term_to_kill_after_three_seconds() {
    let mut core = ready();
    let _ = command(&mut core, "switch", 1, 1, at(1));
    let kill = |id: CommandId| {
        ServerFrame::KillCommand(KillCommand {
            signal: "TERM".into(),
            command_id: Some(id.to_string()),
            ..KillCommand::default()
        })
    };
    let effects = core.handle(told(kill(id(7)), 99), at(1));
    assert_eq!(
        rejection(&effects).as_deref(),
        Some("not-running"),
        "another id is not hit"
    );
    let effects = core.handle(told(kill(id(1)), 99), at(1));
    assert_eq!(effects, [AgentEffect::Terminate(id(1))]);
    assert!(core.handle_timeout(at(3)).is_empty());
    assert!(
        core.handle_timeout(at(4))
            .contains(&AgentEffect::Kill(id(1)))
    );
    let done = finish(
        &mut core,
        1,
        JobExit::Signal(9),
        seen('a', "/x"),
        seen('a', "/x"),
    );
    assert_eq!(
        (status(&done).status.as_str(), status(&done).exit_code),
        ("stopped", Some(130))
    );
}

#[test]
fn a_stop_that_cannot_be_read_hits_no_other_command() {
    let stop = |id: &str| {
        let frame = ServerFrame::KillCommand(KillCommand {
            signal: "KILL".into(),
            command_id: Some(id.into()),
            ..KillCommand::default()
        });
        told(frame, 99)
    };
    let mut core = ready();
    let _ = command(&mut core, "switch", 1, 1, at(1));
    for bad in ["", "1", "not-a-uuid"] {
        let effects = core.handle(stop(bad), at(1));
        assert_eq!(effects, [], "id {bad:?}");
    }
    let effects = core.handle(stop(&id(1).to_string()), at(1));
    assert_eq!(effects, [AgentEffect::Kill(id(1))], "positive control");
}

/// A host whose reboot command has ended with 0 at second 2.
fn going_down() -> AgentCore {
    let mut core = ready();
    let effects = command(&mut core, "reboot", 1, 1, at(1));
    assert!(effects.contains(&AgentEffect::Reboot(id(1))));
    let seen = seen('a', "/x");
    let ended = finish(&mut core, 1, JobExit::Code(0), seen.clone(), seen);
    assert!(ended.is_empty(), "exit 0 proves nothing: {ended:?}");
    assert_eq!(core.running(), Some((id(1), Op::Reboot)));
    core
}

#[test]
fn a_machine_that_stays_up_after_its_reboot_command_ends_the_command_after_ten_minutes() {
    let mut core = going_down();
    let deadline = at(2) + jobs::STILL_UP_AFTER;
    assert!(jobs::STILL_UP_AFTER < Op::Reboot.spec().hard);
    let mut now = at(2);
    while let Some(due) = core.poll_timeout().filter(|due| *due < deadline) {
        now = due;
        let effects = core.handle_timeout(due);
        assert_eq!(effects, [AgentEffect::Observe], "only heartbeats");
        let _ = core.handle(AgentInput::Observed(seen('b', "/x")), due);
    }
    assert!(now > at(2), "positive control");
    let result = status(&core.handle_timeout(deadline));
    assert_eq!(
        (result.status.as_str(), result.exit_code),
        ("error", Some(0))
    );
    assert!(result.message.unwrap().ends_with("the machine is still up"));
    assert_eq!(
        result.generation.as_deref(),
        Some("bbbbbbb"),
        "the facts are new"
    );
    assert_eq!(core.running(), None);
    let effects = command(&mut core, "pull", 2, 2, deadline);
    assert_eq!(spawns(&effects), 1, "the host is idle again");
}

#[test]
fn a_stop_ends_the_wait_for_a_machine_that_does_not_go_down() {
    let stop = || {
        let frame = ServerFrame::KillCommand(KillCommand {
            signal: "TERM".into(),
            command_id: Some(id(1).to_string()),
            ..KillCommand::default()
        });
        told(frame, 99)
    };
    let mut core = going_down();
    let result = status(&core.handle(stop(), at(4)));
    assert_eq!(
        (result.status.as_str(), result.exit_code),
        ("error", Some(0))
    );
    assert_eq!(core.running(), None);

    // A stop that comes too late to prevent the exit.
    let mut core = ready();
    let _ = command(&mut core, "reboot", 1, 1, at(1));
    assert_eq!(core.handle(stop(), at(2)), [AgentEffect::Terminate(id(1))]);
    let seen = seen('a', "/x");
    let ended = finish(&mut core, 1, JobExit::Code(0), seen.clone(), seen);
    assert_eq!(status(&ended).exit_code, Some(0));
    assert_eq!(core.running(), None);
}

#[test]
fn a_new_process_of_the_same_boot_does_not_wait_for_an_earlier_reboot() {
    let core = going_down();
    let (next, effects) = AgentCore::start(config("two"), core.journal().clone(), at(5));
    assert_eq!(
        effects.len(),
        2,
        "settled, and nothing attached: {effects:?}"
    );
    let results = next.journal().unconfirmed();
    assert!(results[0].1.interrupted);
}

#[test]
fn a_stop_that_an_earlier_process_passed_on_is_reported_as_one() {
    let mut core = ready();
    let _ = command(&mut core, "switch", 1, 1, at(1));
    let (mut next, _) = AgentCore::start(config("two"), core.journal().clone(), at(5));
    let _ = registered(&mut next, at(6));
    let report = JobReport {
        stop_asked: true,
        ..JobReport::bare(JobExit::Code(143), seen('a', "/x"))
    };
    let done = next.handle(
        AgentInput::JobFinished {
            command: id(1),
            report: Box::new(report),
        },
        at(7),
    );
    assert_eq!(status(&done).status, "stopped");
}
