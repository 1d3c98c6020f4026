//! The forge as the source of the desired state: it knows no history, but it can be asked.

use nixfleet_core::Op;
use nixfleet_core::credential::{Credential, Nearness};
use nixfleet_core::rollout::RolloutState;
use nixfleet_core::update::JobState;
use nixfleet_tests::forge::Route;
use nixfleet_tests::forged::{ForgedFleet, TOKEN};
use serde_json::{Value, json};

use crate::fleet::paths;

const WEB: &str = "web-1";
const SOURCE: [(&str, &str); 2] = [("NIXFLEET_REPO", ""), ("NIXFLEET_GITHUB_POLL_TTL", "1s")];

#[tokio::test]
async fn e05_a_merge_that_the_branch_has_moved_past_is_rolled_out_all_the_same() {
    let mut fleet = ForgedFleet::current(&paths(), &[WEB], &SOURCE).await;
    fleet.forge.open_update_pr(42, "nixpkgs");
    fleet.find(42).await;
    fleet.post("/api/v1/updates/42/merge", json!({})).await;
    fleet
        .job(42, "to be merged", |job| job.state == JobState::Completed)
        .await;
    let merge = fleet.main();
    let later = fleet.commit("later.txt", b"later");
    assert_ne!(merge, later);
    fleet
        .until_told(WEB, "the later commit", |about| {
            about["compartments"]["git"]
                .to_string()
                .contains(&later.short())
        })
        .await;
    let compared = fleet.forge.requests_to(Route::Compare).len();
    let switched = fleet.ran(WEB, Op::Switch);
    let rollout = fleet.merge_and_deploy(42, json!({})).await;
    let view = fleet.rollout_is(rollout, RolloutState::Complete).await;
    assert_eq!(view.target.map(|target| target.commit), Some(merge));
    assert!(view.target.is_some_and(|target| target.lock.is_some()));
    assert_eq!(fleet.ran(WEB, Op::Switch), switched + 1);
    assert!(fleet.forge.requests_to(Route::Compare).len() > compared);
    assert_eq!(fleet.merge_calls().len(), 1, "law E1");
    let about: Value = fleet.get(&format!("/api/v1/hosts/{WEB}")).await;
    assert!(about.to_string().contains(&merge.to_string()), "{about:#}");
    fleet.end().await;
}

#[tokio::test]
async fn the_end_of_the_token_is_told_and_shown() {
    let mut fleet = ForgedFleet::create(&paths(), &[], &SOURCE).await;
    let ends = "2000-01-01 00:00:00 UTC";
    let tokens = |ends: &str| [(TOKEN.to_owned(), ends.to_owned())].into();
    fleet.forge.state().token_ends = tokens(ends);
    nixfleet_tests::fleet::good(fleet.start_server().await);
    let shown = fleet
        .updates_until("the end of the token", |updates| {
            updates.credentials.first().cloned()
        })
        .await;
    assert_eq!(shown.credential, Credential::ForgeReading);
    assert_eq!(shown.told, Some(Nearness::Ended));
    assert_eq!(shown.ends.to_string(), "2000-01-01T00:00:00Z");
    // Another token, which lasts.
    fleet.forge.state().token_ends = tokens("2999-01-01 00:00:00 UTC");
    fleet.commit("again.txt", b"so that the answer is a new one");
    fleet
        .updates_until("the end of the new token", |updates| {
            let lasts = |end: &&nixfleet_core::credential::CredentialEnd| end.told.is_none();
            updates.credentials.first().filter(lasts).cloned()
        })
        .await;
    fleet.end().await;
}
