//! A situation made of files, for whoever has no server at hand: the `flake.lock` of a host, the
//! published `version.json` it should follow (spec 05), and what else is known of the host.
//!
//! ```
//! use nixfleet_core::wire::files::SituationFiles;
//! let lock = br#"{"version": 7, "root": "root", "nodes": {"root": {}}}"#;
//! let commit = "a".repeat(40);
//! let page = format!(r#"{{"gitCommit": "{commit}", "lockHash": "{}"}}"#, nixfleet_core::lock_hash(lock));
//! let files = SituationFiles {
//!     lock,
//!     version_json: page.as_bytes(),
//!     checkout: Some(&commit),
//!     observation: None,
//!     agent_version: "4.0.0",
//! };
//! let situation = nixfleet_core::wire::situation::OwnedSituation::try_from(files.read().unwrap());
//! assert_eq!(situation.unwrap().report().statuses().join(" "), "unknown ok ok unknown unknown");
//! ```

use serde::Deserialize;

use super::Field;
use super::agent::RepoFacts;
use super::convert::WireError;
use super::lock::{self, LockErrorReport};
use super::situation::{DesiredFacts, SituationFacts};
use crate::claim::ClaimedRevision;
use crate::ids::{CommitId, IdError};
use crate::time::Timestamp;

/// The files, and what they are called in messages: `lock`, `version.json`, `observation`.
#[derive(Clone, Copy, Debug)]
pub struct SituationFiles<'a> {
    /// The bytes of the `flake.lock` of the host.
    pub lock: &'a [u8],
    /// The bytes of the published page.
    pub version_json: &'a [u8],
    /// The commit checked out, as `git describe --always --abbrev=40 --exclude='*' --dirty` prints
    /// it: 40 hex digits, and `-dirty` after them if there are local changes. Without it the lock
    /// cannot be judged either: it belongs to a commit.
    pub checkout: Option<&'a str>,
    /// A [`SituationFacts`] as JSON. Its desired state and its lock are replaced by the files.
    pub observation: Option<&'a [u8]>,
    /// The agent version that is expected.
    pub agent_version: &'a str,
}

/// Which file cannot be read, and why.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The lock is none.
    #[error("flake.lock: {0}")]
    Lock(#[from] LockErrorReport),
    /// The page is not JSON, or a field of it is of the wrong type.
    #[error("version.json: {0}")]
    VersionJson(serde_json::Error),
    /// A field of the page has a value that it may not have.
    #[error("version.json: field `{field}`: {source}")]
    VersionJsonField {
        /// Name of the field.
        field: &'static str,
        /// What was expected.
        source: IdError,
    },
    /// The commit checked out is none.
    #[error(
        "checkout: expected 40 hex digits, with or without -dirty, as printed by git describe \
         --always --abbrev=40 --exclude='*' --dirty"
    )]
    Checkout,
    /// The observation is not a situation.
    #[error("observation: {0}")]
    Observation(WireError),
    /// The observation says nothing of a host.
    #[error("observation: expected an object with the field `host`")]
    NoHost,
}

/// The fields of the page. An absent field is none.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    git_commit: Option<String>,
    lock_hash: Option<String>,
    message: Option<String>,
    branch: Option<String>,
    timestamp: Option<String>,
}

impl SituationFiles<'_> {
    /// The situation. Whatever no file tells is not known, and is assessed as such.
    ///
    /// # Errors
    /// [`FilesError`] naming the first file that cannot be read.
    pub fn read(&self) -> Result<SituationFacts, FilesError> {
        let lock = lock::read(self.lock)?;
        let mut situation = match self.observation {
            None => SituationFacts::default(),
            Some(text) => observed(text)?,
        };
        situation.host.facts.lock_hash = Field::Value(lock.lock_hash.to_string());
        if let Some(text) = self.checkout {
            situation.host.facts.repo = Field::Value(checkout(text)?);
        }
        situation.desired = self.desired()?;
        Ok(situation)
    }

    fn desired(&self) -> Result<DesiredFacts, FilesError> {
        let page: Page =
            serde_json::from_slice(self.version_json).map_err(FilesError::VersionJson)?;
        let present = |text: Option<String>| {
            let text = text.map(|text| text.trim().to_owned());
            text.filter(|text| !text.is_empty())
        };
        let time = page.timestamp;
        let desired = DesiredFacts {
            agent_version: self.agent_version.to_owned(),
            commit: present(page.git_commit),
            lock_hash: present(page.lock_hash),
            subject: page
                .message
                .map(|text| text.lines().next().unwrap_or_default().to_owned()),
            commit_time: time.and_then(|text| Timestamp::parse_rfc3339(&text).ok()),
            branch: page.branch,
            ..DesiredFacts::default()
        };
        // Checked here, so that the message names the field of the page.
        check::<CommitId>("gitCommit", desired.commit.as_deref())?;
        check::<crate::ids::LockHash>("lockHash", desired.lock_hash.as_deref())?;
        Ok(desired)
    }
}

fn check<T>(field: &'static str, text: Option<&str>) -> Result<(), FilesError>
where
    T: std::str::FromStr<Err = IdError>,
{
    match text.map(str::parse::<T>) {
        Some(Err(source)) => Err(FilesError::VersionJsonField { field, source }),
        Some(Ok(_)) | None => Ok(()),
    }
}

fn observed(text: &[u8]) -> Result<SituationFacts, FilesError> {
    let malformed = |error| FilesError::Observation(WireError::Json(error));
    let value: serde_json::Value = serde_json::from_slice(text).map_err(malformed)?;
    if value.get("host").is_none() {
        return Err(FilesError::NoHost);
    }
    serde_json::from_value(value).map_err(malformed)
}

fn checkout(text: &str) -> Result<RepoFacts, FilesError> {
    let claim = ClaimedRevision::from_text(text).ok_or(FilesError::Checkout)?;
    let commit = claim.base().and_then(|commit| commit.full());
    Ok(RepoFacts {
        commit: commit.ok_or(FilesError::Checkout)?.to_string(),
        dirty: claim.commit().is_none(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::situation::OwnedSituation;

    const LOCK: &[u8] = br#"{"version": 7, "root": "root", "nodes": {"root": {}}}"#;

    fn commit() -> String {
        "c".repeat(40)
    }

    fn page() -> String {
        let lock = crate::lock_hash(LOCK);
        format!(
            r#"{{"gitCommit":"{}","lockHash":"{lock}","message":"one\ntwo","branch":"main","timestamp":"2026-11-20T12:00:00Z","repo":"a/b"}}"#,
            commit()
        )
    }

    fn files<'a>(page: &'a str, checkout: Option<&'a str>) -> SituationFiles<'a> {
        SituationFiles {
            lock: LOCK,
            version_json: page.as_bytes(),
            checkout,
            observation: None,
            agent_version: "4.0.0",
        }
    }

    fn statuses(files: &SituationFiles<'_>) -> String {
        let situation = OwnedSituation::try_from(files.read().unwrap()).unwrap();
        situation.report().statuses().join(" ")
    }

    #[test]
    fn what_no_file_tells_is_gray() {
        let page = page();
        let (commit, dirty) = (commit(), format!("{}-dirty", commit()));
        let of = |checkout| statuses(&files(&page, checkout));
        // A lock says nothing without the commit it was checked out with.
        assert_eq!(of(None), "unknown unknown unknown unknown unknown");
        assert_eq!(of(Some(&commit)), "unknown ok ok unknown unknown");
        let told = of(Some(&dirty));
        assert!(told.starts_with("unknown outdated ok"), "{told}");
    }

    #[test]
    fn an_observation_completes_the_files_and_cannot_contradict_them() {
        let (page, commit) = (page(), commit());
        let observation = format!(
            r#"{{"host": {{"agent_version": "4.0.0", "capabilities": ["commands", "lock"],
                "lock_hash": "{other}",
                "system": {{"path": "/nix/store/{digits}-system", "configuration_revision": "{commit}"}}}},
              "desired": {{"commit": "{commit}", "lock_hash": "{other}"}}}}"#,
            other = "0".repeat(64),
            digits = "0".repeat(32),
        );
        let mut files = files(&page, Some(&commit));
        files.observation = Some(observation.as_bytes());
        assert_eq!(statuses(&files), "ok ok ok ok outdated");
        files.agent_version = "5.0.0";
        assert_eq!(statuses(&files), "error ok ok ok outdated");
    }

    #[test]
    fn every_file_that_cannot_be_read_is_named() {
        let page = page();
        let told = |change: &dyn Fn(&mut SituationFiles<'static>)| {
            let page: &'static str = Box::leak(page.clone().into_boxed_str());
            let mut files = files(page, None);
            change(&mut files);
            files.read().unwrap_err().to_string()
        };
        let lock = told(&|files| files.lock = b"nonsense");
        assert!(lock.starts_with("flake.lock: expected JSON"), "{lock}");
        let html = told(&|files| files.version_json = b"<html>");
        assert!(html.starts_with("version.json: "), "{html}");
        let hash = told(&|files| files.version_json = br#"{"lockHash": "short"}"#);
        assert!(hash.contains("field `lockHash`"), "{hash}");
        let checkout = told(&|files| files.checkout = Some("main"));
        assert!(checkout.contains("git describe"), "{checkout}");
        let empty = told(&|files| files.observation = Some(b"{}"));
        assert!(empty.contains("`host`"), "{empty}");
        let wrong = told(&|files| files.observation = Some(br#"{"host": 1}"#));
        assert!(wrong.starts_with("observation: malformed"), "{wrong}");
    }

    #[test]
    fn a_page_without_a_hash_makes_the_lock_red_and_says_why() {
        let page = format!(r#"{{"gitCommit":"{}"}}"#, commit());
        let told = statuses(&files(&page, None));
        assert_eq!(told, "unknown unknown error outdated outdated");
    }
}
