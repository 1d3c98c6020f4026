//! Files that are kept current by tests. `UPDATE_GOLDEN=1` rewrites them; a difference in one is
//! reviewed like code.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}

/// The content of a file of the repository.
pub fn read(path: &str) -> String {
    let full = root().join(path);
    fs::read_to_string(&full).unwrap_or_else(|error| panic!("{}: {error}", full.display()))
}

/// The content of a file that need not be text.
pub fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder of the repository with this extension, by name.
pub fn files(folder: &str, extension: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|e| e == extension))
        .collect();
    names.sort_unstable();
    names
}

/// Whether goldens are to be rewritten instead of compared.
pub fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1")
}

/// The file must have exactly this content.
pub fn check(path: &str, expected: &str) {
    let full = root().join(path);
    if updating() {
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(&full, expected).unwrap();
        return;
    }
    let found = fs::read_to_string(&full).unwrap_or_default();
    if let Some(difference) = first_difference(&found, expected) {
        panic!(
            "{path} is not current: {difference}\n\
             If the change is meant, run the test again with UPDATE_GOLDEN=1 and review the diff."
        );
    }
}

/// The first line in which two texts differ.
pub fn first_difference(found: &str, expected: &str) -> Option<String> {
    if found == expected {
        return None;
    }
    let (mut left, mut right) = (found.lines(), expected.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (left.next(), right.next()) {
            (None, None) => return Some("the end of the file differs".to_owned()),
            (one, other) if one == other => {}
            (one, other) => {
                let [one, other] = [one, other].map(|line| line.unwrap_or("(end of file)"));
                return Some(format!(
                    "line {number}\n    file:     {one}\n    expected: {other}"
                ));
            }
        }
    }
}

const END: &str = "<!-- end -->";

/// Every `<!-- generated: name -->` block of a document must have the content that `block` gives
/// for its name; what stands around the blocks is written by hand.
pub fn check_blocks(path: &str, block: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let found = read(path);
    let (expected, names) = with_blocks(&found, block);
    check(path, &expected);
    names
}

fn with_blocks(text: &str, block: impl Fn(&str) -> Option<String>) -> (String, Vec<String>) {
    let mut names = Vec::new();
    let mut expected = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<!-- generated: ") {
        let (name, after) = after.split_once(" -->").expect("the marker ends");
        let (_, after) = after
            .split_once(END)
            .unwrap_or_else(|| panic!("the block {name} has no end"));
        let content = block(name).unwrap_or_else(|| panic!("nothing generates the block {name}"));
        expected.push_str(before);
        expected.push_str(&format!(
            "<!-- generated: {name} -->\n{}\n{END}",
            content.trim_end()
        ));
        names.push(name.to_owned());
        rest = after;
    }
    expected.push_str(rest);
    (expected, names)
}

#[test]
fn blocks_are_replaced_and_prose_is_kept() {
    let text = "a\n<!-- generated: x -->\nold\n<!-- end -->\nb\n";
    let (new, names) = with_blocks(text, |name| Some(format!("new {name}\n")));
    assert_eq!(new, "a\n<!-- generated: x -->\nnew x\n<!-- end -->\nb\n");
    assert_eq!(names, ["x"]);
    assert!(first_difference(text, &new).unwrap().contains("line 3"));
    assert_eq!(first_difference(text, text), None);
}
