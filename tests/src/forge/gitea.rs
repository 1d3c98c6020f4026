//! What only Gitea and Forgejo answer.

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::State;
use super::github;
use super::http::{Answer, Request};
use super::pulls::FakeCheck;
use super::routes::{ends, message, not_found, page};

/// A pull request; a list tells the same.
pub(super) fn pull(state: &mut State, number: u64) -> Option<Value> {
    let mut shown = github::pull(state, number, true)?;
    let (base, _) = ends(state, number)?;
    let fields = shown.as_object_mut()?;
    fields.remove("mergeable_state");
    fields.remove("commits");
    fields.insert("merge_base".into(), json!(base));
    let flag = fields.get("mergeable").and_then(Value::as_bool);
    fields.insert("mergeable".into(), json!(flag.unwrap_or(false)));
    Some(shown)
}

pub(super) fn statuses(state: &State, request: &Request) -> Answer {
    let commit = request
        .parts
        .iter()
        .rev()
        .nth(1)
        .cloned()
        .unwrap_or_default();
    let all: Vec<Value> = state
        .checks
        .get(&commit)
        .into_iter()
        .flatten()
        .map(|check| match check {
            FakeCheck::Status(name, word) => json!({ "context": name, "status": word }),
            FakeCheck::Run(name, _, conclusion) => {
                json!({ "context": name, "status": conclusion.unwrap_or("pending") })
            }
        })
        .collect();
    let total = all.len();
    let (some, link) = page(state, request, all);
    let statuses = if total == 0 {
        Value::Null
    } else {
        Value::Array(some)
    };
    let body = json!({
        "sha": if total == 0 { "" } else { commit.as_str() },
        "state": "",
        "total_count": total,
        "statuses": statuses,
    });
    let answer = Answer::json(200, &body);
    match link {
        Some(link) => answer.with("link", link),
        None => answer,
    }
}

pub(super) fn compare(state: &State, range: &str) -> Answer {
    let ends = range
        .split_once("...")
        .and_then(|(from, to)| Some((state.git.commit(from)?, state.git.commit(to)?)));
    match ends {
        None => not_found(),
        Some((from, to)) => {
            let count = state.git.count(&from, &to);
            Answer::json(200, &json!({ "total_commits": count, "commits": [] }))
        }
    }
}

/// Several files in one commit, on a branch or on a new one.
pub(super) fn write(state: &State, request: &Request) -> Answer {
    let body = request.json();
    let branch = body["branch"].as_str().unwrap_or_default();
    let Some(head) = state.git.head(branch) else {
        return not_found();
    };
    let target = body["new_branch"].as_str().unwrap_or(branch);
    if target == branch && state.protected {
        return message(403, "branch is protected");
    }
    let mut entries = Vec::new();
    for file in body["files"].as_array().into_iter().flatten() {
        let path = file["path"].as_str().unwrap_or_default();
        let now = state.git.run(&[
            "rev-parse",
            "--verify",
            "--quiet",
            &format!("{head}:{path}"),
        ]);
        let known = file["sha"].as_str();
        if now.as_deref().ok() != known {
            return message(422, &format!("sha does not match [given: {known:?}]"));
        }
        let content = file["content"]
            .as_str()
            .map(|text| BASE64.decode(text.as_bytes()));
        let entry = match (file["operation"].as_str(), content) {
            (Some("delete"), _) => None,
            (_, Some(Ok(bytes))) => match state.git.write_blob(&bytes) {
                Ok(sha) => Some(("100644".to_owned(), sha)),
                Err(why) => return message(500, &why),
            },
            _ => return message(422, "no content"),
        };
        entries.push((path.to_owned(), entry));
    }
    let text = body["message"].as_str().unwrap_or_default();
    let made = state
        .git
        .write_tree(&head, &entries)
        .and_then(|tree| state.git.write_commit(&tree, &[&head], text))
        .and_then(|commit| {
            let old = (target == branch).then_some(head.as_str());
            state.git.move_branch(target, &commit, old)?;
            Ok(commit)
        });
    match made {
        Ok(commit) => Answer::json(201, &json!({ "commit": { "sha": commit }, "files": [] })),
        Err(why) => message(422, &why),
    }
}
