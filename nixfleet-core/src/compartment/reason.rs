//! Why a compartment is what it is: a closed enum with typed parameters. Every text is made from
//! a reason, never the other way round.

use serde::{Deserialize, Serialize};

use crate::compartment::parameter::{Field, Parameter};
use crate::compartment::{PullSwitchHalf, Status, Working};
use crate::desired::RemoteCause;
use crate::ids::{CommandId, CommitId, CommitRef, LockHash};
use crate::op::Op;
use crate::time::Timestamp;

macro_rules! reasons {
    ($( $(#[$doc:meta])* $name:ident $({ $( $(#[$field_doc:meta])* $field:ident : $type:ty ),* $(,)? })? ),* $(,)?) => {
        /// Why a compartment is what it is, with its parameters. On the wire: an object with a
        /// `code` and the parameters.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(tag = "code", rename_all = "kebab-case")]
        pub enum Reason {
            $( $(#[$doc])* $name $({ $( $(#[$field_doc])* $field: $type ),* })? ),*
        }

        /// The kind of a [`Reason`], without parameters: stable, for tables and statistics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum ReasonCode {
            $( $(#[$doc])* $name ),*
        }

        impl ReasonCode {
            /// Every code.
            pub const ALL: &'static [ReasonCode] = &[ $( ReasonCode::$name ),* ];
        }

        impl Reason {
            /// The kind of this reason.
            #[must_use]
            pub const fn code(&self) -> ReasonCode {
                match self { $( Reason::$name { .. } => ReasonCode::$name ),* }
            }

            /// Calls `visit` with the name and the value of every parameter, in order.
            pub fn each_parameter(&self, mut visit: impl FnMut(&'static str, Parameter)) {
                match *self { $(
                    Reason::$name $({ $( $field ),* })? => {
                        $( $( visit(stringify!($field), $field.parameter()); )* )?
                    }
                ),* }
            }

            /// The reason with this code whose parameters `value` gives, asked for by name and in
            /// order; `None` if it does not give one, or one that does not fit.
            pub fn from_parameters(
                code: ReasonCode,
                mut value: impl FnMut(&'static str) -> Option<Parameter>,
            ) -> Option<Reason> {
                Some(match code { $(
                    ReasonCode::$name => Reason::$name $({ $(
                        $field: Field::read(value(stringify!($field))?)?
                    ),* })?
                ),* })
            }
        }
    };
}

reasons! {
    /// The agent never said which version it is.
    AgentNotReported,
    /// The agent is the expected version.
    AgentCurrent,
    /// The agent is older than expected.
    AgentOlder,
    /// The agent is newer than expected.
    AgentNewer,
    /// The agent's version is another one and cannot be compared.
    AgentIncompatible,

    /// The desired commit is not known.
    DesiredCommitUnavailable {
        /// Why.
        cause: RemoteCause,
    },
    /// The host did not report a checkout.
    CheckoutNotReported,
    /// The checkout has local changes.
    CheckoutDirty {
        /// The commit checked out.
        host: Option<CommitRef>,
    },
    /// The checkout is at the desired commit.
    CheckoutCurrent {
        /// The desired commit.
        desired: Option<CommitId>,
        /// Whether the host reported only the first digits.
        abbreviated: bool,
    },
    /// The checkout is an ancestor of the desired commit.
    CheckoutBehind {
        /// The commit checked out.
        host: Option<CommitRef>,
        /// The desired commit.
        desired: Option<CommitId>,
        /// By how many commits.
        commits: u32,
    },
    /// The desired commit is an ancestor of the checkout.
    CheckoutAhead {
        /// The commit checked out.
        host: Option<CommitRef>,
        /// The desired commit.
        desired: Option<CommitId>,
        /// By how many commits.
        commits: u32,
    },
    /// Both the checkout and the branch have commits the other lacks.
    CheckoutDiverged {
        /// The commit checked out.
        host: Option<CommitRef>,
        /// The desired commit.
        desired: Option<CommitId>,
        /// Commits only the host has.
        ahead: u32,
        /// Commits only the branch has.
        behind: u32,
    },
    /// The commit checked out is none of the branch.
    CheckoutNotOnBranch {
        /// The commit checked out.
        host: Option<CommitRef>,
        /// The desired commit.
        desired: Option<CommitId>,
    },
    /// Another commit is checked out; the history is not known.
    CheckoutDifferent {
        /// The commit checked out.
        host: Option<CommitRef>,
        /// The desired commit.
        desired: Option<CommitId>,
    },

    /// The desired lock is not known.
    DesiredLockUnavailable {
        /// Why.
        cause: RemoteCause,
    },
    /// The checkout has no `flake.lock`.
    LockMissing,
    /// The host did not report a lock.
    LockNotReported,
    /// The lock is the desired one, byte for byte.
    LockCurrent {
        /// Its hash.
        desired: Option<LockHash>,
    },
    /// The lock is an earlier version of the branch.
    LockBehind {
        /// The lock checked out.
        host: Option<LockHash>,
        /// The desired lock.
        desired: Option<LockHash>,
        /// By how many commits that touched `flake.lock`.
        versions: u32,
    },
    /// The lock is a later version of the branch than the desired one.
    LockAhead {
        /// The lock checked out.
        host: Option<LockHash>,
        /// The desired lock.
        desired: Option<LockHash>,
    },
    /// The lock is no version of the branch.
    LockNotOnBranch {
        /// The lock checked out.
        host: Option<LockHash>,
        /// The desired lock.
        desired: Option<LockHash>,
    },
    /// Another lock is checked out; the history is not known.
    LockDifferent {
        /// The lock checked out.
        host: Option<LockHash>,
        /// The desired lock.
        desired: Option<LockHash>,
    },

    /// The desired state is not known, so the running system cannot be verified.
    SystemUnverifiable {
        /// Why.
        cause: RemoteCause,
    },
    /// The last deployment failed or was stopped.
    DeployFailed {
        /// The command that failed.
        command: Option<CommandId>,
        /// When that was learnt.
        at: Option<Timestamp>,
    },
    /// The checkout is not the desired one, so neither is the system.
    CheckoutNotCurrent {
        /// Whether `git` is outdated.
        git: bool,
        /// Whether `lock` is outdated.
        lock: bool,
    },
    /// The checkout is not known, so neither is the system.
    CheckoutNotKnown {
        /// Whether `git` is unknown.
        git: bool,
        /// Whether `lock` is unknown.
        lock: bool,
    },
    /// A deployment ended with an unknown outcome.
    NeedsReconcile {
        /// The command whose outcome is unknown.
        command: Option<CommandId>,
    },
    /// The running system claims another revision than the one deployed (or desired).
    RunsOtherRevision {
        /// What it claims.
        running: Option<CommitRef>,
        /// What was deployed or, without a record, is desired.
        expected: Option<CommitRef>,
    },
    /// The running system claims a revision that is no commit.
    RunsNoCommit {
        /// The commit below its local changes, if it claims to be built from local changes.
        base: Option<CommitRef>,
    },
    /// The running store path is not the deployed one.
    RunsOtherPath,
    /// What runs was built from what is checked out, and that is the desired state.
    SystemCurrent {
        /// The deployed commit.
        commit: Option<CommitRef>,
    },
    /// There is no deployment record; the running system claims exactly the desired commit.
    SystemClaimsCurrent {
        /// The claimed commit.
        commit: Option<CommitRef>,
    },
    /// It is not known what was deployed: the tree was dirty or changed during the build.
    DeployedInputsUnknown {
        /// Whether the record says that the tree was not clean.
        unclean: bool,
    },
    /// Something else was deployed than what is checked out.
    DeployedInputsDiffer {
        /// The deployed commit.
        deployed: Option<CommitRef>,
        /// The commit checked out.
        host: Option<CommitRef>,
    },
    /// Something was deployed through us, but the host keeps no record of what.
    DeploymentNotRecorded,
    /// Nothing was deployed through us yet.
    NeverDeployed,

    /// The desired state is not known, so test results cannot be judged.
    TestsUnverifiable {
        /// Why.
        cause: RemoteCause,
    },
    /// Tests are switched off for this host.
    TestsDisabled,
    /// Tests failed on what is deployed.
    TestsFailed {
        /// The tested commit.
        commit: Option<CommitRef>,
        /// Number of executed tests.
        ran: u32,
        /// Number of failed tests.
        failed: u32,
    },
    /// Tests were stopped on what is deployed.
    TestsStopped {
        /// The tested commit.
        commit: Option<CommitRef>,
        /// Number of executed tests.
        ran: u32,
    },
    /// Nothing was deployed through us yet, so there was nothing to test.
    TestsNeverDeployed,
    /// The host has no test scripts.
    NoTests {
        /// The deployed commit.
        commit: Option<CommitRef>,
    },
    /// The system is not the desired one, so its tests say nothing about the desired one.
    SystemNotCurrent {
        /// Status of `system`.
        system: Status,
        /// What tests last passed for.
        passed_for: Option<CommitRef>,
    },
    /// Every test passed on what is deployed, and that is the desired state.
    TestsPassed {
        /// The tested commit.
        commit: Option<CommitRef>,
        /// Number of executed tests.
        ran: u32,
    },
    /// An existing agent reports a pass, but counts only its last script.
    TestsUnverified {
        /// The tested commit.
        commit: Option<CommitRef>,
        /// Number of tests it reports.
        ran: u32,
    },
    /// Tests never ran on this host.
    TestsNotRun {
        /// The deployed commit.
        commit: Option<CommitRef>,
    },
    /// What was tested changed during the run.
    TestsVoid,
    /// The last result is about another revision.
    TestsOtherRevision {
        /// The tested commit, where known.
        tested: Option<CommitRef>,
        /// The deployed commit, where known.
        commit: Option<CommitRef>,
        /// Whether tests passed there.
        passed: bool,
    },

    /// A command is at work.
    Working {
        /// The operation.
        op: Op,
        /// Which half of a `pull-switch`.
        half: Option<PullSwitchHalf>,
        /// Whether the return of the agent is awaited.
        awaiting_reconnect: bool,
    },
}

impl From<Working> for Reason {
    fn from(working: Working) -> Self {
        let Working {
            op,
            half,
            awaiting_reconnect,
        } = working;
        Reason::Working {
            op,
            half,
            awaiting_reconnect,
        }
    }
}
