//! Short sentences as data, for clients that fill in the parameters themselves: the page, scripts,
//! other languages. The full text of a compartment comes from [`super::details`]: also counts that
//! not every agent tells.
//!
//! A placeholder is `{parameter}` or `{parameter|form}`. Forms: `commit` (seven digits), `lock`
//! (eight digits), `count:thing` (`1 thing`, `2 things`), `code` (a code in plain words), `moment`
//! (a moment in milliseconds). A parameter that is not known is written as `?`.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::compartment::render::text::moment;
use crate::compartment::{Attention, Compartment, Reason, ReasonCode};
use crate::time::Timestamp;

impl ReasonCode {
    /// The short sentence of this reason, with placeholders.
    #[must_use]
    #[rustfmt::skip]
    pub const fn template(self) -> &'static str {
        match self {
            ReasonCode::AgentNotReported => "the agent has not reported its version",
            ReasonCode::AgentCurrent => "the expected version",
            ReasonCode::AgentOlder => "older than the expected version",
            ReasonCode::AgentNewer => "newer than the expected version",
            ReasonCode::AgentIncompatible => "not the expected version",

            ReasonCode::DesiredCommitUnavailable => "desired commit not known: {cause|code}",
            ReasonCode::CheckoutNotReported => "the host has not reported its checkout",
            ReasonCode::CheckoutDirty => "local changes in the checkout at {host|commit}",
            ReasonCode::CheckoutCurrent => "at {desired|commit}",
            ReasonCode::CheckoutBehind => "{commits|count:commit} behind: {host|commit} → {desired|commit}",
            ReasonCode::CheckoutAhead => "{commits|count:commit} ahead: {host|commit} → {desired|commit}",
            ReasonCode::CheckoutDiverged => "diverged, {ahead} ahead and {behind} behind: {host|commit} → {desired|commit}",
            ReasonCode::CheckoutNotOnBranch => "not on the tracked branch: {host|commit} → {desired|commit}",
            ReasonCode::CheckoutDifferent => "not the desired commit: {host|commit} → {desired|commit}",

            ReasonCode::DesiredLockUnavailable => "desired flake.lock not known: {cause|code}",
            ReasonCode::LockMissing => "the checkout has no flake.lock",
            ReasonCode::LockNotReported => "the host has not reported its flake.lock",
            ReasonCode::LockCurrent => "flake.lock is current: {desired|lock}",
            ReasonCode::LockBehind => "outdated by {versions|count:commit}: {host|lock} → {desired|lock}",
            ReasonCode::LockAhead => "newer than the desired lock: {host|lock} → {desired|lock}",
            ReasonCode::LockNotOnBranch => "no version of the branch: {host|lock} → {desired|lock}",
            ReasonCode::LockDifferent => "not the desired lock: {host|lock} → {desired|lock}",

            ReasonCode::SystemUnverifiable => "system cannot be verified: {cause|code}",
            ReasonCode::DeployFailed => "the last deploy failed",
            ReasonCode::CheckoutNotCurrent => "the checkout is not current, so the system is not",
            ReasonCode::CheckoutNotKnown => "the checkout is not known, so the system is not",
            ReasonCode::NeedsReconcile => "the outcome of the last deploy is not known",
            ReasonCode::RunsOtherRevision => "runs {running|commit}, not {expected|commit}",
            ReasonCode::RunsNoCommit => "the running system was not built from a commit",
            ReasonCode::RunsOtherPath => "the running system is not, or cannot be seen to be, the deployed one",
            ReasonCode::SystemCurrent => "runs the desired {commit|commit}",
            ReasonCode::SystemClaimsCurrent => "the running system says it is the desired {commit|commit}",
            ReasonCode::DeployedInputsUnknown => "it is not known from what the system was built",
            ReasonCode::DeployedInputsDiffer => "built from {deployed|commit}, not from what is checked out ({host|commit})",
            ReasonCode::DeploymentNotRecorded => "the host keeps no record of what was deployed",
            ReasonCode::NeverDeployed => "nothing was deployed here yet",

            ReasonCode::TestsUnverifiable => "test results cannot be judged: {cause|code}",
            ReasonCode::TestsDisabled => "tests are switched off for this host",
            ReasonCode::TestsFailed => "tests failed on {commit|commit}",
            ReasonCode::TestsStopped => "tests were stopped on {commit|commit}",
            ReasonCode::TestsNeverDeployed => "nothing was deployed here yet, so nothing was tested",
            ReasonCode::NoTests => "no tests found on {commit|commit}",
            ReasonCode::SystemNotCurrent => "the system is {system}, so its tests do not count",
            ReasonCode::TestsPassed => "{ran|count:test} passed on {commit|commit}",
            ReasonCode::TestsUnverified => "reported as passed on {commit|commit}, but the agent counts only its last script",
            ReasonCode::TestsNotRun => "not run yet on {commit|commit}",
            ReasonCode::TestsVoid => "the system changed during the test run: the result is void",
            ReasonCode::TestsOtherRevision => "not run on {commit|commit}; the last result is about {tested|commit}",

            ReasonCode::Working => "{op} is running",
        }
    }
}

impl Reason {
    /// The short sentence of this reason.
    #[must_use]
    pub fn short(&self) -> String {
        fill(self.code().template(), &parameters(self))
    }
}

/// How an attention is shown in little space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AttentionTemplate {
    /// Its code on the wire.
    pub code: &'static str,
    /// Its name, in two or three words.
    pub label: &'static str,
    /// The short sentence, with placeholders.
    pub template: &'static str,
    /// The compartment it is shown at; `None` for the host as a whole.
    pub compartment: Option<Compartment>,
}

use Compartment as C;

/// Every attention.
#[rustfmt::skip]
pub const ATTENTIONS: &[AttentionTemplate] = &[
    AttentionTemplate { code: "update-pending",    label: "update pending",     template: "Update PR pending: merge PR #{pr} to update",            compartment: Some(C::Lock) },
    AttentionTemplate { code: "reboot-required",   label: "reboot required",    template: "the booted kernel is not the current one",               compartment: Some(C::System) },
    AttentionTemplate { code: "last-deploy-failed", label: "last deploy failed", template: "the last deploy failed",                                compartment: Some(C::System) },
    AttentionTemplate { code: "degraded",          label: "degraded",           template: "{total|count:failed unit}: {units}",                     compartment: Some(C::System) },
    AttentionTemplate { code: "last-tests-failed", label: "last tests failed",  template: "the last test run failed",                              compartment: Some(C::Tests) },
    AttentionTemplate { code: "worktree-dirty",    label: "local changes",      template: "the checkout has local changes",                         compartment: Some(C::Git) },
    AttentionTemplate { code: "remote-rewritten",  label: "branch rewritten",   template: "the tracked branch was rewritten",                       compartment: Some(C::Git) },
    AttentionTemplate { code: "offline",           label: "offline",            template: "offline since {since|moment}: last known values",        compartment: None },
    AttentionTemplate { code: "held",              label: "held",               template: "held by {by}: {why}",                                    compartment: None },
    AttentionTemplate { code: "remote-stale",      label: "remote stale",       template: "the remote does not answer: judged by its last known state", compartment: None },
    AttentionTemplate { code: "quarantined",       label: "quarantined",        template: "automation gave up on this host",                        compartment: None },
    AttentionTemplate { code: "identity-conflict", label: "identity conflict",  template: "two machines claim to be this host",                     compartment: None },
];

impl Attention {
    /// The row of this attention in [`ATTENTIONS`].
    #[must_use]
    pub const fn template(&self) -> &'static AttentionTemplate {
        let row = match self {
            Attention::UpdatePending { .. } => 0,
            Attention::RebootRequired => 1,
            Attention::LastDeployFailed => 2,
            Attention::Degraded { .. } => 3,
            Attention::LastTestsFailed { .. } => 4,
            Attention::WorktreeDirty => 5,
            Attention::RemoteRewritten => 6,
            Attention::Offline { .. } => 7,
            Attention::Held { .. } => 8,
            Attention::RemoteStale { .. } => 9,
            Attention::Quarantined => 10,
            Attention::IdentityConflict => 11,
        };
        &ATTENTIONS[row]
    }

    /// The short sentence of this attention.
    #[must_use]
    pub fn short(&self) -> String {
        fill(self.template().template, &parameters(self))
    }
}

fn parameters(value: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(parameters)) => parameters,
        Ok(_) | Err(_) => Map::new(),
    }
}

/// A template with its placeholders replaced.
#[must_use]
pub fn fill(template: &str, parameters: &Map<String, Value>) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((placeholder, tail)) = after.split_once('}') else {
            break;
        };
        let (name, form) = placeholder.split_once('|').unwrap_or((placeholder, ""));
        text.push_str(before);
        text.push_str(&written(parameters.get(name).unwrap_or(&Value::Null), form));
        rest = tail;
    }
    text.push_str(rest);
    text
}

fn written(value: &Value, form: &str) -> String {
    if value.is_null() {
        return "?".to_owned();
    }
    if form == "commit" {
        return plain(value).chars().take(7).collect();
    }
    if form == "lock" {
        return plain(value).chars().take(8).collect();
    }
    if form == "code" {
        return plain(value).replace('-', " ");
    }
    if form == "moment" {
        return value.as_i64().map_or_else(
            || plain(value),
            |millis| moment(Timestamp::from_millis(millis)),
        );
    }
    if let Some(thing) = form.strip_prefix("count:") {
        let plural = if value.as_u64() == Some(1) { "" } else { "s" };
        return format!("{} {thing}{plural}", plain(value));
    }
    plain(value)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "?".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name} {}", plain(value)))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Every parameter that any reason has: each takes what it knows.
    fn every_parameter(code: ReasonCode) -> Value {
        let hash = "0123456789abcdef".repeat(4);
        json!({
            "code": code, "cause": {"http-status": 503}, "host": hash, "desired": hash,
            "abbreviated": false, "commits": 2, "ahead": 1, "behind": 2, "versions": 1,
            "command": null, "at": 0, "git": true, "lock": false, "running": hash,
            "expected": hash, "commit": hash, "unclean": true, "deployed": hash, "ran": 3,
            "failed": 1, "system": "error", "passed_for": hash, "tested": hash, "passed": true,
            "op": "pull", "half": null, "awaiting_reconnect": false,
        })
    }

    fn names(template: &str) -> impl Iterator<Item = &str> {
        template.split('{').skip(1).map(|rest| {
            let (placeholder, _) = rest.split_once('}').unwrap();
            placeholder.split('|').next().unwrap()
        })
    }

    #[test]
    fn every_placeholder_of_a_reason_is_one_of_its_parameters() {
        for code in ReasonCode::ALL {
            let reason: Reason = serde_json::from_value(every_parameter(*code)).unwrap();
            let parameters = parameters(&reason);
            for name in names(code.template()) {
                assert!(parameters.contains_key(name), "{code:?}: {name}");
            }
            let text = reason.short();
            assert!(!text.contains(['?', '{', '}']), "{code:?}: {text}");
        }
    }

    #[test]
    fn every_placeholder_of_an_attention_is_one_of_its_parameters() {
        for row in ATTENTIONS {
            let attention: Attention = serde_json::from_value(json!({
                "code": row.code, "pr": 7, "units": ["a.service", "b.service"], "total": 2,
                "failed": 1, "since": 0, "by": "ann", "why": "hands off", "until": null,
                "verified_at": null,
            }))
            .unwrap();
            assert_eq!(attention.template(), row);
            assert_eq!(attention.compartment(), row.compartment);
            let parameters = parameters(&attention);
            assert!(names(row.template).all(|name| parameters.contains_key(name)));
            assert!(!attention.short().contains(['?', '{']), "{attention:?}");
        }
    }

    #[test]
    fn forms_shorten_count_and_name_what_is_missing() {
        let parameters = json!({"a": "0123456789", "n": 1, "m": 2, "c": "timed-out",
            "h": {"http-status": 503}, "t": 1_763_640_000_000_i64, "none": null});
        let Value::Object(parameters) = parameters else {
            unreachable!()
        };
        for (template, text) in [
            ("{a|commit} {a|lock} {a}", "0123456 01234567 0123456789"),
            ("{n|count:commit}, {m|count:commit}", "1 commit, 2 commits"),
            ("{c|code}; {h|code}", "timed out; http status 503"),
            ("{t|moment}", "2025-11-20 12:00 UTC"),
            ("{none|commit} {absent}", "? ?"),
            ("no placeholder", "no placeholder"),
            ("{never ends", "{never ends"),
        ] {
            assert_eq!(fill(template, &parameters), text);
        }
    }
}
