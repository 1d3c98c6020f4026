//! What a reading of a git remote finds.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use nixfleet_core::desired::RemoteCause;
use nixfleet_core::{CommitId, CommitRelation, Timestamp, lock_hash};
use nixfleet_server::sources::{Fetched, GitSource};

use super::repo::{Repo, lock, main, quick, remote};

/// How far a commit of the branch is behind its head, as the history says.
fn behind(fetched: &Fetched, commit: CommitId) -> u32 {
    let head = fetched.snapshot.commit.clone().unwrap();
    let commits = &fetched.history.as_ref().unwrap().commits;
    match commits.relation(commit.into(), head) {
        CommitRelation::Same => 0,
        CommitRelation::Behind(count) => count,
        other @ (CommitRelation::Ahead(_)
        | CommitRelation::Diverged { .. }
        | CommitRelation::NotOnBranch
        | CommitRelation::Unknown) => panic!("{commit} is {other:?}"),
    }
}

#[tokio::test]
async fn a_reading_is_one_snapshot_of_the_head() {
    let repo = Repo::new();
    repo.commit_lock(lock('1'));
    let head = repo.commit_lock(lock('2'));
    let time: i64 = repo.git(&["log", "-1", "--format=%ct"]).parse().unwrap();

    let fetched = repo.source().fetch().await.unwrap();
    let snapshot = &fetched.snapshot;
    assert_eq!(snapshot.commit, Ok(head));
    assert_eq!(snapshot.lock, Ok(lock_hash(lock('2').as_bytes())));
    assert_eq!(snapshot.subject.as_deref(), Some("flake.lock: update"));
    assert_eq!(snapshot.commit_time, Some(Timestamp::from_seconds(time)));
    assert_eq!(snapshot.branch.as_deref(), Some("main"));
    assert!(!snapshot.rewritten);
    assert_eq!(fetched.lock.as_deref(), Some(lock('2').as_bytes()));
}

#[tokio::test]
async fn behind_is_what_git_counts_also_across_merges() {
    let repo = Repo::new();
    repo.commit_lock(lock('1'));
    repo.commit("two");
    repo.git(&["checkout", "--quiet", "-b", "side"]);
    repo.commit("side 1");
    repo.commit_lock(lock('2'));
    repo.git(&["checkout", "--quiet", "main"]);
    repo.commit("three");
    repo.commit("four");
    repo.git(&["merge", "--quiet", "--no-ff", "-m", "merge", "side"]);
    repo.commit("after");

    let fetched = repo.source().fetch().await.unwrap();
    let all = repo.git(&["rev-list", "main"]);
    assert_eq!(
        fetched.history.as_ref().unwrap().commits.len(),
        all.lines().count()
    );
    for commit in all.lines() {
        let counted = repo.git(&["rev-list", "--count", &format!("{commit}..main")]);
        assert_eq!(
            behind(&fetched, commit.parse().unwrap()).to_string(),
            counted,
            "{commit}"
        );
    }
    let locks = &fetched.history.as_ref().unwrap().locks;
    assert_eq!(locks.versions().len(), 2, "the merge itself is no version");
    assert_eq!(locks.behind(&lock_hash(lock('1').as_bytes())), Some(1));
}

#[tokio::test]
async fn versions_of_the_lock_are_counted_among_other_commits() {
    let repo = Repo::new();
    let digits = ['1', '2', '3', '4', '5'];
    for digit in digits {
        repo.commit_lock(lock(digit));
        repo.commit("something else");
    }
    let mut source = repo.source();
    let fetched = source.fetch().await.unwrap();
    let locks = &fetched.history.as_ref().unwrap().locks;
    for (behind, digit) in digits.iter().rev().enumerate() {
        let hash = lock_hash(lock(*digit).as_bytes());
        assert_eq!(locks.behind(&hash), Some(behind));
        assert!(locks.version(&hash).unwrap().summary.is_some());
    }
    let newest = lock_hash(lock('5').as_bytes());
    let oldest = lock_hash(lock('1').as_bytes());
    assert_eq!(locks.changes(&oldest, &newest).unwrap().len(), 1);

    repo.commit_lock(lock('6'));
    let later = source.fetch().await.unwrap();
    let locks = &later.history.as_ref().unwrap().locks;
    assert_eq!(locks.behind(&oldest), Some(5));
}

#[tokio::test]
async fn a_missing_lock_costs_only_its_half() {
    let repo = Repo::new();
    let first = repo.commit("no lock yet");
    let mut source = repo.source();
    let snapshot = source.fetch().await.unwrap().snapshot;
    assert_eq!(snapshot.commit, Ok(first));
    assert_eq!(snapshot.lock.unwrap_err().cause, RemoteCause::LockMissing);

    repo.commit_lock(lock('1'));
    assert!(source.fetch().await.unwrap().snapshot.lock.is_ok());

    std::fs::remove_file(repo.path().join("flake.lock")).unwrap();
    repo.commit("removed");
    let removed = source.fetch().await.unwrap();
    assert_eq!(
        removed.snapshot.lock.unwrap_err().cause,
        RemoteCause::LockMissing
    );
    assert_eq!(removed.history.unwrap().locks.versions().len(), 1);
}

#[tokio::test]
async fn a_lock_that_cannot_be_parsed_still_has_a_hash() {
    let repo = Repo::new();
    repo.commit_lock("not a lock \u{0}");
    let fetched = repo.source().fetch().await.unwrap();
    assert_eq!(
        fetched.snapshot.lock,
        Ok(lock_hash("not a lock \u{0}".as_bytes()))
    );
    let locks = &fetched.history.unwrap().locks;
    assert!(locks.current().unwrap().summary.is_none());
}

#[tokio::test]
async fn a_lock_that_is_no_file_fails_the_snapshot() {
    let repo = Repo::new();
    repo.write("flake.lock/inside", "x");
    repo.commit("a folder");
    let mut source = repo.source();
    let why = source.fetch().await.unwrap_err();
    assert_eq!(why.cause, RemoteCause::Malformed, "{why:?}");

    std::fs::remove_dir_all(repo.path().join("flake.lock")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", repo.path().join("flake.lock")).unwrap();
    repo.commit("a link that leads out");
    let why = source.fetch().await.unwrap_err();
    assert_eq!(why.cause, RemoteCause::Malformed, "{why:?}");

    std::fs::remove_file(repo.path().join("flake.lock")).unwrap();
    std::os::unix::fs::symlink("real.lock", repo.path().join("flake.lock")).unwrap();
    repo.write("real.lock", lock('1'));
    repo.commit("a link within");
    let snapshot = source.fetch().await.unwrap().snapshot;
    assert_eq!(snapshot.lock, Ok(lock_hash(lock('1').as_bytes())));
}

#[tokio::test]
async fn subjects_in_other_encodings_are_readable() {
    let repo = Repo::new();
    repo.commit_lock(lock('1'));
    let tree = repo.git(&["rev-parse", "HEAD^{tree}"]);
    let head = format!("tree {tree}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\n");
    let message = b"caf\xe9 \x1b[31mred\n\nbody\n";
    let raw = repo.path().join(".git/raw");
    std::fs::write(&raw, [head.as_bytes(), message].concat()).unwrap();
    let id = repo.git(&["hash-object", "-t", "commit", "-w", raw.to_str().unwrap()]);
    repo.git(&["update-ref", "refs/heads/main", &id]);
    let subject = repo
        .source()
        .fetch()
        .await
        .unwrap()
        .snapshot
        .subject
        .unwrap();
    assert_eq!(subject, "caf\u{fffd}  [31mred");
}

#[tokio::test]
async fn packed_and_bare_remotes_are_read() {
    let repo = Repo::new();
    repo.commit_lock(lock('1'));
    let head = repo.commit("two");
    repo.git(&["gc", "--quiet"]);
    repo.git(&["pack-refs", "--all"]);
    assert_eq!(
        repo.source().fetch().await.unwrap().snapshot.commit,
        Ok(head)
    );

    let bare = repo.path().with_file_name("bare.git");
    repo.git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    let mut source = repo.source_of(bare.to_str().unwrap(), quick());
    assert_eq!(source.fetch().await.unwrap().snapshot.commit, Ok(head));
    let mut source = repo.source_of(&format!("file://{}", bare.display()), quick());
    assert_eq!(source.fetch().await.unwrap().snapshot.commit, Ok(head));
}

#[tokio::test]
async fn a_repository_with_long_ids_is_read() {
    let repo = Repo::with_format("sha256");
    let head = repo.commit_lock(lock('1'));
    assert_eq!(head.to_string().len(), 64);
    assert_eq!(
        repo.source().fetch().await.unwrap().snapshot.commit,
        Ok(head)
    );
}

#[tokio::test]
async fn a_rewritten_branch_is_reported_until_it_moves_on() {
    let repo = Repo::new();
    let first = repo.commit_lock(lock('1'));
    repo.commit("will vanish");
    let mut source = repo.source();
    assert!(!source.fetch().await.unwrap().snapshot.rewritten);
    repo.git(&["reset", "--quiet", "--hard", &first.to_string()]);
    repo.commit("instead");
    assert!(source.fetch().await.unwrap().snapshot.rewritten);
    assert!(
        source.fetch().await.unwrap().snapshot.rewritten,
        "the same head"
    );
    let next = repo.commit("next");
    let snapshot = source.fetch().await.unwrap().snapshot;
    assert_eq!((snapshot.commit, snapshot.rewritten), (Ok(next), false));

    drop(source);
    repo.git(&["reset", "--quiet", "--hard", &first.to_string()]);
    repo.commit("while the server was down");
    assert!(repo.source().fetch().await.unwrap().snapshot.rewritten);
}

#[tokio::test]
async fn commits_beside_the_branch_are_related_to_it() {
    let repo = Repo::new();
    repo.commit_lock(lock('1'));
    repo.git(&["checkout", "--quiet", "-b", "local"]);
    repo.commit("local 1");
    let local = repo.commit("local 2");
    repo.git(&["checkout", "--quiet", "main"]);
    let head = repo.commit("two");
    let mut source = repo.source();
    source.fetch().await.unwrap();
    let unknown: CommitId = "f".repeat(40).parse().unwrap();
    let found = source
        .reader()
        .relations(head, &[local, unknown])
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[&local].ahead, found[&local].behind), (2, 1));
    let from_local = source.reader().relations(local, &[head]).await.unwrap();
    assert_eq!((from_local[&head].ahead, from_local[&head].behind), (1, 2));
}

/// A git that writes down how it was called: one write a call, because a housekeeping call that
/// runs beside the others would otherwise come to stand in the middle of one of them.
fn recording(repo: &Repo) -> (PathBuf, PathBuf) {
    let log = repo.path().with_file_name("calls");
    let program = repo.path().with_file_name("recording-git");
    let script = format!(
        "#!/bin/sh\nprintf '%s \\n' \"$*\" >> {0}\nenv >> {0}.env\nexec git \"$@\"\n",
        log.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    (program, log)
}

#[tokio::test]
async fn nothing_is_read_again_when_nothing_changed() {
    let repo = Repo::new();
    repo.commit_lock(lock('1'));
    let (program, log) = recording(&repo);
    let address = remote(repo.path().to_str().unwrap());
    let mut source = GitSource::with_program(&program, address, main(), repo.mirror(), quick());
    let first = source.fetch().await.unwrap();
    let calls = || -> Vec<String> {
        let text = std::fs::read_to_string(&log).unwrap();
        text.lines()
            .filter(|line| !line.contains(" gc "))
            .map(str::to_owned)
            .collect()
    };
    assert!(
        calls().iter().any(|call| call.contains("cat-file")),
        "{:?}",
        calls()
    );
    let before = calls().len();
    let second = source.fetch().await.unwrap();
    assert_eq!(first, second);
    let new = &calls()[before..];
    assert_eq!(new.len(), 2, "{new:?}");
    assert!(
        new[0].contains(" fetch ") && new[1].contains(" rev-parse "),
        "{new:?}"
    );
}

#[tokio::test]
async fn credentials_reach_the_remote_and_nothing_else() {
    let repo = Repo::new();
    let web = super::web::Web::start(|request| {
        if request.header("authorization").is_some() {
            super::web::answer(404, &[], b"nothing here")
        } else {
            super::web::answer(401, &[("WWW-Authenticate", "Basic realm=x")], b"")
        }
    })
    .await;
    let (program, log) = recording(&repo);
    let address = format!("http://robot:canary-secret-1@{}/fleet.git", web.address());
    let address = remote(&address);
    let mut source = GitSource::with_program(&program, address, main(), repo.mirror(), quick());
    let why = source.fetch().await.unwrap_err();
    assert_eq!(why.cause, RemoteCause::NotFound, "{why:?}");
    assert!(!why.detail.contains("canary"), "{why:?}");
    let calls = std::fs::read_to_string(&log).unwrap();
    assert!(calls.contains("/fleet.git"), "{calls}");
    let seen = calls + &std::fs::read_to_string(log.with_extension("env")).unwrap();
    assert!(!seen.contains("canary"), "{seen}");
    for entry in std::fs::read_dir(repo.mirror()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains("canary"), "{}", path.display());
        }
    }
    // "robot:canary-secret-1" as basic authentication spells it.
    let wanted = "Basic cm9ib3Q6Y2FuYXJ5LXNlY3JldC0x";
    let sent = web.requests();
    assert!(
        sent.iter()
            .any(|request| request.header("authorization") == Some(wanted)),
        "{sent:?}"
    );
}
