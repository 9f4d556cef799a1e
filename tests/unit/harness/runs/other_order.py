# SPDX-License-Identifier: Apache-2.0
"""Plugin of pytest for a collection on which order and time of this machine have no influence.

Directories are listed backwards, random numbers are others, and the clock is a day ahead. It is
loaded before the modules of tests, and only in a process that collects and runs nothing.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from typing import Any

_DAY = 86400.0

_listdir, _scandir, _time, _time_ns = os.listdir, os.scandir, time.time, time.time_ns


def _listed(path: Any = ".") -> list[Any]:
    return sorted(_listdir(path), reverse=True)


class _Entries:
    """The entries of a directory; a context manager, as those of ``os.scandir`` are."""

    def __init__(self, path: Any) -> None:
        with _scandir(path) as found:
            self._left = sorted(found, key=lambda one: one.name)

    def __iter__(self) -> Iterator[os.DirEntry[Any]]:
        return self

    def __next__(self) -> os.DirEntry[Any]:
        if not self._left:
            raise StopIteration
        return self._left.pop()

    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the listing."""
        self._left.clear()


def pytest_load_initial_conftests() -> None:
    """Change the order of directories, the random numbers and the clock.

    pytest calls this only of plugins that its command line names, and before any module of tests.
    """
    os.listdir = _listed  # type: ignore[assignment]
    os.scandir = lambda path=".": _Entries(path)  # type: ignore[assignment,misc]
    time.time = lambda: _time() + _DAY
    time.time_ns = lambda: _time_ns() + int(_DAY) * 10**9
    random.seed(86400)
