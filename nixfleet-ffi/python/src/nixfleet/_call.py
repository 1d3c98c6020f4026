"""Calling the library: bytes in, texts out, statuses to exceptions. The only module that knows C."""

import json
from typing import Any, Mapping, Sequence, Union

from ._native import ffi, lib
from .errors import CLASSES, Code, NixfleetError

ABI = 1
"""The major version of the interface that this package was written for."""

if lib.nixfleet_abi_version() >> 16 != ABI:
    raise ImportError(
        f"the library has version {lib.nixfleet_abi_version() >> 16} of the interface, not {ABI}: "
        "install the package again"
    )

Bytes = Union[bytes, bytearray, memoryview]
"""What bytes may be."""
Json = Union[str, bytes, Mapping[str, Any], Sequence[Any]]
"""JSON, as text or as values."""


def check(status: int) -> None:
    """Raises the last error of this thread unless the status is OK."""
    if status:
        raise last_error()


def last_error() -> NixfleetError:
    """The last error of this thread as an exception."""
    error = ffi.new("nixfleet_last_error *")
    lib.nixfleet_last_error_get(error)
    code, place, text = (
        ffi.string(one).decode("utf-8") for one in (error.code, error.place, error.text)
    )
    return CLASSES[Code(error.status)](error.status, code, place, text)


def given(data: Bytes) -> tuple:
    """Pointer and length of bytes, without copying them."""
    if isinstance(data, bytes):
        return data, len(data)
    view = ffi.from_buffer("uint8_t[]", data)
    return view, len(view)


def given_json(value: Json) -> tuple:
    """Pointer and length of JSON. A value that JSON has no word for is a ValueError."""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogatepass")
    elif not isinstance(value, bytes):
        value = json.dumps(value, allow_nan=False).encode("ascii")
    return value, len(value)


def nothing() -> tuple:
    """Pointer and length of what is not given."""
    return ffi.NULL, 0


def text(function: Any, *arguments: Any) -> str:
    """Calls a function that makes a text, and takes the text over."""
    out = ffi.new("nixfleet_handle *")
    check(function(*arguments, out))
    try:
        data, length = ffi.new("char **"), ffi.new("size_t *")
        check(lib.nixfleet_text_view(out[0], data, length))
        return ffi.buffer(data[0], length[0])[:].decode("utf-8")
    finally:
        lib.nixfleet_text_free(out[0])


def value(function: Any, *arguments: Any) -> Any:
    """The same for a text that is JSON."""
    return json.loads(text(function, *arguments))
