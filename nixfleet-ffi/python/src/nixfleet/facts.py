"""Facts: what the statuses of a host depend on, in 17 bytes. For whoever assesses often."""

from typing import Any, Dict, Iterable, Iterator, List, Tuple

from ._call import Json, check, given_json
from ._native import ffi, lib
from .assess import STATUSES, Status

FIELDS: Tuple[str, ...] = tuple(name for name, _ in ffi.typeof("nixfleet_facts").fields)
"""The names of the facts; their values are those of :mod:`nixfleet.codes`."""

_Statuses = ffi.typeof("uint8_t[1][5]")
_assess = lib.nixfleet_assess_facts


class Facts:
    """The facts of one host. With every fact 0 the host is green.

    >>> import nixfleet
    >>> from nixfleet.codes import Commit
    >>> facts = nixfleet.Facts(commit=Commit.BEHIND)
    >>> [status.value for status in facts.statuses()]
    ['ok', 'outdated', 'ok', 'outdated', 'outdated']
    >>> facts
    Facts(commit=1)
    """

    __slots__ = ("_facts", "_out")

    def __init__(self, **facts: int) -> None:
        self._facts: Any = ffi.new("nixfleet_facts *", facts)
        self._out: Any = ffi.new(_Statuses)

    @classmethod
    def read(cls, situation: Json) -> "Facts":
        """Compares the values of a situation, the argument of :func:`nixfleet.assess`.

        >>> import nixfleet
        >>> nixfleet.Facts.read({})["agent"] == nixfleet.codes.Agent.NOT_REPORTED
        True
        """
        facts = cls()
        check(lib.nixfleet_facts_read(*given_json(situation), facts._facts))
        return facts

    def statuses(self) -> Tuple[Status, ...]:
        """The five statuses, in the order of :class:`nixfleet.Compartment`."""
        return tuple(STATUSES[code] for code in self.codes())

    def codes(self) -> bytes:
        """The same as five bytes, each the number of a status in ``nixfleet.STATUSES``.

        >>> import nixfleet
        >>> nixfleet.Facts().codes()
        b'\\x01\\x01\\x01\\x01\\x01'
        """
        status = _assess(self._facts, self._out)
        if status:
            check(status)
        return ffi.buffer(self._out)[:]

    def __getitem__(self, fact: str) -> int:
        if fact not in FIELDS:
            raise KeyError(fact)
        return getattr(self._facts, fact)

    def __setitem__(self, fact: str, value: int) -> None:
        if fact not in FIELDS:
            raise KeyError(fact)
        setattr(self._facts, fact, value)

    def as_dict(self) -> Dict[str, int]:
        """Every fact by name."""
        return {name: self[name] for name in FIELDS}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Facts) and self.as_dict() == other.as_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={value}" for name, value in self.as_dict().items() if value)
        return f"Facts({told})"


class FactsArray:
    """The facts of many hosts, assessed in one call that leaves other threads running.

    >>> import nixfleet
    >>> many = nixfleet.FactsArray([nixfleet.Facts(), nixfleet.Facts(lock=1)])
    >>> [codes[2] for codes in many.codes()]
    [1, 2]
    """

    __slots__ = ("_facts", "_out")

    def __init__(self, facts: Iterable[Facts]) -> None:
        each: List[Facts] = list(facts)
        self._facts: Any = ffi.new("nixfleet_facts[]", [one._facts[0] for one in each])
        self._out: Any = ffi.new("uint8_t[][5]", len(each))

    def __len__(self) -> int:
        return len(self._facts)

    def assess(self) -> memoryview:
        """Assesses all; five bytes for each host, overwritten by the next call."""
        check(lib.nixfleet_assess_facts_many(self._facts, len(self._facts), self._out))
        return memoryview(ffi.buffer(self._out))

    def codes(self) -> Iterator[bytes]:
        """Assesses all; the five bytes of one host after the other."""
        told = self.assess()
        return (bytes(told[at : at + 5]) for at in range(0, len(told), 5))
