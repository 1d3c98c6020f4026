"""What can go wrong. Every exception has a stable ``code`` beside its sentence."""

from enum import IntEnum


class Code(IntEnum):
    """How a call of the library ended: ``nixfleet_status`` of ``nixfleet.h``."""

    OK = 0
    NULL_POINTER = 1
    NOT_UTF8 = 2
    TOO_LARGE = 3
    MALFORMED = 4
    INVALID = 5
    NOT_A_LOCK = 6
    BAD_HANDLE = 7
    REFUSED = 8
    TOO_MANY_HANDLES = 9
    INTERNAL = 10


class NixfleetError(Exception):
    """The library refused. Its text is a sentence for people.

    >>> import nixfleet
    >>> try:
    ...     nixfleet.parse_lock(b'{"version": 4}')
    ... except nixfleet.NixfleetError as error:
    ...     print(error.status.name, error.code, error.place, "-", error)
    NOT_A_LOCK field version - version: expected 5, 6 or 7, found 4
    """

    status: Code
    """The kind of error."""
    code: str
    """What is wrong in one stable word, for example ``dangling-node``."""
    place: str
    """The field or input it is about; empty if there is none."""

    def __init__(self, status: int, code: str, place: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.place = Code(status), code, place

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return (type(self), (int(self.status), self.code, self.place, str(self)))


class InputError(NixfleetError, ValueError):
    """What was passed in cannot be read."""


class LockError(InputError):
    """Bytes are not a ``flake.lock``."""


class RefusedError(NixfleetError):
    """A rule says no; ``code`` is the rule."""


class HandleError(NixfleetError):
    """The object was closed, or there are too many."""


CLASSES = {
    Code.NULL_POINTER: InputError,
    Code.NOT_UTF8: InputError,
    Code.TOO_LARGE: InputError,
    Code.MALFORMED: InputError,
    Code.INVALID: InputError,
    Code.NOT_A_LOCK: LockError,
    Code.BAD_HANDLE: HandleError,
    Code.REFUSED: RefusedError,
    Code.TOO_MANY_HANDLES: HandleError,
    Code.INTERNAL: NixfleetError,
}
