"""The decisions of NixFleet for Python: why a host is green, yellow, red, blue or gray.

Nothing is decided here. Every function calls the same compiled rules that the server and the agent
use; this package turns their answers into enums and dataclasses, their errors into exceptions.

Threads may call everything at any time. While the library works the interpreter is free for other
threads; calls on the same :class:`LockHasher` or :class:`Command` wait for each other.
"""

from . import codes
from ._native import ffi as _ffi
from ._native import lib as _lib
from .assess import (
    STATUSES,
    Admission,
    Assessment,
    Compartment,
    CompartmentReport,
    CompartmentTrace,
    Refusal,
    Status,
    Trace,
    admit,
    assess,
    assess_many,
    explain,
    message,
    situation_from_files,
    tables,
    tables_markdown,
)
from .command import Command, CommandReport
from .errors import Code, HandleError, InputError, LockError, NixfleetError, RefusedError
from .facts import Facts, FactsArray
from .lock import (
    Lock,
    LockChange,
    LockDiff,
    LockHasher,
    LockInput,
    diff_locks,
    lock_hash,
    lock_hash_file,
    parse_lock,
)
from .rollout import (
    HostStage,
    RolloutEvent,
    RolloutPlan,
    RolloutSimulation,
    RolloutState,
    SimulatedStep,
    SimulatedWait,
    Skipped,
    SkipReason,
    WaitCode,
    Wave,
    plan_rollout,
    simulate_rollout,
)

__version__: str = _ffi.string(_lib.nixfleet_version()).decode()

__all__ = [
    "STATUSES",
    "Admission",
    "Assessment",
    "Code",
    "Command",
    "CommandReport",
    "Compartment",
    "CompartmentReport",
    "CompartmentTrace",
    "Facts",
    "FactsArray",
    "HandleError",
    "HostStage",
    "InputError",
    "Lock",
    "LockChange",
    "LockDiff",
    "LockError",
    "LockHasher",
    "LockInput",
    "NixfleetError",
    "Refusal",
    "RefusedError",
    "RolloutEvent",
    "RolloutPlan",
    "RolloutSimulation",
    "RolloutState",
    "SimulatedStep",
    "SimulatedWait",
    "SkipReason",
    "Skipped",
    "Status",
    "Trace",
    "WaitCode",
    "Wave",
    "admit",
    "assess",
    "assess_many",
    "codes",
    "diff_locks",
    "explain",
    "lock_hash",
    "lock_hash_file",
    "message",
    "parse_lock",
    "plan_rollout",
    "simulate_rollout",
    "situation_from_files",
    "tables",
    "tables_markdown",
]
