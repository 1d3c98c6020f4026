//! Updates over HTTP, against a scripted forge whose merges are real commits.

use hmac::{Hmac, KeyInit, Mac};
use nixfleet_server::auth::Role;
use serde_json::{Value, json};
use sha2::Sha256;

use super::harness::{Agent, Revision, WEBHOOK_SECRET, World, eventually};
use super::scripted_forge::{NUMBER, ScriptedForge};
use crate::sources::repo::{Repo, lock};

/// A server whose forge has one open update.
pub async fn with_update() -> (World, Revision, ScriptedForge) {
    let repo = Repo::new();
    let forge = ScriptedForge::new(&repo);
    let (world, at) = World::of(repo, forge.replacements()).await;
    eventually("the update is known", async || {
        let (status, updates) = world.admin.get("/api/v1/updates").await;
        status == 200 && updates["prs"][0]["number"] == NUMBER
    })
    .await;
    (world, at, forge)
}

/// What the branch is after the merge.
pub fn merged_revision(world: &World) -> Revision {
    Revision::new(world.repo.id("main"), &lock('b'))
}

async fn job_is(world: &World, state: &str) {
    eventually(&format!("the job is {state}"), async || {
        let (_, status) = world.admin.get("/api/flake-updates/status").await;
        status["current_job"]["state"] == state
    })
    .await;
}

#[tokio::test]
async fn an_update_is_shown_with_its_diff_conditions_and_verdict() {
    let (world, _, _) = with_update().await;
    let (_, updates) = world.admin.get("/api/v1/updates").await;
    let pr = &updates["prs"][0];
    assert_eq!(pr["verdict"], "pass", "{pr}");
    assert_eq!(pr["inputs"][0]["input"], "nixpkgs");
    assert!(pr["conditions"].as_array().unwrap().len() > 5);
    let (_, state) = world.admin.get("/api/v1/state").await;
    assert_eq!(state["state"]["update_pr"]["number"], NUMBER);
    let (status, _) = world.admin.post("/api/v1/updates/check", &json!({})).await;
    assert_eq!(status, 202);
}

#[tokio::test]
async fn a_merge_merges_once_with_the_head_that_was_judged_and_starts_nothing() {
    let (world, at, forge) = with_update().await;
    let mut agent = Agent::ours(&world, "web-1", &at).await;
    let path = format!("/api/v1/updates/{NUMBER}/merge");
    let (status, answer) = world.admin.post(&path, &json!({})).await;
    assert_eq!(status, 202, "{answer}");
    assert!(answer["job"].is_u64(), "{answer}");
    job_is(&world, "completed").await;
    assert_eq!(forge.merges(), [ScriptedForge::head()]);
    world
        .host_shows("web-1", "/compartments/lock/status", json!("outdated"))
        .await;
    agent.hears_nothing().await;

    let (status, answer) = world.admin.post(&path, &json!({})).await;
    assert_eq!(status, 202, "merged already is success: {answer}");
    job_is(&world, "completed").await;
    assert_eq!(forge.merges().len(), 1, "law E1");

    let (_, history) = world.admin.get("/api/v1/updates/history").await;
    let merged = &history["merged"][0];
    assert_eq!(merged["number"], NUMBER, "{history}");
    assert_eq!(merged["commit"], json!(world.repo.id("main")));
    assert_eq!(
        merged["by"],
        json!({"kind": "person", "name": "token:admin"})
    );
}

#[tokio::test]
async fn what_needs_a_reason_says_so_and_what_is_not_known_is_404() {
    let (world, _, forge) = with_update().await;
    forge.change(|pull| pull.checks = nixfleet_core::update::ReadOrNot::Read(Vec::new()));
    world.admin.post("/api/v1/updates/check", &json!({})).await;
    eventually("the checks are gone", async || {
        let (_, updates) = world.admin.get("/api/v1/updates").await;
        updates["prs"][0]["verdict"] == "no_verdict" || updates["prs"][0]["verdict"] == "no-verdict"
    })
    .await;
    let path = format!("/api/v1/updates/{NUMBER}/merge");
    let (status, answer) = world.admin.post(&path, &json!({})).await;
    assert_eq!(
        (status, &answer["code"]),
        (409, &json!("reason-needed")),
        "{answer}"
    );
    assert_eq!(forge.merges().len(), 0);
    let other = "d".repeat(40);
    let body = json!({"override_reason": "looked at it", "head": other});
    let (status, answer) = world.admin.post(&path, &body).await;
    assert_eq!(
        (status, &answer["code"]),
        (409, &json!("head-moved")),
        "{answer}"
    );
    assert_eq!(forge.merges().len(), 0);

    for (path, body) in [
        ("/api/v1/updates/7/merge", json!({})),
        ("/api/v1/updates/0/merge", json!({})),
        ("/api/v1/updates/x/merge", json!({})),
        ("/api/v1/updates/7/plan", json!({})),
        ("/api/v1/updates/7/merge-and-deploy", json!({})),
        ("/api/v1/updates/7/revert", json!({})),
        ("/api/v1/simulate", json!({"pr": 7})),
        ("/api/flake-updates/merge-pr", json!({"pr_number": 7})),
        (
            "/api/flake-updates/merge-and-deploy",
            json!({"pr_number": 7}),
        ),
    ] {
        let (status, answer) = world.admin.post(path, &body).await;
        assert_eq!(
            (status, &answer["code"]),
            (404, &json!("pr-unknown")),
            "{path}: {answer}"
        );
    }
    let (status, answer) = world
        .admin
        .post(&path, &json!({"override_reason": "looked at it"}))
        .await;
    assert_eq!(status, 202, "control: {answer}");
    job_is(&world, "completed").await;
    assert_eq!(forge.merges().len(), 1);
}

#[tokio::test]
async fn merge_and_deploy_does_what_its_plan_shows_and_only_that() {
    let (world, at, forge) = with_update().await;
    let mut one = Agent::ours(&world, "web-1", &at).await;
    let mut two = Agent::ours(&world, "web-2", &at).await;
    let mut other = Agent::ours(&world, "db-1", &at).await;
    let ask = json!({"hosts": "web-*", "policy": {"stages": ["pull", "switch"]}});
    let plan_path = format!("/api/v1/updates/{NUMBER}/plan");
    let (status, plan) = world.admin.post(&plan_path, &ask).await;
    assert_eq!(status, 200, "{plan}");
    assert_eq!(
        plan["waves"][0]["hosts"],
        json!(["web-1", "web-2"]),
        "{plan}"
    );
    assert_eq!(plan["target"], Value::Null);

    let path = format!("/api/v1/updates/{NUMBER}/merge-and-deploy");
    let with = |confirm: &Value| {
        let mut body = ask.clone();
        body["confirm"] = confirm.clone();
        body
    };
    let (status, answer) = world.admin.post(&path, &with(&json!("0".repeat(64)))).await;
    assert_eq!(
        (status, &answer["code"]),
        (409, &json!("plan_changed")),
        "{answer}"
    );
    assert_eq!(answer["plan"]["id"], plan["id"]);
    assert_eq!(forge.merges().len(), 0, "nothing is half-started");

    let (status, started) = world.admin.post(&path, &with(&plan["id"])).await;
    assert_eq!(status, 202, "{started}");
    let rollout = started["rollout"].as_str().unwrap().to_owned();
    let (status, answer) = world.admin.post(&path, &with(&plan["id"])).await;
    assert_eq!(
        (status, &answer["code"]),
        (409, &json!("job-under-way")),
        "{answer}"
    );

    eventually("the branch has the merge", async || {
        world.repo.id("main") != at.commit
    })
    .await;
    let new = merged_revision(&world);
    one.pulls(&new).await;
    job_is(&world, "pulling").await;
    one.hears_nothing().await;
    two.pulls(&new).await;
    one.switches(&new, 7, 0).await;
    two.switches(&new, 7, 0).await;
    job_is(&world, "completed").await;
    other.hears_nothing().await;
    assert_eq!(forge.merges(), [ScriptedForge::head()]);

    let (_, view) = world
        .admin
        .get(&format!("/api/v1/rollouts/{rollout}"))
        .await;
    assert_eq!(view["state"], "complete", "{view}");
    assert_eq!(view["target"]["commit"], json!(new.commit));
    let (_, status) = world.admin.get("/api/flake-updates/status").await;
    let job = &status["current_job"];
    assert_eq!(
        (
            &job["total_hosts"],
            &job["completed_hosts"],
            &job["failed_hosts"]
        ),
        (&json!(2), &json!(2), &json!(0))
    );

    let (_, history) = world.admin.get("/api/v1/updates/history").await;
    let hosts = history["merged"][0]["hosts"].as_array().unwrap();
    let names: Vec<&Value> = hosts.iter().map(|one| &one["host"]).collect();
    assert_eq!(names.len(), 2, "{history}");
    let (_, deploys) = world.admin.get("/api/v1/hosts/web-1/deploys").await;
    let deploy = &deploys["deploys"][0];
    assert_eq!(deploy["outcome"], "ok", "{deploys}");
    assert_eq!(deploy["op"], "switch");
    assert_eq!(deploy["pr"], NUMBER);
    assert_eq!(deploy["rollout"], rollout);
    assert_eq!(deploy["generation"], 7, "{deploys}");
    let (_, generations) = world.admin.get("/api/v1/hosts/web-1/generations").await;
    assert_eq!(generations["generations"][0]["number"], 7);

    let (status, answer) = world
        .admin
        .post(
            &format!("/api/v1/updates/{NUMBER}/revert"),
            &json!({"kind": "pull-request"}),
        )
        .await;
    assert_eq!(status, 202, "{answer}");
    eventually("the revert is known", async || {
        let (_, history) = world.admin.get("/api/v1/updates/history").await;
        history["merged"][0]["revert"]["number"] == 43
    })
    .await;
}

#[tokio::test]
async fn bad_hosts_and_policies_are_named_and_nothing_is_merged() {
    let (world, at, forge) = with_update().await;
    let _agent = Agent::ours(&world, "web-1", &at).await;
    let path = format!("/api/v1/updates/{NUMBER}/merge-and-deploy");
    for (body, code, named) in [
        (json!({"hosts": ["nope"]}), "unknown_host", "nope"),
        (json!({"hosts": "web-1,nope"}), "unknown_host", "nope"),
        (json!({"hosts": ["../x"]}), "unknown_host", "../x"),
        (json!({"hosts": []}), "no_hosts", "hosts"),
        (json!({"hosts": "a b"}), "bad_selector", "a b"),
        (json!({"hosts": "@nobody"}), "no_hosts", "no host"),
        (json!({"policy": {"soak": 1}}), "bad_policy", "soak"),
        (
            json!({"policy": {"stages": ["dance"]}}),
            "bad_policy",
            "dance",
        ),
        (json!({"policy": 7}), "bad_policy", "policy"),
        (json!({"confirm": "x"}), "bad_plan_id", "confirm"),
        (json!({"head": "x"}), "bad_commit", "head"),
    ] {
        let (status, answer) = world.admin.post(&path, &body).await;
        assert_eq!(
            (status, &answer["code"]),
            (422, &json!(code)),
            "{body}: {answer}"
        );
        assert!(
            answer["detail"].as_str().unwrap().contains(named),
            "{body}: {answer}"
        );
    }
    assert_eq!(forge.merges().len(), 0);
    let (_, status) = world.admin.get("/api/flake-updates/status").await;
    assert_eq!(status["current_job"], Value::Null);
}

#[tokio::test]
async fn a_server_that_ends_during_the_merge_call_finds_out_and_merges_once() {
    let (world, at, forge) = with_update().await;
    forge.script.lock().unwrap().silent = true;
    let mut agent = Agent::ours(&world, "web-1", &at).await;
    let path = format!("/api/v1/updates/{NUMBER}/merge-and-deploy");
    let body = json!({"policy": {"stages": ["pull", "switch"], "offline": "wait"}});
    let (status, answer) = world.admin.post(&path, &body).await;
    assert_eq!(status, 202, "{answer}");
    eventually("the call has left", async || forge.merges().len() == 1).await;
    let replacements = forge.replacements();
    forge.script.lock().unwrap().silent = false;
    drop(agent);
    let world = world.restart_with(replacements).await;
    let new = merged_revision(&world);
    agent = Agent::ours(&world, "web-1", &at).await;
    agent.pulls(&new).await;
    agent.switches(&new, 7, 0).await;
    job_is(&world, "completed").await;
    assert_eq!(forge.merges().len(), 1, "law E1");
}

#[tokio::test]
async fn existing_tools_merge_deploy_and_run_pipelines() {
    let (world, at, forge) = with_update().await;
    let mut agent = Agent::ours(&world, "web-1", &at).await;
    let (status, answer) = world
        .admin
        .post("/api/flake-updates/check", &json!({}))
        .await;
    assert_eq!((status, answer), (200, json!({"status": "checking"})));
    let (status, answer) = world
        .admin
        .post(
            "/api/flake-updates/merge-and-deploy",
            &json!({"pr_number": NUMBER, "hosts": []}),
        )
        .await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer, json!({"status": "started", "job_id": "1"}));
    let (status, answer) = world
        .admin
        .post(
            "/api/flake-updates/merge-and-deploy",
            &json!({"pr_number": NUMBER}),
        )
        .await;
    assert_eq!(status, 409);
    assert_eq!(answer["status"], "error", "{answer}");
    assert!(
        answer["message"].as_str().unwrap().contains("#42"),
        "{answer}"
    );
    eventually("the branch has the merge", async || {
        world.repo.id("main") != at.commit
    })
    .await;
    let new = merged_revision(&world);
    agent.pulls(&new).await;
    agent.switches(&new, 7, 1).await;
    job_is(&world, "failed").await;
    let (_, status) = world.admin.get("/api/flake-updates/status").await;
    let mut job = status["current_job"].clone();
    assert!(job["started_at"].as_str().unwrap().ends_with('Z'), "{job}");
    job["started_at"] = Value::Null;
    assert!(!job["message"].as_str().unwrap().is_empty());
    job["message"] = Value::Null;
    assert_eq!(
        job,
        json!({
            "id": "1", "pr_number": NUMBER, "state": "failed", "started_at": null,
            "message": null, "total_hosts": 1, "completed_hosts": 0, "failed_hosts": 1,
        })
    );
    assert_eq!(status["enabled"], true);
    assert_eq!(status["repo"], "nixfleet/hosts");
    assert_eq!(forge.merges().len(), 1);

    let (_, pipelines) = world.admin.get("/api/pipelines").await;
    let names: Vec<&Value> = pipelines["pipelines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(
        names,
        ["do-all", "merge-deploy", "update-agent", "force-update"]
    );
    let (status, answer) = world
        .admin
        .post(
            "/api/dispatch/pipeline",
            &json!({"pipeline": "do-all", "hosts": ["web-1"]}),
        )
        .await;
    assert_eq!(
        (status, &answer["status"]),
        (200, &json!("started")),
        "{answer}"
    );
    let id = answer["rollout_id"].as_str().unwrap();
    let (status, view) = world.admin.get(&format!("/api/v1/rollouts/{id}")).await;
    assert_eq!(
        (status, &view["kind"]),
        (200, &json!({"pipeline": "do-all"})),
        "{view}"
    );
    for (body, code) in [
        (
            json!({"pipeline": "nope", "hosts": ["web-1"]}),
            "unknown_pipeline",
        ),
        (
            json!({"pipeline": "do-all", "hosts": ["nope"]}),
            "unknown_host",
        ),
    ] {
        let (status, answer) = world.admin.post("/api/dispatch/pipeline", &body).await;
        assert_eq!((status, &answer["code"]), (422, &json!(code)), "{answer}");
        assert_eq!(answer["status"], "error");
    }
}

#[tokio::test]
async fn without_a_forge_updates_say_so() {
    let (world, _) = World::start().await;
    for (status, answer) in [
        world.admin.get("/api/v1/updates").await,
        world.admin.get("/api/v1/updates/history").await,
        world.admin.post("/api/v1/updates/check", &json!({})).await,
        world
            .admin
            .post("/api/v1/updates/42/merge", &json!({}))
            .await,
        world
            .admin
            .post("/api/v1/updates/42/merge-and-deploy", &json!({}))
            .await,
        world
            .admin
            .post("/api/v1/updates/42/revert", &json!({}))
            .await,
        world
            .admin
            .post("/api/flake-updates/merge-pr", &json!({"pr_number": 42}))
            .await,
    ] {
        assert_eq!(
            (status, &answer["code"]),
            (409, &json!("updates-not-configured")),
            "{answer}"
        );
    }
    let (_, status) = world.admin.get("/api/flake-updates/status").await;
    assert_eq!(status["enabled"], false);
    let hook = world
        .hook("{}", Some(&signature(b"{}", WEBHOOK_SECRET)))
        .await;
    assert_eq!(
        (hook.0, &hook.1["code"]),
        (403, &json!("webhook_without_secret"))
    );
}

fn signature(body: &[u8], secret: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

impl World {
    async fn hook(&self, body: &str, signature: Option<&str>) -> (u16, Value) {
        let url = format!("http://{}/api/v1/webhooks/github", self.admin.address);
        let mut request = self
            .admin
            .http
            .post(url)
            .header("x-github-event", "pull_request");
        if let Some(signature) = signature {
            request = request.header("x-hub-signature-256", signature);
        }
        let answer = request.body(body.to_owned()).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }
}

#[tokio::test]
async fn a_webhook_is_a_hint_and_only_with_the_right_signature() {
    let (world, _, forge) = with_update().await;
    let lists = || {
        let script = forge.script.lock().unwrap();
        let list = |call: &&nixfleet_core::update::ForgeCall| {
            matches!(call, nixfleet_core::update::ForgeCall::List)
        };
        script.calls.iter().filter(list).count()
    };
    let body =
        json!({"repository": {"full_name": "nixfleet/hosts"}, "pull_request": {"number": NUMBER}})
            .to_string();
    let before = lists();
    for (signature, code) in [
        (None, "webhook_unsigned"),
        (Some("sha256=00".to_owned()), "webhook_unsigned"),
        (
            Some(signature(body.as_bytes(), "another secret")),
            "webhook_wrong_signature",
        ),
        (
            Some(signature(b"{}", WEBHOOK_SECRET)),
            "webhook_wrong_signature",
        ),
    ] {
        let (status, answer) = world.hook(&body, signature.as_deref()).await;
        assert_eq!((status, &answer["code"]), (401, &json!(code)), "{answer}");
    }
    assert_eq!(lists(), before);
    let (status, answer) = world
        .hook(&body, Some(&signature(body.as_bytes(), WEBHOOK_SECRET)))
        .await;
    assert_eq!((status, answer), (202, json!({"heard": "pull"})));
    eventually("updates are listed", async || lists() > before).await;
    // However many come: a hint is nobody's request, and they are heard together.
    let audits = async || {
        let (_, audit) = world.admin.get("/api/v1/audit").await;
        let text = audit.to_string();
        text.matches("check-updates").count()
    };
    assert_eq!(audits().await, 0);
    let before = lists();
    for _ in 0..40 {
        let signed = signature(body.as_bytes(), WEBHOOK_SECRET);
        assert_eq!(world.hook(&body, Some(&signed)).await.0, 202);
    }
    assert!(lists() <= before + 3, "{} listings", lists() - before);
    assert_eq!(audits().await, 0);
    let (status, _) = world.admin.post("/api/v1/updates/check", &json!({})).await;
    assert_eq!(status, 202);
    assert_eq!(audits().await, 1, "a person's request is one");
    let (status, _) = world
        .admin
        .post("/api/v1/webhooks/gitlab", &json!({}))
        .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn who_may_not_deploy_merges_nothing() {
    let (world, _, forge) = with_update().await;
    let viewer = world.client(Role::Viewer).await;
    for path in ["merge", "merge-and-deploy", "revert"] {
        let path = format!("/api/v1/updates/{NUMBER}/{path}");
        assert_eq!(viewer.post(&path, &json!({})).await.0, 403, "{path}");
    }
    for path in ["merge-pr", "merge-and-deploy", "check"] {
        let path = format!("/api/flake-updates/{path}");
        assert_eq!(viewer.post(&path, &json!({})).await.0, 403, "{path}");
    }
    assert_eq!(forge.merges().len(), 0);
}

#[tokio::test]
async fn a_pull_request_that_nobody_knows_is_not_found_also_while_a_job_is_open() {
    let (world, _, forge) = with_update().await;
    forge.script.lock().unwrap().silent = true;
    let merge = |number: u64| format!("/api/v1/updates/{number}/merge");
    assert_eq!(world.admin.post(&merge(NUMBER), &json!({})).await.0, 202);
    eventually("the call has left", async || !forge.merges().is_empty()).await;
    let (status, answer) = world.admin.post(&merge(7), &json!({})).await;
    assert_eq!(status, 404, "{answer}");
    let (status, answer) = world.admin.post(&merge(NUMBER), &json!({})).await;
    assert_eq!(status, 409, "the control: the job is open: {answer}");
}
