//! Building and running programs in C.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::{both, has, libraries, output, package, skip};

/// The compiler, or nothing, said loudly.
pub fn compiler() -> Option<String> {
    let found = ["cc", "gcc", "clang"].into_iter().find(|name| has(name));
    if found.is_none() {
        skip("there is no C compiler");
    }
    found.map(str::to_owned)
}

/// What a program in C needs beside libnixfleet.a: what the documentation says.
pub const STATIC_FLAGS: &[&str] = &["-lpthread", "-ldl", "-lm"];

/// A program, and the folder that vanishes with it.
pub struct Program {
    pub path: PathBuf,
    _folder: TempDir,
}

/// Builds a program from a source below this package, with the static library.
pub fn build(source: &str, flags: &[&str]) -> Option<Program> {
    let cc = compiler()?;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program");
    let mut command = Command::new(cc);
    command.args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-g", "-O1"]);
    command
        .args(["-Wall", "-Wextra", "-Werror", "-pedantic"])
        .args(flags);
    command
        .arg("-I")
        .arg(package().join("include"))
        .arg("-o")
        .arg(&path);
    command
        .arg(package().join(source))
        .arg(libraries().join("libnixfleet.a"));
    let built = output(command.args(STATIC_FLAGS));
    if !built.status.success() && flags.iter().any(|flag| flag.starts_with("-fsanitize")) {
        let told = both(&built);
        if told.contains("cannot find") {
            skip(&format!(
                "{source} with {flags:?}: the compiler lacks the library for it"
            ));
            return None;
        }
    }
    assert!(built.status.success(), "{source}: {}", both(&built));
    Some(Program {
        path,
        _folder: folder,
    })
}

impl Program {
    pub fn command(&self) -> Command {
        Command::new(&self.path)
    }
}
