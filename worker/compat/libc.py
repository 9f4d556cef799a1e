# SPDX-License-Identifier: Apache-2.0
"""Calls of the C library that Python does not have: a timer that kills, and the subreaper.

The timer belongs to the process, and the kernel keeps it: it sends SIGKILL also while the
process is stopped, swapped out, or has all signals blocked. It counts the time in which the
machine is suspended. A child of a fork does not inherit it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time

_CLOCK = time.CLOCK_BOOTTIME
_ABSOLUTE = 1  # TIMER_ABSTIME
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_SIGEV_SIGNAL = 0


class _Event(ctypes.Structure):
    """``struct sigevent``: 64 bytes, of which a signal needs the first three fields."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("padding", ctypes.c_char * 48),
    )


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    """``struct itimerspec``."""

    _fields_ = (("interval", _Time), ("value", _Time))


def _library() -> ctypes.CDLL:
    """Return the library with the timers; old ones have them in a library of their own."""
    found = ctypes.CDLL(None, use_errno=True)
    return found if hasattr(found, "timer_create") else ctypes.CDLL("librt.so.1", use_errno=True)


def now() -> float:
    """Return the time by the clock of the timer, in seconds."""
    return time.clock_gettime(_CLOCK)


class KillTimer:
    """A timer of this process; when it expires, the kernel sends SIGKILL to the process."""

    def __init__(self) -> None:
        self._library = _library()
        self._timer = ctypes.c_void_p()
        event = _Event(signal=signal.SIGKILL, notify=_SIGEV_SIGNAL)
        create = self._library.timer_create
        self._check(create(_CLOCK, ctypes.byref(event), ctypes.byref(self._timer)))

    def arm(self, deadline: float) -> None:
        """Set the time of the death; one that has passed kills at once.

        :param deadline: by :func:`now`.
        """
        self._set(max(deadline, 1e-6))

    def disarm(self) -> None:
        """Cancel the death."""
        self._set(0.0)

    def close(self) -> None:
        """Delete the timer."""
        self._check(self._library.timer_delete(self._timer))

    def _set(self, deadline: float) -> None:
        seconds = int(deadline)
        value = _Time(seconds, int((deadline - seconds) * 1e9))
        setting = _Setting(_Time(0, 0), value)
        self._check(
            self._library.timer_settime(self._timer, _ABSOLUTE, ctypes.byref(setting), None)
        )

    @staticmethod
    def _check(result: int) -> None:
        if result:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


def adopt_orphans() -> None:
    """Become the parent of processes whose parent, a descendant of this process, has ended."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_SUBREAPER, 1, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
