# SPDX-License-Identifier: Apache-2.0
"""Memory of a start: collections of garbage, pages that processes share, arenas of malloc."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator

_M_ARENA_MAX = -8
"""The C library's name for its number of arenas (malloc.h)."""

ARENAS = 2
"""Arenas of a process without children, as few as its memory is least with."""

ARENAS_OF_CHILDREN = 3
"""Arenas of each of several processes: with two, the thread that starts a process takes its
memory from free places between the parent's, and each place costs a copy of its page."""


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Collect no garbage while modules are imported, until :func:`share`.

    Beside Cinder a start makes 700,000 objects that stay. To look through them again and again
    takes 0.3 s of a processor, a sixth of the start, and finds less than 1 MiB.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def share(arenas: int) -> None:
    """Keep pages shared between the processes, and limit the arenas of the allocator."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, arenas)
    # A collection in a child process would write to every object from before the fork.
    gc.freeze()
    gc.enable()
    _trim()


def release() -> None:
    """Return memory that the start has freed to the system."""
    gc.collect()
    _trim()


def _trim() -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
