//! What an administrator decides about update pull requests.

use std::collections::BTreeSet;
use std::time::Duration;

use super::call::MergeMethod;
use super::pull_request::PullRequest;

/// The label that makes a pull request visible, unless another is configured.
pub const DEFAULT_LABEL: &str = "automated";
/// The text in a title that makes a pull request visible, unless another is configured.
pub const DEFAULT_TITLE_TEXT: &str = "flake.lock";
/// How long a pull request and its head must have existed before an automation merges it, unless
/// configured otherwise.
pub const DEFAULT_DELAY: Duration = Duration::from_secs(3600);
/// Time between two readings of the list of pull requests, unless configured otherwise.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(3600);

/// What an administrator decides about update pull requests (spec 05).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdatePolicy {
    /// The repository, `owner/name`.
    pub repo: String,
    /// The tracked branch.
    pub branch: String,
    /// A pull request with this label is visible; an empty one matches nothing.
    pub label: String,
    /// A pull request with this text in its title is visible; an empty one matches nothing.
    pub title_text: String,
    /// Logins whose pull requests an automation may merge, exactly as the forge spells them.
    pub authors: BTreeSet<String>,
    /// Names of the checks that must have succeeded. If none is named, every check that ran on the
    /// last merged update pull request.
    pub required_checks: BTreeSet<String>,
    /// How long the pull request and its head must have existed before an automation merges it.
    pub delay: Duration,
    /// Whether an automation merges at all.
    pub auto_merge: bool,
    /// How to merge.
    pub method: MergeMethod,
    /// Whether a revert may be a commit on the tracked branch instead of a pull request.
    pub direct_revert: bool,
    /// Time between two readings of the list of pull requests.
    pub interval: Duration,
}

impl UpdatePolicy {
    /// The defaults for a branch of a repository: nothing is merged without a person.
    #[must_use]
    pub fn new(repo: impl Into<String>, branch: impl Into<String>) -> Self {
        Self {
            repo: repo.into(),
            branch: branch.into(),
            label: DEFAULT_LABEL.to_owned(),
            title_text: DEFAULT_TITLE_TEXT.to_owned(),
            authors: BTreeSet::new(),
            required_checks: BTreeSet::new(),
            delay: DEFAULT_DELAY,
            auto_merge: false,
            method: MergeMethod::default(),
            direct_revert: false,
            interval: DEFAULT_INTERVAL,
        }
    }

    /// Whether a pull request is listed as an update: its label or its title says so, and it is
    /// about the tracked branch. Being listed allows nothing.
    #[must_use]
    pub fn lists(&self, pr: &PullRequest) -> bool {
        let label = !self.label.is_empty() && pr.labels.contains(&self.label);
        let title = !self.title_text.is_empty() && pr.title.contains(&self.title_text);
        (label || title) && pr.base_branch == self.branch
    }
}
