//! What the server does when something is not configured.

use nixfleet_tests::client::Api;
use nixfleet_tests::existing::{ExistingAgent, ExistingSetup};
use nixfleet_tests::fleet::{Fleet, PATIENCE, good};
use nixfleet_tests::process::Process;
use nixfleet_tests::rows::Situation;
use nixfleet_tests::wait::until;
use nixfleet_tests::world::announced;

use super::paths;

const NONE: [&str; 2] = ["NIXFLEET_AGENT_TOKEN", "NIXFLEET_PASSWORD_HASH"];

fn unset(fleet: &mut Fleet, names: &[&str]) {
    let empty = names.iter().map(|name| ((*name).to_owned(), String::new()));
    fleet.setup().server_environment.extend(empty);
}

/// The secret that is printed as `New WHAT, shown this once: SECRET  (…`.
fn printed(output: &str, what: &str) -> Option<String> {
    let start = format!("New {what}, shown this once: ");
    let line = output.lines().find_map(|line| line.strip_prefix(&start))?;
    line.split_whitespace().next().map(str::to_owned)
}

#[tokio::test]
async fn on_loopback_secrets_are_made_up_printed_once_and_work() {
    let mut fleet = Fleet::create(Fleet::setup(&paths(), &["web-1"]));
    unset(&mut fleet, &NONE);
    let launch = fleet.server_launch();
    let mut server = good(Process::start(&launch));
    let origin = good(announced(&mut server, PATIENCE).await);
    let output = server.output();
    let password = printed(&output, "password").unwrap();
    let token = printed(&output, "agent token").unwrap();

    let api = good(Api::new(&origin));
    assert!(api.log_in("not the password").await.is_err());
    let session = good(api.log_in(&password).await);
    let _agent = good(ExistingAgent::start(ExistingSetup {
        origin: origin.clone(),
        token,
        hostname: "attic-1".to_owned(),
        version: "3.0.0".to_owned(),
        remote: fleet.upstream.remote().clone(),
    }));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !good(session.rows().await).contains_key("attic-1") {
        assert!(tokio::time::Instant::now() < deadline, "{}", server.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }

    server.terminate();
    good(server.wait(PATIENCE).await);
    let mut server = good(Process::start(&launch));
    let origin = good(announced(&mut server, PATIENCE).await);
    assert!(
        !server.output().contains("shown this once"),
        "{}",
        server.output()
    );
    good(good(Api::new(&origin)).log_in(&password).await);
}

#[tokio::test]
async fn elsewhere_it_refuses_to_start_and_says_why() {
    for missing in NONE {
        let mut fleet = Fleet::create(Fleet::setup(&paths(), &["web-1"]));
        let listen = ("NIXFLEET_LISTEN".to_owned(), "0.0.0.0:0".to_owned());
        fleet.setup().server_environment.push(listen);
        let mut server = good(Process::start(&fleet.server_launch()));
        let up = || server.output().contains("at http").then_some(());
        good(until(PATIENCE, "the server, with both set", up, || server.log()).await);
        server.kill();

        unset(&mut fleet, &[missing]);
        let mut server = good(Process::start(&fleet.server_launch()));
        let status = good(server.wait(PATIENCE).await);
        assert_eq!(status.code(), Some(2), "{}", server.log());
        let log = server.log();
        let told = log.contains(&format!("{missing}: not set")) && log.contains("network");
        assert!(told, "{log}");
    }
}

#[tokio::test]
async fn without_a_repository_it_runs_red_and_names_the_setting() {
    let mut fleet = Fleet::create(Fleet::setup(&paths(), &["web-1"]));
    unset(&mut fleet, &["NIXFLEET_REPO"]);
    good(fleet.start_server().await);
    good(good(fleet.api()).add_host("spare-1").await);
    fleet
        .settled(Situation::RemoteGoneNeverSeen, &["spare-1"])
        .await;
    let about = fleet.about("spare-1").await;
    for compartment in ["git", "lock", "system", "tests"] {
        let details = about["compartments"][compartment]["details"].to_string();
        assert!(
            details.contains("NIXFLEET_REPO"),
            "{compartment}: {details}"
        );
    }

    good(fleet.stop_server().await);
    fleet.setup().server_environment.clear();
    good(fleet.start_server().await);
    fleet.settled(Situation::Announced, &["spare-1"]).await;
    fleet.end().await;
}
