//! Reading credentials out of request headers. Anything ambiguous is refused, never guessed at.

use cookie::Cookie;
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use secrecy::SecretString;

use crate::net::Site;
use crate::reject::{Problem, unauthenticated};

/// The session cookie where people use TLS; the prefix binds it to this very host.
pub(super) const SECURE_COOKIE: &str = "__Host-nixfleet";
/// The session cookie without TLS.
pub(super) const PLAIN_COOKIE: &str = "nixfleet";
const LONGEST_TOKEN: usize = 512;

/// The credential of a request.
pub(super) enum Presented {
    /// None at all.
    Nothing,
    /// A bearer token.
    Bearer(SecretString),
    /// A session id.
    Session(SecretString),
}

/// The credential of a request; a bearer token comes before a cookie and is not fallen back from.
pub(super) fn read(headers: &HeaderMap, site: &Site) -> Result<Presented, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    if let Some(value) = values.next() {
        if values.next().is_some() {
            return Err(unauthenticated(
                "there is more than one Authorization header",
            ));
        }
        return match value.to_str().ok().and_then(bearer) {
            Some(token) => Ok(Presented::Bearer(token.to_owned().into())),
            None => Err(unauthenticated("expected `Authorization: Bearer <token>`")),
        };
    }
    let name = cookie_name(headers, site);
    let mut ids = cookies(headers).filter(|cookie| cookie.name() == name);
    match (ids.next(), ids.next()) {
        (None, _) => Ok(Presented::Nothing),
        (Some(id), None) => Ok(Presented::Session(id.value().to_owned().into())),
        (Some(_), Some(_)) => Err(unauthenticated("there is more than one session cookie")),
    }
}

/// Whether a session cookie of ours is among the headers, valid or not.
pub(crate) fn has_session_cookie(headers: &HeaderMap) -> bool {
    cookies(headers).any(|cookie| [SECURE_COOKIE, PLAIN_COOKIE].contains(&cookie.name()))
}

/// The name of the session cookie for the host that the browser asked.
pub(super) fn cookie_name(headers: &HeaderMap, site: &Site) -> &'static str {
    if site.is_secure_for(host(headers)) {
        SECURE_COOKIE
    } else {
        PLAIN_COOKIE
    }
}

/// Whether there is exactly one `Origin`, and it is the origin of this server's own pages.
pub(crate) fn is_same_origin(headers: &HeaderMap, site: &Site) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let ours = site.origin_for(host(headers));
    let same = origins
        .next()
        .is_some_and(|origin| origin.as_bytes() == ours.as_bytes());
    same && origins.next().is_none()
}

pub(super) fn host(headers: &HeaderMap) -> &str {
    headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default()
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    let plausible = (1..=LONGEST_TOKEN).contains(&token.len())
        && token.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    (scheme.eq_ignore_ascii_case("bearer") && plausible).then_some(token)
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = Cookie<'_>> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(Cookie::split_parse)
        .filter_map(Result::ok)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use secrecy::ExposeSecret;

    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn read_lines(lines: &[(&'static str, &str)]) -> String {
        let site = Site::new(true, Some(&"https://fleet.example".parse().unwrap()), &[]);
        match read(&headers(lines), &site) {
            Ok(Presented::Nothing) => "nothing".to_owned(),
            Ok(Presented::Bearer(token)) => format!("bearer {}", token.expose_secret()),
            Ok(Presented::Session(id)) => format!("session {}", id.expose_secret()),
            Err(problem) => format!("refused {}", problem.status().as_u16()),
        }
    }

    #[test]
    fn sec02_an_absent_or_crippled_credential_is_never_trust() {
        let long = format!("Bearer {}", "a".repeat(600));
        for (lines, expected) in [
            (vec![], "nothing"),
            (vec![("authorization", "Bearer abc")], "bearer abc"),
            (vec![("authorization", "bearer  abc ")], "bearer abc"),
            (vec![("authorization", "")], "refused 401"),
            (vec![("authorization", " ")], "refused 401"),
            (vec![("authorization", "Bearer")], "refused 401"),
            (vec![("authorization", "Bearer ")], "refused 401"),
            (vec![("authorization", "Bearer a b")], "refused 401"),
            (vec![("authorization", "Basic abc")], "refused 401"),
            (vec![("authorization", &long)], "refused 401"),
            (
                vec![("authorization", "Bearer a"), ("authorization", "Bearer a")],
                "refused 401",
            ),
        ] {
            assert_eq!(read_lines(&lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_bad_bearer_does_not_fall_back_to_the_cookie() {
        let lines = [("authorization", "Basic x"), ("cookie", "nixfleet=abc")];
        assert_eq!(read_lines(&lines), "refused 401");
    }

    #[test]
    fn each_cookie_name_counts_only_where_it_belongs() {
        let secure = ("cookie", "a=b; __Host-nixfleet=abc");
        let plain = ("cookie", "nixfleet=abc");
        let public = ("host", "fleet.example");
        let local = ("host", "localhost:8000");
        assert_eq!(read_lines(&[public, secure]), "session abc");
        assert_eq!(read_lines(&[local, plain]), "session abc");
        assert_eq!(read_lines(&[public, plain]), "nothing");
        assert_eq!(read_lines(&[local, secure]), "nothing");
        assert_eq!(read_lines(&[local, plain, plain]), "refused 401");
    }

    #[test]
    fn sec09_only_the_exact_origin_is_the_same_origin() {
        let site = Site::new(true, Some(&"https://fleet.example".parse().unwrap()), &[]);
        let same = |origins: &[&str]| {
            let mut lines = vec![("host", "fleet.example")];
            lines.extend(origins.iter().map(|origin| ("origin", *origin)));
            is_same_origin(&headers(&lines), &site)
        };
        assert!(same(&["https://fleet.example"]));
        for bad in [
            "null",
            "http://fleet.example",
            "https://fleet.example:8443",
            "https://FLEET.example",
            "https://fleet.example.evil.example",
            "https://sub.fleet.example",
            "https://fleet.example/",
            "",
            "https://evil.example",
        ] {
            assert!(!same(&[bad]), "{bad}");
        }
        assert!(!same(&[]));
        assert!(!same(&["https://fleet.example", "https://fleet.example"]));
    }
}
