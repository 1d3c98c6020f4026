//! What is deployed, and what can be rolled back to.

use super::*;

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
