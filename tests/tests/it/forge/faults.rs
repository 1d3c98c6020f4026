//! FI-24: every fault of the forge at every call. A fault is told as what it is, is never taken
//! for an answer, leaves nothing behind, and no change is repeated (laws E1, E4, E6).

use std::time::Duration;

use futures_util::StreamExt;
use nixfleet_core::update::{
    ForgeFailure, MergeAnswer, MergeMethod, PrState, PullRequest, ReadOrNot,
};
use nixfleet_tests::forge::{Cut, Route, Speaks};

use super::table::{Merge, Row, rows};
use super::{World, is_complete};

/// Longer than any wait that a fault of the table names.
const LONG_AFTER: Duration = Duration::from_secs(2 * 24 * 3600);
const AT_A_TIME: usize = 8;

/// Runs a case for every row; answers how many there were.
async fn each<F: Future<Output = ()>>(case: impl Fn(Row) -> F) -> usize {
    let cases = rows();
    let count = cases.len();
    futures_util::stream::iter(cases)
        .map(case)
        .buffer_unordered(AT_A_TIME)
        .collect::<Vec<()>>()
        .await;
    count
}

/// A failure names a moment exactly where the forge limits us.
fn fits(row: &Row, failure: &ForgeFailure, world: &World) {
    let name = row.name;
    assert_eq!(
        failure.not_before.is_some(),
        row.waits,
        "{name}: {failure:?}"
    );
    if let Some(moment) = failure.not_before {
        assert!(moment > world.clock.now(), "{name}");
    }
    assert!(
        !failure.what.is_empty() && !failure.what.contains('\n'),
        "{name}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fi24_a_fault_of_the_list_is_a_failure_and_heals() {
    let cases = each(|row| async move {
        for speaks in [Speaks::GitHub, Speaks::Gitea] {
            let world = World::new(speaks).await;
            world.fake.open_update_pr(42, "nixpkgs");
            world.fake.fail_always(Route::Pulls, &row.fault);
            let failure = world.list().await.unwrap_err();
            fits(&row, &failure, &world);
            let asked = world.fake.requests().len();
            if row.waits {
                let early = world.list().await.unwrap_err();
                assert!(early.not_before.is_some(), "{}", row.name);
                assert_eq!(world.fake.requests().len(), asked, "{}: law E6", row.name);
            }
            world.fake.heal();
            world.clock.advance(LONG_AFTER);
            assert!(is_complete(&world.list().await.unwrap()[0]), "{}", row.name);
        }
    })
    .await;
    assert!(cases >= 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fi24_a_fault_of_a_pull_request_is_a_failure_and_heals() {
    each(|row| async move {
        let world = World::new(Speaks::GitHub).await;
        world.fake.open_update_pr(42, "nixpkgs");
        world.fake.fail_always(Route::Pull, &row.fault);
        match (row.name, world.read(42).await) {
            // The repository is there, so this says that there is no such pull request.
            ("404", Ok(None)) => {}
            (_, Err(failure)) => fits(&row, &failure, &world),
            (name, read) => panic!("{name}: {read:?}"),
        }
        // In a list, it is still visible, but nothing of it is believed.
        if !row.waits {
            let listed = world.list().await.unwrap();
            assert_eq!(listed.len(), 1, "{}", row.name);
            assert!(listed[0].files.read().is_none(), "{}", row.name);
            assert!(listed[0].checks.read().is_none(), "{}", row.name);
            assert!(listed[0].locks.read().is_none(), "{}", row.name);
        }
        world.fake.heal();
        world.clock.advance(LONG_AFTER);
        assert!(is_complete(&world.pull(42).await), "{}", row.name);
    })
    .await;
}

/// A part of a pull request, and the route that brings it.
type Part = (Route, fn(&PullRequest) -> bool);

const PARTS: [Part; 5] = [
    (Route::Files, |pull| {
        matches!(pull.files, ReadOrNot::Read(_))
    }),
    (Route::CheckRuns, |pull| {
        matches!(pull.checks, ReadOrNot::Read(_))
    }),
    (Route::Statuses, |pull| {
        matches!(pull.checks, ReadOrNot::Read(_))
    }),
    (Route::Compare, |pull| {
        matches!(pull.locks, ReadOrNot::Read(_))
    }),
    (Route::Contents, |pull| {
        matches!(pull.locks, ReadOrNot::Read(_))
    }),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fi24_a_fault_of_a_part_costs_that_part_and_is_never_an_answer() {
    each(|row| async move {
        for (route, is_read) in PARTS {
            // The slow ones are slow; two routes stand for the others.
            let slow = matches!(
                row.fault.cut,
                Some(Cut::StallAfterHead | Cut::StallInBody | Cut::Drip(_) | Cut::Huge { .. })
            );
            if slow && !matches!(route, Route::Files | Route::Contents) {
                continue;
            }
            let name = (row.name, route);
            let world = World::new(Speaks::GitHub).await;
            world.fake.open_update_pr(42, "nixpkgs");
            world.fake.fail_always(route, &row.fault);
            let pull = world.pull(42).await;
            assert!(!is_read(&pull), "{name:?}: {pull:?}");
            if !row.waits {
                let others = PARTS.iter().filter(|(_, other)| other(&pull)).count();
                assert!(others >= 2, "{name:?}: the rest is read");
            }
            world.fake.heal();
            world.clock.advance(LONG_AFTER);
            assert!(is_complete(&world.pull(42).await), "{name:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e04_a_fault_of_a_merge_is_certain_or_ambiguous_and_is_sent_once() {
    let cases = each(|row| async move {
        for (speaks, done) in [
            (Speaks::GitHub, false),
            (Speaks::GitHub, true),
            (Speaks::Gitea, false),
        ] {
            let name = (row.name, speaks, done);
            let world = World::new(speaks).await;
            let head = world.fake.open_update_pr(42, "nixpkgs");
            let before = world.main();
            let mut fault = row.fault.clone();
            if done {
                fault = fault.but_done();
            } else if fault.instead.is_none() {
                // Only the answer would be cut: here nothing is to be done, either.
                fault = nixfleet_tests::forge::Fault::body(&b"{}"[..]).and_cut(fault.cut.unwrap());
            }
            world.fake.fail(Route::Merge, fault);
            let answer = world.merge(42, &head, MergeMethod::Merge).await;
            let expected = match (&answer, row.merge) {
                (MergeAnswer::Refused(failure), Merge::Refused) => {
                    fits(&row, failure, &world);
                    true
                }
                (MergeAnswer::NotMergeable(_), Merge::NotMergeable)
                | (MergeAnswer::HeadMoved, Merge::HeadMoved)
                | (MergeAnswer::Invalid(_), Merge::Invalid)
                | (MergeAnswer::Ambiguous(_), Merge::Ambiguous) => true,
                _ => false,
            };
            assert!(expected, "{name:?}: {answer:?}");
            assert_eq!(world.fake.requests_to(Route::Merge).len(), 1, "{name:?}");
            // What became of it is found out by reading.
            world.clock.advance(LONG_AFTER);
            let after = world.pull(42).await;
            if done && row.merge == Merge::Ambiguous {
                let commit = Some(world.main());
                assert_eq!(after.state, PrState::Merged { commit }, "{name:?}");
            } else if !done {
                assert_eq!(after.state, PrState::Open, "{name:?}");
                assert_eq!(world.main(), before, "{name:?}");
                let again = world.merge(42, &head, MergeMethod::Merge).await;
                let commit = world.main();
                assert_eq!(again, MergeAnswer::Done { commit }, "{name:?}");
            }
        }
    })
    .await;
    assert!(cases >= 40);
}

#[tokio::test]
async fn a_forge_that_cannot_be_reached_was_certainly_not_asked() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let fake = World::new(Speaks::GitHub).await;
    let plain = fake.fake.api_url().replace("http://", "https://");
    for (name, api) in [
        ("nobody listens", format!("http://127.0.0.1:{port}")),
        ("no TLS there", plain),
        (
            "no such name",
            "https://nixfleet-forge.invalid/api/v1".to_owned(),
        ),
    ] {
        let world = World::with(Speaks::GitHub, |settings| {
            settings.api = nixfleet_server::forge::ApiAddress::configured(&api).unwrap();
        })
        .await;
        let failure = world.list().await.unwrap_err();
        assert_eq!(failure.not_before, None, "{name}");
        assert!(
            failure.what.contains("no connection"),
            "{name}: {}",
            failure.what
        );
        let answer = world.merge(42, &"a".repeat(40), MergeMethod::Merge).await;
        assert!(
            matches!(answer, MergeAnswer::Refused(_)),
            "{name}: {answer:?}"
        );
        let why = world.source().fetch().await.unwrap_err();
        assert!(why.cause.is_transient(), "{name}: {why:?}");
    }
    assert!(fake.fake.requests().is_empty());
    assert!(
        fake.list().await.is_ok(),
        "the same forge, asked rightly, answers"
    );
}
