//! Which request is for what, and the answers that GitHub, Gitea and Forgejo have in common.

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::http::{Answer, Request};
use super::{Speaks, State, gitea, github, merge};

macro_rules! routes {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What a request is for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Route { $($(#[$doc])* $name,)+ }

        impl Route {
            /// Every route.
            pub const ALL: &'static [Route] = &[$(Route::$name),+];
        }
    };
}

routes! {
    /// The repository itself.
    Repository,
    /// Open pull requests.
    Pulls,
    /// One pull request.
    Pull,
    /// Its files.
    Files,
    /// Check runs of a commit.
    CheckRuns,
    /// Statuses of a commit.
    Statuses,
    /// Two commits compared.
    Compare,
    /// A file.
    Contents,
    /// A tree.
    Tree,
    /// A blob.
    Blob,
    /// A commit object.
    Commit,
    /// Commits of a branch.
    Commits,
    /// A branch.
    Branch,
    /// A merge.
    Merge,
    /// A new pull request.
    NewPull,
    /// A new tree.
    NewTree,
    /// A new commit.
    NewCommit,
    /// A new branch.
    NewBranch,
    /// A branch that moves.
    MoveBranch,
    /// Files written in one commit.
    Write,
}

impl Route {
    /// What a request is for.
    #[must_use]
    pub fn of(state: &State, request: &Request) -> Option<Self> {
        let parts: Vec<&str> = request.parts.iter().map(String::as_str).collect();
        let parts = match state.speaks {
            Speaks::GitHub => parts.as_slice(),
            Speaks::Gitea => parts.strip_prefix(["api", "v1"].as_slice())?,
        };
        let (owner, name) = state.repo.split_once('/')?;
        let rest = parts.strip_prefix(["repos", owner, name].as_slice())?;
        let gitea = state.speaks == Speaks::Gitea;
        Some(match (request.method.as_str(), rest) {
            ("GET", []) => Route::Repository,
            ("GET", ["pulls"]) => Route::Pulls,
            ("POST", ["pulls"]) => Route::NewPull,
            ("GET", ["pulls", _]) => Route::Pull,
            ("GET", ["pulls", _, "files"]) => Route::Files,
            ("PUT", ["pulls", _, "merge"]) if !gitea => Route::Merge,
            ("POST", ["pulls", _, "merge"]) if gitea => Route::Merge,
            ("GET", ["commits", _, "check-runs"]) if !gitea => Route::CheckRuns,
            ("GET", ["commits", _, "status"]) => Route::Statuses,
            ("GET", ["compare", _]) => Route::Compare,
            ("GET", ["contents", ..]) => Route::Contents,
            ("POST", ["contents"]) if gitea => Route::Write,
            ("GET", ["git", "trees", _]) => Route::Tree,
            ("GET", ["git", "blobs", _]) => Route::Blob,
            ("GET", ["git", "commits", _]) => Route::Commit,
            ("GET", ["commits"]) => Route::Commits,
            ("GET", ["branches", _]) => Route::Branch,
            ("POST", ["git", "trees"]) if !gitea => Route::NewTree,
            ("POST", ["git", "commits"]) if !gitea => Route::NewCommit,
            ("POST", ["git", "refs"]) if !gitea => Route::NewBranch,
            ("PATCH", ["git", "refs", "heads", ..]) if !gitea => Route::MoveBranch,
            _ => return None,
        })
    }
}

/// A message with a status, as forges write it.
#[must_use]
pub fn message(status: u16, text: &str) -> Answer {
    let body = json!({ "message": text, "documentation_url": "https://docs.example" });
    Answer::json(status, &body)
}

pub(super) fn not_found() -> Answer {
    message(404, "Not Found")
}

pub(super) fn answer(state: &mut State, route: Option<Route>, request: &Request) -> Answer {
    let Some(route) = route else {
        return not_found();
    };
    let last = request.parts.last().cloned().unwrap_or_default();
    match route {
        Route::Repository => Answer::json(200, &json!({ "full_name": state.repo })),
        Route::Pulls => pulls(state, request),
        Route::Pull => pull(state, &last),
        Route::Files => files(state, request),
        Route::CheckRuns => github::check_runs(state, request),
        Route::Statuses => match state.speaks {
            Speaks::GitHub => github::statuses(state, request),
            Speaks::Gitea => gitea::statuses(state, request),
        },
        Route::Compare => match state.speaks {
            Speaks::GitHub => github::compare(state, &last),
            Speaks::Gitea => gitea::compare(state, &last),
        },
        Route::Contents => contents(state, request),
        Route::Tree => tree(state, &last),
        Route::Blob => blob(state, &last),
        Route::Commit => commit(state, &last),
        Route::Commits => commits(state, request),
        Route::Branch => branch(state, &last),
        Route::Merge => merge::merge(state, request),
        Route::NewPull => new_pull(state, request),
        Route::NewTree => github::new_tree(state, request),
        Route::NewCommit => github::new_commit(state, request),
        Route::NewBranch => github::new_branch(state, request),
        Route::MoveBranch => github::move_branch(state, request),
        Route::Write => gitea::write(state, request),
    }
}

/// One page of a list, with the link to the next.
pub(super) fn page(
    state: &State,
    request: &Request,
    all: Vec<Value>,
) -> (Vec<Value>, Option<String>) {
    let number = |name: &str| {
        request
            .asked(name)
            .and_then(|text| text.parse::<usize>().ok())
    };
    let size = number("per_page").or(number("limit")).unwrap_or(30);
    let size = size.clamp(1, state.page);
    let page = number("page").unwrap_or(1).max(1);
    let begin = (page - 1) * size;
    let more = all.len() > begin + size;
    let some = all.into_iter().skip(begin).take(size).collect();
    let host = request.header("host").unwrap_or_default();
    let path = request.target.split('?').next().unwrap_or_default();
    let mut query: Vec<String> = request
        .query
        .iter()
        .filter(|(name, _)| name != "page")
        .map(|(name, value)| format!("{name}={}", value.replace(':', "%3A").replace('/', "%2F")))
        .collect();
    query.push(format!("page={}", page + 1));
    let link = format!("<http://{host}{path}?{}>; rel=\"next\"", query.join("&"));
    (some, more.then_some(link))
}

pub(super) fn paged(state: &State, request: &Request, all: Vec<Value>) -> Answer {
    let (some, link) = page(state, request, all);
    let answer = Answer::json(200, &Value::Array(some));
    match link {
        Some(link) => answer.with("link", link),
        None => answer,
    }
}

fn shown(state: &mut State, number: u64, whole: bool) -> Option<Value> {
    match state.speaks {
        Speaks::GitHub => github::pull(state, number, whole),
        Speaks::Gitea => gitea::pull(state, number),
    }
}

fn pulls(state: &mut State, request: &Request) -> Answer {
    let wanted = request.asked("state").unwrap_or("open").to_owned();
    let head = request.asked("head").map(str::to_owned);
    let base = request.asked("base").map(str::to_owned);
    let owner = state.repo.split('/').next().unwrap_or_default().to_owned();
    let numbers: Vec<u64> = state
        .pulls
        .values()
        .filter(|pull| wanted == "all" || (wanted == "open") == pull.open)
        .filter(|pull| {
            let name = format!("{owner}:{}", pull.head_branch);
            head.as_ref().is_none_or(|head| *head == name)
        })
        .filter(|pull| base.as_ref().is_none_or(|base| *base == pull.base_branch))
        .map(|pull| pull.number)
        .rev()
        .collect();
    let all = numbers
        .into_iter()
        .filter_map(|number| shown(state, number, false))
        .collect();
    paged(state, request, all)
}

fn pull(state: &mut State, name: &str) -> Answer {
    let number = name.parse().ok();
    match number.and_then(|number| shown(state, number, true)) {
        Some(pull) => Answer::json(200, &pull),
        None => not_found(),
    }
}

fn files(state: &mut State, request: &Request) -> Answer {
    let name = request.parts.iter().rev().nth(1);
    let number: Option<u64> = name.and_then(|name| name.parse().ok());
    let Some(pull) = number.and_then(|number| state.pulls.get(&number).cloned()) else {
        return not_found();
    };
    let all = match &pull.files {
        Some(files) => files.clone(),
        None => changed(state, number.unwrap_or_default()),
    };
    paged(state, request, all)
}

/// The files of a pull request, as git sees them.
pub(super) fn changed(state: &State, number: u64) -> Vec<Value> {
    let Some((base, head)) = ends(state, number) else {
        return Vec::new();
    };
    let word = |letter: char| match (letter, state.speaks) {
        ('A', _) => "added",
        ('D', Speaks::GitHub) => "removed",
        ('D', Speaks::Gitea) => "deleted",
        ('R', _) => "renamed",
        (_, Speaks::GitHub) => "modified",
        (_, Speaks::Gitea) => "changed",
    };
    let files = state.git.changed(&base, &head).into_iter();
    files
        .map(|(letter, path, before)| {
            let mut file = json!({ "filename": path, "status": word(letter), "changes": 2 });
            if let Some(before) = before {
                file["previous_filename"] = json!(before);
            }
            file
        })
        .collect()
}

/// Where a pull request left its base, and its head.
pub(super) fn ends(state: &State, number: u64) -> Option<(String, String)> {
    let pull = state.pulls.get(&number)?;
    let head = pull.head(&state.repo, &state.git)?;
    if let Some(fork) = &pull.fork {
        return Some((fork.clone(), head));
    }
    let base = state.git.head(&pull.base_branch)?;
    Some((state.git.merge_base(&base, &head)?, head))
}

fn contents(state: &State, request: &Request) -> Answer {
    let skip = match state.speaks {
        Speaks::GitHub => 4,
        Speaks::Gitea => 6,
    };
    let path = request.parts.get(skip..).unwrap_or_default().join("/");
    let reference = request.asked("ref").unwrap_or(&state.branch);
    let Some(commit) = state.git.commit(reference) else {
        let text = format!("No commit found for the ref {reference}");
        return message(404, &text);
    };
    let Some(bytes) = state.git.file(&commit, &path) else {
        return not_found();
    };
    let sha = state.git.run(&["rev-parse", &format!("{commit}:{path}")]);
    let large = bytes.len() > 1 << 20;
    let content = if large {
        String::new()
    } else {
        in_lines(&bytes)
    };
    Answer::json(
        200,
        &json!({
            "type": "file",
            "encoding": if large { "none" } else { "base64" },
            "size": bytes.len(),
            "name": path.rsplit('/').next(),
            "path": path,
            "sha": sha.unwrap_or_default(),
            "content": content,
        }),
    )
}

/// Base64 in lines of sixty characters, as GitHub writes it.
fn in_lines(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (position, character) in BASE64.encode(bytes).chars().enumerate() {
        if position > 0 && position % 60 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push('\n');
    text
}

fn tree(state: &State, name: &str) -> Answer {
    let Some(entries) = state.git.tree(name) else {
        return not_found();
    };
    let entries: Vec<Value> = entries
        .iter()
        .map(|entry| {
            json!({
                "path": entry.name, "mode": entry.mode, "type": entry.kind, "sha": entry.sha,
            })
        })
        .collect();
    Answer::json(
        200,
        &json!({ "sha": name, "tree": entries, "truncated": false }),
    )
}

fn blob(state: &State, sha: &str) -> Answer {
    match state.git.blob(sha) {
        None => not_found(),
        Some(bytes) => Answer::json(
            200,
            &json!({
                "sha": sha,
                "size": bytes.len(),
                "encoding": "base64",
                "content": in_lines(&bytes),
            }),
        ),
    }
}

fn commit(state: &State, name: &str) -> Answer {
    match state.git.commit(name) {
        None => not_found(),
        Some(sha) => {
            let tree = state.git.run(&["rev-parse", &format!("{sha}^{{tree}}")]);
            let parents: Vec<Value> = parents(state, &sha);
            Answer::json(
                200,
                &json!({
                    "sha": sha,
                    "tree": { "sha": tree.unwrap_or_default() },
                    "parents": parents,
                    "message": state.git.message(&sha),
                }),
            )
        }
    }
}

fn parents(state: &State, sha: &str) -> Vec<Value> {
    let parents = state.git.parents(sha);
    parents
        .iter()
        .map(|parent| json!({ "sha": parent }))
        .collect()
}

fn commits(state: &State, request: &Request) -> Answer {
    let reference = request.asked("sha").unwrap_or(&state.branch);
    let Some(head) = state.git.commit(reference) else {
        return not_found();
    };
    let all = state.git.run(&["rev-list", "--max-count=500", &head]);
    let all = all
        .unwrap_or_default()
        .lines()
        .map(|sha| {
            json!({
                "sha": sha,
                "commit": { "message": state.git.message(sha) },
                "parents": parents(state, sha),
            })
        })
        .collect();
    paged(state, request, all)
}

fn branch(state: &mut State, name: &str) -> Answer {
    let mut head = state.git.head(name);
    if name == state.branch
        && let Some((old, left)) = &mut state.stale_branch
    {
        head = Some(old.clone());
        *left -= 1;
        if *left == 0 {
            state.stale_branch = None;
        }
    }
    let Some(head) = head else {
        return message(404, "Branch not found");
    };
    let (text, date) = (state.git.message(&head), state.git.date(&head));
    let commit = match state.speaks {
        Speaks::GitHub => json!({
            "sha": head,
            "commit": { "message": text, "committer": { "name": "x", "date": date } },
        }),
        Speaks::Gitea => json!({ "id": head, "message": text, "timestamp": date }),
    };
    Answer::json(
        200,
        &json!({ "name": name, "commit": commit, "protected": state.protected }),
    )
}

fn new_pull(state: &mut State, request: &Request) -> Answer {
    let body = request.json();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let (head, base) = (text("head"), text("base"));
    if state.git.head(&head).is_none() || base != state.branch {
        return message(422, "Validation Failed");
    }
    let same = |pull: &&super::FakePull| pull.open && pull.head_branch == head;
    if state.pulls.values().any(|pull| same(&pull)) {
        let status = match state.speaks {
            Speaks::GitHub => 422,
            Speaks::Gitea => 409,
        };
        return message(status, "A pull request already exists");
    }
    let number = state.pulls.keys().max().copied().unwrap_or(0) + 1;
    let mut pull = state.robot_pull(number, &head);
    pull.title = text("title");
    pull.labels.clear();
    state.pulls.insert(number, pull);
    match shown(state, number, true) {
        Some(pull) => Answer::json(201, &pull),
        None => not_found(),
    }
}
