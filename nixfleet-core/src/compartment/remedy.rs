//! What can be done about a reason, as data, and what a click does (spec 01, "Click behaviour").

use serde::{Deserialize, Serialize};

use crate::compartment::attention::Attention;
use crate::compartment::{Compartment, HostAssessment, ReasonCode, Status};
use crate::op::Op;

/// A step that only a person can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManualStep {
    /// Make the remote readable again; the cause says how.
    FixRemote,
    /// Install the agent and let it connect.
    ConnectAgent,
    /// Let the agent find its checkout.
    FixCheckout,
    /// Commit, stash or discard the local changes in the checkout.
    CleanCheckout,
    /// Push the commits that only the host has, or drop them.
    SettleLocalCommits,
    /// Run this project's agent, which reports what existing agents do not.
    UpgradeAgent,
    /// Bring the server to the version of its agents.
    UpgradeServer,
    /// On macOS, restart the agent after the switch.
    RestartAgentOnMac,
    /// Read the log, mend the configuration, then deploy again.
    MendConfiguration,
    /// Read the log, mend what the tests found.
    MendTests,
    /// Let the configuration name its commit.
    NameRevision,
    /// Give the host test scripts.
    AddTests,
    /// Switch tests on for this host.
    EnableTests,
}

impl ManualStep {
    /// Every step.
    pub const ALL: [ManualStep; 13] = [
        ManualStep::FixRemote,
        ManualStep::ConnectAgent,
        ManualStep::FixCheckout,
        ManualStep::CleanCheckout,
        ManualStep::SettleLocalCommits,
        ManualStep::UpgradeAgent,
        ManualStep::UpgradeServer,
        ManualStep::RestartAgentOnMac,
        ManualStep::MendConfiguration,
        ManualStep::MendTests,
        ManualStep::NameRevision,
        ManualStep::AddTests,
        ManualStep::EnableTests,
    ];

    /// What to do, as an order to a person.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            ManualStep::FixRemote => "make the remote readable again",
            ManualStep::ConnectAgent => "install the agent on the host and let it connect",
            ManualStep::FixCheckout => "let the agent find its config checkout (see its log)",
            ManualStep::CleanCheckout => {
                "commit, stash or discard the local changes in the host's checkout"
            }
            ManualStep::SettleLocalCommits => {
                "push the commits that only the host has, or drop them"
            }
            ManualStep::UpgradeAgent => "run this project's agent, which reports what is missing",
            ManualStep::UpgradeServer => "bring this server to the version of its agents",
            ManualStep::RestartAgentOnMac => "on macOS, restart the agent after the switch",
            ManualStep::MendConfiguration => {
                "read the log, mend the configuration, then pull and switch"
            }
            ManualStep::MendTests => "read the log and mend what the tests found",
            ManualStep::NameRevision => {
                "if it stays, set system.configurationRevision = self.rev or self.dirtyRev or null in the configuration"
            }
            ManualStep::AddTests => "give the host at least one test script",
            ManualStep::EnableTests => "switch tests on for this host",
        }
    }
}

/// One step towards green.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Run this operation.
    Op(Op),
    /// Do this by hand.
    Manual(ManualStep),
}

/// What can make a compartment green, in this order. Empty only where nothing is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Remedy {
    /// The steps.
    pub steps: &'static [Step],
}

use ManualStep as M;
use Op::{Pull, PullSwitch, Rollback, Switch, Test};
use Step::{Manual, Op as Run};

impl ReasonCode {
    /// What can be done about it.
    #[must_use]
    #[rustfmt::skip]
    pub const fn remedy(self) -> Remedy {
        let steps: &'static [Step] = match self {
            ReasonCode::AgentNotReported => &[Manual(M::ConnectAgent)],
            ReasonCode::AgentCurrent => &[],
            ReasonCode::AgentOlder => &[Run(PullSwitch), Manual(M::RestartAgentOnMac)],
            ReasonCode::AgentNewer => &[Manual(M::UpgradeServer), Run(PullSwitch)],
            ReasonCode::AgentIncompatible => &[Run(PullSwitch), Manual(M::RestartAgentOnMac)],

            ReasonCode::DesiredCommitUnavailable => &[Manual(M::FixRemote)],
            ReasonCode::CheckoutNotReported => &[Manual(M::ConnectAgent), Manual(M::FixCheckout)],
            ReasonCode::CheckoutDirty => &[Run(Pull), Manual(M::CleanCheckout)],
            ReasonCode::CheckoutCurrent => &[],
            ReasonCode::CheckoutBehind => &[Run(Pull)],
            ReasonCode::CheckoutAhead => &[Run(Pull), Manual(M::SettleLocalCommits)],
            ReasonCode::CheckoutDiverged => &[Run(Pull), Manual(M::SettleLocalCommits)],
            ReasonCode::CheckoutNotOnBranch => &[Run(Pull), Manual(M::SettleLocalCommits)],
            ReasonCode::CheckoutDifferent => &[Run(Pull)],

            ReasonCode::DesiredLockUnavailable => &[Manual(M::FixRemote)],
            ReasonCode::LockMissing => &[Run(Pull)],
            ReasonCode::LockNotReported => &[Manual(M::ConnectAgent), Manual(M::UpgradeAgent)],
            ReasonCode::LockCurrent => &[],
            ReasonCode::LockBehind => &[Run(Pull)],
            ReasonCode::LockAhead => &[Run(Pull)],
            ReasonCode::LockNotOnBranch => &[Run(Pull)],
            ReasonCode::LockDifferent => &[Run(Pull)],

            ReasonCode::SystemUnverifiable => &[Manual(M::FixRemote)],
            ReasonCode::DeployFailed => &[Manual(M::MendConfiguration), Run(Switch), Run(Rollback)],
            ReasonCode::CheckoutNotCurrent => &[Run(Pull), Run(Switch)],
            ReasonCode::CheckoutNotKnown => &[Manual(M::ConnectAgent), Manual(M::UpgradeAgent)],
            ReasonCode::NeedsReconcile => &[Run(Switch)],
            ReasonCode::RunsOtherRevision => &[Run(Switch)],
            ReasonCode::RunsNoCommit => &[Run(Switch), Manual(M::NameRevision)],
            ReasonCode::RunsOtherPath => &[Run(Switch)],
            ReasonCode::SystemCurrent => &[],
            ReasonCode::SystemClaimsCurrent => &[],
            ReasonCode::DeployedInputsUnknown => &[Run(Switch)],
            ReasonCode::DeployedInputsDiffer => &[Run(Switch)],
            ReasonCode::DeploymentNotRecorded => &[Run(Switch), Manual(M::UpgradeAgent)],
            ReasonCode::NeverDeployed => &[Run(Switch)],

            ReasonCode::TestsUnverifiable => &[Manual(M::FixRemote)],
            ReasonCode::TestsDisabled => &[Manual(M::EnableTests)],
            ReasonCode::TestsFailed => &[Manual(M::MendTests), Run(Test), Run(Rollback)],
            ReasonCode::TestsStopped => &[Run(Test), Run(Rollback)],
            ReasonCode::TestsNeverDeployed => &[Run(Switch), Run(Test)],
            ReasonCode::NoTests => &[Manual(M::AddTests), Run(Test)],
            ReasonCode::SystemNotCurrent => &[Run(Pull), Run(Switch), Run(Test)],
            ReasonCode::TestsPassed => &[],
            ReasonCode::TestsUnverified => &[Manual(M::UpgradeAgent), Run(Test)],
            ReasonCode::TestsNotRun => &[Run(Test)],
            ReasonCode::TestsVoid => &[Run(Test)],
            ReasonCode::TestsOtherRevision => &[Run(Test)],

            ReasonCode::Working => &[],
        };
        Remedy { steps }
    }
}

/// What a click on a compartment does. It always opens the details.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Click {
    /// Operations offered, the usual one first; empty means information only.
    pub offers: &'static [Op],
    /// Whether stopping the active command is offered.
    pub stop: bool,
    /// Whether the details link to the log of the command that failed.
    pub log: bool,
}

impl Click {
    const INFORMATION: Click = Click::offer(&[]);

    const fn offer(offers: &'static [Op]) -> Click {
        Click {
            offers,
            stop: false,
            log: false,
        }
    }
}

pub(super) fn click(host: &HostAssessment, compartment: Compartment) -> Click {
    let pending = |one: &Attention| matches!(one, Attention::UpdatePending { .. });
    let pending = host.attentions.iter().any(pending);
    click_for(compartment, host.of(compartment).status, pending)
}

/// What a click on a compartment with this status does; `update_pending` tells whether an update
/// pull request waits to be merged.
#[must_use]
pub const fn click_for(compartment: Compartment, status: Status, update_pending: bool) -> Click {
    use Compartment::{Agent, Git, Lock, System, Tests};
    match (status, compartment) {
        (Status::Unknown, Agent) => Click::offer(&[Op::CheckVersion]),
        (Status::Unknown, Git) => Click::offer(&[Op::RefreshGit]),
        (Status::Unknown, Lock) => Click::offer(&[Op::RefreshLock]),
        (Status::Unknown, System) => Click::offer(&[Op::RefreshSystem]),
        (Status::Unknown, Tests) => Click::INFORMATION,

        (Status::Ok, Lock) if update_pending => Click::offer(&[Op::MergePr]),
        (Status::Ok, Agent | Git | Lock | System | Tests) => Click::INFORMATION,

        (Status::Outdated, Git | Lock) => Click::offer(&[Op::Pull]),
        (Status::Outdated, Tests) => Click::offer(&[Op::Test]),
        (Status::Outdated, System | Agent) => Click::INFORMATION,

        (Status::Working, Agent | Git | Lock | System | Tests) => Click {
            stop: true,
            ..Click::INFORMATION
        },

        (Status::Error, Agent) => Click::offer(&[Op::PullSwitch]),
        (Status::Error, Tests) => Click {
            log: true,
            ..Click::offer(&[Op::Test, Op::Rollback])
        },
        (Status::Error, System) => Click {
            log: true,
            ..Click::INFORMATION
        },
        (Status::Error, Git | Lock) => Click::INFORMATION,
    }
}
