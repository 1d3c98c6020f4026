use std::time::Duration;

use super::*;
use crate::host::{LockReport, Repo, RunningSystem};
use crate::ids::Sequence;
use crate::wire::agent::*;
use crate::wire::server_order;

const INTERVAL: Duration = Duration::from_secs(5);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_000_000 + seconds)
}

fn config(instance: &str) -> AgentConfig {
    AgentConfig {
        host: "web-1".parse().unwrap(),
        version: "4.0.0".into(),
        host_type: "nixos".into(),
        os_version: None,
        location: None,
        device_type: None,
        theme_color: None,
        repo_url: None,
        repo_dir: None,
        interval: INTERVAL,
        instance_id: instance.parse().unwrap(),
        boot_id: Some("boot-1".parse().unwrap()),
        machine_id_hash: None,
        seed: 1,
    }
}

fn id(number: u8) -> CommandId {
    CommandId::from_bytes([number; 16])
}

fn seen(commit: char, path: &str) -> AgentObservation {
    AgentObservation {
        repo: Some(Repo {
            commit: commit.to_string().repeat(40).parse().unwrap(),
            lock: LockReport::Hash(crate::lock_hash(commit.to_string().as_bytes())),
            dirty: false,
        }),
        system: RunningSystem {
            path: Some(path.parse().unwrap()),
            ..RunningSystem::default()
        },
        ..AgentObservation::default()
    }
}

/// What the server says, as it arrives; `fresh` makes an id for what has none.
fn told(frame: ServerFrame, fresh: u8) -> AgentInput {
    let fresh_id = id(fresh);
    let order = server_order(frame);
    AgentInput::Order { order, fresh_id }
}

fn registered(core: &mut AgentCore, now: Timestamp) -> Vec<AgentEffect> {
    let mut effects = core.handle(AgentInput::Connected(seen('a', "/nix/store/a")), now);
    let frame = ServerFrame::Registered(Registered {
        host_id: "web-1".into(),
        protocol: Some(PROTOCOL_VERSION),
        server_time: Some(now.as_millis()),
        ..Registered::default()
    });
    effects.extend(core.handle(told(frame, 99), now));
    effects
}

fn ready() -> AgentCore {
    let (mut core, effects) = AgentCore::start(config("one"), Journal::default(), at(0));
    assert_eq!(effects, [AgentEffect::Connect]);
    let effects = registered(&mut core, at(0));
    assert!(matches!(
        sent(&effects)[..],
        [AgentFrame::Register(_), AgentFrame::Heartbeat(_)]
    ));
    core
}

fn command(
    core: &mut AgentCore,
    op: &str,
    number: u8,
    seq: u64,
    now: Timestamp,
) -> Vec<AgentEffect> {
    let frame = ServerFrame::Command(CommandFrame {
        command: op.into(),
        command_id: Some(id(number).to_string()),
        seq: Some(seq),
        not_after: Some((now + Duration::from_secs(60)).as_millis()),
        ..CommandFrame::default()
    });
    core.handle(told(frame, 99), now)
}

fn finish(
    core: &mut AgentCore,
    number: u8,
    exit: JobExit,
    before: AgentObservation,
    after: AgentObservation,
) -> Vec<AgentEffect> {
    let report = JobReport {
        at_start: Some(Sighting::from(&before)),
        at_end: Some(Sighting::from(&after)),
        ..JobReport::bare(exit, after)
    };
    core.handle(
        AgentInput::JobFinished {
            command: id(number),
            report: Box::new(report),
        },
        at(2),
    )
}

fn sent(effects: &[AgentEffect]) -> Vec<&AgentFrame> {
    effects
        .iter()
        .filter_map(|effect| {
            if let AgentEffect::Send(frame) = effect {
                Some(&**frame)
            } else {
                None
            }
        })
        .collect()
}

fn spawns(effects: &[AgentEffect]) -> usize {
    effects
        .iter()
        .filter(|effect| matches!(effect, AgentEffect::Spawn { .. }))
        .count()
}

fn rejection(effects: &[AgentEffect]) -> Option<String> {
    sent(effects).into_iter().find_map(|frame| {
        if let AgentFrame::CommandRejected(rejected) = frame {
            rejected.code.clone()
        } else {
            None
        }
    })
}

fn status(effects: &[AgentEffect]) -> StatusReport {
    sent(effects)
        .into_iter()
        .find_map(|frame| {
            if let AgentFrame::Status(status) = frame {
                Some((**status).clone())
            } else {
                None
            }
        })
        .unwrap()
}

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

#[test]
fn the_deployment_record_names_inputs_only_if_they_did_not_change_during_the_build() {
    for (after_commit, dirty, known) in
        [('a', false, true), ('b', false, false), ('a', true, false)]
    {
        let mut core = ready();
        let _ = command(&mut core, "switch", 1, 1, at(1));
        let mut before = seen('a', "/nix/store/old");
        before.repo.as_mut().unwrap().dirty = dirty;
        let mut after = seen(after_commit, "/nix/store/new");
        after.repo.as_mut().unwrap().dirty = dirty;
        let _ = finish(&mut core, 1, JobExit::Code(0), before, after);
        let deployed = core.journal().deployed.clone().unwrap();
        assert_eq!((deployed.commit.is_some(), deployed.clean), (known, known));
        assert_eq!(deployed.store_path.unwrap().as_str(), "/nix/store/new");
    }
}

/// A test run that passed, on a host without a deployment record whose system claims its revision.
fn tested(change: impl FnOnce(&mut JobReport)) -> TestReport {
    let mut core = ready();
    let _ = command(&mut core, "test", 1, 1, at(1));
    let mut now = seen('a', "/nix/store/a");
    now.system.configuration_revision = now.repo.map(|repo| repo.commit);
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
fn a_rollback_knows_again_what_it_went_back_to() {
    let mut core = ready();
    for (number, commit, path) in [(1, 'a', "/s/a"), (2, 'b', "/s/b")] {
        let _ = command(&mut core, "switch", number, u64::from(number), at(1));
        let _ = finish(
            &mut core,
            number,
            JobExit::Code(0),
            seen(commit, "/s/0"),
            seen(commit, path),
        );
    }
    let _ = command(&mut core, "rollback", 3, 3, at(1));
    let _ = finish(
        &mut core,
        3,
        JobExit::Code(0),
        seen('b', "/s/b"),
        seen('b', "/s/a"),
    );
    let deployed = core.journal().deployed.clone().unwrap();
    assert_eq!(deployed.commit.unwrap().short(), "aaaaaaa");
    assert_eq!(deployed.command, Some(id(3)));
}

#[test]
fn heartbeats_go_on_during_commands_and_only_after_registration() {
    let (mut core, _) = AgentCore::start(config("one"), Journal::default(), at(0));
    assert!(sent(&core.handle(AgentInput::Observed(seen('a', "/x")), at(0))).is_empty());
    let _ = registered(&mut core, at(0));
    let _ = command(&mut core, "switch", 1, 1, at(1));
    for beat in 1..5 {
        assert!(
            core.handle_timeout(at(beat * 5))
                .contains(&AgentEffect::Observe),
            "beat {beat}"
        );
        let effects = core.handle(AgentInput::Observed(seen('a', "/x")), at(beat * 5));
        let AgentFrame::Heartbeat(heartbeat) = sent(&effects)[0] else {
            panic!()
        };
        assert_eq!(heartbeat.command_id, Some(id(1).to_string()));
    }
}

#[test]
fn a_lost_connection_is_retried_for_ever_with_bounded_delays() {
    let (mut core, _) = AgentCore::start(config("one"), Journal::default(), at(0));
    let mut now = at(0);
    for _ in 0..50 {
        let _ = core.handle(AgentInput::Disconnected, now);
        let next = core.poll_timeout().unwrap();
        assert!(next.since(now) <= backoff::LONGEST);
        now = next;
        assert!(core.handle_timeout(now).contains(&AgentEffect::Connect));
    }
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

/// Number, path, commit and whether it is the current one.
type Listed = (u64, String, Option<String>, bool);

/// The generations of the heartbeat that follows an observation; `None` if it mentions none.
fn generations(core: &mut AgentCore, observation: AgentObservation) -> Option<Vec<Listed>> {
    let effects = core.handle(AgentInput::Observed(observation), at(3));
    let AgentFrame::Heartbeat(heartbeat) = sent(&effects)[0] else {
        panic!("{effects:?}")
    };
    let crate::wire::Field::Value(list) = heartbeat.facts.generations.clone() else {
        return None;
    };
    let entry = |g: GenerationFacts| {
        let commit = g.commit.map(|commit| commit[..1].to_owned());
        (g.number, g.path.unwrap(), commit, g.current)
    };
    Some(list.into_iter().map(entry).collect())
}

fn deploy(
    core: &mut AgentCore,
    op: &str,
    number: u8,
    commit: char,
    path: &str,
) -> Vec<AgentEffect> {
    let _ = command(core, op, number, u64::from(number), at(1));
    finish(
        core,
        number,
        JobExit::Code(0),
        seen(commit, "/s/0"),
        seen(commit, path),
    )
}

#[test]
fn a_host_without_a_list_of_generations_is_rolled_back_to_what_its_journal_knows() {
    let mut core = ready();
    let entry = |number, path: &str, commit: char, current| {
        (number, path.to_owned(), Some(commit.to_string()), current)
    };
    let _ = deploy(&mut core, "switch", 3, 'a', "/s/a");
    let done = deploy(&mut core, "switch", 5, 'b', "/s/b");
    assert!(matches!(sent(&done)[1], AgentFrame::Heartbeat(beat)
        if matches!(&beat.facts.generations, crate::wire::Field::Value(list) if list.len() == 2)));
    assert_eq!(
        generations(&mut core, seen('b', "/s/b")),
        None,
        "sent when changed only"
    );
    let rolled_back = Some(vec![
        entry(5, "/s/b", 'b', false),
        entry(3, "/s/a", 'a', true),
    ]);
    assert_eq!(generations(&mut core, seen('b', "/s/a")), rolled_back);
    let _ = deploy(&mut core, "rollback", 7, 'b', "/s/a");
    let _ = core.handle(AgentInput::Disconnected, at(4));
    let effects = registered(&mut core, at(5));
    let AgentFrame::Register(register) = sent(&effects)[0] else {
        panic!()
    };
    assert!(
        matches!(&register.facts.generations, crate::wire::Field::Value(list) if list.len() == 2),
        "sent again on a new connection; a rollback makes no new generation"
    );
    assert_eq!(
        core.journal().deployment_numbered(3).unwrap().command,
        Some(id(7))
    );
    assert_eq!(generations(&mut core, seen('b', "/s/a")), rolled_back);
}

#[test]
fn a_list_of_the_host_gets_the_commits_that_the_journal_knows() {
    let mut core = ready();
    let _ = deploy(&mut core, "switch", 1, 'a', "/s/a");
    let mut observation = seen('a', "/s/a");
    observation.generations = [(42, "/s/a", true), (41, "/s/old", false)]
        .map(|(number, path, current)| crate::host::Generation {
            number,
            path: Some(path.parse().unwrap()),
            commit: None,
            created: None,
            current,
        })
        .to_vec();
    assert_eq!(
        generations(&mut core, observation),
        Some(vec![
            (42, "/s/a".to_owned(), Some("a".to_owned()), true),
            (41, "/s/old".to_owned(), None, false),
        ])
    );
}

#[test]
fn an_existing_dashboard_gets_a_new_connection_after_a_switch_ours_does_not() {
    for (protocol, closes) in [(None, true), (Some(PROTOCOL_VERSION), false)] {
        let (mut core, _) = AgentCore::start(config("one"), Journal::default(), at(0));
        let _ = core.handle(AgentInput::Connected(seen('a', "/x")), at(0));
        let frame = ServerFrame::Registered(Registered {
            protocol,
            server_time: Some(at(0).as_millis()),
            ..Registered::default()
        });
        let _ = core.handle(told(frame, 98), at(0));
        for (op, number, exit, expected) in [
            ("pull", 1, 0, false),
            ("switch", 2, 1, false),
            ("switch", 3, 0, closes),
        ] {
            let _ = command(&mut core, op, number, u64::from(number), at(1));
            let done = finish(
                &mut core,
                number,
                JobExit::Code(exit),
                seen('a', "/x"),
                seen('a', "/y"),
            );
            assert!(matches!(
                sent(&done)[..],
                [AgentFrame::Status(_), AgentFrame::Heartbeat(_)]
            ));
            assert_eq!(done.last() == Some(&AgentEffect::Close), expected, "{op}");
        }
    }
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

#[test]
fn connections_that_do_not_last_are_made_ever_more_rarely() {
    let (mut core, _) = AgentCore::start(config("one"), Journal::default(), at(0));
    let mut longest = Duration::ZERO;
    let mut now = at(0);
    let mut lose_after = |core: &mut AgentCore, lasted: i64| {
        let _ = registered(core, now);
        now = Timestamp::from_millis(now.as_millis() + lasted * 1000);
        let _ = core.handle(AgentInput::Disconnected, now);
        let next = core.poll_timeout().unwrap();
        let waited = next.since(now);
        now = next;
        let _ = core.handle_timeout(now);
        waited
    };
    for _ in 0..20 {
        longest = longest.max(lose_after(&mut core, 1));
    }
    assert!(longest > Duration::from_secs(5), "{longest:?}");
    for _ in 0..20 {
        let waited = lose_after(&mut core, 600);
        assert!(waited <= backoff::FIRST, "{waited:?}");
    }
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
