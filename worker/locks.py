# SPDX-License-Identifier: Apache-2.0
"""Locks between processes and hosts, which end with the process that holds them.

A process holds a lock once, for as long as any of its threads needs it. Its threads are
excluded from each other by :class:`worker.execution.resource_queue.ResourceQueue`, which
lets several of them share a name; tooz has exclusive locks only.

etcd and Redis release a lock that is not renewed in time. A thread renews all of them, one by
one, and :meth:`Locks.confirm` is called before the driver is: it renews a lock that was not
renewed lately, so that a process that was stopped notices the loss. tooz would do neither: its
thread notifies of no loss.

Lock files do not accumulate: the last holder removes the file before it releases the lock. A
process that waited on the removed file notices that after it has the lock, and takes the lock
of the new file instead.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import urllib.parse
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tooz import coordination

from drivers import tls_errors
from flows.errors import LocksLost
from worker.compat import libc
from worker.compat import tooz as compat
from worker.outage_log import OutageLog

LOG = logging.getLogger(__name__)

PREFIX = "cinder-"
"""Prefix of all names, which makes them those of Cinder's locks: it excludes a Cinder service."""


class LocksUnusable(Exception):
    """The directory of the locks cannot be used."""


class LocksUnavailable(Exception):
    """The server of the locks does not answer."""


RENEWALS = 3
"""How often a lock is renewed in its lifetime."""

SHORT_OUTAGE = 2.0
"""Seconds of an outage in which operations just wait."""

_AUTHORITY = "ca_cert (etcd) or ssl_ca_certs (Redis) in [coordination] backend_url"


@dataclass
class _Hold:
    """The hold of this process on one lock.

    :param users: threads that hold it or wait for it.
    :param holders: threads that hold it.
    :param confirmed: when it was certainly held, by the clock of the system since its boot.
    :param lost: whether its server has given it up.
    """

    lock: Any
    users: int = 0
    holders: int = 0
    confirmed: float = 0.0
    lost: bool = False
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
        self._member = member
        self._coordinator = coordination.get_coordinator(url, member.encode(), **options)
        compat.fail_at_once(self._coordinator)
        self._directory = place.path if place.scheme == "file" else None
        self._holds: dict[str, _Hold] = {}
        self._for_life: list[Any] = []
        self._guard = threading.Lock()
        self._lifetime = compat.lifetime_of(self._coordinator)
        self._stopped = threading.Event()
        self.outage = OutageLog("the server of the locks", LOG, "locks")
        """The outage of the server, also as threads notice it that wait for a lock."""

    @property
    def on_server(self) -> bool:
        """Whether a server keeps the locks."""
        return self._directory is None

    @property
    def expire(self) -> bool:
        """Whether the server releases locks that are not renewed."""
        return self._lifetime is not None

    @property
    def is_away(self) -> bool:
        """Whether the server did not answer for some seconds, as far as is known."""
        since = self.outage.since
        return since is not None and time.monotonic() - since > SHORT_OUTAGE

    def ask(self) -> None:
        """Ask the server during an outage, so that its end is known; may take long."""
        if self.outage.since is None:
            return
        lock = self._coordinator.get_lock(f"{PREFIX}outage-{self._member}".encode())
        try:
            if lock.acquire(blocking=False):
                lock.release()
        except compat.errors_of_a_start() as error:
            LOG.debug("the server of the locks is still away: %s", error)
        else:
            self.outage.end()

    def held_names(self) -> dict[str, tuple[int, int]]:
        """Return the locks of this process: how many threads hold each, and how many wait."""
        with self._guard:
            found = [(name, hold.holders, hold.users) for name, hold in self._holds.items()]
        return {name: (holders, users - holders) for name, holders, users in found}

    def start(self) -> None:
        """Connect; needed before the first lock, in each process anew.

        :raises LocksUnusable: they are files, which cannot be made in their directory.
        :raises LocksUnavailable: the server does not answer.
        """
        try:
            self._coordinator.start(start_heart=self._lifetime is None)
        except Exception as error:
            if not isinstance(error, compat.errors_of_a_start()):
                raise
            if self._directory is not None:
                reason = getattr(error, "cause", None) or error
                raise LocksUnusable(f"{self._directory} cannot hold locks: {reason}") from error
            raise LocksUnavailable(_reason(error)) from error
        if self._lifetime is not None:
            threading.Thread(target=self._renew_always, name="locks", daemon=True).start()

    def stop(self) -> None:
        """Disconnect, which releases all locks; without an answer they expire."""
        self._stopped.set()
        try:
            while self._for_life:
                self._for_life.pop().lock.release()
            self._coordinator.stop()
        except compat.errors_of_a_start() as error:
            LOG.debug("locks are not released, they expire: %s", error)

    @contextmanager
    def held(self, names: Iterable[str]) -> Iterator[Collection[_Hold]]:
        """Hold several locks against other processes; give what :meth:`confirm` takes.

        They are taken in sorted order, so that two processes cannot block each other.
        """
        with ExitStack() as stack:
            yield [stack.enter_context(self._one(name)) for name in sorted(names)]

    def confirm(self, holds: Iterable[_Hold]) -> None:
        """Return if locks are certainly held, and for half of their lifetime from now on.

        :raises LocksLost: their server has given one of them up.
        :raises LocksUnavailable: the server does not answer.
        """
        if self._lifetime is None:
            return
        for hold in holds:
            if not hold.lost and libc.now() - hold.confirmed > self._lifetime / 2:
                with hold.taking:
                    self._renew(hold)
            if hold.lost:
                raise LocksLost(f"lock {_name(hold.lock)} was lost")

    def try_hold(self, name: str) -> bool:
        """Take a lock for the life of this process, without waiting for it."""
        lock = self._coordinator.get_lock((PREFIX + name).encode())
        while lock.acquire(blocking=False):
            if self._is_in_place(name, lock):
                # A lock without a reference to it is released.
                self._for_life.append(_Hold(lock, holders=1))
                return True
            lock.release()
        return False

    @contextmanager
    def _one(self, name: str) -> Iterator[_Hold]:
        hold = self._use(name)
        try:
            self._take(name, hold)
            try:
                yield hold
            finally:
                self._release(name, hold)
        finally:
            self._drop(name, hold)

    def _use(self, name: str) -> _Hold:
        with self._guard:
            hold = self._holds.get(name)
            if hold is None or hold.lost:
                if "/" in name:  # its file would be another one, which the last holder removes
                    raise ValueError(f"{name!r:.100} is no name of a lock")
                lock = self._coordinator.get_lock((PREFIX + name).encode())
                hold = self._holds[name] = _Hold(lock)
            hold.users += 1
            return hold

    def _drop(self, name: str, hold: _Hold) -> None:
        with self._guard:
            hold.users -= 1
            if hold.users == 0 and self._holds.get(name) is hold:
                del self._holds[name]

    def _take(self, name: str, hold: _Hold) -> None:
        with hold.taking:
            if hold.holders == 0:
                hold.confirmed = libc.now()
                hold.lock.acquire()
                while not self._is_in_place(name, hold.lock):
                    hold.lock.release()
                    hold.lock.acquire()
                self.outage.end()
            hold.holders += 1

    def _release(self, name: str, hold: _Hold) -> None:
        with hold.taking:
            hold.holders -= 1
            if hold.holders == 0:
                self._remove_file(name)
                self._give_up(hold)

    def _give_up(self, hold: _Hold) -> None:
        """Release a lock; without an answer it expires, as nothing renews it any more."""
        if hold.lost:
            compat.forget(self._coordinator, hold.lock)
            return
        try:
            hold.lock.release()
        except compat.errors_of_a_start() as error:
            if self._lifetime is None:
                raise
            compat.forget(self._coordinator, hold.lock)
            self.outage.begin(_reason(error))

    def _renew_always(self) -> None:
        """Renew the locks that are held, each by itself: one that is lost stops no other."""
        assert self._lifetime is not None
        while not self._stopped.wait(self._lifetime / RENEWALS):
            with self._guard:
                holds = [*self._for_life, *self._holds.values()]
            for hold in holds:
                # One that is being taken or released is none of ours yet, or any more.
                if hold.holders and not hold.lost and hold.taking.acquire(blocking=False):
                    try:
                        self._renew(hold)
                    except LocksUnavailable as error:
                        self.outage.begin(error)
                    except Exception:
                        LOG.exception("lock %s was not renewed; tried again", _name(hold.lock))
                    finally:
                        hold.taking.release()

    def _renew(self, hold: _Hold) -> None:
        """Renew one lock, or note that it is lost. :raises LocksUnavailable: no answer."""
        if not hold.holders or hold.lost:
            return
        sent = libc.now()
        try:
            is_held = compat.renew(hold.lock)
        except compat.errors_of_a_start() as error:
            raise LocksUnavailable(_reason(error)) from error
        self.outage.end()
        if is_held:
            hold.confirmed = sent
            return
        hold.lost = True
        LOG.warning("lock %s expired; its operation takes it again", _name(hold.lock))

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


def _name(lock: Any) -> str:
    return str(lock.name.decode(errors="replace"))


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
