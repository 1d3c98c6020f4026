//! The client of a forge against scripted answers: what is kept of them, and what is not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nixfleet_core::Timestamp;
use nixfleet_core::credential::Credential;
use nixfleet_core::update::{ForgeAnswer, ForgeCall, PrNumber};
use nixfleet_server::clock::Clock;
use nixfleet_server::forge::memory::{Memory, TokenEnd};
use nixfleet_server::forge::{
    ApiAddress, Forge, ForgeKind, ForgeSettings, Patience, Phases, connect, connect_knowing,
};
use nixfleet_server::sources::Branch;
use nixfleet_server::store::{DataFolder, Store};
use serde_json::json;

use crate::sources::web::{Request, Web, answer};

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn settings(web: &Web) -> ForgeSettings {
    ForgeSettings {
        kind: ForgeKind::GitHub,
        api: ApiAddress::configured(&format!("http://{}", web.address())).unwrap(),
        repo: "nixfleet/hosts".parse().unwrap(),
        branch: Branch::parse("main").unwrap(),
        token: Some("ghp_reading0123456789".into()),
        merge_token: None,
        label: "automated".to_owned(),
        phases: Phases::default(),
        patience: Patience {
            tries: 0,
            pause: Duration::ZERO,
        },
    }
}

fn branch() -> Vec<u8> {
    let commit = json!({ "message": "x", "committer": { "date": "2026-11-20T12:00:00Z" } });
    let head = json!({ "name": "main", "commit": { "sha": "a".repeat(40), "commit": commit } });
    head.to_string().into_bytes()
}

/// Answers one after the other, the last one for ever.
async fn scripted(answers: Vec<Vec<u8>>) -> Web {
    let next = AtomicUsize::new(0);
    Web::start(move |_| {
        let at = next.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
        answers[at].clone()
    })
    .await
}

fn tags(web: &Web) -> Vec<Option<String>> {
    let tag = |request: Request| request.header("if-none-match").map(str::to_owned);
    web.requests().into_iter().map(tag).collect()
}

/// An answer that cannot be used must not come back as "nothing changed".
#[tokio::test]
async fn e07_the_tag_of_an_answer_that_cannot_be_used_is_not_kept() {
    let tagged = |tag: &str, body: &[u8]| answer(200, &[("etag", tag)], body);
    let other = json!({ "name": "main" }).to_string();
    for useless in [&b"<html>busy</html>"[..], other.as_bytes()] {
        let web = scripted(vec![
            tagged("\"bad\"", useless),
            tagged("\"good\"", &branch()),
            answer(304, &[("etag", "\"good\"")], b""),
        ])
        .await;
        let forge = connect(settings(&web), Clock::manual(START)).unwrap();
        forge.head().await.unwrap_err();
        let head = forge.head().await.unwrap();
        assert_eq!(
            forge.head().await.unwrap(),
            head,
            "the control: a tag is used"
        );
        assert_eq!(tags(&web), [None, None, Some("\"good\"".to_owned())]);
    }
}

/// Quota headers of a window that ends in an hour.
fn quota(limit: u64, remaining: u64, body: &[u8]) -> Vec<u8> {
    let (limit, remaining) = (limit.to_string(), remaining.to_string());
    let reset = (START.as_millis() / 1000 + 3600).to_string();
    let headers = [
        ("x-ratelimit-limit", limit.as_str()),
        ("x-ratelimit-remaining", remaining.as_str()),
        ("x-ratelimit-reset", reset.as_str()),
    ];
    answer(200, &headers, body)
}

#[tokio::test]
async fn e06_a_share_of_polling_that_is_used_up_keeps_no_person_waiting() {
    let web = scripted(vec![quota(5000, 400, &branch())]).await;
    let forge = connect(settings(&web), Clock::manual(START)).unwrap();
    forge.head().await.unwrap();
    let asked = web.requests().len();
    let ForgeAnswer::Listed(Err(why)) = forge.call(ForgeCall::List).await else {
        panic!("polling goes on");
    };
    assert_eq!(web.requests().len(), asked, "nothing left: {}", why.what);
    assert_eq!(why.not_before, None, "nobody else has to wait for that");
    let number = PrNumber(7);
    forge.call(ForgeCall::Read { number }).await;
    assert_eq!(
        web.requests().len(),
        asked + 1,
        "a person's question leaves"
    );
}

/// The store of a server, and a client that goes on from it.
async fn going_on(folder: &std::path::Path, web: &Web, clock: &Clock) -> (Store, Arc<dyn Forge>) {
    let store = Store::open(DataFolder::take(folder).unwrap())
        .await
        .unwrap();
    let memory = Memory {
        budgets: store.forge_budgets().await.unwrap(),
        store: Some(Arc::new(store.clone())),
        ends: None,
    };
    let forge = connect_knowing(settings(web), clock.clone(), memory).unwrap();
    (store, forge)
}

#[tokio::test]
async fn e06_a_restart_asks_no_sooner_than_the_forge_named() {
    let limited = answer(429, &[("retry-after", "600")], b"{}");
    let used_up = quota(5000, 0, &branch());
    for (first, seconds) in [(limited, 600), (used_up, 3600)] {
        let web = scripted(vec![first, answer(200, &[], &branch())]).await;
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(START);
        let (store, forge) = going_on(folder.path(), &web, &clock).await;
        forge.head().await.ok();
        assert_eq!(web.requests().len(), 1);
        store.close().await;
        drop((store, forge));
        let (store, forge) = going_on(folder.path(), &web, &clock).await;
        clock.advance(Duration::from_secs(seconds - 1));
        forge.head().await.unwrap_err();
        assert_eq!(web.requests().len(), 1, "not even after a restart");
        clock.advance(Duration::from_secs(2));
        forge.head().await.unwrap();
        store.close().await;
    }
}

/// The share of polling is one share, however often the server starts.
#[tokio::test]
async fn e06_restarts_give_polling_no_new_share() {
    let left = Mutex::new(1000);
    let web = Web::start(move |_| {
        let mut left = left.lock().unwrap();
        *left -= 1;
        quota(1000, *left, &branch())
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(START);
    for _ in 0..30 {
        let (store, forge) = going_on(folder.path(), &web, &clock).await;
        for _ in 0..7 {
            forge.head().await.ok();
        }
        store.close().await;
    }
    let sent = web.requests().len();
    assert!((50..=100).contains(&sent), "a tenth of 1000: {sent}");
}

#[tokio::test]
async fn the_end_of_a_token_is_told_once_and_again_when_it_changes() {
    let header = "github-authentication-token-expiration";
    let ends = |day: &str| {
        answer(
            200,
            &[(header, &format!("2026-12-{day} 00:00:00 UTC"))],
            &branch(),
        )
    };
    let web = scripted(vec![
        ends("30"),
        ends("30"),
        answer(401, &[], b"{}"),
        ends("31"),
        answer(200, &[(header, "next summer")], &branch()),
        answer(200, &[], &branch()),
    ])
    .await;
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    let memory = Memory {
        budgets: BTreeMap::new(),
        store: None,
        ends: Some(sender),
    };
    let forge = connect_knowing(settings(&web), Clock::manual(START), memory).unwrap();
    for _ in 0..7 {
        forge.head().await.ok();
    }
    let mut heard = Vec::new();
    while let Ok(TokenEnd { credential, ends }) = told.try_recv() {
        heard.push((credential, ends.map(|at| at.to_string())));
    }
    let reading = |day: &str| {
        let at = Timestamp::parse_rfc3339(&format!("2026-12-{day}T00:00:00Z")).unwrap();
        (Credential::ForgeReading, Some(at.to_string()))
    };
    let none = |credential| (credential, None);
    let expected = [
        none(Credential::ForgeChanging),
        reading("30"),
        reading("31"),
        none(Credential::ForgeReading),
    ];
    assert_eq!(
        heard, expected,
        "a refusal says nothing of it, nor does what cannot be read"
    );
}
