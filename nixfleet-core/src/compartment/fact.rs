//! A single fact, by name and value: what patterns are made of and traces are written in.

use crate::compartment::Status;
use crate::compartment::facts::{
    AgentFact, ClaimFact, CommitFact, DesiredFact, KeyFact, LockFact, OutcomeFact, PathFact,
    ReconcileFact, RecordFact, ResultFact, TestsSwitchFact, TreeFact,
};

/// One fact with its value, as patterns and traces name it. The last three are the statuses of
/// other compartments, before any overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// See [`Facts::agent`](crate::compartment::Facts::agent).
    Agent(AgentFact),
    /// See [`Facts::desired_commit`](crate::compartment::Facts::desired_commit).
    DesiredCommit(DesiredFact),
    /// See [`Facts::desired_lock`](crate::compartment::Facts::desired_lock).
    DesiredLock(DesiredFact),
    /// See [`Facts::commit`](crate::compartment::Facts::commit).
    Commit(CommitFact),
    /// See [`Facts::tree`](crate::compartment::Facts::tree).
    Tree(TreeFact),
    /// See [`Facts::lock`](crate::compartment::Facts::lock).
    Lock(LockFact),
    /// See [`Facts::outcome`](crate::compartment::Facts::outcome).
    Outcome(OutcomeFact),
    /// See [`Facts::reconcile`](crate::compartment::Facts::reconcile).
    Reconcile(ReconcileFact),
    /// See [`Facts::record`](crate::compartment::Facts::record).
    Record(RecordFact),
    /// See [`Facts::claim`](crate::compartment::Facts::claim).
    Claim(ClaimFact),
    /// See [`Facts::path`](crate::compartment::Facts::path).
    Path(PathFact),
    /// See [`Facts::tests_switch`](crate::compartment::Facts::tests_switch).
    TestsSwitch(TestsSwitchFact),
    /// See [`Facts::result`](crate::compartment::Facts::result).
    Result(ResultFact),
    /// See [`Facts::key`](crate::compartment::Facts::key).
    Key(KeyFact),
    /// The status of the compartment `git`.
    GitStatus(Status),
    /// The status of the compartment `lock`.
    LockStatus(Status),
    /// The status of the compartment `system`.
    SystemStatus(Status),
}

/// The name of a fact: a column of a decision table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactName {
    /// See [`Facts::agent`](crate::compartment::Facts::agent).
    Agent,
    /// See [`Facts::desired_commit`](crate::compartment::Facts::desired_commit).
    DesiredCommit,
    /// See [`Facts::desired_lock`](crate::compartment::Facts::desired_lock).
    DesiredLock,
    /// See [`Facts::commit`](crate::compartment::Facts::commit).
    Commit,
    /// See [`Facts::tree`](crate::compartment::Facts::tree).
    Tree,
    /// See [`Facts::lock`](crate::compartment::Facts::lock).
    Lock,
    /// See [`Facts::outcome`](crate::compartment::Facts::outcome).
    Outcome,
    /// See [`Facts::reconcile`](crate::compartment::Facts::reconcile).
    Reconcile,
    /// See [`Facts::record`](crate::compartment::Facts::record).
    Record,
    /// See [`Facts::claim`](crate::compartment::Facts::claim).
    Claim,
    /// See [`Facts::path`](crate::compartment::Facts::path).
    Path,
    /// See [`Facts::tests_switch`](crate::compartment::Facts::tests_switch).
    TestsSwitch,
    /// See [`Facts::result`](crate::compartment::Facts::result).
    Result,
    /// See [`Facts::key`](crate::compartment::Facts::key).
    Key,
    /// The status of the compartment `git`.
    GitStatus,
    /// The status of the compartment `lock`.
    LockStatus,
    /// The status of the compartment `system`.
    SystemStatus,
}

impl FactName {
    /// The name in tables and traces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            FactName::Agent => "agent version",
            FactName::DesiredCommit => "desired commit",
            FactName::DesiredLock => "desired lock",
            FactName::Commit => "checked-out commit",
            FactName::Tree => "working tree",
            FactName::Lock => "checked-out lock",
            FactName::Outcome => "last deploy",
            FactName::Reconcile => "reconciliation",
            FactName::Record => "deployment record",
            FactName::Claim => "running revision",
            FactName::Path => "running store path",
            FactName::TestsSwitch => "tests switch",
            FactName::Result => "test result",
            FactName::Key => "tested revision",
            FactName::GitStatus => "git",
            FactName::LockStatus => "lock",
            FactName::SystemStatus => "system",
        }
    }

    /// Every value of this fact; the first one is the one that supports green.
    #[must_use]
    pub fn values(self) -> Vec<Fact> {
        const STATUSES: [Status; 4] =
            [Status::Ok, Status::Outdated, Status::Error, Status::Unknown];
        fn all<T: Copy>(values: &[T], wrap: fn(T) -> Fact) -> Vec<Fact> {
            values.iter().copied().map(wrap).collect()
        }
        match self {
            FactName::Agent => all(AgentFact::ALL, Fact::Agent),
            FactName::DesiredCommit => all(DesiredFact::ALL, Fact::DesiredCommit),
            FactName::DesiredLock => all(DesiredFact::ALL, Fact::DesiredLock),
            FactName::Commit => all(CommitFact::ALL, Fact::Commit),
            FactName::Tree => all(TreeFact::ALL, Fact::Tree),
            FactName::Lock => all(LockFact::ALL, Fact::Lock),
            FactName::Outcome => all(OutcomeFact::ALL, Fact::Outcome),
            FactName::Reconcile => all(ReconcileFact::ALL, Fact::Reconcile),
            FactName::Record => all(RecordFact::ALL, Fact::Record),
            FactName::Claim => all(ClaimFact::ALL, Fact::Claim),
            FactName::Path => all(PathFact::ALL, Fact::Path),
            FactName::TestsSwitch => all(TestsSwitchFact::ALL, Fact::TestsSwitch),
            FactName::Result => all(ResultFact::ALL, Fact::Result),
            FactName::Key => all(KeyFact::ALL, Fact::Key),
            FactName::GitStatus => all(&STATUSES, Fact::GitStatus),
            FactName::LockStatus => all(&STATUSES, Fact::LockStatus),
            FactName::SystemStatus => all(&STATUSES, Fact::SystemStatus),
        }
    }
}

impl Fact {
    /// Which fact it is.
    #[must_use]
    pub const fn fact_name(self) -> FactName {
        match self {
            Fact::Agent(_) => FactName::Agent,
            Fact::DesiredCommit(_) => FactName::DesiredCommit,
            Fact::DesiredLock(_) => FactName::DesiredLock,
            Fact::Commit(_) => FactName::Commit,
            Fact::Tree(_) => FactName::Tree,
            Fact::Lock(_) => FactName::Lock,
            Fact::Outcome(_) => FactName::Outcome,
            Fact::Reconcile(_) => FactName::Reconcile,
            Fact::Record(_) => FactName::Record,
            Fact::Claim(_) => FactName::Claim,
            Fact::Path(_) => FactName::Path,
            Fact::TestsSwitch(_) => FactName::TestsSwitch,
            Fact::Result(_) => FactName::Result,
            Fact::Key(_) => FactName::Key,
            Fact::GitStatus(_) => FactName::GitStatus,
            Fact::LockStatus(_) => FactName::LockStatus,
            Fact::SystemStatus(_) => FactName::SystemStatus,
        }
    }

    /// The name of its value in tables and traces.
    #[must_use]
    pub const fn value_name(self) -> &'static str {
        match self {
            Fact::Agent(value) => value.name(),
            Fact::DesiredCommit(value) | Fact::DesiredLock(value) => value.name(),
            Fact::Commit(value) => value.name(),
            Fact::Tree(value) => value.name(),
            Fact::Lock(value) => value.name(),
            Fact::Outcome(value) => value.name(),
            Fact::Reconcile(value) => value.name(),
            Fact::Record(value) => value.name(),
            Fact::Claim(value) => value.name(),
            Fact::Path(value) => value.name(),
            Fact::TestsSwitch(value) => value.name(),
            Fact::Result(value) => value.name(),
            Fact::Key(value) => value.name(),
            Fact::GitStatus(value) | Fact::LockStatus(value) | Fact::SystemStatus(value) => {
                value.name()
            }
        }
    }
}
