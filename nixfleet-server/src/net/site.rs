//! Under which names this server answers, and what follows for origins and cookies.

use std::collections::BTreeSet;
use std::net::IpAddr;

use url::Url;

/// The names of this server.
///
/// A browser attacker can point a name of his own at this machine (DNS rebinding); a request for a
/// name that is not listed is refused. Addresses and `localhost` are always answered: they cannot be
/// pointed anywhere.
#[derive(Clone, Debug, Default)]
pub struct Site {
    public_origin: Option<String>,
    public_authority: Option<String>,
    names: BTreeSet<String>,
    enforced: bool,
}

impl Site {
    /// A server listening on loopback only, or on the network, with the URL under which people
    /// reach it (if that is configured) and further host names.
    ///
    /// Names are enforced on loopback and wherever one is configured. A server on the network
    /// without any configured name answers to every name.
    #[must_use]
    pub fn new(on_loopback: bool, public: Option<&Url>, names: &[String]) -> Self {
        let public_host = public.and_then(Url::host_str).map(str::to_ascii_lowercase);
        let names: BTreeSet<String> = names
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .chain(public_host)
            .collect();
        Self {
            public_origin: public.map(|url| url.origin().ascii_serialization()),
            public_authority: public.and_then(authority),
            enforced: on_loopback || !names.is_empty(),
            names,
        }
    }

    /// Whether a request with this `Host` header is answered.
    #[must_use]
    pub fn answers_for(&self, host: &str) -> bool {
        match host_name(host) {
            None => false,
            Some(name) => !self.enforced || is_local_name(&name) || self.names.contains(&name),
        }
    }

    /// The origin a page of this server has, if the browser asked for this `Host`.
    #[must_use]
    pub fn origin_for(&self, host: &str) -> String {
        match (&self.public_origin, &self.public_authority) {
            (Some(origin), Some(authority)) if host.eq_ignore_ascii_case(authority) => {
                origin.clone()
            }
            (_, _) => format!("http://{}", host.to_ascii_lowercase()),
        }
    }

    /// Whether people reach this `Host` over TLS, so that cookies can be bound to it.
    #[must_use]
    pub fn is_secure_for(&self, host: &str) -> bool {
        self.origin_for(host).starts_with("https://")
    }

    /// The configured origin.
    #[must_use]
    pub fn public_origin(&self) -> Option<&str> {
        self.public_origin.as_deref()
    }
}

fn authority(url: &Url) -> Option<String> {
    let host = url.host_str()?.to_ascii_lowercase();
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    })
}

/// The name in a `Host` header, without the port, in lower case; none if it is malformed.
fn host_name(host: &str) -> Option<String> {
    let authority: http::uri::Authority = host.parse().ok()?;
    if host.contains('@') || authority.host().is_empty() {
        return None;
    }
    let name = authority.host().trim_end_matches('.');
    Some(name.to_ascii_lowercase())
}

fn is_local_name(name: &str) -> bool {
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.ends_with(".localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_are_refused_where_names_are_enforced() {
        let public: Url = "https://fleet.example".parse().unwrap();
        let site = Site::new(true, Some(&public), &["other.example".to_owned()]);
        for good in [
            "localhost",
            "localhost:8000",
            "127.0.0.1:8000",
            "[::1]:8000",
            "192.0.2.1",
            "fleet.example",
            "Fleet.Example:443",
            "other.example",
            "nixfleet.localhost",
        ] {
            assert!(site.answers_for(good), "{good}");
        }
        for bad in [
            "evil.example",
            "fleet.example.evil.example",
            "localhost.evil.example",
            "",
            ":80",
            "user@localhost",
            "a b",
            "xfleet.example",
        ] {
            assert!(!site.answers_for(bad), "{bad}");
        }
    }

    #[test]
    fn an_open_server_without_names_answers_every_well_formed_name() {
        let site = Site::new(false, None, &[]);
        assert!(site.answers_for("whatever.example:8000"));
        assert!(!site.answers_for("user@whatever.example"));
    }

    #[test]
    fn the_origin_is_the_public_one_only_for_the_public_name() {
        let public: Url = "https://fleet.example/".parse().unwrap();
        let site = Site::new(true, Some(&public), &[]);
        assert_eq!(site.origin_for("fleet.example"), "https://fleet.example");
        assert!(site.is_secure_for("FLEET.example"));
        assert_eq!(site.origin_for("localhost:8000"), "http://localhost:8000");
        assert!(!site.is_secure_for("localhost:8000"));
        assert_eq!(
            site.origin_for("fleet.example:8443"),
            "http://fleet.example:8443"
        );
    }
}
