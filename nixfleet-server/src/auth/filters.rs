//! Authentication as filters. Order in a route: path, method, one of these, then the body.

use std::sync::Arc;

use http::HeaderMap;
use serde::Deserialize;
use warp::Filter;
use warp::filters::BoxedFilter;

use super::{AgentIdentity, Auth, Caller, Permission, Principal};
use crate::net::Connection;
use crate::reject::LoginRequired;

/// Lets through who may do `permission`: a session or an API token; else 401 or 403.
#[must_use]
pub fn require(auth: &Arc<Auth>, permission: Permission) -> BoxedFilter<(Caller,)> {
    let auth = auth.clone();
    warp::header::headers_cloned()
        .and(warp::ext::optional::<Connection>())
        .and_then(move |headers: HeaderMap, connection: Option<Connection>| {
            let auth = auth.clone();
            async move {
                let principal = auth.authorize(&headers, permission).await;
                let peer = connection.map(|connection| connection.address());
                principal
                    .map(|principal| Caller { principal, peer })
                    .map_err(warp::reject::custom)
            }
        })
        .boxed()
}

/// Lets through who may read, for a page: without a session the browser is sent to the login.
#[must_use]
pub fn require_page(auth: &Arc<Auth>) -> BoxedFilter<(Principal,)> {
    let auth = auth.clone();
    warp::header::headers_cloned()
        .and(warp::path::full())
        .and(raw_query())
        .and_then(
            move |headers: HeaderMap, path: warp::path::FullPath, query: String| {
                let auth = auth.clone();
                async move {
                    let refused = match auth.authorize(&headers, Permission::Read).await {
                        Ok(principal) => return Ok(principal),
                        Err(refused) => refused,
                    };
                    if refused.status() != http::StatusCode::UNAUTHORIZED {
                        return Err(warp::reject::custom(refused));
                    }
                    let query = if query.is_empty() {
                        query
                    } else {
                        format!("?{query}")
                    };
                    let next = format!("{}{query}", path.as_str());
                    Err(warp::reject::custom(LoginRequired { next }))
                }
            },
        )
        .boxed()
}

/// Lets agents through, before the upgrade: bearer only, a cookie is refused.
#[must_use]
pub fn require_agent(auth: &Arc<Auth>) -> BoxedFilter<(AgentIdentity,)> {
    let auth = auth.clone();
    warp::header::headers_cloned()
        .and_then(move |headers: HeaderMap| {
            let auth = auth.clone();
            async move {
                let agent = auth.authenticate_agent(&headers).await;
                agent.map_err(warp::reject::custom)
            }
        })
        .boxed()
}

/// Lets through to the live feed, before the upgrade: pages of ours with session cookie, exact
/// origin and `?ticket=`, programs with a ticket alone; a bearer token is refused.
#[must_use]
pub fn require_live(auth: &Arc<Auth>) -> BoxedFilter<(Principal,)> {
    let auth = auth.clone();
    warp::header::headers_cloned()
        .and(warp::query::<TicketQuery>())
        .and_then(move |headers: HeaderMap, query: TicketQuery| {
            let auth = auth.clone();
            async move {
                let principal = auth.authenticate_live(&headers, &query.ticket).await;
                principal.map_err(warp::reject::custom)
            }
        })
        .boxed()
}

#[derive(Deserialize)]
struct TicketQuery {
    #[serde(default)]
    ticket: String,
}

fn raw_query() -> BoxedFilter<(String,)> {
    warp::query::raw()
        .or(warp::any().map(String::new))
        .unify()
        .boxed()
}
