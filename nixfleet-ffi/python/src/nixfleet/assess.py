"""Assessments: the five colours of a host, and why."""

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple, Union

from ._call import Bytes, Json, given, given_json, nothing, text, value
from ._native import lib
from .errors import CLASSES, Code, NixfleetError


class Compartment(str, Enum):
    """One of the five questions about a host, in the order in which they are shown."""

    AGENT = "agent"
    """Is the agent the version that is expected?"""
    GIT = "git"
    """Is the config checkout at the desired commit?"""
    LOCK = "lock"
    """Is ``flake.lock`` the desired one, byte for byte?"""
    SYSTEM = "system"
    """Is the running system the desired one?"""
    TESTS = "tests"
    """Does the deployed system work?"""


class Status(str, Enum):
    """The answer of one compartment."""

    UNKNOWN = "unknown"
    """Gray: the host has not told us yet."""
    OK = "ok"
    """Green: current against the remote, and proven so."""
    OUTDATED = "outdated"
    """Yellow: act, or it cannot be verified."""
    ERROR = "error"
    """Red: a real problem; also: the remote cannot be read."""
    WORKING = "working"
    """Blue: a command is at work."""


STATUSES = tuple(Status)
"""The statuses by their number in ``nixfleet_dot``."""


@dataclass(frozen=True)
class CompartmentReport:
    """The answer of one compartment and why."""

    status: Status
    reason: str
    """Why, as a stable code."""
    message: str
    """The same as a sentence."""
    details: Tuple[str, ...]
    """Everything its tooltip tells, one entry a line."""


@dataclass(frozen=True)
class Assessment:
    """The assessment of one host."""

    compartments: Dict[Compartment, CompartmentReport]
    attentions: Tuple[Dict[str, Any], ...]
    """What is to be told beside them, each with a ``code`` and parameters."""
    current: bool
    """Whether all five are ok and nothing casts doubt on them."""
    green: bool
    """Whether the host counts as plain green: current, and no update waits to be merged."""
    raw: Dict[str, Any] = field(repr=False, compare=False)
    """Everything the library said."""

    @property
    def statuses(self) -> Tuple[Status, ...]:
        """The five statuses, in the order of :class:`Compartment`."""
        return tuple(self.compartments[one].status for one in Compartment)

    def __getitem__(self, compartment: Union[Compartment, str]) -> CompartmentReport:
        return self.compartments[Compartment(compartment)]


def assess(situation: Json) -> Assessment:
    """Assesses one host: what it says, what is desired of it, and what is remembered of it.

    >>> import nixfleet
    >>> told = nixfleet.assess({
    ...     "host": {"agent_version": "4.0.0"},
    ...     "desired": {"agent_version": "4.0.0", "failed": {"cause": "timed-out"}},
    ... })
    >>> [status.value for status in told.statuses]
    ['ok', 'error', 'error', 'outdated', 'outdated']
    >>> told["agent"].message
    'agent 4.0.0, as expected'
    """
    return _assessment(value(lib.nixfleet_assess, *given_json(situation)))


def assess_many(situations: Iterable[Mapping[str, Any]]) -> List[Union[Assessment, NixfleetError]]:
    """Assesses many hosts, given as values, in one call. A situation that cannot be read spoils no
    other: its place in the answer holds the exception that :func:`assess` would raise.

    >>> import nixfleet
    >>> good, bad = nixfleet.assess_many([{}, {"host": {"repo": {"commit": "main"}}}])
    >>> good.statuses[0].value, bad.code
    ('unknown', 'field')
    """
    told = value(lib.nixfleet_assess_many, *given_json(list(situations)))
    return [_one_of_many(one) for one in told]


def _one_of_many(raw: Dict[str, Any]) -> Union[Assessment, NixfleetError]:
    failed = raw.get("error")
    if failed is None:
        return _assessment(raw)
    status = Code(failed["status"])
    return CLASSES[status](status, failed["code"], failed["place"], failed["text"])


def _assessment(raw: Dict[str, Any]) -> Assessment:
    reports = {
        Compartment(name): CompartmentReport(
            Status(one["status"]), one["reason"], one["message"], tuple(one["details"])
        )
        for name, one in raw["compartments"].items()
    }
    return Assessment(reports, tuple(raw["attentions"]), raw["current"], raw["green"], raw)


@dataclass(frozen=True)
class CompartmentTrace:
    """Why one colour is what it is."""

    rule: str
    """The row of the decision table that decided."""
    status: Status
    """Its status, before the active command is laid over it."""
    reason: str
    looked_at: Tuple[Tuple[str, str], ...]
    """The facts that were looked at, each with its value."""
    green_when: Tuple[Dict[str, Any], ...]
    """Everything that has to change for green, in order."""


@dataclass(frozen=True)
class Trace:
    """Why the five colours of a host are what they are."""

    compartments: Dict[Compartment, CompartmentTrace]
    raw: Dict[str, Any] = field(repr=False, compare=False)
    """Everything the library said."""

    def __getitem__(self, compartment: Union[Compartment, str]) -> CompartmentTrace:
        return self.compartments[Compartment(compartment)]


def explain(situation: Json) -> Trace:
    """Explains the five colours of a host.

    >>> import nixfleet
    >>> trace = nixfleet.explain({})
    >>> trace["agent"].rule, trace["agent"].looked_at
    ('agent-not-reported', (('agent version', 'not-reported'),))
    """
    raw = value(lib.nixfleet_explain, *given_json(situation))
    traces = {
        Compartment(one["compartment"]): CompartmentTrace(
            one["rule"],
            Status(one["status"]),
            one["reason"],
            tuple((fact["fact"], fact["value"]) for fact in one["looked_at"]),
            tuple(one["green_when"]),
        )
        for one in raw["compartments"]
    }
    return Trace(traces, raw)


def situation_from_files(
    flake_lock: Bytes,
    version_json: Bytes,
    *,
    checkout: Optional[str] = None,
    observation: Optional[Json] = None,
    agent_version: Optional[str] = None,
) -> Dict[str, Any]:
    """A situation made of files. What no file tells is not known.

    ``checkout`` is the commit checked out, as printed by
    ``git describe --always --abbrev=40 --exclude='*' --dirty``. ``observation`` is a situation with
    what else is known, of which at least ``host`` must be there. ``agent_version`` is the version
    that is expected; without it, that of the library.

    >>> import json, nixfleet
    >>> lock = b'{"version": 7, "root": "root", "nodes": {"root": {}}}'
    >>> page = {"gitCommit": "c" * 40, "lockHash": nixfleet.lock_hash(lock)}
    >>> situation = nixfleet.situation_from_files(
    ...     lock, json.dumps(page).encode(), checkout="c" * 40
    ... )
    >>> [status.value for status in nixfleet.assess(situation).statuses]
    ['unknown', 'ok', 'ok', 'unknown', 'unknown']
    """
    return value(
        lib.nixfleet_situation,
        *given(flake_lock),
        *given(version_json),
        *(nothing() if checkout is None else given_json(checkout)),
        *(nothing() if observation is None else given_json(observation)),
        *(nothing() if agent_version is None else given_json(agent_version)),
    )


@dataclass(frozen=True)
class Refusal:
    """One rule that says no."""

    code: str
    sentence: str
    help: str
    """What would make it a yes."""
    bypassed_by_force: bool


@dataclass(frozen=True)
class Admission:
    """Whether an operation may run on a host now."""

    admitted: bool
    may_wait: bool
    """Whether it may wait in the queue until it can."""
    refusals: Tuple[Refusal, ...]
    raw: Dict[str, Any] = field(repr=False, compare=False)
    """Everything the library said."""

    def __bool__(self) -> bool:
        return self.admitted


def admit(request: Json, conditions: Json) -> Admission:
    """Tells whether an operation may run on a host now, and if not, everything that says no.

    >>> import nixfleet
    >>> told = nixfleet.admit({"op": "test"}, {"presence": "never-seen"})
    >>> told.admitted, told.refusals[0].code
    (False, 'never-seen')
    """
    raw = value(lib.nixfleet_admit, *given_json(request), *given_json(conditions))
    refusals = tuple(
        Refusal(one["code"], one["sentence"], one["help"], one["bypassed_by_force"])
        for one in raw["refusals"]
    )
    return Admission(raw["admitted"], raw["may_wait"], refusals, raw)


def message(said: Mapping[str, Any]) -> str:
    """The short sentence of a reason or an attention: an object with a code and its parameters.

    >>> import nixfleet
    >>> nixfleet.message({"code": "update-pending", "pr": 7})
    'Update PR pending: merge PR #7 to update'
    """
    return text(lib.nixfleet_message, *given_json(said))


def tables() -> Dict[str, Any]:
    """Every table of the rules.

    >>> import nixfleet
    >>> [one["status"] for one in nixfleet.tables()["statuses"]]  # doctest: +ELLIPSIS
    [...'ok'...]
    """
    return json.loads(text(lib.nixfleet_tables))


def tables_markdown() -> str:
    """The same for people, as Markdown.

    >>> import nixfleet
    >>> nixfleet.tables_markdown().splitlines()[0]
    '# The tables of NixFleet'
    """
    return text(lib.nixfleet_tables_markdown)
