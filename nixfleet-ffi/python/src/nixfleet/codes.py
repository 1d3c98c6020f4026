"""The numbers in :class:`nixfleet.Facts`, by name. They are those of ``nixfleet.h``."""

from enum import IntEnum


class Agent(IntEnum):
    """The reported agent version beside the expected one."""

    EQUAL = 0
    """The same after normalisation."""
    OLDER = 1
    """Older than expected."""
    NEWER = 2
    """Newer than expected."""
    INCOMPATIBLE = 3
    """Different, and not comparable."""
    NOT_REPORTED = 4
    """The agent never said."""


class Desired(IntEnum):
    """Whether one half of the desired state is known."""

    KNOWN = 0
    """Known and in force."""
    UNAVAILABLE = 1
    """Not known: the remote failed, or this half of it."""


class Commit(IntEnum):
    """The commit checked out beside the desired one."""

    CURRENT = 0
    """The desired commit."""
    BEHIND = 1
    """An ancestor of the desired commit."""
    AHEAD = 2
    """On the branch, but after the desired commit."""
    DIVERGED = 3
    """Known, but neither before nor after the desired commit."""
    NOT_ON_BRANCH = 4
    """The history is known and does not have it."""
    DIFFERENT = 5
    """Another commit; the history is not known (or the desired commit is not)."""
    NOT_REPORTED = 6
    """The host did not say."""


class Tree(IntEnum):
    """Whether the checkout has local changes."""

    CLEAN = 0
    """No local changes."""
    DIRTY = 1
    """Local changes."""


class Lock(IntEnum):
    """The lock checked out beside the desired one."""

    CURRENT = 0
    """The desired lock, byte for byte."""
    BEHIND = 1
    """An earlier version of the branch."""
    AHEAD = 2
    """A later version of the branch than the desired one."""
    NOT_ON_BRANCH = 3
    """The history is known and does not have it."""
    DIFFERENT = 4
    """Another lock; the history is not known (or the desired lock is not)."""
    MISSING = 5
    """The checkout has no lock file."""
    NOT_REPORTED = 6
    """The host did not say."""


class Outcome(IntEnum):
    """Outcome of the last deploy-class command."""

    OK = 0
    """It worked."""
    NEVER = 1
    """Nothing was ever deployed through us."""
    FAILED = 2
    """It failed or was stopped."""
    UNKNOWN = 3
    """Nobody knows."""


class Reconcile(IntEnum):
    """Whether an unknown outcome waits to be settled."""

    SETTLED = 0
    """Nothing is open."""
    NEEDED = 1
    """A deploy-class command ended with an unknown outcome."""


class Record(IntEnum):
    """The agent's record of the last deployment beside the checkout."""

    SAME_AS_CHECKOUT = 0
    """Built from exactly what is checked out."""
    DIFFERS = 1
    """Built from something else."""
    INPUTS_UNKNOWN = 2
    """There is a record, but its inputs are not known (dirty tree, changed during the build)."""
    NO_CHECKOUT = 3
    """Its inputs are known, but the checkout is not."""
    NONE = 4
    """There is no record."""


class Claim(IntEnum):
    """The revision the running system claims, beside the deployed commit or, without a record, beside the desired one."""

    AS_EXPECTED = 0
    """The expected one."""
    SILENT = 1
    """It claims nothing."""
    UNJUDGED = 2
    """It claims a revision, but there is nothing to compare it with."""
    OTHER = 3
    """Another one."""
    NO_COMMIT = 4
    """It claims something that is no commit, for example local changes on top of one."""


class Path(IntEnum):
    """The running store path beside the deployed one."""

    SAME = 0
    """The same."""
    UNJUDGED = 1
    """The record tells none."""
    OTHER = 2
    """Another one: switched by hand, or booted into an old generation; or nobody sees which."""


class TestsSwitch(IntEnum):
    """Whether tests are switched on for the host."""

    ON = 0
    """On."""
    OFF = 1
    """Off."""


class Result(IntEnum):
    """The last test result."""

    PASSED = 0
    """Passed: at least one test, every script's own exit code seen, none failed."""
    PASSED_UNVERIFIED = 1
    """An existing agent reports a pass; it counts only its last script."""
    FAILED = 2
    """At least one failed."""
    STOPPED = 3
    """The run was stopped."""
    EMPTY = 4
    """Nothing was executed."""
    VOID = 5
    """What was tested changed during the run."""
    NEVER = 6
    """Tests never ran."""


class Key(IntEnum):
    """What was tested beside what is deployed."""

    CURRENT = 0
    """The deployed commit, lock and store path."""
    OTHER = 1
    """Something else, usually an earlier revision."""
    UNJUDGED = 2
    """One of the two is not known."""


class WorkingOp(IntEnum):
    """The active command of a host."""

    NONE = 0
    """There is none."""
    PULL = 1
    """Bring the config checkout to the desired commit."""
    SWITCH = 2
    """Build and activate the checked-out configuration."""
    PULL_SWITCH = 3
    """Pull, then switch."""
    TEST = 4
    """Run the host's test scripts (not `nixos-rebuild test`)."""
    ROLLBACK = 5
    """Activate the previous or a named generation."""
    RESTART = 6
    """Restart the agent."""
    REBOOT = 7
    """Reboot the host."""
    CHECK_VERSION = 8
    """Compare the agent's version."""
    REFRESH_GIT = 9
    """Fetch the desired commit again."""
    REFRESH_LOCK = 10
    """Fetch the desired lock again."""
    REFRESH_ALL = 11
    """Fetch everything again."""
    REFRESH_SYSTEM = 12
    """Dry build, on request only."""
    UPDATE_INPUTS = 13
    """`nix flake update` on this host, commit and push (host-driven strategy)."""
    FORCE_REBUILD = 14
    """Rebuild from scratch so that the agent itself is fresh."""
    MERGE_PR = 15
    """Merge the update pull request."""
    REVERT_PR = 16
    """Revert a merged update."""
    SET_COLOR = 17
    """Change the colour of a host on the page."""
    REMOVE = 18
    """Remove a host."""
    HOLD = 19
    """Keep every automation away from a host."""
    RELEASE = 20
    """End a hold."""


class WorkingHalf(IntEnum):
    """Which half of a `pull-switch` is running."""

    NOT_KNOWN = 0
    """Not known, or another operation."""
    PULL = 1
    """Bringing the checkout to the desired commit."""
    SWITCH = 2
    """Building and activating."""


__all__ = [
    "Agent",
    "Desired",
    "Commit",
    "Tree",
    "Lock",
    "Outcome",
    "Reconcile",
    "Record",
    "Claim",
    "Path",
    "TestsSwitch",
    "Result",
    "Key",
    "WorkingOp",
    "WorkingHalf",
]
