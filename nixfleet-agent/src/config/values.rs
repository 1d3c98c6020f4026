//! Configured values as types that cannot be wrong: parsed once, at the edge.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use url::Url;

use crate::words;

/// Why a configured value is refused; the variable's name is added by the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub String);

fn refuse<T>(text: impl Into<String>) -> Result<T, ValueError> {
    Err(ValueError(text.into()))
}

/// Where the server is, as the WebSocket address of its agent route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl(Url);

impl ServerUrl {
    /// The address with scheme `ws` or `wss`, ending in `/ws`.
    #[must_use]
    pub fn websocket(&self) -> Url {
        self.0.clone()
    }

    /// The same address with scheme `http` or `https`, for an HTTP client that upgrades.
    #[must_use]
    pub fn http(&self) -> Url {
        let mut url = self.0.clone();
        let scheme = if self.is_encrypted() { "https" } else { "http" };
        let text = url.as_str().replacen(url.scheme(), scheme, 1);
        if let Ok(parsed) = Url::parse(&text) {
            url = parsed;
        }
        url
    }

    /// Whether the connection is protected by TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "wss"
    }

    /// Whether the server is on this very machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(url::Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                name == "localhost" || name.ends_with(".localhost")
            }
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ServerUrl {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let scheme = match text.split_once("://").map(|(scheme, _)| scheme) {
            Some("http" | "ws") => "ws",
            Some("https" | "wss") => "wss",
            Some(_) | None => {
                return refuse("expected an address like https://fleet.example.org or wss://…/ws");
            }
        };
        let rest = text.split_once("://").map_or("", |(_, rest)| rest);
        let mut url = Url::parse(&format!("{scheme}://{rest}"))
            .map_err(|e| ValueError(format!("it is not an address: {e}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("it must not contain a user name or password; use NIXFLEET_TOKEN_FILE");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refuse("it must not contain '?' or '#'");
        }
        if url.host_str().is_none_or(str::is_empty) {
            return refuse("it names no host");
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if path.ends_with("/ws") {
            url.set_path(&path);
        } else {
            url.set_path(&format!("{path}/ws"));
        }
        Ok(Self(url))
    }
}

/// A branch name that git accepts and that can never be taken for an option or a revision
/// expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchName(String);

impl BranchName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for BranchName {
    fn default() -> Self {
        Self("main".to_owned())
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BranchName {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let bad_character =
            |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
        let bad_part = |part: &str| {
            part.is_empty()
                || part.starts_with('.')
                || part.ends_with('.')
                || part.ends_with(".lock")
        };
        if text.is_empty()
            || text.len() > 200
            || text.starts_with('-')
            || text == "@"
            || text == "HEAD"
            || text.contains("..")
            || text.contains("@{")
            || text.contains(bad_character)
            || text.split('/').any(bad_part)
        {
            return refuse(format!("{text:?} is not the name of a git branch"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The address of a git remote: https, http, ssh, git, file, `user@host:path` or an absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteUrl {
    text: String,
    protocol: &'static str,
}

impl RemoteUrl {
    /// The address as git takes it; it never contains a password.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Git's name of the only protocol that is needed (`protocol.<name>.allow`).
    #[must_use]
    pub const fn protocol(&self) -> &'static str {
        self.protocol
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for RemoteUrl {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        const EXPECTED: &str = "expected the address of a git repository: https://…, ssh://…, user@host:path or an absolute path";
        if text.is_empty() || text.starts_with('-') || text.contains(|c: char| c.is_control()) {
            return refuse(EXPECTED);
        }
        let protocol = if text.starts_with('/') {
            "file"
        } else if let Some((scheme, _)) = text.split_once("://") {
            match scheme {
                "https" => "https",
                "http" => "http",
                "ssh" | "git+ssh" => "ssh",
                "git" => "git",
                "file" => "file",
                _ => return refuse(EXPECTED),
            }
        } else if text.contains("::") || !is_scp_like(text) {
            return refuse(EXPECTED);
        } else {
            "ssh"
        };
        if matches!(protocol, "https" | "http") {
            let url = Url::parse(text).map_err(|e| ValueError(format!("{EXPECTED} ({e})")))?;
            if url.password().is_some() || !url.username().is_empty() {
                return refuse(
                    "it must not contain a user name, password or token; put the token into a file and set NIXFLEET_GIT_TOKEN_FILE",
                );
            }
        }
        Ok(Self {
            text: text.to_owned(),
            protocol,
        })
    }
}

/// `host:path` or `user@host:path`, where neither part can be taken for an option.
fn is_scp_like(text: &str) -> bool {
    let Some((host, path)) = text.split_once(':') else {
        return false;
    };
    let name = host.rsplit_once('@').map_or(host, |(_, name)| name);
    !path.is_empty()
        && !name.is_empty()
        && !name.starts_with('-')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']'))
}

/// A configured command: words, or the path of an executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine(Vec<String>);

impl CommandLine {
    /// The words, at least one, the first not empty.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.0
    }

    /// The words with `{name}` replaced wherever it occurs, by a value that stays within its word.
    #[must_use]
    pub fn filled(&self, values: &[(&str, &str)]) -> Vec<String> {
        self.0
            .iter()
            .map(|word| {
                values.iter().fold(word.clone(), |word, (name, value)| {
                    word.replace(&format!("{{{name}}}"), value)
                })
            })
            .collect()
    }
}

impl FromStr for CommandLine {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.starts_with('/') && Path::new(text).is_file() {
            return Ok(Self(vec![text.to_owned()]));
        }
        words::split(text)
            .map(Self)
            .map_err(|e| ValueError(format!("it is not a command: {e}")))
    }
}

/// Reads a length of time: seconds (`5`) or with units (`5s`, `1m30s`, `500ms`, `24h`).
///
/// # Errors
/// [`ValueError`] naming the accepted spellings.
pub fn duration(text: &str) -> Result<Duration, ValueError> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text).map_err(|_| {
        ValueError(format!(
            "{text:?} is not a length of time; write 5, 5s, 1m30s or 24h"
        ))
    })
}

/// Reads an absolute path.
///
/// # Errors
/// [`ValueError`] for a relative path or one with a NUL byte.
pub fn absolute_path(text: &str) -> Result<PathBuf, ValueError> {
    if text.starts_with('/') && !text.contains('\0') {
        return Ok(PathBuf::from(text));
    }
    refuse(format!("{text:?} is not an absolute path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_addresses_are_accepted_in_every_usual_spelling() {
        for (text, websocket, http) in [
            ("ws://h:8080", "ws://h:8080/ws", "http://h:8080/ws"),
            ("https://h/", "wss://h/ws", "https://h/ws"),
            ("wss://h/ws", "wss://h/ws", "https://h/ws"),
            (
                "http://[::1]:1/fleet/",
                "ws://[::1]:1/fleet/ws",
                "http://[::1]:1/fleet/ws",
            ),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!(url.websocket().as_str(), websocket, "{text}");
            assert_eq!(url.http().as_str(), http, "{text}");
        }
        for bad in [
            "",
            "h:8080",
            "ftp://h",
            "https://a:b@h",
            "https://h/?token=x",
            "https://",
        ] {
            assert!(bad.parse::<ServerUrl>().is_err(), "{bad}");
        }
        assert!(
            "ws://127.0.0.1:1"
                .parse::<ServerUrl>()
                .unwrap()
                .is_loopback()
        );
        assert!(
            !"ws://127.0.0.1.evil:1"
                .parse::<ServerUrl>()
                .unwrap()
                .is_loopback()
        );
    }

    #[test]
    fn sec08_hostile_branch_names_are_refused() {
        for bad in [
            "",
            "-u",
            "--upload-pack=x",
            "a..b",
            "a b",
            "a\nb",
            "@",
            "HEAD",
            "a@{1}",
            "a~1",
            "a^",
            "a:b",
            "x.lock",
            "a//b",
            "/a",
            "a/",
            ".a",
            "a/.b",
            "a\\b",
            "a*",
        ] {
            assert!(bad.parse::<BranchName>().is_err(), "{bad:?}");
        }
        for good in ["main", "feature/x-1", "release-25.11", "ünï"] {
            assert!(good.parse::<BranchName>().is_ok(), "{good}");
        }
    }

    #[test]
    fn sec08_remotes_cannot_name_a_helper_or_carry_a_secret() {
        for bad in [
            "",
            "-x",
            "ext::sh -c id",
            "--upload-pack=x",
            "relative/path",
            "-oProxyCommand=x:y",
            "a@-oProxyCommand=x:y",
            "https://token@github.com/a/b",
            "https://a:b@h/x",
            "a\nb:c",
        ] {
            assert!(bad.parse::<RemoteUrl>().is_err(), "{bad:?}");
        }
        for (good, protocol) in [
            ("https://github.com/a/b.git", "https"),
            ("git@github.com:a/b", "ssh"),
            ("ssh://git@h:22/a", "ssh"),
            ("/srv/config.git", "file"),
            ("file:///srv/config.git", "file"),
        ] {
            assert_eq!(good.parse::<RemoteUrl>().unwrap().protocol(), protocol);
        }
    }

    #[test]
    fn durations_are_read_as_existing_installations_write_them() {
        for (text, seconds) in [
            ("5", 5),
            ("5s", 5),
            ("1m", 60),
            ("1m30s", 90),
            ("24h", 86_400),
        ] {
            assert_eq!(duration(text).unwrap().as_secs(), seconds);
        }
        assert!(duration("soon").is_err() && duration("-1").is_err());
    }

    #[test]
    fn placeholders_stay_within_their_word() {
        let line: CommandLine = "switch --flake {repo}#{host} '{'".parse().unwrap();
        let words = line.filled(&[("repo", "/a b"), ("host", "$(id)")]);
        assert_eq!(words, ["switch", "--flake", "/a b#$(id)", "{"]);
    }
}
