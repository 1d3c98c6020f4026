//! Merging, deploying and reverting: laws E1, E4, E5, E6 and E9, and the table of jobs.

use std::collections::BTreeSet;
use std::time::Duration;

use nixfleet_core::RolloutId;
use nixfleet_core::admission::WindowState;
use nixfleet_core::host::Actor;
use nixfleet_core::rollout::Targets;
use nixfleet_core::update::{
    BETWEEN_MUTATIONS, CheckState, Deploy, ForgeAnswer, ForgeCall, ForgeFailure, Gates, Happening,
    JOB_TABLE, JobState, MergeAnswer, MergeOrder, PrNumber, PrState, Progress, PullRequest,
    ReadOrNot, RevertAnswer, RevertKind, StageKind, UpdatePolicy, UpdateRefusal, UpdateStep,
    job_row,
};

use super::pull_requests::{benign, check, commit, edit_lock, policy};
use super::world::{Whim, World, lock_of, merge_commit, order, person};

const MINUTE: Duration = Duration::from_secs(60);
const NUMBER: PrNumber = PrNumber(42);

/// Nothing happens by itself.
fn by_hand() -> UpdatePolicy {
    UpdatePolicy {
        auto_merge: false,
        ..policy()
    }
}

fn listed() -> World {
    let mut world = World::with(by_hand());
    world.put(benign());
    world.check();
    world
}

fn deploy() -> Deploy {
    Deploy {
        rollout: RolloutId::from_bytes([7; 16]),
        hosts: Targets::All,
        policy: Deploy::default_policy(),
    }
}

fn with_deploy() -> MergeOrder {
    MergeOrder {
        deploy: Some(deploy()),
        ..order(42, None)
    }
}

fn ask_deploy(world: &mut World) {
    let started = world
        .updates
        .merge(&person(), with_deploy(), &world.desired, world.now);
    world.perform(None);
    started.unwrap();
}

#[test]
fn the_table_of_jobs_has_one_row_for_everything_that_can_happen() {
    let ids: BTreeSet<&str> = JOB_TABLE.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), JOB_TABLE.len());
    use Happening::{
        Ambiguous, DeployedBadly, DeployedWell, Done, Eligible, Gone, HeadMoved, Invalid,
        MergedAsAsked, MergedOtherwise, NotEligible, NotMergeable, NotShown, OtherHead, Refused,
        Shown, TriesUsed, Unread, UnreadTooOften,
    };
    let reading = [
        Eligible,
        TriesUsed,
        NotEligible,
        OtherHead,
        MergedAsAsked,
        MergedOtherwise,
        Gone,
        Unread,
        UnreadTooOften,
    ];
    let calling = [Done, HeadMoved, NotMergeable, Invalid, Refused, Ambiguous];
    let possible = |stage| match stage {
        StageKind::Reading | StageKind::ReadingRefused => &reading[..],
        StageKind::Calling => &calling,
        StageKind::Awaiting => &[Shown, NotShown],
        StageKind::Deploying => &[DeployedWell, DeployedBadly],
    };
    let mut named: BTreeSet<&Happening> = BTreeSet::new();
    for stage in StageKind::ALL {
        for on in Happening::ALL {
            let rows = JOB_TABLE
                .iter()
                .filter(|row| row.stage == stage && row.on == *on);
            let expected = usize::from(possible(stage).contains(on));
            assert_eq!(rows.count(), expected, "{stage:?} {on:?}");
            assert_eq!(job_row(stage, *on).is_some(), expected == 1);
        }
        named.extend(possible(stage));
    }
    assert_eq!(named.len(), Happening::ALL.len());
}

#[test]
fn e01_a_merge_is_made_once_with_the_head_that_was_read() {
    let mut world = listed();
    world.ask_merge(None).unwrap();
    assert!(world.job_ended_well(), "{}", world.job_message());
    assert_eq!(world.merges, [(NUMBER, commit('c'))]);
    let merged = &world.updates.merged()[&NUMBER];
    assert_eq!(
        (merged.by.clone(), merged.commit),
        (Some(person()), Some(merge_commit()))
    );
    assert_eq!(world.updates.current(), None);

    // Again, also after a restart, and whatever is listed meanwhile: nothing is called.
    world.restart();
    world.prs.insert(NUMBER, benign());
    world.check();
    assert_eq!(
        world.updates.current(),
        None,
        "what is merged is not listed again"
    );
    assert!(world.ask_merge(None).is_ok(), "merged already is success");
    assert!(world.job_ended_well());
    assert_eq!(world.merge_calls(), 1);
}

#[test]
fn e01_an_answer_that_comes_twice_changes_nothing() {
    let mut world = listed();
    world.ask_merge(None).unwrap();
    let (stored, calls) = (world.stored.clone(), world.calls.len());
    for answer in [
        MergeAnswer::Done {
            commit: commit('9'),
        },
        MergeAnswer::HeadMoved,
        MergeAnswer::Ambiguous("late".into()),
        MergeAnswer::NotMergeable("late".into()),
    ] {
        world.hear(ForgeAnswer::Merged(NUMBER, answer));
        world.hear(ForgeAnswer::Read(NUMBER, Ok(Some(Box::new(benign())))));
        world.hear(ForgeAnswer::Listed(Ok(vec![benign()])));
        world.perform(None);
    }
    assert_eq!((world.stored.clone(), world.calls.len()), (stored, calls));
}

#[test]
fn e01_a_second_job_waits_for_nobody() {
    let mut world = listed();
    world
        .whims
        .push_back(Whim::Answer(MergeAnswer::Ambiguous("reset".into())));
    world.ask_merge(None).unwrap();
    assert!(world.updates.open_job().is_some());
    assert_eq!(world.ask_merge(None), Err(UpdateRefusal::Busy(NUMBER)));
    // What nobody knows is unknown, whatever is under way.
    let unknown = world
        .updates
        .merge(&person(), order(5, None), &world.desired, world.now);
    assert_eq!(unknown, Err(UpdateRefusal::UnknownPr(PrNumber(5))));
    world.pass(MINUTE);
    assert!(world.job_ended_well());
    assert_eq!(world.merges.len(), 1);
}

#[test]
fn a_person_is_told_at_once_what_stands_in_the_way() {
    let mut world = listed();
    let unknown = world
        .updates
        .merge(&person(), order(5, None), &world.desired, world.now);
    assert_eq!(unknown, Err(UpdateRefusal::UnknownPr(PrNumber(5))));
    let other = MergeOrder {
        head: Some(commit('0')),
        ..order(42, None)
    };
    let other = world
        .updates
        .merge(&person(), other, &world.desired, world.now);
    assert_eq!(other, Err(UpdateRefusal::HeadMoved(NUMBER)));

    let mut failing = benign();
    failing.checks = ReadOrNot::Read(vec![check("build", CheckState::Failure, 'c')]);
    world.put(failing);
    world.check();
    let refused = world.ask_merge(None);
    assert!(
        matches!(refused, Err(UpdateRefusal::NeedsReason { .. })),
        "{refused:?}"
    );
    assert!(matches!(
        world.ask_merge(Some("  ")),
        Err(UpdateRefusal::NeedsReason { .. })
    ));
    assert_eq!(world.merge_calls(), 0);
    world.ask_merge(Some("the builder is down")).unwrap();
    assert!(world.job_ended_well());
    let reasons: Vec<_> = world
        .steps
        .iter()
        .filter_map(|step| match step {
            UpdateStep::Audit(note) if note.outcome == "merged" => Some(note.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(reasons.len(), 1);
    assert_eq!(reasons[0].reason.as_deref(), Some("the builder is down"));
    assert_eq!(reasons[0].actor, person());
    assert!(
        reasons[0]
            .before
            .as_ref()
            .unwrap()
            .contains(&commit('c').to_string())
    );
    assert!(
        reasons[0]
            .after
            .as_ref()
            .unwrap()
            .contains(&merge_commit().to_string())
    );

    let mut draft = World::with(by_hand());
    draft.put(PullRequest {
        draft: true,
        ..benign()
    });
    draft.check();
    let refused = draft.ask_merge(Some("please"));
    assert!(
        matches!(refused, Err(UpdateRefusal::NotEligible { .. })),
        "{refused:?}"
    );
    assert_eq!(draft.merge_calls(), 0);
}

#[test]
fn a_head_that_moves_is_read_again_and_told() {
    let mut world = listed();
    let mut moved = benign();
    moved.head = commit('d');
    moved.title = "flake.lock: newer".to_owned();
    world.whims.push_back(Whim::MovesHead(Box::new(moved)));
    world.ask_merge(None).unwrap();
    assert!(!world.job_ended_well());
    assert!(
        world
            .job_message()
            .contains("moved from ccccccc to ddddddd"),
        "{}",
        world.job_message()
    );
    let known = world.updates.current().unwrap();
    assert_eq!(
        (known.pr.head, known.pr.title.as_str()),
        (commit('d'), "flake.lock: newer")
    );
    assert_eq!(world.merges, []);
    // The person looks again, and merges what is there now.
    let mut moved = benign();
    moved.head = commit('d');
    moved.checks = ReadOrNot::Read(vec![check("build", CheckState::Success, 'd')]);
    world.put(moved);
    world.check();
    world.pass(MINUTE);
    world.ask_merge(None).unwrap();
    assert_eq!(world.merges, [(NUMBER, commit('d'))]);
}

#[test]
fn what_the_forge_refuses_is_read_and_told() {
    let refusals = [
        (
            MergeAnswer::NotMergeable("a review is missing".into()),
            "review",
            2,
        ),
        (
            MergeAnswer::Invalid("the method is not allowed".into()),
            "method",
            1,
        ),
        (
            MergeAnswer::Refused(ForgeFailure {
                what: "the token may not merge".into(),
                not_before: None,
            }),
            "token",
            1,
        ),
    ];
    for (answer, word, readings) in refusals {
        let mut world = listed();
        world.whims.push_back(Whim::Answer(answer));
        world.ask_merge(None).unwrap();
        assert!(!world.job_ended_well());
        let told = world.job_message();
        assert!(told.contains(word) || told.contains("forge"), "{told}");
        let reads = |(_, call): &&(_, ForgeCall)| matches!(call, ForgeCall::Read { .. });
        assert_eq!(world.calls.iter().filter(reads).count(), readings, "{told}");
        world.pass(10 * MINUTE);
        world.ask_merge(None).unwrap();
        assert_eq!(world.merges.len(), 1, "a person may ask again");
    }
}

#[test]
fn merged_by_somebody_else_is_success_and_is_not_ours() {
    // Just before our call, and before the first reading.
    let mut late = listed();
    late.whims.push_back(Whim::MergedBySomebody);
    let mut early = listed();
    early.prs.get_mut(&NUMBER).unwrap().state = PrState::Merged {
        commit: Some(merge_commit()),
    };
    for world in [&mut late, &mut early] {
        world.ask_merge(None).unwrap();
        assert!(world.job_ended_well(), "{}", world.job_message());
        assert_eq!(world.merges, []);
        assert_eq!(world.updates.merged()[&NUMBER].commit, Some(merge_commit()));
    }
    assert_eq!(early.updates.merged()[&NUMBER].by, None);

    // Another head than the one that was asked for: told, and nothing is deployed.
    let mut other = listed();
    let pr = other.prs.get_mut(&NUMBER).unwrap();
    pr.head = commit('d');
    pr.state = PrState::Merged {
        commit: Some(merge_commit()),
    };
    ask_deploy(&mut other);
    assert!(!other.job_ended_well());
    assert!(other.deploys.is_empty());
    assert!(
        other.job_message().contains("ddddddd"),
        "{}",
        other.job_message()
    );
    assert!(other.updates.merged().contains_key(&NUMBER));
}

#[test]
fn what_vanishes_from_the_list_is_read_and_remembered() {
    let mut world = listed();
    world.prs.get_mut(&NUMBER).unwrap().state = PrState::Merged {
        commit: Some(merge_commit()),
    };
    world.check();
    assert_eq!(world.updates.merged()[&NUMBER].by, None);
    assert_eq!(
        world.updates.state().baseline.as_ref().unwrap().number,
        NUMBER
    );
    let mut closed = listed();
    closed.prs.get_mut(&NUMBER).unwrap().state = PrState::Closed;
    closed.check();
    assert!(closed.updates.merged().is_empty());
    assert!(closed.updates.state().missing.is_empty());
}

#[test]
fn e04_an_unclear_answer_is_read_before_anything_is_tried_again() {
    // It was done.
    let mut done = listed();
    done.whims.push_back(Whim::DoneButUnclear);
    done.ask_merge(None).unwrap();
    done.pass(MINUTE);
    assert!(done.job_ended_well(), "{}", done.job_message());
    assert_eq!((done.merge_calls(), done.merges.len()), (1, 1));
    assert_eq!(
        done.updates.merged()[&NUMBER].by,
        Some(person()),
        "it is ours"
    );

    // It was not done, once or twice; then it is.
    for times in 1..=2 {
        let mut world = listed();
        let unclear = || Whim::Answer(MergeAnswer::Ambiguous("502".into()));
        world.whims.extend((0..times).map(|_| unclear()));
        world.ask_merge(None).unwrap();
        world.pass(2 * MINUTE);
        assert!(world.job_ended_well());
        assert_eq!((world.merge_calls(), world.merges.len()), (times + 1, 1));
    }

    // Never done: three calls at most, and it is said that nobody knows.
    let mut world = listed();
    world
        .whims
        .extend((0..9).map(|_| Whim::Answer(MergeAnswer::Ambiguous("502".into()))));
    world.ask_merge(None).unwrap();
    world.pass(60 * MINUTE);
    assert!(!world.job_ended_well());
    assert!(
        world.job_message().contains("nobody knows"),
        "{}",
        world.job_message()
    );
    assert_eq!(world.merge_calls(), 3);

    // The forge shows it much later: it is remembered as ours.
    world.prs.get_mut(&NUMBER).unwrap().state = PrState::Merged {
        commit: Some(merge_commit()),
    };
    world.check();
    assert_eq!(world.updates.merged()[&NUMBER].commit, Some(merge_commit()));
}

#[test]
fn e04_no_answer_at_all_is_an_unclear_one() {
    let mut world = listed();
    let started = world
        .updates
        .merge(&person(), order(42, None), &world.desired, world.now);
    started.unwrap();
    world.perform(Some(1));
    assert_eq!(world.merge_calls(), 1);
    // The forge did it, and its client never came back.
    world.forge(&ForgeCall::Merge {
        number: NUMBER,
        head: commit('c'),
        method: nixfleet_core::update::MergeMethod::Merge,
    });
    world.pass(4 * MINUTE);
    assert!(world.job_ended_well(), "{}", world.job_message());
    assert_eq!((world.merge_calls(), world.merges.len()), (1, 1));
}

#[test]
fn e05_a_crash_between_the_call_and_its_record_comes_to_the_same() {
    for done in [true, false] {
        let mut world = listed();
        ask_deploy_without_answers(&mut world, 1);
        assert_eq!(world.merge_calls(), 1, "the call has left");
        if done {
            world.forge(&ForgeCall::Merge {
                number: NUMBER,
                head: commit('c'),
                method: nixfleet_core::update::MergeMethod::Merge,
            });
        }
        world.restart();
        world.pass(MINUTE);
        assert_eq!(world.merges, [(NUMBER, commit('c'))]);
        assert_eq!(world.merge_calls(), if done { 1 } else { 2 });
        assert_eq!(world.updates.merged()[&NUMBER].by, Some(person()));
        assert_eq!(world.deploys.len(), 1);
        assert_eq!(world.deploys[0].commit, merge_commit());
    }
}

fn ask_deploy_without_answers(world: &mut World, answers: usize) {
    let started = world
        .updates
        .merge(&person(), with_deploy(), &world.desired, world.now);
    started.unwrap();
    world.perform(Some(answers));
}

#[test]
fn e05_nothing_is_deployed_before_the_branch_shows_the_merge() {
    // Never.
    let mut never = listed();
    never.branch_follows = false;
    ask_deploy(&mut never);
    let looks = |world: &World| {
        world
            .steps
            .iter()
            .filter(|step| matches!(step, UpdateStep::ReadRemote))
            .count()
    };
    let before = looks(&never);
    never.pass(Duration::from_secs(119));
    assert_eq!(never.deploys, []);
    assert!(never.updates.open_job().is_some());
    assert!(looks(&never) >= before + 10, "it is looked for");
    never.pass(Duration::from_secs(2));
    assert!(!never.job_ended_well());
    assert!(
        never.job_message().contains("no rollout was started"),
        "{}",
        never.job_message()
    );
    assert_eq!(never.deploys, []);
    // Once the branch shows it, a person can deploy what is merged already.
    never.branch_shows(merge_commit(), &[]);
    assert_eq!(never.deploys, [], "it was given up");
    ask_deploy(&mut never);
    assert_eq!(never.deploys.len(), 1);
    assert_eq!(never.merge_calls(), 1);

    // The commit itself, a descendant, and what is neither.
    for (head, older, shown) in [
        (merge_commit(), vec![], true),
        (
            commit('f'),
            vec![commit('8'), merge_commit(), commit('b')],
            true,
        ),
        (commit('f'), vec![commit('b')], false),
        (commit('b'), vec![], false),
    ] {
        let mut world = listed();
        world.branch_follows = false;
        ask_deploy(&mut world);
        world.branch_fails();
        assert_eq!(world.deploys, [], "nothing is known of the branch");
        world.branch_shows(head, &older);
        assert_eq!(world.deploys.len(), usize::from(shown), "{head}");
        if shown {
            assert_eq!(
                world.deploys[0].commit,
                merge_commit(),
                "exactly the merge commit"
            );
            assert_eq!(world.deploys[0].lock.is_some(), head == merge_commit());
            assert_eq!(world.deploys[0].deploy, deploy());
        }
    }

    // A restart while it is awaited.
    let mut world = listed();
    world.branch_follows = false;
    ask_deploy(&mut world);
    world.restart();
    assert_eq!(world.deploys, []);
    world.branch_shows(merge_commit(), &[]);
    assert_eq!(world.deploys.len(), 1);
    assert_eq!(world.merge_calls(), 1);
}

/// Without history a branch that moved past the merge shows it by the word of the forge alone.
#[test]
fn e05_the_forge_proves_what_a_source_without_history_cannot() {
    let merged = || {
        let mut world = listed();
        world.branch_follows = false;
        ask_deploy(&mut world);
        world.now = world.now + Duration::from_secs(2);
        assert_eq!(world.questions(commit('b')), 1, "the branch as it was");
        world
    };
    let mut past = merged();
    past.contains.push((commit('f'), merge_commit()));
    past.branch_is_at(commit('f'));
    assert_eq!(past.deploys.len(), 1);
    assert_eq!(past.deploys[0].commit, merge_commit(), "not the head");
    assert_eq!(past.deploys[0].lock, Some(lock_of(merge_commit())));
    assert_eq!(past.questions(commit('f')), 1);

    // A branch that lost the merge, or somebody else's history.
    let mut beside = merged();
    beside.branch_is_at(commit('f'));
    beside.pass(MINUTE);
    assert_eq!(beside.questions(commit('f')), 1, "its answer is remembered");
    assert_eq!(beside.deploys, []);
    // It moves on, and now it has it.
    beside.contains.push((commit('9'), merge_commit()));
    beside.branch_is_at(commit('9'));
    assert_eq!(beside.deploys.len(), 1);

    let mut lost = merged();
    lost.branch_is_at(commit('f'));
    lost.pass(3 * MINUTE);
    assert!(!lost.job_ended_well());
    let message = lost.job_message();
    assert!(message.contains("does not contain it"), "{message}");
    assert_eq!(lost.deploys, []);
}

#[test]
fn e06_a_forge_that_cannot_tell_is_asked_again_in_its_own_time() {
    let failure = |not_before| ForgeFailure {
        what: "the forge limits requests".to_owned(),
        not_before,
    };
    let mut world = listed();
    world.branch_follows = false;
    ask_deploy(&mut world);
    world.now = world.now + Duration::from_secs(2);
    world.contains.push((commit('f'), merge_commit()));
    let pause = world.now + Duration::from_secs(45);
    world.outages.extend([failure(None), failure(Some(pause))]);
    world.branch_is_at(commit('f'));
    assert_eq!(world.questions(commit('f')), 1);
    world.pass(Duration::from_secs(40));
    assert_eq!(world.questions(commit('f')), 2, "then it wants a pause");
    assert_eq!(world.deploys, []);
    world.pass(Duration::from_secs(20));
    assert_eq!(world.questions(commit('f')), 3);
    assert_eq!(world.deploys.len(), 1);

    // One that never tells.
    let mut mute = listed();
    mute.branch_follows = false;
    ask_deploy(&mut mute);
    mute.now = mute.now + Duration::from_secs(2);
    mute.outages.extend((0..30).map(|_| failure(None)));
    mute.branch_is_at(commit('f'));
    mute.pass(3 * MINUTE);
    assert!(!mute.job_ended_well());
    let message = mute.job_message();
    assert!(message.contains("the forge limits requests"), "{message}");
    // After a restart it is asked anew.
    let mut again = listed();
    again.branch_follows = false;
    ask_deploy(&mut again);
    again.now = again.now + Duration::from_secs(2);
    again.branch_is_at(commit('f'));
    again.restart();
    again.contains.push((commit('f'), merge_commit()));
    again.branch_is_at(commit('f'));
    assert_eq!(again.deploys.len(), 1);
    assert_eq!(again.merge_calls(), 1);
}

#[test]
fn the_job_tells_how_far_the_rollout_is() {
    let mut world = listed();
    let state = |world: &World| {
        let job = world.updates.state().job.as_ref().unwrap();
        (job.state(), job.progress().done)
    };
    world.branch_follows = false;
    ask_deploy(&mut world);
    assert_eq!(state(&world), (JobState::Merging, 0));
    world.branch_shows(merge_commit(), &[]);
    assert_eq!(state(&world), (JobState::Pulling, 0));
    let mut progress = Progress {
        targets: 3,
        done: 1,
        ..Progress::default()
    };
    world.updates.deploy_progress(progress, world.now);
    assert_eq!(state(&world), (JobState::Pulling, 1));
    progress.switching = true;
    world.updates.deploy_progress(progress, world.now);
    assert_eq!(state(&world), (JobState::Switching, 1));
    assert!(
        world.job_message().contains("1 of 3"),
        "{}",
        world.job_message()
    );
    // The rollout is asked for once more after a restart, as one that runs.
    world.perform(None);
    world.restart();
    let told = world
        .steps
        .iter()
        .filter(|step| matches!(step, UpdateStep::Deploying(_)));
    assert_eq!(told.count(), 1);
    world
        .updates
        .deploy_ended(true, "3 of 3 hosts are done", world.now);
    assert_eq!(state(&world), (JobState::Completed, 1));
    assert_eq!(world.job_message(), "3 of 3 hosts are done");
    world.updates.deploy_ended(false, "late", world.now);
    assert_eq!(
        state(&world).0,
        JobState::Completed,
        "an ended job has ended"
    );
}

#[test]
fn e06_the_forge_is_left_alone_for_as_long_as_it_asks() {
    let pause = |world: &World, seconds| ForgeFailure {
        what: "the quota is used up".to_owned(),
        not_before: Some(world.now + Duration::from_secs(seconds)),
    };
    // A failed listing.
    let mut world = listed();
    let failure = pause(&world, 1200);
    world.outages.push_back(failure);
    world.check();
    let calls = world.calls.len();
    world.check();
    world.ask_merge(None).unwrap();
    world.pass(Duration::from_secs(1199));
    assert_eq!(world.calls.len(), calls, "nothing is asked");
    assert!(world.updates.view().failing.unwrap().not_before.is_some());
    world.pass(Duration::from_secs(2));
    assert!(world.job_ended_well());
    assert!(world.updates.view().failing.is_none());

    // A refused merge by the automation: it tries again, not before.
    let mut auto = World::new();
    auto.put(benign());
    auto.check();
    auto.pass(59 * MINUTE);
    let failure = ForgeFailure {
        what: "secondary rate limit".to_owned(),
        not_before: Some(auto.now + 31 * MINUTE),
    };
    auto.whims
        .push_back(Whim::Answer(MergeAnswer::Refused(failure)));
    auto.pass(MINUTE);
    assert_eq!(auto.merge_calls(), 1);
    auto.pass(29 * MINUTE);
    assert_eq!(auto.merges, []);
    auto.pass(2 * MINUTE);
    assert_eq!(auto.merges.len(), 1);

    // A pause beyond all reason ends after a day, and one in the past is none.
    let mut world = listed();
    let failure = ForgeFailure {
        what: "x".to_owned(),
        not_before: Some(nixfleet_core::Timestamp::from_millis(i64::MAX)),
    };
    world.updates.check(&person(), &world.desired, world.now);
    drop(world.updates.take_steps());
    world
        .updates
        .answer(ForgeAnswer::Listed(Err(failure)), &world.desired, world.now);
    let due = world.updates.state().not_before.unwrap();
    assert_eq!(due.since(world.now), Duration::from_secs(86_400));
}

#[test]
fn e06_a_pause_after_a_merge_call_is_told_and_no_later_request_waits_for_a_day() {
    for (seconds, waits) in [(3_000, true), (86_400, false)] {
        let mut world = listed();
        let failure = ForgeFailure {
            what: "secondary rate limit".to_owned(),
            not_before: Some(world.now + Duration::from_secs(seconds)),
        };
        world
            .whims
            .push_back(Whim::Answer(MergeAnswer::Refused(failure)));
        world.ask_merge(None).unwrap();
        assert!(world.job_message().contains("secondary rate limit"));
        let told = world
            .updates
            .view()
            .failing
            .expect("what is known grows old");
        assert!(told.what.contains("secondary rate limit") && told.not_before.is_some());
        world.ask_merge(None).unwrap();
        if waits {
            world.pass(Duration::from_secs(seconds + 1));
            assert!(world.job_ended_well(), "{}", world.job_message());
            assert_eq!(world.merges.len(), 1);
        } else {
            let said = world.job_message();
            assert!(said.contains("left alone until"), "{said}");
            assert_eq!(world.merge_calls(), 1);
            world.ask_merge(None).expect("no job is in the way");
        }
    }
}

/// A commit that the branch had before is no merge: the pull request is read before that is believed.
#[test]
fn e01_a_merge_into_the_head_that_was_there_is_not_believed() {
    let mut world = listed();
    let old = world.desired.remote.commit().unwrap();
    for _ in 0..3 {
        let lie = MergeAnswer::Done { commit: old };
        world.whims.push_back(Whim::Answer(lie));
    }
    world.ask_merge(None).unwrap();
    world.pass(30 * MINUTE);
    assert!(!world.job_ended_well(), "{}", world.job_message());
    assert_eq!(world.updates.merged().len(), 0);
    assert_eq!(world.merges, []);
    // Positive control: the forge does merge it, and says so.
    world.ask_merge(None).unwrap();
    world.pass(MINUTE);
    assert!(world.job_ended_well(), "{}", world.job_message());
    assert_eq!(world.merges.len(), 1);
}

/// The forge refuses the call although it has merged: whose merge it was is not forgotten.
#[test]
fn e01_a_merge_that_the_forge_says_it_refused_is_attributed_when_it_is_found() {
    let refused = ForgeFailure {
        what: "the token may not merge".into(),
        not_before: None,
    };
    for answer in [
        MergeAnswer::Refused(refused),
        MergeAnswer::Invalid("the method is not allowed".into()),
    ] {
        let mut world = listed();
        world.whims.push_back(Whim::MergedBut(answer));
        world.ask_merge(None).unwrap();
        assert!(!world.job_ended_well());
        world.pass(MINUTE);
        let merged = world.updates.merged().values().next().expect("it is found");
        assert_eq!(merged.by, Some(person()));
        assert_eq!(world.merge_calls(), 1);
    }
    // It was true, and somebody else merges it later.
    let mut world = listed();
    let said = "the method is not allowed".to_owned();
    world
        .whims
        .push_back(Whim::Answer(MergeAnswer::Invalid(said)));
    world.ask_merge(None).unwrap();
    world.pass(MINUTE);
    let commit = Some(merge_commit());
    world.prs.get_mut(&NUMBER).unwrap().state = PrState::Merged { commit };
    world.check();
    let merged = world.updates.merged().values().next().expect("it is found");
    assert_eq!(merged.by, None);
}

/// Whatever the forge says and whenever, the world watches E1, E4 and E6 on every call.
#[test]
fn e06_changes_are_a_second_apart_and_nothing_leaves_in_a_pause() {
    let mut seed = 1_u64;
    let mut next = move |below: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let (mut merged, mut reverted) = (0, 0);
    for _ in 0..1_500 {
        let mut world = World::with(UpdatePolicy {
            auto_merge: next(2) == 0,
            direct_revert: true,
            ..policy()
        });
        world.put(benign());
        for _ in 0..12 {
            match next(9) {
                0 => world.check(),
                1 => drop(world.ask_merge((next(2) == 0).then_some("because"))),
                2 => world.restart(),
                3 => {
                    let ambiguous = MergeAnswer::Ambiguous("reset".into());
                    let not_before = Some(world.now + Duration::from_secs(next(4_000)));
                    let what = "slow down".to_owned();
                    world.whims.push_back(match next(5) {
                        0 => Whim::Answer(ambiguous),
                        1 => Whim::DoneButUnclear,
                        2 => Whim::Answer(MergeAnswer::Refused(ForgeFailure { what, not_before })),
                        3 => Whim::MergedBySomebody,
                        _ => Whim::Answer(MergeAnswer::HeadMoved),
                    });
                }
                4 => {
                    let not_before = Some(world.now + Duration::from_secs(next(4_000)));
                    let what = "503".to_owned();
                    world.outages.push_back(ForgeFailure { what, not_before });
                }
                5 => {
                    let kind = RevertKind::Commit;
                    let (now, me) = (world.now, person());
                    world
                        .updates
                        .revert(&me, NUMBER, kind, None, &world.desired, now)
                        .ok();
                    world.perform(None);
                }
                6 => world.pass(Duration::from_secs(next(3))),
                _ => world.pass(Duration::from_secs(next(4_000))),
            }
        }
        world.pass(Duration::from_secs(90_000));
        assert!(world.merges.len() <= 1);
        assert!(world.reverts.len() <= 1);
        let open = world.updates.open_job();
        let waits = open.is_some_and(|job| job.state() == JobState::Pulling);
        assert!(open.is_none() || waits, "{open:?}");
        merged += world.merges.len();
        reverted += world.reverts.len();
    }
    assert!(merged > 500 && reverted > 50, "{merged} {reverted}");
}

#[test]
fn e09_a_merge_is_reverted_once_and_it_is_the_recorded_one() {
    let mut world = listed();
    let revert = |world: &mut World, kind| {
        let now = world.now;
        let asked = world
            .updates
            .revert(&person(), NUMBER, kind, None, &world.desired, now);
        world.perform(None);
        asked
    };
    let early = revert(&mut world, RevertKind::PullRequest);
    assert_eq!(early, Err(UpdateRefusal::NotMerged(NUMBER)));
    world.ask_merge(None).unwrap();
    assert_eq!(
        revert(&mut world, RevertKind::Commit),
        Err(UpdateRefusal::DirectRevertOff)
    );
    // Twice nobody knows, and a restart in the middle; the forge finds what it made.
    for _ in 0..2 {
        world
            .revert_answers
            .push_back(RevertAnswer::Ambiguous("reset".into()));
    }
    world.pass(BETWEEN_MUTATIONS);
    revert(&mut world, RevertKind::PullRequest).unwrap();
    world.restart();
    world.pass(MINUTE);
    assert!(world.job_ended_well(), "{}", world.job_message());
    assert_eq!(world.reverts, [(NUMBER, merge_commit())]);
    let recorded = world.updates.merged()[&NUMBER].revert.clone().unwrap();
    assert_eq!(
        (recorded.number, recorded.by),
        (Some(PrNumber(900)), person())
    );
    let again = revert(&mut world, RevertKind::PullRequest);
    assert_eq!(again, Err(UpdateRefusal::AlreadyReverted(NUMBER)));
    world.restart();
    let again = revert(&mut world, RevertKind::PullRequest);
    assert_eq!(again, Err(UpdateRefusal::AlreadyReverted(NUMBER)));
    assert_eq!(world.reverts.len(), 1);
    let calls = |(_, call): &&(_, ForgeCall)| matches!(call, ForgeCall::Revert { .. });
    assert!(world.calls.iter().filter(calls).count() <= 3);
}

#[test]
fn a_revert_that_is_not_possible_says_why_and_may_be_asked_again() {
    let mut world = listed();
    world.ask_merge(None).unwrap();
    for answer in [
        RevertAnswer::NotPossible("it conflicts with newer commits".into()),
        RevertAnswer::Refused(ForgeFailure {
            what: "the branch is protected".into(),
            not_before: None,
        }),
    ] {
        world.pass(MINUTE);
        world.revert_answers.push_back(answer);
        let (kind, now) = (RevertKind::PullRequest, world.now);
        let asked = world
            .updates
            .revert(&person(), NUMBER, kind, None, &world.desired, now);
        world.perform(None);
        asked.unwrap();
        assert!(!world.job_ended_well());
        assert!(world.updates.merged()[&NUMBER].revert.is_none());
    }
}

#[test]
fn the_automation_merges_once_everything_is_old_enough_and_deploys() {
    let mut world = World::new();
    world.put(benign());
    world.check();
    world.pass(59 * MINUTE);
    assert_eq!(world.merge_calls(), 0);
    world.pass(MINUTE);
    assert_eq!(world.merges.len(), 1);
    let merged = &world.updates.merged()[&NUMBER];
    assert_eq!(merged.by, Some(Actor::Automation("auto-merge".into())));
    assert_eq!(world.deploys.len(), 1);
    assert_eq!(world.deploys[0].commit, merge_commit());

    let mut off = World::with(by_hand());
    off.put(benign());
    off.check();
    off.pass(600 * MINUTE);
    assert_eq!(off.merge_calls(), 0, "off unless switched on");
}

/// Each gate alone keeps the automation away, and lets it go on once it is open.
#[test]
fn a_window_or_a_quarantine_keeps_the_automation_away_and_a_person_may_merge() {
    let mut quarantined = Gates::default();
    let mut other = benign();
    edit_lock(&mut other, |_| {});
    let hash = match nixfleet_core::update::LockFacts::of(&other) {
        nixfleet_core::update::LockFacts::Compared(compared) => compared.head,
        other => panic!("{other:?}"),
    };
    quarantined
        .quarantined
        .insert(hash, "rolled back on web-1".to_owned());
    let closed = Gates {
        window: WindowState::Closed { opens: None },
        ..Gates::default()
    };
    for (gates, word) in [(quarantined, "web-1"), (closed, "window")] {
        let mut world = World::new();
        world.put(benign());
        world.updates.set_gates(gates.clone());
        world.check();
        world.pass(180 * MINUTE);
        assert_eq!(world.merge_calls(), 0);
        let view = serde_json::to_string(&world.updates.view().auto).unwrap();
        assert!(view.contains(word), "{view}");
        world.updates.set_gates(Gates::default());
        world.updates.settle(&world.desired, world.now);
        world.perform(None);
        assert_eq!(world.merges.len(), 1, "an opening is enough");

        let mut world = World::new();
        world.put(benign());
        world.updates.set_gates(gates);
        world.check();
        world.ask_merge(None).unwrap();
        assert_eq!(world.merges.len(), 1, "{word}");
    }
}

#[test]
fn the_newest_is_the_current_one_and_a_failed_head_is_not_tried_again() {
    let mut world = World::new();
    world.put(benign());
    let newer = PullRequest {
        number: PrNumber(43),
        created_at: benign().created_at + MINUTE,
        ..benign()
    };
    world.put(newer.clone());
    world.check();
    let numbers: Vec<u64> = world
        .updates
        .view()
        .prs
        .iter()
        .map(|pr| pr.number.0)
        .collect();
    assert_eq!(numbers, [43, 42]);
    world
        .whims
        .push_back(Whim::Answer(MergeAnswer::Invalid("no".into())));
    world.pass(600 * MINUTE);
    assert_eq!(world.merge_calls(), 1, "not tried again by itself");
    // Another head is another matter.
    world.put(PullRequest {
        head: commit('d'),
        checks: ReadOrNot::Read(vec![check("build", CheckState::Success, 'd')]),
        ..newer
    });
    world.check();
    world.pass(120 * MINUTE);
    assert_eq!(world.merges[0], (PrNumber(43), commit('d')));
}

#[test]
fn inputs_that_move_although_the_title_names_others_are_named() {
    let mut world = World::with(by_hand());
    world.put(PullRequest {
        title: "flake.lock: Update nixpkgs".to_owned(),
        ..benign()
    });
    world.check();
    let view = world.updates.view();
    assert_eq!(view.prs[0].unexpected, ["home-manager"]);
    let nixpkgs = view.prs[0]
        .inputs
        .iter()
        .find(|one| one.input == "nixpkgs")
        .unwrap();
    assert!(!nixpkgs.unexpected);
    let range = format!("{}...{}", "1".repeat(40), "2".repeat(40));
    let link = format!("https://github.com/NixOS/nixpkgs/compare/{range}");
    assert_eq!(nixpkgs.compare.as_deref(), Some(link.as_str()));
    assert_eq!(
        nixpkgs.text,
        "nixpkgs 1111111 (2026-11-18) → 2222222 (2026-11-18)"
    );
    let named = world.updates.pending(&world.desired.remote).unwrap();
    assert_eq!(
        named.changes,
        [
            "home-manager 1111111 → 2222222",
            "nixpkgs 1111111 → 2222222"
        ]
    );

    let mut plain = World::with(by_hand());
    plain.put(benign());
    plain.check();
    assert!(
        plain.updates.view().prs[0].unexpected.is_empty(),
        "a title without names says nothing"
    );
}
