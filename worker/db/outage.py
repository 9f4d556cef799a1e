# SPDX-License-Identifier: Apache-2.0
"""Wait for a database that does not answer, and log each outage once.

During an outage there is one new attempt at once, and then others with growing pauses; a
conflict is repeated after a short one. An attempt that never succeeds ends as
:class:`flows.errors.Unavailable`: nothing was decided. An error of the statement is raised
unchanged (:mod:`worker.db.error_kinds`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

import tenacity
from tenacity.stop import StopBaseT
from tenacity.wait import WaitBaseT

from flows.errors import Unavailable
from flows.repeat import beginning_with
from worker.db.error_kinds import ERRORS, ErrorKind, kind_of, reason
from worker.metrics.outages import OUTAGES
from worker.outage_log import OutageLog

LOG = logging.getLogger(__name__)

T = TypeVar("T")

CONFLICT_PAUSE = 0.05
CONFLICT_PAUSE_MAX = 1.0
"""Bounds of the pauses before a transaction that lost a lock is repeated, in seconds."""

LOST = "database away: %(service)s: %(reason)s"
BACK = "database back after %(seconds).1f s: %(service)s"


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
        self._log = OutageLog(shown, LOG, "database", lost=LOST, back=BACK)

    def give_up(self) -> None:
        """End all pauses; a waiting thread makes one last attempt."""
        self._stopped.set()

    def persist(self, attempt: Callable[[], T], error: Exception, *, retry_outages: bool) -> T:
        """Repeat failed work for as long as that makes sense.

        :param retry_outages: whether to repeat during an outage; conflicts are always repeated.
        :raises Unavailable: every attempt failed.
        """
        if kind_of(error) is ErrorKind.AWAY:
            try:
                # Idle connections may have died unnoticed; they left the pool by now.
                return attempt()
            except ERRORS as last:
                if kind_of(last) is None:
                    raise
                error = last
        try:
            return self._repeat(attempt, error, retry_outages)
        except ERRORS as last:
            if kind_of(last) is None:
                raise
            raise Unavailable(f"database {self._shown}: {reason(last)}") from last

    @property
    def is_away(self) -> bool:
        """Whether the database is known to be away."""
        return self._log.since is not None

    def over(self) -> None:
        """Log that the database answers again, unless that is known."""
        self._log.end()

    def _repeat(self, attempt: Callable[[], T], error: Exception, retry_outages: bool) -> T:
        repeated = {ErrorKind.CONFLICT, ErrorKind.AWAY if retry_outages else None}

        def is_repeated(found: BaseException) -> bool:
            kind = kind_of(found)
            if kind in (ErrorKind.AWAY, ErrorKind.REFUSED):
                self._log.begin(reason(found))
            return kind is not None and kind in repeated

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_repeated),
            wait=self._pause if kind_of(error) is ErrorKind.AWAY else _conflict_pause(),
            stop=self._stop(),
            sleep=tenacity.sleep_using_event(self._stopped),
            reraise=True,
        )
        if kind_of(error) is ErrorKind.CONFLICT:
            return retrying(beginning_with(error, attempt))
        with OUTAGES.waiting("database"):
            return retrying(beginning_with(error, attempt))

    def _stop(self) -> StopBaseT:
        stopped = tenacity.stop_when_event_set(self._stopped)
        if self._retries < 0:
            return stopped
        return stopped | tenacity.stop_after_attempt(1 + self._retries)


def _conflict_pause() -> WaitBaseT:
    """Return random pauses: transactions that met each other once must not do so again."""
    return tenacity.wait_random_exponential(multiplier=2 * CONFLICT_PAUSE, max=CONFLICT_PAUSE_MAX)
