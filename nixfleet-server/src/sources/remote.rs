//! Where a repository is and which branch is tracked, checked once when the configuration is read.
//!
//! Both reach the command line of git, so nothing that could be taken for an option or for a
//! command gets past here, and credentials are taken out of the URL before anything else sees it.

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

/// Why a configured remote or branch cannot be used. The text says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RemoteError(String);

impl RemoteError {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

fn refuse<T>(why: impl Into<String>) -> Result<T, RemoteError> {
    Err(RemoteError(why.into()))
}

/// A git remote without its credentials, and its credentials apart.
#[derive(Clone)]
pub struct Remote {
    address: String,
    transport: Transport,
    credential: Option<SecretString>,
}

/// How git reaches a remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A repository on this machine.
    Local(PathBuf),
    /// `https://`, or `http://` (with credentials only to this machine).
    Http,
    /// `ssh://` or `user@host:path`.
    Ssh,
    /// `git://`.
    Git,
}

impl Remote {
    /// Reads a URL, `user@host:path`, or a local path.
    ///
    /// # Errors
    /// [`RemoteError`] if the address could run a command, would send a credential in the clear,
    /// or is of a kind that is not supported.
    pub fn parse(text: &str) -> Result<Self, RemoteError> {
        if text.is_empty() || text.len() > 2048 {
            return refuse("the repository address must have 1 to 2048 characters");
        }
        if text.chars().any(char::is_control) || text.starts_with('-') {
            return refuse(
                "the repository address must not start with '-' or hold control characters",
            );
        }
        if text.contains("://") {
            return Self::from_url(text);
        }
        let head = text.split('/').next().unwrap_or_default();
        if head.contains("::") {
            return refuse(
                "transport helpers like ext:: are not supported: use https, ssh or a path",
            );
        }
        match head.split_once(':') {
            Some((host, _)) => Self::from_scp_form(text, host),
            None => Self::local(PathBuf::from(text)),
        }
    }

    fn from_url(text: &str) -> Result<Self, RemoteError> {
        let Ok(mut url) = Url::parse(text) else {
            return refuse("the repository address is not a valid URL");
        };
        if url.scheme() == "file" {
            return match url.to_file_path() {
                Ok(path) => Self::local(path),
                Err(()) => refuse("a file:// address needs an absolute path and no host"),
            };
        }
        if url
            .host_str()
            .is_none_or(|host| host.is_empty() || host.starts_with('-'))
            || url.path().starts_with("/-")
        {
            return refuse("the repository address names no usable host and path");
        }
        let (transport, credential) = match url.scheme() {
            "https" => (Transport::Http, take_credential(&mut url)?),
            "http" => {
                refuse_in_the_clear(&url)?;
                (Transport::Http, take_credential(&mut url)?)
            }
            "ssh" if url.password().is_some() => {
                return refuse("ssh takes no password from the address: use a key");
            }
            "ssh" if url.username().starts_with('-') => {
                return refuse("the user of an ssh address must not start with '-'");
            }
            "ssh" => (Transport::Ssh, None),
            "git" if has_userinfo(&url) => {
                return refuse("git:// takes no credentials: use https:// or ssh://");
            }
            "git" => (Transport::Git, None),
            other => {
                return refuse(format!(
                    "{other}:// is not supported: use https, ssh, git, file or a path"
                ));
            }
        };
        Ok(Self {
            address: url.to_string(),
            transport,
            credential,
        })
    }

    fn from_scp_form(text: &str, user_and_host: &str) -> Result<Self, RemoteError> {
        let path = text.get(user_and_host.len() + 1..).unwrap_or_default();
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('-')
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        if !user_and_host.split('@').all(plain)
            || user_and_host.split('@').count() > 2
            || path.is_empty()
            || path.starts_with('-')
        {
            return refuse("expected user@host:path, an URL, or a path (a relative one with ./)");
        }
        Ok(Self {
            address: text.to_owned(),
            transport: Transport::Ssh,
            credential: None,
        })
    }

    fn local(path: PathBuf) -> Result<Self, RemoteError> {
        let Ok(path) = std::path::absolute(path) else {
            return refuse("the repository path cannot be made absolute");
        };
        let Some(address) = path.to_str().map(str::to_owned) else {
            return refuse("the repository path is not UTF-8");
        };
        Ok(Self {
            address,
            transport: Transport::Local(path),
            credential: None,
        })
    }

    /// The address for git's command line; holds no credential.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How git reaches it.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The line for git's credential store (`https://user:password@host`), if there is one.
    #[must_use]
    pub fn credential_line(&self) -> Option<&SecretString> {
        self.credential.as_ref()
    }

    /// The address for people: without credentials, query and fragment.
    #[must_use]
    pub fn shown(&self) -> String {
        let end = self.address.find(['?', '#']);
        match (&self.transport, end) {
            (Transport::Local(_), _) | (_, None) => self.address.clone(),
            (_, Some(end)) => self.address.get(..end).unwrap_or_default().to_owned(),
        }
    }

    /// `text` with every part of the credential blacked out.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let Some(line) = &self.credential else {
            return text.to_owned();
        };
        let userinfo = line
            .expose_secret()
            .split_once("://")
            .and_then(|(_, rest)| rest.rsplit_once('@'))
            .map_or("", |(userinfo, _)| userinfo);
        userinfo
            .split(':')
            .filter(|part| part.len() >= 4)
            .fold(text.to_owned(), |text, part| text.replace(part, "***"))
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({})", self.shown())
    }
}

/// The address of a published page.
pub(super) fn page(text: &str) -> Result<Url, RemoteError> {
    let Ok(url) = Url::parse(text) else {
        return refuse("the address of version.json is not a valid URL");
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" => {
            refuse_in_the_clear(&url)?;
            Ok(url)
        }
        other => refuse(format!(
            "{other}:// is not supported for version.json: use https"
        )),
    }
}

/// Refuses credentials over plain http, except to this very machine.
fn refuse_in_the_clear(url: &Url) -> Result<(), RemoteError> {
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if has_userinfo(url) && !here {
        return refuse(
            "credentials over http:// would be readable by anybody on the way: use https://",
        );
    }
    Ok(())
}

fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Moves user and password out of the URL. A lone user name is a token: the password is then
/// empty, which forges accept, and git never asks.
fn take_credential(url: &mut Url) -> Result<Option<SecretString>, RemoteError> {
    if !has_userinfo(url) {
        return Ok(None);
    }
    let host = url.host_str().unwrap_or_default();
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let line = format!(
        "{}://{}:{}@{host}{port}",
        url.scheme(),
        url.username(),
        url.password().unwrap_or_default(),
    );
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return refuse("the credentials in the repository address cannot be separated from it");
    }
    Ok(Some(SecretString::from(line)))
}

/// The name of a branch, by the rules of `git check-ref-format --branch`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Branch(String);

impl Branch {
    /// Checks a branch name.
    ///
    /// # Errors
    /// [`RemoteError`] if git would refuse the name or could mistake it for something else.
    pub fn parse(text: &str) -> Result<Self, RemoteError> {
        let forbidden =
            |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
        let component =
            |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
        if text.len() > 200
            || text.starts_with('-')
            || text.ends_with('.')
            || text == "@"
            || text.contains("..")
            || text.contains("@{")
            || text.contains(forbidden)
            || !text.split('/').all(component)
        {
            return refuse(format!("{text:?} is not a valid branch name"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name, for people.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The full reference, which no option can be mistaken for.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_leave_the_address_and_are_never_shown() {
        let remote = Remote::parse("https://me:s3cret%40x@forge.example:8443/a/b.git?x=1").unwrap();
        assert_eq!(remote.address(), "https://forge.example:8443/a/b.git?x=1");
        assert_eq!(remote.shown(), "https://forge.example:8443/a/b.git");
        assert!(!format!("{remote:?}").contains("s3cret"));
        let line = remote.credential_line().unwrap().expose_secret();
        assert_eq!(line, "https://me:s3cret%40x@forge.example:8443");
        assert_eq!(remote.redact("bad s3cret%40x here"), "bad *** here");

        let token = Remote::parse("https://ghp_abcdef@forge.example/a").unwrap();
        assert_eq!(
            token.credential_line().unwrap().expose_secret(),
            "https://ghp_abcdef:@forge.example"
        );
        assert_eq!(token.redact("ghp_abcdef"), "***");
    }

    #[test]
    fn addresses_that_could_run_something_or_leak_are_refused() {
        for bad in [
            "",
            "--upload-pack=touch /tmp/x",
            "ext::sh -c id",
            "fd::3",
            "http://user:pass@host/x",
            "ssh://user:pass@host/x",
            "ssh://-oProxyCommand=id/x",
            "ssh://-oX@host/x",
            "git://user@host/x",
            "-oProxyCommand=id:x",
            "a@-host:x",
            "a@b@c:x",
            "host:-x",
            "https://host/-x",
            "ftp://host/x",
            "javascript://host/x",
            "https://host/a\nb",
            "file://elsewhere/x",
        ] {
            assert!(Remote::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn usual_addresses_are_accepted() {
        for (text, transport) in [
            ("https://forge.example/a/b", Transport::Http),
            ("http://forge.example/a/b", Transport::Http),
            ("ssh://git@forge.example:22/a/b", Transport::Ssh),
            ("git@forge.example:a/b.git", Transport::Ssh),
            ("forge.example:a/b.git", Transport::Ssh),
            ("git://forge.example/a", Transport::Git),
            ("/srv/a b", Transport::Local("/srv/a b".into())),
            ("file:///srv/x", Transport::Local("/srv/x".into())),
        ] {
            assert_eq!(
                Remote::parse(text).unwrap().transport(),
                &transport,
                "{text}"
            );
        }
        assert!(Remote::parse("./repo").unwrap().address().starts_with('/'));
    }

    #[test]
    fn branch_names_follow_git() {
        for good in ["main", "a/b", "release-1.2", "ü", "@a", "a@b"] {
            assert!(Branch::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-x",
            "--upload-pack=x",
            "a..b",
            "a b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "@",
            "a@{1}",
            "a:b",
            "a~1",
            "a^",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "a.",
            "a\nb",
        ] {
            assert!(Branch::parse(bad).is_err(), "{bad:?}");
        }
    }
}
