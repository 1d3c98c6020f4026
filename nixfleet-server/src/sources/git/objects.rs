//! Reads single objects out of the mirror with `git cat-file --batch`.

use nixfleet_core::desired::{RemoteCause, Unavailable};
use nixfleet_core::{CommitId, Timestamp};

use super::command::Bounds;
use super::mirror::Mirror;
use super::trouble::Trouble;

/// The largest `flake.lock` that is read. Real ones have a hundredth of that.
pub(super) const MAX_LOCK_BYTES: usize = 8 << 20;
/// The most text kept of the first line of a commit message.
const MAX_SUBJECT: usize = 200;

/// One answer of `cat-file --batch`.
#[derive(Debug, PartialEq, Eq)]
enum Object {
    Found {
        kind: String,
        content: Vec<u8>,
    },
    /// There is no such object, or no such path in it.
    Missing,
    /// The path is a symbolic link that does not lead to a file of the same commit.
    BadLink,
}

/// What a commit says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommitText {
    pub subject: Option<String>,
    pub time: Option<Timestamp>,
}

/// The text of a commit, and the bytes of `flake.lock` at it, both read by the commit's id.
pub(super) async fn commit_and_lock(
    mirror: &Mirror,
    commit: CommitId,
) -> Result<(CommitText, Result<Vec<u8>, Unavailable>), Trouble> {
    let requests = [commit.to_string(), format!("{commit}:flake.lock")];
    let bounds = Bounds {
        output: 2 * MAX_LOCK_BYTES,
        ..mirror.quick()
    };
    let mut objects = batch(mirror, &requests, bounds).await?.into_iter();
    let text = match objects.next() {
        Some(Object::Found { kind, content }) if kind == "commit" => parse_commit(&content),
        Some(_) | None => return Err(Trouble::damaged(format!("commit {commit} is missing"))),
    };
    let lock = match objects.next() {
        Some(Object::Found { kind, content }) if kind == "blob" => {
            if content.len() > MAX_LOCK_BYTES {
                let detail = format!("flake.lock has {} bytes", content.len());
                return Err(Trouble::remote(RemoteCause::Malformed, detail));
            }
            Ok(content)
        }
        Some(Object::Found { kind, .. }) => {
            let detail = format!("flake.lock is a {kind}, not a file");
            return Err(Trouble::remote(RemoteCause::Malformed, detail));
        }
        Some(Object::BadLink) => {
            let detail = "flake.lock is a symbolic link that leads out of the repository";
            return Err(Trouble::remote(RemoteCause::Malformed, detail));
        }
        Some(Object::Missing) => Err(absent(mirror, commit).await?),
        None => return Err(Trouble::damaged("git did not answer about flake.lock")),
    };
    Ok((text, lock))
}

/// The contents of `flake.lock` at each commit; `None` where there is no such file.
pub(super) async fn locks(
    mirror: &Mirror,
    commits: &[CommitId],
    bounds: Bounds,
) -> Result<Vec<Option<Vec<u8>>>, Trouble> {
    let requests: Vec<String> = commits
        .iter()
        .map(|commit| format!("{commit}:flake.lock"))
        .collect();
    let objects = batch(mirror, &requests, bounds).await?;
    Ok(objects
        .into_iter()
        .map(|object| match object {
            Object::Found { kind, content } if kind == "blob" => Some(content),
            Object::Found { .. } | Object::Missing | Object::BadLink => None,
        })
        .collect())
}

/// Tells a `flake.lock` that was never committed from one whose content got lost: git answers
/// "missing" in both cases.
async fn absent(mirror: &Mirror, commit: CommitId) -> Result<Unavailable, Trouble> {
    let id = commit.to_string();
    let arguments = ["ls-tree", "--full-tree", &id, "flake.lock"];
    let listed = mirror.read(&arguments, None, mirror.quick()).await?;
    if !listed.is_empty() {
        return Err(Trouble::damaged(format!(
            "the content of flake.lock at {commit} is missing"
        )));
    }
    Ok(Unavailable::new(
        RemoteCause::LockMissing,
        format!("there is no flake.lock at {}", commit.short()),
    ))
}

async fn batch(
    mirror: &Mirror,
    requests: &[String],
    bounds: Bounds,
) -> Result<Vec<Object>, Trouble> {
    let mut input = requests.join("\n");
    input.push('\n');
    let arguments = ["cat-file", "--batch", "--follow-symlinks"];
    let output = mirror
        .read(&arguments, Some(input.into_bytes()), bounds)
        .await?;
    let objects = parse_batch(&output);
    match objects {
        Some(objects) if objects.len() == requests.len() => Ok(objects),
        Some(_) | None => Err(Trouble::damaged("git's answers do not fit the questions")),
    }
}

fn parse_batch(mut output: &[u8]) -> Option<Vec<Object>> {
    let mut objects = Vec::new();
    while !output.is_empty() {
        let end = output.iter().position(|&byte| byte == b'\n')?;
        let (head, rest) = output.split_at(end);
        let head = String::from_utf8_lossy(head);
        output = rest.get(1..)?;
        if head.ends_with(" missing") || head.ends_with(" ambiguous") {
            objects.push(Object::Missing);
            continue;
        }
        let mut words = head.split(' ');
        let (first, second, third) = (words.next()?, words.next()?, words.next());
        let size: usize = third.unwrap_or(second).parse().ok()?;
        let content = output.get(..size)?;
        output = output.get(size..)?.strip_prefix(b"\n")?;
        objects.push(match third {
            Some(_) => Object::Found {
                kind: second.to_owned(),
                content: content.to_vec(),
            },
            None if matches!(first, "dangling" | "loop" | "notdir" | "symlink") => Object::BadLink,
            None => return None,
        });
    }
    Some(objects)
}

fn parse_commit(content: &[u8]) -> CommitText {
    let split = content.windows(2).position(|pair| pair == b"\n\n");
    let (head, message) = content.split_at(split.unwrap_or(content.len()));
    let head = String::from_utf8_lossy(head);
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
    let time = field("committer ")
        .and_then(|line| line.rsplit(' ').nth(1))
        .and_then(|seconds| seconds.parse().ok())
        .map(Timestamp::from_seconds);
    let latin1 = field("encoding ").is_some_and(|name| {
        matches!(
            name.to_ascii_lowercase().as_str(),
            "iso-8859-1" | "iso8859-1" | "latin1" | "latin-1"
        )
    });
    let message: String = if latin1 {
        message.iter().map(|&byte| char::from(byte)).collect()
    } else {
        String::from_utf8_lossy(message).into_owned()
    };
    let subject: String = message
        .trim_start()
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_SUBJECT)
        .collect();
    let subject = subject.trim();
    CommitText {
        subject: (!subject.is_empty()).then(|| subject.to_owned()),
        time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_cat_file_are_told_apart() {
        let output = b"aa blob 3\na\nb\nbb:flake.lock missing\ndangling 2\nxy\ncc commit 0\n\n";
        let objects = parse_batch(output).unwrap();
        assert_eq!(
            objects,
            [
                Object::Found {
                    kind: "blob".into(),
                    content: b"a\nb".to_vec()
                },
                Object::Missing,
                Object::BadLink,
                Object::Found {
                    kind: "commit".into(),
                    content: Vec::new()
                },
            ]
        );
        for cut in [
            &output[..9],
            b"aa blob 9\nabc\n",
            b"aa blob x\n",
            b"nonsense\n",
        ] {
            assert_eq!(parse_batch(cut), None);
        }
    }

    #[test]
    fn commits_in_any_encoding_have_a_subject() {
        let text = parse_commit(
            b"tree x\ncommitter A B <a@b> 1700000000 +0100\n\nf\xffirst\tline\nmore\n",
        );
        assert_eq!(text.subject.as_deref(), Some("f\u{fffd}irst line"));
        assert_eq!(text.time, Some(Timestamp::from_seconds(1_700_000_000)));
        let latin = parse_commit(b"committer A <a> 1 +0000\nencoding ISO-8859-1\n\nf\xfcr\n");
        assert_eq!(latin.subject.as_deref(), Some("f\u{fc}r"));
        let empty = parse_commit(b"tree x\n\n");
        assert_eq!((empty.subject, empty.time), (None, None));
    }
}
