//! What works when nothing goes wrong: the control of every fault.

use nixfleet_core::update::{
    ChangedFile, CheckState, Containment, ForgeAnswer, ForgeCall, MergeAnswer, MergeMethod,
    Mergeable, PrState, ReadOrNot,
};
use nixfleet_tests::forge::{FakeCheck, Fault, Route, Speaks};
use serde_json::json;

use super::{REPO, TOKEN, World, is_complete};

const BOTH: [Speaks; 2] = [Speaks::GitHub, Speaks::Gitea];

#[tokio::test]
async fn an_update_is_listed_with_everything_that_is_known_of_it() {
    for speaks in BOTH {
        let world = World::new(speaks).await;
        let head = world.fake.open_update_pr(42, "nixpkgs");
        world.commit("README.md", "moved on");
        let listed = world.list().await.unwrap();
        assert_eq!(listed.len(), 1);
        let pull = &listed[0];
        assert_eq!((pull.number.0, pull.state), (42, PrState::Open));
        assert_eq!(pull.author, "github-actions[bot]");
        assert_eq!(pull.labels, ["automated"]);
        assert_eq!(
            (pull.base_branch.as_str(), pull.base_repo.as_str()),
            ("main", REPO)
        );
        assert_eq!(pull.head_branch, "update/42");
        assert_eq!(pull.head_repo.as_deref(), Some(REPO));
        assert_eq!(pull.head.to_string(), head);
        assert_eq!(pull.mergeable, Mergeable::Yes);
        assert!(!pull.draft);
        assert_eq!(pull.url, format!("https://github.example/{REPO}/pull/42"));
        let file = ChangedFile {
            path: "flake.lock".to_owned(),
            previous_path: None,
            modified: true,
        };
        assert_eq!(pull.files, ReadOrNot::Read(vec![file]));
        let checks = pull.checks.read().unwrap();
        let told: Vec<_> = checks
            .iter()
            .map(|check| (check.name.as_str(), check.state, check.commit.to_string()))
            .collect();
        assert_eq!(told, [("build", CheckState::Success, head.clone())]);
        let (before, after) = pull.locks.read().unwrap().clone();
        let git = world.fake.state().git.clone();
        let base = git.merge_base("refs/heads/main", &head).unwrap();
        assert_eq!(Some(before), git.file(&base, "flake.lock"));
        assert_eq!(Some(after), git.file(&head, "flake.lock"));
        assert_eq!(world.pull(42).await, *pull);
    }
}

#[tokio::test]
async fn every_request_names_the_version_the_client_and_the_token() {
    let world = World::new(Speaks::GitHub).await;
    world.fake.open_update_pr(42, "nixpkgs");
    world.list().await.unwrap();
    let requests = world.fake.requests();
    assert!(requests.len() > 5);
    for recorded in requests {
        let header = |name| recorded.request.header(name).unwrap_or_default().to_owned();
        assert_eq!(header("x-github-api-version"), "2022-11-28");
        assert_eq!(header("accept"), "application/vnd.github+json");
        assert!(header("user-agent").starts_with("nixfleet-server/"));
        assert_eq!(header("authorization"), format!("Bearer {TOKEN}"));
    }
    let world = World::new(Speaks::Gitea).await;
    world.list().await.unwrap();
    let sent = world.fake.requests().remove(0).request;
    assert_eq!(
        sent.header("authorization"),
        Some(format!("token {TOKEN}").as_str())
    );
}

#[tokio::test]
async fn asking_again_costs_nothing_while_nothing_changed() {
    for speaks in BOTH {
        let world = World::new(speaks).await;
        world.fake.open_update_pr(42, "nixpkgs");
        let first = world.list().await.unwrap();
        let asked = world.fake.requests().len();
        assert_eq!(world.list().await.unwrap(), first);
        let again = world.fake.requests().split_off(asked);
        assert!(!again.is_empty() && again.iter().all(|request| request.status == 304));
        world.fake.state().pulls.get_mut(&42).unwrap().title = "Another".to_owned();
        assert_eq!(world.list().await.unwrap()[0].title, "Another");
    }
}

#[tokio::test]
async fn long_lists_are_read_to_their_end() {
    for speaks in BOTH {
        let world = World::new(speaks).await;
        let head = world.fake.open_update_pr(42, "nixpkgs");
        {
            let mut state = world.fake.state();
            state.page = 2;
            for number in 1..=7 {
                let mut pull = state.robot_pull(number, "update/42");
                pull.labels.clear();
                pull.title = "Something else".to_owned();
                state.pulls.insert(number, pull);
            }
            let checks = (0..5)
                .map(|n| FakeCheck::Run(format!("run {n}"), "completed", Some("success")))
                .chain((0..5).map(|n| FakeCheck::Status(format!("status {n}"), "pending")))
                .collect();
            state.checks.insert(head, checks);
            let files = (0..5).map(|n| json!({ "filename": format!("f{n}"), "status": "added" }));
            let lock = json!({ "filename": "flake.lock", "status": "modified" });
            state.pulls.get_mut(&42).unwrap().files = Some(files.chain([lock]).collect());
        }
        let listed = world.list().await.unwrap();
        let numbers: Vec<u64> = listed.iter().map(|pull| pull.number.0).collect();
        assert_eq!(numbers, [42, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(listed[0].checks.read().unwrap().len(), 10);
        assert_eq!(listed[0].files.read().unwrap().len(), 6);
        assert!(listed[1].checks.read().is_none(), "not worth the requests");
    }
}

#[tokio::test]
async fn renamed_and_uncounted_files_are_told() {
    let world = World::new(Speaks::GitHub).await;
    world.fake.open_update_pr(42, "nixpkgs");
    let renamed = json!({
        "filename": "flake.lock", "previous_filename": "old.lock", "status": "renamed",
    });
    world.fake.state().pulls.get_mut(&42).unwrap().files = Some(vec![renamed]);
    let pull = world.pull(42).await;
    let file = &pull.files.read().unwrap()[0];
    assert_eq!(file.previous_path.as_deref(), Some("old.lock"));
    assert!(!file.modified);
    // GitHub says there are more files than it lists.
    world.fake.state().pulls.get_mut(&42).unwrap().changed_files = Some(2);
    assert!(world.pull(42).await.files.read().is_none());
    let many = (0..301).map(|n| json!({ "filename": format!("f{n}"), "status": "added" }));
    {
        let mut state = world.fake.state();
        let pull = state.pulls.get_mut(&42).unwrap();
        pull.files = Some(many.collect());
        pull.changed_files = None;
    }
    let why = world.pull(42).await.files;
    assert!(
        matches!(&why, ReadOrNot::NotRead(why) if why.contains("more than 3 pages")),
        "{why:?}"
    );
}

#[tokio::test]
async fn a_pull_request_of_a_stranger_is_told_as_one() {
    for speaks in BOTH {
        let world = World::new(speaks).await;
        {
            let mut state = world.fake.state();
            let base = state.git.head("main").unwrap();
            let files: [(&str, Option<&[u8]>); 1] = [("flake.lock", Some(b"{}"))];
            state.commit_to("refs/pull/9/head", &base, &files, "hostile");
            let mut pull = state.robot_pull(9, "main");
            pull.head_repo = Some("evil/hosts".to_owned());
            pull.title = "flake.lock\u{7}\u{1b}[31m: Update".to_owned();
            pull.draft = true;
            state.pulls.insert(9, pull.clone());
            pull.number = 10;
            pull.head_repo = None;
            state
                .git
                .run(&["update-ref", "refs/pull/10/head", "refs/pull/9/head"])
                .unwrap();
            state.pulls.insert(10, pull);
        }
        let stranger = world.pull(9).await;
        assert_eq!(stranger.head_repo.as_deref(), Some("evil/hosts"));
        assert_eq!(stranger.base_repo, REPO);
        assert!(stranger.draft && !stranger.title.chars().any(char::is_control));
        assert_eq!(world.pull(10).await.head_repo, None);
    }
}

#[tokio::test]
async fn mergeable_is_asked_for_again_a_bounded_number_of_times() {
    let world = World::new(Speaks::GitHub).await;
    world.fake.open_update_pr(42, "nixpkgs");
    world
        .fake
        .state()
        .pulls
        .get_mut(&42)
        .unwrap()
        .mergeable_null = 2;
    assert_eq!(world.pull(42).await.mergeable, Mergeable::Yes);
    assert_eq!(world.fake.requests_to(Route::Pull).len(), 3);
    world
        .fake
        .state()
        .pulls
        .get_mut(&42)
        .unwrap()
        .mergeable_null = 1000;
    let asked = world.fake.requests_to(Route::Pull).len();
    let pull = world.pull(42).await;
    assert_eq!(pull.mergeable, Mergeable::NotComputed);
    assert!(is_complete(&pull));
    assert_eq!(world.fake.requests_to(Route::Pull).len() - asked, 4);
    for (told, expected) in [
        ((true, "blocked"), Mergeable::No),
        ((true, "behind"), Mergeable::No),
        ((false, "dirty"), Mergeable::No),
        ((true, "unstable"), Mergeable::Yes),
    ] {
        if let Some(pull) = world.fake.state().pulls.get_mut(&42) {
            pull.mergeable_null = 0;
            pull.mergeable = Some(told);
        }
        assert_eq!(world.pull(42).await.mergeable, expected, "{told:?}");
    }
}

#[tokio::test]
async fn a_merge_moves_the_real_branch_and_names_its_commit() {
    for speaks in BOTH {
        for method in [MergeMethod::Merge, MergeMethod::Squash, MergeMethod::Rebase] {
            let world = World::new(speaks).await;
            let head = world.fake.open_update_pr(42, "nixpkgs");
            let before = world.main();
            let answer = world.merge(42, &head, method).await;
            let after = world.main();
            assert_ne!(before, after);
            assert_eq!(answer, MergeAnswer::Done { commit: after });
            let sent = world.fake.requests_to(Route::Merge);
            assert_eq!(sent.len(), 1);
            let body = sent[0].request.json();
            let sha = match speaks {
                Speaks::GitHub => &body["sha"],
                Speaks::Gitea => &body["head_commit_id"],
            };
            assert_eq!(sha.as_str(), Some(head.as_str()), "law E1");
            let merged = world.pull(42).await;
            assert_eq!(
                merged.state,
                PrState::Merged {
                    commit: Some(after)
                }
            );
            let again = world.merge(42, &head, method).await;
            assert!(matches!(again, MergeAnswer::NotMergeable(_)), "{again:?}");
            assert_eq!(world.main(), after);
        }
    }
}

#[tokio::test]
async fn a_head_that_moved_is_not_merged() {
    for speaks in BOTH {
        let world = World::new(speaks).await;
        let judged = world.fake.open_update_pr(42, "nixpkgs");
        {
            let state = world.fake.state();
            let files: [(&str, Option<&[u8]>); 1] = [("x", Some(b"y"))];
            state.commit_to("refs/heads/update/42", &judged, &files, "after the check");
        }
        let before = world.main();
        let answer = world.merge(42, &judged, MergeMethod::Merge).await;
        assert_eq!(answer, MergeAnswer::HeadMoved);
        assert_eq!(world.main(), before);
        let moved = world.pull(42).await;
        let answer = world
            .merge(42, &moved.head.to_string(), MergeMethod::Merge)
            .await;
        assert!(
            matches!(answer, MergeAnswer::Done { .. }),
            "what is judged now is merged"
        );
    }
}

#[tokio::test]
async fn no_such_pull_request_and_no_such_repository_are_told_apart() {
    for speaks in BOTH {
        let world = World::new(speaks).await;
        assert_eq!(world.read(7).await, Ok(None));
        world
            .fake
            .fail(Route::Repository, Fault::status(404, "Not Found"));
        let failure = world.read(7).await.unwrap_err();
        assert!(
            failure.what.contains("NIXFLEET_GITHUB_REPO"),
            "{}",
            failure.what
        );
    }
}

#[tokio::test]
async fn a_replica_that_lags_behind_shows_the_merge_later() {
    let world = World::new(Speaks::Gitea).await;
    let head = world.fake.open_update_pr(42, "nixpkgs");
    world.fake.state().pulls.get_mut(&42).unwrap().stale = 2;
    let answer = world.merge(42, &head, MergeMethod::Merge).await;
    assert_eq!(
        answer,
        MergeAnswer::Done {
            commit: world.main()
        }
    );

    let world = World::new(Speaks::Gitea).await;
    let head = world.fake.open_update_pr(42, "nixpkgs");
    world.fake.state().pulls.get_mut(&42).unwrap().stale = 100;
    let answer = world.merge(42, &head, MergeMethod::Merge).await;
    assert!(matches!(answer, MergeAnswer::Ambiguous(_)), "{answer:?}");

    let world = World::new(Speaks::GitHub).await;
    let head = world.fake.open_update_pr(42, "nixpkgs");
    world.fake.state().pulls.get_mut(&42).unwrap().stale = 4;
    let answer = world.merge(42, &head, MergeMethod::Merge).await;
    assert_eq!(
        answer,
        MergeAnswer::Done {
            commit: world.main()
        }
    );
    // Asked four times, because it is not yet told whether it is mergeable.
    assert_eq!(
        world.pull(42).await.state,
        PrState::Open,
        "as the replica has it"
    );
    assert!(matches!(world.pull(42).await.state, PrState::Merged { .. }));
}

/// Whether a head contains a commit, and which lock that commit has.
#[tokio::test]
async fn e05_the_forge_tells_whether_a_head_contains_a_commit() {
    for speaks in BOTH {
        let world = World::new(speaks).await;
        let old = world.main();
        let head = world.commit("README.md", "moved on");
        let aside = {
            let state = world.fake.state();
            let files: [(&str, Option<&[u8]>); 1] = [("aside", Some(b"x"))];
            let made = state.commit_to("refs/heads/aside", &old.to_string(), &files, "Aside");
            made.parse().unwrap()
        };
        let lock = world.fake.state().git.file(&old.to_string(), "flake.lock");
        let lock = lock.as_deref().map(nixfleet_core::lock_hash);
        assert!(lock.is_some());
        let contained = Containment::Contained { lock };
        for (commit, head, expected) in [
            (old, head, contained),
            (head, head, contained),
            (aside, head, Containment::NotContained),
            (head, old, Containment::NotContained),
        ] {
            let call = ForgeCall::Contains { commit, head };
            let answer = ForgeAnswer::Contained {
                commit,
                head,
                answer: Ok(expected),
            };
            assert_eq!(world.forge.call(call).await, answer, "{speaks:?}");
        }
        world
            .fake
            .fail(Route::Compare, Fault::too_many().with("retry-after", "30"));
        let commit = aside;
        let answer = world
            .forge
            .call(ForgeCall::Contains { commit, head: old })
            .await;
        let ForgeAnswer::Contained {
            answer: Err(why), ..
        } = answer
        else {
            panic!("{answer:?}");
        };
        assert!(why.not_before.is_some());
    }
}
