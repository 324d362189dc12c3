"""Kernels: the hot loops over bytes and columns. One source each, two builds.

A kernel is an ordinary Python file that Cython compiles as it is ("pure Python mode"). Where no
compiler was found at install time the file runs uncompiled, slowly, with the same results; the tests
run every kernel in both builds and feed the output of one to the other. Kernels import the standard library,
numpy and `cython` only, and know nothing of rusts: bytes and arrays in, bytes and arrays out, no I/O.

How a kernel looks (`NAME.py`, listed in `NAMES` below and in ``ext-modules`` of pyproject.toml)::

    # cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
    # distutils: extra_compile_args = -O3
    \"\"\"What it does.\"\"\"

    from __future__ import annotations

    import numpy as np

    try:
        import cython
    except ImportError:
        from rusts.kernels import standin as cython

    SOURCE_DIGEST = "0000000000000000"

    MASK_64 = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)


    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _fold(values: cython.const[cython.longlong][::1], end: cython.Py_ssize_t) -> cython.ulonglong:
        i: cython.Py_ssize_t
        total: cython.ulonglong = 0
        for i in range(end):
            total = (total + (values[i] & MASK_64)) & MASK_64
        return total


    def fold(values: npt.NDArray[np.int64]) -> int:
        view: cython.const[cython.longlong][::1] = memoryview(values)
        with cython.nogil:
            total = _fold(view, view.shape[0])
        return total

Rules, each with its reason:

* One body for both builds. ``if cython.compiled`` is for a primitive of a few lines that Python cannot say
  (an unaligned load), with its own test; never for an algorithm.
* Uncompiled, a declared C type is only a comment: integers do not wrap. Mask wherever a 64-bit wrap is meant; a
  signed result comes back as ``x - (1 << 64) if x >> 63 else x``, or through a typed array.
* Constants for inner functions are ``cython.declare(type, value)``: plain globals need the GIL, and so do literals
  of more than 31 bits.
* Take views with ``memoryview(array)``: uncompiled it hands out Python's own ints (numpy's scalars overflow, warn
  and are slow) and refuses to store what does not fit, which is how a forgotten mask shows. Compiled it costs
  0.1 us; where that matters, ``array if cython.compiled else memoryview(array)``.
* ``//`` and ``%`` of negative numbers: Python floors in both builds as long as the directive
  ``cdivision`` stays off. Turn it on only for a function whose operands cannot be negative or zero.
* Arrays come as typed memoryviews (``cython.longlong[::1]``, ``cython.const[cython.uchar][::1]`` for what may be
  read-only, such as `bytes`). A view costs 0.3 us: a function called per tiny batch takes few arrays.
  ``np.bool_`` arrays go through ``.view(np.uint8)``.
* boundscheck is off, so every index is in range by construction: check lengths at the door (the `def`), and
  in loops over bytes from outside compare with the end before each read. Raise ValueError at the door.
* Inner functions are ``@cython.cfunc``, ``@cython.nogil``, ``@cython.exceptval(check=False)``: no Python object.
* The `def` functions are the interface: typed for mypy, documented, and safe for any input.
* `SOURCE_DIGEST` is the digest of the file without that line. ``python tools/stamp_kernels.py`` writes it,
  ``--check`` (in `make lint`) verifies it. A compiled kernel remembers the digest it was built with, so `stale`
  can tell when the ``.py`` beside it has changed since.

Tests take both builds, ``importlib.import_module("rusts.kernels.NAME")`` and ``pure("NAME")``, and run
each case with each.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import ModuleType
from typing import Final

__all__ = ["NAMES", "compiled", "pure", "source_digest", "stale", "summary"]

NAMES: Final = ("hashing", "lineproto", "merge", "numtext", "reduce", "smoothing")
"""Every kernel. Tests hold this list, pyproject.toml and the files on disk to each other."""

_DIGEST_LINE: Final = re.compile(rb'^SOURCE_DIGEST = "[0-9a-f]*"\n', re.MULTILINE)


def pure(name: str) -> ModuleType:
    """The kernel `name` from its source, uncompiled, beside whatever ``rusts.kernels.<name>`` is.

    Each call loads it afresh.
    """
    spec = importlib.util.spec_from_file_location(f"rusts.kernels.pure_{name}", _source(name))
    if spec is None or spec.loader is None:
        raise ImportError(f"no source of the kernel {name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def compiled(name: str | None = None) -> bool:
    """Whether the kernel `name`, or every kernel, is the compiled one."""
    if name is None:
        return all(compiled(each) for each in NAMES)
    module = importlib.import_module(f"rusts.kernels.{name}")
    return module.__spec__ is not None and isinstance(module.__spec__.loader, ExtensionFileLoader)


def stale() -> list[str]:
    """The compiled kernels whose source has changed since they were built: rebuild them.

    Works wherever source and extension lie side by side (editable, sdist and wheel installs); without the
    source there is nothing to compare with, and the kernel is taken as it is.
    """
    names = []
    for name in NAMES:
        path = _source(name)
        if compiled(name) and path.exists():
            module = importlib.import_module(f"rusts.kernels.{name}")
            if source_digest(path.read_bytes()) != module.SOURCE_DIGEST:
                names.append(name)
    return names


def summary() -> str:
    """The build in a few words: ``compiled``, ``pure``, or which kernels are pure or stale."""
    old = stale()
    slow = [name for name in NAMES if not compiled(name)]
    if not old and not slow:
        return "compiled"
    if len(slow) == len(NAMES):
        return "pure"
    parts = []
    if slow:
        parts.append("pure: " + ", ".join(slow))
    if old:
        parts.append("stale: " + ", ".join(old))
    return "compiled; " + "; ".join(parts)


def source_digest(source: bytes) -> str:
    """16 hex digits of SHA-256 over a kernel's source, whatever its line ends, without the digest's own line."""
    text = source.replace(b"\r\n", b"\n")
    return hashlib.sha256(_DIGEST_LINE.sub(b"", text)).hexdigest()[:16]


def _source(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.py")
