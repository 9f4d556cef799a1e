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

LOG = logging.getLogger(__name__)

_BUGS = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError)
"""Errors of code, which the adapter of Cinder's drivers turns into those of our contract."""


def is_refusal(error: BaseException) -> bool:
    """Return whether a driver says why it cannot be set up, so that its text is enough.

    A missing mount or a wrong option is no bug, of which the traceback is wanted.
    """
    refused = isinstance(error, (NotMounted, DriverError))
    return refused and not isinstance(error.__cause__, _BUGS)


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
        before_sleep=lambda state: LOG.info(
            "%s: next attempt in %.0f s", name, state.upcoming_sleep
        ),
    )
    watch = timeutils.StopWatch().start()
    # No set-up begins after the stop; a set-up can take minutes.
    retrying(lambda: stopping.is_set() or attempt())
    if retrying.statistics["attempt_number"] > 1 and not stopping.is_set():
        LOG.info("%s is up after %.0f s", name, watch.elapsed())
