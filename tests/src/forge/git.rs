//! Git plumbing on a bare repository, without any work tree: what a forge does behind its API.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// Who makes the commits of the forge.
const PERSON: &str = "Forge";
const ADDRESS: &str = "forge@nixfleet.invalid";

/// A bare repository.
#[derive(Clone, Debug)]
pub struct Bare {
    folder: PathBuf,
}

/// An entry of a tree.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Like `100644`.
    pub mode: String,
    /// `blob` or `tree`.
    pub kind: String,
    /// The object.
    pub sha: String,
    /// The name.
    pub name: String,
}

/// What git said instead.
pub type Failed = String;

impl Bare {
    /// The repository in this folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs git and answers what it printed, trimmed.
    ///
    /// # Errors
    /// What git wrote to standard error.
    pub fn run(&self, arguments: &[&str]) -> Result<String, Failed> {
        let bytes = self.output(arguments, &[], &[])?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    fn output(
        &self,
        arguments: &[&str],
        input: &[u8],
        environment: &[(&str, &str)],
    ) -> Result<Vec<u8>, Failed> {
        let mut child = Command::new("git")
            .args(["-c", "gc.auto=0", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", &self.folder)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("LC_ALL", "C")
            .env("GIT_AUTHOR_NAME", PERSON)
            .env("GIT_AUTHOR_EMAIL", ADDRESS)
            .env("GIT_COMMITTER_NAME", PERSON)
            .env("GIT_COMMITTER_EMAIL", ADDRESS)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input).ok();
        }
        let done = child
            .wait_with_output()
            .map_err(|error| error.to_string())?;
        if done.status.success() {
            return Ok(done.stdout);
        }
        Err(String::from_utf8_lossy(&done.stderr).trim().to_owned())
    }

    /// The commit a name stands for.
    #[must_use]
    pub fn commit(&self, name: &str) -> Option<String> {
        let name = format!("{name}^{{commit}}");
        self.run(&[
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &name,
        ])
        .ok()
    }

    /// The head of a branch.
    #[must_use]
    pub fn head(&self, branch: &str) -> Option<String> {
        self.commit(&format!("refs/heads/{branch}"))
    }

    /// The bytes of a file.
    #[must_use]
    pub fn file(&self, commit: &str, path: &str) -> Option<Vec<u8>> {
        self.output(&["cat-file", "blob", &format!("{commit}:{path}")], &[], &[])
            .ok()
    }

    /// The bytes of an object.
    #[must_use]
    pub fn blob(&self, sha: &str) -> Option<Vec<u8>> {
        self.output(&["cat-file", "blob", sha], &[], &[]).ok()
    }

    /// The entries of a tree, or of the tree of a commit.
    #[must_use]
    pub fn tree(&self, name: &str) -> Option<Vec<Entry>> {
        let text = self.run(&["ls-tree", name]).ok()?;
        let entry = |line: &str| {
            let (head, name) = line.split_once('\t')?;
            let mut parts = head.split(' ');
            Some(Entry {
                mode: parts.next()?.to_owned(),
                kind: parts.next()?.to_owned(),
                sha: parts.next()?.to_owned(),
                name: name.to_owned(),
            })
        };
        Some(text.lines().filter_map(entry).collect())
    }

    /// The parents of a commit.
    #[must_use]
    pub fn parents(&self, commit: &str) -> Vec<String> {
        let text = self.run(&["rev-list", "--parents", "-n1", commit]);
        let text = text.unwrap_or_default();
        text.split(' ').skip(1).map(str::to_owned).collect()
    }

    /// The message of a commit.
    #[must_use]
    pub fn message(&self, commit: &str) -> String {
        self.run(&["log", "-1", "--format=%B", commit])
            .unwrap_or_default()
    }

    /// When a commit was made, in RFC 3339.
    #[must_use]
    pub fn date(&self, commit: &str) -> String {
        self.run(&["log", "-1", "--format=%cI", commit])
            .unwrap_or_default()
    }

    /// Where two commits parted.
    #[must_use]
    pub fn merge_base(&self, one: &str, other: &str) -> Option<String> {
        self.run(&["merge-base", one, other]).ok()
    }

    /// Whether one commit is an ancestor of another.
    #[must_use]
    pub fn is_ancestor(&self, older: &str, younger: &str) -> bool {
        self.run(&["merge-base", "--is-ancestor", older, younger])
            .is_ok()
    }

    /// How many commits are in `to` and not in `from`.
    #[must_use]
    pub fn count(&self, from: &str, to: &str) -> u64 {
        let range = format!("{from}..{to}");
        let text = self.run(&["rev-list", "--count", &range]);
        text.ok().and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Files between two commits: status letter, path, path before.
    #[must_use]
    pub fn changed(&self, from: &str, to: &str) -> Vec<(char, String, Option<String>)> {
        let text = self.run(&["diff-tree", "-r", "-M", "--name-status", from, to]);
        let line = |line: &str| {
            let mut parts = line.split('\t');
            let status = parts.next()?.chars().next()?;
            let first = parts.next()?.to_owned();
            Some(match parts.next() {
                Some(second) => (status, second.to_owned(), Some(first)),
                None => (status, first, None),
            })
        };
        text.unwrap_or_default().lines().filter_map(line).collect()
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// What git said.
    pub fn write_blob(&self, bytes: &[u8]) -> Result<String, Failed> {
        let sha = self.output(&["hash-object", "-w", "--stdin"], bytes, &[])?;
        Ok(String::from_utf8_lossy(&sha).trim().to_owned())
    }

    /// A tree like `base` with some entries set (`mode`, `sha`) or removed.
    ///
    /// # Errors
    /// What git said.
    pub fn write_tree(
        &self,
        base: &str,
        entries: &[(String, Option<(String, String)>)],
    ) -> Result<String, Failed> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let index = self.folder.join(format!("index.{number}.tmp"));
        let index_name = index.display().to_string();
        let with_index = [("GIT_INDEX_FILE", index_name.as_str())];
        let made = (|| {
            self.output(&["read-tree", base], &[], &with_index)?;
            for (path, entry) in entries {
                match entry {
                    Some((mode, sha)) => {
                        let info = format!("{mode},{sha},{path}");
                        let words = ["update-index", "--add", "--cacheinfo", &info];
                        self.output(&words, &[], &with_index)?;
                    }
                    None => {
                        let line = format!("0 {}\t{path}\n", "0".repeat(40));
                        let words = ["update-index", "--index-info"];
                        self.output(&words, line.as_bytes(), &with_index)?;
                    }
                }
            }
            let tree = self.output(&["write-tree"], &[], &with_index)?;
            Ok(String::from_utf8_lossy(&tree).trim().to_owned())
        })();
        std::fs::remove_file(index).ok();
        made
    }

    /// Makes a commit.
    ///
    /// # Errors
    /// What git said.
    pub fn write_commit(
        &self,
        tree: &str,
        parents: &[&str],
        message: &str,
    ) -> Result<String, Failed> {
        let mut words = vec!["commit-tree", tree];
        for parent in parents {
            words.extend(["-p", parent]);
        }
        words.extend(["-m", message]);
        self.run(&words)
    }

    /// The same change on another parent, by another committer, so that it is another commit.
    ///
    /// # Errors
    /// What git said.
    pub fn write_rebased(&self, tree: &str, parent: &str, message: &str) -> Result<String, Failed> {
        let words = ["commit-tree", tree, "-p", parent, "-m", message];
        let committer = [("GIT_COMMITTER_NAME", "Web Flow")];
        let sha = self.output(&words, &[], &committer)?;
        Ok(String::from_utf8_lossy(&sha).trim().to_owned())
    }

    /// Moves a branch, if it is where it is thought to be; no old head makes it.
    ///
    /// # Errors
    /// What git said.
    pub fn move_branch(&self, branch: &str, new: &str, old: Option<&str>) -> Result<(), Failed> {
        let name = format!("refs/heads/{branch}");
        let zero = "0".repeat(40);
        self.run(&["update-ref", &name, new, old.unwrap_or(&zero)])
            .map(|_| ())
    }

    /// The tree of a merge of two commits, if there is no conflict.
    #[must_use]
    pub fn merged_tree(&self, base: Option<&str>, ours: &str, theirs: &str) -> Option<String> {
        let base = base.map(|base| format!("--merge-base={base}"));
        let mut words = vec!["merge-tree", "--write-tree"];
        words.extend(base.as_deref());
        words.extend([ours, theirs]);
        let text = self.run(&words).ok()?;
        text.lines().next().map(str::to_owned)
    }
}
