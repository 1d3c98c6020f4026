//! What counts as reached, and what an ending means for the deploy outcome.

use nixfleet_core::compartment::PullSwitchHalf;
use nixfleet_core::host::AgentProtocol::{self, Commands, Existing};
use nixfleet_core::host::{DeployOutcome, HostObservation, TestVerdict};
use nixfleet_core::ids::StorePath;
use nixfleet_core::lifecycle::{
    Command, DeployEffect, Ending, EndingKind, ExitReport, GoalGap, HostEffect, Phase, Reconcile,
    Signal, Step, Trace, UnverifiedCause, Verdict, Withdrawal, goal_verdict, infer_deployment,
    late_result,
};
use nixfleet_core::report::ResultKind::{Error, Interrupted, Ok as Fine, Stopped};
use nixfleet_core::report::{InputsUpdate, PushedUpdate};
use nixfleet_core::{Op, lock_hash};

use super::play::{Facts, Play, Process, Word as W};
use super::world::{
    ID, OTHER, World, commit, deployed, lock, path, repo, tests_of_the_running_system,
};

fn exited(world: World) -> Play {
    let mut play = Play::sent(world);
    play.play(&[W::Accepted, W::Exit(Fine, 0)]);
    assert_eq!(play.command.phase, Phase::Verifying);
    play
}

fn verdict_after(op: Op, change: impl FnOnce(&mut HostObservation)) -> Verdict {
    let play = exited(World::new(op, Commands));
    let mut after = play.world.after();
    change(&mut after);
    goal_verdict(&play.command, &after)
}

fn named(name: &str) -> StorePath {
    name.parse().unwrap()
}

/// A platform where a "path" is just a name: the host runs `before`, and after the switch the
/// agent says that it built and runs `after`.
fn custom(before: &str, earlier_record: bool, after: &str) -> Verdict {
    let mut world = World::new(Op::Switch, Commands);
    world.observation.system.as_mut().unwrap().path = Some(named(before));
    let record = world.observation.deployed.as_mut().unwrap();
    record.store_path = Some(named(before));
    if !earlier_record {
        world.observation.deployed = None;
    }
    let play = exited(world);
    let mut facts = play.world.after();
    facts.deployed.as_mut().unwrap().store_path = Some(named(after));
    facts.system.as_mut().unwrap().path = Some(named(after));
    goal_verdict(&play.command, &facts)
}

#[test]
fn a_switch_is_done_when_the_record_of_this_command_is_what_runs() {
    let gap = |change: fn(&mut HostObservation)| verdict_after(Op::Switch, change);
    assert_eq!(gap(|_| {}), Verdict::Reached);
    assert_eq!(
        gap(|after| after.system.as_mut().unwrap().path = Some(path("other"))),
        Verdict::NotReached(GoalGap::OtherSystemRunning)
    );
    assert_eq!(
        gap(|after| after.deployed.as_mut().unwrap().command = Some(OTHER)),
        Verdict::NotReached(GoalGap::NoDeploymentRecord)
    );
    assert_eq!(
        gap(|after| after.deployed.as_mut().unwrap().commit = Some(commit('a').into())),
        Verdict::NotReached(GoalGap::OtherInputsBuilt)
    );
    assert_eq!(
        gap(|after| after.deployed.as_mut().unwrap().commit = None),
        Verdict::NotReached(GoalGap::OtherInputsBuilt)
    );
    assert!(matches!(
        gap(|after| after.deployed = None),
        Verdict::Waiting(_)
    ));
    assert!(matches!(
        gap(|after| after.system = None),
        Verdict::Waiting(_)
    ));
}

#[test]
fn an_unmoved_system_is_fine_where_equal_paths_mean_equal_systems() {
    let stay = |after: &mut HostObservation| {
        after.deployed.as_mut().unwrap().store_path = Some(path("one"));
        after.system.as_mut().unwrap().path = Some(path("one"));
    };
    assert_eq!(verdict_after(Op::Switch, stay), Verdict::Reached);
    let claiming = |claim: &str| {
        verdict_after(Op::Switch, |after| {
            stay(after);
            after.system.as_mut().unwrap().configuration_revision = Some(claim.parse().unwrap());
        })
    };
    assert_eq!(claiming(&commit('b').to_string()), Verdict::Reached);
    let contradicted = Verdict::NotReached(GoalGap::SystemUnmoved);
    for claim in [
        commit('a').to_string(),
        format!("{}-dirty", commit('b')),
        "a laptop".to_owned(),
    ] {
        assert_eq!(claiming(&claim), contradicted, "{claim}");
    }
}

#[test]
fn unmoved_after_a_switch_is_partial_where_a_path_is_just_a_name() {
    assert_eq!(custom("rev-a", true, "rev-b"), Verdict::Reached);
    let unmoved = Verdict::NotReached(GoalGap::SystemUnmoved);
    assert_eq!(custom("rev-a", true, "rev-a"), unmoved);
    assert_eq!(custom("rev-a", false, "rev-a"), unmoved);
}

#[test]
fn switching_again_to_what_is_deployed_already_succeeds_on_every_platform() {
    let mut world = World::new(Op::Switch, Commands);
    let name = named("rev-b");
    world.observation.system.as_mut().unwrap().path = Some(name.clone());
    let mut record = deployed('b', "new", "two", Some(OTHER));
    record.store_path = Some(name.clone());
    world.observation.deployed = Some(record);
    let play = exited(world);
    let mut after = play.world.after();
    after.deployed.as_mut().unwrap().store_path = Some(name.clone());
    after.system.as_mut().unwrap().path = Some(name);
    assert_eq!(goal_verdict(&play.command, &after), Verdict::Reached);
}

#[test]
fn a_pull_is_done_at_its_pinned_target_wherever_the_remote_went_meanwhile() {
    assert_eq!(verdict_after(Op::Pull, |_| {}), Verdict::Reached);
    let abbreviated = |after: &mut HostObservation| {
        after.repo.as_mut().unwrap().commit = "bbbbbbb".parse().unwrap();
    };
    assert_eq!(verdict_after(Op::Pull, abbreviated), Verdict::Reached);
    assert_eq!(
        verdict_after(Op::Pull, |after| after.repo = Some(repo('a', "old"))),
        Verdict::NotReached(GoalGap::CommitIsNotTarget)
    );
}

#[test]
fn a_rollback_is_done_when_the_target_runs() {
    assert_eq!(verdict_after(Op::Rollback, |_| {}), Verdict::Reached);
    assert_eq!(
        verdict_after(Op::Rollback, |after| {
            after.system.as_mut().unwrap().path = Some(path("one"));
        }),
        Verdict::NotReached(GoalGap::NotRollbackTarget)
    );
    // It runs the target, and the next boot would start another one.
    let profile = |name: Option<&'static str>| {
        move |after: &mut HostObservation| {
            after.system.as_mut().unwrap().profile_path = name.map(path);
        }
    };
    assert_eq!(
        verdict_after(Op::Rollback, profile(Some("elsewhere"))),
        Verdict::NotReached(GoalGap::NotRollbackTarget)
    );
    // A profile that the host's own commands do not keep says nothing.
    let mut play = exited(World::new(Op::Rollback, Commands));
    let mut after = play.world.after();
    after.system.as_mut().unwrap().profile_path = Some(path("elsewhere"));
    play.command.baseline.profile_path = Some(path("elsewhere"));
    assert_eq!(goal_verdict(&play.command, &after), Verdict::Reached);
    let runs = World::new(Op::Rollback, Commands).after().system.unwrap();
    assert_eq!(
        verdict_after(Op::Rollback, |after| {
            after.system.as_mut().unwrap().profile_path = runs.path.clone();
        }),
        Verdict::Reached
    );
}

#[test]
fn a_test_is_done_when_its_result_is_about_what_is_deployed() {
    let mut play = exited(World::new(Op::Test, Commands));
    let after = play.world.after();
    assert_eq!(goal_verdict(&play.command, &after), Verdict::Reached);
    let mut moved = after.clone();
    moved.deployed = Some(deployed('b', "new", "one", None));
    assert_eq!(
        goal_verdict(&play.command, &moved),
        Verdict::NotReached(GoalGap::TestsOfOtherRevision)
    );
    for (verdict, gap) in [
        (TestVerdict::Empty, GoalGap::NoTests),
        (TestVerdict::Void, GoalGap::TestsOfOtherRevision),
    ] {
        let tests = play.command.exit.as_mut().unwrap().tests.as_mut().unwrap();
        tests.verdict = verdict;
        assert_eq!(
            goal_verdict(&play.command, &after),
            Verdict::NotReached(gap)
        );
    }
}

#[test]
fn unchanged_inputs_are_not_an_update() {
    assert_eq!(
        verdict_after(Op::UpdateInputs, |after| after.repo =
            Some(repo('a', "old"))),
        Verdict::NotReached(GoalGap::LockUnchanged)
    );
}

#[test]
fn the_record_of_an_existing_agent_is_inferred_only_from_equal_reports() {
    let mut play = Play::sent(World::new(Op::Switch, Existing));
    play.play(&[
        W::Exit(Fine, 0),
        W::Disconnect,
        W::Hello(Process::New, None),
    ]);
    let after = play.world.after();
    let record = infer_deployment(&play.command, &after).unwrap();
    assert!(record.inferred);
    assert_eq!(record.command, Some(ID));
    assert_eq!(record.lock, Some(lock("old")));
    assert_eq!(infer_deployment(&play.command, &play.world.wrong()), None);
    let steps = play.play(&[W::Beat(Facts::Right)]);
    assert!(
        steps.contains(&Step::RecordDeployment(Some(record))),
        "{steps:?}"
    );
    assert_eq!(play.command.phase, Phase::Success);
}

#[test]
fn a_rollback_of_an_existing_agent_clears_the_inferred_record() {
    let mut play = Play::sent(World::new(Op::Rollback, Existing));
    let steps = play.play(&[
        W::Exit(Fine, 0),
        W::Disconnect,
        W::Hello(Process::New, None),
        W::Beat(Facts::Right),
    ]);
    assert_eq!(steps, [Step::RecordDeployment(None)]);
    play.one(&W::Wait(300));
    assert_eq!(
        play.command.ending,
        Some(Ending::Unverified(UnverifiedCause::NotReported))
    );
}

fn outcome(steps: &[Step]) -> Option<(DeployOutcome, Option<bool>)> {
    steps.iter().find_map(|step| match step {
        Step::DeployOutcome {
            outcome,
            needs_reconcile,
            ..
        } => Some((*outcome, *needs_reconcile)),
        _ => None,
    })
}

fn outcome_of(
    op: Op,
    protocol: AgentProtocol,
    words: &[W],
) -> Option<(DeployOutcome, Option<bool>)> {
    let mut play = Play::sent(World::new(op, protocol));
    play.play(words);
    assert!(play.command.phase.is_terminal(), "{:?}", play.rows);
    outcome(&play.steps)
}

#[test]
fn the_deploy_outcome_follows_the_ending() {
    use DeployOutcome::{Failed, Ok, Unknown};
    let pull_half = W::Progress(Some(PullSwitchHalf::Pull));
    let switch = |words: &[W]| outcome_of(Op::Switch, Commands, words);
    let ok = Some((Ok, Some(false)));
    let unknown = Some((Unknown, Some(true)));
    let failed = Some((Failed, None));
    assert_eq!(
        switch(&[W::Accepted, W::Exit(Fine, 0), W::Beat(Facts::Right)]),
        ok
    );
    assert_eq!(
        switch(&[W::Accepted, W::Exit(Error, 4), W::Beat(Facts::Right)]),
        ok
    );
    assert_eq!(switch(&[W::Accepted, W::Exit(Error, 1)]), failed);
    assert_eq!(
        switch(&[W::Accepted, W::Kill(Signal::Term), W::Exit(Stopped, 130)]),
        failed
    );
    assert_eq!(switch(&[W::Accepted, W::Exit(Interrupted, -1)]), unknown);
    assert_eq!(
        switch(&[W::Accepted, W::Exit(Fine, 0), W::Wait(300)]),
        unknown
    );
    assert_eq!(
        switch(&[W::Accepted, W::Disconnect, W::Wait(1800)]),
        unknown
    );
    assert_eq!(
        switch(&[W::Accepted, W::Disconnect, W::Kill(Signal::Term)]),
        unknown
    );
    assert_eq!(switch(&[W::Rejected]), None);
    assert_eq!(switch(&[W::SendFail { nothing_left: true }]), None);
    // The record says "activated", and something else runs: ok by the record, not verified.
    let partial = switch(&[W::Accepted, W::Exit(Fine, 0), W::Beat(Facts::Wrong)]);
    assert_eq!(partial, Some((Ok, None)));
    let pulling = [W::Accepted, pull_half.clone(), W::Exit(Error, 1)];
    assert_eq!(outcome_of(Op::PullSwitch, Commands, &pulling), None);
    let missed = [
        W::Accepted,
        pull_half,
        W::Disconnect,
        W::Hello(Process::Running, None),
        W::Exit(Error, 1),
    ];
    assert_eq!(
        outcome_of(Op::PullSwitch, Commands, &missed),
        failed,
        "progress may have been missed while away"
    );
    let stale = [
        W::Accepted,
        W::Disconnect,
        W::Progress(Some(PullSwitchHalf::Pull)),
        W::Hello(Process::New, Some(vec![(Error, 1)])),
    ];
    assert_eq!(outcome_of(Op::PullSwitch, Commands, &stale), failed);
    assert_eq!(
        outcome_of(Op::Pull, Commands, &[W::Accepted, W::Exit(Error, 1)]),
        None
    );
}

/// What an ending of a deploy does to its host, as the specification says it.
pub fn expected_effect(kind: EndingKind, trace: Trace) -> HostEffect {
    let phase = kind.spec().phase;
    let deploy = match phase {
        Phase::Success | Phase::Degraded | Phase::StaleBinary | Phase::Suspicious => {
            DeployEffect::Ok
        }
        Phase::Partial if trace == Trace::Activated => DeployEffect::Ok,
        Phase::Partial | Phase::Timeout => DeployEffect::Unknown,
        Phase::Killed if trace == Trace::PullOnly => DeployEffect::Unchanged,
        Phase::Killed => DeployEffect::Failed,
        Phase::Error if kind == EndingKind::OutcomeUnknown => DeployEffect::Unknown,
        Phase::Error if kind == EndingKind::ExitCode && trace != Trace::PullOnly => {
            DeployEffect::Failed
        }
        Phase::Skipped if kind == EndingKind::StoppedTracking => DeployEffect::Unknown,
        _ => DeployEffect::Unchanged,
    };
    // "Set only by a command whose outcome is unknown; cleared by a verified deploy."
    let verified = !matches!(phase, Phase::Partial) && deploy == DeployEffect::Ok;
    let reconcile = match deploy {
        DeployEffect::Unknown => Reconcile::Sets,
        _ if verified => Reconcile::Clears,
        _ => Reconcile::Keeps,
    };
    HostEffect { deploy, reconcile }
}

#[test]
fn every_ending_of_a_deploy_has_the_effect_of_the_specification() {
    for kind in EndingKind::ALL {
        for trace in [Trace::PullOnly, Trace::Touched, Trace::Activated] {
            let expected = expected_effect(kind, trace);
            assert_eq!(kind.spec().effect(trace), expected, "{kind:?} {trace:?}");
        }
    }
}

fn ended(words: &[W]) -> Command {
    let mut play = Play::sent(World::new(Op::Switch, Commands));
    play.play(words);
    assert!(play.command.phase.is_terminal());
    play.command
}

fn late(command: &Command, report: &ExitReport, newest: bool) -> Vec<Step> {
    let before = command.clone();
    let steps = late_result(command, report, newest);
    assert_eq!(&before, command);
    steps
}

#[test]
fn b10_a_late_result_settles_the_record_only_if_it_is_the_newest() {
    let lost = ended(&[W::Accepted, W::Disconnect, W::Wait(1800)]);
    let world = World::new(Op::Switch, Commands);
    let mut report = world.report(Fine, 0);
    report.deployed = Some(deployed('b', "new", "two", Some(ID)));
    let newest = late(&lost, &report, true);
    assert_eq!(outcome(&newest), Some((DeployOutcome::Ok, Some(false))));
    assert_eq!(newest.first(), Some(&Step::Confirm));
    assert!(matches!(newest.last(), Some(Step::Late { .. })));
    assert_eq!(outcome(&late(&lost, &report, false)), None);
    report.deployed = None;
    assert_eq!(
        outcome(&late(&lost, &report, true)),
        Some((DeployOutcome::Unknown, Some(true))),
        "exit 0 without a record proves nothing"
    );
    let failed = world.report(Error, 1);
    assert_eq!(
        outcome(&late(&lost, &failed, true)),
        Some((DeployOutcome::Failed, Some(false)))
    );
}

#[test]
fn a_late_result_of_a_command_that_was_never_sent_settles_nothing() {
    let mut play = Play::queued(World::new(Op::Switch, Commands));
    play.play(&[W::Cancel(Withdrawal::Cancelled)]);
    let mut report = play.world.report(Fine, 0);
    report.deployed = Some(deployed('b', "new", "two", Some(ID)));
    let steps = late(&play.command, &report, true);
    assert_eq!(outcome(&steps), None);
    assert!(matches!(
        steps.as_slice(),
        [Step::Confirm, Step::Late { .. }]
    ));
    let sent = ended(&[W::Accepted, W::Disconnect, W::Wait(1800)]);
    let control = outcome(&late(&sent, &report, true));
    assert_eq!(control, Some((DeployOutcome::Ok, Some(false))));
}

#[test]
fn a_result_that_is_known_already_is_only_confirmed_again() {
    let done = ended(&[W::Accepted, W::Exit(Fine, 0), W::Beat(Facts::Right)]);
    let world = World::new(Op::Switch, Commands);
    assert_eq!(late(&done, &world.report(Fine, 0), true), [Step::Confirm]);
    let foreign = ExitReport::new(Some(OTHER), None, 0);
    assert_eq!(late(&done, &foreign, true), []);
    let live = Play::sent(World::new(Op::Switch, Commands)).command;
    assert_eq!(late(&live, &world.report(Fine, 0), true), []);
}

#[test]
fn a_test_command_always_leaves_its_evidence() {
    let evidence = |protocol, words: &[W]| {
        let mut play = Play::sent(World::new(Op::Test, protocol));
        play.play(words);
        play.steps.into_iter().find_map(|step| match step {
            Step::TestResult(evidence) => Some(evidence),
            _ => None,
        })
    };
    let ours = evidence(
        Commands,
        &[W::Accepted, W::Exit(Fine, 0), W::Beat(Facts::Right)],
    );
    assert_eq!(ours, Some(tests_of_the_running_system()));
    let old = evidence(Existing, &[W::Exit(Fine, 0), W::Beat(Facts::Right)]).unwrap();
    assert!(!old.per_script && old.verdict == TestVerdict::Pass);
    let old = evidence(Existing, &[W::Exit(Error, 1)]).unwrap();
    assert_eq!(old.verdict, TestVerdict::Fail);
    let stopped = evidence(Commands, &[W::Accepted, W::Exit(Stopped, 130)]).unwrap();
    assert_eq!(stopped.verdict, TestVerdict::Stopped);
    assert_eq!(evidence(Commands, &[W::Rejected]), None);
}

#[test]
fn starting_at_once_is_queueing_starting_and_being_admitted() {
    for protocol in [Commands, Existing] {
        let world = World::new(Op::Switch, protocol);
        let (command, steps) = world.start();
        let play = Play::sent(world);
        assert_eq!(command, play.command);
        assert_eq!(steps, play.steps);
    }
}

#[test]
fn the_record_of_an_update_decides_where_the_agent_tells_it() {
    let lock = |text: &str| Some(lock_hash(text.as_bytes()));
    let pushed = Some(PushedUpdate {
        commit: commit('c'),
        branch: "nixfleet/update-cccccccccccc".to_owned(),
    });
    let mut play = exited(World::new(Op::UpdateInputs, Commands));
    let moved = play.world.after();
    let mut unmoved = moved.clone();
    unmoved.repo = Some(repo('a', "old"));
    let mut judge = |lock_after, pushed, after: &HostObservation| {
        play.command.exit.as_mut().unwrap().update = Some(Box::new(InputsUpdate {
            base: commit('a'),
            lock_before: lock("old"),
            lock_after,
            pushed,
        }));
        goal_verdict(&play.command, after)
    };
    // A branch beside the tracked one leaves the checkout as it is.
    assert_eq!(
        judge(lock("new"), pushed.clone(), &unmoved),
        Verdict::Reached
    );
    // The checkout moved, but somebody else moved it.
    assert_eq!(
        judge(lock("old"), None, &moved),
        Verdict::NotReached(GoalGap::LockUnchanged)
    );
    assert_eq!(
        judge(lock("new"), None, &moved),
        Verdict::Unverified(UnverifiedCause::NotReported)
    );
}
