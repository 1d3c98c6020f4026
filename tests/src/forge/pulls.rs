//! Pull requests of the fake forge, and helpers that open them.

use serde_json::Value;

use super::State;
use super::git::Bare;

/// A pull request.
#[derive(Clone, Debug)]
pub struct FakePull {
    /// Its number.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Who opened it.
    pub author: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// When, in RFC 3339.
    pub created_at: String,
    /// Whether it is a draft.
    pub draft: bool,
    /// Where it goes.
    pub base_branch: String,
    /// Its branch.
    pub head_branch: String,
    /// The repository of its branch; none if that was deleted.
    pub head_repo: Option<String>,
    /// Whether it can still be merged.
    pub open: bool,
    /// The merge commit and the head that was merged.
    pub merged: Option<(String, String)>,
    /// Where it left the branch, once it is merged.
    pub fork: Option<String>,
    /// How often `mergeable` is still null.
    pub mergeable_null: u32,
    /// What `mergeable` and `mergeable_state` are, instead of what git says.
    pub mergeable: Option<(bool, &'static str)>,
    /// How many reads do not see a merge yet.
    pub stale: u32,
    /// The list of files, instead of what git says.
    pub files: Option<Vec<Value>>,
    /// How many files it says it changes, instead of what git says.
    pub changed_files: Option<u64>,
}

/// A check on a commit.
#[derive(Clone, Debug)]
pub enum FakeCheck {
    /// A check run with its status and conclusion.
    Run(String, &'static str, Option<&'static str>),
    /// A status.
    Status(String, &'static str),
}

impl FakePull {
    /// The reference that holds its head in the repository.
    #[must_use]
    pub fn reference(&self, repo: &str) -> String {
        match &self.head_repo {
            Some(head_repo) if head_repo == repo => format!("refs/heads/{}", self.head_branch),
            _ => format!("refs/pull/{}/head", self.number),
        }
    }

    /// Its head.
    #[must_use]
    pub fn head(&self, repo: &str, git: &Bare) -> Option<String> {
        match &self.merged {
            Some((_, head)) => Some(head.clone()),
            None => git.commit(&self.reference(repo)),
        }
    }
}

impl State {
    /// Makes a commit with these files on top of `parent` and points `reference` to it. No content
    /// removes a file.
    ///
    /// # Panics
    /// If git does not like it.
    pub fn commit_to(
        &self,
        reference: &str,
        parent: &str,
        files: &[(&str, Option<&[u8]>)],
        message: &str,
    ) -> String {
        let entries: Vec<_> = files
            .iter()
            .map(|(path, content)| {
                let blob = content.map(|bytes| self.git.write_blob(bytes).unwrap());
                (
                    (*path).to_owned(),
                    blob.map(|sha| ("100644".to_owned(), sha)),
                )
            })
            .collect();
        let tree = self.git.write_tree(parent, &entries).unwrap();
        let commit = self.git.write_commit(&tree, &[parent], message).unwrap();
        self.git.run(&["update-ref", reference, &commit]).unwrap();
        commit
    }

    /// A pull request of the update robot from a branch of the repository, which is not made here.
    #[must_use]
    pub fn robot_pull(&self, number: u64, branch: &str) -> FakePull {
        FakePull {
            number,
            title: "flake.lock: Update".to_owned(),
            author: "github-actions[bot]".to_owned(),
            labels: vec!["automated".to_owned()],
            created_at: "2026-01-02T03:04:05Z".to_owned(),
            draft: false,
            base_branch: self.branch.clone(),
            head_branch: branch.to_owned(),
            head_repo: Some(self.repo.clone()),
            open: true,
            merged: None,
            fork: None,
            mergeable_null: 0,
            mergeable: None,
            stale: 0,
            files: None,
            changed_files: None,
        }
    }

    /// The `flake.lock` of a commit with another revision of one input.
    ///
    /// # Panics
    /// If there is no such input.
    #[must_use]
    pub fn bumped_lock(&self, commit: &str, input: &str, number: u64) -> Vec<u8> {
        let lock = self.git.file(commit, "flake.lock").unwrap();
        let mut lock: Value = serde_json::from_slice(&lock).unwrap();
        let locked = &mut lock["nodes"][input]["locked"];
        assert!(locked.is_object(), "no input {input}");
        let modified = locked["lastModified"].as_u64().unwrap_or(0);
        locked["rev"] = format!("{:040x}", 0xab_cdef_0000 + u128::from(number)).into();
        locked["lastModified"] = (modified + 86_400).into();
        format!("{lock:#}\n").into_bytes()
    }

    /// See [`super::FakeForge::open_update_pr`]. Answers the head.
    ///
    /// # Panics
    /// If the repository has no `flake.lock` with that input.
    pub fn open_update_pr(&mut self, number: u64, input: &str) -> String {
        let base = self.git.head(&self.branch).unwrap();
        let lock = self.bumped_lock(&base, input, number);
        let branch = format!("update/{number}");
        let reference = format!("refs/heads/{branch}");
        let files: [(&str, Option<&[u8]>); 1] = [("flake.lock", Some(&lock))];
        let head = self.commit_to(&reference, &base, &files, &format!("flake.lock: {input}"));
        let pull = self.robot_pull(number, &branch);
        self.pulls.insert(number, pull);
        let check = FakeCheck::Run("build".to_owned(), "completed", Some("success"));
        self.checks.insert(head.clone(), vec![check]);
        head
    }
}
