# SPDX-License-Identifier: Apache-2.0
"""Keep a host from writing, or cleaning up, for an operation that another host has adopted.

A host may be frozen at any point, also between the read of data and its write, while the leases of
its operations end. When it wakes, its other threads need a moment to notice that.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from drivers.backup.transfer.limits import TransferEnded
from drivers.interface.pace import Pace

FRESH = 2.0
"""Seconds for which the last call of ``progress`` lets threads write; a lock lives longer."""

_POLL_INTERVAL = 0.2


class WritePermit:
    """Let threads write only shortly after the operation was known to be this host's.

    The time of the last check is compared by a clock that also counts while the host sleeps.

    :param stop: set when the transfer ends.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._changed = threading.Condition()
        self._given: float | None = None
        self._is_last = False

    @property
    def is_fresh(self) -> bool:
        """Whether threads may write."""
        return self._given is not None and _now() - self._given < FRESH

    def give(self) -> None:
        """Note that the operation is this host's."""
        with self._changed:
            self._given = _now()
            self._changed.notify_all()

    def give_no_more(self) -> None:
        """End all threads that would have to wait."""
        with self._changed:
            self._is_last = True
            self._changed.notify_all()

    def require(self) -> None:
        """Return when a thread may write. :raises TransferEnded: it must not any more."""
        with self._changed:
            while not self._stop.is_set() and not self.is_fresh and not self._is_last:
                self._changed.wait(_POLL_INTERVAL)
            if self._stop.is_set() or not self.is_fresh:
                raise TransferEnded


@contextmanager
def required_after_errors(pace: Pace) -> Iterator[Pace]:
    """Let an error out only if the operation is still this host's.

    The requests of a host that was shut out fail, as do its checkpoints. Such an error is none of
    the operation, which another host runs: it must neither be cleaned up nor end as failed.

    :raises OwnershipLost: by ``progress``, in place of the error.
    """
    last = 0.0

    def report(part: float) -> None:
        nonlocal last
        last = part
        pace.progress(part)

    try:
        yield dataclasses.replace(pace, progress=report)
    except Exception:
        with suppress(Exception):
            pace.progress(last)
        raise


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
