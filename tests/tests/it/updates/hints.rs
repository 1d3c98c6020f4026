//! What comes in from the forge without being asked for, and what goes out to people.

use hmac::{Hmac, KeyInit, Mac};
use nixfleet_core::rollout::RolloutState;
use nixfleet_tests::fleet::{PATIENCE, good};
use nixfleet_tests::forge::Route;
use nixfleet_tests::forged::{ForgedFleet, REPO};
use nixfleet_tests::receiver::Receiver;
use nixfleet_tests::wait::until;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::fleet::paths;

const WEB: &str = "web-1";
const SECRET: &str = "a webhook secret that is long enough";
const ANOTHER: &str = "another secret that is long enough, too";

fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// Sends a webhook as a forge does; answers the status and the code of the problem.
async fn hook(fleet: &ForgedFleet, body: &str, signed: Option<&str>) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let origin = good(fleet.api()).origin().to_owned();
    let mut request = client
        .post(format!("{origin}/api/v1/webhooks/github"))
        .header("content-type", "application/json")
        .header("x-github-event", "pull_request")
        .body(body.to_owned());
    if let Some(secret) = signed {
        request = request.header("x-hub-signature-256", signature(secret, body));
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

fn opened() -> String {
    json!({ "action": "opened", "number": 42, "pull_request": { "number": 42 },
            "repository": { "full_name": REPO } })
    .to_string()
}

#[tokio::test]
async fn only_a_signed_webhook_makes_the_server_look() {
    let mut fleet =
        ForgedFleet::create(&paths(), &[], &[("NIXFLEET_WEBHOOK_SECRET", SECRET)]).await;
    good(fleet.start_server().await);
    fleet
        .updates_until("the first look", |updates| updates.checked)
        .await;
    fleet.forge.open_update_pr(42, "nixpkgs");
    let looks = fleet.forge.requests_to(Route::Pulls).len();
    let unsigned = hook(&fleet, &opened(), None).await;
    assert_eq!(unsigned, (401, "webhook_unsigned".to_owned()));
    let forged = hook(&fleet, &opened(), Some(ANOTHER)).await;
    assert_eq!(forged, (401, "webhook_wrong_signature".to_owned()));
    let elsewhere = opened().replace(REPO, "evil/fleet");
    assert_eq!(hook(&fleet, &elsewhere, Some(SECRET)).await.0, 202);
    assert!(fleet.updates().await.prs.is_empty());
    assert_eq!(fleet.forge.requests_to(Route::Pulls).len(), looks);

    assert_eq!(hook(&fleet, &opened(), Some(SECRET)).await.0, 202);
    fleet.listed(42, "to be listed at once", |_| true).await;
    fleet.end().await;
}

#[tokio::test]
async fn without_a_secret_every_webhook_is_refused() {
    let mut fleet = ForgedFleet::create(&paths(), &[], &[]).await;
    good(fleet.start_server().await);
    for signed in [None, Some(""), Some(SECRET)] {
        let answer = hook(&fleet, &opened(), signed).await;
        assert_eq!(answer, (403, "webhook_without_secret".to_owned()));
    }
    fleet.end().await;
}

#[tokio::test]
async fn people_are_told_of_an_update_and_of_the_end_of_its_rollout() {
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let environment = [
        ("NIXFLEET_NOTIFY_WEBHOOK_URL", url.as_str()),
        ("NIXFLEET_NOTIFY_WEBHOOK_SECRET", ANOTHER),
    ];
    let mut fleet = ForgedFleet::current(&paths(), &[WEB], &environment).await;
    let told = |kind: &str| -> Vec<Value> {
        let heard = receiver.heard();
        let bodies = heard.iter().map(nixfleet_tests::forge::Request::json);
        bodies
            .filter(|body| body["type"] == format!("nixfleet.{kind}"))
            .collect()
    };
    assert!(told("update-found").is_empty());
    fleet.forge.open_update_pr(42, "nixpkgs");
    fleet.find(42).await;
    fleet.check().await;
    let rollout = fleet.merge_and_deploy(42, json!({})).await;
    fleet.rollout_is(rollout, RolloutState::Complete).await;
    let arrived = until(
        PATIENCE,
        "the notices",
        || (!told("rollout-finished").is_empty()).then_some(()),
        || format!("{:?}\n{}", receiver.heard(), fleet.last_words()),
    );
    good(arrived.await);
    for kind in [
        "update-found",
        "update-merged",
        "rollout-started",
        "rollout-finished",
    ] {
        let notices = told(kind);
        assert_eq!(notices.len(), 1, "{kind}: {notices:#?}");
        assert!(!notices[0]["data"]["title"].as_str().unwrap().is_empty());
    }
    for request in receiver.heard() {
        let header = |name| request.header(name).unwrap_or_default().to_owned();
        let signed = format!(
            "{}.{}.{}",
            header("webhook-id"),
            header("webhook-timestamp"),
            String::from_utf8_lossy(&request.body)
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(ANOTHER.as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        let sum = data_encoding::BASE64.encode(&mac.finalize().into_bytes());
        assert_eq!(header("webhook-signature"), format!("v1,{sum}"));
    }
    let log: Value = fleet.get("/api/v1/notifications").await;
    assert!(log.to_string().contains("rollout-finished"), "{log:#}");
    fleet.end().await;
}
