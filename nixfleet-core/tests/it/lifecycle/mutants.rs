//! Would anybody notice if a row were gone, or led somewhere else? The stories are pinned as text
//! in `tests/golden/scripts/lifecycle.txt`; every changed table is played against it.

use std::borrow::Cow;

use nixfleet_core::lifecycle::{
    Arm, EndingKind, Phase, Row, TABLE, To, UnknownCause, UnverifiedCause,
};

use super::scenarios::{Story, stories, transcript};
use crate::goldens;

const GOLDEN: &str = "tests/golden/scripts/lifecycle.txt";

fn told(stories: &[Story], table: &[Row]) -> Vec<String> {
    let tell = |story| transcript(story, Cow::Owned(table.to_vec()));
    stories.iter().map(tell).collect()
}

#[test]
fn the_stories_are_told_as_written() {
    goldens::check(GOLDEN, &told(&stories(), TABLE).join("\n"));
}

/// Every other place a row could lead to.
fn places() -> Vec<To> {
    let live = Phase::ALL.into_iter().filter(|phase| !phase.is_terminal());
    let mut places: Vec<To> = live.map(To::Go).collect();
    places.push(To::Stay);
    places.push(To::Unknown(UnknownCause::NoDecision));
    places.push(To::Unverified(UnverifiedCause::NotReported));
    // `To::Unknown` is the way to an unknown outcome: it names the cause.
    let named = |kind: &EndingKind| *kind != EndingKind::OutcomeUnknown;
    places.extend(EndingKind::ALL.into_iter().filter(named).map(To::End));
    places
}

/// Where all phases of a row already are, going there is staying.
fn same(row: &Row, to: To) -> bool {
    let goes_nowhere = |to: To| match to {
        To::Go(phase) => row.from == [phase],
        To::Stay => true,
        To::End(_) | To::Unknown(_) | To::Unverified(_) => false,
    };
    row.to == to || (goes_nowhere(row.to) && goes_nowhere(to))
}

/// Whether some story is told differently by this table; the stories that use the row suffice.
fn caught(written: &[(Story, String)], row: &Row, table: &[Row]) -> bool {
    let uses = |text: &str| text.split(['[', ' ', ']']).any(|word| word == row.id);
    written
        .iter()
        .filter(|(_, text)| uses(text))
        .any(|(story, text)| transcript(story, Cow::Owned(table.to_vec())) != *text)
}

#[test]
fn every_deleted_row_and_every_row_that_leads_elsewhere_is_noticed() {
    let golden = goldens::read(GOLDEN);
    let all = stories();
    let texts = told(&all, TABLE);
    assert_eq!(texts.join("\n"), golden, "positive control: no mutant");
    let written: Vec<(Story, String)> = all.into_iter().zip(texts).collect();
    let (mut deletions, mut retargets, mut deeds) = (0, 0, 0);
    let mut survivors = Vec::new();
    for (index, row) in TABLE.iter().enumerate() {
        let mut try_one = |what: String, changed: Option<Row>| {
            let mut table = TABLE.to_vec();
            match changed {
                Some(row) => table[index] = row,
                None => {
                    table.remove(index);
                }
            }
            if !caught(&written, row, &table) {
                survivors.push(format!("{}: {what}", row.id));
            }
        };
        try_one("deleted".to_owned(), None);
        deletions += 1;
        for to in places().into_iter().filter(|to| !same(row, *to)) {
            let ends = matches!(to, To::End(_) | To::Unknown(_) | To::Unverified(_));
            let arm = if ends { Arm::Nothing } else { row.arm };
            try_one(format!("leads to {to:?}"), Some(Row { to, arm, ..*row }));
            retargets += 1;
        }
        for gone in 0..row.then.len() {
            let mut left = row.then.to_vec();
            let what = left.remove(gone);
            let then = Box::leak(left.into_boxed_slice());
            try_one(format!("without {what:?}"), Some(Row { then, ..*row }));
            deeds += 1;
        }
    }
    println!(
        "lifecycle mutants: {deletions} deletions, {retargets} retargets, {deeds} missing deeds; \
         {} survive: {survivors:#?}",
        survivors.len()
    );
    assert_eq!(survivors, Vec::<String>::new());
}
