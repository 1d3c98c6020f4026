//! What git's messages mean: whose fault a failure is, and in which words it is told.

use nixfleet_core::desired::{RemoteCause, Unavailable};

use super::command::RunError;
use crate::sources::remote::Remote;

/// Why the mirror could not be brought up to date or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The remote, the network or this machine is to blame; the mirror is fine.
    Remote(Unavailable),
    /// Data is damaged, here or there: a new copy tells which.
    Damaged(Unavailable),
    /// The remote uses the other hash algorithm than the mirror.
    OtherHash,
}

impl Trouble {
    pub fn remote(cause: RemoteCause, detail: impl AsRef<str>) -> Self {
        Trouble::Remote(Unavailable::new(cause, detail))
    }

    pub fn damaged(detail: impl AsRef<str>) -> Self {
        Trouble::Damaged(Unavailable::new(RemoteCause::Malformed, detail))
    }

    /// Whether trying again at once may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Trouble::Remote(why) => why.cause.is_transient(),
            Trouble::Damaged(_) | Trouble::OtherHash => false,
        }
    }

    /// The reason for people, when nothing more can be done about it.
    pub fn into_unavailable(self) -> Unavailable {
        match self {
            Trouble::Remote(why) | Trouble::Damaged(why) => why,
            Trouble::OtherHash => Unavailable::new(
                RemoteCause::Malformed,
                "the repository changed its hash algorithm",
            ),
        }
    }
}

impl From<RunError> for Trouble {
    fn from(error: RunError) -> Self {
        let cause = match error {
            RunError::Start(_) => RemoteCause::GitMissing,
            RunError::TooSlow(_) => RemoteCause::TimedOut,
            RunError::TooMuch(_) => RemoteCause::Malformed,
            RunError::Pipe(_) => RemoteCause::MirrorFailed,
        };
        Trouble::remote(cause, error.to_string())
    }
}

/// What a message of git points to.
#[derive(Clone, Copy)]
enum Sign {
    Cause(RemoteCause),
    Damage,
    OtherHash,
}

/// Parts of messages (in lower case) and what they point to; the first that is found decides.
#[rustfmt::skip]
const SIGNS: &[(&str, Sign)] = &[
    ("mismatched algorithms",                  Sign::OtherHash),
    ("no space left on device",                Sign::Cause(RemoteCause::MirrorFailed)),
    ("disk quota exceeded",                    Sign::Cause(RemoteCause::MirrorFailed)),
    ("read-only file system",                  Sign::Cause(RemoteCause::MirrorFailed)),
    ("insufficient permission for adding",     Sign::Cause(RemoteCause::MirrorFailed)),
    ("authentication failed",                  Sign::Cause(RemoteCause::AccessDenied)),
    ("could not read username",                Sign::Cause(RemoteCause::AccessDenied)),
    ("could not read password",                Sign::Cause(RemoteCause::AccessDenied)),
    ("terminal prompts disabled",              Sign::Cause(RemoteCause::AccessDenied)),
    ("permission denied",                      Sign::Cause(RemoteCause::AccessDenied)),
    ("host key verification failed",           Sign::Cause(RemoteCause::AccessDenied)),
    ("dubious ownership",                      Sign::Cause(RemoteCause::AccessDenied)),
    ("access denied or repository not export", Sign::Cause(RemoteCause::NotFound)),
    ("access denied",                          Sign::Cause(RemoteCause::AccessDenied)),
    ("' not found",                            Sign::Cause(RemoteCause::NotFound)),
    ("repository not found",                   Sign::Cause(RemoteCause::NotFound)),
    ("does not appear to be a git repository", Sign::Cause(RemoteCause::NotFound)),
    ("not valid: is this a git repository",    Sign::Cause(RemoteCause::NotFound)),
    ("could not be found",                     Sign::Cause(RemoteCause::NotFound)),
    ("timed out",                              Sign::Cause(RemoteCause::TimedOut)),
    ("operation too slow",                     Sign::Cause(RemoteCause::TimedOut)),
    ("could not resolve",                      Sign::Cause(RemoteCause::Unreachable)),
    ("unable to look up",                      Sign::Cause(RemoteCause::Unreachable)),
    ("connection refused",                     Sign::Cause(RemoteCause::Unreachable)),
    ("connection reset",                       Sign::Cause(RemoteCause::Unreachable)),
    ("failed to connect",                      Sign::Cause(RemoteCause::Unreachable)),
    ("couldn't connect",                       Sign::Cause(RemoteCause::Unreachable)),
    ("unreachable",                            Sign::Cause(RemoteCause::Unreachable)),
    ("no route to host",                       Sign::Cause(RemoteCause::Unreachable)),
    ("certificate",                            Sign::Cause(RemoteCause::Unreachable)),
    ("fsck error",                             Sign::Damage),
    ("bad object",                             Sign::Damage),
    ("bad pack",                               Sign::Damage),
    ("necessary objects",                      Sign::Damage),
    ("index-pack failed",                      Sign::Damage),
    ("unpack-objects failed",                  Sign::Damage),
    ("upload-pack: not our ref",               Sign::Damage),
    ("corrupt",                                Sign::Damage),
    ("unable to read",                         Sign::Damage),
    ("could not read ",                        Sign::Damage),
    ("could not parse",                        Sign::Damage),
    ("is empty",                               Sign::Damage),
    ("inflate",                                Sign::Damage),
    ("missing blob",                           Sign::Damage),
    ("missing tree",                           Sign::Damage),
    ("missing commit",                         Sign::Damage),
    ("broken ref",                             Sign::Damage),
    ("unexpected line in",                     Sign::Damage),
    ("cannot lock ref",                        Sign::Damage),
    ("bad signature",                          Sign::Damage),
];

/// Why our own copy cannot be written, although nothing is wrong with it.
const FULL_OR_FORBIDDEN: &[&str] = &[
    "no space left",
    "quota exceeded",
    "read-only file system",
    "permission denied",
];

/// Lines that say nothing about the cause.
const NOISE: &[&str] = &[
    "fatal: could not read from remote repository",
    "please make sure you have",
    "and the repository exists",
    "from ",
    "hint:",
    "to add an exception",
];

/// The meaning of the messages of a git that failed; `mirror` is where our own copy is.
pub(super) fn explain(messages: &str, remote: &Remote, mirror: &str) -> Trouble {
    let lower = messages.to_lowercase();
    let detail = detail(messages, remote);
    if let Some(sign) = sign_of_mirror(&lower, &mirror.to_lowercase()) {
        return sign.into_trouble(detail);
    }
    if let Some(status) = http_status(&lower) {
        return Trouble::remote(RemoteCause::of_http_status(status), detail);
    }
    let found = SIGNS.iter().find(|(part, _)| lower.contains(part));
    let unknown = Sign::Cause(RemoteCause::Unreachable);
    found
        .map_or(unknown, |(_, sign)| *sign)
        .into_trouble(detail)
}

/// Complaints that name our own copy are about it, not about the remote.
fn sign_of_mirror(lower: &str, mirror: &str) -> Option<Sign> {
    let line = lower.lines().find(|line| line.contains(mirror))?;
    let failed = FULL_OR_FORBIDDEN.iter().any(|part| line.contains(part));
    Some(if failed {
        Sign::Cause(RemoteCause::MirrorFailed)
    } else {
        Sign::Damage
    })
}

impl Sign {
    fn into_trouble(self, detail: String) -> Trouble {
        match self {
            Sign::Cause(cause) => Trouble::remote(cause, detail),
            Sign::Damage => Trouble::damaged(detail),
            Sign::OtherHash => Trouble::OtherHash,
        }
    }
}

/// The number in curl's "The requested URL returned error: 503".
fn http_status(lower: &str) -> Option<u16> {
    let (_, after) = lower.split_once("returned error: ")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits
        .parse()
        .ok()
        .filter(|status| (100..600).contains(status))
}

/// The lines that matter, on one line, without credentials.
fn detail(messages: &str, remote: &Remote) -> String {
    let matters = |line: &&str| {
        let lower = line.to_lowercase();
        let progress = line.contains("% (") || line.ends_with(", done.");
        let reference = line.contains(" -> ");
        !line.is_empty()
            && !progress
            && !reference
            && !NOISE.iter().any(|noise| lower.starts_with(noise))
    };
    let lines: Vec<&str> = messages
        .split(['\n', '\r'])
        .map(str::trim)
        .filter(matters)
        .collect();
    remote.redact(&lines.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_git_have_a_cause() {
        let remote = Remote::parse("https://x:tokentoken@forge.example/a").unwrap();
        for (message, cause) in [
            (
                "fatal: unable to access 'https://h/': Could not resolve host: h",
                RemoteCause::Unreachable,
            ),
            (
                "fatal: unable to access 'https://h/': The requested URL returned error: 503",
                RemoteCause::HttpStatus(503),
            ),
            (
                "fatal: unable to access 'https://h/': The requested URL returned error: 403",
                RemoteCause::AccessDenied,
            ),
            (
                "remote: Repository not found.\nfatal: repository 'https://h/' not found",
                RemoteCause::NotFound,
            ),
            (
                "fatal: could not read Username for 'https://h': terminal prompts disabled",
                RemoteCause::AccessDenied,
            ),
            (
                "git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.",
                RemoteCause::AccessDenied,
            ),
            (
                "fatal: '/x' does not appear to be a git repository",
                RemoteCause::NotFound,
            ),
            (
                "fatal: unable to connect to h:\nh[0: 1.2.3.4]: errno=Connection timed out",
                RemoteCause::TimedOut,
            ),
            (
                "error: file write error: No space left on device",
                RemoteCause::MirrorFailed,
            ),
            ("something nobody has seen before", RemoteCause::Unreachable),
        ] {
            let why = explain(message, &remote, "/data/repo.git").into_unavailable();
            assert_eq!(why.cause, cause, "{message}");
            assert!(!why.detail.is_empty());
        }
        assert_eq!(
            explain(
                "fatal: mismatched algorithms: client sha1; server sha256",
                &remote,
                "/data/repo.git"
            ),
            Trouble::OtherHash
        );
        assert!(matches!(
            explain("fatal: bad object HEAD", &remote, "/data/repo.git"),
            Trouble::Damaged(_)
        ));
    }

    #[test]
    fn details_hold_no_progress_and_no_credential() {
        let remote = Remote::parse("https://x:tokentoken@forge.example/a").unwrap();
        let text = "remote: Counting objects:  50% (1/2)\rremote: Counting objects: 100% (2/2), done.\n\
                    From https://h\n * [new branch] main -> main\nfatal: bad tokentoken here\n";
        assert_eq!(detail(text, &remote), "fatal: bad *** here");
    }
}
