//! The forge as the source of the desired state (law E7, FI-24): whole snapshots of one commit, or
//! a failure.

use std::time::Duration;

use futures_util::StreamExt;
use nixfleet_core::desired::RemoteCause;
use nixfleet_core::lock_hash;
use nixfleet_server::sources::Fetched;
use nixfleet_tests::forge::{Cut, Fault, Route, Speaks};

use super::World;
use super::table::rows;

const BOTH: [Speaks; 2] = [Speaks::GitHub, Speaks::Gitea];

/// What git itself has at the head of the branch.
fn truth(world: &World) -> (nixfleet_core::CommitId, Option<Vec<u8>>) {
    let head = world.main();
    let lock = world.fake.state().git.file(&head.to_string(), "flake.lock");
    (head, lock)
}

fn is_true(world: &World, fetched: &Fetched) {
    let (head, lock) = truth(world);
    assert_eq!(fetched.snapshot.commit, Ok(head));
    assert_eq!(fetched.lock.as_deref(), lock.as_deref());
    let hash = lock.as_deref().map(lock_hash);
    assert_eq!(fetched.snapshot.lock.as_ref().ok().copied(), hash);
}

#[tokio::test]
async fn the_head_and_its_lock_are_read_and_reading_again_costs_one_conditional_request() {
    for speaks in BOTH {
        let world = World::new(speaks).await;
        let mut source = world.source();
        let first = source.fetch().await.unwrap();
        is_true(&world, &first);
        assert_eq!(first.snapshot.branch.as_deref(), Some("main"));
        assert_eq!(
            first.snapshot.subject.as_deref(),
            Some("The fleet as a flake")
        );
        assert!(first.snapshot.commit_time.is_some() && !first.snapshot.rewritten);
        let asked = world.fake.requests().len();
        for _ in 0..3 {
            assert_eq!(source.fetch().await.unwrap(), first);
        }
        let again = world.fake.requests().split_off(asked);
        let statuses: Vec<_> = again.iter().map(|request| request.status).collect();
        assert_eq!(statuses, [304, 304, 304]);

        world.commit("flake.lock", "{}\n");
        let moved = source.fetch().await.unwrap();
        is_true(&world, &moved);
        assert_ne!(moved.snapshot.lock, first.snapshot.lock);
        assert!(!moved.snapshot.rewritten);
    }
}

#[tokio::test]
async fn a_lock_that_is_certainly_not_there_costs_its_half() {
    for speaks in BOTH {
        let world = World::new(speaks).await;
        let head = {
            let state = world.fake.state();
            let head = state.git.head("main").unwrap();
            state.commit_to("refs/heads/main", &head, &[("flake.lock", None)], "No lock")
        };
        let fetched = world.source().fetch().await.unwrap();
        assert_eq!(fetched.snapshot.commit, Ok(head.parse().unwrap()));
        let why = fetched.snapshot.lock.unwrap_err();
        assert_eq!(why.cause, RemoteCause::LockMissing);
        // A 404 alone is no evidence: here the tree has the file.
        let world = World::new(speaks).await;
        world
            .fake
            .fail_always(Route::Contents, &Fault::status(404, "Not Found"));
        let why = world.source().fetch().await.unwrap_err();
        assert_eq!(why.cause, RemoteCause::NotFound);
        world
            .fake
            .fail_always(Route::Tree, &Fault::status(404, "Not Found"));
        assert!(world.source().fetch().await.is_err());
    }
}

#[tokio::test]
async fn a_large_lock_is_read_from_its_object() {
    let world = World::new(Speaks::GitHub).await;
    let large = format!("{{\"x\":\"{}\"}}\n", "y".repeat(2 << 20));
    world.commit("flake.lock", &large);
    is_true(&world, &world.source().fetch().await.unwrap());
    assert_eq!(world.fake.requests_to(Route::Blob).len(), 1);
    world.commit("flake.lock", &"y".repeat((16 << 20) + 1));
    let why = world.source().fetch().await.unwrap_err();
    assert_eq!(why.cause, RemoteCause::Malformed);
}

#[tokio::test]
async fn a_branch_that_was_rewritten_is_told_as_such() {
    for speaks in BOTH {
        let world = World::new(speaks).await;
        let first = world.main();
        world.commit("a", "1");
        let mut source = world.source();
        source.fetch().await.unwrap();
        {
            let state = world.fake.state();
            let files: [(&str, Option<&[u8]>); 1] = [("b", Some(b"2"))];
            state.commit_to("refs/heads/main", &first.to_string(), &files, "Rewritten");
        }
        let rewritten = source.fetch().await.unwrap();
        is_true(&world, &rewritten);
        assert!(rewritten.snapshot.rewritten);
        world.commit("c", "3");
        assert!(!source.fetch().await.unwrap().snapshot.rewritten);
    }
}

#[tokio::test]
async fn a_branch_that_is_not_there_is_a_failure() {
    let world = World::with(Speaks::GitHub, |settings| {
        settings.branch = nixfleet_server::sources::Branch::parse("gone").unwrap();
    })
    .await;
    let why = world.source().fetch().await.unwrap_err();
    assert_eq!(why.cause, RemoteCause::NotFound);
    assert!(why.detail.contains("Branch not found"), "{}", why.detail);
}

#[tokio::test]
async fn a_replica_that_lags_behind_shows_an_older_commit_whole() {
    let world = World::new(Speaks::GitHub).await;
    let old = world.main();
    let mut source = world.source();
    let first = source.fetch().await.unwrap();
    world.commit("flake.lock", "{}\n");
    world.fake.state().stale_branch = Some((old.to_string(), 2));
    for _ in 0..2 {
        assert_eq!(
            source.fetch().await.unwrap(),
            first,
            "both halves of the old one"
        );
    }
    is_true(&world, &source.fetch().await.unwrap());
}

/// Every fault, at either request of a reading, after a good one: a failure with its cause, and
/// the next good reading is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e07_every_fault_fails_the_whole_reading_and_heals_whole() {
    let cases = rows().into_iter().flat_map(|row| {
        let routes = [Route::Branch, Route::Contents, Route::Compare];
        routes.map(|route| (row.clone(), route))
    });
    let slow = |cut: &Option<Cut>| matches!(cut, Some(Cut::StallInBody | Cut::StallAfterHead));
    let cases: Vec<_> = cases
        .filter(|(row, route)| !(slow(&row.fault.cut) && *route == Route::Compare))
        .collect();
    assert!(cases.len() > 110);
    futures_util::stream::iter(cases)
        .map(|(row, route)| async move {
            let name = (row.name, route);
            let world = World::new(Speaks::GitHub).await;
            let mut source = world.source();
            is_true(&world, &source.fetch().await.unwrap());
            world.commit("flake.lock", "{\"nodes\":{}}\n");
            world.fake.fail_always(route, &row.fault);
            let why = match source.fetch().await {
                Err(why) => why,
                // What the branch pointed to has gone altogether.
                Ok(fetched) if (row.name, route) == ("404", Route::Compare) => {
                    assert!(fetched.snapshot.rewritten);
                    return;
                }
                Ok(fetched) => panic!("{name:?}: {fetched:?}"),
            };
            // Three attempts at something passing may use up the time of a reading.
            let in_time = why.cause == row.cause;
            let out_of_time = row.cause.is_transient() && why.cause == RemoteCause::TimedOut;
            assert!(in_time || out_of_time, "{name:?}: {why:?}");
            assert!(!why.detail.is_empty(), "{name:?}");
            if row.waits {
                let asked = world.fake.requests().len();
                assert!(source.fetch().await.is_err());
                assert_eq!(world.fake.requests().len(), asked, "{name:?}: law E6");
            }
            world.fake.heal();
            world.clock.advance(Duration::from_secs(2 * 24 * 3600));
            is_true(&world, &source.fetch().await.unwrap());
        })
        .buffer_unordered(8)
        .collect::<Vec<()>>()
        .await;
}

/// Content of the right type that is wrong: nothing of it is taken.
#[tokio::test]
async fn e07_half_an_answer_is_no_answer() {
    let commit = "a".repeat(40);
    let good = format!(
        r#"{{"name":"main","commit":{{"sha":"{commit}","commit":{{"message":"m","committer":null}}}}}}"#
    );
    let branches = [
        good.replace("main", "other"),
        good.replace(&commit, "abc"),
        good.replace(&format!("\"{commit}\""), "null"),
        good.replace("\"m\"", "7"),
        good.replace("\"name\":\"main\",", ""),
    ];
    for body in branches {
        let world = World::new(Speaks::GitHub).await;
        world.fake.fail(Route::Branch, Fault::body(body.clone()));
        let why = world.source().fetch().await.unwrap_err();
        assert_eq!(why.cause, RemoteCause::Malformed, "{body}");
    }
    let file = |content: &str, size: u64| {
        format!(
            r#"{{"type":"file","path":"flake.lock","sha":"x","encoding":"base64","size":{size},"content":"{content}"}}"#
        )
    };
    for body in [
        file("e30=", 3),
        file("e30", 2),
        file("<html>", 6),
        file("e30=", 2).replace("flake.lock", "flake.nix"),
        file("e30=", 2).replace("\"file\"", "\"symlink\""),
        file("e30=", 2).replace("base64", "utf-8"),
        file("e30=", u64::MAX),
        "[]".to_owned(),
    ] {
        let world = World::new(Speaks::GitHub).await;
        world.fake.fail(Route::Contents, Fault::body(body.clone()));
        let why = world.source().fetch().await.unwrap_err();
        assert_eq!(why.cause, RemoteCause::Malformed, "{body}");
    }
    let world = World::new(Speaks::GitHub).await;
    world
        .fake
        .fail(Route::Contents, Fault::body(file("e30=", 2)));
    let fetched = world.source().fetch().await.unwrap();
    assert_eq!(
        fetched.lock.as_deref(),
        Some(b"{}".as_slice()),
        "the control"
    );
}
