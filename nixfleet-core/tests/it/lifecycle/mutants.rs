//! Would anybody notice if a row were gone, or said something else? The stories are pinned as text
//! in `tests/golden/scripts/lifecycle.txt`; every changed table is played against it.

use std::collections::BTreeSet;

use nixfleet_core::lifecycle::{
    Arm, DeployEffect, ENDINGS, EndingKind, EndingSpec, HostEffect, Phase, Reconcile, Row, TABLE,
    To, Trace, UnknownCause, UnverifiedCause,
};

use super::goals::expected_effect;
use super::play::Book;
use super::scenarios::{Story, stories, transcript};
use crate::counts::Score;
use crate::goldens;

const GOLDEN: &str = "tests/golden/scripts/lifecycle.txt";

fn told(stories: &[Story], book: &Book) -> Vec<String> {
    stories
        .iter()
        .map(|story| transcript(story, book))
        .collect()
}

#[test]
fn the_stories_are_told_as_written() {
    goldens::check(GOLDEN, &told(&stories(), &Book::IN_FORCE).join("\n"));
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

/// Whether some story is told differently by these rules; the stories that use the row suffice.
fn caught(written: &[(Story, String)], row: &Row, book: &Book) -> bool {
    let uses = |text: &str| text.split(['[', ' ', ']']).any(|word| word == row.id);
    written
        .iter()
        .filter(|(_, text)| uses(text))
        .any(|(story, text)| transcript(story, book) != *text)
}

#[test]
fn every_deleted_row_and_every_row_that_leads_elsewhere_is_noticed() {
    let golden = goldens::read(GOLDEN);
    let all = stories();
    let texts = told(&all, &Book::IN_FORCE);
    assert_eq!(texts.join("\n"), golden, "positive control: no mutant");
    let written: Vec<(Story, String)> = all.into_iter().zip(texts).collect();
    let mut score = Score::default();
    for (index, row) in TABLE.iter().enumerate() {
        let try_one = |changed: Option<Row>| {
            let mut table = TABLE.to_vec();
            match changed {
                Some(row) => table[index] = row,
                None => {
                    table.remove(index);
                }
            }
            caught(&written, row, &Book::with_table(table))
        };
        score.deleted(try_one(None), || row.id.to_owned());
        for to in places().into_iter().filter(|to| !same(row, *to)) {
            let ends = matches!(to, To::End(_) | To::Unknown(_) | To::Unverified(_));
            let arm = if ends { Arm::Nothing } else { row.arm };
            let noticed = try_one(Some(Row { to, arm, ..*row }));
            score.retargeted(noticed, || format!("{}: leads to {to:?}", row.id));
        }
        for gone in 0..row.then.len() {
            let mut left = row.then.to_vec();
            let what = left.remove(gone);
            let then = Box::leak(left.into_boxed_slice());
            let noticed = try_one(Some(Row { then, ..*row }));
            score.deleted(noticed, || format!("{}: {what:?}", row.id));
        }
    }
    score.done("lifecycle");
}

/// Everything that a cell may say about a host and that makes a difference.
pub fn effects() -> Vec<HostEffect> {
    use {DeployEffect as D, Reconcile as R};
    let told = [D::Ok, D::Failed, D::Unknown].map(|deploy| {
        [R::Keeps, R::Sets, R::Clears].map(|reconcile| HostEffect { deploy, reconcile })
    });
    let untouched = HostEffect {
        deploy: D::Unchanged,
        reconcile: R::Keeps,
    };
    told.concat().into_iter().chain([untouched]).collect()
}

fn set(row: &mut EndingSpec, trace: Trace, effect: HostEffect) {
    match trace {
        Trace::PullOnly => row.pull_only = effect,
        Trace::Touched => row.touched = effect,
        Trace::Activated => row.activated = effect,
    }
}

/// Cells that no story can reach. That each says what the specification does is another test:
/// `every_ending_of_a_deploy_has_the_effect_of_the_specification`.
const UNREACHED: &[(EndingKind, &[Trace])] = {
    use {EndingKind as E, Trace::*};
    &[
        // What was seen to be reached has its record, which may be an inferred one.
        (E::Reached, &[PullOnly, Touched]),
        (E::UnitsFailed, &[PullOnly, Touched]),
        (E::AgentUnchanged, &[PullOnly, Touched]),
        (E::OnlySourceChanged, &[PullOnly, Touched]),
        // Nothing ran.
        (E::Rejected, &[PullOnly, Activated]),
        (E::NotSent, &[PullOnly, Activated]),
        (E::StageFailed, &[PullOnly, Activated]),
        (E::Refused, &[PullOnly, Activated]),
        (E::Cancelled, &[PullOnly, Activated]),
        (E::Expired, &[PullOnly, Activated]),
        (E::Superseded, &[PullOnly, Activated]),
        // The agents of the stories never hold a record of what they do not know to be done.
        (E::OutcomeUnknown, &[Activated]),
        (E::GoalNotReached, &[PullOnly, Touched]),
        (E::Unverified, &[Activated]),
        (E::Stopped, &[Activated]),
        (E::StoppedTracking, &[Activated]),
        // While the agent is away, "only pulling" is no longer certain.
        (E::NeverReturned, &[PullOnly, Activated]),
    ]
};

#[test]
fn every_ending_that_means_something_else_is_noticed() {
    let all = stories();
    let texts = told(&all, &Book::IN_FORCE);
    assert_eq!(
        texts.join("\n"),
        goldens::read(GOLDEN),
        "positive control: no mutant"
    );
    let noticed = |row: EndingSpec| {
        let book = Book::with_ending(row);
        let mut stories = all.iter().zip(&texts);
        stories.any(|(story, text)| transcript(story, &book) != *text)
    };
    let mut score = Score::default();
    let mut unreached = BTreeSet::new();
    for row in ENDINGS {
        for phase in Phase::ALL.into_iter().filter(|phase| phase.is_terminal()) {
            if phase != row.phase {
                let noticed = noticed(EndingSpec { phase, ..*row });
                score.retargeted(noticed, || format!("{:?} as {phase:?}", row.ending));
            }
        }
        for trace in [Trace::PullOnly, Trace::Touched, Trace::Activated] {
            let others = effects()
                .into_iter()
                .filter(|one| *one != row.effect(trace));
            let changed = others.map(|effect| {
                let mut changed = *row;
                set(&mut changed, trace, effect);
                noticed(changed)
            });
            let caught: BTreeSet<bool> = changed.collect();
            assert_eq!(
                caught.len(),
                1,
                "{:?} {trace:?}: some, and not all",
                row.ending
            );
            let told = caught.contains(&true);
            if !told {
                unreached.insert((row.ending, trace));
            }
            let expected = expected_effect(row.ending, trace);
            for other in effects()
                .into_iter()
                .filter(|one| *one != row.effect(trace))
            {
                score.retargeted(told || other != expected, || {
                    format!("{:?} {trace:?}: {other:?}", row.ending)
                });
            }
        }
    }
    let listed = UNREACHED
        .iter()
        .flat_map(|(kind, traces)| traces.iter().map(|one| (*kind, *one)));
    assert_eq!(unreached, listed.collect());
    score.done("endings");
}
