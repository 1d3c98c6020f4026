"""Rollouts: who would take part in which order, and everything that would happen."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Dict, Optional, Tuple

from ._call import Json, given_json, value
from ._native import lib


class RolloutState(str, Enum):
    """Where a rollout is. The last six are its ends."""

    RUNNING = "running"
    """It starts what may start."""
    PAUSED = "paused"
    """A person paused it."""
    AWAITING_APPROVAL = "awaiting-approval"
    """The next wave waits for a person."""
    ROLLING_BACK = "rolling-back"
    """Hosts go back to what they ran before."""
    COMPLETE = "complete"
    """Every host succeeded."""
    PARTIAL = "partial"
    """Some hosts succeeded, and some did not."""
    FAILED = "failed"
    """It stopped because of failures, or no host succeeded."""
    HALTED = "halted"
    """A canary or a rollback failed."""
    CANCELLED = "cancelled"
    """A person ended it, or nobody went on with it."""
    SUPERSEDED = "superseded"
    """A rollout of another target took its place."""


class HostStage(str, Enum):
    """Where a host is in a rollout. The last four are its disposition."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    """It was left out, from the beginning or on the way."""
    CANCELLED = "cancelled"
    """The rollout ended before its turn."""


class WaitCode(str, Enum):
    """Why a host waits."""

    PREVIOUS_WAVE = "previous-wave"
    PREVIOUS_STAGE = "previous-stage"
    SOAKING = "soaking"
    OUTSIDE_WINDOW = "outside-window"
    HELD = "held"
    OFFLINE = "offline"
    BUSY = "busy"
    BUDGET_FULL = "budget-full"
    PAUSED = "paused"
    AWAITING_APPROVAL = "awaiting-approval"
    QUARANTINED = "quarantined"
    DESIRED_NOT_VISIBLE = "desired-not-visible"
    REMOTE_UNREADABLE = "remote-unreadable"
    CHECKOUT_NOT_READY = "checkout-not-ready"
    OTHER_ROLLOUT = "other-rollout"
    STOPPING = "stopping"
    SYSTEM_NOT_SEEN = "system-not-seen"


class SkipReason(str, Enum):
    """Why a host that was asked for does not take part."""

    HELD = "held"
    OFFLINE = "offline"
    NEVER_SEEN = "never-seen"
    AUTO_UPDATE_OFF = "auto-update-off"
    REMOVED = "removed"


class RolloutEvent(str, Enum):
    """What happens in a simulation."""

    STARTS = "starts"
    """A command starts on a host."""
    ENDS = "ends"
    """A command ends on a host."""
    HELD = "held"
    """A host is held."""
    QUARANTINED = "quarantined"
    """The target is quarantined."""
    ENTERS = "enters"
    """The rollout enters a state."""


@dataclass(frozen=True)
class Wave:
    """Hosts that go together."""

    hosts: Tuple[str, ...]
    canary: bool


@dataclass(frozen=True)
class Skipped:
    """A host that was asked for and does not take part."""

    host: str
    reason: SkipReason
    subject: Optional[str]
    """What it is about: who holds it and why, since when it is away."""


@dataclass(frozen=True)
class RolloutPlan:
    """Who takes part, in which order."""

    id: str
    """The SHA-256 of all the rest: the same question has the same plan."""
    target: Optional[Dict[str, Any]]
    """The ``commit`` and ``lock`` that every host gets; none if the rollout itself makes them."""
    ops: Tuple[str, ...]
    """What is done on each host."""
    waves: Tuple[Wave, ...]
    skipped: Tuple[Skipped, ...]
    raw: Dict[str, Any] = field(repr=False, compare=False)
    """Everything the library said."""


@dataclass(frozen=True)
class SimulatedStep:
    """One event. What it is not about is none."""

    at: int
    """When, in milliseconds since 1970."""
    event: RolloutEvent
    host: Optional[str] = None
    op: Optional[str] = None
    good: Optional[bool] = None
    """Whether a command that ends has reached its goal."""
    state: Optional[RolloutState] = None
    """The state that is entered."""


@dataclass(frozen=True)
class SimulatedWait:
    """A time in which one host waits for one reason. Moments are milliseconds since 1970."""

    host: str
    since: int
    to: int
    code: WaitCode
    subject: Optional[str]
    """What it is about."""
    until: Optional[int]
    """Until when, or since when it is away, as it was known at the beginning."""


@dataclass(frozen=True)
class RolloutSimulation:
    """Everything that a rollout would do."""

    plan: RolloutPlan
    steps: Tuple[SimulatedStep, ...]
    waits: Tuple[SimulatedWait, ...]
    state: RolloutState
    """Where it ends."""
    hosts: Dict[str, HostStage]
    """Where every host ends, those that were left out included."""
    complete: bool
    """Whether it ended, or had to be broken off."""
    raw: Dict[str, Any] = field(repr=False, compare=False)
    """Everything the library said."""


def plan_rollout(facts: Json) -> RolloutPlan:
    """Tells who would take part in a rollout, in which order. Nothing is started.

    ``facts`` has the ``hosts``, what is ``desired`` and, in ``ask``, what is asked for. If nothing can
    be planned, that is a :class:`nixfleet.RefusedError` whose ``code`` says why.

    >>> import nixfleet
    >>> facts = {
    ...     "hosts": [{"host": "web-1", "settings": {"canary": True}}, {"host": "web-2"}],
    ...     "desired": {"commit": "c" * 40, "lock": "d" * 64},
    ... }
    >>> [(wave.hosts, wave.canary) for wave in nixfleet.plan_rollout(facts).waves]
    [(('web-1',), True), (('web-2',), False)]
    >>> nixfleet.plan_rollout({**facts, "ask": {"hosts": {"list": ["web-9"]}}})
    Traceback (most recent call last):
        ...
    nixfleet.errors.RefusedError: there is no host web-9
    """
    return _plan(value(lib.nixfleet_rollout_plan, *given_json(facts)))


def simulate_rollout(facts: Json) -> RolloutSimulation:
    """Tells everything that a rollout would do, if nothing else happens and commands end as assumed.

    ``facts`` as for :func:`plan_rollout`; beside it ``windows`` and their ``zones``, ``assumptions``
    about commands, what inputs are ``updated`` to, and the moment of the ``start``.

    >>> import nixfleet
    >>> told = nixfleet.simulate_rollout({
    ...     "ask": {"policy": {"max_in_flight": {"count": 1}, "stages": ["pull", "switch"]}},
    ...     "hosts": [{"host": "a"}, {"host": "b"}],
    ...     "desired": {"commit": "c" * 40, "lock": "d" * 64},
    ...     "assumptions": {"hosts": [{"host": "a", "op": "switch", "fails": True}]},
    ... })
    >>> told.state.value, {host: stage.value for host, stage in told.hosts.items()}
    ('failed', {'a': 'failed', 'b': 'cancelled'})
    >>> [(wait.host, wait.code.value) for wait in told.waits]
    [('b', 'budget-full')]
    """
    raw = value(lib.nixfleet_rollout_simulate, *given_json(facts))
    end = raw["end"]
    return RolloutSimulation(
        _plan(raw["plan"]),
        tuple(_step(one["at"], one["event"]) for one in raw["steps"]),
        tuple(_wait(one, one["wait"]) for one in raw["waits"]),
        RolloutState(end["state"]),
        {one["host"]: HostStage(one["state"]) for one in end["hosts"]},
        raw["complete"],
        raw,
    )


def _plan(raw: Dict[str, Any]) -> RolloutPlan:
    return RolloutPlan(
        raw["id"],
        raw.get("target"),
        tuple(raw["ops"]),
        tuple(Wave(tuple(one["hosts"]), one["canary"]) for one in raw["waves"]),
        tuple(
            Skipped(one["host"], SkipReason(one["reason"]), one.get("subject"))
            for one in raw["skipped"]
        ),
        raw,
    )


def _step(at: int, event: Any) -> SimulatedStep:
    if isinstance(event, str):
        return SimulatedStep(at, RolloutEvent(event))
    ((name, about),) = event.items()
    if name == RolloutEvent.ENTERS.value:
        return SimulatedStep(at, RolloutEvent.ENTERS, state=RolloutState(about))
    return SimulatedStep(
        at, RolloutEvent(name), about["host"], about.get("op"), about.get("good")
    )


def _wait(span: Dict[str, Any], wait: Dict[str, Any]) -> SimulatedWait:
    return SimulatedWait(
        span["host"],
        span["from"],
        span["to"],
        WaitCode(wait["code"]),
        wait.get("subject"),
        wait.get("until"),
    )
