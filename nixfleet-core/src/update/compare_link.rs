//! Where people can read what changed between two revisions of an input.
//!
//! Owners, names and hosts come from a pull request, so only plain ones become part of a link.

use crate::lock::{InputKind, Source};

/// Hosts whose repositories, given by URL, have a page for comparisons, and how its path begins
/// behind the repository.
const BY_URL: [(&str, &str); 3] = [
    ("github.com", "compare"),
    ("codeberg.org", "compare"),
    ("gitlab.com", "-/compare"),
];

/// A link that compares two revisions of the same repository; `None` if its forge is not known, or
/// anything about it is unusual.
#[must_use]
pub fn compare_link(old: &Source, new: &Source) -> Option<String> {
    let range = format!("{}...{}", revision(old)?, revision(new)?);
    if old.kind() != new.kind() || old.url() != new.url() {
        return None;
    }
    let (host, path, page) = match new.kind() {
        InputKind::Github => {
            let host = new.host().unwrap_or("github.com");
            (host, repository(new)?, "compare")
        }
        InputKind::Gitlab => {
            let host = new.host().unwrap_or("gitlab.com");
            (host, repository(new)?, "-/compare")
        }
        InputKind::Git => {
            let (host, path) = new.url()?.strip_prefix("https://")?.split_once('/')?;
            let (_, page) = BY_URL.iter().find(|(known, _)| *known == host)?;
            let path = path.split_once('?').map_or(path, |(path, _)| path);
            (host, path.trim_end_matches(".git").to_owned(), *page)
        }
        InputKind::Sourcehut
        | InputKind::Mercurial
        | InputKind::Path
        | InputKind::Tarball
        | InputKind::File
        | InputKind::Indirect
        | InputKind::Other(_) => return None,
    };
    let plain_path = path.split('/').count() >= 2 && path.split('/').all(is_plain);
    (plain_path && is_plain(host)).then(|| format!("https://{host}/{path}/{page}/{range}"))
}

/// `owner/name`; an owner may be a path in which slashes are encoded.
fn repository(source: &Source) -> Option<String> {
    let owner = source.owner()?.replace("%2F", "/").replace("%2f", "/");
    Some(format!("{owner}/{}", source.repo()?))
}

fn revision(source: &Source) -> Option<&str> {
    source
        .rev()
        .filter(|rev| matches!(rev.len(), 40 | 64) && rev.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_plain(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && part
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::FlakeLock;

    fn link(locked: &str) -> Option<String> {
        let lock = |rev: char| {
            let rev = rev.to_string().repeat(40);
            let text = format!(
                r#"{{"version": 7, "root": "root", "nodes": {{"root": {{"inputs": {{"i": "i"}}}},
                "i": {{"locked": {{{locked}, "rev": "{rev}"}}, "original": {{{locked}}}}}}}}}"#
            );
            FlakeLock::parse(text.as_bytes()).unwrap()
        };
        let (old, new) = (lock('a'), lock('b'));
        let source = |lock: &FlakeLock| lock.input(&["i"]).unwrap().node.locked().unwrap().clone();
        compare_link(&source(&old), &source(&new))
    }

    #[test]
    fn known_forges_have_a_page_and_hostile_names_have_none() {
        let range = format!("{}...{}", "a".repeat(40), "b".repeat(40));
        let cases = [
            (
                r#""type": "github", "owner": "NixOS", "repo": "nixpkgs""#,
                Some("https://github.com/NixOS/nixpkgs/compare/"),
            ),
            (
                r#""type": "gitlab", "owner": "a%2Fb", "repo": "c", "host": "git.example.org""#,
                Some("https://git.example.org/a/b/c/-/compare/"),
            ),
            (
                r#""type": "git", "url": "https://codeberg.org/a/b.git""#,
                Some("https://codeberg.org/a/b/compare/"),
            ),
            (r#""type": "git", "url": "https://example.org/a/b""#, None),
            (r#""type": "git", "url": "ssh://git@github.com/a/b""#, None),
            (r#""type": "github", "owner": "..", "repo": "b""#, None),
            (r#""type": "github", "owner": "a?x", "repo": "b""#, None),
            (
                r#""type": "github", "owner": "a", "repo": "b", "host": "x@evil.example""#,
                None,
            ),
            (r#""type": "path", "path": "/srv/a""#, None),
        ];
        for (locked, expected) in cases {
            let expected = expected.map(|start| format!("{start}{range}"));
            assert_eq!(link(locked), expected, "{locked}");
        }
    }
}
