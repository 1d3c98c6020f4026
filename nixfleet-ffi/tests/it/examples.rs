//! The examples on a real checkout: what they print and how they exit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::c::{Program, build};
use crate::vectors::python;
use crate::{both, output, package, run};

const LOCK: &str = r#"{"version": 7, "root": "root", "nodes": {"root": {}}}"#;

/// A host: a git checkout with its lock, a published page, an observation.
pub struct Host {
    folder: TempDir,
    pub commit: String,
}

impl Host {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let checkout = folder.path().join("checkout");
        fs::create_dir(&checkout).unwrap();
        fs::write(checkout.join("flake.lock"), LOCK).unwrap();
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            git.arg("-C").arg(&checkout).args(arguments);
            for (name, value) in [("NAME", "A"), ("EMAIL", "a@example.org")] {
                git.env(format!("GIT_AUTHOR_{name}"), value);
                git.env(format!("GIT_COMMITTER_{name}"), value);
            }
            run(&mut git)
        };
        git(&["init", "-q", "-b", "main"]);
        git(&["add", "."]);
        git(&["commit", "-q", "-m", "first"]);
        let commit = git(&["rev-parse", "HEAD"]).trim().to_owned();
        let host = Self { folder, commit };
        host.publishes(&host.commit, &lock_hash());
        host
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn lock(&self) -> PathBuf {
        self.path("checkout/flake.lock")
    }

    pub fn publishes(&self, commit: &str, lock: &str) {
        let page =
            format!(r#"{{"gitCommit": "{commit}", "lockHash": "{lock}", "branch": "main"}}"#);
        fs::write(self.path("version.json"), page).unwrap();
    }

    /// What an agent would report after a deployment that was tested.
    pub fn observed(&self) {
        let path = format!("/nix/store/{}-system", "0".repeat(32));
        let (commit, lock) = (&self.commit, lock_hash());
        let built =
            format!(r#""commit": "{commit}", "lock_hash": "{lock}", "store_path": "{path}""#);
        let observation = format!(
            r#"{{"host": {{"agent_version": "{version}", "capabilities": ["commands", "lock"],
                "deployed": {{{built}, "clean": true}},
                "system": {{"path": "{path}", "configuration_revision": "{commit}"}}}},
              "deploy": {{"outcome": "ok"}},
              "tests": {{"key": {{{built}}}, "verdict": "pass", "ran": 3}}}}"#,
            version = env!("CARGO_PKG_VERSION"),
        );
        fs::write(self.path("observation.json"), observation).unwrap();
    }

    fn ask(&self, mut program: Command, observed: bool) -> Output {
        program.arg(self.lock()).arg(self.path("version.json"));
        if observed {
            program.arg(self.path("observation.json"));
        }
        output(&mut program)
    }
}

pub fn lock_hash() -> String {
    nixfleet_core::lock_hash(LOCK.as_bytes()).to_string()
}

fn told(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().collect::<Vec<_>>().join(", ")
}

/// The same for the program in C and the one in Python.
fn dots(make: impl Fn() -> Command) {
    let host = Host::new();
    host.observed();
    let says = |observed, expected: &str| {
        let output = host.ask(make(), observed);
        assert_eq!(told(&output), expected, "{}", both(&output));
        assert!(output.status.success());
    };
    says(
        false,
        "agent gray, git green, lock green, system gray, tests gray",
    );
    says(
        true,
        "agent green, git green, lock green, system green, tests green",
    );
    host.publishes(&"b".repeat(40), &"c".repeat(64));
    says(
        false,
        "agent gray, git yellow, lock yellow, system gray, tests gray",
    );
    says(
        true,
        "agent green, git yellow, lock yellow, system yellow, tests yellow",
    );
    host.publishes(&host.commit, "");
    says(
        false,
        "agent gray, git green, lock red, system gray, tests gray",
    );
    // Local changes are no longer the desired commit.
    host.publishes(&host.commit, &lock_hash());
    fs::write(host.lock(), format!("{LOCK}\n")).unwrap();
    says(
        false,
        "agent gray, git yellow, lock yellow, system gray, tests gray",
    );

    let fails = |expected: &str, code: i32| {
        let output = host.ask(make(), false);
        assert_eq!(output.status.code(), Some(code), "{}", both(&output));
        assert!(both(&output).contains(expected), "{}", both(&output));
        assert!(output.stdout.is_empty(), "{}", both(&output));
    };
    fs::write(host.lock(), "<<<<<<< HEAD").unwrap();
    fails("flake.lock: expected JSON", 1);
    fs::write(host.path("version.json"), r#"{"lockHash": "short"}"#).unwrap();
    fs::write(host.lock(), LOCK).unwrap();
    fails("version.json: field `lockHash`", 1);
    fs::remove_file(host.lock()).unwrap();
    fails("No such file", 1);
    assert_eq!(output(&mut make()).status.code(), Some(2));
}

#[test]
fn the_program_in_c_prints_five_dots_or_a_clear_error() {
    if let Some(program) = build("examples/dots.c", &[]) {
        dots(|| Program::command(&program));
    }
}

fn script(name: &str) -> Option<impl Fn() -> Command> {
    python()?;
    let script = package().join("examples").join(name);
    Some(move || {
        let mut python = python().unwrap();
        python.arg(&script);
        python
    })
}

#[test]
fn the_script_in_python_prints_the_same() {
    if let Some(make) = script("dots.py") {
        dots(make);
    }
}

#[test]
fn the_check_plugin_speaks_the_exit_codes_of_nagios() {
    let Some(make) = script("check_nixfleet.py") else {
        return;
    };
    let host = Host::new();
    host.observed();
    let says = |observed, code: i32, expected: &str| {
        let output = host.ask(make(), observed);
        assert_eq!(output.status.code(), Some(code), "{}", both(&output));
        assert!(told(&output).starts_with(expected), "{}", both(&output));
    };
    says(true, 0, "NIXFLEET OK - ");
    says(false, 3, "NIXFLEET UNKNOWN - agent: the host was not asked");
    host.publishes(&"b".repeat(40), &lock_hash());
    says(true, 1, "NIXFLEET WARNING - git: ");
    host.publishes(&host.commit, "");
    says(true, 2, "NIXFLEET CRITICAL - lock: ");
    fs::write(host.lock(), "{").unwrap();
    says(true, 3, "NIXFLEET UNKNOWN - flake.lock: ");
    assert_eq!(output(&mut make()).status.code(), Some(3));
}

#[test]
fn the_textfile_is_whole_and_never_keeps_an_old_status() {
    let Some(make) = script("textfile.py") else {
        return;
    };
    let host = Host::new();
    host.observed();
    let folder = host.path("collector");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("nixfleet.prom");
    let writes = |code: i32| {
        let mut command = make();
        command.arg("--output").arg(&file);
        let output = host.ask(command, true);
        assert_eq!(output.status.code(), Some(code), "{}", both(&output));
        let names: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|one| one.unwrap().path())
            .collect();
        assert_eq!(names, [file.as_path()]);
        fs::read_to_string(&file).unwrap()
    };
    let good = writes(0);
    let status = |text: &str, compartment: &str, status: &str| {
        let start = format!(
            r#"nixfleet_compartment_status{{compartment="{compartment}",status="{status}"}} "#
        );
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&start))
            .unwrap();
        line == "1"
    };
    assert!(status(&good, "system", "ok") && !status(&good, "system", "error"));
    assert_eq!(good.matches("nixfleet_compartment_status{").count(), 25);
    fs::write(host.lock(), "{").unwrap();
    let bad = writes(1);
    assert!(
        bad.contains("nixfleet_readable 0") && !bad.contains("compartment="),
        "{bad}"
    );
    let mut command = make();
    command
        .arg("--output")
        .arg(Path::new("/nonexistent/nixfleet.prom"));
    assert_eq!(host.ask(command, true).status.code(), Some(2));
}
