//! Where requests may go (law E10): to the one configured API and nowhere else.

use std::net::IpAddr;

use url::{Host, Url};

/// The address of a forge's API. Everything the client sends goes below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiAddress {
    url: Url,
    configured: bool,
}

/// The address cannot be used; says what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAddress(&'static str);

/// What is done about a redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// It stays below the API: ask there.
    Follow(Url),
    /// It does not; the reason.
    Refuse(&'static str),
}

impl ApiAddress {
    /// The public GitHub; nobody configured it, so it may have no private address.
    #[must_use]
    pub fn github() -> Option<Self> {
        let url = Url::parse("https://api.github.com").ok()?;
        Some(Self {
            url,
            configured: false,
        })
    }

    /// An address that the administrator named.
    ///
    /// # Errors
    /// [`BadAddress`] if it is no plain https address (http only to this machine).
    pub fn configured(text: &str) -> Result<Self, BadAddress> {
        let expected = "expected the address of an API, like https://api.github.com, \
                        https://github.example/api/v3 or https://forge.example/api/v1";
        let mut url = Url::parse(text).map_err(|_| BadAddress(expected))?;
        if url.host_str().is_none_or(str::is_empty) || !matches!(url.scheme(), "http" | "https") {
            return Err(BadAddress(expected));
        }
        if !url.username().is_empty() || url.password().is_some() {
            let why = "the address must not hold a credential: set NIXFLEET_GITHUB_TOKEN";
            return Err(BadAddress(why));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BadAddress(expected));
        }
        if url.scheme() == "http" && !is_this_machine(&url) {
            let why = "a token over http:// would be readable by anybody on the way: use https://";
            return Err(BadAddress(why));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self {
            url,
            configured: true,
        })
    }

    /// The address, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether the administrator named it, so that it may be on a private network.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.configured
    }

    /// Whether it is on this machine, where no proxy is asked.
    #[must_use]
    pub fn is_this_machine(&self) -> bool {
        is_this_machine(&self.url)
    }

    /// The address of something below it; every part is one segment, whatever it holds.
    #[must_use]
    pub fn at(&self, parts: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(parts);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Whether this is below it.
    #[must_use]
    pub fn covers(&self, url: &Url) -> bool {
        let base = self.url.path().trim_end_matches('/');
        let below = url
            .path()
            .strip_prefix(base)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        url.origin() == self.url.origin()
            && url.username().is_empty()
            && url.password().is_none()
            && below
    }

    /// What is done about a redirect from `from` to `location`.
    #[must_use]
    pub fn redirect(&self, from: &Url, location: &str) -> Redirect {
        let Ok(to) = from.join(location) else {
            return Redirect::Refuse("a redirect without a usable address");
        };
        if self.covers(&to) {
            Redirect::Follow(to)
        } else if to.origin() == self.url.origin() {
            Redirect::Refuse("a redirect that leaves the API")
        } else {
            Redirect::Refuse("a redirect to another host, which gets no credential")
        }
    }
}

/// Whether an address is one of the public Internet. Anything that is reserved for a machine, a
/// site or a provider is not.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_broadcast()
                || address.is_documentation()
                || address.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b)))
        }
        IpAddr::V6(address) => {
            let [first, second, ..] = address.segments();
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                || (first == 0x2001 && second == 0xdb8)
                || (first == 0x64 && second == 0xff9b))
        }
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_https_or_this_machine_and_hold_no_credential() {
        for good in [
            "https://api.github.com",
            "https://api.github.com/",
            "https://github.example/api/v3/",
            "http://127.0.0.1:8080/api/v1",
            "http://[::1]:1",
            "http://localhost:3000/api/v1",
            "https://10.0.0.5/api/v1",
        ] {
            let api = ApiAddress::configured(good).unwrap();
            assert!(api.is_configured(), "{good}");
            assert!(!api.at(&["repos"], &[]).as_str().contains("//repos"));
        }
        for bad in [
            "",
            "api.github.com",
            "ftp://x/y",
            "http://forge.example/api/v1",
            "http://10.0.0.5",
            "https://token@x",
            "https://u:p@x",
            "https://x/?a=b",
            "https://x/#y",
            "file:///etc/passwd",
        ] {
            assert!(ApiAddress::configured(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_part_is_one_segment_whatever_it_holds() {
        let api = ApiAddress::configured("https://x/api/v1").unwrap();
        let url = api.at(
            &["repos", "a", "b", "branches", "f/../../x?y#z"],
            &[("q", "1 &2")],
        );
        assert_eq!(
            url.as_str(),
            "https://x/api/v1/repos/a/b/branches/f%2F..%2F..%2Fx%3Fy%23z?q=1+%262"
        );
        assert!(api.covers(&url));
    }

    /// Every way to leave, and the ways to stay as the control.
    #[test]
    fn e10_redirects_stay_below_the_api_or_are_refused() {
        let api = ApiAddress::configured("https://forge.example/api/v1").unwrap();
        let from = api.at(&["repos", "a", "b"], &[]);
        for stays in [
            "https://forge.example/api/v1/repositories/7",
            "/api/v1/repositories/7/pulls?page=2",
            "https://forge.example:443/api/v1/x",
            "//forge.example/api/v1/x",
            "c",
        ] {
            let decided = api.redirect(&from, stays);
            assert!(
                matches!(decided, Redirect::Follow(_)),
                "{stays}: {decided:?}"
            );
        }
        for leaves in [
            "https://evil.example/api/v1/x",
            "https://forge.example.evil.example/api/v1/x",
            "https://forge.example@evil.example/api/v1/x",
            "https://user:pass@forge.example/api/v1/x",
            "http://forge.example/api/v1/x",
            "https://forge.example:444/api/v1/x",
            "https://forge.example/login",
            "https://forge.example/api/v11/x",
            "https://forge.example/api/v1/../../login",
            "//evil.example/api/v1/x",
            "\\\\evil.example/x",
            "https://127.0.0.1/api/v1/x",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/api/v1",
            "file:///etc/passwd",
            "gopher://forge.example/api/v1/x",
            "javascript:alert(1)",
            "https://",
        ] {
            let decided = api.redirect(&from, leaves);
            assert!(
                matches!(decided, Redirect::Refuse(_)),
                "{leaves}: {decided:?}"
            );
        }
    }

    #[test]
    fn e10_private_and_reserved_addresses_are_not_public() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2001:db8::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "140.82.112.5",
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
