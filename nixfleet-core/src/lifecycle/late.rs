//! Results that arrive after the end (spec 02 rule 6): they never change the command, but what
//! they say about the host is used. What they settle stands in [`LATE`].

use serde::{Deserialize, Serialize};

use super::Step;
use super::command::Command;
use super::exit::ExitReport;
use super::outcome::{DeployEffect, HostEffect, Reconcile, SETTLED, UNKNOWN};
use crate::op::{EXIT_DEGRADED, Op};
use crate::report::ResultKind;

/// What a result of a command that has ended is: exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LateCase {
    /// The result on record once more, or an existing agent's second one after a stop.
    Again,
    /// Another result than the one on record.
    Contradicts,
    /// An existing agent's result: it names no command.
    Unnamed,
    /// A later command was sent to the host since.
    Overtaken,
    /// About a command that never left the server.
    NeverSent,
    /// About a test run.
    Tests,
    /// About an operation that is neither a deploy nor a test run.
    NoDeploy,
    /// Exit 0 or "units failed", and the agent's record of an activation by this command.
    Activated,
    /// Exit 0, and nothing to show for it.
    Unproven,
    /// The agent itself does not know how it ended.
    Interrupted,
    /// It was stopped.
    Stopped,
    /// It failed.
    Failed,
}

/// What a late result settles about the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settles {
    /// Nothing.
    Nothing,
    /// The test result, if the agent reports one.
    Tests,
    /// What is remembered of the last deploy.
    Deploy(HostEffect),
}

/// One row: in this case, this is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateRow {
    /// Stable name, found in documents.
    pub id: &'static str,
    /// The case.
    pub case: LateCase,
    /// What it settles.
    pub settles: Settles,
    /// Whether it is noted as late. The agent may forget it in any case.
    pub noted: bool,
    /// Why, in half a sentence.
    pub why: &'static str,
}

use LateCase as L;
use Settles::{Deploy, Nothing, Tests};

/// It failed, and by that much it is known what happened (spec 02 rule 6).
const KNOWN_TO_HAVE_FAILED: HostEffect = HostEffect {
    deploy: DeployEffect::Failed,
    reconcile: Reconcile::Clears,
};

/// Every case, in the order in which they are told apart.
#[rustfmt::skip]
pub const LATE: &[LateRow] = &[
    LateRow { id: "late-again",       case: L::Again,       settles: Nothing,                      noted: false, why: "the agent missed the confirmation" },
    LateRow { id: "late-contradicts", case: L::Contradicts, settles: Nothing,                      noted: true,  why: "the first result counts" },
    LateRow { id: "late-unnamed",     case: L::Unnamed,     settles: Nothing,                      noted: true,  why: "nobody can say which command it is about" },
    LateRow { id: "late-overtaken",   case: L::Overtaken,   settles: Nothing,                      noted: true,  why: "what a later command did is not undone by older news" },
    LateRow { id: "late-never-sent",  case: L::NeverSent,   settles: Nothing,                      noted: true,  why: "nothing was sent, so it cannot have run" },
    LateRow { id: "late-tests",       case: L::Tests,       settles: Tests,                        noted: true,  why: "it says itself what was tested" },
    LateRow { id: "late-no-deploy",   case: L::NoDeploy,    settles: Nothing,                      noted: true,  why: "it does not touch the running system" },
    LateRow { id: "late-activated",   case: L::Activated,   settles: Deploy(SETTLED),              noted: true,  why: "the agent's record of its own activation" },
    LateRow { id: "late-unproven",    case: L::Unproven,    settles: Deploy(UNKNOWN),              noted: true,  why: "an exit code alone is no proof" },
    LateRow { id: "late-interrupted", case: L::Interrupted, settles: Deploy(UNKNOWN),              noted: true,  why: "the agent says that it does not know" },
    LateRow { id: "late-stopped",     case: L::Stopped,     settles: Deploy(KNOWN_TO_HAVE_FAILED), noted: true,  why: "it may be half activated" },
    LateRow { id: "late-failed",      case: L::Failed,      settles: Deploy(KNOWN_TO_HAVE_FAILED), noted: true,  why: "it said so itself" },
];

impl LateCase {
    /// The row of this case in [`LATE`].
    #[must_use]
    pub const fn row(self) -> &'static LateRow {
        /// Looked for while this compiles, and it only compiles if every row is found.
        const fn row(case: LateCase) -> &'static LateRow {
            let mut index = 0;
            while LATE[index].case as usize != case as usize {
                index += 1;
            }
            &LATE[index]
        }
        match self {
            L::Again => const { row(L::Again) },
            L::Contradicts => const { row(L::Contradicts) },
            L::Unnamed => const { row(L::Unnamed) },
            L::Overtaken => const { row(L::Overtaken) },
            L::NeverSent => const { row(L::NeverSent) },
            L::Tests => const { row(L::Tests) },
            L::NoDeploy => const { row(L::NoDeploy) },
            L::Activated => const { row(L::Activated) },
            L::Unproven => const { row(L::Unproven) },
            L::Interrupted => const { row(L::Interrupted) },
            L::Stopped => const { row(L::Stopped) },
            L::Failed => const { row(L::Failed) },
        }
    }

    fn of(command: &Command, report: &ExitReport, newest: bool) -> Self {
        if let Some(exit) = &command.exit {
            let same = (exit.code, exit.kind) == (report.code, report.kind);
            return if same || report.id.is_none() {
                L::Again
            } else {
                L::Contradicts
            };
        }
        if report.id.is_none() {
            L::Unnamed
        } else if !newest {
            L::Overtaken
        } else if !command.was_sent() {
            L::NeverSent
        } else if command.op == Op::Test {
            L::Tests
        } else if !command.op.is_deploy() {
            L::NoDeploy
        } else {
            Self::of_deploy(command, report)
        }
    }

    fn of_deploy(command: &Command, report: &ExitReport) -> Self {
        let record = report.deployed.as_ref();
        let activated = record.is_some_and(|record| record.command == Some(command.id));
        match report.kind {
            ResultKind::Ok if activated => L::Activated,
            ResultKind::Ok => L::Unproven,
            ResultKind::Interrupted => L::Interrupted,
            ResultKind::Stopped => L::Stopped,
            ResultKind::Error if activated && report.code == EXIT_DEGRADED => L::Activated,
            ResultKind::Error => L::Failed,
        }
    }
}

/// What a result of a terminal command means. Nothing, if the command is not terminal or the
/// report is about another one. `newest` says that no later command was sent to the host: only
/// then does the result settle anything about the host.
#[must_use]
pub fn late_result(command: &Command, report: &ExitReport, newest: bool) -> Vec<Step> {
    late_result_by(&LateCase::row, command, report, newest)
}

/// [`late_result`] by other rows than those in force: for tests that ask whether a changed row
/// would be noticed.
#[must_use]
pub fn late_result_by(
    row: &dyn Fn(LateCase) -> &'static LateRow,
    command: &Command,
    report: &ExitReport,
    newest: bool,
) -> Vec<Step> {
    if !command.phase.is_terminal() || !command.concerns(report.address()) {
        return Vec::new();
    }
    let row = row(LateCase::of(command, report, newest));
    let mut steps = Vec::new();
    // An existing agent names no id, and has nothing to be confirmed.
    steps.extend(report.id.is_some().then_some(Step::Confirm));
    steps.extend(match row.settles {
        Settles::Nothing => None,
        Settles::Tests => report.tests.clone().map(Step::TestResult),
        Settles::Deploy(effect) => effect.step(format!(
            "{}: exit code {}, reported late",
            command.op.name(),
            report.code
        )),
    });
    if row.noted {
        steps.push(Step::Late {
            code: report.code,
            kind: report.kind,
        });
    }
    steps
}
