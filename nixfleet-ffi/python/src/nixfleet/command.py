"""One command from its beginning to its end. Time is told by the caller."""

from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

from ._call import Json, check, given_json, value
from ._native import ffi, lib


@dataclass(frozen=True)
class CommandReport:
    """Where a command is after something happened, and what is to be done about it."""

    phase: str
    deadline: Optional[Dict[str, Any]]
    """The next moment (``at``) at which it wants to be called, and why; none when it has ended."""
    ending: Optional[Dict[str, Any]]
    message: Optional[str]
    """How it ended, as a sentence."""
    effects: Tuple[Dict[str, Any], ...]
    """What is to be done, in order."""
    rows: Tuple[str, ...]
    """Ids of the rows of the transition table that were used."""
    raw: Dict[str, Any] = field(repr=False, compare=False)
    """Everything the library said."""


class Command:
    """A command. Moments are milliseconds since 1970.

    >>> import nixfleet
    >>> with nixfleet.Command({
    ...     "command_id": "01939b0a-7c1e-7000-8000-000000000001",
    ...     "request": {"op": "test"},
    ...     "conditions": {"host": {"agent_version": "4.0.0", "capabilities": ["commands"]}},
    ... }, now=0) as command:
    ...     _ = command.handle({"event": "start"}, now=0)
    ...     report = command.handle({"event": "validate", "seq": 1}, now=0)
    ...     report.phase, command.poll_timeout() == report.deadline["at"]
    ('EXECUTING', True)
    """

    _handle = 0

    def __init__(self, facts: Json, now: int) -> None:
        handle = ffi.new("nixfleet_handle *")
        check(lib.nixfleet_command_new(*given_json(facts), now, handle))
        self._handle = handle[0]

    def handle(self, event: Json, now: int) -> CommandReport:
        """Takes in what happened. Deadlines that are due fire first."""
        told = value(lib.nixfleet_command_handle, self._handle, *given_json(event), now)
        return _report(told)

    def handle_timeout(self, now: int) -> CommandReport:
        """Lets time pass: fires every deadline that is due."""
        return _report(value(lib.nixfleet_command_handle_timeout, self._handle, now))

    def poll_timeout(self) -> Optional[int]:
        """The next moment at which it wants to be called; none when it has ended."""
        deadline = ffi.new("nixfleet_deadline *")
        check(lib.nixfleet_command_poll_timeout(self._handle, deadline))
        return deadline.at if deadline.armed else None

    def close(self) -> None:
        """Frees it. A second time does nothing."""
        handle, self._handle = self._handle, 0
        if handle:
            check(lib.nixfleet_command_free(handle))

    def __enter__(self) -> "Command":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _report(raw: Dict[str, Any]) -> CommandReport:
    return CommandReport(
        raw["phase"],
        raw.get("deadline"),
        raw.get("ending"),
        raw.get("message"),
        tuple(raw.get("effects", ())),
        tuple(raw.get("rows", ())),
        raw,
    )
