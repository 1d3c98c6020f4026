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

#[test]
fn check_tells_whether_inputs_can_be_updated_and_tries_a_push_only_when_asked() {
    let remote = Remote::new();
    git(remote.folder.path(), &["clone", "-q", "remote.git", "mine"]);
    let mine = remote.path("mine");
    let state = remote.path("state").display().to_string();
    let repo = mine.display().to_string();
    script(&remote.path("bump"), "true", 0o755);
    let bump = remote.path("bump").display().to_string();
    let settings = [
        ("NIXFLEET_URL", "http://127.0.0.1:1"),
        ("NIXFLEET_TOKEN", "canary-token"),
        ("NIXFLEET_REPO_DIR", repo.as_str()),
        ("NIXFLEET_STATE_DIR", state.as_str()),
        ("NIXFLEET_HOSTNAME", "web-1"),
        ("NIXFLEET_PLATFORM", "custom"),
        ("NIXFLEET_SWITCH_COMMAND", "/bin/true"),
        ("NIXFLEET_SYSTEM_LINK", "/nowhere"),
        ("NIXFLEET_UPDATE_COMMAND", bump.as_str()),
        ("NIXFLEET_AUTO_UPDATE", "false"),
        ("NIXFLEET_PRIORITY", "-3"),
    ];
    let before = git(&remote.path("remote.git"), &["for-each-ref"]);
    let report = text(&run(&["check", "--push"], &settings).stdout);
    for line in [
        format!(
            "ok       updates   update-inputs runs {bump} and pushes to main as NixFleet <nixfleet@web-1>"
        ),
        "ok       policy    auto_update false, priority -3, canary the server's".to_owned(),
        format!("ok       push      {} lets this host push", remote.url()),
    ] {
        assert!(report.contains(&line), "{line}\n{report}");
    }
    assert_eq!(git(&remote.path("remote.git"), &["for-each-ref"]), before);
    assert!(!remote.path("state/check-push").exists());

    git(
        &mine,
        &["remote", "set-url", "--push", "origin", "/nowhere"],
    );
    let report = text(&run(&["check", "--push"], &settings).stdout);
    assert!(report.contains("problem  push"), "{report}");
    assert!(report.contains("ok       remote"), "the control: {report}");
    let report = text(&run(&["check"], &settings).stdout);
    assert!(!report.contains(" push  "), "{report}");

    std::fs::remove_file(remote.path("bump")).unwrap();
    let report = text(&run(&["check"], &settings).stdout);
    assert!(report.contains("problem  updates"), "{report}");
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
