//! `POST /api/hosts/{id}/…` as existing tools send it.

use nixfleet_core::fleet::Accepted;
use nixfleet_core::lifecycle::Signal;
use nixfleet_core::{Op, Phase};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Loose;
use crate::reject::{Problem, bad_request};
use crate::routes::api::{Api, host_id, unknown_command};
use crate::routes::commands::{decide_one, stop_one};
use crate::routes::dispatch::{Order, named_op};
use crate::routes::endpoint::{Call, change};
use crate::routes::host_edits::{colored, single};
use crate::routes::mutations::{self, Mutation};
use crate::routes::{Route, any_of};

/// A command as existing tools order it.
#[derive(Debug, Default, Deserialize)]
struct CommandBody {
    #[serde(default, alias = "op")]
    command: String,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct TimeoutBody {
    #[serde(default)]
    action: String,
    #[serde(default)]
    minutes: Option<u64>,
}

pub(super) fn routes(api: &Api) -> Route {
    any_of([
        change(
            api,
            &mutations::OLD_COMMAND,
            |call: Call<String, CommandBody>| async move {
                let order = Order {
                    force: call.body.force,
                    reason: call.body.reason,
                    ..Order::simple(named_op(&call.body.command)?, &call.path)
                };
                started(single(&call.api, &call.caller, order).await?)
            },
        ),
        simple(api, &mutations::OLD_REFRESH, Op::RefreshAll),
        simple(api, &mutations::OLD_REFRESH_GIT, Op::RefreshGit),
        simple(api, &mutations::OLD_REBOOT, Op::Reboot),
        change(
            api,
            &mutations::OLD_KILL,
            |call: Call<String, KillBody>| async move {
                let signal = call.body.signal();
                stop_one(&call.api, &call.caller, &call.path, None, signal).await
            },
        ),
        change(
            api,
            &mutations::OLD_COLOR,
            |call: Call<String, LooseColor>| async move {
                colored(&call.api, &call.caller, &call.path, &call.body.color).await
            },
        ),
        change(
            api,
            &mutations::OLD_TIMEOUT,
            |call: Call<String, TimeoutBody>| async move { timeout_action(&call.api, &call).await },
        ),
    ])
}

fn simple(api: &Api, row: &Mutation, op: Op) -> Route {
    change(api, row, move |call: Call<String, Loose>| async move {
        let order = Order::simple(op, &call.path);
        started(single(&call.api, &call.caller, order).await?)
    })
}

#[derive(Debug, Default, Deserialize)]
struct LooseColor {
    #[serde(default, alias = "theme_color")]
    color: String,
}

#[derive(Debug, Default, Deserialize)]
struct KillBody {
    #[serde(default)]
    signal: String,
}

impl KillBody {
    fn signal(&self) -> Signal {
        match self.signal.trim_start_matches("SIG") {
            "KILL" | "kill" => Signal::Kill,
            _ => Signal::Term,
        }
    }
}

// Wrapped, because every order ends with it behind a `?`.
#[allow(clippy::unnecessary_wraps)]
fn started(outcome: Option<Accepted>) -> Result<Value, Problem> {
    let id = match outcome {
        Some(Accepted::Started(id) | Accepted::Queued(id)) => Some(id),
        Some(Accepted::Done) | None => None,
    };
    Ok(json!({ "status": "ok", "command_id": id }))
}

/// A decision about the command of a host that is past its timeout.
async fn timeout_action(api: &Api, call: &Call<String, TimeoutBody>) -> Result<Value, Problem> {
    let (caller, host) = (&call.caller, &call.path);
    let decision = match call.body.action.as_str() {
        "kill" => return stop_one(api, caller, host, None, Signal::Term).await,
        "wait" | "extend" => "extend",
        "ignore" => "ignore",
        _ => return Err(bad_request("action: expected extend, kill or ignore")),
    };
    let id = host_id(host)?;
    let snapshot = api.snapshots.current().await?;
    let mut commands = snapshot.state().commands.values();
    let waiting = commands.find(|c| c.host == id && c.phase == Phase::TimeoutPending);
    let command = waiting.ok_or_else(unknown_command)?.id.to_string();
    decide_one(api, caller, &command, decision, call.body.minutes).await
}
