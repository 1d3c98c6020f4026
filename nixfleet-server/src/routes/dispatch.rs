//! Running an operation on hosts.

use std::collections::BTreeSet;

use nixfleet_core::fleet::{Accepted, Dispatch, Dispatched, Request};
use nixfleet_core::lifecycle::CommandArgs;
use nixfleet_core::{HostId, OPS, Op};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answers::Granted;
use super::api::{Api, demand, host_id, permission_for, unprocessable};
use super::endpoint::{Call, change};
use super::mutations::{self, Mutation};
use super::{Route, any_of};
use crate::auth::Caller;
use crate::reject::Problem;

/// Hosts of one request.
pub(super) const MOST_HOSTS: usize = 20_000;

/// `POST /api/v1/dispatch`, and the older path.
#[must_use]
pub fn routes(api: &Api) -> Route {
    any_of([
        dispatch_at(api, &mutations::DISPATCH),
        dispatch_at(api, &mutations::OLD_DISPATCH),
    ])
}

/// What to run, and where.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    /// Name of the operation, or an alias.
    pub op: String,
    /// The hosts.
    pub hosts: Vec<String>,
    #[serde(default)]
    pub force: bool,
    #[serde(default)]
    pub confirm: bool,
    #[serde(default, rename = "override")]
    pub override_busy: bool,
    #[serde(default)]
    pub queue: bool,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub generation: Option<u64>,
    #[serde(default)]
    pub input: Option<String>,
    /// The second factor. No operation has one configured, so it is taken and not looked at.
    #[serde(default, rename = "totp")]
    pub _totp: Option<String>,
}

impl Order {
    /// An operation on one host, with nothing overridden.
    pub fn simple(op: Op, host: &str) -> Self {
        Self {
            op: op.name().to_owned(),
            hosts: vec![host.to_owned()],
            force: false,
            confirm: false,
            override_busy: false,
            queue: false,
            reason: None,
            generation: None,
            input: None,
            _totp: None,
        }
    }

    fn into_dispatch(self, principal: &Caller) -> Result<Dispatch, Problem> {
        let op = named_op(&self.op)?;
        demand(principal, permission_for(op))?;
        if self.hosts.is_empty() || self.hosts.len() > MOST_HOSTS {
            return Err(unprocessable(
                "no_hosts",
                format!("name 1 to {MOST_HOSTS} hosts"),
            ));
        }
        let mut seen = BTreeSet::new();
        let mut hosts = Vec::new();
        for host in &self.hosts {
            let host: HostId = host_id(host)?;
            if seen.insert(host.clone()) {
                hosts.push((host, Api::fresh_id()));
            }
        }
        Ok(Dispatch {
            args: CommandArgs {
                generation: self.generation,
                input: self.input,
            },
            force: self.force,
            confirmed: self.confirm,
            override_busy: self.override_busy,
            queue: self.queue,
            reason: self.reason.filter(|reason| !reason.trim().is_empty()),
            ..Dispatch::new(op, hosts)
        })
    }
}

/// The operation with this name; 422 lists the known ones.
pub(super) fn named_op(name: &str) -> Result<Op, Problem> {
    Op::named(name).ok_or_else(|| {
        let known: Vec<&str> = OPS.iter().map(|spec| spec.name).collect();
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        unprocessable(
            "unknown_op",
            format!(
                "{shown:?} is not an operation; known are {}",
                known.join(", ")
            ),
        )
        .with("known", known)
    })
}

/// Starts what was ordered; one outcome for each host.
pub(super) async fn dispatch(
    api: &Api,
    principal: &Caller,
    order: Order,
) -> Result<Vec<Dispatched>, Problem> {
    let dispatch = order.into_dispatch(principal)?;
    match api.ask_for(principal, Request::Dispatch(dispatch)).await? {
        Granted::Dispatched(outcomes) => Ok(outcomes),
        Granted::Done | Granted::Job(_) | Granted::Hold(_) => Ok(Vec::new()),
    }
}

fn dispatch_at(api: &Api, row: &Mutation) -> Route {
    change(api, row, |call: Call<(), Order>| async move {
        let outcomes = dispatch(&call.api, &call.caller, call.body).await?;
        Ok(json!(Results::from(outcomes)))
    })
}

/// Per-host results and a summary.
#[derive(Debug, Serialize)]
struct Results {
    results: Vec<ResultRow>,
    summary: Summary,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    total: usize,
    started: usize,
    queued: usize,
    done: usize,
    refused: usize,
}

/// What became of an order on one host.
#[derive(Debug, Serialize)]
struct ResultRow {
    host: HostId,
    /// `started`, `queued`, `done` or `refused`.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'static str>,
}

impl From<Vec<Dispatched>> for Results {
    fn from(outcomes: Vec<Dispatched>) -> Self {
        let mut summary = Summary {
            total: outcomes.len(),
            ..Summary::default()
        };
        let results = outcomes.into_iter().map(|one| row(one, &mut summary));
        let results = results.collect();
        Self { results, summary }
    }
}

fn row(one: Dispatched, summary: &mut Summary) -> ResultRow {
    let mut row = ResultRow {
        host: one.host,
        outcome: "done",
        command_id: None,
        code: None,
        message: None,
        help: None,
    };
    match one.outcome {
        Ok(Accepted::Started(id)) => {
            summary.started += 1;
            row.outcome = "started";
            row.command_id = Some(id.to_string());
        }
        Ok(Accepted::Queued(id)) => {
            summary.queued += 1;
            row.outcome = "queued";
            row.command_id = Some(id.to_string());
        }
        Ok(Accepted::Done) => summary.done += 1,
        Err(refusal) => {
            summary.refused += 1;
            row.outcome = "refused";
            row.code = Some(refusal.code.code());
            row.message = Some(refusal.sentence());
            row.help = Some(refusal.what_would_help());
        }
    }
    row
}
