use super::*;

fn read(text: &str, identity: &HostIdentity) -> AgentReport {
    agent_message(decode_agent_frame(text).unwrap(), identity)
        .unwrap()
        .unwrap()
}

fn ours() -> HostIdentity {
    HostIdentity {
        protocol: AgentProtocol::Commands,
        capabilities: vec![CAPABILITY_COMMANDS.into(), CAPABILITY_LOCK.into()],
        ..HostIdentity::default()
    }
}

#[test]
fn an_existing_agent_registers_with_seven_digits_and_no_ids() {
    let text = r##"{"type":"register","payload":{"hostname":"web-1","host_type":"nixos","agent_version":"3.1.0",
        "generation":"abc1234","heartbeat_interval":5,"theme_color":"#ff0000","unknown":[1]}}"##;
    let AgentReport::Registered(registration) = read(text, &HostIdentity::default()) else {
        panic!()
    };
    assert_eq!(registration.identity.protocol, AgentProtocol::Existing);
    let Update::Set(repo) = registration.facts.repo else {
        panic!()
    };
    assert_eq!(
        (repo.commit.to_string().as_str(), repo.lock),
        ("abc1234", LockReport::NotReported)
    );
}

#[test]
fn a_null_lock_means_missing_only_from_agents_that_say_so() {
    let commit = "a".repeat(40);
    let text = format!(
        r#"{{"type":"heartbeat","payload":{{"repo":{{"commit":"{commit}"}},"lock_hash":null}}}}"#
    );
    for (identity, expected) in [
        (ours(), LockReport::Missing),
        (HostIdentity::default(), LockReport::NotReported),
    ] {
        let AgentReport::Heartbeat(beat) = read(&text, &identity) else {
            panic!()
        };
        let Update::Set(repo) = beat.facts.repo else {
            panic!()
        };
        assert_eq!(repo.lock, expected);
    }
}

#[test]
fn absent_is_unchanged_and_null_is_gone() {
    let AgentReport::Heartbeat(beat) = read(
        r#"{"type":"heartbeat","payload":{"deployed":null}}"#,
        &ours(),
    ) else {
        panic!()
    };
    assert_eq!(beat.facts.deployed, Update::Gone);
    assert_eq!(beat.facts.system, Update::Unchanged);
    assert_eq!(beat.facts.repo, Update::Unchanged);
}

fn beat(payload: &str, identity: &HostIdentity) -> ObservationUpdate {
    let text = format!(r#"{{"type":"heartbeat","payload":{payload}}}"#);
    let AgentReport::Heartbeat(beat) = read(&text, identity) else {
        panic!("no heartbeat: {text}")
    };
    beat.facts
}

#[test]
fn a_claim_that_is_no_commit_is_a_claim() {
    let commit = "a".repeat(40);
    for (claim, expected) in [
        (format!("\"{commit}\""), Some(commit.clone())),
        (
            format!("\"{commit}-dirty\""),
            Some(format!("{commit}-dirty")),
        ),
        ("\"my laptop\"".to_owned(), Some("my laptop".to_owned())),
        ("\"\"".to_owned(), None),
        ("null".to_owned(), None),
    ] {
        let payload = format!(r#"{{"system":{{"configuration_revision":{claim}}}}}"#);
        let Update::Set(system) = beat(&payload, &ours()).system else {
            panic!()
        };
        let claimed = system.configuration_revision.map(|claim| claim.to_string());
        assert_eq!(claimed, expected, "{claim}");
    }
}

#[test]
fn a_checkout_that_is_not_told_as_a_whole_is_not_known() {
    let hash = "b".repeat(64);
    let existing = HostIdentity::default();
    let lock_alone = format!(r#"{{"lock_hash":"{hash}"}}"#);
    for (payload, identity) in [
        (r#"{"generation":""}"#, &existing),
        (r#"{"generation":"unknown"}"#, &existing),
        (lock_alone.as_str(), &existing),
        (lock_alone.as_str(), &ours()),
        (r#"{"lock_hash":null}"#, &ours()),
    ] {
        assert_eq!(beat(payload, identity).repo, Update::Gone, "{payload}");
    }
    // Positive control: what is not mentioned stays.
    for (payload, identity) in [
        ("{}", &existing),
        (r#"{"lock_hash":""}"#, &existing),
        (r#"{"lock_hash":null}"#, &existing),
        ("{}", &ours()),
        (r#"{"generation":"abc1234"}"#, &ours()),
    ] {
        assert_eq!(beat(payload, identity).repo, Update::Unchanged, "{payload}");
    }
    // A result may leave the commit out, or empty; the heartbeat after it tells.
    let text = r#"{"type":"status","payload":{"status":"ok","command":"pull","exit_code":0,"generation":""}}"#;
    let AgentReport::Result(result) = read(text, &existing) else {
        panic!()
    };
    assert_eq!(result.facts.repo, Update::Unchanged);
}

#[test]
fn a_new_process_that_tells_no_version_has_none() {
    for version in ["", r#","agent_version":null"#, r#","agent_version":"""#] {
        let text = format!(r#"{{"type":"register","payload":{{"hostname":"web-1"{version}}}}}"#);
        let AgentReport::Registered(registration) = read(&text, &ours()) else {
            panic!()
        };
        assert_eq!(registration.facts.agent_version, Update::Gone);
    }
}

#[test]
fn a_test_run_is_what_it_contains_whatever_it_is_called() {
    for (told, expected) in [
        (r#""verdict":"pass","ran":3"#, TestVerdict::Pass),
        (r#""verdict":"pass","ran":0"#, TestVerdict::Empty),
        (
            r#""verdict":"pass","ran":3,"failed":["web"]"#,
            TestVerdict::Fail,
        ),
        (
            r#""verdict":"pass","ran":0,"failed":["web"]"#,
            TestVerdict::Fail,
        ),
        (r#""verdict":"splendid","ran":3"#, TestVerdict::Fail),
        (r#""ran":3"#, TestVerdict::Fail),
    ] {
        let text = format!(
            r#"{{"type":"status","payload":{{"status":"ok","command":"test","exit_code":0,"tests":{{{told}}}}}}}"#
        );
        let AgentReport::Result(result) = read(&text, &ours()) else {
            panic!()
        };
        assert_eq!(result.tests.unwrap().verdict, expected, "{told}");
    }
}

#[test]
fn a_stop_of_an_existing_agent_gives_two_results() {
    for (text, kind) in [
        (
            r#"{"type":"status","payload":{"status":"stopped","command":"switch","exit_code":130}}"#,
            ResultKind::Stopped,
        ),
        (
            r#"{"type":"status","payload":{"status":"error","command":"switch","exit_code":-1}}"#,
            ResultKind::Error,
        ),
    ] {
        let AgentReport::Result(result) = read(text, &HostIdentity::default()) else {
            panic!()
        };
        assert_eq!(
            (result.kind, result.op, result.command),
            (kind, Some(Op::Switch), None)
        );
    }
}

#[test]
fn errors_name_the_field() {
    let text = r#"{"type":"register","payload":{"hostname":"../etc"}}"#;
    let error = agent_message(decode_agent_frame(text).unwrap(), &ours()).unwrap_err();
    assert!(error.to_string().contains("hostname"), "{error}");
    assert!(decode_agent_frame(r#"{"type":"no-such","payload":{}}"#).is_err());
}

#[test]
fn credentials_in_a_repo_url_are_not_kept() {
    assert_eq!(
        without_userinfo("https://u:p@example.org/r.git"),
        "https://example.org/r.git"
    );
    assert_eq!(
        without_userinfo("git@example.org:r.git"),
        "git@example.org:r.git"
    );
}
