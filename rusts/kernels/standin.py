"""The few names of `cython` that kernels use, for a machine where Cython is not installed at run time.

Everything does nothing: the kernels then are the Python that they look like. Types in annotations are
never evaluated (the kernels import annotations from the future); those given to `cast` and `declare` are here.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, TypeVar

__all__ = [
    "Py_ssize_t",
    "bint",
    "boundscheck",
    "cast",
    "cclass",
    "cdivision",
    "cfunc",
    "compiled",
    "const",
    "declare",
    "double",
    "exceptval",
    "final",
    "gil",
    "inline",
    "int",
    "longlong",
    "nogil",
    "uchar",
    "uint",
    "ulonglong",
]

T = TypeVar("T")

compiled: Final = False


def _same(thing: T) -> T:
    return thing


class _Type:
    """A C type; subscribed, a view or a const of it."""

    def __init__(self, convert: Callable[[Any], Any]) -> None:
        self._convert = convert

    def __call__(self, value: Any) -> Any:
        return self._convert(value)

    def __getitem__(self, _shape: object) -> _Type:
        return self


bint = _Type(bool)
double = _Type(float)
int = uchar = uint = longlong = ulonglong = Py_ssize_t = _Type(int)
const = _Type(_same)


def cast(type: Callable[[Any], Any], value: Any) -> Any:
    """`value` as a `type`; integers are not cut to their width."""
    return type(value)


def declare(_type: object, value: T) -> T:
    """`value`: the name it is given is a C variable when compiled."""
    return value


def _directive(_value: object = True, *, check: bool = True) -> Callable[[T], T]:
    return _same


class _Lock:
    """`nogil` and `gil`: a decorator and a context manager, neither doing a thing."""

    def __call__(self, thing: T) -> T:
        return thing

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


cclass = cfunc = final = inline = _same
boundscheck = cdivision = exceptval = _directive
nogil = gil = _Lock()
