//! The decision tables of the five compartments (spec 01, "Rules"): the first row that applies wins.
//!
//! Data only. A row reads: stable name · one pattern per column · status · reason.

use crate::compartment::Compartment;
use crate::compartment::Status::{Error, Ok, Outdated, Unknown};
use crate::compartment::fact::Fact::{
    Agent, Claim, Commit, DesiredCommit, DesiredLock, GitStatus, Key, Lock, LockStatus, Outcome,
    Path, Reconcile, Record, Result, SystemStatus, TestsSwitch, Tree,
};
use crate::compartment::fact::FactName;
use crate::compartment::facts::{
    AgentFact, ClaimFact, CommitFact, DesiredFact, KeyFact, LockFact, OutcomeFact, PathFact,
    ReconcileFact, RecordFact, ResultFact, TestsSwitchFact, TreeFact,
};
use crate::compartment::reason::ReasonCode as R;
use crate::compartment::table::Pattern::{Any, Is, Not};
use crate::compartment::table::{During, OverlayRow, Row, Table};
use crate::op::Op;

/// The five tables, in the order in which they are decided: later ones look at the statuses of
/// earlier ones, always without any overlay.
pub const TABLES: [Table<'static>; 5] = [AGENT, GIT, LOCK, SYSTEM, TESTS];

const UNAVAILABLE: DesiredFact = DesiredFact::Unavailable;

/// Is the agent the version this server expects?
#[rustfmt::skip]
pub const AGENT: Table<'static> = Table {
    compartment: Compartment::Agent,
    columns: &[FactName::Agent],
    rows: &[
        Row { id: "agent-not-reported", when: &[Is(Agent(AgentFact::NotReported))], status: Unknown, reason: R::AgentNotReported },
        Row { id: "agent-equal",        when: &[Is(Agent(AgentFact::Equal))],       status: Ok,      reason: R::AgentCurrent },
        Row { id: "agent-older",        when: &[Is(Agent(AgentFact::Older))],       status: Error,   reason: R::AgentOlder },
        Row { id: "agent-newer",        when: &[Is(Agent(AgentFact::Newer))],       status: Error,   reason: R::AgentNewer },
    ],
    otherwise: Row { id: "agent-incompatible", when: &[Any], status: Error, reason: R::AgentIncompatible },
};

/// Is the host's config checkout at the desired commit?
#[rustfmt::skip]
pub const GIT: Table<'static> = Table {
    compartment: Compartment::Git,
    columns: &[FactName::DesiredCommit, FactName::Commit, FactName::Tree],
    rows: &[
        Row { id: "git-desired-unavailable", when: &[Is(DesiredCommit(UNAVAILABLE)), Any,                                 Any],                       status: Error,    reason: R::DesiredCommitUnavailable },
        Row { id: "git-not-reported",        when: &[Any,                            Is(Commit(CommitFact::NotReported)), Any],                       status: Unknown,  reason: R::CheckoutNotReported },
        Row { id: "git-dirty",               when: &[Any,                            Any,                                 Is(Tree(TreeFact::Dirty))], status: Outdated, reason: R::CheckoutDirty },
        Row { id: "git-current",             when: &[Any,                            Is(Commit(CommitFact::Current)),     Any],                       status: Ok,       reason: R::CheckoutCurrent },
        Row { id: "git-behind",              when: &[Any,                            Is(Commit(CommitFact::Behind)),      Any],                       status: Outdated, reason: R::CheckoutBehind },
        Row { id: "git-ahead",               when: &[Any,                            Is(Commit(CommitFact::Ahead)),       Any],                       status: Outdated, reason: R::CheckoutAhead },
        Row { id: "git-diverged",            when: &[Any,                            Is(Commit(CommitFact::Diverged)),    Any],                       status: Outdated, reason: R::CheckoutDiverged },
        Row { id: "git-not-on-branch",       when: &[Any,                            Is(Commit(CommitFact::NotOnBranch)), Any],                       status: Outdated, reason: R::CheckoutNotOnBranch },
    ],
    otherwise: Row { id: "git-different", when: &[Any, Any, Any], status: Outdated, reason: R::CheckoutDifferent },
};

/// Is the host's `flake.lock` the desired one, byte for byte?
#[rustfmt::skip]
pub const LOCK: Table<'static> = Table {
    compartment: Compartment::Lock,
    columns: &[FactName::DesiredLock, FactName::Lock],
    rows: &[
        Row { id: "lock-desired-unavailable", when: &[Is(DesiredLock(UNAVAILABLE)), Any],                             status: Error,    reason: R::DesiredLockUnavailable },
        Row { id: "lock-missing",             when: &[Any,                          Is(Lock(LockFact::Missing))],     status: Outdated, reason: R::LockMissing },
        Row { id: "lock-not-reported",        when: &[Any,                          Is(Lock(LockFact::NotReported))], status: Unknown,  reason: R::LockNotReported },
        Row { id: "lock-current",             when: &[Any,                          Is(Lock(LockFact::Current))],     status: Ok,       reason: R::LockCurrent },
        Row { id: "lock-behind",              when: &[Any,                          Is(Lock(LockFact::Behind))],      status: Outdated, reason: R::LockBehind },
        Row { id: "lock-ahead",               when: &[Any,                          Is(Lock(LockFact::Ahead))],       status: Outdated, reason: R::LockAhead },
        Row { id: "lock-not-on-branch",       when: &[Any,                          Is(Lock(LockFact::NotOnBranch))], status: Outdated, reason: R::LockNotOnBranch },
    ],
    otherwise: Row { id: "lock-different", when: &[Any, Any], status: Outdated, reason: R::LockDifferent },
};

/// Is the running system the desired one?
#[rustfmt::skip]
pub const SYSTEM: Table<'static> = Table {
    compartment: Compartment::System,
    columns: &[FactName::DesiredCommit, FactName::DesiredLock, FactName::Outcome, FactName::GitStatus, FactName::LockStatus, FactName::Reconcile, FactName::Claim, FactName::Path, FactName::Record],
    rows: &[
        Row { id: "system-commit-unavailable", when: &[Is(DesiredCommit(UNAVAILABLE)), Any, Any, Any, Any, Any, Any, Any, Any],                       status: Outdated, reason: R::SystemUnverifiable },
        Row { id: "system-lock-unavailable",   when: &[Any, Is(DesiredLock(UNAVAILABLE)), Any, Any, Any, Any, Any, Any, Any],                         status: Outdated, reason: R::SystemUnverifiable },
        Row { id: "system-deploy-failed",      when: &[Any, Any, Is(Outcome(OutcomeFact::Failed)), Any, Any, Any, Any, Any, Any],                     status: Error,    reason: R::DeployFailed },
        Row { id: "system-git-outdated",       when: &[Any, Any, Any, Is(GitStatus(Outdated)), Any, Any, Any, Any, Any],                              status: Outdated, reason: R::CheckoutNotCurrent },
        Row { id: "system-lock-outdated",      when: &[Any, Any, Any, Any, Is(LockStatus(Outdated)), Any, Any, Any, Any],                             status: Outdated, reason: R::CheckoutNotCurrent },
        Row { id: "system-git-unknown",        when: &[Any, Any, Any, Is(GitStatus(Unknown)), Any, Any, Any, Any, Any],                               status: Unknown,  reason: R::CheckoutNotKnown },
        Row { id: "system-lock-unknown",       when: &[Any, Any, Any, Any, Is(LockStatus(Unknown)), Any, Any, Any, Any],                              status: Unknown,  reason: R::CheckoutNotKnown },
        Row { id: "system-needs-reconcile",    when: &[Any, Any, Any, Any, Any, Is(Reconcile(ReconcileFact::Needed)), Any, Any, Any],                 status: Outdated, reason: R::NeedsReconcile },
        Row { id: "system-other-revision",     when: &[Any, Any, Any, Any, Any, Any, Is(Claim(ClaimFact::Other)), Any, Any],                          status: Outdated, reason: R::RunsOtherRevision },
        Row { id: "system-claims-no-commit",   when: &[Any, Any, Any, Any, Any, Any, Is(Claim(ClaimFact::NoCommit)), Any, Any],                       status: Outdated, reason: R::RunsNoCommit },
        Row { id: "system-other-path",         when: &[Any, Any, Any, Any, Any, Any, Any, Is(Path(PathFact::Other)), Any],                            status: Outdated, reason: R::RunsOtherPath },
        Row { id: "system-record-current",     when: &[Any, Any, Any, Any, Any, Any, Any, Any, Is(Record(RecordFact::SameAsCheckout))],               status: Ok,       reason: R::SystemCurrent },
        Row { id: "system-claim-current",      when: &[Any, Any, Any, Any, Any, Any, Is(Claim(ClaimFact::AsExpected)), Any, Is(Record(RecordFact::None))], status: Ok,  reason: R::SystemClaimsCurrent },
        Row { id: "system-inputs-unknown",     when: &[Any, Any, Any, Any, Any, Any, Any, Any, Is(Record(RecordFact::InputsUnknown))],                status: Outdated, reason: R::DeployedInputsUnknown },
        Row { id: "system-inputs-differ",      when: &[Any, Any, Any, Any, Any, Any, Any, Any, Not(Record(RecordFact::None))],                        status: Outdated, reason: R::DeployedInputsDiffer },
        Row { id: "system-record-missing",     when: &[Any, Any, Not(Outcome(OutcomeFact::Never)), Any, Any, Any, Any, Any, Any],                     status: Outdated, reason: R::DeploymentNotRecorded },
    ],
    otherwise: Row { id: "system-never-deployed", when: &[Any, Any, Any, Any, Any, Any, Any, Any, Any], status: Unknown, reason: R::NeverDeployed },
};

/// Does the deployed system work?
#[rustfmt::skip]
pub const TESTS: Table<'static> = Table {
    compartment: Compartment::Tests,
    columns: &[FactName::DesiredCommit, FactName::DesiredLock, FactName::TestsSwitch, FactName::Result, FactName::Key, FactName::Outcome, FactName::Record, FactName::SystemStatus],
    rows: &[
        Row { id: "tests-commit-unavailable", when: &[Is(DesiredCommit(UNAVAILABLE)), Any, Any, Any, Any, Any, Any, Any],                              status: Outdated, reason: R::TestsUnverifiable },
        Row { id: "tests-lock-unavailable",   when: &[Any, Is(DesiredLock(UNAVAILABLE)), Any, Any, Any, Any, Any, Any],                                status: Outdated, reason: R::TestsUnverifiable },
        Row { id: "tests-disabled",           when: &[Any, Any, Is(TestsSwitch(TestsSwitchFact::Off)), Any, Any, Any, Any, Any],                       status: Unknown,  reason: R::TestsDisabled },
        Row { id: "tests-failed",             when: &[Any, Any, Any, Is(Result(ResultFact::Failed)), Is(Key(KeyFact::Current)), Any, Any, Any],        status: Error,    reason: R::TestsFailed },
        Row { id: "tests-stopped",            when: &[Any, Any, Any, Is(Result(ResultFact::Stopped)), Is(Key(KeyFact::Current)), Any, Any, Any],       status: Error,    reason: R::TestsStopped },
        Row { id: "tests-never-deployed",     when: &[Any, Any, Any, Is(Result(ResultFact::Never)), Any, Is(Outcome(OutcomeFact::Never)), Is(Record(RecordFact::None)), Not(SystemStatus(Ok))], status: Unknown, reason: R::TestsNeverDeployed },
        Row { id: "tests-none",               when: &[Any, Any, Any, Is(Result(ResultFact::Empty)), Is(Key(KeyFact::Current)), Any, Any, Any],         status: Outdated, reason: R::NoTests },
        Row { id: "tests-system-not-ok",      when: &[Any, Any, Any, Any, Any, Any, Any, Not(SystemStatus(Ok))],                                       status: Outdated, reason: R::SystemNotCurrent },
        Row { id: "tests-passed",             when: &[Any, Any, Any, Is(Result(ResultFact::Passed)), Is(Key(KeyFact::Current)), Any, Any, Any],        status: Ok,       reason: R::TestsPassed },
        Row { id: "tests-unverified",         when: &[Any, Any, Any, Is(Result(ResultFact::PassedUnverified)), Is(Key(KeyFact::Current)), Any, Any, Any], status: Outdated, reason: R::TestsUnverified },
        Row { id: "tests-not-run",            when: &[Any, Any, Any, Is(Result(ResultFact::Never)), Any, Any, Any, Any],                               status: Outdated, reason: R::TestsNotRun },
        Row { id: "tests-void",               when: &[Any, Any, Any, Is(Result(ResultFact::Void)), Any, Any, Any, Any],                                status: Outdated, reason: R::TestsVoid },
    ],
    otherwise: Row { id: "tests-other-revision", when: &[Any, Any, Any, Any, Any, Any, Any, Any], status: Outdated, reason: R::TestsOtherRevision },
};

/// What is laid over the statuses while a command is at work. Operations without a row overlay
/// nothing.
#[rustfmt::skip]
pub const OVERLAYS: &[OverlayRow] = &[
    OverlayRow { id: "agent-restarting",      compartment: Compartment::Agent,  op: Op::Restart,      during: During::All },
    OverlayRow { id: "agent-rebooting",       compartment: Compartment::Agent,  op: Op::Reboot,       during: During::All },
    OverlayRow { id: "agent-rebuilding",      compartment: Compartment::Agent,  op: Op::ForceRebuild, during: During::All },
    OverlayRow { id: "git-pulling",           compartment: Compartment::Git,    op: Op::Pull,         during: During::All },
    OverlayRow { id: "git-pulling-first",     compartment: Compartment::Git,    op: Op::PullSwitch,   during: During::PullHalf },
    OverlayRow { id: "git-refreshing",        compartment: Compartment::Git,    op: Op::RefreshGit,   during: During::All },
    OverlayRow { id: "lock-refreshing",       compartment: Compartment::Lock,   op: Op::RefreshLock,  during: During::All },
    OverlayRow { id: "lock-updating",         compartment: Compartment::Lock,   op: Op::UpdateInputs, during: During::All },
    OverlayRow { id: "system-switching",      compartment: Compartment::System, op: Op::Switch,       during: During::All },
    OverlayRow { id: "system-switching-next", compartment: Compartment::System, op: Op::PullSwitch,   during: During::SwitchHalf },
    OverlayRow { id: "system-rolling-back",   compartment: Compartment::System, op: Op::Rollback,     during: During::All },
    OverlayRow { id: "system-rebuilding",     compartment: Compartment::System, op: Op::ForceRebuild, during: During::All },
    OverlayRow { id: "tests-running",         compartment: Compartment::Tests,  op: Op::Test,         during: During::All },
];
