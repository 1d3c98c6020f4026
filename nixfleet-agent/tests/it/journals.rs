//! The journal as it is written today, and as every earlier version wrote it:
//! `tests/golden/journal` has a folder for each form it ever had. Agents are updated under journals
//! that are there, so an old folder is never edited: a new form gets a new one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nixfleet_agent::journal::{JournalStore, read};
use nixfleet_core::agent::{CommandRecord, Journal, JournalEntry};
use nixfleet_core::host::Deployed;
use nixfleet_core::ids::Sequence;
use nixfleet_core::wire::Field;
use nixfleet_core::wire::agent::{
    DeployedFacts, Facts, FailedUnits, GenerationFacts, RepoFacts, StatusReport, SystemFacts,
    TestKeyFacts, TestReport, UpdateFacts,
};
use nixfleet_core::{CommandId, Op, Timestamp, lock_hash};

const FILES: [&str; 2] = ["journal.snapshot.json", "journal.jsonl"];
const SAYS: &str = "says.txt";
const SUMS: &str = "SHA256SUMS";

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/journal")
}

fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1")
}

/// The folders with a form each, the newest last.
fn forms() -> Vec<PathBuf> {
    let entries = fs::read_dir(goldens()).into_iter().flatten();
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort_by_key(|path| number_of(path));
    folders
}

fn number_of(folder: &Path) -> u32 {
    let name = folder.file_name().unwrap().to_str().unwrap();
    name.parse().unwrap()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn id(number: u8) -> CommandId {
    CommandId::from_bytes([number; 16])
}

fn commit(letter: char) -> String {
    letter.to_string().repeat(40)
}

fn intent(number: u8, op: Op, boot: Option<&str>) -> JournalEntry {
    JournalEntry::Intent {
        command: id(number),
        record: CommandRecord {
            op,
            seq: Sequence(u64::from(number)),
            started_at: Timestamp::from_millis(1_767_225_600_123 + i64::from(number)),
            boot_id: boot.map(|boot| boot.parse().unwrap()),
            result: None,
            confirmed: false,
        },
    }
}

fn finished(number: u8, result: StatusReport, deployed: Option<Deployed>) -> JournalEntry {
    JournalEntry::Finished {
        command: id(number),
        result: Box::new(StatusReport {
            command_id: Some(id(number).to_string()),
            seq: Some(u64::from(number)),
            ..result
        }),
        deployed,
    }
}

fn deployed(letter: char, number: u8) -> Deployed {
    Deployed {
        commit: Some(commit(letter).parse().unwrap()),
        lock: Some(lock_hash(letter.to_string().as_bytes())),
        store_path: format!("/nix/store/{letter}-system").parse().ok(),
        clean: true,
        command: Some(id(number)),
        inferred: false,
    }
}

fn facts() -> Facts {
    Facts {
        source_commit: Some("1111111".into()),
        store_path: Some("/nix/store/agent".into()),
        binary_hash: Some("cafe".into()),
        expected_store_path: Some("/nix/store/agent".into()),
        lock_hash: Field::Value(lock_hash(b"a").to_string()),
        repo: Field::Value(RepoFacts {
            commit: commit('a'),
            dirty: false,
        }),
        deployed: Field::Value(DeployedFacts {
            commit: Some(commit('a')),
            lock_hash: Some(lock_hash(b"a").to_string()),
            store_path: Some("/nix/store/a-system".into()),
            clean: true,
            command_id: Some(id(1).to_string()),
        }),
        system: Field::Value(SystemFacts {
            path: Some("/nix/store/a-system".into()),
            configuration_revision: Some(commit('a')),
            generation_number: Some(42),
            profile_path: None,
            booted_path: Some("/nix/store/0-system".into()),
            reboot_required: true,
        }),
        generations: Field::Value(vec![GenerationFacts {
            number: 42,
            path: Some("/nix/store/a-system".into()),
            commit: Some(commit('a')),
            created_at: Some("2026-01-01T00:00:00Z".into()),
            current: true,
        }]),
        repo_error: Field::Null,
    }
}

/// Everything that a snapshot can hold.
fn earlier() -> Vec<JournalEntry> {
    let switched = StatusReport {
        status: "ok".into(),
        command: "switch".into(),
        exit_code: Some(0),
        message: Some("with \"quotes\", ümlauts and a\nline end".into()),
        generation: Some("aaaaaaa".into()),
        duration_ms: Some(61_000),
        failed_units: Some(FailedUnits {
            before: vec!["a.service".into()],
            after: vec![],
        }),
        facts: facts(),
        ..StatusReport::default()
    };
    vec![
        intent(1, Op::Switch, Some("boot-1")),
        finished(1, switched, Some(deployed('a', 1))),
        JournalEntry::Confirmed { command: id(1) },
        intent(2, Op::Reboot, Some("boot-1")),
    ]
}

/// Every kind of line.
fn later() -> Vec<JournalEntry> {
    let key = TestKeyFacts {
        commit: commit('a'),
        lock_hash: lock_hash(b"a").to_string(),
        store_path: "/nix/store/a-system".into(),
    };
    let tested = StatusReport {
        status: "error".into(),
        command: "test".into(),
        exit_code: Some(1),
        tests: Some(TestReport {
            key: Some(key.clone()),
            key_end: Some(key),
            verdict: "fail".into(),
            ran: 2,
            failed: vec!["two.sh".into()],
            skipped: 1,
        }),
        ..StatusReport::default()
    };
    let interrupted = StatusReport {
        status: "error".into(),
        command: "pull-switch".into(),
        interrupted: true,
        ..StatusReport::default()
    };
    let updated = StatusReport {
        status: "ok".into(),
        command: "update-inputs".into(),
        exit_code: Some(0),
        update: Some(UpdateFacts {
            base: commit('a'),
            lock_before: Some(lock_hash(b"a").to_string()),
            lock_after: Some(lock_hash(b"c").to_string()),
            commit: Some(commit('c')),
            branch: Some("main".into()),
        }),
        ..StatusReport::default()
    };
    let unknown_inputs = Deployed {
        commit: None,
        lock: None,
        clean: false,
        ..deployed('b', 6)
    };
    vec![
        finished(2, StatusReport::default(), None),
        JournalEntry::Refused { seq: Sequence(3) },
        intent(4, Op::Test, None),
        finished(4, tested, None),
        intent(5, Op::PullSwitch, Some("boot-2")),
        finished(5, interrupted, None),
        JournalEntry::Confirmed { command: id(5) },
        intent(6, Op::Rollback, Some("boot-2")),
        finished(6, StatusReport::default(), Some(unknown_inputs)),
        intent(7, Op::UpdateInputs, Some("boot-2")),
        finished(7, updated, None),
        intent(8, Op::ForceRebuild, Some("boot-2")),
    ]
}

/// The journal as this version writes it.
fn written() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, mut journal) = JournalStore::open(folder.path()).unwrap();
    let mut append = |store: &mut JournalStore, entries: Vec<JournalEntry>| {
        for entry in entries {
            store.append(&entry).unwrap();
            journal.apply(&entry);
        }
        journal.clone()
    };
    let snapshot = append(&mut store, earlier());
    store.compact(&snapshot).unwrap();
    append(&mut store, later());
    folder
}

#[test]
fn the_journal_is_written_in_the_newest_form_that_is_kept() {
    let folder = written();
    let newest = forms().pop();
    let same = newest.as_ref().is_some_and(|newest| {
        FILES
            .iter()
            .all(|name| text(&newest.join(name)) == text(&folder.path().join(name)))
    });
    if same {
        return;
    }
    assert!(
        updating(),
        "the journal is not written as in {newest:?}. If that is meant: UPDATE_GOLDEN=1 adds a folder \
         for the new form; the earlier ones stay, and this agent must still read them"
    );
    let next = newest.map_or(1, |newest| number_of(&newest) + 1);
    let form = goldens().join(next.to_string());
    fs::create_dir_all(&form).unwrap();
    for name in FILES {
        fs::copy(folder.path().join(name), form.join(name)).unwrap();
    }
}

#[test]
fn every_form_that_the_journal_ever_had_is_read_completely() {
    let forms = forms();
    assert!(!forms.is_empty());
    for form in forms {
        let journal: Journal = read(&form).unwrap();
        assert!(!journal.damaged, "{} cannot be read", form.display());
        let says = format!("{journal:#?}\n");
        let path = form.join(SAYS);
        if updating() {
            fs::write(&path, &says).unwrap();
        }
        assert_eq!(text(&path), says, "{}", path.display());
    }
}

#[test]
fn earlier_forms_are_never_edited() {
    let path = goldens().join(SUMS);
    let known: BTreeMap<String, String> = text(&path)
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(sum, name)| (name.to_owned(), sum.to_owned()))
        .collect();
    let mut lines = String::new();
    for form in forms() {
        for name in FILES {
            let sum = lock_hash(&fs::read(form.join(name)).unwrap()).to_string();
            let name = format!("{}/{name}", number_of(&form));
            if let Some(old) = known.get(&name) {
                assert_eq!(*old, sum, "{name} was edited: restore it");
            }
            lines.push_str(&format!("{sum}  {name}\n"));
        }
    }
    for name in known.keys() {
        assert!(lines.contains(name), "{name} is gone: restore it");
    }
    if updating() {
        fs::write(&path, &lines).unwrap();
    }
    assert_eq!(text(&path), lines, "{}", path.display());
}
