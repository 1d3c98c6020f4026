//! Registration, heartbeats, reconnecting.

use super::*;

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
