//! What people read when something is wrong: on the page (which shows what the API tells), in the
//! agent's own command, and in the log.

use std::collections::BTreeMap;
use std::process::Command;

use nixfleet_core::{Op, Phase, Status};
use nixfleet_tests::fleet::{Fleet, PATIENCE, good, told};
use nixfleet_tests::process::{Launch, Process};
use nixfleet_tests::rows::{Row, Situation};
use nixfleet_tests::wait::until;
use serde_json::Value;

use super::paths;

const WEB: &str = "web-1";

fn with(fleet: &mut Fleet, name: &str, value: &str) {
    let pair = (name.to_owned(), value.to_owned());
    fleet.setup().agent_environment.push(pair);
}

/// What `check` or `status` of the agent's own command say on a host.
fn ask(launch: &Launch, verb: &str) -> (bool, String) {
    let output = Command::new(paths().agent)
        .arg(verb)
        .env_clear()
        .envs(launch.environment.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.success(), text)
}

async fn logs(agent: &Process, words: &[&str]) -> String {
    let all = || {
        let log = agent.log();
        words.iter().all(|word| log.contains(word)).then_some(log)
    };
    good(
        until(PATIENCE, &format!("{words:?} in the log"), all, || {
            agent.log()
        })
        .await,
    )
}

#[tokio::test]
async fn a_wrong_token_is_named_by_log_and_check() {
    let mut fleet = Fleet::create(Fleet::setup(&paths(), &[WEB]));
    good(fleet.start_server().await);
    with(&mut fleet, "NIXFLEET_TOKEN", "a-token-of-some-other-server");
    good(fleet.start_agent(WEB));
    logs(
        fleet.agent(WEB).unwrap(),
        &["401", "refused the token", "NIXFLEET_TOKEN_FILE"],
    )
    .await;
    let launch = good(fleet.agent_launch(WEB));
    for verb in ["check", "status"] {
        let (fine, text) = ask(&launch, verb);
        assert!(
            !fine && text.contains("refused the token"),
            "{verb}: {text}"
        );
    }
    assert!(good(good(fleet.api()).rows().await).is_empty());

    fleet.kill_agent(WEB);
    fleet.setup().agent_environment.clear();
    good(fleet.start_agent(WEB));
    fleet.all_online().await;
    let launch = good(fleet.agent_launch(WEB));
    let (_, text) = ask(&launch, "check");
    assert!(text.contains("the server accepts it"), "{text}");
    fleet.end().await;
}

#[tokio::test]
async fn an_unreachable_and_a_broken_remote_say_the_cause_and_what_to_do() {
    let mut fleet = Fleet::current(&paths(), &[WEB]).await;
    let lines = |about: &Value, compartment: &str| {
        about["compartments"][compartment]["details"].to_string()
    };
    good(fleet.upstream.remote().cut());
    fleet.settled(Situation::RemoteGone, &[WEB]).await;
    let about = fleet.about(WEB).await;
    for compartment in ["git", "lock", "system", "tests"] {
        let details = lines(&about, compartment);
        assert!(
            details.contains("cause: ") && details.contains("how to fix: "),
            "{compartment}: {details}"
        );
    }
    assert!(
        fleet.server().unwrap().log().contains("WARN"),
        "it is in the log, too"
    );
    let refused = good(fleet.api()).dispatch(Op::PullSwitch, &[WEB]).await;
    let refused = format!("{:?}", good(refused));
    assert!(refused.contains("remote-unreadable"), "{refused}");

    // Something is there, but it is no repository.
    let folder = fleet.upstream.remote().folder().to_owned();
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("README"), "not a repository").unwrap();
    fleet
        .until_told(WEB, "the folder to be named", |about| {
            lines(about, "git").contains("not appear to be a git repository")
                || lines(about, "git").contains("not a git repository")
        })
        .await;
    std::fs::remove_dir_all(&folder).unwrap();
    good(fleet.upstream.remote().restore());
    fleet.settled(Situation::Current, &[WEB]).await;

    // The branch names a commit that is not there.
    let head = folder.join("refs/heads/main");
    let good_head = std::fs::read_to_string(&head).unwrap();
    std::fs::write(&head, format!("{}\n", "1".repeat(40))).unwrap();
    fleet.settled(Situation::RemoteGone, &[WEB]).await;
    let about = fleet.about(WEB).await;
    assert!(lines(&about, "git").contains("how to fix: "), "{about:#}");
    std::fs::write(&head, good_head).unwrap();
    fleet.settled(Situation::Current, &[WEB]).await;

    // Without a lock only what needs one is red.
    good(fleet.upstream.git(&["rm", "--quiet", "flake.lock"]));
    good(fleet.upstream.commit("Lose the lock"));
    let (o, e) = (Status::Outdated, Status::Error);
    let lost = Row([Status::Ok, o, e, o, o]);
    fleet.shows(&BTreeMap::from([(WEB.to_owned(), lost)])).await;
    let about = fleet.about(WEB).await;
    assert!(
        lines(&about, "lock").contains("nix flake lock"),
        "{about:#}"
    );
    good(fleet.upstream.update(&["nixpkgs"]));
    fleet.settled(Situation::Merged, &[WEB]).await;
    fleet.end().await;
}

#[tokio::test]
async fn a_repository_that_the_agent_cannot_read_fails_the_pull_with_its_name() {
    let mut fleet = Fleet::create(Fleet::setup(&paths(), &[WEB]));
    good(fleet.start_server().await);
    let nowhere = fleet.folder().join("nowhere.git").display().to_string();
    with(&mut fleet, "NIXFLEET_REPO_URL", &nowhere);
    good(fleet.start_agent(WEB));
    fleet.all_online().await;
    let pull = fleet.begin(Op::Pull, &[WEB]).await;
    let ended = fleet.finished(&pull).await.remove(0);
    assert_eq!(ended.phase, Phase::Error, "{}", told(&ended));
    let message = ended.message.clone().unwrap_or_default();
    assert!(message.contains("nowhere.git"), "{message}");
    logs(fleet.agent(WEB).unwrap(), &["nowhere.git"]).await;
    let (fine, text) = ask(&good(fleet.agent_launch(WEB)), "check");
    assert!(!fine && text.contains("nowhere.git"), "{text}");

    fleet.lose_agent(WEB).await;
    fleet.setup().agent_environment.clear();
    good(fleet.start_agent(WEB));
    fleet.all_online().await;
    fleet.run(Op::Pull, &[WEB]).await;
    let (fine, text) = ask(&good(fleet.agent_launch(WEB)), "check");
    assert!(fine, "{text}");
    fleet.end().await;
}

#[tokio::test]
async fn a_missing_nixos_rebuild_is_named_with_what_to_do() {
    let mut fleet = Fleet::create(Fleet::setup(&paths(), &[WEB]));
    good(fleet.start_server().await);
    with(&mut fleet, "NIXFLEET_PLATFORM", "nixos");
    with(&mut fleet, "NIXFLEET_SWITCH_COMMAND", "");
    good(fleet.start_agent(WEB));
    fleet.all_online().await;
    fleet.run(Op::Pull, &[WEB]).await;
    let switch = fleet.begin(Op::Switch, &[WEB]).await;
    let ended = fleet.finished(&switch).await.remove(0);
    assert_eq!(ended.phase, Phase::Error, "{}", told(&ended));
    let message = ended.message.clone().unwrap_or_default();
    assert!(message.contains("nixos-rebuild"), "{message}");
    let about = fleet.about(WEB).await;
    assert_eq!(about["compartments"]["system"]["status"], "error");
    let details = about["compartments"]["system"]["details"].to_string();
    assert!(details.contains("nixos-rebuild"), "{details}");
    logs(fleet.agent(WEB).unwrap(), &["nixos-rebuild"]).await;
    let (fine, text) = ask(&good(fleet.agent_launch(WEB)), "check");
    assert!(!fine && text.contains("nixos-rebuild"), "{text}");

    fleet.lose_agent(WEB).await;
    fleet.setup().agent_environment.clear();
    good(fleet.start_agent(WEB));
    fleet.all_online().await;
    fleet.run(Op::Switch, &[WEB]).await;
    fleet.settled(Situation::Switched, &[WEB]).await;
    fleet.end().await;
}
