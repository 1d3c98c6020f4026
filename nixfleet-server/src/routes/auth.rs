//! Login, logout and the ticket for the live feed.

use std::sync::Arc;

use askama::Template;
use bytes::Bytes;
use http::header::{ACCEPT, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use warp::Filter;
use warp::reply::Response;

use super::{Route, answer, any_of, content, get_or_head, json as json_response};
use crate::auth::ticket::TICKET_LIFETIME;
use crate::auth::{Auth, Caller, LoginError, Permission, filters};
use crate::net::{Connection, body};
use crate::reject::{Problem, bad_request, see_other, standard};

/// `GET|POST /login`, `POST /logout`, `POST /api/v1/live/ticket`.
#[must_use]
pub fn routes(auth: &Arc<Auth>) -> Route {
    any_of([ticket(auth), login_page(auth), login(auth), logout(auth)])
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    next: &'a str,
    message: Option<String>,
}

#[derive(Deserialize)]
struct NextQuery {
    next: Option<String>,
}

/// What a login brings along, as a form or as JSON.
#[derive(Deserialize)]
struct Attempt {
    password: SecretText,
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(from = "String")]
struct SecretText(SecretString);

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

fn login_page(auth: &Arc<Auth>) -> Route {
    let auth = auth.clone();
    warp::path("login")
        .and(warp::path::end())
        .and(get_or_head())
        .and(warp::query::<NextQuery>())
        .and(warp::header::headers_cloned())
        .then(move |query: NextQuery, headers: HeaderMap| {
            let auth = auth.clone();
            async move {
                let next = safe_next(query.next.as_deref());
                match auth.authenticate(&headers).await {
                    Ok(principal) if principal.may(Permission::Read) => see_other(next),
                    Ok(_) | Err(_) => page(StatusCode::OK, next, None),
                }
            }
        })
        .boxed()
}

fn login(auth: &Arc<Auth>) -> Route {
    let auth = auth.clone();
    warp::path("login")
        .and(warp::path::end())
        .and(warp::post())
        .and(warp::ext::get::<Connection>())
        .and(warp::header::headers_cloned())
        .and(body::bytes())
        .and_then(
            move |connection: Connection, headers: HeaderMap, body: Bytes| {
                let auth = auth.clone();
                async move { answer(attempt(&auth, &connection, &headers, &body).await) }
            },
        )
        .boxed()
}

async fn attempt(
    auth: &Auth,
    connection: &Connection,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Problem> {
    let media = body::media_type(headers);
    let from_form = media.as_deref() == Some("application/x-www-form-urlencoded");
    let attempt = match media.as_deref() {
        Some("application/x-www-form-urlencoded") => from_form_fields(body)?,
        // The serde message could repeat what was typed as the password.
        Some("application/json") => serde_json::from_slice(body)
            .map_err(|_| bad_request("expected JSON like {\"password\": \"…\"}"))?,
        Some(_) | None => {
            return Err(standard(StatusCode::UNSUPPORTED_MEDIA_TYPE)
                .detail("send a form, or JSON with Content-Type: application/json"));
        }
    };
    let next = safe_next(attempt.next.as_deref());
    match auth
        .login(connection.address(), headers, attempt.password.0)
        .await
    {
        Ok(cookie) => {
            let mut response = if from_form {
                see_other(next)
            } else {
                json_response(StatusCode::OK, &json!({"status": "ok"}))
            };
            response.headers_mut().insert(SET_COOKIE, cookie);
            Ok(response)
        }
        Err(error) if from_form => Ok(refused_page(error, next)),
        Err(error) => Err(error.into()),
    }
}

fn logout(auth: &Arc<Auth>) -> Route {
    let auth = auth.clone();
    warp::path("logout")
        .and(warp::path::end())
        .and(warp::post())
        .and(warp::header::headers_cloned())
        .and_then(move |headers: HeaderMap| {
            let auth = auth.clone();
            async move { answer(end_session(&auth, &headers).await) }
        })
        .boxed()
}

async fn end_session(auth: &Auth, headers: &HeaderMap) -> Result<Response, Problem> {
    let cookie = auth.logout(headers).await?;
    let mut response = if wants_page(headers) {
        see_other("/login")
    } else {
        json_response(StatusCode::OK, &json!({"status": "ok"}))
    };
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}

fn ticket(auth: &Arc<Auth>) -> Route {
    let issuer = auth.clone();
    warp::path!("api" / "v1" / "live" / "ticket")
        .and(warp::post())
        .and(filters::require(auth, Permission::Live))
        .and_then(move |caller: Caller| {
            let ticket = issuer.issue_ticket(&caller).map(|ticket| {
                let seconds = TICKET_LIFETIME.as_secs();
                let body = json!({"ticket": ticket.expose_secret(), "expires_in": seconds});
                json_response(StatusCode::OK, &body)
            });
            async move { answer(ticket) }
        })
        .boxed()
}

fn from_form_fields(body: &[u8]) -> Result<Attempt, Problem> {
    let mut password = None;
    let mut next = None;
    for (name, value) in url::form_urlencoded::parse(body) {
        match name.as_ref() {
            "password" => password = Some(SecretText::from(value.into_owned())),
            "next" => next = Some(value.into_owned()),
            _ => {}
        }
    }
    let password = password.ok_or_else(|| bad_request("the form has no password field"))?;
    Ok(Attempt { password, next })
}

fn refused_page(error: LoginError, next: &str) -> Response {
    let problem = Problem::from(error);
    let message = if problem.status() == StatusCode::TOO_MANY_REQUESTS {
        "Too many attempts. Wait a little, then try again.".to_owned()
    } else if problem.status() == StatusCode::UNAUTHORIZED {
        "The password is not correct.".to_owned()
    } else {
        "The server cannot check the password at the moment; its log says why.".to_owned()
    };
    let mut response = page(problem.status(), next, Some(message));
    for (name, value) in problem.headers() {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

fn page(status: StatusCode, next: &str, message: Option<String>) -> Response {
    match (LoginPage { next, message }).render() {
        Ok(html) => content(status, "text/html; charset=utf-8", html),
        Err(error) => {
            tracing::error!(%error, "the login page could not be rendered");
            standard(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
    }
}

fn wants_page(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

/// Where to go after the login: a path of this server, never another site.
fn safe_next(next: Option<&str>) -> &str {
    let Some(next) = next else {
        return "/";
    };
    let local = next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if local { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_never_leads_to_another_site() {
        for good in ["/", "/hosts?a=b#c"] {
            assert_eq!(safe_next(Some(good)), good);
        }
        for bad in [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "javascript:alert(1)",
            "",
            "/a\r\nSet-Cookie: x=y",
            "/\t/evil.example",
            "hosts",
        ] {
            assert_eq!(safe_next(Some(bad)), "/", "{bad:?}");
        }
    }

    #[test]
    fn the_login_page_escapes_what_it_is_given() {
        let html = LoginPage {
            next: "/\"><script>",
            message: Some("<b>".to_owned()),
        }
        .render()
        .unwrap();
        assert!(
            !html.contains("<script>") && !html.contains("<b>"),
            "{html}"
        );
    }
}
