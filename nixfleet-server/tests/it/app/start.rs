//! Starting without what one would like to have.

use nixfleet_server::app::{Replacements, Server};
use nixfleet_server::config::{Config, ServeArgs};
use nixfleet_server::store::DATABASE;
use serde_json::{Value, json};

use super::harness::{AGENT_TOKEN, World, make_token, serve, stop};
use crate::sources::repo::{Repo, lock};

fn environment(name: &str) -> Option<String> {
    (name == "NIXFLEET_AGENT_TOKEN").then(|| AGENT_TOKEN.to_owned())
}

async fn start(args: ServeArgs) -> (Server, String) {
    let config = Config::load(&args, &environment).unwrap();
    let server = Server::start(config, Replacements::default())
        .await
        .unwrap();
    let scope = nixfleet_server::auth::TokenScope::Api(nixfleet_server::auth::Role::Admin);
    let token = make_token(&server, "admin", scope).await;
    (server, token)
}

async fn get(server: &Server, token: &str, path: &str) -> (u16, Value) {
    let url = format!("http://{}{path}", server.address);
    let request = reqwest::Client::new().get(url).bearer_auth(token);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn the_remote_was_read_before_anybody_is_let_in() {
    let (world, at) = World::start().await;
    let (_, state) = world.admin.get("/api/v1/state").await;
    let desired = &state["state"]["desired"];
    assert_eq!(desired["commit"], json!(at.commit));
    assert_eq!(desired["remote"]["state"], "verified");
}

#[tokio::test]
async fn without_a_remote_the_server_serves_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for (name, repo) in [("none", None), ("gone", Some("/nowhere/at/all"))] {
        let args = ServeArgs {
            listen: Some("127.0.0.1:0".to_owned()),
            data_dir: Some(folder.path().join(name).display().to_string()),
            repo: repo.map(str::to_owned),
            ..ServeArgs::default()
        };
        let (server, token) = start(args).await;
        let (status, state) = get(&server, &token, "/api/v1/state").await;
        let remote = &state["state"]["desired"]["remote"];
        assert_eq!(
            (status, &remote["state"]),
            (200, &json!("failed")),
            "{state}"
        );
        assert!(
            remote["hint"].as_str().unwrap().contains("NIXFLEET_REPO"),
            "{remote}"
        );
        let (status, _) = get(&server, &token, "/readyz").await;
        assert_eq!(status, 200, "a missing remote is no reason not to serve");
        stop(server).await;
    }
}

#[tokio::test]
async fn a_damaged_database_means_no_command_and_nothing_green() {
    let repo = Repo::new();
    repo.commit_lock(lock('a'));
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path(), &repo, Replacements::default()).await;
    stop(server).await;
    let file = folder.path().join("data").join(DATABASE);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xA5);
    std::fs::write(&file, bytes).unwrap();

    let server = serve(folder.path(), &repo, Replacements::default()).await;
    let url = format!("http://{}/readyz", server.address);
    assert_eq!(reqwest::get(url).await.unwrap().status(), 503);
    let remote = server.hub.ask(|fleet| fleet.desired().remote.clone());
    let remote = format!("{:?}", remote.await.unwrap());
    assert!(remote.contains("StoreDamaged"), "{remote}");
    stop(server).await;
}
