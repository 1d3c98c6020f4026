//! The table itself: total, without overlaps, and with no row that leads somewhere silly.

use std::collections::BTreeSet;

use crate::counts::counted;
use nixfleet_core::lifecycle::{
    Arm, ENDINGS, EndingKind, EventKind, Guard, IGNORED, Phase, Row, TABLE, To, guards,
};

fn every_row() -> impl Iterator<Item = &'static Row> {
    TABLE.iter().chain(IGNORED)
}

fn cells() -> impl Iterator<Item = (Phase, EventKind, Guard)> {
    Phase::ALL.into_iter().flat_map(|phase| {
        EventKind::ALL
            .into_iter()
            .flat_map(move |kind| guards(kind).iter().map(move |guard| (phase, kind, *guard)))
    })
}

#[test]
fn b01_every_phase_event_and_circumstance_matches_exactly_one_row() {
    let mut count = 0;
    for (phase, kind, guard) in cells() {
        let rows: Vec<_> = every_row()
            .filter(|row| row.covers(phase, kind, guard))
            .map(|row| row.id)
            .collect();
        assert_eq!(rows.len(), 1, "{phase:?} × {kind:?} × {guard:?}: {rows:?}");
        count += 1;
    }
    let (rows, ignored) = (TABLE.len(), IGNORED.len());
    let text = format!("lifecycle: {count} cells, {rows} rows and {ignored} that ignore");
    counted("lifecycle-cells", &text);
    assert!(count > 1000);
}

/// Deleting any row, or retargeting it away from a case, leaves a hole; every row is needed.
#[test]
fn b01_no_row_is_superfluous_and_no_pattern_of_a_row_is_dead() {
    for row in every_row() {
        for phase in row.from {
            assert!(
                cells().any(|(p, kind, guard)| p == *phase && row.covers(p, kind, guard)),
                "{}: {phase:?} matches nothing",
                row.id
            );
        }
        for kind in row.on {
            assert!(
                guards(*kind)
                    .iter()
                    .any(|guard| row.covers(row.from[0], *kind, *guard)),
                "{}: {kind:?} matches nothing",
                row.id
            );
        }
        for guard in row.when {
            assert!(
                row.on.iter().any(|kind| guards(*kind).contains(guard)),
                "{}: {guard:?} belongs to none of its events",
                row.id
            );
        }
        assert!(!row.why.is_empty() && !row.why.ends_with('.'), "{}", row.id);
    }
}

#[test]
fn row_ids_are_unique_slugs() {
    let mut seen = BTreeSet::new();
    for row in every_row() {
        let slug = row.id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        assert!(slug, "{}", row.id);
        assert!(seen.insert(row.id), "{} twice", row.id);
    }
}

fn target(row: &Row, from: Phase) -> Phase {
    match row.to {
        To::Stay => from,
        To::Go(phase) => phase,
        To::End(kind) => kind.spec().phase,
        To::Unknown(_) => Phase::Error,
        To::Unverified(_) => Phase::Partial,
    }
}

/// The arrows of spec 02, written down by hand.
#[rustfmt::skip]
const ARROWS: &[(Phase, &[Phase])] = {
    use Phase::*;
    &[
        (Pending, &[Validating, Cancelled, Superseded, Skipped, Expired]),
        (Validating, &[Executing, Blocked, Cancelled, Superseded, Skipped]),
        (Executing, &[RunningWarning, TimeoutPending, Killing, AwaitingReconnect, Verifying, Success, Error, Killed, Partial]),
        (RunningWarning, &[Executing, TimeoutPending, Killing, AwaitingReconnect, Verifying, Success, Error, Killed, Partial, Skipped]),
        (TimeoutPending, &[Executing, Killing, AwaitingReconnect, Verifying, Success, Error, Killed, Partial, Skipped]),
        (Killing, &[AwaitingReconnect, Verifying, Success, Error, Killed, Partial]),
        (AwaitingReconnect, &[Executing, Verifying, Success, Error, Killed, Partial, Timeout, Skipped]),
        (Verifying, &[Success, Degraded, StaleBinary, Suspicious, Partial, Error]),
    ]
};

#[test]
fn every_transition_is_one_of_the_specification_and_each_of_those_exists() {
    let allowed: BTreeSet<(Phase, Phase)> = ARROWS
        .iter()
        .flat_map(|(from, to)| to.iter().map(move |to| (*from, *to)))
        .collect();
    let mut found = BTreeSet::new();
    for row in TABLE {
        for from in row.from {
            let to = target(row, *from);
            if to != *from {
                assert!(
                    allowed.contains(&(*from, to)),
                    "{}: {from:?} → {to:?}",
                    row.id
                );
                found.insert((*from, to));
            }
        }
    }
    assert_eq!(found, allowed);
}

#[test]
fn rows_that_end_arm_nothing_and_rows_that_live_arm_something() {
    for row in TABLE {
        let ends = target(row, row.from[0]).is_terminal();
        assert_eq!(ends, row.arm == Arm::Nothing, "{}", row.id);
        assert!(
            row.from.iter().all(|from| !from.is_terminal()),
            "{}",
            row.id
        );
    }
}

#[test]
fn every_ending_has_its_row_and_a_terminal_phase() {
    assert_eq!(ENDINGS.len(), EndingKind::ALL.len());
    for (row, kind) in ENDINGS.iter().zip(EndingKind::ALL) {
        assert_eq!(row.ending, kind);
        assert_eq!(kind.spec().ending, kind);
        assert!(row.phase.is_terminal());
    }
    let phases: BTreeSet<Phase> = ENDINGS.iter().map(|row| row.phase).collect();
    let terminal: BTreeSet<Phase> = Phase::ALL
        .into_iter()
        .filter(|phase| phase.is_terminal())
        .collect();
    assert_eq!(phases, terminal);
}
