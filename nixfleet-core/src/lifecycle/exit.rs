//! How a command ended, in the agent's words.

use serde::{Deserialize, Serialize};

use super::command::Command;
use super::ending::Ending;
use super::event::Address;
use crate::compartment::PullSwitchHalf;
use crate::host::{Deployed, TestEvidence, TestVerdict, Update};
use crate::ids::{CommandId, Sequence};
use crate::op::Op;
use crate::report::{CommandResult, InputsUpdate, ResultKind, TestRun};
use crate::time::Timestamp;

/// How a command ended, as the agent recorded it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitReport {
    /// The command, where the agent speaks ids.
    pub id: Option<CommandId>,
    /// The operation the report names.
    pub op: Option<Op>,
    /// Its sequence number, where known.
    pub seq: Option<Sequence>,
    /// How it ended: by itself, stopped on request with an empty process group, or nobody knows.
    pub kind: ResultKind,
    /// Exit code; for a stopped command usually 130.
    pub code: i32,
    /// One line of the agent, without control characters.
    pub message: Option<String>,
    /// The furthest half a `pull-switch` had begun, by the agent's record.
    pub half: Option<PullSwitchHalf>,
    /// Units that failed before it, where compared.
    pub failed_before: Option<Vec<String>>,
    /// Units that failed after it, where compared.
    pub failed_after: Option<Vec<String>>,
    /// The deployment the command recorded, if it activated one.
    pub deployed: Option<Deployed>,
    /// The result of a `test` command; `None` from an existing agent.
    pub tests: Option<TestEvidence>,
    /// What an `update-inputs` did, where its agent tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<InputsUpdate>,
}

impl ExitReport {
    /// A bare report: a code and nothing else.
    #[must_use]
    pub const fn new(id: Option<CommandId>, op: Option<Op>, code: i32) -> Self {
        let kind = if code == 0 {
            ResultKind::Ok
        } else {
            ResultKind::Error
        };
        Self {
            id,
            op,
            seq: None,
            kind,
            code,
            message: None,
            half: None,
            failed_before: None,
            failed_after: None,
            deployed: None,
            tests: None,
            update: None,
        }
    }

    /// The result of a command as its agent reported it, received at `now`.
    #[must_use]
    pub fn from_result(result: &CommandResult, now: Timestamp) -> Self {
        let fallback = i32::from(result.kind != ResultKind::Ok);
        let deployed = match &result.facts.deployed {
            Update::Set(deployed) => Some(deployed.clone()),
            Update::Unchanged | Update::Gone => None,
        };
        Self {
            seq: result.seq,
            kind: result.kind,
            code: result.exit_code.unwrap_or(fallback),
            message: result.message.clone(),
            failed_before: result
                .failed_units
                .as_ref()
                .map(|(before, _)| before.clone()),
            failed_after: result.failed_units.as_ref().map(|(_, after)| after.clone()),
            deployed,
            tests: result.tests.as_ref().map(|run| evidence(run, now)),
            update: result.update.clone(),
            ..Self::new(result.command, result.op, fallback)
        }
    }

    /// Whom the report speaks of.
    #[must_use]
    pub const fn address(&self) -> Address {
        Address {
            id: self.id,
            op: self.op,
        }
    }
}

impl Command {
    /// How it ended, as a sentence; after an exit code with what the agent said about it.
    #[must_use]
    pub fn ending_text(&self) -> Option<String> {
        self.ending.as_ref().map(|ending| self.told(ending))
    }

    pub(super) fn told(&self, ending: &Ending) -> String {
        let message = self.exit.as_ref().and_then(|exit| exit.message.as_ref());
        match (ending, message) {
            (Ending::ExitCode(_), Some(message)) if !message.is_empty() => {
                format!("{}: {message}", ending.text())
            }
            (ending, _) => ending.text(),
        }
    }
}

/// The result of a test run; void, if what is deployed changed while it ran.
fn evidence(run: &TestRun, at: Timestamp) -> TestEvidence {
    let verdict = if run.key == run.key_end {
        run.verdict
    } else {
        TestVerdict::Void
    };
    TestEvidence {
        key: run.key.clone(),
        verdict,
        per_script: true,
        ran: run.ran,
        failed: run.failed.clone(),
        skipped: run.skipped,
        at,
    }
}
