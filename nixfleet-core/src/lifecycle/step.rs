//! What the lifecycle wants done, as values. Their order means something.

use serde::{Deserialize, Serialize};

use crate::host::{DeployOutcome, Deployed, TestEvidence};

use super::event::Signal;
use crate::report::ResultKind;

/// One effect of the lifecycle of a command. The caller persists the command first, then performs
/// the steps in order. As JSON: `{"do": …, "with": …}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do", content = "with")]
pub enum Step {
    /// Give the command to the agent's connection, with its id, sequence number and lease.
    SendCommand {
        /// Whether it was given to a connection before, with the same id.
        resend: bool,
    },
    /// Do the work of this operation on the server itself, and report an exit.
    PerformOnServer,
    /// Ask the agent to stop the command; addressed to (host, id).
    SendKill {
        /// The signal.
        signal: Signal,
    },
    /// The result is stored: tell the agent that it may forget it.
    Confirm,
    /// The command was sent for the first time: exactly once per executed command.
    Started,
    /// The host's deploy outcome is now this (spec 02, "Effect on the deploy outcome").
    DeployOutcome {
        /// The outcome.
        outcome: DeployOutcome,
        /// Whether the host needs reconciling from now on; `None` leaves that as it is.
        needs_reconcile: Option<bool>,
        /// One line on how it ended.
        detail: String,
    },
    /// The host keeps no deployment record itself: this is the inferred one, or there is none
    /// any more (spec 03).
    RecordDeployment(Option<Deployed>),
    /// The host's last test result is now this.
    TestResult(TestEvidence),
    /// The command is terminal: exactly once per command. Phase and ending tell the rest.
    Finished,
    /// A result arrived after the command was terminal: note it, change nothing else of it.
    Late {
        /// Its exit code.
        code: i32,
        /// How it ended.
        kind: ResultKind,
    },
}
