# SPDX-License-Identifier: Apache-2.0
"""Locks between processes and hosts, which end with the process that holds them.

A process holds a lock once, for as long as any of its threads needs it. Its threads are
excluded from each other by :class:`worker.execution.resource_queue.ResourceQueue`, which
lets several of them share a name; tooz has exclusive locks only.

Lock files do not accumulate: the last holder removes the file before it releases the lock. A
process that waited on the removed file notices that after it has the lock, and takes the lock
of the new file instead.
"""

from __future__ import annotations

import logging
import os
import threading
import urllib.parse
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tooz import coordination

from drivers import tls_errors
from worker.compat import tooz as compat

LOG = logging.getLogger(__name__)

PREFIX = "cinder-"
"""Prefix of all names, which makes them those of Cinder's locks: it excludes a Cinder service."""


class LocksUnusable(Exception):
    """The directory of the locks cannot be used."""


class LocksUnavailable(Exception):
    """The server of the locks does not answer."""


_AUTHORITY = "ca_cert (etcd) or ssl_ca_certs (Redis) in [coordination] backend_url"


@dataclass
class _Hold:
    """The hold of this process on one lock.

    :param users: threads that hold it or wait for it.
    :param holders: threads that hold it.
    """

    lock: Any
    users: int = 0
    holders: int = 0
    taking: threading.Lock = field(default_factory=threading.Lock)


class Locks:
    """Locks by name.

    :param url: a tooz backend, as ``file:///var/lib/holdfast``.
    :param member: the name of this process among all that use the backend.
    :param lifetime: seconds after which a server releases the locks of a dead process, unless
        the URL has ``lock_timeout`` or ``timeout``; None for the default of tooz, 30 s.
    """

    def __init__(self, url: str, member: str, lifetime: float | None = None) -> None:
        place = urllib.parse.urlsplit(url)
        options = _options(place.query, lifetime)
        self._coordinator = coordination.get_coordinator(url, member.encode(), **options)
        self._directory = place.path if place.scheme == "file" else None
        self._holds: dict[str, _Hold] = {}
        self._for_life: list[Any] = []
        self._guard = threading.Lock()

    def start(self) -> None:
        """Connect; needed before the first lock, in each process anew.

        :raises LocksUnusable: they are files, which cannot be made in their directory.
        :raises LocksUnavailable: the server does not answer.
        """
        try:
            with compat.without_retries(self._coordinator):
                self._coordinator.start(start_heart=True)
        except Exception as error:
            if not isinstance(error, compat.errors_of_a_start()):
                raise
            if self._directory is not None:
                reason = getattr(error, "cause", None) or error
                raise LocksUnusable(f"{self._directory} cannot hold locks: {reason}") from error
            raise LocksUnavailable(_reason(error)) from error

    def stop(self) -> None:
        """Disconnect, which releases all locks."""
        while self._for_life:
            self._for_life.pop().release()
        self._coordinator.stop()

    @contextmanager
    def held(self, names: Iterable[str]) -> Iterator[None]:
        """Hold several locks against other processes.

        They are taken in sorted order, so that two processes cannot block each other.
        """
        with ExitStack() as stack:
            for name in sorted(names):
                stack.enter_context(self._one(name))
            yield

    def try_hold(self, name: str) -> bool:
        """Take a lock for the life of this process, without waiting for it."""
        lock = self._coordinator.get_lock((PREFIX + name).encode())
        while lock.acquire(blocking=False):
            if self._is_in_place(name, lock):
                self._for_life.append(lock)  # a lock without a reference to it is released
                return True
            lock.release()
        return False

    @contextmanager
    def _one(self, name: str) -> Iterator[None]:
        hold = self._use(name)
        try:
            self._take(name, hold)
            try:
                yield
            finally:
                self._release(name, hold)
        finally:
            self._drop(name, hold)

    def _use(self, name: str) -> _Hold:
        with self._guard:
            hold = self._holds.get(name)
            if hold is None:
                if "/" in name:  # its file would be another one, which the last holder removes
                    raise ValueError(f"{name!r:.100} is no name of a lock")
                lock = self._coordinator.get_lock((PREFIX + name).encode())
                hold = self._holds[name] = _Hold(lock)
            hold.users += 1
            return hold

    def _drop(self, name: str, hold: _Hold) -> None:
        with self._guard:
            hold.users -= 1
            if hold.users == 0:
                del self._holds[name]

    def _take(self, name: str, hold: _Hold) -> None:
        with hold.taking:
            if hold.holders == 0:
                hold.lock.acquire()
                while not self._is_in_place(name, hold.lock):
                    hold.lock.release()
                    hold.lock.acquire()
            hold.holders += 1

    def _release(self, name: str, hold: _Hold) -> None:
        with hold.taking:
            hold.holders -= 1
            if hold.holders == 0:
                self._remove_file(name)
                hold.lock.release()

    def _is_in_place(self, name: str, lock: Any) -> bool:
        """Return whether a lock that was taken is that of the file which others will open."""
        if self._directory is None:
            return True
        try:
            found = os.stat(self._path(name))
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(compat.descriptor(lock)))

    def _remove_file(self, name: str) -> None:
        if self._directory is not None:
            try:
                os.unlink(self._path(name))
            except OSError as error:
                LOG.debug("lock file of %s is not removed: %s", name, error)

    def _path(self, name: str) -> str:
        assert self._directory is not None
        return os.path.join(self._directory, PREFIX + name)


def _options(query: str, lifetime: float | None) -> dict[str, Any]:
    """Return the options of tooz that a URL does not have itself."""
    given = urllib.parse.parse_qs(query)
    if lifetime is None or "lock_timeout" in given or "timeout" in given:
        return {}
    return {"lock_timeout": max(1, int(lifetime))}


def _reason(error: BaseException) -> str:
    """Return why a server cannot be used, in one line."""
    if refused := tls_errors.refusal(error, _AUTHORITY):
        return refused
    cause = error.__cause__ or error.__context__
    text = str(error) or (f"{type(cause).__name__}: {cause}" if cause else type(error).__name__)
    return text.splitlines()[0]
