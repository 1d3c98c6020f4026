//! The other way: a host updates the inputs and pushes them.

use http::Method;
use std::os::unix::fs::PermissionsExt;

use nixfleet_core::Op;
use nixfleet_core::rollout::RolloutState;
use nixfleet_tests::fleet::{PATIENCE, good};
use nixfleet_tests::forged::ForgedFleet;
use nixfleet_tests::rows::Situation;
use nixfleet_tests::wait::until;
use serde_json::{Value, json};

use crate::browser::Person;
use crate::fleet::paths;

const WEB: &str = "web-1";
const DB: &str = "db-1";
const BOTH: [&str; 2] = [WEB, DB];
/// What it does to the lock is what nix does to it: another revision.
const NIX: &str = r#"#!/bin/sh
case "$*" in
  --version) echo 'nix (Nix) 2.31.0';;
  *'flake update'*)
    echo "updating: $*"
    old=$(grep -m1 '"rev"' flake.lock | cut -d'"' -f4)
    new=$(printf '%s' "$old" | tr '0123456789abcdef' '123456789abcdef0')
    sed "s/$old/$new/" flake.lock > flake.lock.new && mv flake.lock.new flake.lock;;
  *) echo "unexpected: $*" >&2; exit 1;;
esac
"#;

fn with_nix(fleet: &mut ForgedFleet) {
    let folder = fleet.folder().join("nix");
    std::fs::create_dir(&folder).unwrap();
    let nix = folder.join("nix");
    std::fs::write(&nix, NIX).unwrap();
    std::fs::set_permissions(&nix, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let value = format!("{}:{path}", folder.display());
    let environment = &mut fleet.setup().agent_environment;
    environment.push(("PATH".to_owned(), value));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_updates_the_inputs_and_every_host_turns_yellow() {
    let mut fleet = ForgedFleet::create(&paths(), &BOTH, &[("NIXFLEET_HOST_DRIVEN", "true")]).await;
    with_nix(&mut fleet);
    fleet.start().await;
    fleet.bring_up(&BOTH).await;
    let before = fleet.main();
    if let Some(mut person) = Person::at("updating inputs on the page").await {
        person.logs_in(&fleet).await;
        person.presses("a[href='#updates']").await;
        let button = "#updates [data-act='update-inputs']";
        person
            .waits_for(&format!("document.querySelector(\"{button}\")"))
            .await;
        person.presses(button).await;
        let chosen = format!(
            "(document.querySelector('#sheet [name=host]').value = '{WEB}') \
             && document.querySelector('#sheet [data-act=go]')"
        );
        person.waits_for(&chosen).await;
        person.presses("#sheet [data-act=go]").await;
        person
            .waits_for("!document.querySelector('#sheet').open")
            .await;
        person.had_no_trouble().await;
    } else {
        fleet.run(Op::UpdateInputs, &[WEB]).await;
    }
    let pushed = until(
        PATIENCE,
        "the push",
        || (fleet.main() != before).then_some(()),
        || fleet.last_words(),
    );
    good(pushed.await);
    let after = fleet.main();
    assert_ne!(after, before);
    {
        let state = fleet.forge.state();
        assert_eq!(state.git.parents("main"), [before.to_string()]);
        let changed = state.git.changed(&before.to_string(), &after.to_string());
        assert_eq!(changed, [('M', "flake.lock".to_owned(), None)]);
    }
    fleet.settled(Situation::Merged, &[DB]).await;
    let rollout = fleet.roll_out(json!({})).await;
    fleet.rollout_is(rollout, RolloutState::Complete).await;
    fleet.settled(Situation::Current, &BOTH).await;
    fleet.end().await;
}

#[tokio::test]
async fn a_host_updates_nothing_unless_that_is_switched_on() {
    let mut fleet = ForgedFleet::create(&paths(), &[WEB], &[]).await;
    with_nix(&mut fleet);
    fleet.start().await;
    fleet.bring_up(&[WEB]).await;
    let before = fleet.main();
    let body = json!({ "op": "update-inputs", "hosts": [WEB] });
    let answer: Value = fleet
        .ask(Method::POST, "/api/v1/dispatch", &body)
        .await
        .body;
    assert!(
        !answer.to_string().contains("command_id\":\""),
        "{answer:#}"
    );
    assert_eq!(good(fleet.upstream.remote().head()), before);
    fleet.end().await;
}
