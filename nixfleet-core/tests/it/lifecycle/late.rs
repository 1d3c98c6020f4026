//! Results after the end: one story for each case, and whether a changed row would be noticed.

use std::fmt::Write;

use nixfleet_core::Op;
use nixfleet_core::host::AgentProtocol::{Commands, Existing};
use nixfleet_core::lifecycle::{
    DeployEffect, LATE, LateCase, LateRow, Settles, Withdrawal, late_result_by,
};
use nixfleet_core::report::ResultKind::{self, Error, Interrupted, Ok as Fine, Stopped};

use super::mutants::effects;
use super::play::{Play, Word as W};
use super::scenarios::word_of;
use super::world::{ID, World, deployed, tests_of_the_running_system};
use crate::counts::Score;
use crate::goldens;

const GOLDEN: &str = "tests/golden/scripts/late.txt";

/// What was asked for, what happened to it, the result that comes after its end, whether the
/// agent has a record of an activation, and whether nothing was sent to the host since.
type Story = (
    LateCase,
    World,
    Vec<W>,
    (ResultKind, i32),
    Option<&'static str>,
    bool,
);

const RECORD: Option<&str> = Some("two");

#[rustfmt::skip]
fn stories() -> Vec<Story> {
    use LateCase as L;
    let ours = |op| World::new(op, Commands);
    let lost = || vec![W::Accepted, W::Disconnect, W::Wait(24 * 3600), W::Wait(3600)];
    vec![
        (L::Again,       ours(Op::Switch), vec![W::Accepted, W::Exit(Error, 1)], (Error, 1), None, true),
        (L::Again,       World::new(Op::Switch, Existing), vec![W::Exit(Stopped, 130)], (Error, -1), None, true),
        (L::Contradicts, ours(Op::Switch), vec![W::Accepted, W::Exit(Error, 1)], (Fine, 0), RECORD, true),
        (L::Contradicts, ours(Op::Switch), vec![W::Accepted, W::Exit(Error, 1)], (Stopped, 1), None, true),
        (L::Unnamed,     World::new(Op::Switch, Existing), vec![W::Wait(24 * 3600), W::Wait(24 * 3600)], (Fine, 0), None, true),
        (L::Overtaken,   ours(Op::Switch), lost(), (Fine, 0), RECORD, false),
        (L::NeverSent,   ours(Op::Switch), vec![W::Cancel(Withdrawal::Cancelled)], (Fine, 0), RECORD, true),
        (L::Tests,       ours(Op::Test), lost(), (Fine, 0), None, true),
        (L::Tests,       ours(Op::Test), lost(), (Error, 1), None, true),
        (L::NoDeploy,    ours(Op::Pull), lost(), (Fine, 0), RECORD, true),
        (L::Activated,   ours(Op::Switch), lost(), (Fine, 0), RECORD, true),
        (L::Activated,   ours(Op::Switch), lost(), (Error, 4), RECORD, true),
        (L::Unproven,    ours(Op::Switch), lost(), (Fine, 0), None, true),
        (L::Interrupted, ours(Op::Switch), lost(), (Interrupted, -1), RECORD, true),
        (L::Stopped,     ours(Op::Switch), lost(), (Stopped, 130), RECORD, true),
        (L::Failed,      ours(Op::Switch), lost(), (Error, 2), RECORD, true),
        (L::Failed,      ours(Op::Switch), lost(), (Error, 4), None, true),
    ]
}

fn transcript(story: &Story, row: &dyn Fn(LateCase) -> &'static LateRow) -> String {
    let (case, world, words, (kind, code), record, newest) = story;
    let queued = matches!(words.as_slice(), [W::Cancel(_)]);
    let mut play = Play::queued(world.clone());
    if !queued {
        play = play.admitted();
    }
    play.play(words);
    let ended = play.command.clone();
    let mut report = play.world.report(*kind, *code);
    // Whatever the case, only the row may make tests count.
    report.tests = (*code != 1).then(tests_of_the_running_system);
    report.deployed = record.map(|store| deployed('b', "new", store, Some(ID)));
    let steps = late_result_by(row, &play.command, &report, *newest);
    assert_eq!(play.command, ended, "terminal is final");
    let ending = ended.ending_text();
    let ending = ending.unwrap_or_else(|| panic!("{case:?}: still {:?}", ended.phase));
    let mut text = format!("# {case:?}: {}, {ending}\n", ended.op.name());
    let with = if record.is_some() { " with record" } else { "" };
    let since = if *newest { "" } else { ", overtaken" };
    writeln!(text, "{kind:?} {code}{with}{since}").unwrap();
    for step in steps {
        writeln!(text, "    {}", word_of(&step)).unwrap();
    }
    text
}

fn told(row: &dyn Fn(LateCase) -> &'static LateRow) -> String {
    let all: Vec<String> = stories()
        .iter()
        .map(|story| transcript(story, row))
        .collect();
    all.join("\n")
}

#[test]
fn late_results_are_told_as_written() {
    goldens::check(GOLDEN, &told(&LateCase::row));
    for row in LATE {
        assert_eq!(row.case.row(), row);
        let told = stories().iter().any(|(case, ..)| *case == row.case);
        assert!(told, "{} has no story", row.id);
    }
}

/// Everything a row may settle.
fn everything() -> Vec<Settles> {
    let deploys = effects().into_iter().map(Settles::Deploy);
    // To settle that nothing changes is to settle nothing.
    let deploys = deploys.filter(|settles| match settles {
        Settles::Deploy(effect) => effect.deploy != DeployEffect::Unchanged,
        Settles::Nothing | Settles::Tests => true,
    });
    deploys.chain([Settles::Nothing, Settles::Tests]).collect()
}

#[test]
fn every_late_row_that_says_something_else_is_noticed() {
    let golden = goldens::read(GOLDEN);
    assert_eq!(told(&LateCase::row), golden, "positive control: no mutant");
    let mut score = Score::default();
    for row in LATE {
        let others = everything().into_iter().filter(|one| *one != row.settles);
        let mut mutants: Vec<LateRow> = others.map(|settles| LateRow { settles, ..*row }).collect();
        mutants.push(LateRow {
            noted: !row.noted,
            ..*row
        });
        for mutant in mutants {
            let leaked: &'static LateRow = Box::leak(Box::new(mutant));
            let by = |case: LateCase| {
                if case == leaked.case {
                    leaked
                } else {
                    case.row()
                }
            };
            score.retargeted(told(&by) != golden, || format!("{mutant:?}"));
        }
    }
    score.done("late");
}
