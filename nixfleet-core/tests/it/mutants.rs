//! Changed tables that need a reference of their own: the catalogue of operations, what stands in
//! the way of a command, what is shown while one is at work, and what changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use nixfleet_core::admission::{GATES, Gate, Refusal, refusals_by};
use nixfleet_core::compartment::rules::OVERLAYS;
use nixfleet_core::compartment::table::During;
use nixfleet_core::lifecycle::{EventKind, Guard, IGNORED, Phase, Row, TABLE, guards};
use nixfleet_core::op::{Goal, Need, OpClass, OpSpec, Performer};
use nixfleet_core::{Compartment, OPS, Op};

use super::counts::Score;
use super::vectors::admissions;

/// The catalogue of operations as spec 02 has it, written by hand: who, class, needs, goal, warning
/// and hard timeout in seconds, whether it may be tried again, where it is shown as working.
const CATALOGUE: &str = "
pull           Agent  Change     Online,Idle,RemoteReadable,SomethingToPull            CommitIsTarget         120  300  again  Git
switch         Agent  Deploy     Online,Idle,RemoteReadable,GitAndLockCurrent,Clean    SystemIsNew            600  1800 again  System
pull-switch    Agent  Deploy     Online,Idle,RemoteReadable                            CommitAndSystem        720  2100 again  Git,System
test           Agent  Read       Online,Idle                                           TestResult             300  600  again  Tests
rollback       Agent  Deploy     Online,Idle,TargetKnown                               SystemIsRollbackTarget 300  900  once   System
restart        Agent  Disruptive Online                                                RegisteredAgain        30   60   once   Agent
reboot         Agent  Disruptive Online,IdleOrOverride,SecondFactor                    RegisteredAfterBoot    -    900  once   Agent
check-version  Server Read       Online                                                None                   -    30   again  -
refresh-git    Server Read       Online                                                None                   -    30   again  Git
refresh-lock   Server Read       Online                                                None                   -    30   again  Lock
refresh-all    Server Read       Online                                                None                   -    30   again  -
refresh-system Agent  Read       Online,Idle,Confirmed                                 None                   120  300  again  -
update-inputs  Agent  Change     Online,Idle,HostDrivenStrategy                        LockChangedAndPushed   120  600  again  Lock
force-rebuild  Agent  Deploy     Online,Idle                                           AgentFresh             600  3600 again  Agent,System
merge-pr       Server Change     EligiblePr                                            Merged                 -    60   again  -
revert-pr      Server Change     EligiblePr                                            RevertOpen             -    60   again  -
set-color      Server Read       -                                                     None                   -    5    once   -
remove         Server Change     Offline,Idle                                          None                   -    5    once   -
hold           Server Change     -                                                     None                   -    5    once   -
release        Server Change     -                                                     None                   -    5    once   -
";

/// A line of the catalogue, made from the table.
fn line(spec: &OpSpec) -> String {
    let some = |words: Vec<String>| match words.is_empty() {
        true => "-".to_owned(),
        false => words.join(","),
    };
    let warn = spec.warn.map(|warn| warn.as_secs().to_string());
    [
        spec.name.to_owned(),
        format!("{:?}", spec.performer),
        format!("{:?}", spec.class),
        some(spec.needs.iter().map(|need| format!("{need:?}")).collect()),
        format!("{:?}", spec.goal),
        warn.unwrap_or_else(|| "-".to_owned()),
        spec.hard.as_secs().to_string(),
        if spec.retry { "again" } else { "once" }.to_owned(),
        some(spec.overlay.iter().map(|one| format!("{one:?}")).collect()),
    ]
    .join(" ")
}

fn catalogue() -> BTreeMap<&'static str, String> {
    let lines = CATALOGUE.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words[0], words.join(" "))
        })
        .collect()
}

fn without<T: Copy>(all: &[T], gone: usize) -> &'static [T] {
    let mut left = all.to_vec();
    left.remove(gone);
    left.leak()
}

fn with<T: Copy>(all: &[T], more: T) -> &'static [T] {
    let mut longer = all.to_vec();
    longer.push(more);
    longer.leak()
}

const GOALS: [Goal; 12] = [
    Goal::CommitIsTarget,
    Goal::SystemIsNew,
    Goal::CommitAndSystem,
    Goal::TestResult,
    Goal::SystemIsRollbackTarget,
    Goal::RegisteredAgain,
    Goal::RegisteredAfterBoot,
    Goal::LockChangedAndPushed,
    Goal::AgentFresh,
    Goal::Merged,
    Goal::RevertOpen,
    Goal::None,
];

const NEEDS: [Need; 13] = [
    Need::Online,
    Need::Offline,
    Need::Idle,
    Need::IdleOrOverride,
    Need::SomethingToPull,
    Need::GitAndLockCurrent,
    Need::RemoteReadable,
    Need::Clean,
    Need::TargetKnown,
    Need::HostDrivenStrategy,
    Need::Confirmed,
    Need::SecondFactor,
    Need::EligiblePr,
];

/// Every other way to fill one cell of a row.
fn altered(spec: &OpSpec) -> Vec<(String, OpSpec)> {
    let mut all = Vec::new();
    let mut add =
        |what: String, changed: OpSpec| all.push((format!("{}: {what}", spec.name), changed));
    for performer in [Performer::Agent, Performer::Server] {
        if performer != spec.performer {
            add(format!("{performer:?}"), OpSpec { performer, ..*spec });
        }
    }
    for class in [
        OpClass::Deploy,
        OpClass::Disruptive,
        OpClass::Change,
        OpClass::Read,
    ] {
        if class != spec.class {
            add(format!("{class:?}"), OpSpec { class, ..*spec });
        }
    }
    for goal in GOALS.into_iter().filter(|goal| *goal != spec.goal) {
        add(format!("{goal:?}"), OpSpec { goal, ..*spec });
    }
    for need in NEEDS.into_iter().filter(|need| !spec.needs.contains(need)) {
        let needs = with(spec.needs, need);
        add(format!("also needs {need:?}"), OpSpec { needs, ..*spec });
    }
    for one in Compartment::ALL
        .into_iter()
        .filter(|one| !spec.overlay.contains(one))
    {
        let overlay = with(spec.overlay, one);
        add(
            format!("also shown in {one:?}"),
            OpSpec { overlay, ..*spec },
        );
    }
    let longer = |time: Duration| time + Duration::from_secs(1);
    let warn = match spec.warn {
        Some(_) => None,
        None => Some(Duration::from_secs(1)),
    };
    add("warns or not".to_owned(), OpSpec { warn, ..*spec });
    if let Some(warn) = spec.warn.map(longer) {
        let warn = Some(warn);
        add("warns later".to_owned(), OpSpec { warn, ..*spec });
    }
    let hard = longer(spec.hard);
    add("a second longer".to_owned(), OpSpec { hard, ..*spec });
    let retry = !spec.retry;
    add("tried again or not".to_owned(), OpSpec { retry, ..*spec });
    all
}

#[test]
fn every_cell_of_the_catalogue_of_operations_is_the_one_of_the_specification() {
    let catalogue = catalogue();
    let told = |table: &[OpSpec]| -> BTreeMap<&str, String> {
        table.iter().map(|spec| (spec.name, line(spec))).collect()
    };
    assert_eq!(told(OPS), catalogue, "positive control: no mutant");
    let mut score = Score::default();
    for (index, spec) in OPS.iter().enumerate() {
        score.deleted(told(without(OPS, index)) != catalogue, || {
            spec.name.to_owned()
        });
        for gone in 0..spec.needs.len() {
            let needs = without(spec.needs, gone);
            let noticed = line(&OpSpec { needs, ..*spec }) != catalogue[spec.name];
            score.deleted(noticed, || {
                format!("{}: need {:?}", spec.name, spec.needs[gone])
            });
        }
        for gone in 0..spec.overlay.len() {
            let overlay = without(spec.overlay, gone);
            let noticed = line(&OpSpec { overlay, ..*spec }) != catalogue[spec.name];
            score.deleted(noticed, || format!("{}: overlay {gone}", spec.name));
        }
        for (what, changed) in altered(spec) {
            score.retargeted(line(&changed) != catalogue[spec.name], || what);
        }
    }
    score.done("ops");
}

/// The vectors of admission were worked out by hand: who may do what, and what stands in the way.
#[test]
fn every_gate_and_every_kind_of_need_that_is_missing_or_out_of_turn_is_noticed() {
    let cases = admissions::cases();
    let noticed = |gates: &[Gate], left_out: Option<Need>| {
        cases.iter().any(|case| {
            let needs: Vec<Need> = case.request.op.spec().needs.to_vec();
            let needs: Vec<Need> = needs
                .into_iter()
                .filter(|need| Some(*need) != left_out)
                .collect();
            let said = refusals_by(
                gates,
                &needs,
                &case.request,
                &case.conditions.as_conditions(),
            );
            let said: Vec<&str> = said
                .iter()
                .map(|Refusal { code, .. }| code.code())
                .collect();
            said != case.expected
        })
    };
    assert!(!noticed(GATES, None), "positive control: no mutant");
    let mut score = Score::default();
    for (at, gate) in GATES.iter().enumerate() {
        score.deleted(noticed(without(GATES, at), None), || {
            format!("gate {gate:?}")
        });
    }
    for need in NEEDS {
        // What nobody asks for cannot be missing.
        assert!(
            OPS.iter().any(|spec| spec.needs.contains(&need)),
            "{need:?}"
        );
        score.deleted(noticed(GATES, Some(need)), || format!("need {need:?}"));
    }
    score.done("gates");
}

/// What is shown as working, by hand, from spec 01: the operation, and where in which part of it.
const WORKING: &[(Op, &[(Compartment, During)])] = {
    use Compartment::{Agent, Git, Lock, System, Tests};
    use During::{All, PullHalf, SwitchHalf};
    &[
        (Op::Pull, &[(Git, All)]),
        (Op::Switch, &[(System, All)]),
        (Op::PullSwitch, &[(Git, PullHalf), (System, SwitchHalf)]),
        (Op::Test, &[(Tests, All)]),
        (Op::Rollback, &[(System, All)]),
        (Op::Restart, &[(Agent, All)]),
        (Op::Reboot, &[(Agent, All)]),
        (Op::RefreshGit, &[(Git, All)]),
        (Op::RefreshLock, &[(Lock, All)]),
        (Op::UpdateInputs, &[(Lock, All)]),
        (Op::ForceRebuild, &[(Agent, All), (System, All)]),
    ]
};

#[test]
fn every_overlay_that_is_missing_or_elsewhere_is_noticed() {
    type Cell = (Op, Compartment, During);
    let sorted = |mut cells: Vec<Cell>| {
        cells.sort_by_key(|(op, compartment, during)| (*op, *compartment, format!("{during:?}")));
        cells
    };
    let expected = WORKING.iter().flat_map(|(op, cells)| {
        cells
            .iter()
            .map(|(compartment, during)| (*op, *compartment, *during))
    });
    let expected = sorted(expected.collect());
    let cells: Vec<Cell> = OVERLAYS
        .iter()
        .map(|row| (row.op, row.compartment, row.during))
        .collect();
    assert_eq!(
        sorted(cells.clone()),
        expected,
        "positive control: no mutant"
    );
    let mut score = Score::default();
    for (at, (op, compartment, during)) in cells.iter().copied().enumerate() {
        let noticed = sorted(without(&cells, at).to_vec()) != expected;
        score.deleted(noticed, || format!("{op:?} in {compartment:?}"));
        let mut try_one = |changed: Cell| {
            let mut table = cells.clone();
            table[at] = changed;
            score.retargeted(sorted(table) != expected, || {
                format!("{:?} as {changed:?}", cells[at])
            });
        };
        for other in Compartment::ALL
            .into_iter()
            .filter(|other| *other != compartment)
        {
            try_one((op, other, during));
        }
        for other in [During::All, During::PullHalf, During::SwitchHalf] {
            if other != during {
                try_one((op, compartment, other));
            }
        }
        for other in OPS.iter().map(|spec| spec.op).filter(|other| *other != op) {
            try_one((other, compartment, during));
        }
    }
    score.done("overlays");
}

/// Whether every case is covered by exactly one row.
fn closed(table: &[Row], ignored: &[Row]) -> bool {
    let cases = Phase::ALL.into_iter().flat_map(|phase| {
        EventKind::ALL
            .into_iter()
            .flat_map(move |kind| guards(kind).iter().map(move |guard| (phase, kind, *guard)))
    });
    let mut rows = cases.map(|(phase, kind, guard): (Phase, EventKind, Guard)| {
        let covers = |row: &&Row| row.covers(phase, kind, guard);
        table.iter().chain(ignored).filter(covers).count()
    });
    rows.all(|count| count == 1)
}

/// What changes nothing says so: a row that is gone, or is about less or more, leaves a hole or
/// stands in the way of another one.
#[test]
fn every_changed_row_of_what_is_ignored_opens_the_closed_world() {
    assert!(closed(TABLE, IGNORED), "positive control: no mutant");
    let mut score = Score::default();
    for (at, row) in IGNORED.iter().enumerate() {
        score.deleted(!closed(TABLE, without(IGNORED, at)), || row.id.to_owned());
        let mut about = |what: String, changed: Row| {
            let mut ignored = IGNORED.to_vec();
            ignored[at] = changed;
            score.retargeted(!closed(TABLE, &ignored), || format!("{}: {what}", row.id));
        };
        for gone in 0..row.from.len() {
            let from = without(row.from, gone);
            about(format!("not {:?}", row.from[gone]), Row { from, ..*row });
        }
        for gone in 0..row.on.len() {
            let on = without(row.on, gone);
            about(format!("not {:?}", row.on[gone]), Row { on, ..*row });
        }
        for gone in (0..row.when.len()).filter(|_| row.when.len() > 1) {
            let when = without(row.when, gone);
            about(format!("not {:?}", row.when[gone]), Row { when, ..*row });
        }
        for more in Phase::ALL
            .into_iter()
            .filter(|more| !row.from.contains(more))
        {
            let from = with(row.from, more);
            about(format!("also {more:?}"), Row { from, ..*row });
        }
    }
    score.done("ignored");
}
