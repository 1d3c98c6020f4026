//! What lies beside the five statuses, told from the JSON of a situation alone: which compartments
//! a running command covers, the attentions, and what a message must tell (spec 01).

use serde_json::Value;

/// The ▶ rows of spec 01.
pub fn working(input: &Value) -> Vec<&'static str> {
    let command = &input["working"];
    let away = command["awaiting_reconnect"] == true;
    match command["op"].as_str().unwrap_or_default() {
        "restart" | "reboot" => vec!["agent"],
        "force-rebuild" => vec!["agent", "system"],
        "pull" | "refresh-git" => vec!["git"],
        "refresh-lock" | "update-inputs" => vec!["lock"],
        "switch" | "rollback" => vec!["system"],
        "test" => vec!["tests"],
        // "that half of pull-switch": both, as long as nobody knows which.
        "pull-switch" => match command["half"].as_str() {
            _ if away => vec!["system"],
            Some("pull") => vec!["git"],
            Some("switch") => vec!["system"],
            _ => vec!["git", "system"],
        },
        _ => Vec::new(),
    }
}

/// The attentions of spec 01, in the order in which it lists them.
pub fn attentions(input: &Value) -> Vec<&'static str> {
    let (host, desired, tests) = (&input["host"], &input["desired"], &input["tests"]);
    let some = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
    let verdict = tests["verdict"].as_str().unwrap_or_default();
    let red = match verdict {
        "fail" | "stopped" => true,
        "pass" | "empty" => some(&tests["failed"]),
        _ => false,
    };
    let known = desired["failed"].is_null();
    let last_known = known || desired["commit"].is_string() || desired["lock_hash"].is_string();
    let all = [
        ("update-pending", desired["update_pr"].is_object()),
        ("reboot-required", host["system"]["reboot_required"] == true),
        ("last-deploy-failed", input["deploy"]["outcome"] == "failed"),
        ("degraded", some(&host["failed_units"])),
        ("last-tests-failed", red && input["tests_enabled"] != false),
        ("worktree-dirty", host["repo"]["dirty"] == true),
        (
            "remote-rewritten",
            desired["rewritten"] == true && last_known,
        ),
        ("offline", input["presence"]["offline"].is_object()),
        ("held", input["hold"].is_object()),
        ("remote-stale", desired["in_grace"] == true && known),
        ("quarantined", input["quarantined"] == true),
        ("identity-conflict", input["identity_conflict"] == true),
    ];
    all.iter()
        .filter(|(_, there)| *there)
        .map(|(code, _)| *code)
        .collect()
}

/// The parts that the message of a compartment must have, by "What each tooltip must tell".
pub fn must_tell(compartment: &str, reason: &str, input: &Value) -> Vec<String> {
    let (host, desired) = (&input["host"], &input["desired"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let digits = |value: &Value, count: usize| text(value).chars().take(count).collect::<String>();
    let commit = match host["repo"]["commit"].as_str() {
        Some(_) => digits(&host["repo"]["commit"], 7),
        None => digits(&host["generation"], 7),
    };
    match (compartment, reason) {
        (_, "working") => vec![text(&input["working"]["op"])],
        // Installed and expected version.
        ("agent", "agent-older" | "agent-newer" | "agent-incompatible") => {
            let plain = |version: String| version.split('+').next().unwrap_or_default().to_owned();
            let short = |version: String| plain(version).trim_start_matches('v').to_owned();
            vec![
                short(text(&host["agent_version"])),
                short(text(&desired["agent_version"])),
            ]
        }
        // Host → desired commit in seven digits, the subject, how many commits.
        (
            "git",
            "checkout-behind"
            | "checkout-ahead"
            | "checkout-diverged"
            | "checkout-not-on-branch"
            | "checkout-different",
        ) => {
            let mut parts = vec![format!("{commit} → {}", digits(&desired["commit"], 7))];
            parts.push(text(&desired["subject"]));
            parts.extend(distance(reason, &commit, desired));
            parts
        }
        ("git", "checkout-dirty") => vec!["local changes".to_owned(), commit],
        // "outdated by N commits", `Latest: abc12345, Host: def45678`.
        ("lock", "lock-behind" | "lock-ahead" | "lock-not-on-branch" | "lock-different") => {
            let pair = format!(
                "Latest: {}, Host: {}",
                digits(&desired["lock_hash"], 8),
                digits(&host["lock_hash"], 8)
            );
            let mut parts = vec![pair];
            parts.extend(lock_distance(reason, host, desired));
            parts
        }
        // Why it is yellow or red.
        ("system", "deploy-failed" | "needs-reconcile") => vec![text(&input["deploy"]["detail"])],
        ("system", "deployed-inputs-differ") => vec![digits(&host["deployed"]["commit"], 7)],
        ("system", "runs-other-revision") => {
            vec![digits(&host["system"]["configuration_revision"], 7)]
        }
        // Passed and executed, and on which revision.
        ("tests", "tests-passed") => {
            let ran = &input["tests"]["ran"];
            vec![
                format!("{ran}/{ran}"),
                digits(&input["tests"]["key"]["commit"], 7),
            ]
        }
        ("tests", "tests-failed" | "tests-stopped" | "no-tests") => {
            vec![digits(&input["tests"]["key"]["commit"], 7)]
        }
        // Any error from the remote: the cause and how to fix it.
        (
            _,
            "desired-commit-unavailable"
            | "desired-lock-unavailable"
            | "system-unverifiable"
            | "tests-unverifiable",
        ) => {
            let half = [&desired["commit_error"], &desired["lock_error"]];
            let why = [&desired["failed"]]
                .into_iter()
                .chain(half)
                .find(|it| it.is_object());
            why.map(|why| cause(&why["cause"])).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// A word of the sentence for a cause.
fn cause(cause: &Value) -> String {
    let words = match cause.as_str() {
        None => return cause["http-status"].to_string(),
        Some("not-configured") => "configured",
        Some("not-read-yet") => "not been read yet",
        Some("unreachable") => "does not answer",
        Some("timed-out") => "timed out",
        Some("access-denied") => "refused access",
        Some("not-found") => "no such",
        Some("branch-missing") => "branch",
        Some("malformed") => "malformed",
        Some("field-missing" | "git-missing") => "missing",
        Some("lock-missing") => "no flake.lock",
        Some("expired") => "too old",
        Some("store-damaged") => "damaged",
        Some("mirror-failed") => "copy",
        Some(other) => other,
    };
    words.to_owned()
}

fn count(number: usize) -> String {
    if number == 1 {
        "1 commit".to_owned()
    } else {
        format!("{number} commits")
    }
}

/// How far apart two commits of a branch are, or what is known of one beside it.
fn distance(reason: &str, host: &str, desired: &Value) -> Option<String> {
    let word = match reason {
        "checkout-behind" => "behind",
        "checkout-ahead" => "ahead",
        "checkout-diverged" => "diverged",
        _ => return None,
    };
    let history = &desired["history"];
    let commits = history["commits"].as_array()?;
    let position = |digits: &str| {
        commits
            .iter()
            .position(|one| one.as_str().is_some_and(|one| one.starts_with(digits)))
    };
    let wanted = position(desired["commit"].as_str()?)?;
    if let Some(held) = position(host) {
        // Where merges are counted, it is how many commits only one of the two reaches.
        let reached = |position: usize| history["reachable"][position].as_u64();
        let apart = match (reached(held), reached(wanted)) {
            (Some(held), Some(wanted)) => held.abs_diff(wanted) as usize,
            _ => held.abs_diff(wanted),
        };
        return Some(format!("{} {word}", count(apart)));
    }
    let beside = history["off_branch"].as_object()?;
    let (_, known) = beside.iter().find(|(commit, _)| commit.starts_with(host))?;
    match reason {
        "checkout-ahead" => Some(format!(
            "{} ahead",
            count(known["ahead"].as_u64()? as usize)
        )),
        "checkout-diverged" => Some(format!(
            "{} ahead and {} behind",
            known["ahead"], known["behind"]
        )),
        _ => None,
    }
}

fn lock_distance(reason: &str, host: &Value, desired: &Value) -> Option<String> {
    let versions = desired["history"]["locks"].as_array()?;
    let position = |hash: &Value| {
        versions
            .iter()
            .position(|version| version["lock_hash"] == *hash)
    };
    let (held, wanted) = (
        position(&host["lock_hash"])?,
        position(&desired["lock_hash"])?,
    );
    (reason == "lock-behind").then(|| format!("outdated by {}", count(held - wanted)))
}
