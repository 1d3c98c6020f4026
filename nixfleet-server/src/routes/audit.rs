//! Who asked for what, and what came of it: `GET /api/v1/audit`.

use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use warp::Filter;

use super::api::{Api, unreadable_store};
use super::endpoint::words;
use super::{Route, answer, asks, get_or_head, idempotency, tagged};
use crate::auth::{Permission, filters};
use crate::reject::Problem;
use crate::store::{AuditEntry, AuditFilter};

/// Rows of one page.
const MOST_ROWS: u32 = 200;

/// The audit trail is for admins: it names people, their reasons and their addresses.
#[must_use]
pub fn routes(api: &Api) -> Route {
    let api = api.clone();
    words(&["audit"])
        .and(get_or_head())
        .and(filters::require(&api.auth, Permission::Administer))
        .and(warp::query::<Query>())
        .and(warp::header::headers_cloned())
        .and_then(move |(), _caller, query: Query, headers: HeaderMap| {
            let api = api.clone();
            async move {
                let body = listed(&api, query).await;
                let body = body.and_then(|value| idempotency::body(&value));
                answer(body.map(|body| tagged(&headers, body)))
            }
        })
        .boxed()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Query {
    /// Only rows older than this one.
    before: Option<String>,
    limit: Option<u32>,
    host: Option<String>,
    actor: Option<String>,
    action: Option<String>,
}

async fn listed(api: &Api, query: Query) -> Result<Value, Problem> {
    let before = query.before.as_deref().map(str::parse::<i64>).transpose();
    let before = asks::value("bad_page", "before", before)?;
    let host = query.host.as_deref().map(str::parse).transpose();
    let filter = AuditFilter {
        host: asks::value("bad_host", "host", host)?,
        actor: query.actor,
        action: query.action,
    };
    let limit = query.limit.unwrap_or(MOST_ROWS).clamp(1, MOST_ROWS);
    let found = api.store.audit_before(before, &filter, limit).await;
    let found = found.map_err(|error| unreadable_store(&error))?;
    let next = found
        .last()
        .filter(|_| u32::try_from(found.len()).is_ok_and(|count| count == limit));
    let next = next.map(|one| one.n.to_string());
    let rows: Vec<Value> = found.iter().map(row).collect();
    Ok(json!({ "audit": rows, "next_before": next }))
}

fn row(entry: &AuditEntry) -> Value {
    let record = &entry.record;
    // What is no JSON any more is shown as it stands there.
    let value = |text: &Option<String>| {
        text.as_ref()
            .map(|text| serde_json::from_str(text).unwrap_or_else(|_| json!(text)))
    };
    json!({
        "n": entry.n,
        "at": record.at,
        "actor": record.actor,
        "action": record.action,
        "host": record.host,
        "command": record.command,
        "reason": record.reason,
        "outcome": record.outcome,
        "before": value(&record.before),
        "after": value(&record.after),
        "peer": record.peer,
    })
}
