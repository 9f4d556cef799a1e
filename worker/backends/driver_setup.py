# SPDX-License-Identifier: Apache-2.0
"""Repeat the set-up of a driver until it succeeds or the process stops."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import tenacity
from oslo_utils import timeutils
from tenacity.wait import WaitBaseT

from drivers.interface.errors import DriverError
from worker.backends.directory_mark import NotMounted
from worker.outage_log import FailureLog

LOG = logging.getLogger(__name__)

_BUGS = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError)
"""Errors of code, which the adapter of Cinder's drivers turns into those of our contract."""


def is_refusal(error: BaseException) -> bool:
    """Return whether a driver says why it cannot be set up, so that its text is enough.

    A missing mount or a wrong option is no bug, of which the traceback is wanted.
    """
    refused = isinstance(error, (NotMounted, DriverError))
    return refused and not isinstance(error.__cause__, _BUGS)


class SetUpLog:
    """Log why a driver does not come up, with a traceback where that is a bug.

    :param log: the logger.
    :param text: the line, which ends in the reason.
    """

    def __init__(self, log: logging.Logger, text: str) -> None:
        self._log = FailureLog(log)
        self._text = text

    def failed(self, error: BaseException, reason: str) -> None:
        """Log a failed attempt."""
        shown = str(error) if isinstance(error, NotMounted) else reason
        traced = None if is_refusal(error) else error
        self._log.failed(reason, "%s: %s", self._text, shown, error=traced)

    def succeeded(self) -> None:
        """Let the next failure be logged."""
        self._log.succeeded()


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
