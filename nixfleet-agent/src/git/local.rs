//! Questions and orders to git in one checkout.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nixfleet_core::CommitId;

use super::{PullError, hardened};
use crate::config::RemoteUrl;
use crate::program::{self, ProgramError};

/// Questions to git are answered at once or never.
pub(crate) const QUERY_LIMIT: Duration = Duration::from_secs(60);

/// One checkout and the way git is called in it.
pub(crate) struct Local<'a> {
    pub dir: &'a Path,
    pub words: Vec<String>,
    pub environment: BTreeMap<String, String>,
}

impl<'a> Local<'a> {
    /// Without access to any remote.
    pub fn new(dir: &'a Path) -> Self {
        Self {
            dir,
            words: hardened(dir),
            environment: crate::environment::allowed(),
        }
    }

    pub fn origin(&self) -> Result<RemoteUrl, PullError> {
        self.url_of_origin(&["remote", "get-url", "origin"])
    }

    /// Where a push to `origin` goes: the owner may have configured another address for that.
    pub fn push_origin(&self) -> Result<RemoteUrl, PullError> {
        self.url_of_origin(&["remote", "get-url", "--push", "origin"])
    }

    fn url_of_origin(&self, words: &[&str]) -> Result<RemoteUrl, PullError> {
        if self.query(&["rev-parse", "--is-inside-work-tree"])?.text() != "true" {
            return Err(PullError::NotACheckout {
                dir: self.dir.to_owned(),
            });
        }
        let found = self.query(words)?;
        if found.code != 0 {
            return Err(PullError::Request(format!(
                "{} has no remote named origin; run: git -C {0} remote add origin URL",
                self.dir.display()
            )));
        }
        let mut text = found.text();
        if !text.contains(':') && !text.starts_with('/') {
            text = self.dir.join(&text).display().to_string();
        }
        text.parse().map_err(|e| {
            PullError::Request(format!("remote origin of {}: {e}", self.dir.display()))
        })
    }

    pub fn head(&self) -> Result<CommitId, PullError> {
        self.commit("HEAD^{commit}")
    }

    pub fn commit(&self, revision: &str) -> Result<CommitId, PullError> {
        let words = ["rev-parse", "--verify", "--end-of-options", revision];
        let found = program::run_ok(&self.argv(&words), None, &self.environment, QUERY_LIMIT)?;
        found
            .text()
            .parse()
            .map_err(|e| PullError::Request(format!("git named no commit for {revision}: {e}")))
    }

    pub fn is_ancestor(&self, ancestor: &str, descendant: &str) -> Result<bool, PullError> {
        let words = ["merge-base", "--is-ancestor", ancestor, descendant];
        Ok(self.query(&words)?.code == 0)
    }

    pub fn expect_at(&self, wanted: CommitId) -> Result<(), PullError> {
        if self.head()? != wanted {
            return Err(PullError::Step {
                step: "rev-parse",
                code: 1,
            });
        }
        println!("now at {wanted}");
        Ok(())
    }

    pub fn expect_clean(&self) -> Result<(), PullError> {
        let words = ["status", "--porcelain", "--ignore-submodules=all"];
        let found = program::run_ok(&self.argv(&words), None, &self.environment, QUERY_LIMIT)?;
        let text = String::from_utf8_lossy(&found.stdout);
        let mut changes: Vec<&str> = text.lines().map(|l| l.get(3..).unwrap_or(l)).collect();
        if changes.is_empty() {
            return Ok(());
        }
        let count = changes.len();
        changes.truncate(3);
        let mut changes = changes.join(", ");
        if count > 3 {
            changes.push_str(&format!(" and {} more", count - 3));
        }
        Err(PullError::Dirty {
            dir: self.dir.to_owned(),
            changes,
        })
    }

    pub fn query(&self, words: &[&str]) -> Result<program::Captured, PullError> {
        Ok(program::run(
            &self.argv(words),
            None,
            &self.environment,
            QUERY_LIMIT,
        )?)
    }

    /// Runs a command whose output belongs to the output of the pull.
    pub fn say(&self, words: &[&str], step: &'static str) -> Result<(), PullError> {
        let argv = self.argv(words);
        let status = Command::new("git")
            .args(argv.get(1..).unwrap_or_default())
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null())
            .status()
            .map_err(|source| {
                PullError::Git(ProgramError::Spawn {
                    program: "git".to_owned(),
                    source,
                })
            })?;
        match status.code() {
            Some(0) => Ok(()),
            code => Err(PullError::Step {
                step,
                code: code.unwrap_or(-1),
            }),
        }
    }

    pub fn argv(&self, words: &[&str]) -> Vec<String> {
        let mut argv = self.words.clone();
        argv.extend(words.iter().map(|&word| word.to_owned()));
        argv
    }
}
