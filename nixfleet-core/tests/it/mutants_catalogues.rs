//! Changed tables of rollouts, updates, refusals, notices, windows, the queue and the compact form:
//! each beside a catalogue of what the specification says, written by hand. A row that is gone, and
//! a cell that says anything else, must not go unnoticed. The last test keeps the world closed: a
//! table that nobody changes on trial has to say why.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nixfleet_core::OPS;
use nixfleet_core::admission::{RefusalCode, UNLISTED_PREVIOUS};
use nixfleet_core::compartment::ReasonCode;
use nixfleet_core::compartment::render::templates;
use nixfleet_core::credential::NEARNESS;
use nixfleet_core::fleet::queue_rank;
use nixfleet_core::notice::{NoticeKind, Severity};
use nixfleet_core::rollout::{PIPELINES, STATES, VERBS, WAITS};
use nixfleet_core::selector::Selector;
use nixfleet_core::sync::letters;
use nixfleet_core::update::{
    AUTO_GATES, CHECK_VERDICTS, CONDITIONS, ForPeople, Happening, JOB_TABLE, Next, StageKind,
    Verdict,
};
use nixfleet_core::window::ActionClass;
use nixfleet_core::{Compartment, Op};

use super::counts::Score;

/// What may stand in a cell.
enum Column {
    /// One of these.
    One(Vec<String>),
    /// Any of these, joined by commas, or `-`.
    Any(Vec<String>),
}

type Rows = Vec<Vec<String>>;

fn catalogue(text: &str) -> Rows {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect()
}

fn elements(cell: &str) -> Vec<String> {
    let all = cell.split(',').filter(|one| *one != "-");
    all.map(str::to_owned).collect()
}

fn joined(elements: &[String]) -> String {
    match elements.is_empty() {
        true => "-".to_owned(),
        false => elements.join(","),
    }
}

/// Takes away every row, and fills every cell with everything else that may stand there.
fn try_all(name: &str, rows: &Rows, expected: &str, columns: &[Column]) {
    let expected = catalogue(expected);
    assert_eq!(*rows, expected, "{name}: positive control, no mutant");
    let mut score = Score::default();
    for (at, row) in rows.iter().enumerate() {
        assert_eq!(row.len(), columns.len(), "{name}: {row:?}");
        let mut fewer = rows.clone();
        fewer.remove(at);
        score.deleted(fewer != expected, || format!("{name}: {row:?}"));
        let noticed = |column: usize, cell: String| {
            let mut changed = rows.clone();
            changed[at][column] = cell;
            changed != expected
        };
        for (column, may) in columns.iter().enumerate() {
            let cell = &row[column];
            match may {
                Column::One(domain) => {
                    assert!(domain.contains(cell), "{name}: {cell}");
                    for other in domain.iter().filter(|other| *other != cell) {
                        score.retargeted(noticed(column, other.clone()), || {
                            format!("{name}: {row:?} with {other}")
                        });
                    }
                }
                Column::Any(domain) => {
                    let own = elements(cell);
                    for gone in 0..own.len() {
                        let mut left = own.clone();
                        let what = left.remove(gone);
                        score.deleted(noticed(column, joined(&left)), || {
                            format!("{name}: {row:?} without {what}")
                        });
                    }
                    for more in domain.iter().filter(|more| !own.contains(more)) {
                        let mut longer = own.clone();
                        longer.push(more.clone());
                        score.retargeted(noticed(column, joined(&longer)), || {
                            format!("{name}: {row:?} with {more}, too")
                        });
                    }
                }
            }
        }
    }
    score.done(name);
}

fn said<T: std::fmt::Debug>(values: impl IntoIterator<Item = T>) -> Vec<String> {
    values.into_iter().map(|one| format!("{one:?}")).collect()
}

/// What stands in one column of a table; each row is tried with what the others say.
fn seen(rows: &Rows, column: usize) -> Vec<String> {
    let all: BTreeSet<String> = rows.iter().map(|row| row[column].clone()).collect();
    all.into_iter().collect()
}

fn ops() -> Vec<String> {
    said(OPS.iter().map(|spec| spec.op))
}

#[test]
fn states_of_rollouts_are_those_of_the_specification() {
    let row = |row: &nixfleet_core::rollout::StateRow| {
        let ended = if row.state.is_terminal() {
            "ended"
        } else {
            "open"
        };
        vec![format!("{:?}", row.state), ended.to_owned()]
    };
    let rows: Rows = STATES.iter().map(row).collect();
    let columns = [
        Column::One(seen(&rows, 0)),
        Column::One(vec!["open".to_owned(), "ended".to_owned()]),
    ];
    let expected = "
        Running open
        Paused open
        AwaitingApproval open
        RollingBack open
        Complete ended
        Partial ended
        Failed ended
        Halted ended
        Cancelled ended
        Superseded ended
    ";
    try_all("rollout-states", &rows, expected, &columns);
}

#[test]
fn reasons_to_wait_are_bounded_as_the_specification_says() {
    let row = |row: &nixfleet_core::rollout::WaitRow| {
        let bound = row.bound.map(|bound| bound.as_secs().to_string());
        vec![
            format!("{:?}", row.code),
            bound.unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let rows: Rows = WAITS.iter().map(row).collect();
    let mut bounds = seen(&rows, 1);
    bounds.extend(["1".to_owned(), "7200".to_owned()]);
    let columns = [Column::One(seen(&rows, 0)), Column::One(bounds)];
    // Eight days reach from one weekly window to the next; a day for what people have to mend.
    let expected = "
        PreviousWave -
        PreviousStage -
        Soaking -
        OutsideWindow 691200
        Held 86400
        Offline 86400
        Busy 86400
        BudgetFull -
        Paused -
        AwaitingApproval -
        Quarantined 86400
        DesiredNotVisible 120
        RemoteUnreadable 86400
        CheckoutNotReady 600
        OtherRollout 691200
        Stopping -
        SystemNotSeen 600
    ";
    try_all("rollout-waits", &rows, expected, &columns);
}

#[test]
fn verbs_are_allowed_in_the_states_of_the_specification() {
    let row = |row: &nixfleet_core::rollout::VerbRow| {
        vec![format!("{:?}", row.verb), joined(&said(row.states))]
    };
    let rows: Rows = VERBS.iter().map(row).collect();
    let columns = [
        Column::One(seen(&rows, 0)),
        Column::Any(said(STATES.iter().map(|row| row.state))),
    ];
    let expected = "
        Pause       Running
        Resume      Paused
        Cancel      Running,Paused,AwaitingApproval
        RetryFailed Running,Paused,Partial,Failed
        SkipHost    Running,Paused,AwaitingApproval
        Approve     AwaitingApproval
        RollBack    Running,Paused,AwaitingApproval,Complete,Partial,Failed,Halted,Cancelled,Superseded
    ";
    try_all("rollout-verbs", &rows, expected, &columns);
}

#[test]
fn pipelines_run_the_operations_of_the_specification() {
    let row = |row: &nixfleet_core::rollout::PipelineRow| {
        vec![row.name.to_owned(), joined(&said(row.ops))]
    };
    let rows: Rows = PIPELINES.iter().map(row).collect();
    let columns = [Column::One(seen(&rows, 0)), Column::Any(ops())];
    let expected = "
        do-all       Pull,Switch,Test
        merge-deploy Pull,Switch,Test
        update-agent UpdateInputs,Pull,Switch,Restart
        force-update ForceRebuild,Restart
    ";
    try_all("pipelines", &rows, expected, &columns);
}

#[test]
fn a_check_contributes_what_the_specification_says() {
    let rows: Rows = CHECK_VERDICTS
        .iter()
        .map(|(state, verdict, _)| vec![format!("{state:?}"), format!("{verdict:?}")])
        .collect();
    let columns = [Column::One(seen(&rows, 0)), Column::One(said(Verdict::ALL))];
    let expected = "
        Success        Pass
        Failure        Failing
        Cancelled      NoVerdict
        Skipped        NoVerdict
        Neutral        NoVerdict
        ActionRequired Pending
        Running        Pending
        Stale          NoVerdict
        Unknown        NoVerdict
    ";
    try_all("update-checks", &rows, expected, &columns);
}

#[test]
fn the_conditions_of_law_e2_mean_to_people_what_the_specification_says() {
    let rows: Rows = CONDITIONS
        .iter()
        .map(|spec| vec![spec.code.to_owned(), format!("{:?}", spec.people)])
        .collect();
    let people = [ForPeople::Required, ForPeople::Override, ForPeople::Shown];
    let columns = [Column::One(seen(&rows, 0)), Column::One(said(people))];
    let expected = "
        open           Required
        not-draft      Required
        base           Required
        head-repo      Override
        author         Shown
        files          Override
        lock-change    Override
        checks         Override
        age            Shown
        head-unchanged Shown
        mergeable      Required
    ";
    try_all("update-conditions", &rows, expected, &columns);
}

#[test]
fn merge_jobs_do_what_the_specification_says() {
    let rows: Rows = JOB_TABLE
        .iter()
        .map(|row| {
            vec![
                format!("{:?}", row.stage),
                format!("{:?}", row.on),
                format!("{:?}", row.next),
            ]
        })
        .collect();
    let next = [
        Next::Call,
        Next::ReadUnclear,
        Next::ReadHeadMoved,
        Next::ReadNotMergeable,
        Next::ReadAgain,
        Next::Merged,
        Next::MergedOtherwise,
        Next::Deploy,
        Next::EndWell,
        Next::EndBadly,
        Next::EndUnknown,
    ];
    let columns = [
        Column::One(said(StageKind::ALL)),
        Column::One(said(Happening::ALL)),
        Column::One(said(next)),
    ];
    // After a refusal nothing is called again: what looks mergeable then is refused for a reason
    // that nobody sees. What is not known is read, never guessed.
    let expected = "
        Reading        Eligible        Call
        Reading        TriesUsed       EndUnknown
        Reading        NotEligible     EndBadly
        Reading        OtherHead       EndBadly
        Reading        MergedAsAsked   Merged
        Reading        MergedOtherwise MergedOtherwise
        Reading        Gone            EndBadly
        Reading        Unread          ReadAgain
        Reading        UnreadTooOften  EndUnknown
        ReadingRefused Eligible        EndBadly
        ReadingRefused TriesUsed       EndBadly
        ReadingRefused NotEligible     EndBadly
        ReadingRefused OtherHead       EndBadly
        ReadingRefused MergedAsAsked   Merged
        ReadingRefused MergedOtherwise MergedOtherwise
        ReadingRefused Gone            EndBadly
        ReadingRefused Unread          ReadAgain
        ReadingRefused UnreadTooOften  EndUnknown
        Calling        Done            Merged
        Calling        HeadMoved       ReadHeadMoved
        Calling        NotMergeable    ReadNotMergeable
        Calling        Invalid         EndBadly
        Calling        Refused         EndBadly
        Calling        Ambiguous       ReadUnclear
        Awaiting       Shown           Deploy
        Awaiting       NotShown        EndBadly
        Deploying      DeployedWell    EndWell
        Deploying      DeployedBadly   EndBadly
    ";
    try_all("update-jobs", &rows, expected, &columns);
}

#[test]
fn the_gates_of_automatic_merges_are_those_of_the_specification() {
    let rows: Rows = AUTO_GATES
        .iter()
        .map(|(gate, code, _)| vec![format!("{gate:?}"), (*code).to_owned()])
        .collect();
    let columns = [Column::One(seen(&rows, 0)), Column::One(seen(&rows, 1))];
    let expected = "
        SwitchedOn switched-on
        Conditions conditions
        Quarantine quarantine
        Window     window
        Rollout    rollout
        Idle       idle
        FirstTry   first-try
    ";
    try_all("update-gates", &rows, expected, &columns);
}

#[test]
fn the_ends_of_credentials_are_told_as_long_before_as_the_documents_say() {
    let rows: Rows = NEARNESS
        .iter()
        .map(|(near, before)| vec![format!("{near:?}"), before.as_secs().to_string()])
        .collect();
    let mut times = seen(&rows, 1);
    times.extend(["1".to_owned(), "604800".to_owned()]);
    let columns = [Column::One(seen(&rows, 0)), Column::One(times)];
    let expected = "
        TwoWeeks  1209600
        ThreeDays 259200
        Ended     0
    ";
    try_all("nearness", &rows, expected, &columns);
}

#[test]
fn what_ends_what_is_as_the_documents_say() {
    let pairs = NoticeKind::ALL
        .iter()
        .filter_map(|kind| Some(vec![kind.code().to_owned(), kind.ends()?.code().to_owned()]));
    let rows: Rows = pairs.collect();
    let every: Vec<String> = NoticeKind::ALL
        .iter()
        .map(|kind| kind.code().to_owned())
        .collect();
    let columns = [Column::One(every.clone()), Column::One(every)];
    let expected = "
        remote-unreachable remote-readable
        remote-readable    remote-unreachable
    ";
    try_all("notice-ends", &rows, expected, &columns);
}

#[test]
fn notices_matter_as_much_as_the_specification_says() {
    let rows: Rows = NoticeKind::ALL
        .iter()
        .map(|kind| vec![kind.code().to_owned(), format!("{:?}", kind.severity())])
        .collect();
    let severities = [
        Severity::Info,
        Severity::Success,
        Severity::Warning,
        Severity::Failure,
    ];
    let columns = [Column::One(seen(&rows, 0)), Column::One(said(severities))];
    let expected = "
        update-found       Info
        update-merged      Success
        auto-merge-refused Warning
        merge-failed       Failure
        update-reverted    Info
        rollout-started    Info
        rollout-finished   Success
        rollout-stopped    Failure
        host-failed        Failure
        rolled-back        Warning
        tests-failed       Failure
        remote-unreachable Failure
        remote-readable    Success
        host-offline       Warning
        test               Info
        credential-expires Warning
    ";
    try_all("notices", &rows, expected, &columns);
}

/// Law B19 for `force`, spec 02 (`PENDING`) for what may wait.
#[test]
fn refusals_give_way_to_force_and_to_time_as_the_specification_says() {
    let rows: Rows = RefusalCode::ALL
        .iter()
        .map(|code| {
            let mut gives_way = Vec::new();
            if code.bypassed_by_force() {
                gives_way.push("force".to_owned());
            }
            if code.may_wait() {
                gives_way.push("time".to_owned());
            }
            vec![code.code().to_owned(), joined(&gives_way)]
        })
        .collect();
    let columns = [
        Column::One(seen(&rows, 0)),
        Column::Any(vec!["force".to_owned(), "time".to_owned()]),
    ];
    let expected = "
        not-permitted          -
        second-factor-missing  -
        not-confirmed          -
        bad-argument           -
        signature-missing      -
        held                   time
        hold-needs-reason      -
        quarantined            -
        outside-window         time
        offline                time
        never-seen             time
        still-online           -
        busy                   time
        remote-unreadable      time
        already-current        force
        git-outdated           force,time
        git-unknown            force,time
        lock-outdated          force,time
        lock-unknown           force,time
        dirty                  force
        no-previous-generation -
        generation-unknown     -
        generation-current     -
        host-driven-off        -
        pr-unknown             -
        pr-not-eligible        -
        store-damaged          -
        not-supported          -
        validation-timed-out   -
    ";
    try_all("refusals", &rows, expected, &columns);
}

#[test]
fn who_may_roll_back_to_what_nobody_listed_is_as_the_specification_says() {
    let rows: Rows = UNLISTED_PREVIOUS
        .iter()
        .map(|(protocol, person, may)| {
            let who = if *person { "person" } else { "automation" };
            let may = if *may { "may" } else { "may-not" };
            vec![format!("{protocol:?}"), who.to_owned(), may.to_owned()]
        })
        .collect();
    let columns = [0, 1, 2].map(|column| Column::One(seen(&rows, column)));
    let expected = "
        Commands person     may-not
        Commands automation may-not
        Existing person     may
        Existing automation may-not
    ";
    try_all("unlisted-previous", &rows, expected, &columns);
}

/// Every operation with its class for windows, if the update is routine and if it is urgent, and
/// its place among commands that wait for their host (law D9: one of a rank replaces another).
#[test]
fn every_operation_has_its_window_and_its_place_in_the_queue() {
    let rows: Rows = OPS
        .iter()
        .map(|spec| {
            let class = |update| format!("{:?}", ActionClass::of(spec.op, update));
            vec![
                format!("{:?}", spec.op),
                class(ActionClass::Routine),
                class(ActionClass::Security),
                queue_rank(spec.op).to_string(),
            ]
        })
        .collect();
    let columns = [
        Column::One(ops()),
        Column::One(said(ActionClass::ALL)),
        Column::One(said(ActionClass::ALL)),
        Column::One((0..9).map(|rank| rank.to_string()).collect()),
    ];
    let expected = "
        Pull          Routine  Security 1
        Switch        Routine  Security 2
        PullSwitch    Routine  Security 2
        Test          Test     Test     3
        Rollback      Rollback Rollback 2
        Restart       Reboot   Reboot   4
        Reboot        Reboot   Reboot   5
        CheckVersion  Routine  Security 7
        RefreshGit    Routine  Security 7
        RefreshLock   Routine  Security 7
        RefreshAll    Routine  Security 7
        RefreshSystem Routine  Security 6
        UpdateInputs  Routine  Security 0
        ForceRebuild  Routine  Security 2
        MergePr       Routine  Security 8
        RevertPr      Routine  Security 8
        SetColor      Routine  Security 8
        Remove        Routine  Security 8
        Hold          Routine  Security 8
        Release       Routine  Security 8
    ";
    try_all("windows-and-queue", &rows, expected, &columns);
}

/// The letters are part of the protocol: a client of another version reads them.
#[test]
fn letters_of_compact_statuses_never_change() {
    let letters_of = |all: &str| -> Vec<String> { all.chars().map(String::from).collect() };
    let statuses = letters::STATUSES.iter();
    let mut rows: Rows = statuses
        .map(|(status, letter)| vec![format!("status-{status:?}"), letter.to_string()])
        .collect();
    let halves = letters::HALVES.iter().enumerate();
    rows.extend(halves.map(|(at, half)| vec![format!("half-{half:?}"), at.to_string()]));
    let reasons = ReasonCode::ALL.iter().map(|code| {
        let letter = letters::reason(*code).letter;
        assert_eq!(letters::reason_with(letter), Some(*code));
        vec![format!("reason-{code:?}"), letter.to_string()]
    });
    rows.extend(reasons);
    let attentions = letters::ATTENTIONS.iter();
    rows.extend(
        attentions
            .map(|(code, letter)| vec![format!("attention-{code}"), letter.letter.to_string()]),
    );
    let columns = [
        Column::One(seen(&rows, 0)),
        Column::One(letters_of(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz012",
        )),
    ];
    let expected = "
        status-Unknown u
        status-Ok o
        status-Outdated d
        status-Error e
        status-Working w
        half-None 0
        half-Some(Pull) 1
        half-Some(Switch) 2
        reason-AgentNotReported A
        reason-AgentCurrent B
        reason-AgentOlder C
        reason-AgentNewer D
        reason-AgentIncompatible E
        reason-DesiredCommitUnavailable F
        reason-CheckoutNotReported G
        reason-CheckoutDirty H
        reason-CheckoutCurrent I
        reason-CheckoutBehind J
        reason-CheckoutAhead K
        reason-CheckoutDiverged L
        reason-CheckoutNotOnBranch M
        reason-CheckoutDifferent N
        reason-DesiredLockUnavailable O
        reason-LockMissing P
        reason-LockNotReported Q
        reason-LockCurrent R
        reason-LockBehind S
        reason-LockAhead T
        reason-LockNotOnBranch U
        reason-LockDifferent V
        reason-SystemUnverifiable W
        reason-DeployFailed X
        reason-CheckoutNotCurrent Y
        reason-CheckoutNotKnown Z
        reason-NeedsReconcile a
        reason-RunsOtherRevision b
        reason-RunsNoCommit w
        reason-RunsOtherPath c
        reason-SystemCurrent d
        reason-SystemClaimsCurrent e
        reason-DeployedInputsUnknown f
        reason-DeployedInputsDiffer g
        reason-DeploymentNotRecorded h
        reason-NeverDeployed i
        reason-TestsUnverifiable j
        reason-TestsDisabled k
        reason-TestsFailed l
        reason-TestsStopped m
        reason-TestsNeverDeployed n
        reason-NoTests o
        reason-SystemNotCurrent p
        reason-TestsPassed q
        reason-TestsUnverified r
        reason-TestsNotRun s
        reason-TestsVoid t
        reason-TestsOtherRevision u
        reason-Working v
        attention-update-pending u
        attention-reboot-required r
        attention-last-deploy-failed d
        attention-degraded g
        attention-last-tests-failed t
        attention-worktree-dirty w
        attention-remote-rewritten b
        attention-offline o
        attention-held h
        attention-remote-stale s
        attention-quarantined q
        attention-identity-conflict i
    ";
    try_all("letters", &rows, expected, &columns);
}

#[test]
fn attentions_are_shown_where_the_specification_says() {
    let rows: Rows = templates::ATTENTIONS
        .iter()
        .map(|row| {
            let shown = row.compartment.map(Compartment::name).unwrap_or("host");
            vec![row.code.to_owned(), shown.to_owned()]
        })
        .collect();
    let mut places: Vec<String> = Compartment::ALL.map(|one| one.name().to_owned()).into();
    places.push("host".to_owned());
    let columns = [Column::One(seen(&rows, 0)), Column::One(places)];
    let expected = "
        update-pending     lock
        reboot-required    system
        last-deploy-failed system
        degraded           system
        last-tests-failed  tests
        worktree-dirty     git
        remote-rewritten   git
        offline            host
        held               host
        remote-stale       host
        quarantined        host
        identity-conflict  host
    ";
    try_all("attentions", &rows, expected, &columns);
}

/// How the name of every prefix is read: what stands behind it, and nothing else, is looked at.
#[test]
fn every_prefix_of_a_selector_is_known_and_no_other() {
    for known in ["@web", "location:home", "type:server", "os:nixos", "web-*"] {
        assert!(known.parse::<Selector>().is_ok(), "{known}");
    }
    for unknown in ["tag:web", "place:home", "device:server", "kind:nixos"] {
        assert!(unknown.parse::<Selector>().is_err(), "{unknown}");
    }
}

// ---- no table is forgotten ----

/// What becomes of a table in these checks.
enum Checked {
    /// It is changed on trial; under this name `summary` tells what was noticed.
    Mutated(&'static str),
    /// It is not; why.
    Not(&'static str),
}

use Checked::{Mutated, Not};

const PHASES: Checked =
    Not("a set of phases that rows of the lifecycle table name: changed with them");
const FETCHERS: Checked =
    Not("spellings of Nix; the cases and laws of `lock` name every fetcher and attribute");
const TEXTS: Checked = Not("an order or a sentence in documents, which are compared as a whole");

/// Every constant table of the crate by its file; lists named `ALL` hold every value of a type.
#[rustfmt::skip]
const REGISTER: &[(&str, &str, Checked)] = &[
    ("admission.rs", "GATES", Mutated("gates")),
    ("admission/check.rs", "UNLISTED_PREVIOUS", Mutated("unlisted-previous")),
    ("compartment/fact.rs", "STATUSES", Not("the statuses before an overlay: every value, like `ALL`")),
    ("compartment/render/templates.rs", "ATTENTIONS", Mutated("attentions")),
    ("compartment/rules.rs", "AGENT", Mutated("compartments")),
    ("compartment/rules.rs", "GIT", Mutated("compartments")),
    ("compartment/rules.rs", "LOCK", Mutated("compartments")),
    ("compartment/rules.rs", "OVERLAYS", Mutated("overlays")),
    ("compartment/rules.rs", "SYSTEM", Mutated("compartments")),
    ("compartment/rules.rs", "TABLES", Mutated("compartments")),
    ("compartment/rules.rs", "TESTS", Mutated("compartments")),
    ("credential.rs", "NEARNESS", Mutated("nearness")),
    ("ids.rs", "DIGITS", Not("what each byte is as a hex digit; read and written back by its laws")),
    ("lifecycle/late.rs", "LATE", Mutated("late")),
    ("lifecycle/outcome.rs", "ENDINGS", Mutated("endings")),
    ("lifecycle/table.rs", "IGNORED", Mutated("ignored")),
    ("lifecycle/table.rs", "LIVE", PHASES),
    ("lifecycle/table.rs", "OPEN", PHASES),
    ("lifecycle/table.rs", "RESULTS", PHASES),
    ("lifecycle/table.rs", "RUNNING", PHASES),
    ("lifecycle/table.rs", "SENT", PHASES),
    ("lifecycle/table.rs", "SIGNS", PHASES),
    ("lifecycle/table.rs", "TABLE", Mutated("lifecycle")),
    ("lifecycle/table.rs", "TERMINAL", PHASES),
    ("lifecycle/table.rs", "UNSENT", PHASES),
    ("lock/source.rs", "FORGE", FETCHERS),
    ("lock/source.rs", "FORGE_LOCKED", FETCHERS),
    ("lock/source.rs", "KINDS", FETCHERS),
    ("lock/source.rs", "PINS", FETCHERS),
    ("lock/source.rs", "REVISION", FETCHERS),
    ("lock/source.rs", "TEXT", FETCHERS),
    ("lock/source.rs", "WHOLE", FETCHERS),
    ("notice.rs", "ENDS", Mutated("notice-ends")),
    ("op.rs", "OPS", Mutated("ops")),
    ("render/lifecycle.rs", "GAPS", TEXTS),
    ("render/lifecycle.rs", "TOLD_APART", TEXTS),
    ("render/lifecycle.rs", "UNKNOWN", TEXTS),
    ("render/lifecycle.rs", "UNVERIFIED", TEXTS),
    ("render/numbers.rs", "NUMBERS", Not("repeats constants that their own laws measure; the documents show it")),
    ("render/rollouts.rs", "SKIPS", TEXTS),
    ("render/rules.rs", "STATUSES", TEXTS),
    ("rollout/table.rs", "PIPELINES", Mutated("pipelines")),
    ("rollout/table.rs", "STATES", Mutated("rollout-states")),
    ("rollout/table.rs", "VERBS", Mutated("rollout-verbs")),
    ("rollout/table.rs", "WAITS", Mutated("rollout-waits")),
    ("selector.rs", "PREFIXES", Not("private; every prefix is read, and no other, by a test here")),
    ("sync/compact/table.rs", "ATTENTIONS", Mutated("letters")),
    ("sync/compact/table.rs", "BY_LETTER", Mutated("letters")),
    ("sync/compact/table.rs", "HALVES", Mutated("letters")),
    ("sync/compact/table.rs", "STATUSES", Mutated("letters")),
    ("update/checks.rs", "CHECK_VERDICTS", Mutated("update-checks")),
    ("update/compare_link.rs", "BY_URL", Not("private; the links of each of its hosts are compared by the tests beside it")),
    ("update/condition.rs", "CONDITIONS", Mutated("update-conditions")),
    ("update/gate.rs", "AUTO_GATES", Mutated("update-gates")),
    ("update/job.rs", "JOB_TABLE", Mutated("update-jobs")),
];

/// Tables that are not constants: functions that are one, or lists made by a macro.
const MADE_OTHERWISE: &[&str] = &["freshness", "notices", "refusals", "windows-and-queue"];

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            sources(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            into.push(path);
        }
    }
}

/// The name of a constant whose type is an array, a slice or a table.
fn table_in(line: &str) -> Option<&str> {
    let line = line.trim();
    let line = match line.strip_prefix("pub(") {
        Some(rest) => rest.split_once(") ")?.1,
        None => line.strip_prefix("pub ").unwrap_or(line),
    };
    let line = line
        .strip_prefix("const ")
        .or_else(|| line.strip_prefix("static "))?;
    let (name, kind) = line.split_once(": ")?;
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let kind = kind.strip_prefix('&').unwrap_or(kind);
    let kind = kind.strip_prefix("'static ").unwrap_or(kind);
    let table = kind.starts_with('[') || kind.starts_with("Table<");
    (table && name.chars().all(is_name)).then_some(name)
}

#[test]
fn no_table_is_left_out_of_these_checks() {
    for (line, name) in [
        ("pub const A: &[Row] = &[", Some("A")),
        ("    pub(super) const B_2: [(X, &str); 3] = [", Some("B_2")),
        ("static C: &'static [u8] = b\"\";", Some("C")),
        ("pub const D: Table<'static> = Table {", Some("D")),
        ("const E: usize = [1].len();", None),
        ("pub const fn f(g: &[u8]) -> u8 {", None),
    ] {
        assert_eq!(table_in(line), name, "{line}");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut found = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let code = text
            .lines()
            .take_while(|line| line.trim() != "#[cfg(test)]");
        let file = file.strip_prefix(&root).unwrap().to_str().unwrap();
        let tables = code.filter_map(table_in).filter(|name| *name != "ALL");
        found.extend(tables.map(|name| (file.to_owned(), name.to_owned())));
    }
    let registered: BTreeSet<(String, String)> = REGISTER
        .iter()
        .map(|(file, name, _)| ((*file).to_owned(), (*name).to_owned()))
        .collect();
    let forgotten: Vec<_> = found.difference(&registered).collect();
    let gone: Vec<_> = registered.difference(&found).collect();
    assert!(
        forgotten.is_empty() && gone.is_empty(),
        "tables that nobody changes on trial: add them to REGISTER, with a catalogue here or with \
         a reason: {forgotten:?}; registered, but gone: {gone:?}"
    );
    // What is said to be changed on trial is what `summary` asks for.
    let summary = include_str!("../summary.rs");
    let (_, listed) = summary.split_once("const TABLES: &[&str] = &[").unwrap();
    let (listed, _) = listed.split_once("];").unwrap();
    let listed: BTreeSet<&str> = listed.split('"').skip(1).step_by(2).collect();
    let mut reasons = 0;
    let mut named: BTreeSet<&str> = MADE_OTHERWISE.iter().copied().collect();
    for (_, _, checked) in REGISTER {
        match checked {
            Mutated(name) => drop(named.insert(name)),
            Not(why) => {
                assert!(!why.is_empty());
                reasons += 1;
            }
        }
    }
    assert_eq!(named, listed);
    let all = REGISTER.len();
    super::counts::counted(
        "table-register",
        &format!("tables: {all} constants, of which {reasons} are no rules and say why"),
    );
}

/// The operation that a rank is about must not be one nobody queues.
#[test]
fn what_waits_for_a_host_is_brought_up_to_date_before_it_is_tested() {
    assert!(queue_rank(Op::Pull) < queue_rank(Op::Switch));
    assert!(queue_rank(Op::Switch) < queue_rank(Op::Test));
}
