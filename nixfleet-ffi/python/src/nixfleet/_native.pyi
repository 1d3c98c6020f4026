# The module is made by cffi when the package is built.
from typing import Any

lib: Any
ffi: Any
