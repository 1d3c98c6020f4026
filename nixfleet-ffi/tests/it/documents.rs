//! The lines of `docs/embedding.md` and of the README do what they say. (Its Rust is a documentation
//! test of this crate.)

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::vectors::python;
use crate::{has, repository, run, skip, skip_extra};

const GUIDE: &str = "docs/embedding.md";

/// The blocks in this language.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(repository().join(document)).unwrap();
    let start = format!("```{language}\n");
    let parts = text.split(&start).skip(1);
    parts
        .map(|part| part.split("\n```").next().unwrap().to_owned())
        .collect()
}

/// Runs lines of a shell with another home, in which cargo still finds its own.
fn shell(lines: &str, home: &Path, folder: &Path) -> String {
    let own = PathBuf::from(env::var_os("HOME").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell
        .args(["-euc", lines])
        .current_dir(folder)
        .env("HOME", home);
    for (name, default) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        shell.env(
            name,
            env::var_os(name).unwrap_or_else(|| own.join(default).into()),
        );
    }
    run(&mut shell)
}

#[test]
fn c_builds_installs_links_and_runs_as_documented() {
    if !has("cc") {
        return skip("there is no cc, so the lines for C were not run");
    }
    let home = tempfile::tempdir().unwrap();
    let work = tempfile::tempdir().unwrap();
    let lines = blocks(GUIDE, "sh");
    let [install, shared, alone, python] = lines.as_slice() else {
        panic!("{} blocks", lines.len());
    };
    assert!(python.contains("pip install"));
    let told = shell(install, home.path(), &repository());
    assert!(told.contains("is installed below"), "{told}");
    fs::write(work.path().join("colour.c"), &blocks(GUIDE, "c")[0]).unwrap();
    let mut answers = vec![shell(alone, home.path(), work.path())];
    if has("pkg-config") {
        answers.push(shell(shared, home.path(), work.path()));
        let version = "PKG_CONFIG_PATH=$HOME/.local/lib/pkgconfig pkg-config --modversion nixfleet";
        let version = shell(version, home.path(), work.path());
        assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));
    } else {
        skip("pkg-config is not installed");
    }
    for answer in answers {
        let told: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(told["compartments"]["agent"]["status"], "ok");
        assert_eq!(told["compartments"]["git"]["status"], "error");
    }
}

#[test]
fn python_says_what_is_documented() {
    let Some(mut python) = python() else { return };
    for document in [GUIDE, "README.md"] {
        let text = fs::read_to_string(repository().join(document)).unwrap();
        assert!(
            text.contains(">>> import nixfleet"),
            "{document} has no example"
        );
    }
    let documents = [
        "docs/embedding.md",
        "README.md",
        "nixfleet-ffi/python/README.md",
    ];
    run(python
        .current_dir(repository())
        .args(["-m", "doctest"])
        .args(documents));
}

#[test]
fn cargo_c_builds_it_where_it_is_installed() {
    if !has("cargo-cbuild") && !has("cargo-capi") {
        return skip_extra(
            "cargo-c is not installed; nixfleet-ffi/install does the same and is tested",
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(repository())
        .args(["cinstall", "--locked", "-p", "nixfleet-ffi"]);
    run(cargo
        .arg("--destdir")
        .arg(folder.path())
        .args(["--prefix", "/usr", "--libdir", "/usr/lib"]));
    for name in [
        "include/nixfleet.h",
        "lib/pkgconfig/nixfleet.pc",
        "lib/libnixfleet.a",
    ] {
        assert!(folder.path().join("usr").join(name).is_file(), "{name}");
    }
}
