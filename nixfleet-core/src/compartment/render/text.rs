//! Small pieces of text: cleaned, bounded, and the same everywhere.

use crate::compartment::Situation;
use crate::desired::{RemoteCause, Unavailable};
use crate::ids::{CommitId, CommitRef, LockHash};
use crate::time::Timestamp;

/// The most characters of one line.
pub const MAX_LINE: usize = 320;

/// The text on one line of at most `max` characters: control characters, line separators and
/// characters that only change the direction or are invisible become spaces or vanish.
///
/// ```
/// use nixfleet_core::compartment::render::text::clean;
/// assert_eq!(clean("two\nlines\u{202e}", 20), "two lines");
/// assert_eq!(clean("too long", 4), "too…");
/// ```
#[must_use]
pub fn clean(text: &str, max: usize) -> String {
    let visible = |c: char| match c {
        '\u{2028}' | '\u{2029}' => Some(' '),
        '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => None,
        c if c.is_control() => Some(' '),
        c => Some(c),
    };
    let trimmed = text.trim();
    // A little more than fits, so that a cut is noticed without reading all of a huge text.
    let mut kept: String = trimmed.chars().filter_map(visible).take(max + 1).collect();
    if kept.chars().count() > max {
        kept = kept.chars().take(max.saturating_sub(1)).collect();
        kept.truncate(kept.trim_end().len());
        kept.push('…');
        return kept;
    }
    kept.trim().to_owned()
}

/// Seven digits of a commit, or `?`.
pub(super) fn commit(commit: Option<CommitRef>) -> String {
    commit.map_or_else(|| "?".to_owned(), |commit| commit.short())
}

/// Seven digits of a full commit, or `?`.
pub(super) fn full(commit: Option<CommitId>) -> String {
    commit.map_or_else(|| "?".to_owned(), |commit| commit.short())
}

/// Eight digits of a lock hash, or `?`.
pub(super) fn hash(hash: Option<LockHash>) -> String {
    hash.map_or_else(|| "?".to_owned(), |hash| hash.short())
}

/// `1 commit`, `2 commits`.
pub(super) fn counted(number: u32, one: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{number} {one}s")
    }
}

/// A moment to the minute: `2026-11-20 12:00 UTC`.
pub(super) fn moment(at: Timestamp) -> String {
    let full = at.to_rfc3339();
    match (full.get(..10), full.get(10..11), full.get(11..16)) {
        (Some(date), Some("T"), Some(time)) => format!("{date} {time} UTC"),
        _ => full,
    }
}

/// The first line of the desired commit's message, in quotes and with a space before it, or nothing.
pub(super) fn subject(situation: &Situation<'_>) -> String {
    let snapshot = situation.desired.remote.last_known();
    match snapshot.and_then(|snapshot| snapshot.subject.as_deref()) {
        Some(subject) if !subject.trim().is_empty() => format!(" “{}”", clean(subject, 100)),
        Some(_) | None => String::new(),
    }
}

/// Why the remote is not known, in words.
pub(super) fn cause(cause: RemoteCause) -> String {
    let text = match cause {
        RemoteCause::NotConfigured => "no repository is configured",
        RemoteCause::NotReadYet => "the remote has not been read yet",
        RemoteCause::Unreachable => "the remote does not answer",
        RemoteCause::TimedOut => "the remote timed out",
        RemoteCause::AccessDenied => "the remote refused access",
        RemoteCause::NotFound => "there is no such repository or page",
        RemoteCause::BranchMissing => "the tracked branch does not exist",
        RemoteCause::HttpStatus(status) => {
            return format!("the page answered HTTP status {status}");
        }
        RemoteCause::Malformed => "the content is malformed",
        RemoteCause::FieldMissing => "a field is missing",
        RemoteCause::LockMissing => "the desired commit has no flake.lock",
        RemoteCause::Expired => "the last reading is too old",
        RemoteCause::StoreDamaged => "the server's database is damaged",
        RemoteCause::GitMissing => "git is missing on the server",
        RemoteCause::MirrorFailed => "the server cannot keep its copy of the repository",
    };
    text.to_owned()
}

/// The same with the detail of the reading, if there is one.
#[must_use]
pub fn cause_with_detail(unavailable: &Unavailable) -> String {
    let detail = clean(&unavailable.detail, 120);
    if detail.is_empty() {
        cause(unavailable.cause)
    } else {
        format!("{} ({detail})", cause(unavailable.cause))
    }
}
