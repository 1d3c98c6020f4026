//! A pull request in the JSON of GitHub, which Gitea and Forgejo follow.

use nixfleet_core::update::{Mergeable, PrNumber, PrState, PullRequest, ReadOrNot};
use nixfleet_core::{CommitId, Timestamp};
use serde::Deserialize;
use url::Url;

use super::fault::Fault;
use super::http::{one_line, plain_name};

const MOST_TITLE: usize = 300;
const MOST_NAME: usize = 200;
const NOT_ASKED: &str =
    "not asked: only pull requests that look like an update are read completely";

/// A pull request and what helps to read the rest of it.
#[derive(Clone, Debug)]
pub(super) struct Pull {
    /// What is told of it; parts that need further requests are not read.
    pub told: PullRequest,
    /// How many files it changes, by its own account.
    pub changed_files: Option<u64>,
    /// How many commits it has.
    pub commits: Option<u64>,
    /// Where it left the base branch, if that was told at once.
    pub merge_base: Option<CommitId>,
}

impl Pull {
    /// The same, with the reason why more of it could not be read.
    pub fn unread(self, why: &str) -> PullRequest {
        PullRequest {
            files: ReadOrNot::NotRead(why.to_owned()),
            locks: ReadOrNot::NotRead(why.to_owned()),
            checks: ReadOrNot::NotRead(why.to_owned()),
            ..self.told
        }
    }
}

#[derive(Deserialize)]
pub(super) struct PullShape {
    number: u64,
    title: String,
    html_url: Option<String>,
    user: Option<UserShape>,
    labels: Option<Vec<LabelShape>>,
    created_at: String,
    state: String,
    draft: Option<bool>,
    base: SideShape,
    head: SideShape,
    merged: Option<bool>,
    merged_at: Option<String>,
    merge_commit_sha: Option<String>,
    pub mergeable: Option<bool>,
    pub mergeable_state: Option<String>,
    changed_files: Option<u64>,
    commits: Option<u64>,
    merge_base: Option<String>,
}

#[derive(Deserialize)]
struct UserShape {
    login: String,
}

#[derive(Deserialize)]
struct LabelShape {
    name: String,
}

#[derive(Deserialize)]
struct SideShape {
    #[serde(rename = "ref")]
    reference: String,
    sha: String,
    repo: Option<RepoShape>,
}

#[derive(Deserialize)]
struct RepoShape {
    full_name: String,
}

impl PullShape {
    /// Whether it goes to this branch.
    pub fn goes_to(&self, branch: &str) -> bool {
        self.base.reference == branch
    }

    /// Whether it comes from this branch of this repository.
    pub fn comes_from(&self, branch: &str, is_repo: impl Fn(&str) -> bool) -> bool {
        let repo = self.head.repo.as_ref();
        self.head.reference == branch && repo.is_some_and(|repo| is_repo(&repo.full_name))
    }

    /// Reads it. Where `draft` may be missing, the title tells.
    pub fn read(
        self,
        mergeable: Mergeable,
        drafts_by_title: bool,
        api: &Url,
    ) -> Result<Pull, Fault> {
        let commit = |what: &str, text: &str| {
            let wrong = |error| Fault::malformed(format!("{what} of {}: {error}", self.number));
            text.parse::<CommitId>().map_err(wrong)
        };
        let title = one_line(&self.title, MOST_TITLE);
        let draft = match self.draft {
            Some(draft) => draft,
            None if drafts_by_title => {
                let lower = title.to_lowercase();
                lower.starts_with("wip:") || lower.starts_with("[wip]")
            }
            None => return Err(Fault::malformed("a pull request without `draft`")),
        };
        let merged = self.merged == Some(true) || self.merged_at.is_some();
        let state = match (self.state.as_str(), merged) {
            (_, true) => PrState::Merged {
                commit: self
                    .merge_commit_sha
                    .as_deref()
                    .filter(|text| !text.is_empty())
                    .map(|text| commit("merge_commit_sha", text))
                    .transpose()?,
            },
            ("open", false) => PrState::Open,
            ("closed", false) => PrState::Closed,
            (_, false) => return Err(Fault::malformed("a pull request in an unknown state")),
        };
        let created_at = Timestamp::parse_rfc3339(&self.created_at)
            .map_err(|error| Fault::malformed(format!("created_at: {error}")))?;
        let merge_base = self.merge_base.as_deref().filter(|text| !text.is_empty());
        let merge_base = merge_base
            .map(|text| commit("merge_base", text))
            .transpose()?;
        let head = commit("head", &self.head.sha)?;
        let not_read = || NOT_ASKED.to_owned();
        let told = PullRequest {
            number: PrNumber(self.number),
            url: web_address(self.html_url.as_deref(), api),
            title,
            author: self
                .user
                .map(|user| plain_name(&user.login, MOST_NAME))
                .unwrap_or_default(),
            labels: self
                .labels
                .into_iter()
                .flatten()
                .map(|label| plain_name(&label.name, MOST_NAME))
                .collect(),
            created_at,
            state,
            draft,
            base_branch: self.base.reference,
            base_repo: self
                .base
                .repo
                .map(|repo| repo.full_name)
                .unwrap_or_default(),
            head_branch: self.head.reference,
            head_repo: self.head.repo.map(|repo| repo.full_name),
            head,
            mergeable,
            files: ReadOrNot::NotRead(not_read()),
            locks: ReadOrNot::NotRead(not_read()),
            checks: ReadOrNot::NotRead(not_read()),
        };
        Ok(Pull {
            told,
            changed_files: self.changed_files,
            commits: self.commits,
            merge_base,
        })
    }
}

/// The address for people, if it is one that a browser may be led to.
fn web_address(text: Option<&str>, api: &Url) -> String {
    let url = text.and_then(|text| Url::parse(text).ok());
    let usable = url.filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
    });
    usable.map_or_else(|| api.origin().ascii_serialization(), |url| url.to_string())
}
