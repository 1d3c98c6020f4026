//! The environment that children get: an allow-list, so that a secret of the agent can never leak
//! through it.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// Names that are passed on when set.
const ALLOWED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "NIX_PATH",
    "NIX_SSL_CERT_FILE",
    "SSL_CERT_FILE",
    "TMPDIR",
];

/// Prefixes of names that are passed on when set.
const ALLOWED_PREFIXES: &[&str] = &["LC_", "XDG_"];

/// Only for git over ssh.
const SSH_AGENT: &str = "SSH_AUTH_SOCK";

/// The allowed part of this process's own environment.
#[must_use]
pub fn allowed() -> BTreeMap<String, String> {
    filtered(std::env::vars_os())
}

/// The allowed environment plus the ssh agent's socket, for git.
#[must_use]
pub fn allowed_for_git() -> BTreeMap<String, String> {
    let mut environment = allowed();
    if let Ok(socket) = std::env::var(SSH_AGENT) {
        environment.insert(SSH_AGENT.to_owned(), socket);
    }
    environment
}

fn filtered(all: impl Iterator<Item = (OsString, OsString)>) -> BTreeMap<String, String> {
    all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| {
            ALLOWED.contains(&name.as_str()) || ALLOWED_PREFIXES.iter().any(|p| name.starts_with(p))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c06_env_is_an_allow_list() {
        let all = [
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("XDG_STATE_HOME", "/s"),
            ("NIXFLEET_TOKEN", "secret"),
            ("LD_PRELOAD", "x"),
            ("GIT_DIR", "x"),
            ("SSH_AUTH_SOCK", "/s"),
            ("CREDENTIALS_DIRECTORY", "/c"),
        ];
        let kept = filtered(all.iter().map(|(n, v)| (n.into(), v.into())));
        let names: Vec<&str> = kept.keys().map(String::as_str).collect();
        assert_eq!(names, ["LC_ALL", "PATH", "XDG_STATE_HOME"]);
    }
}
