# SPDX-License-Identifier: Apache-2.0
"""Wait for a database that does not answer, and log each outage once.

=========  ==========================================  ==========================
verdict    when                                        then
=========  ==========================================  ==========================
AWAY       connection lost or refused, disk full,      one new try at once, then
           shutting down, read only after a failover   with growing pauses
CONFLICT   deadlock, lock not granted in time          again after a short while
REFUSED    wrong password, no such database or file    no second try
None       anything else: a fault of ours              raised as it is
=========  ==========================================  ==========================

The first three end as :class:`flows.errors.Unavailable`: nothing was decided.
"""

from __future__ import annotations

import enum
import itertools
import logging
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from oslo_db import api as db_api
from oslo_db import exception as db_exception
from oslo_utils import strutils

from flows.errors import Unavailable

LOG = logging.getLogger(__name__)

T = TypeVar("T")

CONFLICT_PAUSE = 0.05
CONFLICT_PAUSE_MAX = 1.0
"""Pauses before a transaction that lost a lock is repeated, in seconds."""

_MYSQL_AWAY = {1021, 1040, 1041, 1053, 1114, 1129, 1158, 1159, 1160, 1161, 1203, 1226, 1290, 1836}
_MYSQL_CONFLICT = {1205, 1213, 1317, 3572}
_MYSQL_REFUSED = {1044, 1045, 1049, 1130, 1698}
_POSTGRESQL_AWAY = ("08", "25006", "53", "57", "58")
_POSTGRESQL_CONFLICT = ("40", "55P03")
_POSTGRESQL_REFUSED = ("28", "3D")
_REFUSED_TEXTS = ("authentication failed", "does not exist", "pg_hba.conf", "no password supplied")
_SQLITE_AWAY = ("disk", "readonly")
_SQLITE_CONFLICT = ("locked", "busy")
_SQLITE_REFUSED = ("unable to open",)

ERRORS = (db_exception.DBError, sa.exc.SQLAlchemyError, sqlite3.OperationalError)
"""Exceptions that a query may raise."""


SAME_OUTAGE = 1.0
"""Seconds after an outage in which errors still belong to it."""


class OutageVerdict(enum.Enum):
    """The meaning of an error of the database."""

    AWAY = "away"
    CONFLICT = "conflict"
    REFUSED = "refused"


class Outages:
    """Repeats failed work, for one database.

    :param shown: the database's address, without secrets.
    :param retries: how often work is repeated; negative means without an end.
    :param pause: seconds before the first repetition, ``pause_max`` the longest.
    :param growing: whether the pauses grow.
    """

    def __init__(
        self, shown: str, *, retries: int, pause: float, pause_max: float, growing: bool
    ) -> None:
        self._shown = shown
        self._retries = retries if retries >= 0 else sys.maxsize
        self._pause, self._pause_max, self._growing = pause, pause_max, growing
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._back = -SAME_OUTAGE
        self.since: float | None = None
        """When the database went away, in monotonic seconds; None while it answers."""

    def give_up(self) -> None:
        """Wait no more: waiting threads get Unavailable after the current pause."""
        self._stopped.set()

    def persist(self, attempt: Callable[[], T], error: Exception, *, patient: bool) -> T:
        """Repeat failed work for as long as that makes sense.

        :param patient: whether an outage is waited for; conflicts always are.
        :raises Unavailable: it did not come to an end.
        """
        if verdict(error) is OutageVerdict.AWAY:
            try:
                # Idle connections may have died unnoticed; they left the pool by now.
                return attempt()
            except ERRORS as last:
                if verdict(last) is None:
                    raise
                error = last
        try:
            return self._repeat(attempt, error, patient)
        except ERRORS as last:
            if verdict(last) is None:
                raise
            raise Unavailable(f"database {self._shown}: {reason(last)}") from last

    def over(self) -> None:
        """Log that the database answers again."""
        with self._lock:
            if self.since is not None:
                away = time.monotonic() - self.since
                self.since = None
                self._back = time.monotonic()
                LOG.info("database back after %.1f s: %s", away, self._shown)

    def _repeat(self, attempt: Callable[[], T], error: Exception, patient: bool) -> T:
        """Run attempts under oslo.db's retry, which counts the error at hand as the first."""
        pending = [error]
        tries = itertools.count()

        def once() -> T:
            if pending:
                raise pending.pop()
            return attempt()

        def worth_it(found: Exception) -> bool:
            kind = verdict(found)
            if kind is OutageVerdict.AWAY:
                self._away(found)
            waiting = kind is OutageVerdict.CONFLICT or (kind is OutageVerdict.AWAY and patient)
            return waiting and next(tries) < self._retries and not self._stopped.is_set()

        answer: T = db_api.wrap_db_retry(
            max_retries=sys.maxsize,  # ours end quietly: the caller decides what is logged
            exception_checker=worth_it,
            **self._pauses(verdict(error)),
        )(once)()
        return answer

    def _pauses(self, kind: OutageVerdict | None) -> dict[str, Any]:
        if kind is OutageVerdict.AWAY:
            return {
                "retry_interval": self._pause,
                "max_retry_interval": self._pause_max,
                "inc_retry_interval": self._growing,
            }
        return {
            "retry_interval": CONFLICT_PAUSE,
            "max_retry_interval": CONFLICT_PAUSE_MAX,
            "jitter": True,
        }

    def _away(self, error: Exception) -> None:
        with self._lock:
            # An attempt that began before the end may learn of it only now.
            if self.since is None and time.monotonic() - self._back > SAME_OUTAGE:
                self.since = time.monotonic()
                LOG.warning("database away: %s: %s", self._shown, reason(error))


def verdict(error: Exception) -> OutageVerdict | None:
    """Return the meaning of an error for the work that met it; None for a fault of ours."""
    if isinstance(error, db_exception.DBDeadlock):
        return OutageVerdict.CONFLICT
    if isinstance(error, db_exception.DBNonExistentDatabase):
        return OutageVerdict.REFUSED
    if isinstance(error, db_exception.DBConnectionError | sa.exc.TimeoutError):
        return (
            OutageVerdict.REFUSED
            if _judge(_cause(error)) is OutageVerdict.REFUSED
            else OutageVerdict.AWAY
        )
    return _judge(_cause(error))


def reason(error: Exception) -> str:
    """Return the driver's message, short and without passwords."""
    cause = _cause(error)
    text = str(cause.args[1] if len(cause.args) == 2 else cause).strip()
    return str(strutils.mask_password(" ".join(text.split())[:200]))


def _judge(cause: BaseException) -> OutageVerdict | None:
    module = type(cause).__module__.partition(".")[0]
    if module in ("pymysql", "MySQLdb"):
        return _by_number(cause.args[0] if cause.args else None)
    if module == "psycopg2":
        return _by_state(cause)
    if module == "sqlite3":
        return _by_text(str(cause))
    return None


def _by_number(number: object) -> OutageVerdict | None:
    if number in _MYSQL_AWAY:
        return OutageVerdict.AWAY
    if number in _MYSQL_CONFLICT:
        return OutageVerdict.CONFLICT
    return OutageVerdict.REFUSED if number in _MYSQL_REFUSED else None


def _by_state(cause: BaseException) -> OutageVerdict | None:
    state = getattr(cause, "pgcode", None)
    if state is None:
        if type(cause).__name__ != "OperationalError":
            return None
        # No code: the connection was not made.
        refused = any(text in str(cause) for text in _REFUSED_TEXTS)
        return OutageVerdict.REFUSED if refused else OutageVerdict.AWAY
    if state.startswith(_POSTGRESQL_AWAY):
        return OutageVerdict.AWAY
    if state.startswith(_POSTGRESQL_CONFLICT):
        return OutageVerdict.CONFLICT
    return OutageVerdict.REFUSED if state.startswith(_POSTGRESQL_REFUSED) else None


def _by_text(text: str) -> OutageVerdict | None:
    if any(part in text for part in _SQLITE_CONFLICT):
        return OutageVerdict.CONFLICT
    if any(part in text for part in _SQLITE_AWAY):
        return OutageVerdict.AWAY
    return OutageVerdict.REFUSED if any(part in text for part in _SQLITE_REFUSED) else None


def _cause(error: BaseException) -> BaseException:
    """Return the driver's own error out of SQLAlchemy's and oslo.db's."""
    inner = getattr(error, "inner_exception", None) or error
    return getattr(inner, "orig", None) or inner
