//! Results that arrive after the end (spec 02 rule 6): they never change the command, but what
//! they say about the host is used.

use super::command::Command;
use super::exit::ExitReport;
use super::{Ending, Step};
use crate::host::DeployOutcome;
use crate::op::Op;
use crate::report::ResultKind;

/// What a result of a terminal command means. Nothing, if the command is not terminal or the
/// report is about another one. `newest` says that no later command was sent to the host: only
/// then does the result settle the host's deploy outcome.
#[must_use]
pub fn late_result(command: &Command, report: &ExitReport, newest: bool) -> Vec<Step> {
    if !command.phase.is_terminal() || !command.concerns(report.address()) {
        return Vec::new();
    }
    // An existing agent's second report after a stop names no id, and there is nothing to confirm.
    let confirm = report.id.is_some().then_some(Step::Confirm);
    let known = command.exit.as_ref().is_some_and(|exit| {
        (exit.code, exit.kind) == (report.code, report.kind) || report.id.is_none()
    });
    if known {
        return confirm.into_iter().collect();
    }
    let mut steps: Vec<Step> = confirm.into_iter().collect();
    if newest && report.id.is_some() && command.exit.is_none() {
        steps.extend(settlement(command, report));
    }
    steps.push(Step::Late {
        code: report.code,
        kind: report.kind,
    });
    steps
}

fn settlement(command: &Command, report: &ExitReport) -> Option<Step> {
    if command.op == Op::Test {
        return report.tests.clone().map(Step::TestResult);
    }
    let never_ran = matches!(
        command.ending,
        Some(Ending::Rejected { .. } | Ending::NotSent(_))
    );
    if !command.op.is_deploy() || (never_ran && !command.was_sent()) {
        return None;
    }
    let activated = report
        .deployed
        .as_ref()
        .is_some_and(|deployed| deployed.command == Some(command.id));
    let (outcome, needs_reconcile) = match (report.kind, report.code) {
        (ResultKind::Ok, _) | (ResultKind::Error, 4) if activated => (DeployOutcome::Ok, false),
        // It says that it went well, and shows nothing for it; or it does not know itself.
        (ResultKind::Ok | ResultKind::Interrupted, _) => (DeployOutcome::Unknown, true),
        (ResultKind::Stopped | ResultKind::Error, _) => (DeployOutcome::Failed, false),
    };
    Some(Step::DeployOutcome {
        outcome,
        needs_reconcile: Some(needs_reconcile),
        detail: format!(
            "{}: exit code {}, reported late",
            command.op.name(),
            report.code
        ),
    })
}
