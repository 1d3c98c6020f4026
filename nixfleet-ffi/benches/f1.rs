//! Goal F1, in C: builds `f1.c` with the library of this profile and runs it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

fn main() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().unwrap();
    let program = folder.join("f1-in-c");
    let mut cc = Command::new("cc");
    cc.args([
        "-std=c11",
        "-D_POSIX_C_SOURCE=200809L",
        "-O2",
        "-Wall",
        "-I",
    ]);
    cc.arg(package.join("include")).arg("-o").arg(&program);
    cc.arg(package.join("benches/f1.c"))
        .arg(folder.join("libnixfleet.a"));
    match cc.args(["-lpthread", "-ldl", "-lm"]).status() {
        Err(error) => println!("SKIPPED: F1 needs a C compiler: {error}"),
        Ok(status) if !status.success() => panic!("cc: {status}"),
        Ok(_) => {
            let status = Command::new(&program).status().unwrap();
            assert!(status.success(), "{status}");
        }
    }
}
