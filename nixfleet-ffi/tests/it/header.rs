//! The header in the repository is what cbindgen makes of the source; it names what is exported,
//! no more and no less; C and C++ compilers take it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::c::compiler;
use crate::{has, libraries, package, run, skip, skip_extra};

const HEADER: &str = "include/nixfleet.h";

/// cbindgen names the pointers of the boundary by typedefs, `In_u8` and the like; in the header they
/// are written out.
fn resolve(generated: &str) -> String {
    let mut pointers = Vec::new();
    let mut kept: Vec<&str> = Vec::new();
    for line in generated.lines() {
        match pointer(line) {
            None => kept.push(line),
            Some(found) => {
                pointers.push(found);
                drop_comment(&mut kept);
            }
        }
    }
    let mut text = kept.join("\n") + "\n";
    for (name, before, after) in &pointers {
        let typedef = format!("{name} ");
        let mut parts = text.split(&typedef).map(str::to_owned);
        let mut whole = parts.next().unwrap();
        for part in parts {
            let end = part.find([',', ')']).unwrap();
            whole += &format!("{before}{}{after}{}", &part[..end], &part[end..]);
        }
        text = whole;
    }
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    text
}

/// `typedef const uint8_t *In_u8;`: the name, and what stands before and after it.
fn pointer(line: &str) -> Option<(String, String, String)> {
    let line = line.strip_prefix("typedef ")?.strip_suffix(';')?;
    let at = line.find("In_").or_else(|| line.find("Out_"))?;
    let end = line[at..].find(')').map_or(line.len(), |end| at + end);
    Some((
        line[at..end].to_owned(),
        line[..at].to_owned(),
        line[end..].to_owned(),
    ))
}

fn drop_comment(lines: &mut Vec<&str>) {
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    if lines.last() == Some(&" */") {
        while lines.pop() != Some("/**") {}
    }
    lines.push("");
}

fn cbindgen() -> Option<String> {
    let own = std::env::var("CBINDGEN").ok();
    own.or_else(|| has("cbindgen").then(|| "cbindgen".to_owned()))
}

#[test]
fn the_header_is_what_cbindgen_makes_of_the_source() {
    let Some(cbindgen) = cbindgen() else {
        return skip("cbindgen is not installed, so the header was not compared with the source");
    };
    let version = run(Command::new(&cbindgen).arg("--version"));
    if version.trim() != "cbindgen 0.29.4" {
        return skip(&format!(
            "{} writes another header than 0.29.4",
            version.trim()
        ));
    }
    let mut command = Command::new(&cbindgen);
    command
        .current_dir(package())
        .args(["--quiet", "--config", "cbindgen.toml", "."]);
    let made = resolve(&run(&mut command));
    let path = package().join(HEADER);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "{HEADER} is not what the source says: run this test with UPDATE_GOLDEN=1 and review it"
    );
    assert!(!made.contains("In_") && !made.contains("Out_"));
}

/// The functions of the header.
fn declared() -> BTreeSet<String> {
    let header = fs::read_to_string(package().join(HEADER)).unwrap();
    let code = header
        .lines()
        .filter(|line| !line.trim_start().starts_with(['*', '/']));
    let calls = code.filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next());
    calls
        .filter(|name| name.starts_with("nixfleet_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_library_exports_what_the_header_declares_and_nothing_else() {
    if !has("nm") {
        return skip("nm is not installed, so the exports were not looked at");
    }
    let library = libraries().join("libnixfleet.so");
    let listed = run(Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(&library));
    let exported: BTreeSet<String> = listed
        .lines()
        .filter_map(|line| line.rsplit(' ').next())
        .map(str::to_owned)
        .collect();
    let declared = declared();
    println!("exports: {} functions", exported.len());
    assert!(exported.len() >= 30, "{exported:?}");
    assert_eq!(exported, declared);
}

#[test]
fn c_and_cpp_compilers_take_the_header_without_a_warning() {
    let Some(cc) = compiler() else { return };
    let folder = tempfile::tempdir().unwrap();
    let languages = [
        ("c", "c99", "header.c"),
        ("c", "c2x", "header2.c"),
        ("c++", "c++11", "header.cc"),
    ];
    for (language, standard, name) in languages {
        let source = folder.path().join(name);
        fs::write(
            &source,
            "#include <nixfleet.h>\nint main(void) { return NIXFLEET_STATUS_OK; }\n",
        )
        .unwrap();
        let mut command = Command::new(&cc);
        command.args([
            "-x",
            language,
            &format!("-std={standard}"),
            "-Wall",
            "-Wextra",
            "-Werror",
        ]);
        command
            .args(["-pedantic", "-fsyntax-only", "-I"])
            .arg(package().join("include"));
        let output = crate::output(command.arg(&source));
        if language == "c++" && crate::both(&output).contains("cc1plus") {
            skip_extra("there is no C++ compiler");
            continue;
        }
        assert!(output.status.success(), "{}", crate::both(&output));
    }
}
