# SPDX-License-Identifier: Apache-2.0
"""Repeat the set-up of a driver until it succeeds or the process stops."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable

import tenacity
from oslo_utils import timeutils
from tenacity.wait import WaitBaseT

from drivers.interface.errors import DriverError
from worker.backends.directory_mark import NotMounted

LOG = logging.getLogger(__name__)

_VARYING = re.compile(r"\d+|0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f-]{27}")
"""Parts in which two texts of one reason differ: times, ports, ids."""

_BUGS = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError)
"""Errors of code, which the adapter of Cinder's drivers turns into those of our contract."""


def is_refusal(error: BaseException) -> bool:
    """Return whether a driver says why it cannot be set up, so that its text is enough.

    A missing mount or a wrong option is no bug, of which the traceback is wanted.
    """
    refused = isinstance(error, (NotMounted, DriverError))
    return refused and not isinstance(error.__cause__, _BUGS)


class SetUpLog:
    """Log why a driver does not come up: once for as long as the reason is the same.

    :param log: the logger.
    :param text: the line, which ends in the reason.
    """

    def __init__(self, log: logging.Logger, text: str) -> None:
        self._log = log
        self._text = text
        self._last: str | None = None

    def failed(self, error: BaseException, reason: str) -> None:
        """Log a failed attempt."""
        kind = _VARYING.sub("", reason)
        known, self._last = kind == self._last, kind
        self._log.log(
            logging.DEBUG if known else logging.ERROR,
            "%s: %s",
            self._text,
            str(error) if isinstance(error, NotMounted) else reason,
            exc_info=None if known or is_refusal(error) else error,
        )

    def succeeded(self) -> None:
        """Let the next failure be logged."""
        self._last = None


def until_up(
    attempt: Callable[[], bool], stopping: threading.Event, name: str, wait: WaitBaseT
) -> None:
    """Call ``attempt`` until it returns True.

    :param name: begins the log lines.
    :param wait: gives the pause after a failed attempt.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda done: not done),
        wait=wait,
        sleep=tenacity.sleep_using_event(stopping),
        before_sleep=lambda state: LOG.log(
            logging.INFO if state.attempt_number == 1 else logging.DEBUG,
            "%s: next attempt in %.0f s",
            name,
            state.upcoming_sleep,
        ),
    )
    watch = timeutils.StopWatch().start()
    # No set-up begins after the stop; a set-up can take minutes.
    retrying(lambda: stopping.is_set() or attempt())
    if retrying.statistics["attempt_number"] > 1 and not stopping.is_set():
        LOG.info("%s is up after %.0f s", name, watch.elapsed())
