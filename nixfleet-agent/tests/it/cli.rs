//! The program itself.

use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::process::{Command, Output};
use std::thread;

use tokio_tungstenite::tungstenite::accept;

use crate::support::{Remote, git, program, script};

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(program())
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_version_is_told() {
    let output = run(&["--version"], &[]);
    assert!(output.status.success());
    assert_eq!(
        text(&output.stdout).trim(),
        concat!("nixfleet-agent ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn check_names_every_wrong_setting() {
    let output = run(
        &["check"],
        &[
            ("NIXFLEET_URL", "nonsense"),
            ("NIXFLEET_BRANCH", "-u"),
            ("NIXFLEET_PLATFORM", "custom"),
            ("NIXFLEET_REPO_URL", ""),
        ],
    );
    assert_eq!(output.status.code(), Some(1));
    let report = text(&output.stdout);
    for name in [
        "NIXFLEET_URL",
        "NIXFLEET_TOKEN",
        "NIXFLEET_BRANCH",
        "NIXFLEET_REPO_URL",
        "NIXFLEET_SWITCH_COMMAND",
    ] {
        assert!(
            report.contains(&format!("problem  settings  {name}: ")),
            "{report}"
        );
    }
}

#[test]
fn check_passes_on_a_working_host_and_says_what_a_broken_one_lacks() {
    let remote = Remote::new();
    let path = |name: &str| remote.path(name).display().to_string();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || let_one_agent_in(&listener));
    script(&remote.path("switch"), "true", 0o755);
    symlink("system-1", remote.path("system")).unwrap();
    let (state, repo, switch, link) = (path("state"), remote.url(), path("switch"), path("system"));
    let good = [
        ("NIXFLEET_URL", url.as_str()),
        ("NIXFLEET_TOKEN", "canary-token"),
        ("NIXFLEET_REPO_URL", repo.as_str()),
        ("NIXFLEET_STATE_DIR", state.as_str()),
        ("NIXFLEET_HOSTNAME", "web-1"),
        ("NIXFLEET_PLATFORM", "custom"),
        ("NIXFLEET_SWITCH_COMMAND", switch.as_str()),
        ("NIXFLEET_SYSTEM_LINK", link.as_str()),
    ];
    let output = run(&["check"], &good);
    let report = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{report}");
    let head = git(&remote.author(), &["rev-parse", "--short=7", "HEAD"]);
    assert!(report.contains(&format!("main is at {head}")), "{report}");
    assert!(!report.contains("problem") && !report.contains("canary-token"));

    server.join().unwrap();
    std::fs::remove_file(remote.path("switch")).unwrap();
    std::fs::rename(remote.path("remote.git"), remote.path("away")).unwrap();
    let output = run(&["check"], &good);
    let report = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    for subject in ["server", "remote", "platform"] {
        assert!(report.contains(&format!("problem  {subject}")), "{report}");
    }
}

/// Answers connections until one of them is a WebSocket; then nobody listens any more.
fn let_one_agent_in(listener: &TcpListener) {
    while accept(listener.accept().unwrap().0).is_err() {}
}

#[test]
fn wrong_usage_is_told_apart_from_failure() {
    assert_eq!(run(&["no-such-thing"], &[]).status.code(), Some(2));
    assert_eq!(run(&["pull", "{}"], &[]).status.code(), Some(1));
    assert_eq!(
        run(&["supervise", "/nonexistent"], &[]).status.code(),
        Some(1)
    );
}
