//! Quotas and pauses (law E6), with a clock that only the test moves.

use std::time::Duration;

use nixfleet_core::update::{ForgeAnswer, ForgeCall, MergeAnswer, MergeMethod};
use nixfleet_server::clock::Clock;
use nixfleet_server::forge::connect;
use nixfleet_tests::forge::{Fault, Quota, Route, Speaks, unix_seconds};

use super::{World, settings};

#[tokio::test]
async fn e06_nothing_is_sent_before_the_moment_the_forge_named() {
    let reset = unix_seconds() + 900;
    for (fault, seconds) in [
        (Fault::secondary_limit(90), 90),
        (Fault::quota_used_up(reset), 900),
        (Fault::too_many().with("retry-after", "30"), 30),
        (Fault::too_many(), 60),
        (Fault::status(503, "down").with("retry-after", "45"), 45),
    ] {
        let world = World::new(Speaks::GitHub).await;
        let head = world.fake.open_update_pr(42, "nixpkgs");
        world.fake.fail(Route::Pulls, fault);
        world.list().await.unwrap_err();
        let asked = world.fake.requests().len();
        world.clock.advance(Duration::from_secs(seconds - 5));
        assert!(world.list().await.unwrap_err().not_before.is_some());
        assert!(world.read(42).await.is_err());
        assert!(world.source().fetch().await.is_err());
        let merge = world.merge(42, &head, MergeMethod::Merge).await;
        assert!(matches!(merge, MergeAnswer::Refused(why) if why.not_before.is_some()));
        assert_eq!(world.fake.requests().len(), asked, "{seconds} s");
        world.clock.advance(Duration::from_secs(10));
        assert!(world.list().await.is_ok(), "and then it is");
    }
}

#[tokio::test]
async fn e06_polling_leaves_most_of_the_quota_and_people_may_use_it() {
    let world = World::new(Speaks::GitHub).await;
    world.fake.state().quota = Some(Quota {
        limit: 100,
        remaining: 100,
        reset: unix_seconds() + 3600,
    });
    let mut source = world.source();
    let mut refused = None;
    for n in 0..200 {
        world.commit("n", &n.to_string());
        if let Err(why) = source.fetch().await {
            refused = Some(why);
            break;
        }
    }
    let why = refused.expect("polling is stopped");
    assert!(why.detail.contains("share"), "{}", why.detail);
    let left = world.fake.state().quota.unwrap().remaining;
    assert!(
        (50..=62).contains(&left),
        "of a small quota up to 40: {left} left"
    );
    assert_eq!(world.read(7).await, Ok(None), "a person may still ask");
    world.clock.advance(Duration::from_secs(3601));
    assert!(source.fetch().await.is_ok(), "the next window");
}

#[tokio::test]
async fn e06_changes_are_a_second_apart() {
    let world = World::new(Speaks::GitHub).await;
    let api = world.fake.api_url();
    let forge = connect(settings(Speaks::GitHub, &api), Clock::system()).unwrap();
    for number in [41, 42, 43] {
        world.fake.open_update_pr(number, "nixpkgs");
    }
    for number in [41, 42, 43] {
        let head = world
            .fake
            .state()
            .git
            .head(&format!("update/{number}"))
            .unwrap();
        let call = ForgeCall::Merge {
            number: nixfleet_core::update::PrNumber(number),
            head: head.parse().unwrap(),
            method: MergeMethod::Squash,
        };
        assert!(matches!(forge.call(call).await, ForgeAnswer::Merged(..)));
    }
    let sent = world.fake.requests_to(Route::Merge);
    assert_eq!(sent.len(), 3);
    for pair in sent.windows(2) {
        let apart = pair[1].at.duration_since(pair[0].at);
        assert!(apart >= Duration::from_millis(900), "{apart:?}");
    }
}

#[tokio::test]
async fn calls_come_one_after_the_other() {
    let world = World::new(Speaks::GitHub).await;
    world.fake.open_update_pr(42, "nixpkgs");
    let (one, two, three) = tokio::join!(world.list(), world.read(42), world.list());
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
}
