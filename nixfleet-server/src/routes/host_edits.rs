//! Changing what is kept of a host: adding, holding, colouring, removing it.

use nixfleet_core::fleet::{Accepted, Request};
use nixfleet_core::host::Hold;
use nixfleet_core::{HostId, Op};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Api, Nothing, host_id, refused, unprocessable};
use super::commands::accepted;
use super::dispatch::{Order, dispatch};
use super::endpoint::{Call, change};
use super::holds::{lasting, why};
use super::{Route, any_of, mutations};
use crate::auth::Caller;
use crate::reject::Problem;

/// What `POST` and `DELETE` do under `/api/v1/hosts`.
#[must_use]
pub fn routes(api: &Api) -> Route {
    any_of([
        change(
            api,
            &mutations::HOST_ADD,
            |call: Call<(), AddBody>| async move { added(&call.api, &call.caller, &call.body.id).await },
        ),
        change(
            api,
            &mutations::HOST_HOLD,
            |call: Call<String, HoldBody>| async move { held(call).await },
        ),
        change(
            api,
            &mutations::HOST_RELEASE,
            |call: Call<String, Nothing>| async move {
                let host = host_id(&call.path)?;
                let request = Request::Release { host };
                call.api.submit(&call.caller, request).await?;
                Ok(accepted())
            },
        ),
        change(
            api,
            &mutations::HOST_TESTS,
            |call: Call<String, TestsBody>| async move {
                let request = Request::SetTests {
                    host: host_id(&call.path)?,
                    enabled: call.body.enabled,
                };
                call.api.submit(&call.caller, request).await?;
                Ok(accepted())
            },
        ),
        change(
            api,
            &mutations::HOST_COLOR,
            |call: Call<String, ColorBody>| async move {
                colored(&call.api, &call.caller, &call.path, &call.body.color).await
            },
        ),
        change(
            api,
            &mutations::HOST_REMOVE,
            |call: Call<String, Nothing>| async move {
                removed(&call.api, &call.caller, &call.path).await
            },
        ),
    ])
}

/// A new host, under either name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddBody {
    #[serde(alias = "hostname")]
    pub id: String,
}

/// Adds a host that has not connected yet.
pub(super) async fn added(api: &Api, principal: &Caller, name: &str) -> Result<Value, Problem> {
    let host: HostId = name
        .trim()
        .parse()
        .map_err(|error: nixfleet_core::IdError| unprocessable("bad_host", error.to_string()))?;
    let request = Request::AddHost { host: host.clone() };
    api.submit(principal, request).await?;
    Ok(json!(api.known(host.as_str()).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldBody {
    why: String,
    /// How long, like `2h`; without it, until somebody releases the host.
    #[serde(default, rename = "for")]
    lasting: Option<String>,
}

async fn held(call: Call<String, HoldBody>) -> Result<Value, Problem> {
    let hold = Hold {
        by: call.caller.label(),
        why: why(&call.body.why, "the host is")?,
        until: lasting(&call.api, call.body.lasting.as_deref())?,
    };
    let host = host_id(&call.path)?;
    let request = Request::Hold { host, hold };
    call.api.submit(&call.caller, request).await?;
    Ok(accepted())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestsBody {
    enabled: bool,
}

/// A colour, under either name.
#[derive(Debug, Deserialize)]
struct ColorBody {
    #[serde(alias = "theme_color")]
    color: String,
}

/// Gives a host a colour.
pub(super) async fn colored(
    api: &Api,
    principal: &Caller,
    host: &str,
    color: &str,
) -> Result<Value, Problem> {
    let digits = color.strip_prefix('#').unwrap_or_default();
    if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(unprocessable("bad_color", "expected a colour like #1e90ff"));
    }
    let request = Request::SetColor {
        host: host_id(host)?,
        color: color.to_ascii_lowercase(),
    };
    api.submit(principal, request).await?;
    Ok(accepted())
}

/// Removes a host, if the rules allow it.
pub(super) async fn removed(api: &Api, principal: &Caller, host: &str) -> Result<Value, Problem> {
    single(api, principal, Order::simple(Op::Remove, host)).await?;
    Ok(accepted())
}

/// Runs an order for one host; a refusal is a problem here, not a row.
pub(super) async fn single(
    api: &Api,
    principal: &Caller,
    order: Order,
) -> Result<Option<Accepted>, Problem> {
    let outcomes = dispatch(api, principal, order).await?;
    match outcomes.into_iter().next().map(|one| one.outcome) {
        None => Ok(None),
        Some(Ok(accepted)) => Ok(Some(accepted)),
        Some(Err(refusal)) => Err(refused(&refusal)),
    }
}
