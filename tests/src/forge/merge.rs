//! Merging, with real commits on the real branch.

use serde_json::json;

use super::http::{Answer, Request};
use super::routes::{message, not_found};
use super::{Speaks, State};

pub(super) fn merge(state: &mut State, request: &Request) -> Answer {
    let name = request.parts.iter().rev().nth(1);
    let number: u64 = name.and_then(|name| name.parse().ok()).unwrap_or_default();
    let Some(pull) = state.pulls.get(&number).cloned() else {
        return not_found();
    };
    let body = request.json();
    let (sha, method) = match state.speaks {
        Speaks::GitHub => ("sha", "merge_method"),
        Speaks::Gitea => ("head_commit_id", "Do"),
    };
    let method = body[method].as_str().unwrap_or("merge").to_owned();
    if !matches!(method.as_str(), "merge" | "squash" | "rebase") {
        return message(422, "Invalid merge method");
    }
    if !pull.open || pull.draft || pull.mergeable.is_some_and(|(flag, _)| !flag) {
        return message(405, "Pull Request is not mergeable");
    }
    let (Some(head), Some(base)) = (
        pull.head(&state.repo, &state.git),
        state.git.head(&pull.base_branch),
    ) else {
        return message(405, "Pull Request is not mergeable");
    };
    if body[sha].as_str().is_some_and(|sha| sha != head) {
        return message(
            409,
            "Head branch was modified. Review and try the merge again.",
        );
    }
    let title = format!(
        "Merge pull request #{number} from {}\n\n{}",
        pull.head_branch, pull.title
    );
    let Some(commit) = made(state, &method, &base, &head, &title) else {
        return message(405, "Pull Request is not mergeable");
    };
    if state
        .git
        .move_branch(&pull.base_branch, &commit, Some(&base))
        .is_err()
    {
        return message(
            409,
            "Base branch was modified. Review and try the merge again.",
        );
    }
    let fork = state.git.merge_base(&base, &head);
    if let Some(pull) = state.pulls.get_mut(&number) {
        pull.open = false;
        pull.fork = fork;
        pull.merged = Some((commit.clone(), head));
    }
    match state.speaks {
        Speaks::GitHub => Answer::json(
            200,
            &json!({ "sha": commit, "merged": true, "message": "Pull Request successfully merged" }),
        ),
        Speaks::Gitea => Answer {
            status: 200,
            headers: Vec::new(),
            body: Vec::new(),
        },
    }
}

/// The commit that the branch will point to; none if there is a conflict.
fn made(state: &State, method: &str, base: &str, head: &str, title: &str) -> Option<String> {
    let git = &state.git;
    match method {
        "rebase" => {
            let range = format!("{base}..{head}");
            let commits = git.run(&["rev-list", "--reverse", &range]).ok()?;
            let mut tip = base.to_owned();
            for commit in commits.lines() {
                let parent = git.parents(commit).into_iter().next()?;
                let tree = git.merged_tree(Some(&parent), &tip, commit)?;
                let text = git.message(commit);
                tip = git.write_rebased(&tree, &tip, &text).ok()?;
            }
            Some(tip)
        }
        _ => {
            let tree = git.merged_tree(None, base, head)?;
            let parents = if method == "squash" {
                vec![base]
            } else {
                vec![base, head]
            };
            git.write_commit(&tree, &parents, title).ok()
        }
    }
}
