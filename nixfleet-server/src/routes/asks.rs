//! What clients ask of a rollout, from JSON: what is wrong with hosts, policy or target is refused
//! with 422 and named.

use nixfleet_core::lifecycle::Target;
use nixfleet_core::rollout::{Ask, AskKind, PlanId, Policy, Targets};
use nixfleet_core::selector::Selector;
use nixfleet_core::update::{Deploy, PrNumber};
use nixfleet_core::{CommitId, HostId, RolloutId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answers::unknown_pr;
use super::api::{Api, unprocessable};
use super::dispatch::{MOST_HOSTS, named_op};
use crate::reject::Problem;

/// Hosts: a selector, or a list of names. Left out, every host that is online.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Hosts {
    Selector(String),
    List(Vec<String>),
}

/// What is asked of a rollout.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AskBody {
    pub hosts: Option<Hosts>,
    pub policy: Option<Value>,
    pub target: Option<Value>,
    pub confirm: Option<String>,
    pub reason: Option<String>,
}

/// A pipeline and its hosts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PipelineBody {
    pub pipeline: String,
    pub hosts: Option<Hosts>,
    pub policy: Option<Value>,
    /// Its operations, for one that has no name of its own.
    pub ops: Vec<String>,
    pub confirm: Option<String>,
    pub reason: Option<String>,
    pub totp: Option<String>,
    pub force: Option<bool>,
}

impl AskBody {
    pub async fn into_ask(self, api: &Api) -> Result<Ask, Problem> {
        Ok(Ask {
            hosts: targets(api, self.hosts).await?,
            policy: policy(self.policy, Policy::default())?,
            target: self.target.map(target).transpose()?,
            ..Ask::default()
        })
    }
}

impl PipelineBody {
    pub async fn into_ask(self, api: &Api) -> Result<Ask, Problem> {
        let ops = self.ops.iter().map(|name| named_op(name));
        Ok(Ask {
            ops: ops.collect::<Result<_, _>>()?,
            hosts: targets(api, self.hosts).await?,
            policy: policy(self.policy, Policy::default())?,
            target: None,
            kind: AskKind::Pipeline(self.pipeline),
        })
    }
}

/// The hosts that are meant; whoever is named is known.
pub(super) async fn targets(api: &Api, hosts: Option<Hosts>) -> Result<Targets, Problem> {
    let (targets, names) = match hosts {
        None => return Ok(Targets::All),
        Some(Hosts::Selector(text)) => {
            let selector: Selector = value("bad_selector", "hosts", text.parse())?;
            let names: Vec<String> = selector.names().map(str::to_owned).collect();
            (Targets::Selector(selector), names)
        }
        Some(Hosts::List(names)) => {
            if names.is_empty() || names.len() > MOST_HOSTS {
                let expected = format!("hosts: name 1 to {MOST_HOSTS} hosts, or leave it out");
                return Err(unprocessable("no_hosts", expected));
            }
            let mut ids: Vec<HostId> = Vec::with_capacity(names.len());
            for name in &names {
                let id = name.parse().map_err(|_| foreign(name))?;
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            (Targets::List(ids), names)
        }
    };
    known(api, names).await?;
    Ok(targets)
}

/// Refuses a name that no host has, naming it.
pub(super) async fn known(api: &Api, names: Vec<String>) -> Result<(), Problem> {
    let unknown = api
        .hub
        .ask(move |fleet| {
            names.into_iter().find(|name| {
                let id = name.parse::<HostId>();
                !id.is_ok_and(|id| fleet.host(&id).is_some())
            })
        })
        .await?;
    unknown.map_or(Ok(()), |name| Err(foreign(&name)))
}

fn foreign(name: &str) -> Problem {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(253).collect();
    unprocessable(
        "unknown_host",
        format!("no host named {shown:?} is known; nothing was started. See /api/v1/hosts"),
    )
    .with("host", shown)
}

/// A policy: what is said, and the rest as usual.
pub(super) fn policy(said: Option<Value>, usual: Policy) -> Result<Policy, Problem> {
    let Some(said) = said else { return Ok(usual) };
    let Value::Object(said) = said else {
        return Err(unprocessable("bad_policy", "policy: expected an object"));
    };
    let mut whole = value("bad_policy", "policy", serde_json::to_value(usual))?;
    if let Value::Object(whole) = &mut whole {
        whole.extend(said);
    }
    from_object("bad_policy", "policy", whole)
}

fn target(said: Value) -> Result<Target, Problem> {
    from_object("bad_target", "target", said)
}

/// The rollout that follows a merge.
pub(super) async fn deploy(
    api: &Api,
    rollout: RolloutId,
    hosts: Option<Hosts>,
    said: Option<Value>,
) -> Result<Deploy, Problem> {
    Ok(Deploy {
        rollout,
        hosts: targets(api, hosts).await?,
        policy: policy(said, Deploy::default_policy())?,
    })
}

/// A whole commit.
pub(super) fn commit(field: &str, text: Option<&str>) -> Result<Option<CommitId>, Problem> {
    text.map(|text| value("bad_commit", field, text.parse()))
        .transpose()
}

/// The id of a plan that was confirmed.
pub(super) fn plan_id(text: Option<&str>) -> Result<Option<PlanId>, Problem> {
    text.map(|text| value("bad_plan_id", "confirm", text.parse()))
        .transpose()
}

/// A pull request as it stands in a path.
pub(super) fn pr_number(text: &str) -> Result<PrNumber, Problem> {
    let number = text.parse::<u64>().ok().filter(|number| *number > 0);
    number.map(PrNumber).ok_or_else(|| unknown_pr(text))
}

/// A reason that says something.
pub(super) fn reason(text: Option<String>) -> Result<Option<String>, Problem> {
    let text = text
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty());
    match text {
        Some(text) if text.chars().count() > 500 => Err(unprocessable(
            "bad_reason",
            "the reason has more than 500 characters",
        )),
        text => Ok(text),
    }
}

/// 422 that names the field.
pub(super) fn value<T, E: std::fmt::Display>(
    code: &'static str,
    field: &str,
    parsed: Result<T, E>,
) -> Result<T, Problem> {
    parsed.map_err(|error| unprocessable(code, format!("{field}: {error}")))
}

/// The same for a part of a document that is a word or a number.
pub(super) fn from_value<T: DeserializeOwned>(
    code: &'static str,
    field: &str,
    said: Value,
) -> Result<T, Problem> {
    value(code, field, serde_json::from_value(said))
}

/// The same for a part that is an object: a list of its values in order is not one.
pub(super) fn from_object<T: DeserializeOwned>(
    code: &'static str,
    field: &str,
    said: Value,
) -> Result<T, Problem> {
    if !said.is_object() {
        return Err(unprocessable(code, format!("{field}: expected an object")));
    }
    from_value(code, field, said)
}
