//! Every way in which a git remote or its mirror can fail, and how it heals.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use nixfleet_core::desired::{RemoteCause, Unavailable};
use nixfleet_server::sources::{GitSource, Limits};
use tokio::net::TcpListener;

use super::repo::{Repo, lock, main, quick, remote};
use super::web::{Web, answer};

async fn why(source: &mut GitSource) -> Unavailable {
    source.fetch().await.unwrap_err()
}

#[tokio::test]
async fn a_remote_that_goes_away_comes_back() {
    let repo = Repo::new();
    let head = repo.commit_lock(lock('1'));
    let mut source = repo.source();
    assert_eq!(source.fetch().await.unwrap().snapshot.commit, Ok(head));
    let elsewhere = repo.path().with_file_name("elsewhere");
    std::fs::rename(repo.path(), &elsewhere).unwrap();
    assert_eq!(why(&mut source).await.cause, RemoteCause::NotFound);
    std::fs::rename(&elsewhere, repo.path()).unwrap();
    assert_eq!(source.fetch().await.unwrap().snapshot.commit, Ok(head));
}

#[tokio::test]
async fn branches_that_are_missing_empty_or_deleted_are_told_apart() {
    let repo = Repo::new();
    let mut source = repo.source();
    let empty = why(&mut source).await;
    assert_eq!(empty.cause, RemoteCause::BranchMissing);
    assert!(empty.detail.contains("no commit"), "{empty:?}");

    let head = repo.commit_lock(lock('1'));
    assert_eq!(source.fetch().await.unwrap().snapshot.commit, Ok(head));
    repo.git(&["branch", "--move", "main", "trunk"]);
    let missing = why(&mut source).await;
    assert_eq!(missing.cause, RemoteCause::BranchMissing);
    assert!(missing.detail.contains("trunk"), "{missing:?}");
    repo.git(&["branch", "--move", "trunk", "main"]);
    assert_eq!(source.fetch().await.unwrap().snapshot.commit, Ok(head));
}

#[tokio::test]
async fn network_failures_have_a_cause_each() {
    let repo = Repo::new();
    let refused = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let web = Web::start(|request| match request.path.split('/').nth(1) {
        Some("denied") => answer(403, &[], b""),
        Some("login") => answer(401, &[("WWW-Authenticate", "Basic realm=x")], b""),
        Some("absent") => answer(404, &[], b""),
        Some("busy") => answer(503, &[], b""),
        _ => answer(
            200,
            &[("Content-Type", "text/html")],
            b"<html>\n<body>hello</body>\n</html>\n",
        ),
    })
    .await;
    let web = web.address();
    for (address, cause) in [
        (format!("http://{refused}/x.git"), RemoteCause::Unreachable),
        (format!("git://{refused}/x.git"), RemoteCause::Unreachable),
        (
            "https://nosuchhost.invalid/x.git".to_owned(),
            RemoteCause::Unreachable,
        ),
        (format!("http://{web}/denied"), RemoteCause::AccessDenied),
        (format!("http://{web}/login"), RemoteCause::AccessDenied),
        (format!("http://{web}/absent"), RemoteCause::NotFound),
        (format!("http://{web}/busy"), RemoteCause::HttpStatus(503)),
        (format!("http://{web}/page"), RemoteCause::NotFound),
        ("/nowhere/at/all".to_owned(), RemoteCause::NotFound),
    ] {
        let mut source = repo.source_of(&address, quick());
        let why = why(&mut source).await;
        assert_eq!(why.cause, cause, "{address}: {why:?}");
        assert!(!why.detail.is_empty(), "{address}");
    }
}

#[tokio::test]
async fn a_remote_that_never_answers_times_out() {
    let repo = Repo::new();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("git://{}/x.git", silent.local_addr().unwrap());
    let limits = Limits {
        window: Duration::from_secs(2),
        silence: Duration::from_millis(500),
        ..quick()
    };
    let mut source = repo.source_of(&address, limits);
    assert_eq!(why(&mut source).await.cause, RemoteCause::TimedOut);
}

/// A git program that first does what `prelude` says.
fn slow_git(repo: &Repo, prelude: &str) -> std::path::PathBuf {
    let program = repo.path().with_file_name("slow-git");
    std::fs::write(&program, format!("#!/bin/sh\n{prelude}\nexec git \"$@\"\n")).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    program
}

#[tokio::test]
async fn a_long_transfer_goes_on_in_the_background() {
    let repo = Repo::new();
    let head = repo.commit_lock(lock('1'));
    let gate = repo.path().with_file_name("gate");
    std::fs::write(&gate, "").unwrap();
    let runs = repo.path().with_file_name("runs");
    let prelude = format!(
        "case \"$*\" in *' fetch '*) echo x >> {}; while [ -e {} ]; do echo moving >&2; sleep 0.05; done;; esac",
        runs.display(),
        gate.display()
    );
    let program = slow_git(&repo, &prelude);
    let limits = Limits {
        window: Duration::from_secs(1),
        ..quick()
    };
    let address = remote(repo.path().to_str().unwrap());
    let mut source = GitSource::with_program(&program, address, main(), repo.mirror(), limits);
    for _ in 0..2 {
        let why = why(&mut source).await;
        assert_eq!(why.cause, RemoteCause::TimedOut);
        assert!(why.detail.contains("background"), "{why:?}");
    }
    let started = || std::fs::read_to_string(&runs).unwrap().lines().count();
    assert_eq!(started(), 1, "one transfer, not one for each fetch");
    std::fs::remove_file(&gate).unwrap();
    let fetched = loop {
        if let Ok(fetched) = source.fetch().await {
            break fetched;
        }
    };
    assert_eq!(fetched.snapshot.commit, Ok(head));
    assert!(
        started() >= 2,
        "what the old transfer saw is not told as news"
    );
}

#[tokio::test]
async fn a_missing_git_program_is_named() {
    let repo = Repo::new();
    let address = remote(repo.path().to_str().unwrap());
    let program = Path::new("/nonexistent/git");
    let mut source = GitSource::with_program(program, address, main(), repo.mirror(), quick());
    assert_eq!(why(&mut source).await.cause, RemoteCause::GitMissing);
}

/// Damages the mirror in one way after another; the next reading must be right every time.
#[tokio::test]
async fn a_damaged_mirror_is_made_again() {
    type Damage = fn(&Path);
    let all: [(&str, Damage); 8] = [
        ("no objects", |mirror| {
            std::fs::remove_dir_all(mirror.join("objects")).unwrap();
            std::fs::create_dir(mirror.join("objects")).unwrap();
        }),
        ("objects emptied", |mirror| {
            for_each_file(&mirror.join("objects"), &|path| {
                std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
                std::fs::write(path, "").unwrap();
            });
        }),
        ("objects overwritten", |mirror| {
            for_each_file(&mirror.join("objects"), &|path| {
                std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
                std::fs::write(path, "garbage, and quite some of it").unwrap();
            });
        }),
        ("no HEAD", |mirror| {
            std::fs::remove_file(mirror.join("HEAD")).unwrap()
        }),
        ("bad configuration", |mirror| {
            std::fs::write(mirror.join("config"), "[core").unwrap()
        }),
        ("bad reference", |mirror| {
            std::fs::write(mirror.join("refs/heads/main"), "nonsense\n").unwrap();
        }),
        ("stale lock", |mirror| {
            std::fs::write(mirror.join("refs/heads/main.lock"), "").unwrap();
        }),
        ("not a folder", |mirror| {
            std::fs::remove_dir_all(mirror).unwrap();
            std::fs::write(mirror, "").unwrap();
        }),
    ];
    let repo = Repo::new();
    repo.commit_lock(lock('1'));
    for restarted in [false, true] {
        let mut source = repo.source();
        source.fetch().await.unwrap();
        for (name, damage) in all {
            if restarted {
                source = repo.source();
            }
            damage(&repo.mirror().join("repo.git"));
            let head = repo.commit(name);
            let fetched = source.fetch().await;
            let fetched = fetched.unwrap_or_else(|why| panic!("{name}: {why:?}"));
            assert_eq!(fetched.snapshot.commit, Ok(head), "{name}");
            assert!(fetched.snapshot.lock.is_ok(), "{name}");
            assert!(!fetched.snapshot.rewritten, "{name}");
            assert!(source.fetch().await.unwrap().history.is_some(), "{name}");
        }
    }
}

fn for_each_file(folder: &Path, act: &dyn Fn(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            for_each_file(&path, act);
        } else {
            act(&path);
        }
    }
}

#[tokio::test]
async fn a_damaged_remote_is_malformed_and_heals() {
    let repo = Repo::new();
    repo.commit_lock(lock('1'));
    repo.git(&["repack", "-adq"]);
    let mut source = repo.source();
    source.fetch().await.unwrap();
    let head = repo.commit("loose objects");
    let tree = repo.git(&["rev-parse", &format!("{head}^{{tree}}")]);
    let commit = head.to_string();
    let object = repo
        .path()
        .join(".git/objects")
        .join(&commit[..2])
        .join(&commit[2..]);
    let content = std::fs::read(&object).unwrap();
    std::fs::set_permissions(&object, PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(&object, "broken").unwrap();
    let broken = why(&mut source).await;
    assert_eq!(broken.cause, RemoteCause::Malformed, "{broken:?} {tree}");
    std::fs::write(&object, content).unwrap();
    assert_eq!(source.fetch().await.unwrap().snapshot.commit, Ok(head));
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_written_is_our_own_fault() {
    let repo = Repo::new();
    repo.commit_lock(lock('1'));
    std::fs::write(repo.path().with_file_name("data"), "a file in the way").unwrap();
    assert_eq!(
        why(&mut repo.source()).await.cause,
        RemoteCause::MirrorFailed
    );
}

#[tokio::test]
async fn another_remote_in_the_same_folder_starts_afresh() {
    let repo = Repo::new();
    repo.commit_lock(lock('1'));
    repo.source().fetch().await.unwrap();
    let other = Repo::new();
    let head = other.commit_lock(lock('2'));
    let mut source = repo.source_of(other.path().to_str().unwrap(), quick());
    let fetched = source.fetch().await.unwrap();
    assert_eq!(fetched.snapshot.commit, Ok(head));
    assert!(
        !fetched.snapshot.rewritten,
        "another repository is not a rewritten one"
    );
    assert_eq!(fetched.history.unwrap().commits.commits(), [head]);
}

#[tokio::test]
async fn hostile_content_runs_and_writes_nothing() {
    let repo = Repo::new();
    let marker = repo.path().with_file_name("marker");
    let evil = format!("#!/bin/sh\ntouch {}\n", marker.display());
    for hook in [
        "post-checkout",
        "post-merge",
        "reference-transaction",
        "pre-auto-gc",
        "post-update",
    ] {
        repo.write(&format!("hooks/{hook}"), &evil);
        repo.write(&format!(".git/hooks/{hook}"), &evil);
    }
    repo.write(
        ".gitattributes",
        "* filter=evil\nflake.lock text eol=crlf\n",
    );
    repo.write(
        ".gitmodules",
        "[submodule \"x\"]\n\tpath = x\n\turl = ./sub\n",
    );
    repo.git(&[
        "config",
        "uploadpack.packObjectsHook",
        &format!("sh -c 'touch {}'", marker.display()),
    ]);
    let head = repo.commit_lock(lock('1'));
    let fetched = repo.source().fetch().await.unwrap();
    assert_eq!(fetched.snapshot.commit, Ok(head));
    assert!(!marker.exists());
    assert!(!repo.mirror().join("repo.git/hooks").exists());
}
