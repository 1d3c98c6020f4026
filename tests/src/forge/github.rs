//! What only GitHub answers.

use serde_json::{Value, json};

use super::State;
use super::http::{Answer, Request};
use super::pulls::FakeCheck;
use super::routes::{changed, ends, message, not_found, page};

/// A pull request; a list does not tell all of it.
pub(super) fn pull(state: &mut State, number: u64, whole: bool) -> Option<Value> {
    let pull = state.pulls.get(&number)?.clone();
    let head = pull.head(&state.repo, &state.git)?;
    let base = state.git.head(&pull.base_branch)?;
    let stale = pull.stale > 0;
    if whole && stale {
        state.pulls.get_mut(&number)?.stale -= 1;
    }
    let merged = pull.merged.clone().filter(|_| !stale);
    let repo = |name: &String| json!({ "full_name": name });
    let mut shown = json!({
        "number": number,
        "state": if pull.open || (stale && pull.merged.is_some()) { "open" } else { "closed" },
        "title": pull.title,
        "html_url": format!("https://github.example/{}/pull/{number}", state.repo),
        "user": { "login": pull.author },
        "labels": pull.labels.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
        "created_at": pull.created_at,
        "draft": pull.draft,
        "merged_at": merged.as_ref().map(|_| "2026-01-03T00:00:00Z"),
        "merge_commit_sha": merged.as_ref().map(|(commit, _)| commit),
        "base": { "ref": pull.base_branch, "sha": base, "repo": repo(&state.repo) },
        "head": {
            "ref": pull.head_branch, "sha": head, "repo": pull.head_repo.as_ref().map(repo),
        },
    });
    if whole {
        let null = pull.mergeable_null > 0;
        if null {
            state.pulls.get_mut(&number)?.mergeable_null -= 1;
        }
        let clean = || state.git.merged_tree(None, &base, &head).is_some();
        let (flag, word) = match (null || !pull.open, pull.mergeable) {
            (true, _) => (None, "unknown"),
            (false, Some((flag, word))) => (Some(flag), word),
            (false, None) if clean() => (Some(true), "clean"),
            (false, None) => (Some(false), "dirty"),
        };
        let (from, to) = ends(state, number)?;
        let count = pull.changed_files;
        let files = count.unwrap_or_else(|| match &pull.files {
            Some(files) => files.len() as u64,
            None => changed(state, number).len() as u64,
        });
        shown["merged"] = json!(merged.is_some());
        shown["mergeable"] = json!(flag);
        shown["mergeable_state"] = json!(word);
        shown["commits"] = json!(state.git.count(&from, &to));
        shown["changed_files"] = json!(files);
    }
    Some(shown)
}

fn commit_of(request: &Request) -> String {
    request
        .parts
        .iter()
        .rev()
        .nth(1)
        .cloned()
        .unwrap_or_default()
}

pub(super) fn check_runs(state: &State, request: &Request) -> Answer {
    let commit = commit_of(request);
    let runs: Vec<Value> = checks(state, &commit)
        .filter_map(|check| match check {
            FakeCheck::Run(name, status, conclusion) => Some(json!({
                "name": name, "head_sha": commit, "status": status, "conclusion": conclusion,
            })),
            FakeCheck::Status(..) => None,
        })
        .collect();
    listed(state, request, "check_runs", runs, json!({}))
}

pub(super) fn statuses(state: &State, request: &Request) -> Answer {
    let commit = commit_of(request);
    let statuses: Vec<Value> = checks(state, &commit)
        .filter_map(|check| match check {
            FakeCheck::Status(name, word) => Some(json!({ "context": name, "state": word })),
            FakeCheck::Run(..) => None,
        })
        .collect();
    let more = json!({ "sha": commit, "state": "pending" });
    listed(state, request, "statuses", statuses, more)
}

fn checks<'a>(state: &'a State, commit: &str) -> impl Iterator<Item = &'a FakeCheck> {
    state.checks.get(commit).into_iter().flatten()
}

fn listed(
    state: &State,
    request: &Request,
    name: &str,
    all: Vec<Value>,
    mut body: Value,
) -> Answer {
    body["total_count"] = json!(all.len());
    let (some, link) = page(state, request, all);
    body[name] = Value::Array(some);
    let answer = Answer::json(200, &body);
    match link {
        Some(link) => answer.with("link", link),
        None => answer,
    }
}

pub(super) fn compare(state: &State, range: &str) -> Answer {
    let ends = range.split_once("...").and_then(|(from, to)| {
        let (from, to) = (state.git.commit(from)?, state.git.commit(to)?);
        let base = state.git.merge_base(&from, &to)?;
        Some((from, to, base))
    });
    let Some((from, to, base)) = ends else {
        return not_found();
    };
    let (ahead, behind) = (state.git.count(&base, &to), state.git.count(&base, &from));
    let status = match (ahead, behind) {
        (0, 0) => "identical",
        (_, 0) => "ahead",
        (0, _) => "behind",
        _ => "diverged",
    };
    Answer::json(
        200,
        &json!({
            "status": status,
            "ahead_by": ahead,
            "behind_by": behind,
            "merge_base_commit": { "sha": base },
        }),
    )
}

pub(super) fn new_tree(state: &State, request: &Request) -> Answer {
    let body = request.json();
    let entries: Option<Vec<_>> = body["tree"].as_array().map(|entries| {
        entries
            .iter()
            .map(|entry| {
                let text = |name: &str| entry[name].as_str().map(str::to_owned);
                let path = text("path").unwrap_or_default();
                (path, text("mode").zip(text("sha")))
            })
            .collect()
    });
    let base = body["base_tree"].as_str().unwrap_or_default();
    let made = state.git.write_tree(base, &entries.unwrap_or_default());
    match made {
        Ok(sha) => Answer::json(201, &json!({ "sha": sha })),
        Err(why) => message(422, &why),
    }
}

pub(super) fn new_commit(state: &State, request: &Request) -> Answer {
    let body = request.json();
    let parents: Vec<&str> = body["parents"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    match state
        .git
        .write_commit(text("tree"), &parents, text("message"))
    {
        Ok(sha) => Answer::json(201, &json!({ "sha": sha })),
        Err(why) => message(422, &why),
    }
}

pub(super) fn new_branch(state: &State, request: &Request) -> Answer {
    let body = request.json();
    let name = body["ref"]
        .as_str()
        .and_then(|name| name.strip_prefix("refs/heads/"));
    let (Some(name), Some(sha)) = (name, body["sha"].as_str()) else {
        return message(422, "Invalid request");
    };
    match state.git.move_branch(name, sha, None) {
        Ok(()) => Answer::json(
            201,
            &json!({ "ref": body["ref"], "object": { "sha": sha } }),
        ),
        Err(_) => message(422, "Reference already exists"),
    }
}

pub(super) fn move_branch(state: &State, request: &Request) -> Answer {
    let body = request.json();
    let name = request.parts.get(6..).unwrap_or_default().join("/");
    let Some(old) = state.git.head(&name) else {
        return message(422, "Reference does not exist");
    };
    if state.protected {
        return message(
            422,
            "At least 1 approving review is required: protected branch",
        );
    }
    let new = body["sha"].as_str().unwrap_or_default();
    if body["force"] != json!(true) && !state.git.is_ancestor(&old, new) {
        return message(422, "Update is not a fast forward");
    }
    match state.git.move_branch(&name, new, Some(&old)) {
        Ok(()) => Answer::json(200, &json!({ "object": { "sha": new } })),
        Err(why) => message(422, &why),
    }
}
