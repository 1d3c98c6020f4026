"""``flake.lock``: its hash decides a colour, its contents explain it."""

import os
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple, Union

from ._call import Bytes, check, given, value
from ._native import ffi, lib

PIECE = 1 << 16
"""How much of a file is read at a time."""

_Hash = ffi.typeof("uint8_t(*)[32]")
_new, _bytes, _hash = ffi.new, ffi.buffer, lib.nixfleet_lock_hash


def lock_hash(data: Bytes) -> str:
    """SHA-256 of a whole ``flake.lock``, byte for byte, as 64 hex digits.

    >>> import nixfleet
    >>> nixfleet.lock_hash(b"abc")
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    """
    out = _new(_Hash)
    pointer, length = given(data)
    status = _hash(pointer, length, out)
    if status:
        check(status)
    return _bytes(out)[:].hex()


def lock_hash_file(path: Union[str, "os.PathLike[str]"]) -> str:
    """The same of a file, read piece by piece.

    >>> import nixfleet, tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "flake.lock")
    ...     _ = path.write_bytes(b"abc")
    ...     nixfleet.lock_hash_file(path) == nixfleet.lock_hash(b"abc")
    True
    """
    with open(path, "rb") as file, LockHasher() as hasher:
        while piece := file.read(PIECE):
            hasher.update(piece)
        return hasher.hexdigest()


class LockHasher:
    """The same hash, fed piece by piece, with the methods of :mod:`hashlib`.

    >>> import nixfleet
    >>> with nixfleet.LockHasher() as hasher:
    ...     hasher.update(b"a")
    ...     hasher.update(b"bc")
    ...     hasher.hexdigest() == nixfleet.lock_hash(b"abc")
    True
    """

    _handle = 0

    def __init__(self) -> None:
        handle = ffi.new("nixfleet_handle *")
        check(lib.nixfleet_hasher_new(handle))
        self._handle = handle[0]

    def update(self, data: Bytes) -> None:
        """Takes in more bytes."""
        check(lib.nixfleet_hasher_update(self._handle, *given(data)))

    def digest(self) -> bytes:
        """The hash of everything taken in so far."""
        out = ffi.new(_Hash)
        check(lib.nixfleet_hasher_digest(self._handle, out))
        return ffi.buffer(out)[:]

    def hexdigest(self) -> str:
        """The same as 64 hex digits."""
        return self.digest().hex()

    def close(self) -> None:
        """Frees it. A second time does nothing."""
        handle, self._handle = self._handle, 0
        if handle:
            check(lib.nixfleet_hasher_free(handle))

    def __enter__(self) -> "LockHasher":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


@dataclass(frozen=True)
class LockInput:
    """One input of the flake itself."""

    name: str
    node: str
    """The key of the node it leads to."""
    flake: bool
    source: Optional[str] = None
    """Where it comes from, like a flake reference without revision."""
    rev: Optional[str] = None
    nar_hash: Optional[str] = None
    last_modified: Optional[int] = None
    """In seconds since 1970."""
    follows: Optional[Tuple[str, ...]] = None
    """The input it follows, as a path from the root."""


@dataclass(frozen=True)
class Lock:
    """A ``flake.lock`` that was read."""

    lock_hash: str
    version: int
    nodes: int
    """How many nodes it has, the root included."""
    inputs: Tuple[LockInput, ...]
    raw: Dict[str, Any] = field(repr=False, compare=False)
    """Everything the library said."""


@dataclass(frozen=True)
class LockChange:
    """How one input differs."""

    path: Tuple[str, ...]
    """The names from the root to the input."""
    kind: str
    """``changed``, ``added``, ``removed``, ``re_pointed`` or ``follows_changed``."""
    text: str
    """The same as a line for people."""
    old: Optional[Dict[str, Any]] = None
    new: Optional[Dict[str, Any]] = None


@dataclass(frozen=True)
class LockDiff:
    """What differs between two locks."""

    result: str
    """``same-bytes``, ``same-inputs`` or ``differ``."""
    revisions_only: bool
    """Whether it is an ordinary update: every difference is another revision of the same source."""
    changes: Tuple[LockChange, ...]
    truncated: bool
    """Whether there was more to compare than is listed."""
    raw: Dict[str, Any] = field(repr=False, compare=False)
    """Everything the library said."""

    def __bool__(self) -> bool:
        return self.result == "differ"


def parse_lock(data: Bytes) -> Lock:
    """Reads a ``flake.lock``.

    >>> import nixfleet
    >>> lock = nixfleet.parse_lock(b'{"version": 7, "root": "root", "nodes": {"root": {}}}')
    >>> lock.version, lock.nodes, lock.inputs
    (7, 1, ())
    """
    raw = value(lib.nixfleet_lock_read, *given(data))
    inputs = tuple(_input(one) for one in raw["inputs"])
    return Lock(raw["lock_hash"], raw["version"], raw["nodes"], inputs, raw)


def _input(raw: Dict[str, Any]) -> LockInput:
    follows = raw.get("follows")
    return LockInput(
        raw["name"],
        raw["node"],
        raw["flake"],
        raw.get("source"),
        raw.get("rev"),
        raw.get("nar_hash"),
        raw.get("last_modified"),
        None if follows is None else tuple(follows),
    )


def diff_locks(old: Bytes, new: Bytes) -> LockDiff:
    """Compares two locks as bytes, then as inputs.

    >>> import nixfleet
    >>> diff = nixfleet.diff_locks(
    ...     b'{"version": 7, "root": "root", "nodes": {"root": {}}}',
    ...     b'{"version":7,"root":"root","nodes":{"root":{}}}',
    ... )
    >>> diff.result, diff.revisions_only, bool(diff)
    ('same-inputs', True, False)
    """
    raw = value(lib.nixfleet_lock_diff, *given(old), *given(new))
    changes: List[LockChange] = [
        LockChange(tuple(one["path"]), one["kind"], one["text"], one.get("old"), one.get("new"))
        for one in raw["changes"]
    ]
    truncated = raw.get("truncated", False)
    return LockDiff(raw["result"], raw["revisions_only"], tuple(changes), truncated, raw)
