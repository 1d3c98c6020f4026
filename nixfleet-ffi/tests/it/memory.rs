//! Misuse under AddressSanitizer, threads, leaks; each with a control that must be noticed.

use std::process::Command;

use crate::c::build;
use crate::examples::Host;
use crate::{both, has, output, run, skip};

#[test]
fn i3_misuse_is_told_and_harms_nothing() {
    // The plain program first: where the sanitizer is missing it is still worth something.
    let sanitized = build(
        "tests/c/misuse.c",
        &["-fsanitize=address", "-fno-omit-frame-pointer"],
    );
    let Some(program) = sanitized else {
        if let Some(plain) = build("tests/c/misuse.c", &[]) {
            print!("{}", run(&mut plain.command()));
        }
        return;
    };
    print!("with AddressSanitizer: {}", run(&mut program.command()));
    let control = output(program.command().arg("--spoil"));
    assert!(
        !control.status.success(),
        "a text that was freed could be looked at"
    );
    assert!(
        both(&control).contains("heap-use-after-free"),
        "{}",
        both(&control)
    );
}

#[test]
fn i4_threads_may_do_everything_at_the_same_time() {
    let Some(program) = build("tests/c/threads.c", &[]) else {
        return;
    };
    print!("{}", run(program.command().arg("3000")));
}

fn valgrind() -> Option<Command> {
    if !has("valgrind") {
        skip("valgrind is not installed, so nobody looked for leaks");
        return None;
    }
    let mut valgrind = Command::new("valgrind");
    valgrind.args([
        "--quiet",
        "--leak-check=full",
        "--show-leak-kinds=definite,indirect,possible",
    ]);
    valgrind.args([
        "--errors-for-leak-kinds=definite,indirect,possible",
        "--error-exitcode=99",
    ]);
    Some(valgrind)
}

#[test]
fn nothing_leaks() {
    let (Some(mut under), Some(program)) = (valgrind(), build("tests/c/leaks.c", &[])) else {
        return;
    };
    print!("under valgrind: {}", run(under.arg(&program.path)));
    let mut control = valgrind().unwrap();
    let lost = output(control.arg(&program.path).arg("--lose"));
    assert_eq!(
        lost.status.code(),
        Some(99),
        "a block that was lost was not noticed: {}",
        both(&lost)
    );
}

#[test]
fn the_example_in_c_leaks_nothing() {
    let (Some(mut under), Some(program)) = (valgrind(), build("examples/dots.c", &[])) else {
        return;
    };
    let host = Host::new();
    under
        .arg(&program.path)
        .arg(host.lock())
        .arg(host.path("version.json"));
    run(&mut under);
}
