//! Tokens stay in one header to one host (law E8), and requests stay with that host (law E10).

use std::fmt::Write;

use nixfleet_core::update::{
    ForgeAnswer, ForgeCall, MergeAnswer, MergeMethod, PrNumber, RevertKind,
};
use nixfleet_tests::forge::{Answer, FakeForge, Fault, Route, Speaks};

use super::table::rows;
use super::{REPO, World};

const READING: &str = "canary-reading-4b1d9e";
const CHANGING: &str = "canary-changing-8c2f7a";

async fn with_tokens(speaks: Speaks) -> World {
    let world = World::with(speaks, |settings| {
        settings.token = Some(READING.into());
        settings.merge_token = Some(CHANGING.into());
    })
    .await;
    world.fake.state().tokens = vec![READING.to_owned(), CHANGING.to_owned()];
    world
}

/// Everything the client says about anything, in one text.
async fn told(world: &World) -> String {
    let mut text = String::new();
    let revert = ForgeCall::Revert {
        number: PrNumber(42),
        title: "x".to_owned(),
        commit: world.main(),
        kind: RevertKind::Commit,
    };
    let merge = ForgeCall::Merge {
        number: PrNumber(42),
        head: world.main(),
        method: MergeMethod::Merge,
    };
    let read = ForgeCall::Read {
        number: PrNumber(42),
    };
    for call in [ForgeCall::List, read, merge, revert] {
        writeln!(text, "{:?}", world.forge.call(call).await).unwrap();
    }
    writeln!(text, "{:?}", world.source().fetch().await).unwrap();
    writeln!(text, "{:?} {}", world.forge, world.forge.shown()).unwrap();
    text
}

#[tokio::test]
async fn e08_the_token_for_changes_is_used_for_changes_only() {
    for speaks in [Speaks::GitHub, Speaks::Gitea] {
        let world = with_tokens(speaks).await;
        let head = world.fake.open_update_pr(42, "nixpkgs");
        world.list().await.unwrap();
        let merged = world.merge(42, &head, MergeMethod::Merge).await;
        assert!(matches!(merged, MergeAnswer::Done { .. }), "{merged:?}");
        let mut changes = 0;
        for recorded in world.fake.requests() {
            let sent = recorded.request;
            let expected = if sent.method == "GET" {
                READING
            } else {
                CHANGING
            };
            let header = sent.header("authorization").unwrap();
            assert!(
                header.ends_with(expected),
                "{} {}",
                sent.method,
                sent.target
            );
            assert!(!sent.target.contains("canary"), "never in an address");
            assert!(!String::from_utf8_lossy(&sent.body).contains("canary"));
            let elsewhere = sent
                .headers
                .iter()
                .filter(|(_, value)| value.contains("canary"));
            assert_eq!(elsewhere.count(), 1);
            changes += usize::from(sent.method != "GET");
        }
        assert_eq!(changes, 1);
    }
}

#[tokio::test]
async fn e08_no_token_in_anything_that_is_said_whatever_goes_wrong() {
    let quick = rows().into_iter().filter(|row| row.fault.cut.is_none());
    for row in quick {
        let world = with_tokens(Speaks::GitHub).await;
        world.fake.open_update_pr(42, "nixpkgs");
        for route in Route::ALL {
            world.fake.fail(*route, row.fault.clone());
        }
        let text = told(&world).await;
        assert!(!text.contains("canary"), "{}: {text}", row.name);
        assert!(text.len() > 100);
    }
}

#[tokio::test]
async fn e08_a_forge_that_repeats_the_token_is_not_repeated() {
    for token in [READING, CHANGING] {
        let page = format!("{{\"message\":\"who is {token}?\"}}");
        for status in [200, 401, 403, 404, 405, 422, 429, 500] {
            let world = with_tokens(Speaks::GitHub).await;
            world.fake.open_update_pr(42, "nixpkgs");
            let answer = Answer {
                status,
                headers: vec![("x-echo".to_owned(), token.to_owned())],
                body: page.clone().into_bytes(),
            };
            for route in Route::ALL {
                world.fake.fail(*route, Fault::answer(answer.clone()));
            }
            let text = told(&world).await;
            assert!(!text.contains("canary"), "{status}: {text}");
        }
    }
    // A title with the token in it is kept out as well.
    let world = with_tokens(Speaks::GitHub).await;
    world.fake.open_update_pr(42, "nixpkgs");
    assert!(world.list().await.is_ok(), "the control");
    world.fake.state().pulls.get_mut(&42).unwrap().title = READING.to_owned();
    assert!(world.list().await.is_err());
}

#[tokio::test]
async fn e10_no_request_and_no_token_goes_to_another_host() {
    let folder = tempfile::tempdir().unwrap();
    let other = FakeForge::start(Speaks::GitHub, REPO, folder.path()).await;
    let elsewhere = other.api_url();
    for status in [301, 302, 303, 307, 308] {
        let world = with_tokens(Speaks::GitHub).await;
        world.fake.open_update_pr(42, "nixpkgs");
        let to = format!("{elsewhere}/repos/{REPO}/pulls");
        for route in Route::ALL {
            world
                .fake
                .fail_always(*route, &Fault::redirect(status, &to));
        }
        let text = told(&world).await;
        assert!(text.contains("redirect"), "{text}");
        assert!(other.requests().is_empty(), "{status}");
    }
    // The next page of a list is an address from outside, too.
    let world = with_tokens(Speaks::GitHub).await;
    let head = world.fake.open_update_pr(42, "nixpkgs");
    let link = format!("<{elsewhere}/repos/{REPO}/pulls?page=2>; rel=\"next\"");
    let lying = Fault::default().with("link", &link);
    world.fake.fail_always(Route::Pulls, &lying);
    world.list().await.unwrap_err();
    assert!(other.requests().is_empty());
    world.fake.heal();
    // A change is not sent elsewhere even at the same host; a question is.
    let same = format!("{}/repos/{REPO}/pulls/42/merge", world.fake.api_url());
    world.fake.fail(Route::Merge, Fault::redirect(307, &same));
    let refused = world.merge(42, &head, MergeMethod::Merge).await;
    assert!(matches!(refused, MergeAnswer::Refused(_)), "{refused:?}");
    assert_eq!(world.fake.requests_to(Route::Merge).len(), 1);
    let same = format!("{}/repos/{REPO}/pulls/42", world.fake.api_url());
    world.fake.fail(Route::Pull, Fault::redirect(301, &same));
    assert!(matches!(world.read(42).await, Ok(Some(_))), "the control");
    world
        .fake
        .fail_always(Route::Pull, &Fault::redirect(301, &same));
    let asked = world.fake.requests_to(Route::Pull).len();
    assert!(
        world
            .read(42)
            .await
            .unwrap_err()
            .what
            .contains("too many redirects")
    );
    assert_eq!(
        world.fake.requests_to(Route::Pull).len() - asked,
        4,
        "bounded"
    );
}

#[tokio::test]
async fn without_a_token_there_is_no_header() {
    let world = World::with(Speaks::GitHub, |settings| settings.token = None).await;
    world.fake.state().tokens.clear();
    assert!(matches!(
        world.forge.call(ForgeCall::List).await,
        ForgeAnswer::Listed(Ok(_))
    ));
    let requests = world.fake.requests();
    assert!(
        requests
            .iter()
            .all(|sent| sent.request.header("authorization").is_none())
    );
}
