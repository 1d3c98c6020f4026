//! Holds by selector: `/api/v1/holds`.

use nixfleet_core::fleet::{Request, SelectorHold};
use nixfleet_core::selector::Selector;
use nixfleet_core::{HostId, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{Granted, unknown_hold};
use super::api::{Api, Nothing};
use super::asks;
use super::endpoint::{Call, change, read, words};
use super::{Route, any_of, mutations};
use crate::config::parse_duration;
use crate::reject::{Problem, bad_request};

/// `GET|POST /api/v1/holds`, `DELETE /api/v1/holds/{id}`.
#[must_use]
pub fn routes(api: &Api) -> Route {
    any_of([
        read(api, words(&["holds"]), |api, (), _| async move {
            listed(&api).await
        }),
        change(
            api,
            &mutations::HOLD_PLACE,
            |call: Call<(), HoldBody>| async move { placed(call).await },
        ),
        change(
            api,
            &mutations::HOLD_RELEASE,
            |call: Call<String, Nothing>| async move {
                let id = call.path.parse().map_err(|_| unknown_hold(&call.path))?;
                let request = Request::ReleaseSelector { id };
                call.api.submit(&call.caller, request).await?;
                Ok(json!({ "status": "ok" }))
            },
        ),
    ])
}

/// The holds by selector, each with the hosts that it matches now.
async fn listed(api: &Api) -> Result<Value, Problem> {
    let holds: Vec<(SelectorHold, Vec<HostId>)> = api
        .hub
        .ask(|fleet| {
            let holds = fleet.selector_holds().iter();
            let hosts = |hold| fleet.hosts_of_hold(hold).cloned().collect();
            holds.map(|hold| (hold.clone(), hosts(hold))).collect()
        })
        .await?;
    let rows = holds.into_iter().map(|(hold, hosts)| {
        let mut row = json!(hold);
        row["hosts"] = json!(hosts);
        row
    });
    Ok(json!({ "holds": rows.collect::<Vec<_>>() }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldBody {
    selector: String,
    why: String,
    /// How long, like `2h`; without it, until somebody releases it.
    #[serde(default, rename = "for")]
    lasting: Option<String>,
}

async fn placed(call: Call<(), HoldBody>) -> Result<Value, Problem> {
    let body = call.body;
    let selector: Selector = asks::value("bad_selector", "selector", body.selector.parse())?;
    let request = Request::HoldBySelector {
        selector,
        why: why(&body.why, "the hosts are")?,
        until: lasting(&call.api, body.lasting.as_deref())?,
    };
    match call.api.ask_for(&call.caller, request).await? {
        Granted::Hold(hold) => Ok(json!(hold)),
        Granted::Done | Granted::Dispatched(_) | Granted::Job(_) => Ok(json!({ "status": "ok" })),
    }
}

/// Why something is held.
pub(super) fn why(text: &str, what: &str) -> Result<String, Problem> {
    let why = text.trim();
    if why.is_empty() || why.chars().count() > 500 {
        return Err(bad_request(format!(
            "why: say in 1 to 500 characters why {what} held"
        )));
    }
    Ok(why.to_owned())
}

/// When a hold ends that lasts so long from now on.
pub(super) fn lasting(api: &Api, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let lasting = text.map(parse_duration).transpose();
    let lasting = lasting.map_err(|error| bad_request(format!("for: {error}")))?;
    Ok(lasting.map(|lasting| api.clock.now() + lasting))
}
