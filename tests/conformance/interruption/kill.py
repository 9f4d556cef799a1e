# SPDX-License-Identifier: Apache-2.0
"""Run a call in a process of its own and kill it at a point within the call."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import struct
import sys
from collections.abc import Callable
from typing import Any

from .points import Watch

_LONGEST = 120
"""Seconds after which a call counts as hanging."""

_COUNT = struct.Struct(">i")

_ROOM = 2048
"""Bytes that a file may have in a process without room."""


def without_room(prepare: Callable[[], Callable[[], Any]]) -> None:
    """Make a call in a process that cannot write long files: its programs die in the middle.

    :param prepare: runs first in the process and returns the call.
    """

    def prepared() -> Callable[[], Any]:
        call = prepare()
        resource.setrlimit(resource.RLIMIT_FSIZE, (_ROOM, resource.RLIM_INFINITY))
        return call

    killed(prepared, (), -1)


def killed(
    prepare: Callable[[], Callable[[], Any]], places: tuple[str, ...], at: int
) -> int | None:
    """Return None where the process was killed at that point, else how many the call has.

    :param prepare: runs first in the process and returns the call; an exception ends both.
    :param at: -1 kills it nowhere.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _in_child(prepare, places, at, writing)
    os.close(writing)
    try:
        is_ready = bool(select.select([reading], [], [], _LONGEST)[0])
        answer = os.read(reading, _COUNT.size) if is_ready else b""
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert is_ready, f"the call had no end within {_LONGEST} s"
    return _COUNT.unpack(answer)[0] if answer else None


def _in_child(
    prepare: Callable[[], Callable[[], Any]], places: tuple[str, ...], at: int, writing: int
) -> None:
    count = 0
    try:
        # Programs that the driver has started die with it, as those of a unit.
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        call = prepare()
        watch = Watch(places, at, _die)
        with watch, contextlib.suppress(Exception):
            call()
        count = watch.count
    finally:
        os.write(writing, _COUNT.pack(count))
        os._exit(0)


def _die() -> None:
    os.killpg(0, signal.SIGKILL)
