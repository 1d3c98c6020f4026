//! The numbers in [`RawFacts`](crate::facts::RawFacts) and in what is made of them, by name, for C.
//! They are those of the core; a test compares each with it, name by name.

/// The status of a compartment, as it is shown.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dot {
    /// Gray: the host has not told us yet.
    Unknown = 0,
    /// Green: current against the remote, and proven so.
    Ok = 1,
    /// Yellow: act, or it cannot be verified.
    Outdated = 2,
    /// Red: a real problem; also: the remote cannot be read.
    Error = 3,
    /// Blue: a command is at work.
    Working = 4,
}

/// The reported agent version beside the expected one.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// The same after normalisation.
    Equal = 0,
    /// Older than expected.
    Older = 1,
    /// Newer than expected.
    Newer = 2,
    /// Different, and not comparable.
    Incompatible = 3,
    /// The agent never said.
    NotReported = 4,
}

/// Whether one half of the desired state is known.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desired {
    /// Known and in force.
    Known = 0,
    /// Not known: the remote failed, or this half of it.
    Unavailable = 1,
}

/// The commit checked out beside the desired one.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// The desired commit.
    Current = 0,
    /// An ancestor of the desired commit.
    Behind = 1,
    /// On the branch, but after the desired commit.
    Ahead = 2,
    /// Known, but neither before nor after the desired commit.
    Diverged = 3,
    /// The history is known and does not have it.
    NotOnBranch = 4,
    /// Another commit; the history is not known (or the desired commit is not).
    Different = 5,
    /// The host did not say.
    NotReported = 6,
}

/// Whether the checkout has local changes.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// No local changes.
    Clean = 0,
    /// Local changes.
    Dirty = 1,
}

/// The lock checked out beside the desired one.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// The desired lock, byte for byte.
    Current = 0,
    /// An earlier version of the branch.
    Behind = 1,
    /// A later version of the branch than the desired one.
    Ahead = 2,
    /// The history is known and does not have it.
    NotOnBranch = 3,
    /// Another lock; the history is not known (or the desired lock is not).
    Different = 4,
    /// The checkout has no lock file.
    Missing = 5,
    /// The host did not say.
    NotReported = 6,
}

/// Outcome of the last deploy-class command.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It worked.
    Ok = 0,
    /// Nothing was ever deployed through us.
    Never = 1,
    /// It failed or was stopped.
    Failed = 2,
    /// Nobody knows.
    Unknown = 3,
}

/// Whether an unknown outcome waits to be settled.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconcile {
    /// Nothing is open.
    Settled = 0,
    /// A deploy-class command ended with an unknown outcome.
    Needed = 1,
}

/// The agent's record of the last deployment beside the checkout.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Built from exactly what is checked out.
    SameAsCheckout = 0,
    /// Built from something else.
    Differs = 1,
    /// There is a record, but its inputs are not known (dirty tree, changed during the build).
    InputsUnknown = 2,
    /// Its inputs are known, but the checkout is not.
    NoCheckout = 3,
    /// There is no record.
    None = 4,
}

/// The revision the running system claims, beside the deployed commit or, without a record,
/// beside the desired one.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The expected one.
    AsExpected = 0,
    /// It claims nothing.
    Silent = 1,
    /// It claims a revision, but there is nothing to compare it with.
    Unjudged = 2,
    /// Another one.
    Other = 3,
    /// It claims something that is no commit, for example local changes on top of one.
    NoCommit = 4,
}

/// The running store path beside the deployed one.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// The same.
    Same = 0,
    /// The record tells none.
    Unjudged = 1,
    /// Another one: switched by hand, or booted into an old generation; or nobody sees which.
    Other = 2,
}

/// Whether tests are switched on for the host.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestsSwitch {
    /// On.
    On = 0,
    /// Off.
    Off = 1,
}

/// The last test result.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Result {
    /// Passed: at least one test, every script's own exit code seen, none failed.
    Passed = 0,
    /// An existing agent reports a pass; it counts only its last script.
    PassedUnverified = 1,
    /// At least one failed.
    Failed = 2,
    /// The run was stopped.
    Stopped = 3,
    /// Nothing was executed.
    Empty = 4,
    /// What was tested changed during the run.
    Void = 5,
    /// Tests never ran.
    Never = 6,
}

/// What was tested beside what is deployed.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The deployed commit, lock and store path.
    Current = 0,
    /// Something else, usually an earlier revision.
    Other = 1,
    /// One of the two is not known.
    Unjudged = 2,
}

/// The active command of a host, in [`RawFacts::working_op`](crate::facts::RawFacts::working_op).
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkingOp {
    /// There is none.
    None = 0,
    /// Bring the config checkout to the desired commit.
    Pull = 1,
    /// Build and activate the checked-out configuration.
    Switch = 2,
    /// Pull, then switch.
    PullSwitch = 3,
    /// Run the host's test scripts (not `nixos-rebuild test`).
    Test = 4,
    /// Activate the previous or a named generation.
    Rollback = 5,
    /// Restart the agent.
    Restart = 6,
    /// Reboot the host.
    Reboot = 7,
    /// Compare the agent's version.
    CheckVersion = 8,
    /// Fetch the desired commit again.
    RefreshGit = 9,
    /// Fetch the desired lock again.
    RefreshLock = 10,
    /// Fetch everything again.
    RefreshAll = 11,
    /// Dry build, on request only.
    RefreshSystem = 12,
    /// `nix flake update` on this host, commit and push (host-driven strategy).
    UpdateInputs = 13,
    /// Rebuild from scratch so that the agent itself is fresh.
    ForceRebuild = 14,
    /// Merge the update pull request.
    MergePr = 15,
    /// Revert a merged update.
    RevertPr = 16,
    /// Change the colour of a host on the page.
    SetColor = 17,
    /// Remove a host.
    Remove = 18,
    /// Keep every automation away from a host.
    Hold = 19,
    /// End a hold.
    Release = 20,
}

/// Which half of a `pull-switch` is running.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkingHalf {
    /// Not known, or another operation.
    NotKnown = 0,
    /// Bringing the checkout to the desired commit.
    Pull = 1,
    /// Building and activating.
    Switch = 2,
}

#[cfg(test)]
mod tests {
    use nixfleet_core::compartment::facts as core;
    use nixfleet_core::{OPS, Status};

    use super::*;

    /// `NotOnBranch` is `not-on-branch`.
    fn kebab(variant: &str) -> String {
        let mut name = String::new();
        for letter in variant.chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    macro_rules! same {
        ($ours:ident, $all:expr, [$($variant:ident)*]) => {
            let ours = [$((kebab(stringify!($variant)), $ours::$variant as usize)),*];
            let core: Vec<_> = $all.into_iter().enumerate().map(|(at, name)| (name, at)).collect();
            assert_eq!(ours.to_vec(), core, stringify!($ours));
        };
    }

    fn names<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> Vec<String> {
        all.iter().map(|one| name(*one).to_owned()).collect()
    }

    #[test]
    fn every_number_is_that_of_the_core() {
        same!(Agent, names(core::AgentFact::ALL, core::AgentFact::name), [Equal Older Newer Incompatible NotReported]);
        same!(Desired, names(core::DesiredFact::ALL, core::DesiredFact::name), [Known Unavailable]);
        same!(Commit, names(core::CommitFact::ALL, core::CommitFact::name), [Current Behind Ahead Diverged NotOnBranch Different NotReported]);
        same!(Tree, names(core::TreeFact::ALL, core::TreeFact::name), [Clean Dirty]);
        same!(Lock, names(core::LockFact::ALL, core::LockFact::name), [Current Behind Ahead NotOnBranch Different Missing NotReported]);
        same!(Outcome, names(core::OutcomeFact::ALL, core::OutcomeFact::name), [Ok Never Failed Unknown]);
        same!(Reconcile, names(core::ReconcileFact::ALL, core::ReconcileFact::name), [Settled Needed]);
        same!(Record, names(core::RecordFact::ALL, core::RecordFact::name), [SameAsCheckout Differs InputsUnknown NoCheckout None]);
        same!(Claim, names(core::ClaimFact::ALL, core::ClaimFact::name), [AsExpected Silent Unjudged Other NoCommit]);
        same!(Path, names(core::PathFact::ALL, core::PathFact::name), [Same Unjudged Other]);
        same!(TestsSwitch, names(core::TestsSwitchFact::ALL, core::TestsSwitchFact::name), [On Off]);
        same!(Result, names(core::ResultFact::ALL, core::ResultFact::name), [Passed PassedUnverified Failed Stopped Empty Void Never]);
        same!(Key, names(core::KeyFact::ALL, core::KeyFact::name), [Current Other Unjudged]);
        let statuses = [
            Status::Unknown,
            Status::Ok,
            Status::Outdated,
            Status::Error,
            Status::Working,
        ];
        same!(Dot, names(&statuses, Status::name), [Unknown Ok Outdated Error Working]);
        assert!(
            statuses
                .iter()
                .enumerate()
                .all(|(at, one)| *one as usize == at)
        );
        let ops = OPS.iter().map(|spec| spec.op.name().to_owned());
        let ops: Vec<String> = std::iter::once("none".to_owned()).chain(ops).collect();
        same!(WorkingOp, ops, [None Pull Switch PullSwitch Test Rollback Restart Reboot CheckVersion RefreshGit RefreshLock RefreshAll RefreshSystem UpdateInputs ForceRebuild MergePr RevertPr SetColor Remove Hold Release]);
    }
}
