//! What is started, and what never again.

use super::*;

#[test]
fn c01_the_intent_is_journaled_before_the_spawn_and_a_redelivered_id_never_spawns_again() {
    let mut core = ready();
    let effects = command(&mut core, "switch", 1, 1, at(1));
    assert!(
        matches!(
            effects[0],
            AgentEffect::Journal(JournalEntry::Intent { .. })
        ),
        "{effects:?}"
    );
    assert_eq!(spawns(&effects), 1);
    let again = command(&mut core, "switch", 1, 1, at(1));
    assert_eq!(spawns(&again), 0);
    assert!(matches!(sent(&again)[..], [AgentFrame::Accepted(_)]));
    let done = finish(
        &mut core,
        1,
        JobExit::Code(0),
        seen('a', "/nix/store/a"),
        seen('a', "/nix/store/b"),
    );
    let result = status(&done);
    let again = command(&mut core, "switch", 1, 1, at(3));
    assert_eq!(spawns(&again), 0);
    assert_eq!(status(&again), result, "byte for byte the same result");
}

#[test]
fn c01_after_a_crash_the_command_is_attached_and_not_started_again() {
    let mut core = ready();
    let _ = command(&mut core, "switch", 1, 1, at(1));
    let (mut next, effects) = AgentCore::start(config("two"), core.journal().clone(), at(5));
    assert!(effects.contains(&AgentEffect::Attach {
        command: id(1),
        op: Op::Switch
    }));
    assert_eq!(spawns(&effects), 0);
    let effects = registered(&mut next, at(6));
    let AgentFrame::Register(register) = sent(&effects)[0] else {
        panic!()
    };
    assert_eq!(
        register.running.as_ref().unwrap().command_id,
        id(1).to_string()
    );
    assert_eq!(
        rejection(&command(&mut next, "pull", 2, 2, at(7))).as_deref(),
        Some("busy")
    );
    let done = finish(
        &mut next,
        1,
        JobExit::Interrupted,
        seen('a', "/x"),
        seen('a', "/x"),
    );
    assert!(status(&done).interrupted);
}

#[test]
fn c03_nothing_starts_at_or_below_the_high_water_mark_nor_after_the_lease() {
    let mut core = ready();
    let effects = command(&mut core, "pull", 1, 5, at(1));
    assert_eq!(spawns(&effects), 1, "positive control");
    let _ = finish(
        &mut core,
        1,
        JobExit::Code(0),
        seen('a', "/x"),
        seen('a', "/x"),
    );
    for seq in [1, 4, 5] {
        let effects = command(&mut core, "pull", 2, seq, at(3));
        assert_eq!(
            (spawns(&effects), rejection(&effects).as_deref()),
            (0, Some("stale")),
            "seq {seq}"
        );
    }
    let frame = ServerFrame::Command(CommandFrame {
        command: "pull".into(),
        command_id: Some(id(3).to_string()),
        seq: Some(6),
        not_after: Some(at(60).as_millis()),
        ..CommandFrame::default()
    });
    let late = core.handle(told(frame, 99), at(61));
    assert_eq!(
        (spawns(&late), rejection(&late).as_deref()),
        (0, Some("lease"))
    );
    assert_eq!(
        core.journal().high_water,
        Sequence(6),
        "a refused command can never start later"
    );
}

#[test]
fn a_busy_agent_refuses_and_says_what_it_runs_but_restarts_on_request() {
    let mut core = ready();
    let _ = command(&mut core, "switch", 1, 1, at(1));
    let effects = command(&mut core, "test", 2, 2, at(1));
    let AgentFrame::CommandRejected(rejected) = sent(&effects)[0] else {
        panic!("{effects:?}")
    };
    assert_eq!(rejected.current_command.as_deref(), Some("switch"));
    let effects = command(&mut core, "restart", 3, 3, at(2));
    assert!(effects.contains(&AgentEffect::RestartSelf));
    let (next, effects) = AgentCore::start(config("two"), core.journal().clone(), at(5));
    assert!(effects.contains(&AgentEffect::Attach {
        command: id(1),
        op: Op::Switch
    }));
    let results = next.journal().unconfirmed();
    assert!(
        results
            .iter()
            .any(|(command, result)| *command == id(3) && result.status == "ok")
    );
}

#[test]
fn a_command_that_cannot_be_read_is_refused_by_its_id_and_can_never_start() {
    let frame = |target: &str, op: &str| {
        ServerFrame::Command(CommandFrame {
            command: op.into(),
            command_id: Some(id(1).to_string()),
            seq: Some(4),
            target: Some(TargetFrame {
                commit: target.into(),
                lock_hash: None,
            }),
            ..CommandFrame::default()
        })
    };
    let good = "a".repeat(40);
    for (target, op, code) in [
        ("main", "pull", "malformed"),
        (&good, "from-the-future", "unknown-op"),
    ] {
        let mut core = ready();
        let effects = core.handle(told(frame(target, op), 99), at(1));
        assert_eq!(rejection(&effects).as_deref(), Some(code));
        let AgentFrame::CommandRejected(rejected) = sent(&effects)[0] else {
            panic!("{effects:?}")
        };
        assert_eq!(rejected.command_id, Some(id(1).to_string()));
        assert_eq!(core.journal().high_water, Sequence(4));
        let again = core.handle(told(frame(&good, "pull"), 99), at(1));
        assert_eq!(rejection(&again).as_deref(), Some("stale"));
    }
    let mut core = ready();
    let started = core.handle(told(frame(&good, "pull"), 99), at(1));
    assert_eq!(spawns(&started), 1, "positive control");
}

#[test]
fn an_existing_dashboard_without_ids_is_served() {
    let (mut core, _) = AgentCore::start(config("one"), Journal::default(), at(0));
    let _ = core.handle(AgentInput::Connected(seen('a', "/x")), at(0));
    let frame = ServerFrame::Registered(Registered {
        host_id: "1".into(),
        ..Registered::default()
    });
    let _ = core.handle(told(frame, 98), at(0));
    let frame = ServerFrame::Command(CommandFrame {
        command: "pull".into(),
        ..CommandFrame::default()
    });
    let effects = core.handle(told(frame, 1), at(1));
    assert_eq!(spawns(&effects), 1);
    let done = finish(
        &mut core,
        1,
        JobExit::Code(0),
        seen('a', "/x"),
        seen('b', "/x"),
    );
    assert_eq!(status(&done).command, "pull");
    assert!(
        core.journal().unconfirmed().is_empty(),
        "nobody will confirm it"
    );
    let stop = ServerFrame::Command(CommandFrame {
        command: "stop".into(),
        ..CommandFrame::default()
    });
    assert!(core.handle(told(stop, 2), at(3)).is_empty());
}

#[test]
fn c03_a_slow_answer_to_the_registration_does_not_stretch_a_lease() {
    for (answer, arrives, starts) in [(0, 10, 1), (0, 59, 1), (100, 110, 0)] {
        let (mut core, _) = AgentCore::start(config("one"), Journal::default(), at(0));
        let _ = core.handle(AgentInput::Connected(seen('a', "/x")), at(0));
        let frame = ServerFrame::Registered(Registered {
            host_id: "web-1".into(),
            protocol: Some(PROTOCOL_VERSION),
            // Stamped at once, delivered later.
            server_time: Some(at(0).as_millis()),
            ..Registered::default()
        });
        let slow = told(frame, 98);
        // The wait for an answer is bounded, so a very late one belongs to a new attempt.
        let _ = core.handle(slow, at(answer.min(29)));
        let frame = ServerFrame::Command(CommandFrame {
            command: "pull".into(),
            command_id: Some(id(1).to_string()),
            seq: Some(1),
            not_after: Some(at(60).as_millis()),
            ..CommandFrame::default()
        });
        let effects = core.handle(told(frame, 98), at(arrives));
        assert_eq!(
            spawns(&effects),
            starts,
            "arrives {arrives} s after the clock was read"
        );
    }
}

#[test]
fn c01_an_agent_that_lost_a_part_of_its_journal_starts_nothing_but_tells_what_is_left() {
    let mut before = ready();
    let _ = deploy(&mut before, "switch", 1, 'a', "/nix/store/a");
    let _ = deploy(&mut before, "switch", 2, 'b', "/srv/app");
    let _ = command(&mut before, "test", 3, 3, at(2));
    let mut journal = before.journal().clone();
    journal.lose_part();
    let (mut core, effects) = AgentCore::start(config("two"), journal, at(5));
    let attached = AgentEffect::Attach {
        command: id(3),
        op: Op::Test,
    };
    assert!(effects.contains(&attached), "{effects:?}");
    let effects = registered(&mut core, at(6));
    let AgentFrame::Register(register) = sent(&effects)[0] else {
        panic!()
    };
    assert_eq!(register.results.len(), 2);
    let deployed = register.facts.deployed.clone().value().unwrap();
    assert!(deployed.commit.is_none() && !deployed.clean, "{deployed:?}");
    for op in ["pull", "switch", "restart"] {
        let effects = command(&mut core, op, 4, 4 + op.len() as u64, at(7));
        assert_eq!(rejection(&effects).as_deref(), Some("journal-damaged"));
        assert_eq!(spawns(&effects), 0);
    }
    let seen = seen('b', "/srv/app");
    let done = finish(&mut core, 3, JobExit::Code(0), seen.clone(), seen);
    assert_eq!(status(&done).exit_code, Some(0));
    assert_eq!(
        core.journal().deployments.len(),
        1,
        "a name may mean another system now"
    );

    let mut repaired = core.journal().clone();
    repaired.damaged = false;
    let (mut core, _) = AgentCore::start(config("three"), repaired, at(8));
    let _ = registered(&mut core, at(9));
    let effects = command(&mut core, "pull", 5, 50, at(9));
    assert_eq!(spawns(&effects), 1, "positive control");
}
