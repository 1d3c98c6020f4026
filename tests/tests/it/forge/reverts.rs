//! Reverting a merge (law E9).

use nixfleet_core::CommitId;
use nixfleet_core::update::{
    ForgeAnswer, ForgeCall, MergeAnswer, MergeMethod, PrNumber, PrState, RevertAnswer, RevertKind,
};
use nixfleet_server::clock::Clock;
use nixfleet_server::forge::{Forge, connect};
use nixfleet_tests::forge::{Cut, Fault, Route, Speaks};

use super::{World, settings};

const BOTH: [Speaks; 2] = [Speaks::GitHub, Speaks::Gitea];

/// Changes are a second apart, so this needs a clock that runs.
async fn world(speaks: Speaks) -> World {
    let mut world = World::new(speaks).await;
    let api = world.fake.api_url();
    world.forge = connect(settings(speaks, &api), Clock::system()).unwrap();
    world
}

async fn merged(world: &World, method: MergeMethod) -> CommitId {
    let head = world.fake.open_update_pr(42, "nixpkgs");
    let answer = world.merge(42, &head, method).await;
    let MergeAnswer::Done { commit } = answer else {
        panic!("{answer:?}");
    };
    commit
}

async fn revert(forge: &dyn Forge, commit: CommitId, kind: RevertKind) -> RevertAnswer {
    let call = ForgeCall::Revert {
        number: PrNumber(42),
        title: "flake.lock: Update".to_owned(),
        commit,
        kind,
    };
    let answer = forge.call(call).await;
    let ForgeAnswer::Reverted(PrNumber(42), reverted) = answer else {
        panic!("{answer:?}");
    };
    reverted
}

fn lock(world: &World, name: &str) -> Vec<u8> {
    world.fake.state().git.file(name, "flake.lock").unwrap()
}

#[tokio::test]
async fn e09_a_revert_is_one_pull_request_however_often_it_is_asked_for() {
    for speaks in BOTH {
        for method in [MergeMethod::Merge, MergeMethod::Squash, MergeMethod::Rebase] {
            let world = world(speaks).await;
            let earlier = lock(&world, "main");
            let commit = merged(&world, method).await;
            let later = world.commit("README.md", "something else");
            let answer = revert(&*world.forge, commit, RevertKind::PullRequest).await;
            let RevertAnswer::Opened { number, url } = &answer else {
                panic!("{answer:?}");
            };
            assert!(
                url.ends_with(&format!("/pull/{number}").replace('#', "")),
                "{url}"
            );
            for _ in 0..2 {
                let again = revert(&*world.forge, commit, RevertKind::PullRequest).await;
                assert_eq!(again, answer);
            }
            assert_eq!(world.fake.requests_to(Route::NewPull).len(), 1);
            let branch = format!("nixfleet/revert-42-{}", commit.short());
            let pull = world.pull(number.0).await;
            assert_eq!((pull.state, &pull.head_branch), (PrState::Open, &branch));
            assert_eq!(pull.title, "Revert \"flake.lock: Update\" (#42)");
            assert_eq!(lock(&world, &branch), earlier, "as before");
            assert_eq!(world.main(), later, "the branch is as it was");
            let state = world.fake.state();
            let head = state.git.head(&branch).unwrap();
            assert_eq!(
                state.git.parents(&head),
                [later.to_string()],
                "one commit on top"
            );
            assert!(
                state
                    .git
                    .message(&head)
                    .contains(&format!("This reverts commit {commit}."))
            );
            assert_eq!(state.git.changed(&later.to_string(), &head).len(), 1);
        }
    }
}

#[tokio::test]
async fn e09_a_revert_on_the_branch_is_one_commit_and_rewrites_nothing() {
    for speaks in BOTH {
        let world = world(speaks).await;
        let earlier = lock(&world, "main");
        let commit = merged(&world, MergeMethod::Merge).await;
        let later = world.commit("README.md", "something else");
        let answer = revert(&*world.forge, commit, RevertKind::Commit).await;
        let now = world.main();
        assert_eq!(answer, RevertAnswer::Committed { commit: now });
        assert_eq!(lock(&world, "main"), earlier);
        {
            let state = world.fake.state();
            let parents = state.git.parents(&now.to_string());
            assert_eq!(parents, [later.to_string()], "on top of what was there");
        }
        world.commit("README.md", "more");
        let again = revert(&*world.forge, commit, RevertKind::Commit).await;
        assert_eq!(again, answer, "the first one is found");
        for recorded in world.fake.requests_to(Route::MoveBranch) {
            assert_eq!(recorded.request.json()["force"], false);
        }
    }
}

#[tokio::test]
async fn a_revert_that_would_undo_later_work_is_not_possible() {
    for speaks in BOTH {
        for kind in [RevertKind::PullRequest, RevertKind::Commit] {
            let world = world(speaks).await;
            let commit = merged(&world, MergeMethod::Merge).await;
            world.commit("flake.lock", "{}\n");
            let before = world.main();
            let answer = revert(&*world.forge, commit, kind).await;
            assert!(
                matches!(&answer, RevertAnswer::NotPossible(why) if why.contains("changed since")),
                "{answer:?}"
            );
            assert_eq!(world.main(), before);
        }
    }
    // Not merged; not there; merged as something else; protected.
    let world = world(Speaks::GitHub).await;
    let missing = revert(&*world.forge, world.main(), RevertKind::PullRequest).await;
    assert!(
        matches!(missing, RevertAnswer::NotPossible(_)),
        "{missing:?}"
    );
    let head = world.fake.open_update_pr(42, "nixpkgs");
    let open = revert(
        &*world.forge,
        head.parse().unwrap(),
        RevertKind::PullRequest,
    )
    .await;
    assert!(matches!(open, RevertAnswer::NotPossible(_)), "{open:?}");
    let MergeAnswer::Done { commit } = world.merge(42, &head, MergeMethod::Merge).await else {
        panic!("not merged");
    };
    let other = revert(
        &*world.forge,
        head.parse().unwrap(),
        RevertKind::PullRequest,
    )
    .await;
    assert!(matches!(other, RevertAnswer::NotPossible(_)), "{other:?}");
    world.fake.state().protected = true;
    let direct = revert(&*world.forge, commit, RevertKind::Commit).await;
    assert!(matches!(direct, RevertAnswer::NotPossible(_)), "{direct:?}");
    assert_eq!(world.main(), commit);
    let by_pull = revert(&*world.forge, commit, RevertKind::PullRequest).await;
    assert!(
        matches!(by_pull, RevertAnswer::Opened { .. }),
        "that way it is possible"
    );
}

#[tokio::test]
async fn several_commits_of_a_rebase_are_not_mistaken_for_one() {
    let world = world(Speaks::GitHub).await;
    let head = world.fake.open_update_pr(42, "nixpkgs");
    let head = {
        let state = world.fake.state();
        let lock = state.bumped_lock(&head, "disko", 43);
        let files: [(&str, Option<&[u8]>); 1] = [("flake.lock", Some(&lock))];
        state.commit_to("refs/heads/update/42", &head, &files, "and disko")
    };
    let MergeAnswer::Done { commit } = world.merge(42, &head, MergeMethod::Rebase).await else {
        panic!("not merged");
    };
    let answer = revert(&*world.forge, commit, RevertKind::PullRequest).await;
    assert!(
        matches!(&answer, RevertAnswer::NotPossible(why) if why.contains("several")),
        "{answer:?}"
    );
}

/// Every answer to a change may be lost: asking again makes no second revert.
#[tokio::test]
async fn e09_a_revert_whose_answer_was_lost_is_found_again() {
    let by_pull = [
        Route::NewTree,
        Route::NewCommit,
        Route::NewBranch,
        Route::NewPull,
    ];
    let direct = [Route::NewTree, Route::NewCommit, Route::MoveBranch];
    let github = by_pull
        .map(|route| (Speaks::GitHub, RevertKind::PullRequest, route))
        .into_iter()
        .chain(direct.map(|route| (Speaks::GitHub, RevertKind::Commit, route)));
    let gitea = [
        (Speaks::Gitea, RevertKind::PullRequest, Route::Write),
        (Speaks::Gitea, RevertKind::PullRequest, Route::NewPull),
        (Speaks::Gitea, RevertKind::Commit, Route::Write),
    ];
    for (speaks, kind, route) in github.chain(gitea) {
        for performed in [true, false] {
            let name = (speaks, kind, route, performed);
            let world = world(speaks).await;
            let commit = merged(&world, MergeMethod::Merge).await;
            let mut fault = Fault::status(502, "Bad Gateway").and_cut(Cut::HalfBody);
            if performed {
                fault = fault.but_done();
            }
            world.fake.fail(route, fault);
            let lost = revert(&*world.forge, commit, kind).await;
            assert!(
                matches!(lost, RevertAnswer::Ambiguous(_)),
                "{name:?}: {lost:?}"
            );
            let found = revert(&*world.forge, commit, kind).await;
            match kind {
                RevertKind::PullRequest => {
                    assert!(
                        matches!(found, RevertAnswer::Opened { .. }),
                        "{name:?}: {found:?}"
                    );
                    assert_eq!(world.fake.state().pulls.len(), 2, "{name:?}");
                }
                RevertKind::Commit => {
                    let head = world.main();
                    assert_eq!(found, RevertAnswer::Committed { commit: head }, "{name:?}");
                    let parents = world.fake.state().git.parents(&head.to_string());
                    assert_eq!(parents, [commit.to_string()], "{name:?}");
                }
            }
        }
    }
}
