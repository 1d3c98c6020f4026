//! The pull, in the agent's own clone and in somebody's checkout.

use std::fs;
use std::path::{Path, PathBuf};

use nixfleet_agent::git::{PullError, PullRequest, PullSource, look_at_remote, pull};

use crate::support::{Remote, git, script};

struct Host {
    remote: Remote,
    workspace: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        Self {
            remote: Remote::new(),
            workspace: tempfile::tempdir().unwrap(),
        }
    }

    fn own(&self) -> PathBuf {
        self.remote.path("state/repo")
    }

    fn isolated(&self) -> PullRequest {
        request(PullSource::Isolated {
            url: self.remote.url(),
            dir: self.own(),
            owned_folder: self.remote.path("state"),
        })
    }

    fn existing(&self) -> (PathBuf, PullRequest) {
        let dir = self.remote.path("mine");
        git(
            self.remote.folder.path(),
            &["clone", "-q", "remote.git", "mine"],
        );
        (dir.clone(), request(PullSource::Existing { dir }))
    }

    fn pull(&self, request: &PullRequest) -> Result<String, PullError> {
        pull(request, self.workspace.path()).map(|commit| commit.to_string())
    }
}

fn request(source: PullSource) -> PullRequest {
    PullRequest {
        source,
        branch: "main".into(),
        target: None,
        token_file: None,
        ssh_key_file: None,
    }
}

fn head(dir: &Path) -> String {
    git(dir, &["rev-parse", "HEAD"])
}

#[test]
fn an_own_clone_is_made_and_follows_the_branch_whatever_is_in_it() {
    let host = Host::new();
    let first = host.pull(&host.isolated()).unwrap();
    assert_eq!(head(&host.own()), first);

    fs::write(host.own().join("flake.nix"), "edited").unwrap();
    fs::write(host.own().join("untracked"), "x").unwrap();
    fs::write(
        host.own().join(".git/index.lock"),
        "left behind by a killed git",
    )
    .unwrap();
    host.remote.commit(".gitignore", "ignored\n");
    fs::write(host.own().join("ignored"), "x").unwrap();
    let second = host.remote.commit("flake.lock", "{\"version\":8}");
    assert_eq!(host.pull(&host.isolated()).unwrap(), second);
    assert_eq!(
        fs::read_to_string(host.own().join("flake.nix")).unwrap(),
        "{ }"
    );
    assert!(!host.own().join("untracked").exists() && !host.own().join("ignored").exists());
    assert_eq!(
        look_at_remote(&host.isolated(), host.workspace.path())
            .unwrap()
            .to_string(),
        second
    );

    // A rewritten branch is followed, too.
    git(&host.remote.author(), &["reset", "-q", "--hard", "HEAD~2"]);
    let rewritten = host.remote.commit("other", "y");
    assert_eq!(host.pull(&host.isolated()).unwrap(), rewritten);
    assert_eq!(git(&host.own(), &["status", "--porcelain"]), "");
}

#[test]
fn a_damaged_own_clone_is_started_anew() {
    let host = Host::new();
    host.pull(&host.isolated()).unwrap();
    fs::write(host.own().join(".git/HEAD"), "").unwrap();
    fs::remove_dir_all(host.own().join(".git/objects")).unwrap();
    let commit = host.remote.commit("a", "b");
    assert_eq!(host.pull(&host.isolated()).unwrap(), commit);
}

#[test]
fn a_folder_that_is_not_ours_is_never_reset() {
    let host = Host::new();
    let (dir, _) = host.existing();
    fs::write(dir.join("flake.nix"), "my work").unwrap();
    let mut hostile = host.isolated();
    hostile.source = PullSource::Isolated {
        url: host.remote.url(),
        dir: dir.clone(),
        owned_folder: host.remote.path("state"),
    };
    assert!(matches!(
        host.pull(&hostile),
        Err(PullError::NotOurs { .. })
    ));
    assert_eq!(
        fs::read_to_string(dir.join("flake.nix")).unwrap(),
        "my work"
    );
}

#[test]
fn a_pinned_target_is_reached_exactly_or_not_at_all() {
    let host = Host::new();
    let pinned = host.remote.commit("a", "1");
    host.remote.commit("a", "2");
    let mut request = host.isolated();
    request.target = Some(pinned.clone());
    assert_eq!(host.pull(&request).unwrap(), pinned);
    assert_eq!(head(&host.own()), pinned);

    // A commit that exists, but on another branch only.
    let author = host.remote.author();
    git(&author, &["checkout", "-q", "-b", "other"]);
    git(
        &author,
        &["commit", "-q", "--allow-empty", "-m", "elsewhere"],
    );
    git(&author, &["push", "-q", "origin", "other"]);
    request.target = Some(head(&author));
    let error = host.pull(&request).unwrap_err();
    assert!(
        matches!(error, PullError::TargetNotOnBranch { .. }),
        "{error}"
    );
    request.target = Some("0123456789abcdef0123456789abcdef01234567".into());
    assert!(matches!(
        host.pull(&request),
        Err(PullError::TargetNotOnBranch { .. })
    ));
    assert_eq!(head(&host.own()), pinned);
}

#[test]
fn an_existing_checkout_is_fast_forwarded() {
    let host = Host::new();
    let (dir, mut request) = host.existing();
    let pinned = host.remote.commit("a", "1");
    let newest = host.remote.commit("a", "2");
    request.target = Some(pinned.clone());
    assert_eq!(host.pull(&request).unwrap(), pinned);
    request.target = None;
    assert_eq!(host.pull(&request).unwrap(), newest);
    assert_eq!(host.pull(&request).unwrap(), newest);
    assert_eq!(head(&dir), newest);
}

#[test]
fn local_work_in_an_existing_checkout_is_never_discarded() {
    let host = Host::new();
    let (dir, mut request) = host.existing();
    let start = head(&dir);
    host.remote.commit("a", "1");

    for name in ["flake.nix", "untracked"] {
        let before = fs::read_to_string(dir.join(name)).ok();
        fs::write(dir.join(name), "my work").unwrap();
        let error = host.pull(&request).unwrap_err();
        assert!(
            matches!(&error, PullError::Dirty { changes, .. } if changes == name),
            "{error}"
        );
        assert_eq!(fs::read_to_string(dir.join(name)).unwrap(), "my work");
        assert_eq!(head(&dir), start);
        match before {
            Some(text) => fs::write(dir.join(name), text).unwrap(),
            None => fs::remove_file(dir.join(name)).unwrap(),
        }
    }

    git(&dir, &["commit", "-q", "--allow-empty", "-m", "mine"]);
    let mine = head(&dir);
    let error = host.pull(&request).unwrap_err();
    assert!(error.to_string().contains("diverged"), "{error}");
    request.target = Some(start.clone());
    let error = host.pull(&request).unwrap_err();
    assert!(error.to_string().contains("beyond"), "{error}");
    assert_eq!(head(&dir), mine);

    git(&dir, &["reset", "-q", "--hard", &start]);
    git(&dir, &["checkout", "-q", "-b", "side"]);
    request.target = None;
    let error = host.pull(&request).unwrap_err();
    assert!(matches!(error, PullError::OtherBranch { .. }), "{error}");
    git(&dir, &["checkout", "-q", "main"]);
    assert!(host.pull(&request).is_ok(), "the control");
}

#[test]
fn sec08_hostile_values_are_refused_before_git_runs() {
    let host = Host::new();
    let canary = host.remote.path("canary");
    for branch in ["--upload-pack=touch", "-u", "a..b", "$(id)\n", "main:x"] {
        let mut request = host.isolated();
        request.branch = branch.into();
        assert!(
            matches!(host.pull(&request), Err(PullError::Request(_))),
            "{branch}"
        );
    }
    let mut request = host.isolated();
    request.source = PullSource::Isolated {
        url: format!("ext::touch {}", canary.display()),
        dir: host.own(),
        owned_folder: host.remote.path("state"),
    };
    assert!(matches!(host.pull(&request), Err(PullError::Request(_))));
    let (dir, existing) = host.existing();
    let url = format!("ext::touch {}", canary.display());
    git(&dir, &["remote", "set-url", "origin", &url]);
    assert!(matches!(host.pull(&existing), Err(PullError::Request(_))));
    assert!(!canary.exists() && !host.own().exists());
}

#[test]
fn c09_hooks_and_monitors_of_a_checkout_do_not_run() {
    let host = Host::new();
    let (dir, request) = host.existing();
    let canary = host.remote.path("canary");
    let text = format!("echo $0 >> {}; exit 1", canary.display());
    for hook in [
        "post-merge",
        "post-checkout",
        "reference-transaction",
        "post-index-change",
    ] {
        script(&dir.join(".git/hooks").join(hook), &text, 0o755);
    }
    let monitor = host.remote.path("monitor");
    script(&monitor, &text, 0o755);
    let monitor = monitor.display().to_string();
    git(&dir, &["config", "core.fsmonitor", &monitor]);
    let pack = format!("{monitor};");
    git(&dir, &["config", "remote.origin.uploadpack", &pack]);
    let _ = fs::remove_file(&canary);

    host.remote.commit("a", "1");
    host.pull(&request).unwrap();
    assert!(nixfleet_agent::observe::git::is_dirty(&dir).is_ok());
    assert!(!canary.exists(), "{}", fs::read_to_string(&canary).unwrap());

    // The control: git as people use it runs them.
    let status = std::process::Command::new("git")
        .arg("-C")
        .arg(&dir)
        .args(["status", "--porcelain"])
        .output();
    assert!(status.is_ok() && canary.exists());
}

#[test]
fn submodules_are_not_fetched() {
    let host = Host::new();
    let module = host.remote.path("module");
    git(
        host.remote.folder.path(),
        &["init", "-q", "-b", "main", "module"],
    );
    git(&module, &["commit", "-q", "--allow-empty", "-m", "x"]);
    let url = module.display().to_string();
    let allow = ["-c", "protocol.file.allow=always"];
    let words = [&allow[..], &["submodule", "--quiet", "add", &url, "sub"]].concat();
    git(&host.remote.author(), &words);
    host.remote.commit("b", "2");
    host.pull(&host.isolated()).unwrap();
    let inside = fs::read_dir(host.own().join("sub")).unwrap().count();
    assert_eq!(inside, 0);
    assert_eq!(git(&host.own(), &["status", "--porcelain"]), "");
}

#[test]
fn an_unreachable_remote_is_said_and_changes_nothing() {
    let host = Host::new();
    let first = host.pull(&host.isolated()).unwrap();
    fs::rename(host.remote.path("remote.git"), host.remote.path("away")).unwrap();
    let error = host.pull(&host.isolated()).unwrap_err();
    assert!(matches!(error, PullError::Fetch { .. }), "{error}");
    assert_eq!(head(&host.own()), first);
}
