//! The catalogue of operations, as data (spec 02, "Ops").
//!
//! One row per operation: who performs it, what it needs, what proves that it worked, how long it
//! may take. Admission, the lifecycle, help texts and documentation all read this table.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::compartment::Compartment;

/// One operation of the catalogue. The wire spelling is the one users of NixFleet know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// Bring the config checkout to the desired commit.
    Pull,
    /// Build and activate the checked-out configuration.
    Switch,
    /// Pull, then switch.
    PullSwitch,
    /// Run the host's test scripts (not `nixos-rebuild test`).
    Test,
    /// Activate the previous or a named generation.
    Rollback,
    /// Restart the agent.
    Restart,
    /// Reboot the host.
    Reboot,
    /// Compare the agent's version.
    CheckVersion,
    /// Fetch the desired commit again.
    RefreshGit,
    /// Fetch the desired lock again.
    RefreshLock,
    /// Fetch everything again.
    RefreshAll,
    /// Dry build, on request only.
    RefreshSystem,
    /// `nix flake update` on this host, commit and push (host-driven strategy).
    UpdateInputs,
    /// Rebuild from scratch so that the agent itself is fresh.
    ForceRebuild,
    /// Merge the update pull request.
    MergePr,
    /// Revert a merged update.
    RevertPr,
    /// Change the colour of a host on the page.
    SetColor,
    /// Remove a host.
    Remove,
    /// Keep every automation away from a host.
    Hold,
    /// End a hold.
    Release,
}

/// Who carries an operation out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Performer {
    /// The agent on the host.
    Agent,
    /// The server itself.
    Server,
}

/// The effect class of an operation (spec 02, "Effect on the deploy outcome").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpClass {
    /// Changes the running system; its outcome is the host's deploy outcome.
    Deploy,
    /// May take the agent down without changing the configuration.
    Disruptive,
    /// Changes something on the host, but not the running system.
    Change,
    /// Changes nothing.
    Read,
}

/// A precondition (spec 02, column "needs"). Each failing one is a `Refusal` with a stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// The agent is connected.
    Online,
    /// The agent is not connected (removing a host).
    Offline,
    /// No other command is active on the host.
    Idle,
    /// No other command is active, unless the caller overrides explicitly.
    IdleOrOverride,
    /// Something to pull: git or lock is not `ok`, or the checkout is dirty; `force` bypasses.
    SomethingToPull,
    /// Git and lock are `ok`; `force` bypasses `unknown` and `outdated`.
    GitAndLockCurrent,
    /// The remote is readable, both halves.
    RemoteReadable,
    /// The checkout has no local changes; `force` bypasses.
    Clean,
    /// The rollback target is known to exist, or is the previous one that an existing agent finds.
    TargetKnown,
    /// The host-driven update strategy is on.
    HostDrivenStrategy,
    /// The caller confirmed explicitly.
    Confirmed,
    /// A second factor was checked, where configured.
    SecondFactor,
    /// The update pull request is known and its checks verdict allows it (spec 05).
    EligiblePr,
}

/// What must be seen, in facts reported after the exit, for `SUCCESS` (spec 02, column "goal").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// The checkout is at the commit pinned at the start.
    CommitIsTarget,
    /// The running system is the one that was built.
    SystemIsNew,
    /// Both of the above.
    CommitAndSystem,
    /// There is a test result for the deployed revision.
    TestResult,
    /// The running system is the rollback target.
    SystemIsRollbackTarget,
    /// The agent registered again as a new process.
    RegisteredAgain,
    /// The agent registered again after a boot.
    RegisteredAfterBoot,
    /// The lock changed and was pushed.
    LockChangedAndPushed,
    /// The agent is the one the configuration expects.
    AgentFresh,
    /// The pull request is merged.
    Merged,
    /// The revert pull request is open.
    RevertOpen,
    /// Exit 0 is enough.
    None,
}

/// One row of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct OpSpec {
    /// The operation.
    pub op: Op,
    /// Its name on the wire and in the command line.
    pub name: &'static str,
    /// Other accepted spellings.
    pub aliases: &'static [&'static str],
    /// Who carries it out.
    pub performer: Performer,
    /// What it may change.
    pub class: OpClass,
    /// Preconditions, in the order in which they are checked.
    pub needs: &'static [Need],
    /// What proves success.
    pub goal: Goal,
    /// When a running command becomes `RUNNING_WARNING`; `None` if it has no warning.
    pub warn: Option<Duration>,
    /// When a running command becomes `TIMEOUT_PENDING` or is killed.
    pub hard: Duration,
    /// Whether a person or policy may start a new command after a terminal state.
    pub retry: bool,
    /// The compartments shown as `working` while it runs (spec 01, ▶ rows).
    pub overlay: &'static [Compartment],
    /// What it does, for help texts.
    pub help: &'static str,
}

/// Exit code of `nixos-rebuild` when the new system is active but units failed.
pub const EXIT_DEGRADED: i32 = 4;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

use Compartment as C;
use Goal as G;
use Need as N;
use OpClass::{Change, Deploy, Disruptive, Read};
use Performer::{Agent, Server};

/// Every operation, one row each, in the order of the declaration of [`Op`].
#[rustfmt::skip]
pub const OPS: &[OpSpec] = &[
    OpSpec { op: Op::Pull, name: "pull", aliases: &[], performer: Agent, class: Change, needs: &[N::Online, N::Idle, N::RemoteReadable, N::SomethingToPull], goal: G::CommitIsTarget, warn: Some(minutes(2)), hard: minutes(5), retry: true, overlay: &[C::Git], help: "bring the config checkout to the desired commit" },
    OpSpec { op: Op::Switch, name: "switch", aliases: &[], performer: Agent, class: Deploy, needs: &[N::Online, N::Idle, N::RemoteReadable, N::GitAndLockCurrent, N::Clean], goal: G::SystemIsNew, warn: Some(minutes(10)), hard: minutes(30), retry: true, overlay: &[C::System], help: "build and activate the checked-out configuration" },
    OpSpec { op: Op::PullSwitch, name: "pull-switch", aliases: &[], performer: Agent, class: Deploy, needs: &[N::Online, N::Idle, N::RemoteReadable], goal: G::CommitAndSystem, warn: Some(minutes(12)), hard: minutes(35), retry: true, overlay: &[C::Git, C::System], help: "pull, then switch" },
    OpSpec { op: Op::Test, name: "test", aliases: &[], performer: Agent, class: Read, needs: &[N::Online, N::Idle], goal: G::TestResult, warn: Some(minutes(5)), hard: minutes(10), retry: true, overlay: &[C::Tests], help: "run the host's test scripts (this is not `nixos-rebuild test`)" },
    OpSpec { op: Op::Rollback, name: "rollback", aliases: &[], performer: Agent, class: Deploy, needs: &[N::Online, N::Idle, N::TargetKnown], goal: G::SystemIsRollbackTarget, warn: Some(minutes(5)), hard: minutes(15), retry: false, overlay: &[C::System], help: "activate the previous or a named generation" },
    OpSpec { op: Op::Restart, name: "restart", aliases: &[], performer: Agent, class: Disruptive, needs: &[N::Online], goal: G::RegisteredAgain, warn: Some(seconds(30)), hard: minutes(1), retry: false, overlay: &[C::Agent], help: "restart the agent" },
    OpSpec { op: Op::Reboot, name: "reboot", aliases: &[], performer: Agent, class: Disruptive, needs: &[N::Online, N::IdleOrOverride, N::SecondFactor], goal: G::RegisteredAfterBoot, warn: None, hard: minutes(15), retry: false, overlay: &[C::Agent], help: "reboot the host" },
    OpSpec { op: Op::CheckVersion, name: "check-version", aliases: &[], performer: Server, class: Read, needs: &[N::Online], goal: G::None, warn: None, hard: seconds(30), retry: true, overlay: &[], help: "compare the agent's version again" },
    OpSpec { op: Op::RefreshGit, name: "refresh-git", aliases: &[], performer: Server, class: Read, needs: &[N::Online], goal: G::None, warn: None, hard: seconds(30), retry: true, overlay: &[C::Git], help: "read the remote again" },
    OpSpec { op: Op::RefreshLock, name: "refresh-lock", aliases: &[], performer: Server, class: Read, needs: &[N::Online], goal: G::None, warn: None, hard: seconds(30), retry: true, overlay: &[C::Lock], help: "read the remote lock again" },
    OpSpec { op: Op::RefreshAll, name: "refresh-all", aliases: &["refresh"], performer: Server, class: Read, needs: &[N::Online], goal: G::None, warn: None, hard: seconds(30), retry: true, overlay: &[], help: "read everything again" },
    OpSpec { op: Op::RefreshSystem, name: "refresh-system", aliases: &[], performer: Agent, class: Read, needs: &[N::Online, N::Idle, N::Confirmed], goal: G::None, warn: Some(minutes(2)), hard: minutes(5), retry: true, overlay: &[], help: "dry build, to see what a switch would change" },
    OpSpec { op: Op::UpdateInputs, name: "update-inputs", aliases: &["update", "bump-flake"], performer: Agent, class: Change, needs: &[N::Online, N::Idle, N::HostDrivenStrategy], goal: G::LockChangedAndPushed, warn: Some(minutes(2)), hard: minutes(10), retry: true, overlay: &[C::Lock], help: "run `nix flake update` on this host, commit and push" },
    OpSpec { op: Op::ForceRebuild, name: "force-rebuild", aliases: &["force-update"], performer: Agent, class: Deploy, needs: &[N::Online, N::Idle], goal: G::AgentFresh, warn: Some(minutes(10)), hard: minutes(60), retry: true, overlay: &[C::Agent, C::System], help: "rebuild so that the agent itself is fresh" },
    OpSpec { op: Op::MergePr, name: "merge-pr", aliases: &[], performer: Server, class: Change, needs: &[N::EligiblePr], goal: G::Merged, warn: None, hard: minutes(1), retry: true, overlay: &[], help: "merge the update pull request" },
    OpSpec { op: Op::RevertPr, name: "revert-pr", aliases: &[], performer: Server, class: Change, needs: &[N::EligiblePr], goal: G::RevertOpen, warn: None, hard: minutes(1), retry: true, overlay: &[], help: "open a pull request that reverts a merged update" },
    OpSpec { op: Op::SetColor, name: "set-color", aliases: &[], performer: Server, class: Read, needs: &[], goal: G::None, warn: None, hard: seconds(5), retry: false, overlay: &[], help: "change the colour of a host on the page" },
    OpSpec { op: Op::Remove, name: "remove", aliases: &[], performer: Server, class: Change, needs: &[N::Offline, N::Idle], goal: G::None, warn: None, hard: seconds(5), retry: false, overlay: &[], help: "remove a host" },
    OpSpec { op: Op::Hold, name: "hold", aliases: &[], performer: Server, class: Change, needs: &[], goal: G::None, warn: None, hard: seconds(5), retry: false, overlay: &[], help: "keep every automation away from a host" },
    OpSpec { op: Op::Release, name: "release", aliases: &[], performer: Server, class: Change, needs: &[], goal: G::None, warn: None, hard: seconds(5), retry: false, overlay: &[], help: "end a hold" },
];

impl Op {
    /// The row of this operation in [`OPS`].
    #[must_use]
    pub fn spec(self) -> &'static OpSpec {
        static FIRST: OpSpec = OPS[0];
        OPS.get(self as usize).unwrap_or(&FIRST)
    }

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// The operation with this name or alias.
    ///
    /// ```
    /// use nixfleet_core::Op;
    /// assert_eq!(Op::named("bump-flake"), Some(Op::UpdateInputs));
    /// assert_eq!(Op::named("rm -rf"), None);
    /// ```
    #[must_use]
    pub fn named(name: &str) -> Option<Op> {
        OPS.iter()
            .find(|spec| spec.name == name || spec.aliases.contains(&name))
            .map(|spec| spec.op)
    }

    /// `switch`, `pull-switch`, `rollback`, `force-rebuild`: its outcome is the deploy outcome.
    #[must_use]
    pub fn is_deploy(self) -> bool {
        self.spec().class == OpClass::Deploy
    }

    /// May take the agent down: deploy-class plus `restart` and `reboot`.
    #[must_use]
    pub fn is_switch_like(self) -> bool {
        matches!(self.spec().class, OpClass::Deploy | OpClass::Disruptive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_op_finds_its_own_row_and_every_name_is_unique() {
        let mut names = std::collections::BTreeSet::new();
        for (index, spec) in OPS.iter().enumerate() {
            assert_eq!(spec.op as usize, index);
            assert_eq!(spec.op.spec().op, spec.op);
            let wire = serde_json::to_string(&spec.op).unwrap();
            assert_eq!(wire, format!("{:?}", spec.name));
            for name in spec.aliases.iter().chain([&spec.name]) {
                assert!(names.insert(*name), "{name} twice");
                assert_eq!(Op::named(name), Some(spec.op));
            }
        }
        assert_eq!(OPS.len(), Op::Release as usize + 1);
    }

    #[test]
    fn warnings_come_before_hard_timeouts() {
        for spec in OPS {
            assert!(
                spec.warn.is_none_or(|warn| warn < spec.hard),
                "{}",
                spec.name
            );
        }
    }
}
