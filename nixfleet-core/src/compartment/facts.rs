//! Facts: an observation compared with the desired state, as small enums.
//!
//! The rules see nothing but these enums, so the whole space of facts can be enumerated. Text and
//! hashes are compared in one place only: [`Facts::compare`].

use crate::compartment::fact::{Fact, FactName};
use crate::compartment::table::Decided;

macro_rules! fact_values {
    ($(#[$doc:meta])* $name:ident { $( $(#[$variant_doc:meta])* $variant:ident = $text:literal ),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $( $(#[$variant_doc])* $variant ),* }

        impl $name {
            /// Every value; the first one is the one that supports green.
            pub const ALL: &'static [$name] = &[ $( $name::$variant ),* ];

            /// The name in tables and traces.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( $name::$variant => $text ),* }
            }
        }
    };
}

fact_values! {
    /// The reported agent version beside the expected one.
    AgentFact {
        /// The same after normalisation.
        Equal = "equal",
        /// Older than expected.
        Older = "older",
        /// Newer than expected.
        Newer = "newer",
        /// Different, and not comparable.
        Incompatible = "incompatible",
        /// The agent never said.
        NotReported = "not-reported",
    }
}

fact_values! {
    /// Whether one half of the desired state is known.
    DesiredFact {
        /// Known and in force.
        Known = "known",
        /// Not known: the remote failed, or this half of it.
        Unavailable = "unavailable",
    }
}

fact_values! {
    /// The commit checked out beside the desired one.
    CommitFact {
        /// The desired commit.
        Current = "current",
        /// An ancestor of the desired commit.
        Behind = "behind",
        /// On the branch, but after the desired commit.
        Ahead = "ahead",
        /// Known, but neither before nor after the desired commit.
        Diverged = "diverged",
        /// The history is known and does not have it.
        NotOnBranch = "not-on-branch",
        /// Another commit; the history is not known (or the desired commit is not).
        Different = "different",
        /// The host did not say.
        NotReported = "not-reported",
    }
}

fact_values! {
    /// Whether the checkout has local changes.
    TreeFact {
        /// No local changes.
        Clean = "clean",
        /// Local changes.
        Dirty = "dirty",
    }
}

fact_values! {
    /// The lock checked out beside the desired one.
    LockFact {
        /// The desired lock, byte for byte.
        Current = "current",
        /// An earlier version of the branch.
        Behind = "behind",
        /// A later version of the branch than the desired one.
        Ahead = "ahead",
        /// The history is known and does not have it.
        NotOnBranch = "not-on-branch",
        /// Another lock; the history is not known (or the desired lock is not).
        Different = "different",
        /// The checkout has no lock file.
        Missing = "missing",
        /// The host did not say.
        NotReported = "not-reported",
    }
}

fact_values! {
    /// Outcome of the last deploy-class command.
    OutcomeFact {
        /// It worked.
        Ok = "ok",
        /// Nothing was ever deployed through us.
        Never = "never",
        /// It failed or was stopped.
        Failed = "failed",
        /// Nobody knows.
        Unknown = "unknown",
    }
}

fact_values! {
    /// Whether an unknown outcome waits to be settled.
    ReconcileFact {
        /// Nothing is open.
        Settled = "settled",
        /// A deploy-class command ended with an unknown outcome.
        Needed = "needed",
    }
}

fact_values! {
    /// The agent's record of the last deployment beside the checkout.
    RecordFact {
        /// Built from exactly what is checked out.
        SameAsCheckout = "same-as-checkout",
        /// Built from something else.
        Differs = "differs",
        /// There is a record, but its inputs are not known (dirty tree, changed during the build).
        InputsUnknown = "inputs-unknown",
        /// Its inputs are known, but the checkout is not.
        NoCheckout = "no-checkout",
        /// There is no record.
        None = "none",
    }
}

fact_values! {
    /// The revision the running system claims, beside the deployed commit or, without a record,
    /// beside the desired one.
    ClaimFact {
        /// The expected one.
        AsExpected = "as-expected",
        /// It claims nothing.
        Silent = "silent",
        /// It claims a revision, but there is nothing to compare it with.
        Unjudged = "unjudged",
        /// Another one.
        Other = "other",
        /// It claims something that is no commit, for example local changes on top of one.
        NoCommit = "no-commit",
    }
}

fact_values! {
    /// The running store path beside the deployed one.
    PathFact {
        /// The same.
        Same = "same",
        /// The record tells none.
        Unjudged = "unjudged",
        /// Another one: switched by hand, or booted into an old generation; or nobody sees which.
        Other = "other",
    }
}

fact_values! {
    /// Whether tests are switched on for the host.
    TestsSwitchFact {
        /// On.
        On = "on",
        /// Off.
        Off = "off",
    }
}

fact_values! {
    /// The last test result.
    ResultFact {
        /// Passed: at least one test, every script's own exit code seen, none failed.
        Passed = "passed",
        /// An existing agent reports a pass; it counts only its last script.
        PassedUnverified = "passed-unverified",
        /// At least one failed.
        Failed = "failed",
        /// The run was stopped.
        Stopped = "stopped",
        /// Nothing was executed.
        Empty = "empty",
        /// What was tested changed during the run.
        Void = "void",
        /// Tests never ran.
        Never = "never",
    }
}

fact_values! {
    /// What was tested beside what is deployed.
    KeyFact {
        /// The deployed commit, lock and store path.
        Current = "current",
        /// Something else, usually an earlier revision.
        Other = "other",
        /// One of the two is not known.
        Unjudged = "unjudged",
    }
}

/// Everything the rules may look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The agent's version.
    pub agent: AgentFact,
    /// Whether the desired commit is known.
    pub desired_commit: DesiredFact,
    /// Whether the desired lock is known.
    pub desired_lock: DesiredFact,
    /// The commit checked out.
    pub commit: CommitFact,
    /// Whether the checkout has local changes.
    pub tree: TreeFact,
    /// The lock checked out.
    pub lock: LockFact,
    /// Outcome of the last deploy-class command.
    pub outcome: OutcomeFact,
    /// Whether that outcome waits to be settled.
    pub reconcile: ReconcileFact,
    /// The record of the last deployment.
    pub record: RecordFact,
    /// The revision the running system claims.
    pub claim: ClaimFact,
    /// The running store path.
    pub path: PathFact,
    /// Whether tests are switched on.
    pub tests_switch: TestsSwitchFact,
    /// The last test result.
    pub result: ResultFact,
    /// What that result is about.
    pub key: KeyFact,
}

impl Facts {
    /// The value of one fact. The statuses of other compartments are not among the facts of a
    /// host: they come from `decided`.
    #[must_use]
    pub const fn get(&self, name: FactName, decided: &Decided) -> Fact {
        match name {
            FactName::Agent => Fact::Agent(self.agent),
            FactName::DesiredCommit => Fact::DesiredCommit(self.desired_commit),
            FactName::DesiredLock => Fact::DesiredLock(self.desired_lock),
            FactName::Commit => Fact::Commit(self.commit),
            FactName::Tree => Fact::Tree(self.tree),
            FactName::Lock => Fact::Lock(self.lock),
            FactName::Outcome => Fact::Outcome(self.outcome),
            FactName::Reconcile => Fact::Reconcile(self.reconcile),
            FactName::Record => Fact::Record(self.record),
            FactName::Claim => Fact::Claim(self.claim),
            FactName::Path => Fact::Path(self.path),
            FactName::TestsSwitch => Fact::TestsSwitch(self.tests_switch),
            FactName::Result => Fact::Result(self.result),
            FactName::Key => Fact::Key(self.key),
            FactName::GitStatus => Fact::GitStatus(decided.git),
            FactName::LockStatus => Fact::LockStatus(decided.lock),
            FactName::SystemStatus => Fact::SystemStatus(decided.system),
        }
    }
}
