use nixfleet_core::agent::CommandRecord;
use nixfleet_core::ids::Sequence;
use nixfleet_core::wire::agent::StatusReport;
use nixfleet_core::{CommandId, Op, Timestamp};

use super::*;

fn id(number: u8) -> CommandId {
    CommandId::from_bytes([number; 16])
}

fn intent(number: u8) -> JournalEntry {
    JournalEntry::Intent {
        command: id(number),
        record: CommandRecord {
            op: Op::Switch,
            seq: Sequence(u64::from(number)),
            started_at: Timestamp::from_seconds(1),
            boot_id: None,
            result: None,
            confirmed: false,
        },
    }
}

fn finished(number: u8) -> JournalEntry {
    JournalEntry::Finished {
        command: id(number),
        result: Box::new(StatusReport {
            status: "ok".into(),
            message: Some("with a \"quote\" and a\nline end".into()),
            ..StatusReport::default()
        }),
        deployed: None,
    }
}

fn steps() -> Vec<JournalEntry> {
    let mut steps = Vec::new();
    for number in 1..=3 {
        steps.push(intent(number));
        steps.push(finished(number));
        steps.push(JournalEntry::Confirmed {
            command: id(number),
        });
    }
    steps.push(JournalEntry::Refused { seq: Sequence(9) });
    steps.push(intent(10));
    steps
}

fn after(steps: &[JournalEntry]) -> Journal {
    let mut journal = Journal::default();
    for step in steps {
        journal.apply(step);
    }
    journal
}

fn written(folder: &Path, steps: &[JournalEntry]) {
    let (mut store, _) = JournalStore::open(folder).unwrap();
    for step in steps {
        store.append(step).unwrap();
    }
}

#[test]
fn what_was_appended_is_there_after_reopening_and_compacting() {
    let folder = tempfile::tempdir().unwrap();
    let steps = steps();
    for (index, step) in steps.iter().enumerate() {
        let (mut store, journal) = JournalStore::open(folder.path()).unwrap();
        assert_eq!(journal, after(&steps[..index]));
        store.append(step).unwrap();
        assert_eq!(read(folder.path()).unwrap(), after(&steps[..=index]));
        if index % 3 == 0 {
            store.compact(&after(&steps[..=index])).unwrap();
        }
    }
    assert_eq!(read(folder.path()).unwrap(), after(&steps));
}

#[test]
fn lines_that_a_snapshot_holds_already_are_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let steps = steps();
    written(folder.path(), &steps);
    let lines = fs::read(folder.path().join(LINES)).unwrap();
    // As if the machine had crashed between the snapshot and the emptying of the lines.
    let (_, journal) = JournalStore::open(folder.path()).unwrap();
    assert!(fs::read(folder.path().join(LINES)).unwrap().is_empty());
    fs::write(folder.path().join(LINES), lines).unwrap();
    let (mut store, again) = JournalStore::open(folder.path()).unwrap();
    assert_eq!(again, journal);
    store.append(&intent(11)).unwrap();
    assert_eq!(read(folder.path()).unwrap().high_water, Sequence(11));
}

#[test]
fn c01_the_journal_cut_at_any_byte_is_the_journal_of_the_whole_lines_before() {
    let folder = tempfile::tempdir().unwrap();
    let steps = steps();
    written(folder.path(), &steps);
    let whole = fs::read(folder.path().join(LINES)).unwrap();
    let place = tempfile::tempdir().unwrap();
    for cut in 0..whole.len() {
        fs::write(place.path().join(LINES), &whole[..cut]).unwrap();
        let lines = whole[..cut].iter().filter(|&&b| b == b'\n').count();
        let expected = after(&steps[..lines]);
        assert_eq!(read(place.path()).unwrap(), expected, "cut at {cut}");
        if cut % 97 != 0 {
            continue;
        }
        let (mut store, journal) = JournalStore::open(place.path()).unwrap();
        assert_eq!(journal, expected);
        store.append(&steps[lines]).unwrap();
        assert_eq!(read(place.path()).unwrap(), after(&steps[..=lines]));
        fs::remove_file(place.path().join(SNAPSHOT)).unwrap_or_default();
    }
}

/// The lines of the journal, changed.
fn rewritten(folder: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let path = folder.join(LINES);
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    change(&mut lines);
    fs::write(&path, lines.concat()).unwrap();
}

/// What is left of the journal without the steps at these places.
fn without(steps: &[JournalEntry], lost: &[usize]) -> Journal {
    let mut journal = Journal::default();
    for (index, step) in steps.iter().enumerate() {
        if lost.contains(&index) {
            journal.lose_part();
        } else {
            journal.apply(step);
        }
    }
    journal
}

#[test]
fn a_line_that_cannot_be_read_costs_that_line_alone_and_a_person_has_to_look() {
    type Change = fn(&mut Vec<String>);
    let steps = steps();
    let last = steps.len() - 1;
    let cases: [(&str, Vec<usize>, Change); 5] = [
        ("garbage", vec![4], |lines| lines[4] = "garbage\n".into()),
        ("two after each other", vec![4, 5], |lines| {
            for line in &mut lines[4..6] {
                line.replace_range(30..31, "~");
            }
        }),
        ("an entry of another version", vec![3], |lines| {
            let body = r#""n":3,"entry":{"entry":"from-the-future"}}"#;
            let sum = checksum(body.as_bytes());
            lines[3] = format!("{SEAL}{sum}\",{body}\n");
        }),
        ("a missing line", vec![4], |lines| drop(lines.remove(4))),
        ("the last line", vec![last], |lines| {
            lines.last_mut().unwrap().replace_range(30..31, "~");
        }),
    ];
    for (what, lost, change) in cases {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), &steps);
        rewritten(folder.path(), change);
        let found = fs::read(folder.path().join(LINES)).unwrap();

        let (mut store, journal) = JournalStore::open(folder.path()).unwrap();
        assert!(journal.damaged, "{what}");
        assert_eq!(journal, without(&steps, &lost), "{what}");
        let kept = fs::read(folder.path().join(DAMAGED)).unwrap();
        assert!(
            kept.windows(found.len()).any(|part| part == found),
            "{what}"
        );

        // It is written on, and stays marked until a person removes the mark.
        store.append(&intent(11)).unwrap();
        drop(store);
        let (store, journal) = JournalStore::open(folder.path()).unwrap();
        assert!(
            journal.damaged && journal.high_water == Sequence(11),
            "{what}"
        );
        drop(store);
        fs::remove_file(folder.path().join(DAMAGED)).unwrap();
        let (_, journal) = JournalStore::open(folder.path()).unwrap();
        assert!(!journal.damaged, "{what}");
        assert!(
            journal.deployed.is_some_and(|deployed| !deployed.clean),
            "{what}"
        );
    }
}

#[test]
fn a_snapshot_that_cannot_be_read_costs_what_it_held_and_the_lines_stay() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), &steps());
    drop(JournalStore::open(folder.path()).unwrap());
    let (mut store, _) = JournalStore::open(folder.path()).unwrap();
    store.append(&intent(11)).unwrap();
    drop(store);
    fs::write(folder.path().join(SNAPSHOT), "{}").unwrap();
    let (_, journal) = JournalStore::open(folder.path()).unwrap();
    assert!(journal.damaged);
    assert_eq!(journal.commands.keys().collect::<Vec<_>>(), [&id(11)]);
    assert_eq!(journal.high_water, Sequence(11));
}

#[test]
fn a_flipped_bit_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), &steps());
    for name in [LINES, SNAPSHOT] {
        if name == SNAPSHOT {
            drop(JournalStore::open(folder.path()).unwrap());
        }
        let path = folder.path().join(name);
        let good = fs::read(&path).unwrap();
        // The very last byte is the end of the last line, or of the object.
        for at in 0..good.len() - 1 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, &bytes).unwrap();
            assert!(read(folder.path()).unwrap().damaged, "byte {at} of {name}");
        }
        fs::write(&path, &good).unwrap();
        assert!(!read(folder.path()).unwrap().damaged);
    }
}
