# SPDX-License-Identifier: Apache-2.0
"""Locks that hold between threads, processes and hosts, and die with their process.

tooz gives exclusive locks only. A volume that is being cloned ten times at once
needs one that its readers share: the readers of one process share a single hold
of the tooz lock; readers of other processes take their turn.
"""

from __future__ import annotations

import logging
import os
import threading
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tooz import coordination

LOG = logging.getLogger(__name__)

PREFIX = "cinder-"
"""Names are Cinder's, so that a Cinder service beside us is excluded as well."""


@dataclass
class _Hold:
    """What the threads of this process want of one lock."""

    lock: Any
    users: int = 0
    readers: int = 0
    turn: threading.Lock = field(default_factory=threading.Lock)
    first: threading.Lock = field(default_factory=threading.Lock)


class Locks:
    """Locks by name.

    :param url: a tooz backend, as ``file:///var/lib/holdfast``.
    :param member: this process among all that use the backend.
    """

    def __init__(self, url: str, member: str) -> None:
        self._coordinator = coordination.get_coordinator(url, member.encode())
        place = urllib.parse.urlsplit(url)
        self._directory = place.path if place.scheme == "file" else None
        self._holds: dict[str, _Hold] = {}
        self._for_life: list[Any] = []
        self._guard = threading.Lock()

    def start(self) -> None:
        """Connect; needed before the first lock, in each process anew."""
        self._coordinator.start(start_heart=True)

    def stop(self) -> None:
        """Disconnect; what is still held is given up."""
        while self._for_life:
            self._for_life.pop().release()
        self._coordinator.stop()

    @contextmanager
    def held(self, exclusive: Sequence[str], shared: Sequence[str] = ()) -> Iterator[None]:
        """Hold several locks, taken in sorted order so that two users cannot block each other."""
        modes = dict.fromkeys(shared, False) | dict.fromkeys(exclusive, True)
        with ExitStack() as stack:
            for name in sorted(modes):
                stack.enter_context(self._one(name, modes[name]))
            yield

    def try_hold(self, name: str) -> bool:
        """Take a lock for the life of this process, without waiting for it."""
        lock = self._coordinator.get_lock((PREFIX + name).encode())
        if not lock.acquire(blocking=False):
            return False
        self._for_life.append(lock)  # a lock that nobody refers to is given up
        return True

    def forget(self, name: str) -> None:
        """Remove what is left of a lock whose resource is gone."""
        if self._directory is None:
            return
        try:
            os.unlink(os.path.join(self._directory, PREFIX + name))
        except OSError:
            LOG.debug("lock file of %s is not there", name)

    @contextmanager
    def _one(self, name: str, exclusive: bool) -> Iterator[None]:
        hold = self._hold(name)
        try:
            with self._exclusive(hold) if exclusive else self._shared(hold):
                yield
        finally:
            self._drop(name, hold)

    def _hold(self, name: str) -> _Hold:
        with self._guard:
            hold = self._holds.get(name)
            if hold is None:
                lock = self._coordinator.get_lock((PREFIX + name).encode())
                hold = self._holds[name] = _Hold(lock)
            hold.users += 1
            return hold

    def _drop(self, name: str, hold: _Hold) -> None:
        with self._guard:
            hold.users -= 1
            if hold.users == 0:
                del self._holds[name]

    @contextmanager
    def _exclusive(self, hold: _Hold) -> Iterator[None]:
        with hold.turn:
            hold.lock.acquire()
            try:
                yield
            finally:
                hold.lock.release()

    @contextmanager
    def _shared(self, hold: _Hold) -> Iterator[None]:
        with hold.first:
            if hold.readers == 0:
                self._begin_reading(hold)
            hold.readers += 1
        try:
            yield
        finally:
            with hold.first:
                hold.readers -= 1
                if hold.readers == 0:
                    hold.lock.release()
                    hold.turn.release()

    @staticmethod
    def _begin_reading(hold: _Hold) -> None:
        hold.turn.acquire()
        try:
            hold.lock.acquire()
        except BaseException:
            hold.turn.release()
            raise
