//! What GitHub, Gitea and Forgejo answer alike: files, trees and commits of one repository.

use data_encoding::BASE64;
use nixfleet_core::CommitId;
use nixfleet_core::lock::MAX_LOCK_BYTES;
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::RepoName;
use super::budget::Purpose;
use super::fault::Fault;
use super::http::{Http, from_json};

/// The largest answer that holds no file.
pub(super) const MOST_JSON: usize = 8 << 20;
/// The largest answer that holds a file, which is a third longer as text.
const MOST_FILE_JSON: usize = MAX_LOCK_BYTES / 3 * 4 + (1 << 20);
/// The file that is read.
const LOCK: &str = "flake.lock";

/// One repository, tracked on one branch.
pub(super) struct Repository {
    http: Http,
    repo: RepoName,
    branch: String,
}

/// An entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Entry {
    /// Its name in the tree.
    pub path: String,
    /// Its mode, like `100644`.
    pub mode: String,
    /// What it is: `blob`, `tree` or `commit`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its object.
    pub sha: String,
}

#[derive(Deserialize)]
struct TreeShape {
    tree: Vec<Entry>,
    #[serde(default)]
    truncated: bool,
}

#[derive(Deserialize)]
struct FileShape {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    size: u64,
    sha: String,
    encoding: Option<String>,
    content: Option<String>,
}

#[derive(Deserialize)]
struct BlobShape {
    size: u64,
    encoding: String,
    content: String,
}

#[derive(Deserialize)]
struct ListedCommit {
    sha: CommitId,
    commit: ListedMessage,
    parents: Option<Vec<ListedParent>>,
}

#[derive(Deserialize)]
struct ListedMessage {
    message: String,
}

#[derive(Deserialize)]
struct ListedParent {
    sha: CommitId,
}

#[derive(Deserialize)]
struct RepoShape {
    full_name: String,
}

impl Repository {
    pub fn new(http: Http, repo: RepoName, branch: &str) -> Self {
        Self {
            http,
            repo,
            branch: branch.to_owned(),
        }
    }

    pub fn http(&self) -> &Http {
        &self.http
    }

    pub fn repo(&self) -> &RepoName {
        &self.repo
    }

    /// The tracked branch.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    pub fn shown(&self) -> String {
        let host = self.http.api().host_str().unwrap_or_default();
        format!("{}/{}", host.trim_start_matches("api."), self.repo)
    }

    /// The address of something of this repository.
    pub fn at(&self, parts: &[&str], query: &[(&str, &str)]) -> Url {
        let mut all = vec!["repos", self.repo.owner(), self.repo.name()];
        all.extend(parts);
        self.http.at(&all, query)
    }

    pub async fn get<T: DeserializeOwned>(
        &self,
        parts: &[&str],
        query: &[(&str, &str)],
        purpose: Purpose,
    ) -> Result<T, Fault> {
        let url = self.at(parts, query);
        self.http.get_json(url, MOST_JSON, purpose).await
    }

    /// Asks for something of this repository to be changed, once.
    pub async fn change(
        &self,
        method: Method,
        parts: &[&str],
        body: &Value,
    ) -> Result<Vec<u8>, Fault> {
        let url = self.at(parts, &[]);
        let answer = self.http.change(method, url, body, MOST_JSON).await?;
        Ok(answer.body)
    }

    /// A whole list, page after page; more than `pages` of them are too many.
    pub async fn pages<T: DeserializeOwned>(
        &self,
        first: Url,
        pages: usize,
        purpose: Purpose,
    ) -> Result<Vec<T>, Fault> {
        let mut all = Vec::new();
        let mut at = Some(first);
        for _ in 0..pages {
            let Some(url) = at else { return Ok(all) };
            let answer = self.http.get(url.clone(), MOST_JSON, purpose).await?;
            let page = from_json(&answer.body).inspect_err(|_| self.http.forget(&url));
            all.push(page?);
            at = answer.next;
        }
        match at {
            None => Ok(all),
            Some(_) => Err(Fault::malformed(format!(
                "a list of more than {pages} pages"
            ))),
        }
    }

    /// Whether the repository can be seen, and is the configured one.
    pub async fn is_there(&self) -> Result<(), Fault> {
        let shape: RepoShape = self.get(&[], &[], Purpose::Asked).await?;
        if self.repo.is(&shape.full_name) {
            return Ok(());
        }
        Err(Fault::Redirected(format!(
            "the repository is called {} now",
            super::http::one_line(&shape.full_name, 200)
        )))
    }

    /// Looks at the repository with the token for changes, if there is one of its own.
    pub async fn try_changing(&self) -> Result<(), Fault> {
        let url = self.at(&[], &[]);
        self.http.try_changing(url, MOST_JSON).await
    }

    /// The bytes of `flake.lock` at a commit; none only if the tree of the commit shows none.
    pub async fn lock_at(
        &self,
        commit: CommitId,
        purpose: Purpose,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let reference = commit.to_string();
        let url = self.at(&["contents", LOCK], &[("ref", &reference)]);
        let shape: FileShape = match self.http.get_json(url, MOST_FILE_JSON, purpose).await {
            Ok(shape) => shape,
            Err(fault) if fault.is_status(404) => {
                // A replica that does not have the commit yet answers the same.
                return match self.entry(commit, LOCK, purpose).await? {
                    None => Ok(None),
                    Some(_) => Err(fault),
                };
            }
            Err(fault) => return Err(fault),
        };
        if shape.kind != "file" || shape.path != LOCK {
            return Err(Fault::malformed("flake.lock is no file"));
        }
        if shape.size > MAX_LOCK_BYTES as u64 {
            let why = format!("flake.lock has more than {MAX_LOCK_BYTES} bytes");
            return Err(Fault::Malformed(why));
        }
        match (shape.encoding.as_deref(), shape.content) {
            (Some("base64"), Some(content)) if shape.size == 0 || !content.is_empty() => {
                decoded(&content, shape.size).map(Some)
            }
            // Too large for this answer: its object has the content.
            (Some("none" | "base64"), _) => self.blob(&shape.sha, purpose).await.map(Some),
            _ => Err(Fault::malformed("flake.lock without content")),
        }
    }

    /// The content of an object.
    pub async fn blob(&self, sha: &str, purpose: Purpose) -> Result<Vec<u8>, Fault> {
        let url = self.at(&["git", "blobs", sha], &[]);
        let shape: BlobShape = self.http.get_json(url, MOST_FILE_JSON, purpose).await?;
        if shape.encoding != "base64" {
            return Err(Fault::malformed("an object in an unknown encoding"));
        }
        decoded(&shape.content, shape.size)
    }

    /// What is at a path of a commit; none if nothing is.
    pub async fn entry(
        &self,
        commit: CommitId,
        path: &str,
        purpose: Purpose,
    ) -> Result<Option<Entry>, Fault> {
        let mut tree = commit.to_string();
        let mut rest = path;
        loop {
            let (name, deeper) = match rest.split_once('/') {
                Some((name, deeper)) => (name, Some(deeper)),
                None => (rest, None),
            };
            let Some(entry) = self.entry_of(&tree, name, purpose).await? else {
                return Ok(None);
            };
            match deeper {
                None => return Ok(Some(entry)),
                Some(deeper) if entry.kind == "tree" => {
                    tree = entry.sha;
                    rest = deeper;
                }
                Some(_) => return Ok(None),
            }
        }
    }

    async fn entry_of(
        &self,
        tree: &str,
        name: &str,
        purpose: Purpose,
    ) -> Result<Option<Entry>, Fault> {
        const MOST_PAGES: usize = 20;
        let first = self.at(&["git", "trees", tree], &[]);
        let pages: Vec<TreeShape> = self.pages(first, MOST_PAGES, purpose).await?;
        let cut = pages.len() == 1 && pages.iter().any(|page| page.truncated);
        let mut entries = pages.into_iter().flat_map(|page| page.tree);
        match entries.find(|entry| entry.path == name) {
            Some(entry) => Ok(Some(entry)),
            None if cut => Err(Fault::malformed("a folder with too many files")),
            None => Ok(None),
        }
    }

    /// The parents of a commit, the first one first.
    pub async fn parents(&self, commit: CommitId) -> Result<Vec<CommitId>, Fault> {
        #[derive(Deserialize)]
        struct CommitShape {
            sha: CommitId,
            parents: Vec<ListedParent>,
        }
        let name = commit.to_string();
        let shape: CommitShape = self
            .get(&["git", "commits", &name], &[], Purpose::Asked)
            .await?;
        if shape.sha != commit {
            return Err(Fault::malformed("another commit than the one asked for"));
        }
        Ok(shape.parents.into_iter().map(|parent| parent.sha).collect())
    }

    /// The newest commit of the tracked branch whose message holds `words`, among the last few
    /// hundred.
    pub async fn commit_saying(&self, words: &str) -> Result<Option<CommitId>, Fault> {
        const PAGES: usize = 4;
        let query = [
            ("sha", self.branch.as_str()),
            ("per_page", "100"),
            ("limit", "50"),
            ("stat", "false"),
            ("verification", "false"),
            ("files", "false"),
        ];
        let mut at = Some(self.at(&["commits"], &query));
        for _ in 0..PAGES {
            let Some(url) = at else { break };
            let answer = self
                .http
                .get(url.clone(), MOST_JSON, Purpose::Asked)
                .await?;
            let commits: Result<Vec<ListedCommit>, Fault> = from_json(&answer.body);
            let commits = commits.inspect_err(|_| self.http.forget(&url))?;
            let found = commits
                .into_iter()
                .find(|listed| listed.commit.message.contains(words) && listed.parents.is_some());
            if let Some(found) = found {
                return Ok(Some(found.sha));
            }
            at = answer.next;
        }
        Ok(None)
    }
}

/// Content in base64, with line breaks, of a size that was told.
fn decoded(content: &str, size: u64) -> Result<Vec<u8>, Fault> {
    let packed: Vec<u8> = content
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let bytes = BASE64
        .decode(&packed)
        .map_err(|_| Fault::malformed("a file that is not in base64"))?;
    if bytes.len() as u64 != size {
        return Err(Fault::malformed("a file that is not complete"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_complete_or_refused() {
        assert_eq!(decoded("YWJj\nZA==\n", 4).unwrap(), b"abcd");
        assert_eq!(decoded("", 0).unwrap(), b"");
        for (content, size) in [("YWJj", 4), ("YWJjZA==", 3), ("<html>", 6), ("YWJ", 3)] {
            assert!(decoded(content, size).is_err(), "{content}");
        }
    }
}
