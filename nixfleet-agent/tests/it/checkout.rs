//! What the agent sees of a checkout.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nixfleet_agent::exec::Capture;
use nixfleet_agent::observe::Occasion;
use nixfleet_agent::observe::git::{GitObserver, head, is_dirty};
use nixfleet_core::lock_hash;

use crate::support::{Place, Remote, git};

fn seen(dir: &Path) -> String {
    head(dir).unwrap().to_string()
}

/// Makes every file of a checkout look as if nobody had touched it for long.
fn age(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path);
        } else {
            let file = fs::File::open(&path).unwrap();
            let then = SystemTime::now() - Duration::from_secs(100);
            file.set_modified(then).unwrap();
        }
    }
}

#[test]
fn reg09_head_is_read_with_packed_refs_detached_and_in_worktrees() {
    let remote = Remote::new();
    let author = remote.author();
    let commit = git(&author, &["rev-parse", "HEAD"]);
    assert_eq!(seen(&author), commit);
    git(&author, &["pack-refs", "--all"]);
    assert!(!author.join(".git/refs/heads/main").exists());
    assert_eq!(seen(&author), commit);

    let worktree = remote.path("worktree");
    let path = worktree.display().to_string();
    git(&author, &["worktree", "add", "-q", "-b", "side", &path]);
    assert!(worktree.join(".git").is_file());
    assert_eq!(seen(&worktree), commit);

    git(&author, &["checkout", "-q", "--detach", "HEAD~1"]);
    let parent = git(&author, &["rev-parse", "HEAD"]);
    assert_ne!(parent, commit);
    assert_eq!(seen(&author), parent);
}

#[test]
fn a_folder_inside_another_repository_is_not_a_checkout() {
    let remote = Remote::new();
    let inside = remote.author().join("sub");
    fs::create_dir(&inside).unwrap();
    assert!(head(&inside).is_err());
    assert!(head(&remote.path("nothing")).is_err());
    assert!(head(&remote.author()).is_ok(), "the control");
}

#[test]
fn modified_and_untracked_files_are_dirty() {
    let remote = Remote::new();
    let author = remote.author();
    assert!(!is_dirty(&author).unwrap());
    fs::write(author.join("new"), "").unwrap();
    assert!(is_dirty(&author).unwrap());
    fs::remove_file(author.join("new")).unwrap();
    fs::write(author.join("flake.nix"), "{ x = 1; }").unwrap();
    assert!(is_dirty(&author).unwrap());
}

#[test]
fn a_file_git_was_told_not_to_look_at_may_be_modified() {
    let remote = Remote::new();
    let author = remote.author();
    for (hide, show) in [
        ("--assume-unchanged", "--no-assume-unchanged"),
        ("--skip-worktree", "--no-skip-worktree"),
    ] {
        git(&author, &["update-index", hide, "flake.nix"]);
        assert!(is_dirty(&author).unwrap(), "{hide}");
        git(&author, &["update-index", show, "flake.nix"]);
        assert!(!is_dirty(&author).unwrap(), "{show}");
    }
}

#[test]
fn git_is_not_asked_at_a_heartbeat_unless_something_changed() {
    let remote = Remote::new();
    for worktree in [false, true] {
        let dir = if worktree {
            let path = remote.path("worktree");
            let text = path.display().to_string();
            git(
                &remote.author(),
                &["worktree", "add", "-q", "-b", "side", &text],
            );
            path
        } else {
            remote.author()
        };
        age(remote.folder.path());
        let mut observer = GitObserver::new(dir.clone(), true);
        let first = observer.observe(Occasion::Heartbeat).0.unwrap();
        for _ in 0..20 {
            let (commit, dirty, error) = observer.observe(Occasion::Heartbeat);
            assert_eq!((commit, dirty, error), (Some(first), Some(false), None));
        }
        assert_eq!(observer.asked(), 1);

        git(&dir, &["commit", "-q", "--allow-empty", "-m", "next"]);
        let second = observer.observe(Occasion::Heartbeat).0.unwrap();
        assert_ne!(first, second);

        age(remote.folder.path());
        observer.observe(Occasion::Closely);
        let asked = observer.asked();
        git(&remote.author(), &["pack-refs", "--all"]);
        assert_eq!(observer.observe(Occasion::Heartbeat).0, Some(second));
        assert!(observer.asked() > asked);

        fs::write(dir.join("flake.nix"), "{ edited = true; }").unwrap();
        assert_eq!(observer.observe(Occasion::Closely).1, Some(true));
        git(&dir, &["checkout", "-q", "--", "flake.nix"]);
    }
}

#[tokio::test]
async fn a_stage_records_the_checkout_before_and_after() {
    let remote = Remote::new();
    let place = Place::new();
    let author = remote.author();
    let mut stage = place.stage("pull", "echo '{}' > flake.lock");
    stage.folder = Some(author.clone());
    stage.capture = Some(Capture {
        repo_dir: Some(author.clone()),
        system_command: Some(vec!["echo".into(), "system-1".into()]),
        ..Capture::default()
    });
    let done = place.run(vec![stage]).await;
    let stage = &done.exit().stages[0];
    let (before, after) = (stage.before.clone().unwrap(), stage.after.clone().unwrap());
    assert_eq!(before.system.as_deref(), Some("system-1"));
    let (before, after) = (before.repo.unwrap(), after.repo.unwrap());
    assert_eq!(before.commit, git(&author, &["rev-parse", "HEAD"]));
    let hash = lock_hash(b"{\"version\":7}").to_string();
    assert_eq!((before.lock_hash, before.clean), (Some(hash), true));
    let hash = lock_hash(b"{}\n").to_string();
    assert_eq!((after.lock_hash, after.clean), (Some(hash), false));
}
