# SPDX-License-Identifier: Apache-2.0
"""Points within a driver's call at which it can be killed or suspended.

A point is the first execution of a line of the driver's own code, or the first line of any
code after a change to the system: a file opened for writing, renamed or removed, a program
started. The points of a call are the same at each repetition, so no clock is involved.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import drivers.interface

_INTERFACE = str(Path(drivers.interface.__file__).parent)
_HERE = str(Path(__file__).parents[1])

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGES = {
    *("os.rename", "os.remove", "os.link", "os.symlink", "os.mkdir", "os.rmdir", "os.truncate"),
    *("subprocess.Popen", "os.posix_spawn", "socket.connect", "sqlite3.connect"),
}

_current = threading.local()


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    watch = getattr(_current, "watch", None)
    if watch is None:
        return
    if event in _CHANGES or (event == "open" and (arguments[2] or 0) & _WRITES):
        watch.has_changed = True


sys.addaudithook(_audit)


def sources(kind: type) -> tuple[str, ...]:
    """Return where the code of a driver lies: its files, or their packages."""
    return tuple(sorted(set(_sources(kind))))


def _sources(kind: type) -> Iterator[str]:
    for one in kind.__mro__:
        module = sys.modules.get(one.__module__)
        file = getattr(module, "__file__", None)
        if file is None or file.startswith((_INTERFACE, os.path.dirname(os.__file__))):
            continue
        top = sys.modules.get(one.__module__.partition(".")[0])
        package = getattr(top, "__path__", None)
        is_whole = package and not file.startswith(_HERE)
        yield next(iter(package)) if package and is_whole else file


class Watch:
    """Count the points of the calls of this thread, and act at one of them.

    :param places: see :func:`sources`.
    :param at: the number of the point, from 0; -1 for none.
    :param act: called at that point, on this thread.
    """

    def __init__(self, places: tuple[str, ...], at: int, act: Callable[[], None]) -> None:
        self.count = 0
        self.has_changed = False
        self._places = places
        self._at = at
        self._act = act
        self._seen: set[tuple[str, int]] = set()

    def __enter__(self) -> Watch:
        _current.watch = self
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        sys.settrace(self._before)
        _current.watch = None

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if event in ("line", "return"):
            self._passed(frame, event)
        return self._trace

    def _passed(self, frame: FrameType, event: str) -> None:
        code = frame.f_code.co_filename
        is_new = False
        if event == "line" and code.startswith(self._places) and not code.startswith(_INTERFACE):
            place = (code, frame.f_lineno)
            is_new = place not in self._seen
            self._seen.add(place)
        if not (is_new or self.has_changed):
            return
        self.has_changed = False
        self.count += 1
        if self.count - 1 == self._at:
            self._act()


def spread(count: int, most: int) -> list[int]:
    """Return at most so many of the points 0 to ``count``, the first and the last among them."""
    if count <= most:
        return list(range(count))
    if most <= 1:
        return [count // 2]
    return sorted({round(number * (count - 1) / (most - 1)) for number in range(most)})
