# SPDX-License-Identifier: Apache-2.0
"""Wait for a database that does not answer, and log each outage once.

=========  ==========================================  =============================
verdict    when                                        then
=========  ==========================================  =============================
AWAY       connection lost or refused, disk full,      one new attempt at once, then
           shutting down, read only after a failover   with growing pauses
CONFLICT   deadlock, lock not granted in time          new attempts, short pauses
REFUSED    wrong password, no such database or file    no second attempt
None       any other error: a bug of the worker        raised unchanged
=========  ==========================================  =============================

The first three end as :class:`flows.errors.Unavailable`: nothing was decided.
"""

from __future__ import annotations

import enum
import logging
import sqlite3
import threading
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
import tenacity
from oslo_db import exception as db_exception
from oslo_utils import strutils
from tenacity.stop import StopBaseT
from tenacity.wait import WaitBaseT

from flows.errors import Unavailable
from flows.repeat import beginning_with
from worker.outage_log import OutageLog

LOG = logging.getLogger(__name__)

T = TypeVar("T")

CONFLICT_PAUSE = 0.05
CONFLICT_PAUSE_MAX = 1.0
"""Bounds of the pauses before a transaction that lost a lock is repeated, in seconds."""

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

LOST = "database away: %(service)s: %(reason)s"
BACK = "database back after %(seconds).1f s: %(service)s"

ERRORS = (db_exception.DBError, sa.exc.SQLAlchemyError, sqlite3.OperationalError)
"""Exceptions that a query may raise."""


class OutageVerdict(enum.Enum):
    """The meaning of an error of the database."""

    AWAY = "away"
    CONFLICT = "conflict"
    REFUSED = "refused"


class Outages:
    """Repeats failed work, for one database.

    :param shown: the database's address, without secrets.
    :param retries: the number of repetitions; negative means no limit.
    :param pause: seconds before the first repetition, ``pause_max`` the longest.
    :param growing: whether each pause is twice as long as the one before it.
    """

    def __init__(
        self, shown: str, *, retries: int, pause: float, pause_max: float, growing: bool
    ) -> None:
        self._shown = shown
        self._retries = retries
        self._pause: WaitBaseT = tenacity.wait_fixed(pause)
        if growing:
            self._pause = tenacity.wait_exponential(multiplier=pause, max=pause_max)
        self._stopped = threading.Event()
        self._log = OutageLog(shown, LOG, lost=LOST, back=BACK)

    def give_up(self) -> None:
        """End all pauses; a waiting thread makes one last attempt."""
        self._stopped.set()

    def persist(self, attempt: Callable[[], T], error: Exception, *, patient: bool) -> T:
        """Repeat failed work for as long as that makes sense.

        :param patient: whether to repeat during an outage; conflicts are always repeated.
        :raises Unavailable: every attempt failed.
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
        """Log that the database answers again, unless that is known."""
        self._log.end()

    def _repeat(self, attempt: Callable[[], T], error: Exception, patient: bool) -> T:
        repeated = {OutageVerdict.CONFLICT, OutageVerdict.AWAY if patient else None}

        def is_repeated(found: BaseException) -> bool:
            kind = verdict(found)
            if kind is OutageVerdict.AWAY:
                self._log.begin(reason(found))
            return kind is not None and kind in repeated

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_repeated),
            wait=self._pause if verdict(error) is OutageVerdict.AWAY else _conflict_pause(),
            stop=self._stop(),
            sleep=tenacity.sleep_using_event(self._stopped),
            reraise=True,
        )
        return retrying(beginning_with(error, attempt))

    def _stop(self) -> StopBaseT:
        stopped = tenacity.stop_when_event_set(self._stopped)
        if self._retries < 0:
            return stopped
        return stopped | tenacity.stop_after_attempt(1 + self._retries)


def _conflict_pause() -> WaitBaseT:
    """Return random pauses: transactions that met each other once must not do so again."""
    return tenacity.wait_random_exponential(multiplier=2 * CONFLICT_PAUSE, max=CONFLICT_PAUSE_MAX)


def verdict(error: BaseException) -> OutageVerdict | None:
    """Return the meaning of an error for the work that met it; None for a bug of the worker."""
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


def reason(error: BaseException) -> str:
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
