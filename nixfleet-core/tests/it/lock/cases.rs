//! Single locks: what is read out of them, and what exactly each error says.

use nixfleet_core::lock::{self, MAX_INPUT_DEPTH, MAX_LOCK_BYTES, MAX_NODES, MAX_VALUE_BYTES};
use nixfleet_core::{ChangeKind, FlakeLock, InputKind, LockComparison, LockParseError};
use serde_json::{Map, Value, json};

use super::generate::{Input, Lock};

fn parse(json: &Value) -> Result<FlakeLock, LockParseError> {
    FlakeLock::parse(json.to_string().as_bytes())
}

fn lock(nodes: Value) -> Value {
    json!({"version": 7, "root": "root", "nodes": nodes})
}

fn node(kind: usize) -> Value {
    input(kind).json()
}

fn input(kind: usize) -> Input {
    Input {
        parent: 0,
        kind,
        rev: 0xab,
        date: 1_767_312_000,
        flake: true,
        owner: "o",
    }
}

fn with(mut json: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let object = json.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    object.insert(key.to_owned(), value);
    json
}

fn without(mut json: Value, pointer: &str) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let object = json.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    assert!(object.remove(key).is_some(), "{pointer}");
    json
}

fn plain() -> Value {
    lock(json!({"root": {"inputs": {"a": "a"}}, "a": node(0)}))
}

#[test]
fn every_fetcher_is_read() {
    let kinds = [
        (InputKind::Github, "github:o/r", true),
        (InputKind::Gitlab, "gitlab:o/r?host=git.example.org", true),
        (InputKind::Sourcehut, "sourcehut:o/r", true),
        (InputKind::Git, "git:https://o.example.org/r", true),
        (InputKind::Mercurial, "hg:https://o.example.org/r", true),
        (InputKind::Path, "path:/srv/o", true),
        (
            InputKind::Tarball,
            "tarball:https://o.example.org/r.tar.xz",
            true,
        ),
        (InputKind::File, "file:https://o.example.org/r", true),
        (
            InputKind::Other("from-the-future".into()),
            "from-the-future:",
            true,
        ),
    ];
    for (number, (kind, shown, has_rev)) in kinds.into_iter().enumerate() {
        let lock = parse(&lock(
            json!({"root": {"inputs": {"a": "a"}}, "a": node(number)}),
        ))
        .unwrap();
        let locked = lock.input(&["a"]).unwrap().node.locked().unwrap();
        assert_eq!(locked.kind(), &kind);
        assert_eq!(locked.to_string(), shown);
        assert_eq!(locked.short_rev(), has_rev.then_some("abababa"), "{kind:?}");
        assert_eq!(locked.pin().to_string(), "abababa (2026-01-02)");
    }
    let registry = with(
        plain(),
        "/nodes/a/original",
        json!({"type": "indirect", "id": "nixpkgs"}),
    );
    let lock = parse(&registry).unwrap();
    let original = lock.input(&["a"]).unwrap().node.original().unwrap();
    assert_eq!(original.to_string(), "indirect:nixpkgs");
}

#[test]
fn an_input_without_revision_shows_its_content_hash() {
    let json = without(
        lock(json!({"root": {"inputs": {"a": "a"}}, "a": node(6)})),
        "/nodes/a/locked/rev",
    );
    let lock = parse(&json).unwrap();
    let pin = lock.input(&["a"]).unwrap().node.locked().unwrap().pin();
    assert_eq!(pin.to_string(), "sha256-abababa (2026-01-02)");
    assert_eq!(nixfleet_core::Pin::default().to_string(), "unpinned");
}

#[test]
fn version_5_keeps_hash_and_date_beside_locked() {
    let json = without(plain(), "/nodes/a/locked/narHash");
    let json = without(json, "/nodes/a/locked/lastModified");
    let info = json!({"narHash": "sha256-old", "lastModified": 1_767_312_000});
    let json = with(with(json, "/nodes/a/info", info), "/version", json!(5));
    let lock = parse(&json).unwrap();
    assert_eq!(lock.version(), 5);
    let locked = lock.input(&["a"]).unwrap().node.locked().unwrap();
    assert_eq!(locked.nar_hash(), Some("sha256-old"));
    assert_eq!(locked.last_modified(), Some(1_767_312_000));
}

#[test]
fn follows_lead_to_nodes_through_each_other_and_to_the_flake_itself() {
    let lock = parse(&lock(json!({
        "root": {"inputs": {"a": "a", "b": ["a", "c"], "d": ["b"], "self": []}},
        "a": {"inputs": {"c": "c"}, "locked": node(0)["locked"], "original": node(0)["original"]},
        "c": node(1),
    })))
    .unwrap();
    assert_eq!(lock.input(&["d"]).unwrap().node.name(), "c");
    assert_eq!(
        lock.input(&["b"]).unwrap().follows.unwrap().join("/"),
        "a/c"
    );
    assert_eq!(lock.input(&["self"]).unwrap().node.name(), "root");
    assert_eq!(lock.input(&["self", "a", "c"]).unwrap().node.name(), "c");
    assert!(lock.input(&["a", "x"]).is_none());
    assert!(lock.input(&[]).is_none());
}

#[test]
fn shared_and_circular_nodes_of_versions_5_and_6_are_read_and_compared_once() {
    let old = with(
        lock(json!({
            "root": {"inputs": {"a": "a", "b": "b"}},
            "a": with(node(0), "/inputs", json!({"b": "b"})),
            "b": with(node(0), "/inputs", json!({"a": "a"})),
        })),
        "/version",
        json!(6),
    );
    let new = with(old.clone(), "/nodes/b/locked/rev", json!("1".repeat(40)));
    let diff = lock::diff(&parse(&old).unwrap(), &parse(&new).unwrap());
    let lines: Vec<_> = diff.changes().iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["b abababa (2026-01-02) → 1111111 (2026-01-02)"]);
    assert!(diff.revisions_only());
}

#[test]
fn every_error_names_the_field_and_what_was_expected() {
    let follows = |path: Value| with(plain(), "/nodes/root/inputs/f", path);
    let cases = [
        (json!([]), "the lock: expected an object, found a list"),
        (
            without(plain(), "/version"),
            "version: expected 5, 6 or 7, found nothing",
        ),
        (
            with(plain(), "/version", json!("7")),
            "version: expected 5, 6 or 7, found text",
        ),
        (
            with(plain(), "/version", json!(8)),
            "version: expected 5, 6 or 7, found 8",
        ),
        (
            without(plain(), "/root"),
            "root: expected the name of a node, found nothing",
        ),
        (
            with(plain(), "/root", json!("top")),
            "root: expected the name of a node, but there is no node top",
        ),
        (
            without(plain(), "/nodes"),
            "nodes: expected an object, found nothing",
        ),
        (
            with(plain(), "/nodes/a", json!(1)),
            "nodes.a: expected an object, found a number",
        ),
        (
            without(plain(), "/nodes/a/locked"),
            "nodes.a.locked: expected an object, found nothing",
        ),
        (
            without(plain(), "/nodes/a/original"),
            "nodes.a.original: expected an object, found nothing",
        ),
        (
            without(plain(), "/nodes/a/locked/type"),
            "nodes.a.locked.type: expected text, found nothing",
        ),
        (
            without(plain(), "/nodes/a/locked/owner"),
            "nodes.a.locked.owner: expected text, found nothing",
        ),
        (
            without(plain(), "/nodes/a/locked/rev"),
            "nodes.a.locked.rev: expected 40 or 64 hex digits, found nothing",
        ),
        (
            with(plain(), "/nodes/a/locked/rev", json!("main")),
            "nodes.a.locked.rev: expected 40 or 64 hex digits, found main",
        ),
        (
            with(plain(), "/nodes/a/locked/rev", json!(7)),
            "nodes.a.locked.rev: expected text, found a number",
        ),
        (
            with(plain(), "/nodes/a/locked/lastModified", json!(-1)),
            "nodes.a.locked.lastModified: expected a whole number from 0, found a negative number",
        ),
        (
            with(plain(), "/nodes/a/locked/lastModified", json!(1.5)),
            "nodes.a.locked.lastModified: expected a whole number from 0, found a fraction",
        ),
        (
            with(plain(), "/nodes/a/flake", json!("no")),
            "nodes.a.flake: expected true or false, found text",
        ),
        (
            with(plain(), "/nodes/a/parent", json!("a")),
            "nodes.a.parent: expected a list of input names, found text",
        ),
        (
            with(plain(), "/nodes/root/inputs/f", json!({})),
            "nodes.root.inputs.f: expected the name of a node, or a list of names to follow, found an object",
        ),
        (
            with(plain(), "/nodes/root/inputs/f", json!("gone")),
            "nodes.root.inputs.f: expected the name of a node, but there is no node gone",
        ),
        (
            with(plain(), "/nodes/a/inputs", json!({"f": "root"})),
            "nodes.a.inputs.f: expected an input, found the root node",
        ),
        (
            follows(json!([1])),
            "nodes.root.inputs.f.0: expected text, found a number",
        ),
        (
            follows(json!(["gone"])),
            "nodes.root.inputs.f: expected to follow an input, but the root has no input gone",
        ),
        (
            follows(json!(["a", "b c"])),
            "nodes.root.inputs.f: expected to follow an input, but a has no input \"b c\"",
        ),
        (
            follows(json!(["f"])),
            "nodes.root.inputs.f: expected to follow another input, but it leads back to itself",
        ),
        (
            with(plain(), "/nodes/a.b\u{202e}", json!(null)),
            "nodes.\"a.b\\u{202e}\": expected an object, found null",
        ),
    ];
    for (json, message) in cases {
        assert_eq!(parse(&json).unwrap_err().to_string(), message, "{json}");
    }
    assert!(parse(&plain()).is_ok());
}

#[test]
fn a_key_given_twice_is_refused_wherever_it_has_a_meaning() {
    let text = plain().to_string();
    let cases = [
        ("\"version\":7", "\"version\":7,\"version\":7", "version"),
        ("\"a\":{", "\"a\":{},\"\\u0061\":{", "nodes.a"),
        (
            "\"a\":\"a\"",
            "\"a\":\"a\",\"a\":\"a\"",
            "nodes.root.inputs.a",
        ),
        (
            "\"owner\":\"o\"",
            "\"owner\":\"o\",\"owner\":\"x\"",
            "nodes.a.locked.owner",
        ),
    ];
    for (once, twice, path) in cases {
        let doubled = text.replacen(once, twice, 1);
        assert_ne!(doubled, text);
        let error = FlakeLock::parse(doubled.as_bytes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{path}: expected once, found twice")
        );
    }
}

#[test]
fn unknown_fields_are_read_and_make_a_difference_but_no_error() {
    let new = with(plain(), "/nodes/a/locked/sparse", json!(["x"]));
    let new = with(new, "/nodes/a/since", json!(2030));
    let new = with(new, "/comment", json!(null));
    let diff = lock::diff(&parse(&plain()).unwrap(), &parse(&new).unwrap());
    assert_eq!(
        diff.changes()[0].to_string(),
        "a re-pointed abababa (2026-01-02) → abababa (2026-01-02): \
         locked.sparse (none) → \"[\\\"x\\\"]\", since (none) → 2030"
    );
    assert_eq!(diff.fields()[0].to_string(), "comment (none) → null");
    assert!(!diff.revisions_only());
}

#[test]
fn what_is_larger_than_any_real_lock_is_refused() {
    let parse_text = |text: String| FlakeLock::parse(text.as_bytes()).unwrap_err().to_string();
    let spaces = " ".repeat(MAX_LOCK_BYTES + 1);
    assert_eq!(
        parse_text(spaces),
        "expected at most 16777216 bytes, found 16777217"
    );
    for open in ["[", "{\"a\":"] {
        let message = parse_text(open.repeat(100_000));
        assert!(
            message.contains("at most 16 levels of nesting"),
            "{message}"
        );
    }
    let message = parse_text(format!("[{}0]", "0,".repeat(600_000)));
    assert!(message.contains("at most 500000 values"), "{message}");

    let mut nodes = Map::from_iter([("root".to_owned(), json!({}))]);
    for number in 0..MAX_NODES {
        nodes.insert(format!("n{number}"), json!({}));
    }
    let message = parse(&lock(nodes.into())).unwrap_err().to_string();
    assert_eq!(message, "nodes: expected at most 10000 nodes");

    let long = with(
        plain(),
        "/nodes/a/locked/dir",
        json!("d".repeat(MAX_VALUE_BYTES + 1)),
    );
    assert_eq!(
        parse(&long).unwrap_err().to_string(),
        "nodes.a.locked.dir: expected at most 16384 bytes"
    );
    let long = with(plain(), &format!("/nodes/{}", "n".repeat(256)), node(0));
    let message = parse(&long).unwrap_err().to_string();
    assert!(
        message.ends_with("…: expected a name of 1 to 255 bytes"),
        "{message}"
    );
}

fn chain(length: usize) -> Lock {
    Lock {
        inputs: (0..length)
            .map(|number| Input {
                parent: number,
                ..input(0)
            })
            .collect(),
        follows: Vec::new(),
    }
}

#[test]
fn depth_is_bounded() {
    let deepest = chain(MAX_INPUT_DEPTH).bytes();
    let (old, new) = (
        FlakeLock::parse(&deepest).unwrap(),
        parse(&lock(json!({"root": {}}))).unwrap(),
    );
    let diff = lock::diff(&old, &new);
    assert_eq!(diff.changes().len(), MAX_INPUT_DEPTH);
    assert!(!diff.is_truncated());
    let error = FlakeLock::parse(&chain(MAX_INPUT_DEPTH + 1).bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "nodes: expected every input within 64 steps of the root"
    );

    let followers = |count: usize| {
        let mut inputs = Map::from_iter([("f0".to_owned(), json!([]))]);
        for number in 1..count {
            inputs.insert(format!("f{number}"), json!([format!("f{}", number - 1)]));
        }
        // The order of names decides where resolving begins: make it the far end.
        inputs.insert("a".to_owned(), json!([format!("f{}", count - 1)]));
        parse(&lock(json!({"root": {"inputs": inputs}})))
    };
    assert!(followers(MAX_INPUT_DEPTH - 1).is_ok());
    assert_eq!(
        followers(MAX_INPUT_DEPTH).unwrap_err().to_string(),
        "nodes.root.inputs.f0: expected at most 64 inputs that follow one another"
    );
}

#[test]
fn a_lattice_with_more_paths_than_atoms_is_compared_in_bounded_time() {
    let lattice = |rev: char| {
        let mut nodes =
            Map::from_iter([("root".to_owned(), json!({"inputs": {"l": "n0", "r": "n1"}}))]);
        for level in 0..60 {
            for side in 0..2 {
                let mut node = with(node(0), "/locked/rev", json!(rev.to_string().repeat(40)));
                if level < 59 {
                    let next = 2 * (level + 1);
                    let inputs = json!({"l": format!("n{next}"), "r": format!("n{}", next + 1)});
                    node = with(node, "/inputs", inputs);
                }
                nodes.insert(format!("n{}", 2 * level + side), node);
            }
        }
        parse(&with(lock(nodes.into()), "/version", json!(6))).unwrap()
    };
    let diff = lock::diff(&lattice('1'), &lattice('2'));
    assert_eq!(diff.changes().len(), 120);
    assert!(diff.revisions_only());
}

#[test]
fn a_diff_larger_than_any_real_one_is_cut_and_says_so() {
    let many = |rev: char| {
        let mut inputs = Map::new();
        let mut nodes = Map::new();
        let mut node = with(node(0), "/locked/rev", json!(rev.to_string().repeat(40)));
        node = with(node, "/locked/dir", json!(rev.to_string().repeat(16_000)));
        for number in 0..200 {
            inputs.insert(format!("i{number}"), json!(format!("n{number}")));
            nodes.insert(format!("n{number}"), node.clone());
        }
        nodes.insert("root".to_owned(), json!({"inputs": inputs}));
        parse(&lock(nodes.into())).unwrap()
    };
    let diff = lock::diff(&many('1'), &many('2'));
    assert!(diff.is_truncated() && !diff.is_empty() && !diff.revisions_only());
    assert!((100..200).contains(&diff.changes().len()));
}

#[test]
fn each_kind_of_difference_is_told_apart() {
    let base = lock(json!({
        "root": {"inputs": {"a": "a", "b": "b", "f": ["a"]}},
        "a": node(0),
        "b": with(node(0), "/inputs", json!({"a": "x"})),
        "x": node(0),
    }));
    let rev = || json!("1".repeat(40));
    let cases = [
        (
            with(base.clone(), "/nodes/a/locked/rev", rev()),
            "a abababa (2026-01-02) → 1111111 (2026-01-02)",
            ChangeKind::Changed,
        ),
        (
            with(base.clone(), "/nodes/x/locked/revCount", json!(9)),
            "b/a abababa (2026-01-02) → abababa (2026-01-02)",
            ChangeKind::Changed,
        ),
        (
            with(base.clone(), "/nodes/root/inputs/new", json!("x")),
            "new added: abababa (2026-01-02)",
            ChangeKind::Added,
        ),
        (
            with(base.clone(), "/nodes/root/inputs/new", json!(["b", "a"])),
            "new added: follows b/a",
            ChangeKind::Added,
        ),
        (
            without(base.clone(), "/nodes/root/inputs/f"),
            "f removed: follows a",
            ChangeKind::Removed,
        ),
        (
            with(base.clone(), "/nodes/a/original/ref", json!("next")),
            "a re-pointed abababa (2026-01-02) → abababa (2026-01-02): original.ref (none) → next",
            ChangeKind::RePointed,
        ),
        (
            with(
                base.clone(),
                "/nodes/a/locked/host",
                json!("evil.example.org"),
            ),
            "a re-pointed abababa (2026-01-02) → abababa (2026-01-02): locked.host (none) → evil.example.org",
            ChangeKind::RePointed,
        ),
        (
            with(base.clone(), "/nodes/a/flake", json!(false)),
            "a re-pointed abababa (2026-01-02) → abababa (2026-01-02): flake true → false",
            ChangeKind::RePointed,
        ),
        (
            with(base.clone(), "/nodes/a/parent", json!([])),
            "a re-pointed abababa (2026-01-02) → abababa (2026-01-02): parent (none) → []",
            ChangeKind::RePointed,
        ),
        (
            without(base.clone(), "/nodes/a/locked/narHash"),
            "a re-pointed abababa (2026-01-02) → abababa (2026-01-02): \
             locked.narHash sha256-abababababababababababababababababababab= → (none)",
            ChangeKind::RePointed,
        ),
        (
            with(base.clone(), "/nodes/root/inputs/f", json!(["b"])),
            "f follows a → follows b",
            ChangeKind::FollowsChanged,
        ),
        (
            with(base.clone(), "/nodes/root/inputs/f", json!([])),
            "f follows a → follows the flake itself",
            ChangeKind::FollowsChanged,
        ),
        (
            with(base.clone(), "/nodes/b/inputs/a", json!(["a"])),
            "b/a abababa (2026-01-02) → follows a",
            ChangeKind::FollowsChanged,
        ),
    ];
    let old = parse(&base).unwrap();
    for (json, line, kind) in cases {
        let diff = lock::diff(&old, &parse(&json).unwrap());
        let lines: Vec<_> = diff.changes().iter().map(ToString::to_string).collect();
        assert_eq!(lines, [line]);
        assert_eq!(diff.changes()[0].kind(), kind);
        assert_eq!(diff.revisions_only(), kind == ChangeKind::Changed, "{line}");
        assert!(!diff.is_empty());
    }
}

#[test]
fn other_content_under_the_same_revision_is_no_ordinary_update() {
    let new = with(plain(), "/nodes/a/locked/narHash", json!("sha256-other"));
    let diff = lock::diff(&parse(&plain()).unwrap(), &parse(&new).unwrap());
    assert_eq!(
        diff.changes()[0].to_string(),
        "a abababa (2026-01-02): same revision, other content"
    );
    assert!(!diff.revisions_only());
}

#[test]
fn a_newer_format_is_a_difference_of_its_own() {
    let old = with(plain(), "/version", json!(6));
    let diff = lock::diff(&parse(&old).unwrap(), &parse(&plain()).unwrap());
    assert_eq!((diff.format(), diff.changes().len()), (Some((6, 7)), 0));
    assert!(!diff.is_empty() && !diff.revisions_only());
}

#[test]
fn bytes_differ_but_inputs_do_not() {
    let compact = plain().to_string();
    let pretty = serde_json::to_string_pretty(&plain()).unwrap();
    let compared = lock::compare(compact.as_bytes(), pretty.as_bytes()).unwrap();
    assert_eq!(compared, LockComparison::SameInputs);
    let error = lock::compare(compact.as_bytes(), b"{}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the new flake.lock cannot be read: version: expected 5, 6 or 7, found nothing"
    );
}
