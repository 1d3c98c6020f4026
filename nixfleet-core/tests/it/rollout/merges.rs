//! From a merge to the last host, in the real fleet with real agents.

use nixfleet_core::fleet::{Reply, Request};
use nixfleet_core::rollout::{Ask, Policy, RollBack, RolloutState, Stage};
use nixfleet_core::update::{Deploy, ForgeCall, JobState, PrNumber, UpdatePolicy};
use nixfleet_core::{HostId, Op};

use super::field::{Field, ROLLOUT, host, target};
use crate::simulation::machine::commit;
use crate::update::pull_requests::{commit as head, policy};

/// Nothing is merged without a person.
fn by_hand() -> UpdatePolicy {
    UpdatePolicy {
        auto_merge: false,
        ..policy()
    }
}

fn deploy(field: &Field, policy: Policy) -> Deploy {
    Deploy {
        rollout: ROLLOUT,
        hosts: field.everybody(),
        policy,
    }
}

fn merge(field: &mut Field, deploy: Deploy) -> Reply {
    let actor = nixfleet_core::host::Actor::Person("admin".into());
    let plan = field.fleet.plan_deploy(&deploy, &actor).unwrap();
    field.ask(Request::MergePr {
        number: PrNumber(42),
        head: None,
        override_reason: None,
        deploy: Some(Box::new(deploy)),
        confirm: Some(plan.id),
    })
}

fn job(field: &Field) -> (JobState, String) {
    let view = field.fleet.updates_view().unwrap();
    let job = view.job.unwrap();
    (job.state, job.message)
}

/// The branch moves past the merge before anybody looks, twice, and the source knows no history: the
/// forge proves the merge to the job, and to the rollout after it.
#[test]
fn e05_a_branch_that_moved_past_the_merge_is_rolled_out_by_the_word_of_the_forge() {
    let mut field = Field::with_forge(3, None, by_hand());
    let ask = deploy(&field, Deploy::default_policy());
    merge(&mut field, ask);
    field.run_for(5);
    field.remote(3);
    field.run_for(20);
    assert!(
        field.frames.is_empty(),
        "the forge says that it is not there"
    );
    field.contains.push((commit(4), commit(2)));
    field.remote(4);
    field.finish(1);
    assert_eq!(field.state(), RolloutState::Complete);
    let deploys = field.frames.iter().filter(|(_, _, op, ..)| *op != Op::Test);
    let targets: Vec<_> = deploys.map(|(.., to)| *to).collect();
    assert_eq!(targets, [Some(target(2)); 6], "exactly the merge commit");
    assert_eq!(job(&field).0, JobState::Completed);
    field.check();
}

/// A rollout of an earlier commit that somebody asks for by name.
#[test]
fn e05_a_rollout_of_an_earlier_commit_waits_for_the_word_of_the_forge() {
    for contained in [true, false] {
        let mut field = Field::with_forge(3, None, by_hand());
        if contained {
            field.contains.push((commit(4), commit(2)));
        }
        field.remote(4);
        let ask = Ask {
            hosts: field.everybody(),
            target: Some(target(2)),
            ..Ask::default()
        };
        let started = field.ask(Request::StartRollout {
            id: ROLLOUT,
            ask: Box::new(ask),
            confirm: None,
            reason: None,
        });
        assert!(matches!(started, Reply::RolloutStarted(_)), "{started:?}");
        field.run_for(300);
        assert_eq!(!field.frames.is_empty(), contained, "{:?}", field.state());
    }
}

fn on_all(op: Op) -> Vec<(HostId, Op)> {
    (0..3).map(|index| (host(index), op)).collect()
}

#[test]
fn e05_a_deploy_starts_once_the_branch_shows_the_merge_and_rolls_out_exactly_that() {
    let mut field = Field::with_forge(3, None, by_hand());
    let deploy = deploy(&field, Deploy::default_policy());
    assert!(matches!(
        merge(&mut field, deploy),
        Reply::JobStarted { .. }
    ));
    let [ForgeCall::Merge { head: merged, .. }] = &field.merged[..] else {
        panic!("{:?}", field.merged);
    };
    assert_eq!(*merged, head('c'), "the head that was judged");
    field.run_for(60);
    assert_eq!(job(&field).0, JobState::Merging);
    assert!(field.frames.is_empty(), "the branch does not show it yet");
    field.remote(2);
    assert_eq!(job(&field).0, JobState::Pulling);
    field.run_for(30);
    assert_eq!(job(&field).0, JobState::Switching);
    field.finish(1);
    assert_eq!(field.state(), RolloutState::Complete);
    let expected = [Op::Pull, Op::Switch, Op::Test].map(on_all).concat();
    assert_eq!(field.sequence(), expected, "stage by stage on all hosts");
    let pinned = field.frames.iter().all(|(.., to)| *to == Some(target(2)));
    assert!(pinned, "{:?}", field.frames);
    let (state, message) = job(&field);
    assert_eq!(state, JobState::Completed, "{message}");
    assert!(message.contains("3 of 3"), "{message}");
    field.check();
}

#[test]
fn a_branch_that_never_shows_the_merge_starts_nothing() {
    let mut field = Field::with_forge(3, None, by_hand());
    let deploy = deploy(&field, Deploy::default_policy());
    merge(&mut field, deploy);
    field.run_for(300);
    let (state, message) = job(&field);
    assert_eq!(state, JobState::Failed);
    assert!(message.contains("no rollout was started"), "{message}");
    assert!(field.frames.is_empty());
}

#[test]
fn a_plan_that_changed_since_it_was_shown_merges_nothing() {
    let mut field = Field::with_forge(3, None, by_hand());
    let deploy = deploy(&field, Deploy::default_policy());
    let actor = nixfleet_core::host::Actor::Person("admin".into());
    let shown = field.fleet.plan_deploy(&deploy, &actor).unwrap();
    field.go_away(1);
    let order = |confirm| Request::MergePr {
        number: PrNumber(42),
        head: None,
        override_reason: None,
        deploy: Some(Box::new(deploy.clone())),
        confirm: Some(confirm),
    };
    let Reply::PlanChanged(now) = field.ask(order(shown.id)) else {
        panic!("host-1 is gone");
    };
    assert!(field.merged.is_empty());
    assert!(matches!(field.ask(order(now.id)), Reply::JobStarted { .. }));
    assert_eq!(field.merged.len(), 1);
    field.remote(2);
    field.finish(1);
    let (state, message) = job(&field);
    assert_eq!(state, JobState::Completed, "{message}");
    assert!(message.contains("2 of"), "{message}");
    assert!(field.sequence().iter().all(|(name, _)| *name != host(1)));
}

#[test]
fn a_failed_switch_fails_the_job_and_a_policy_may_revert_the_update() {
    let mut field = Field::with_forge(3, None, by_hand());
    field.fails.insert((1, Op::Switch));
    let policy = Policy {
        roll_back: RollBack::AllHostsAndRevert,
        stages: vec![Stage::Pull, Stage::Switch],
        ..Deploy::default_policy()
    };
    let deploy = deploy(&field, policy);
    merge(&mut field, deploy);
    field.remote(2);
    field.finish(2);
    let (state, message) = job(&field);
    assert_eq!(field.state(), RolloutState::Failed);
    field.run_for(60);
    let [ForgeCall::Revert { commit, number, .. }] = &field.reverted[..] else {
        panic!("{:?} {message} {state:?}", field.reverted);
    };
    assert_eq!((*number, *commit), (PrNumber(42), target(2).commit));
    let view = field.fleet.updates_view().unwrap();
    assert!(view.merged[0].revert.is_some());
    field.check();
}

/// Whoever names an id that is taken gets neither that rollout's outcome nor a job without end.
#[test]
fn e05_a_merge_whose_rollout_is_another_one_says_so_and_ends() {
    let mut field = Field::with_forge(2, None, by_hand());
    field.remote(3);
    let ask = Ask {
        hosts: field.everybody(),
        ..Ask::default()
    };
    let started = field.start(ROLLOUT, ask);
    assert!(matches!(started, Reply::RolloutStarted(_)), "{started:?}");
    field.finish(3);
    let before = field.sequence().len();
    let deploy = deploy(&field, Deploy::default_policy());
    merge(&mut field, deploy);
    field.remote(2);
    field.run_for(600);
    let (state, message) = job(&field);
    assert!(message.contains("no rollout was started"), "{message}");
    assert!(message.contains("is another one"), "{message}");
    assert_eq!(state, JobState::Failed);
    assert_eq!(field.sequence().len(), before);
    assert_eq!(field.merged.len(), 1);
}

#[test]
fn d12_e05_a_crash_at_any_call_merges_once_and_repeats_no_command() {
    let story = |crash_at: Option<usize>| {
        let mut field = Field::with_forge(2, crash_at, by_hand());
        let deploy = deploy(&field, Deploy::default_policy());
        let request = Request::MergePr {
            number: PrNumber(42),
            head: None,
            override_reason: None,
            deploy: Some(Box::new(deploy)),
            confirm: None,
        };
        // Whoever hears nothing asks again; the job says whether there is one.
        for _ in 0..3 {
            if field.fleet.updates_view().unwrap().job.is_none() {
                field.tell(request.clone());
            }
            field.run_for(20);
        }
        field.remote(2);
        for _ in 0..60 {
            field.run_for(60);
        }
        field
    };
    let calls = story(None).calls;
    assert!(calls > 20, "{calls}");
    let mut crashes = 0;
    for crash_at in 1..=calls {
        let field = story(Some(crash_at));
        let (state, message) = job(&field);
        assert_eq!(state, JobState::Completed, "crash {crash_at}: {message}");
        assert_eq!(field.merged.len(), 1, "crash {crash_at}");
        for index in 0..2 {
            let own = field
                .sequence()
                .into_iter()
                .filter(|(name, _)| *name == host(index));
            let ops: Vec<Op> = own.map(|(_, op)| op).collect();
            assert_eq!(ops, [Op::Pull, Op::Switch, Op::Test], "crash {crash_at}");
        }
        crashes += 1;
    }
    println!("{crashes} crashes of the server between a merge and the last host");
}
