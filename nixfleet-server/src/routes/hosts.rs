//! Hosts as they are: their documents, why they have their colours, what they printed.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use nixfleet_core::fleet::{Fleet, HostReport};
use nixfleet_core::host::HostSettings;
use nixfleet_core::sync::EventView;
use nixfleet_core::{HostId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::api::{Api, command_id, host_id, unknown_host};
use super::{
    Route, answer, any_of, get_or_head, idempotency, json as json_response, tagged, tagged_as,
};
use crate::auth::{Permission, filters};
use crate::reject::{Problem, standard, unavailable};

/// The longest that a reader of output waits for more.
const LONGEST_WAIT: Duration = Duration::from_secs(25);
/// Hosts that are reported on at a time.
const PORTION: usize = 64;
/// Events of one page.
const MOST_EVENTS: usize = 200;

/// `/api/v1/hosts…`, `/api/v1/state`, `/api/v1/events`.
#[must_use]
pub fn routes(api: &Api) -> Route {
    any_of([
        list(api),
        state(api),
        events(api),
        one(api),
        explain(api),
        output(api),
    ])
}

/// A host as the API shows it.
#[derive(Debug, Serialize)]
pub(super) struct HostRow {
    #[serde(flatten)]
    pub report: HostReport,
    /// What people settled about how automation treats it.
    pub settings: HostSettings,
    /// When it was last heard of, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// Its load, where reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<nixfleet_core::wire::agent::Metrics>,
}

impl Api {
    /// A host as the fleet sees it, with what is known beside the fleet.
    fn row(&self, (report, settings): (HostReport, HostSettings)) -> HostRow {
        let telemetry = self.telemetry.of(&report.facts.id);
        HostRow {
            last_seen: telemetry.as_ref().map(|row| row.last_seen),
            metrics: telemetry.and_then(|row| row.metrics),
            report,
            settings,
        }
    }

    /// Every host; asked for in portions, so that nobody else waits for all of them.
    pub(super) async fn rows(&self) -> Result<Vec<HostRow>, Problem> {
        let ids: Vec<HostId> = self
            .hub
            .ask(|fleet| fleet.sync().state().hosts.keys().cloned().collect())
            .await?;
        let mut rows = Vec::with_capacity(ids.len());
        for portion in ids.chunks(PORTION) {
            let portion = portion.to_vec();
            let ask = move |fleet: &Fleet| -> Vec<(HostReport, HostSettings)> {
                portion
                    .iter()
                    .filter_map(|id| reported(fleet, id))
                    .collect()
            };
            let reports = self.hub.ask(ask).await?;
            rows.extend(reports.into_iter().map(|report| self.row(report)));
        }
        Ok(rows)
    }

    pub(super) async fn known(&self, host: &str) -> Result<HostRow, Problem> {
        let id = host_id(host)?;
        let report = self.hub.ask(move |fleet| reported(fleet, &id)).await?;
        let report = report.ok_or_else(|| unknown_host(host))?;
        Ok(self.row(report))
    }
}

fn reported(fleet: &Fleet, id: &HostId) -> Option<(HostReport, HostSettings)> {
    let settings = fleet.host(id)?.settings.clone();
    Some((fleet.report(id)?, settings))
}

fn list(api: &Api) -> Route {
    let api = api.clone();
    warp::path!("api" / "v1" / "hosts")
        .and(get_or_head())
        .and(filters::require(&api.auth, Permission::Read))
        .and(warp::header::headers_cloned())
        .and_then(move |_principal, headers: HeaderMap| {
            let api = api.clone();
            async move { answer(listed(&api, &headers).await) }
        })
        .boxed()
}

async fn listed(api: &Api, headers: &HeaderMap) -> Result<Response, Problem> {
    let body = idempotency::body(&json!({ "hosts": api.rows().await? }))?;
    Ok(tagged(headers, body))
}

fn state(api: &Api) -> Route {
    let api = api.clone();
    warp::path!("api" / "v1" / "state")
        .and(get_or_head())
        .and(filters::require(&api.auth, Permission::Read))
        .and(warp::header::headers_cloned())
        .and_then(move |_principal, headers: HeaderMap| {
            let api = api.clone();
            async move { answer(full_state(&api, &headers).await) }
        })
        .boxed()
}

async fn full_state(api: &Api, headers: &HeaderMap) -> Result<Response, Problem> {
    let snapshot = api.snapshots.current().await?;
    let version = snapshot.version;
    let tag = format!("{}-{}", version.epoch, version.number);
    Ok(tagged_as(headers, &tag, snapshot.document()))
}

#[derive(Debug, Deserialize)]
struct EventsQuery {
    /// Only events of this host.
    #[serde(default)]
    host: Option<String>,
    /// Only events before this number.
    #[serde(default)]
    before: Option<u64>,
    #[serde(default)]
    limit: Option<usize>,
}

fn events(api: &Api) -> Route {
    let api = api.clone();
    warp::path!("api" / "v1" / "events")
        .and(get_or_head())
        .and(filters::require(&api.auth, Permission::Read))
        .and(warp::query::<EventsQuery>())
        .and(warp::header::headers_cloned())
        .and_then(move |_principal, query: EventsQuery, headers: HeaderMap| {
            let api = api.clone();
            async move { answer(events_page(&api, &query, &headers).await) }
        })
        .boxed()
}

/// The newest first.
async fn events_page(
    api: &Api,
    query: &EventsQuery,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let host = query.host.as_deref().map(host_id).transpose()?;
    let limit = query.limit.unwrap_or(MOST_EVENTS).clamp(1, MOST_EVENTS);
    let page = match query.before {
        Some(_) => past_events(api, host.as_ref(), query.before, limit).await?,
        None => latest_events(api, host.as_ref(), limit).await?,
    };
    let next = page.last().filter(|_| page.len() == limit);
    let document = json!({ "events": page, "next_before": next.map(|event| event.n) });
    Ok(tagged(headers, idempotency::body(&document)?))
}

async fn latest_events(
    api: &Api,
    host: Option<&HostId>,
    limit: usize,
) -> Result<Vec<EventView>, Problem> {
    let snapshot = api.snapshots.current().await?;
    let events = snapshot.state().events.values().rev();
    let wanted = events.filter(|event| host.is_none() || event.host.as_ref() == host);
    Ok(wanted.take(limit).cloned().collect())
}

async fn past_events(
    api: &Api,
    host: Option<&HostId>,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<EventView>, Problem> {
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let found = api.store.events_before(host, before, limit).await;
    found.map_err(|error| {
        tracing::error!(%error, "past events cannot be read");
        unavailable("the store cannot be read at the moment")
    })
}

/// `/api/v1/hosts/{id}/<word>`, or `/api/v1/hosts/{id}` without a word.
pub(super) fn host_path(word: Option<&'static str>) -> BoxedFilter<(String,)> {
    let host = warp::path!("api" / "v1" / "hosts" / String / ..);
    match word {
        Some(word) => host.and(warp::path(word)).and(warp::path::end()).boxed(),
        None => host.and(warp::path::end()).boxed(),
    }
}

fn one(api: &Api) -> Route {
    let api = api.clone();
    host_path(None)
        .and(get_or_head())
        .and(filters::require(&api.auth, Permission::Read))
        .and(warp::header::headers_cloned())
        .and_then(move |host: String, _principal, headers: HeaderMap| {
            let api = api.clone();
            async move { answer(shown(&api, &host, &headers).await) }
        })
        .boxed()
}

async fn shown(api: &Api, host: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let row = api.known(host).await?;
    Ok(tagged(headers, idempotency::body(&row)?))
}

fn explain(api: &Api) -> Route {
    let api = api.clone();
    host_path(Some("explain"))
        .and(get_or_head())
        .and(filters::require(&api.auth, Permission::Read))
        .and_then(move |host: String, _principal| {
            let api = api.clone();
            async move { answer(explained(&api, &host).await) }
        })
        .boxed()
}

async fn explained(api: &Api, host: &str) -> Result<Response, Problem> {
    let id = host_id(host)?;
    let asked = id.clone();
    let found = api
        .hub
        .ask(move |fleet| Some((fleet.explain(&asked)?, fleet.report(&asked)?)))
        .await?;
    let (trace, report) = found.ok_or_else(|| unknown_host(host))?;
    let document = json!({
        "host": id,
        "trace": trace,
        "compartments": report.compartments,
        "attentions": report.attentions,
    });
    Ok(json_response(StatusCode::OK, &document))
}

#[derive(Debug, Deserialize)]
pub(super) struct OutputQuery {
    /// The command; the one that runs, or ran last, if left out.
    #[serde(default)]
    pub command: Option<String>,
    /// Number of the first line wanted.
    #[serde(default)]
    pub from: Option<u64>,
    /// How many seconds to wait for a line if there is none yet.
    #[serde(default)]
    pub wait: Option<u64>,
}

fn output(api: &Api) -> Route {
    let api = api.clone();
    host_path(Some("output"))
        .and(get_or_head())
        .and(filters::require(&api.auth, Permission::Read))
        .and(warp::query::<OutputQuery>())
        .and_then(move |host: String, _principal, query: OutputQuery| {
            let api = api.clone();
            async move { answer(output_page(&api, &host, &query).await) }
        })
        .boxed()
}

/// Lines of a command's output from a number on.
pub(super) async fn output_page(
    api: &Api,
    host: &str,
    query: &OutputQuery,
) -> Result<Response, Problem> {
    let id = api.known(host).await?.report.facts.id;
    let command = match query.command.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => Some(command_id(text)?),
        None => api.output.latest(&id),
    };
    let from = query.from.unwrap_or(1).max(1);
    let Some(command) = command else {
        let nothing = json!({
            "host": id, "command": null, "lines": [], "from": from, "next": from, "more": false,
        });
        return Ok(json_response(StatusCode::OK, &nothing));
    };
    let patience = Duration::from_secs(query.wait.unwrap_or(0)).min(LONGEST_WAIT);
    let page = api.output.follow(&id, command, from, patience).await;
    let page = page.map_err(|error| {
        tracing::error!(host = %id, %command, %error, "output cannot be read");
        standard(StatusCode::INTERNAL_SERVER_ERROR)
    })?;
    let document = json!({
        "host": id, "command": command, "lines": page.lines, "from": from, "next": page.next,
        "more": page.more,
    });
    Ok(json_response(StatusCode::OK, &document))
}
